//! The batches between a fetch and their acknowledgement, in order.
//!
//! Invariants: acknowledged batches leave at the front only; a batch that failed is sent again only
//! when no other is without an answer, so that order and sequences hold.

use std::collections::VecDeque;

use super::{Batch, BatchId};
use crate::lane::Producer;
use crate::names::SourceOffset;

/// Requests of one partition on their way to the target: what a broker remembers of an idempotent
/// producer (`max.in.flight.requests.per.connection` ≤ 5).
pub const IN_FLIGHT_MAX: usize = 5;

/// Batches of one partition that are fetched and not acknowledged; no further fetch above it.
pub const BATCHES_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Ready,
    Sent,
    /// Answered, though batches in front of it are not.
    Acked {
        base_offset: i64,
    },
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    batch: Batch,
    stage: Stage,
    /// Once given, a batch keeps its sequence: that is how a repeated one is known.
    producer: Option<Producer>,
    /// It may have been written without our knowing.
    in_doubt: bool,
    /// A batch in front of it was dropped: its answer is awaited and moves nothing.
    orphaned: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AckedBatch {
    pub(super) batch: Batch,
    /// Where the target put it.
    pub(super) base_offset: i64,
    pub(super) was_in_doubt: bool,
}

/// What was dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) ids: Vec<BatchId>,
    /// Records that may have been written without our knowing, or will be.
    pub(super) in_doubt: i64,
    /// Sequences that were given and will not be used in order.
    pub(super) lost_sequence: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    entries: VecDeque<Entry>,
    id: Option<(i64, i16)>,
    next_sequence: i32,
}

impl Window {
    /// A new producer: sequences begin anew, for batches that have none yet.
    pub(super) fn set_producer(&mut self, id: Option<(i64, i16)>) {
        self.id = id;
        self.next_sequence = 0;
    }

    /// With a sequence the same batch may be sent twice.
    pub(super) fn is_idempotent(&self) -> bool {
        self.id.is_some()
    }

    pub(super) fn producer(&self) -> Producer {
        self.id.map_or(Producer::NONE, |(id, epoch)| Producer {
            id,
            epoch,
            base_sequence: self.next_sequence,
        })
    }

    pub(super) fn push(&mut self, batch: Batch) {
        self.entries.push_back(Entry {
            batch,
            stage: Stage::Ready,
            producer: None,
            in_doubt: false,
            orphaned: false,
        });
    }

    /// The last batch's end moves on over what was skipped behind it; false without a batch.
    pub(super) fn extend(&mut self, next: SourceOffset) -> bool {
        let last = self.entries.back_mut();
        last.map(|entry| entry.batch.next = next).is_some()
    }

    /// The batches that may be sent now.
    pub(super) fn send(&mut self) -> Vec<(BatchId, Producer)> {
        let most = if self.id.is_some() { IN_FLIGHT_MAX } else { 1 };
        if self.has(Stage::Failed) {
            if self.has(Stage::Sent) {
                return vec![];
            }
            for entry in &mut self.entries {
                if entry.stage == Stage::Failed {
                    entry.stage = Stage::Ready;
                }
            }
        }
        let mut sent = vec![];
        for index in 0..self.entries.len().min(most) {
            if self.entries[index].stage == Stage::Ready {
                let producer = self.sequence(index);
                self.entries[index].stage = Stage::Sent;
                sent.push((self.entries[index].batch.id, producer));
            }
        }
        sent
    }

    fn sequence(&mut self, index: usize) -> Producer {
        let next = self.producer();
        let entry = &mut self.entries[index];
        let producer = *entry.producer.get_or_insert(next);
        if producer == next && self.id.is_some() {
            // After i32::MAX comes 0.
            let after = i64::from(next.base_sequence) + i64::from(entry.batch.count);
            self.next_sequence = (after % (i64::from(i32::MAX) + 1)) as i32;
        }
        producer
    }

