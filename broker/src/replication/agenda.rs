//! Which of a fetcher's partitions are to be looked at, and when: with ten thousand of them that say
//! nothing, one that has something costs the work for one.
//!
//! | A partition | is due | until |
//! |---|---|---|
//! | is new, has another role, was answered | at once | it was looked at |
//! | has a pause | when that ends | the same |
//! | has nothing to say | not | something happens to it |
//!
//! Those that are due have their turns in a circle, so that no busy ones hold up the rest.
//!
//! Invariant: a partition is due, or paused, or neither; paused ones stand once under their time.

use crate::partitions::PartitionKey;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct Agenda {
    due: BTreeSet<PartitionKey>,
    /// Whose turn was last.
    last: Option<PartitionKey>,
    /// Until when on the boot clock.
    paused: BTreeMap<PartitionKey, Duration>,
    by_time: BTreeSet<(Duration, PartitionKey)>,
}

impl Agenda {
    /// Something happened to it: what was to be waited for counts no more.
    pub(super) fn add(&mut self, key: PartitionKey) {
        self.end_pause(key);
        self.due.insert(key);
    }

    /// It has nothing to say before that time.
    pub(super) fn pause(&mut self, key: PartitionKey, until: Duration) {
        self.remove(key);
        self.paused.insert(key, until);
        self.by_time.insert((until, key));
    }

    /// It is not fetched any more.
    pub(super) fn remove(&mut self, key: PartitionKey) {
        self.end_pause(key);
        self.due.remove(&key);
    }

    /// The next one to look at; it is due no more.
    pub(super) fn next(&mut self) -> Option<PartitionKey> {
        let behind = match self.last {
            Some(last) => (Bound::Excluded(last), Bound::Unbounded),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let key = self.due.range(behind).next().or_else(|| self.due.first());
        let key = *key?;
        self.due.remove(&key);
        self.last = Some(key);
        Some(key)
    }

    /// Whose pause is over by now is due.
    pub(super) fn wake(&mut self, now: Duration) {
        while let Some((until, key)) = self.by_time.first().copied()
            && until <= now
        {
            self.add(key);
        }
    }

    /// When the next pause ends.
    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.by_time.first().map(|(until, _)| *until)
    }

    fn end_pause(&mut self, key: PartitionKey) {
        if let Some(until) = self.paused.remove(&key) {
            self.by_time.remove(&(until, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_wire::Uuid;

    fn key(index: i32) -> PartitionKey {
        (Uuid([1; 16]), index)
    }

    fn drain(agenda: &mut Agenda) -> Vec<i32> {
        std::iter::from_fn(|| agenda.next().map(|(_, index)| index)).collect()
    }

    #[test]
    fn of_ten_thousand_only_those_with_something_are_looked_at() {
        let mut agenda = Agenda::default();
        (0..10_000).for_each(|index| agenda.add(key(index)));
        assert_eq!(drain(&mut agenda).len(), 10_000, "each once at the start");
        assert!(drain(&mut agenda).is_empty());
        agenda.add(key(7));
        agenda.add(key(9_000));
        agenda.add(key(7));
        assert_eq!(drain(&mut agenda), [7, 9_000]);
        assert_eq!(agenda.next_wake(), None);
    }

    #[test]
    fn a_pause_ends_in_time_or_by_what_happens() {
        let at = Duration::from_secs;
        let mut agenda = Agenda::default();
        for (index, until) in [(1, 10), (2, 20), (3, 20), (4, 30)] {
            agenda.pause(key(index), at(until));
        }
        agenda.pause(key(1), at(40));
        assert_eq!(agenda.next_wake(), Some(at(20)));
        agenda.wake(at(19));
        assert!(drain(&mut agenda).is_empty());
        agenda.remove(key(3));
        agenda.add(key(4));
        agenda.wake(at(20));
        assert_eq!(drain(&mut agenda), [2, 4]);
        assert_eq!(agenda.next_wake(), Some(at(40)));
        agenda.wake(at(40));
        assert_eq!(drain(&mut agenda), [1]);
        assert_eq!(agenda.next_wake(), None);
    }

    #[test]
    fn one_that_always_has_something_does_not_hold_up_the_rest() {
        let mut agenda = Agenda::default();
        (0..4).for_each(|index| agenda.add(key(index)));
        let mut turns = Vec::new();
        for _ in 0..6 {
            let (_, index) = agenda.next().unwrap();
            turns.push(index);
            agenda.add(key(0));
        }
        assert_eq!(turns, [0, 1, 2, 3, 0, 0]);
    }
}
