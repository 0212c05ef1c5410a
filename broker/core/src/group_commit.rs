//! Which logs of a directory are flushed together, and when (`flush.policy = group`).
//!
//! A flush costs much the same whether one record or a thousand wait for it. So there is one *round*
//! at a time: while it is under way, whoever appends only says that its log waits, and the next round
//! takes all of those, each once.
//!
//! | State | Event | Then |
//! |---|---|---|
//! | at rest | a log waits | a round with it may begin |
//! | a round is under way | a log waits, of this round or not | it is in the next one |
//! | | the round is over | a round with all that wait may begin |
//! | any | bytes that wait reach the bound | appends wait for room |
//!
//! Owns: which logs wait, and how much they wait for. Knows neither logs nor files nor threads.
//! Invariant: a log is in a round at most once, and whatever was said to wait while a round is under
//! way is in a later one.

use std::collections::BTreeMap;

/// The logs of one directory, by their names.
#[derive(Debug)]
pub struct GroupCommit<K> {
    /// With the bytes appended since a round took it last.
    waiting: BTreeMap<K, u64>,
    waiting_bytes: u64,
    /// Of the round under way.
    round: Option<Round>,
    bytes_max: u64,
}

#[derive(Debug, Clone, Copy)]
struct Round {
    bytes: u64,
}

impl<K: Ord> GroupCommit<K> {
    /// `bytes_max`: from how many bytes on, written and not flushed, appends are to wait. What is
    /// taken at that moment still goes in, so it may be passed by an append per connection.
    pub fn new(bytes_max: u64) -> Self {
        assert!(bytes_max > 0, "without room nothing is ever appended");
        Self {
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            round: None,
            bytes_max,
        }
    }

    /// A log was appended to by that many bytes, or has something to flush for another reason.
    /// Returns whether [`Self::begin_round`] should be asked.
    pub fn wait(&mut self, log: K, bytes: u64) -> bool {
        let waits = self.waiting.entry(log).or_default();
        *waits = waits.saturating_add(bytes);
        self.waiting_bytes = self.waiting_bytes.saturating_add(bytes);
        self.round.is_none()
    }

    /// The logs of the next round; none while one is under way, or nothing waits.
    pub fn begin_round(&mut self) -> Vec<K> {
        if self.round.is_some() || self.waiting.is_empty() {
            return Vec::new();
        }
        self.round = Some(Round {
            bytes: std::mem::take(&mut self.waiting_bytes),
        });
        std::mem::take(&mut self.waiting).into_keys().collect()
    }

    /// The round that was begun is over. Returns whether another is due.
    pub fn end_round(&mut self) -> bool {
        assert!(self.round.is_some(), "no round is under way");
        self.round = None;
        !self.waiting.is_empty()
    }

    /// Written and not known to be flushed, of this round and of the next.
    pub fn unflushed_bytes(&self) -> u64 {
        let in_round = self.round.map_or(0, |it| it.bytes);
        self.waiting_bytes.saturating_add(in_round)
    }

    /// Whether appends need not wait.
    pub fn has_room(&self) -> bool {
        self.unflushed_bytes() < self.bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_while_a_round_is_under_way_is_gathered_for_the_next() {
        let mut commit = GroupCommit::new(1_000);
        assert_eq!(commit.begin_round(), Vec::<&str>::new());
        assert!(commit.wait("a", 10));
        assert_eq!(commit.begin_round(), ["a"]);
        for log in ["c", "a", "b", "c"] {
            assert!(!commit.wait(log, 10), "one round at a time");
            assert_eq!(commit.begin_round(), Vec::<&str>::new());
        }
        assert!(commit.end_round());
        assert_eq!(commit.begin_round(), ["a", "b", "c"]);
        assert!(!commit.end_round());
        assert_eq!(commit.begin_round(), Vec::<&str>::new());
    }

    #[test]
    fn bytes_wait_until_their_round_is_over() {
        let mut commit = GroupCommit::new(100);
        commit.wait(1, 60);
        commit.begin_round();
        commit.wait(1, 39);
        assert!(commit.has_room(), "{} of 100", commit.unflushed_bytes());
        commit.wait(2, 1);
        assert!(!commit.has_room());
        assert!(commit.end_round());
        assert_eq!(commit.unflushed_bytes(), 40);
        assert!(commit.has_room());
        commit.begin_round();
        commit.end_round();
        assert_eq!(commit.unflushed_bytes(), 0);
    }

    #[test]
    fn a_log_without_a_byte_waits_too() {
        let mut commit = GroupCommit::new(100);
        assert!(commit.wait("cut", 0));
        assert_eq!(commit.begin_round(), ["cut"]);
    }
}
