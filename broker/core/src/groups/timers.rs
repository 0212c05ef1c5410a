//! Deadlines of a shard, by what they are for.
//!
//! Invariant: each [`Timer`] has at most one deadline; setting it again moves it. Timers that fall
//! due together fire in the order they were set.

use super::appends::AppendId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A member, or one that has its id and did not come back yet, was not heard of.
    Session { group: Arc<str>, member: Arc<str> },
    /// The time to join a rebalance, or the initial delay, is over.
    Join(Arc<str>),
    /// The time to send SyncGroup is over.
    Sync(Arc<str>),
    /// An append has not been committed in time.
    Append(AppendId),
    /// Offsets are to be checked for their age.
    Expiry,
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    /// Deadline, then the order of setting.
    queue: BTreeSet<(i64, u64, Timer)>,
    deadlines: BTreeMap<Timer, (i64, u64)>,
    set: u64,
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, deadline_ms: i64) {
        self.cancel(&timer);
        self.set += 1;
        self.queue.insert((deadline_ms, self.set, timer.clone()));
        self.deadlines.insert(timer, (deadline_ms, self.set));
    }

    pub(super) fn cancel(&mut self, timer: &Timer) {
        if let Some((timer, (deadline_ms, set))) = self.deadlines.remove_entry(timer) {
            self.queue.remove(&(deadline_ms, set, timer));
        }
    }

    pub(super) fn is_set(&self, timer: &Timer) -> bool {
        self.deadlines.contains_key(timer)
    }

    pub(super) fn next_deadline_ms(&self) -> Option<i64> {
        self.queue.first().map(|(deadline_ms, ..)| *deadline_ms)
    }

    /// Takes the first timer that is due at `now_ms`.
    pub(super) fn pop_due(&mut self, now_ms: i64) -> Option<Timer> {
        if self.next_deadline_ms()? > now_ms {
            return None;
        }
        let (_, _, timer) = self.queue.pop_first()?;
        self.deadlines.remove(&timer);
        Some(timer)
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.deadlines.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn check(&self) {
        assert_eq!(
            self.queue.len(),
            self.deadlines.len(),
            "queue and index of the timers differ"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_set_again_moves() {
        let mut timers = Timers::default();
        timers.set(Timer::Expiry, 10);
        timers.set(Timer::Join("g".into()), 10);
        timers.set(Timer::Expiry, 10);
        assert_eq!(timers.next_deadline_ms(), Some(10));
        assert_eq!(timers.pop_due(9), None);
        assert_eq!(timers.pop_due(10), Some(Timer::Join("g".into())));
        assert_eq!(timers.pop_due(10), Some(Timer::Expiry));
        assert_eq!(timers.pop_due(10), None);
        timers.set(Timer::Sync("g".into()), 5);
        timers.cancel(&Timer::Sync("g".into()));
        assert_eq!(timers.next_deadline_ms(), None);
        timers.check();
    }
}
