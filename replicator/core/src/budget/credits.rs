//! One byte budget for all partitions, granted earliest recovery point first.
//!
//! A partition asks for the next fetch, gets a grant, and gives bytes back as the target
//! acknowledges them. Among those that wait the one whose oldest uncopied record is the oldest goes
//! first; copying moves it back in the queue, so partitions that are equally late share evenly and
//! none starves. A grant is never larger than a fixed share of the budget, so that one slow
//! partition cannot take all of it at once.
//!
//! What was fetched for a target that is away stays in memory until it is back. So a part of the budget
//! is kept for each target, and no other can take it: one that is away holds up only its own flows.

use std::collections::{BTreeMap, BTreeSet};

/// Less than this is not worth a round trip; also the least that is ever granted. A quarter of
/// `max.partition.fetch.bytes`' default: a budget of 64 MiB still feeds 256 partitions at a time.
pub const FETCH_BYTES_MIN: u64 = 256 * 1024;

/// One grant is at most this part of the budget.
const SHARE_MAX: u64 = 4;

/// The parts kept for the targets make up this part of the budget; the rest goes to whoever is first.
const KEPT: u64 = 2;

/// A partition may fetch this much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant<P> {
    pub partition: P,
    pub bytes: u64,
}

/// Invariants: what is held sums up to `used`, and to `used_by` of each target; a partition either waits or holds a grant that is
/// not settled, or neither, never both.
#[derive(Clone, Debug)]
pub struct Credits<P> {
    total: u64,
    used: u64,
    /// By target.
    used_by: Vec<u64>,
    waiting: BTreeSet<(i64, P)>,
    asked: BTreeMap<P, Asked>,
    held: BTreeMap<P, Held>,
    /// Answers larger than their grant, as Kafka gives when the first batch alone is larger.
    overdrawn: u64,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    since_ms: i64,
    bytes: u64,
    target: usize,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    bytes: u64,
    target: usize,
}

impl<P: Ord + Clone> Credits<P> {
    /// `total` is `daemon.memory` without what the process needs otherwise; targets are numbered
    /// from 0.
    pub fn new(total: u64, targets: usize) -> Self {
        Self {
            total: total.max(FETCH_BYTES_MIN),
            used: 0,
            used_by: vec![0; targets.max(1)],
            waiting: BTreeSet::new(),
            asked: BTreeMap::new(),
            held: BTreeMap::new(),
            overdrawn: 0,
        }
    }

    /// The partition wants to fetch `bytes` for a target, always the same one; its oldest uncopied
    /// record is of `since_ms`. Asking again replaces what was asked.
    pub fn ask(&mut self, partition: P, target: usize, since_ms: i64, bytes: u64) {
        assert!(target < self.used_by.len(), "there is no target {target}");
        self.cancel(&partition);
        self.waiting.insert((since_ms, partition.clone()));
        let asked = Asked {
            since_ms,
            bytes,
            target,
        };
        self.asked.insert(partition, asked);
    }

    /// It no longer wants to: paused, held, handed over.
    pub fn cancel(&mut self, partition: &P) {
        if let Some(asked) = self.asked.remove(partition) {
            self.waiting.remove(&(asked.since_ms, partition.clone()));
        }
    }

    /// The next that may fetch. Call until it gives none; again after each return.
    pub fn grant(&mut self) -> Option<Grant<P>> {
        let targets = 0..self.used_by.len();
        let free: Vec<u64> = targets.map(|target| self.free_for(target)).collect();
        // The first of a target waits for its least, and nobody with the same target overtakes it:
        // small ones would keep it waiting for ever.
        if free.iter().all(|&free| free < FETCH_BYTES_MIN) {
            return None;
        }
        let mut waiting = self.waiting.iter();
        let (since_ms, partition, asked, free) = waiting.find_map(|(since_ms, partition)| {
            let asked = *self.asked.get(partition)?;
            let free = *free.get(asked.target)?;
            let fits = free >= FETCH_BYTES_MIN;
            fits.then(|| (*since_ms, partition.clone(), asked, free))
        })?;
        self.waiting.remove(&(since_ms, partition.clone()));
        self.asked.remove(&partition);
        let share = (self.total / SHARE_MAX).max(FETCH_BYTES_MIN);
        let bytes = asked.bytes.clamp(FETCH_BYTES_MIN, share).min(free);
        self.hold(&partition, asked.target, bytes);
        Some(Grant { partition, bytes })
    }

    /// What is free, without what is kept for the other targets and not taken by them.
    fn free_for(&self, target: usize) -> u64 {
        let others = self.used_by.iter().enumerate();
        let others = others.filter(|(other, _)| *other != target);
        let kept = self.kept_for_each();
        let kept: u64 = others.map(|(_, used)| kept.saturating_sub(*used)).sum();
        self.total.saturating_sub(self.used).saturating_sub(kept)
    }

    /// Enough for a fetch, unless there are so many targets that it cannot be.
    fn kept_for_each(&self) -> u64 {
        let targets = self.used_by.len() as u64;
        let kept = self.total / KEPT / targets;
        kept.max(FETCH_BYTES_MIN).min(self.total / targets)
    }

    /// The fetch of a grant ended with `actual` bytes, 0 if it failed. What was not needed is free
    /// again; what came too much is counted, and nothing is granted until it is worked off.
    pub fn settle(&mut self, grant: &Grant<P>, actual: u64) {
        if actual > grant.bytes {
            self.overdrawn += actual - grant.bytes;
            if let Some(held) = self.held.get(&grant.partition) {
                self.hold(&grant.partition, held.target, actual - grant.bytes);
            }
        } else {
            self.give_back(&grant.partition, grant.bytes - actual);
        }
    }

    /// The target acknowledged `bytes` of the partition, or they were dropped.
    pub fn give_back(&mut self, partition: &P, bytes: u64) {
        let held = self.held.get_mut(partition);
        let before = held.as_ref().map_or(0, |held| held.bytes);
        assert!(
            bytes <= before,
            "{bytes} bytes given back where {before} are held"
        );
        let Some(held) = held else {
            return;
        };
        held.bytes -= bytes;
        self.used_by[held.target] -= bytes;
        self.used -= bytes;
        if held.bytes == 0 {
            self.held.remove(partition);
        }
    }

    /// All that the partition holds is free again: its buffers are gone.
    pub fn drop_all(&mut self, partition: &P) {
        self.cancel(partition);
        if let Some(held) = self.held.remove(partition) {
            self.used_by[held.target] -= held.bytes;
            self.used -= held.bytes;
        }
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

    fn hold(&mut self, partition: &P, target: usize, bytes: u64) {
        if bytes > 0 {
            let held = self.held.entry(partition.clone());
            held.or_insert(Held { bytes: 0, target }).bytes += bytes;
            self.used_by[target] += bytes;
            self.used += bytes;
        }
    }
}