    /// Notes an answer; false for a batch that is not waited for.
    pub(super) fn acked(&mut self, id: BatchId, base_offset: i64) -> bool {
        self.answer(id, Stage::Acked { base_offset })
    }

    pub(super) fn failed(&mut self, id: BatchId) -> bool {
        self.answer(id, Stage::Failed)
    }

    /// Nobody knows whether the batch was written; the records that come into doubt by that.
    pub(super) fn doubt(&mut self, id: BatchId) -> i64 {
        let entry = self.entries.iter_mut().find(|it| it.batch.id == id);
        let entry = entry.filter(|it| !it.in_doubt);
        entry.map_or(0, |entry| {
            entry.in_doubt = true;
            i64::from(entry.batch.count)
        })
    }

    /// The next acknowledged batch at the front.
    pub(super) fn pop_acked(&mut self) -> Option<AckedBatch> {
        match self.entries.front()?.stage {
            Stage::Acked { base_offset } => {
                let entry = self.entries.pop_front()?;
                Some(AckedBatch {
                    batch: entry.batch,
                    base_offset,
                    was_in_doubt: entry.in_doubt,
                })
            }
            Stage::Ready | Stage::Sent | Stage::Failed => None,
        }
    }

    /// Orphans that were answered; their bytes are free.
    pub(super) fn drop_orphans(&mut self) -> Vec<BatchId> {
        let is_done = |entry: &Entry| entry.orphaned && entry.stage != Stage::Sent;
        let done = self.entries.iter().filter(|entry| is_done(entry));
        let ids = done.map(|entry| entry.batch.id).collect();
        self.entries.retain(|entry| !is_done(entry));
        ids
    }

    pub(super) fn is_front(&self, id: BatchId) -> bool {
        self.entries
            .front()
            .is_some_and(|entry| entry.batch.id == id)
    }

    pub(super) fn is_orphan(&self, id: BatchId) -> bool {
        let mut orphans = self.entries.iter().filter(|entry| entry.orphaned);
        orphans.any(|entry| entry.batch.id == id)
    }

    /// Drops what is not on its way. What is, behind a dropped batch, becomes an orphan: to take its
    /// acknowledgement for progress would leave out the dropped one.
    pub(super) fn drop_unsent(&mut self) -> Dropped {
        let mut dropped = Dropped::default();
        for entry in &mut self.entries {
            let count = i64::from(entry.batch.count);
            match entry.stage {
                Stage::Ready | Stage::Failed => {
                    dropped.ids.push(entry.batch.id);
                    let comes_in_doubt = entry.producer.is_some() && !entry.in_doubt;
                    dropped.in_doubt += if comes_in_doubt { count } else { 0 };
                    dropped.lost_sequence |= entry.producer.is_some();
                }
                Stage::Sent | Stage::Acked { .. } if !dropped.ids.is_empty() && !entry.orphaned => {
                    entry.orphaned = true;
                    dropped.in_doubt += if entry.in_doubt { 0 } else { count };
                }
                Stage::Sent | Stage::Acked { .. } => {}
            }
        }
        let ids = &dropped.ids;
        self.entries.retain(|entry| !ids.contains(&entry.batch.id));
        dropped
    }

    /// Drops all: nobody waits for their answers any more.
    pub(super) fn drop_all(&mut self) -> Vec<BatchId> {
        self.entries.drain(..).map(|entry| entry.batch.id).collect()
    }

    /// No batch is without an answer.
    pub(super) fn is_settled(&self) -> bool {
        !self.has(Stage::Sent)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.entries.len() < BATCHES_MAX
    }

    fn has(&self, stage: Stage) -> bool {
        self.entries.iter().any(|entry| entry.stage == stage)
    }

    fn answer(&mut self, id: BatchId, stage: Stage) -> bool {
        let entry = self.entries.iter_mut();
        let entry = entry
            .filter(|it| it.stage == Stage::Sent)
            .find(|it| it.batch.id == id);
        entry.map(|entry| entry.stage = stage).is_some()
    }
}
