//! One byte budget for all partitions, granted earliest recovery point first.
//!
//! A partition asks for the next fetch, gets a grant, and gives bytes back as the target
//! acknowledges them. Among those that wait the one whose oldest uncopied record is the oldest goes
//! first; copying moves it back in the queue, so partitions that are equally late share evenly and
//! none starves. A grant is never larger than a fixed share of the budget, so that one slow
//! target partition cannot hold all of it.

use std::collections::{BTreeMap, BTreeSet};

/// Less than this is not worth a round trip; also the least that is ever granted. A quarter of
/// `max.partition.fetch.bytes`' default: a budget of 64 MiB still feeds 256 partitions at a time.
pub const FETCH_BYTES_MIN: u64 = 256 * 1024;

/// One partition holds at most this part of the budget.
const SHARE_MAX: u64 = 4;

/// A partition may fetch this much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant<P> {
    pub partition: P,
    pub bytes: u64,
}

/// Invariants: what is held sums up to `used`; a partition either waits or holds a grant that is
/// not settled, or neither, never both.
#[derive(Clone, Debug)]
pub struct Credits<P> {
    total: u64,
    used: u64,
    waiting: BTreeSet<(i64, P)>,
    asked: BTreeMap<P, (i64, u64)>,
    held: BTreeMap<P, u64>,
    /// Answers larger than their grant, as Kafka gives when the first batch alone is larger.
    overdrawn: u64,
}

impl<P: Ord + Clone> Credits<P> {
    /// `total` is `daemon.memory` without what the process needs otherwise.
    pub fn new(total: u64) -> Self {
        Self {
            total: total.max(FETCH_BYTES_MIN),
            used: 0,
            waiting: BTreeSet::new(),
            asked: BTreeMap::new(),
            held: BTreeMap::new(),
            overdrawn: 0,
        }
    }

    /// The partition wants to fetch `bytes`; its oldest uncopied record is of `since_ms`. Asking
    /// again replaces what was asked.
    pub fn ask(&mut self, partition: P, since_ms: i64, bytes: u64) {
        self.cancel(&partition);
        self.waiting.insert((since_ms, partition.clone()));
        self.asked.insert(partition, (since_ms, bytes));
    }

    /// It no longer wants to: paused, held, handed over.
    pub fn cancel(&mut self, partition: &P) {
        if let Some((since_ms, _)) = self.asked.remove(partition) {
            self.waiting.remove(&(since_ms, partition.clone()));
        }
    }

    /// The next that may fetch. Call until it gives none; again after each return.
    pub fn grant(&mut self) -> Option<Grant<P>> {
        let free = self.total.saturating_sub(self.used);
        // The first in the queue waits for its least, and nobody overtakes it: small ones would
        // keep it waiting for ever.
        if free < FETCH_BYTES_MIN {
            return None;
        }
        let (_, partition) = self.waiting.pop_first()?;
        let (_, wanted) = self.asked.remove(&partition)?;
        let share = (self.total / SHARE_MAX).max(FETCH_BYTES_MIN);
        let bytes = wanted.clamp(FETCH_BYTES_MIN, share).min(free);
        self.hold(&partition, bytes);
        Some(Grant { partition, bytes })
    }

    /// The fetch of a grant ended with `actual` bytes, 0 if it failed. What was not needed is free
    /// again; what came too much is counted, and nothing is granted until it is worked off.
    pub fn settle(&mut self, grant: &Grant<P>, actual: u64) {
        if actual > grant.bytes {
            self.overdrawn += actual - grant.bytes;
            self.hold(&grant.partition, actual - grant.bytes);
        } else {
            self.give_back(&grant.partition, grant.bytes - actual);
        }
    }

    /// The target acknowledged `bytes` of the partition, or they were dropped.
    pub fn give_back(&mut self, partition: &P, bytes: u64) {
        let held = self.held.get_mut(partition);
        let before = held.as_deref().copied().unwrap_or(0);
        assert!(
            bytes <= before,
            "{bytes} bytes given back where {before} are held"
        );
        match held {
            Some(held) if bytes < before => *held -= bytes,
            Some(_) => drop(self.held.remove(partition)),
            None => {}
        }
        self.used -= bytes;
    }

    /// All that the partition holds is free again: its buffers are gone.
    pub fn drop_all(&mut self, partition: &P) {
        self.cancel(partition);
        self.used -= self.held.remove(partition).unwrap_or(0);
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// Never above `total` by more than [`Credits::overdrawn`] said in the meantime.
    pub fn used(&self) -> u64 {
        self.used
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Bytes that came beyond their grants, ever.
    pub fn overdrawn(&self) -> u64 {
        self.overdrawn
    }

    fn hold(&mut self, partition: &P, bytes: u64) {
        if bytes > 0 {
            *self.held.entry(partition.clone()).or_default() += bytes;
            self.used += bytes;
        }
    }
}
