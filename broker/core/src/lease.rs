//! The self-fencing lease (rule 20 of docs/replication.md): until when a broker's leaders may acknowledge
//! writes on the controller's word.
//!
//! Fencing is one-sided (rule 9), so a leader that is cut off would go on acknowledging what will be cut
//! off its log. It stops by itself instead: it acknowledges while its broker has a lease, or while
//! everyone who could be elected in its place is heard to follow it ([`Leader::may_acknowledge`]).
//!
//! A lease is for [`Lease::length`] from the *sending* of a heartbeat, and only of one that
//!
//! - a controller answered which asked a majority of the voters, *after it came*, whether it still is the
//!   active one, and
//! - whose answer says how far the metadata was then, and this broker has applied that.
//!
//! So whoever holds a lease at some time has applied every election that was committed more than a length
//! before. And from that follows what the simulator checks: nobody acknowledges a write a length or more
//! after another has taken the lead.
//!
//! Times are the boot clock's, which goes on while a machine is suspended.
//!
//! [`Leader::may_acknowledge`]: crate::replica::Leader::may_acknowledge

use crate::rules::{Rule, Rules};
use std::collections::VecDeque;
use std::time::Duration;

/// Shorter than a session by so much: a broker that falls silent stops acknowledging before others
/// are elected, with clocks that drift and a process that does not run all the time.
const MARGIN: Duration = Duration::from_millis(500);

/// Confirmations that wait for metadata; heartbeats are a good part of a length apart.
const WAITING_MAX: usize = 8;

/// How long a lease is for: `broker.session.timeout.ms` but for half a second, or half of it where that is
/// more.
pub fn lease_length(session: Duration) -> Duration {
    session.saturating_sub(MARGIN).max(session / 2)
}

/// What leaders are told of their broker's lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerLease {
    pub until: Duration,
    pub length: Duration,
}

/// The lease of one registration.
#[derive(Debug, Clone)]
pub struct Lease {
    length: Duration,
    /// When the newest heartbeat was sent that counts.
    sent: Option<Duration>,
    waiting: VecDeque<Confirmed>,
    rules: Rules,
}

/// A heartbeat whose answer a majority stands behind.
#[derive(Debug, Clone, Copy)]
struct Confirmed {
    sent: Duration,
    /// What was committed by then.
    offset: i64,
}

impl Lease {
    pub fn new(length: Duration, rules: Rules) -> Self {
        Self {
            length,
            sent: None,
            waiting: VecDeque::new(),
            rules,
        }
    }

    /// The heartbeat of that time was answered, and confirmed with the metadata at `offset`.
    pub fn confirmed(&mut self, now: Duration, sent: Duration, offset: i64) {
        let sent = if self.rules.obeys(Rule::LeaseFromHeartbeat) {
            sent
        } else {
            now
        };
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Confirmed { sent, offset });
    }

    /// This broker has applied the metadata up to `offset`.
    pub fn applied(&mut self, offset: i64) {
        let (sent, rules) = (&mut self.sent, self.rules);
        self.waiting.retain(|it| {
            let counts = it.offset <= offset || !rules.obeys(Rule::LeaseApplied);
            if counts {
                *sent = (*sent).max(Some(it.sent));
            }
            !counts
        });
    }

    /// The cluster has another session; see [`lease_length`].
    pub fn set_length(&mut self, length: Duration) {
        self.length = length;
    }

    pub fn get(&self) -> BrokerLease {
        BrokerLease {
            until: self.sent.map_or(Duration::ZERO, |it| it + self.length),
            length: self.length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_begins_when_the_heartbeat_was_sent() {
        let mut lease = Lease::new(at(1_500), Rules::ALL);
        lease.applied(7);
        assert_eq!(lease.get().until, Duration::ZERO);
        lease.confirmed(at(900), at(100), 7);
        lease.applied(7);
        assert_eq!(lease.get().until, at(1_600));
    }

    #[test]
    fn it_waits_for_the_metadata_that_was_confirmed() {
        let mut lease = Lease::new(at(1_500), Rules::ALL);
        lease.confirmed(at(110), at(100), 7);
        lease.confirmed(at(610), at(600), 9);
        lease.applied(6);
        assert_eq!(lease.get().until, Duration::ZERO);
        lease.applied(8);
        assert_eq!(lease.get().until, at(1_600));
        lease.applied(9);
        assert_eq!(lease.get().until, at(2_100));
    }

    #[test]
    fn an_older_answer_takes_nothing_back_and_what_waits_is_bounded() {
        let mut lease = Lease::new(at(1_500), Rules::ALL);
        lease.confirmed(at(610), at(600), 9);
        lease.confirmed(at(620), at(100), 7);
        lease.applied(9);
        assert_eq!(lease.get().until, at(2_100));
        (0..100).for_each(|it| lease.confirmed(at(700), at(700), 10 + it));
        assert_eq!(lease.waiting.len(), WAITING_MAX);
    }

    #[test]
    fn half_a_second_less_than_a_session() {
        assert_eq!(lease_length(at(2_000)), at(1_500));
        assert_eq!(lease_length(at(600)), at(300));
    }
}
