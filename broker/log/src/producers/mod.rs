//! What a partition remembers of its producers: sequences for idempotence, open transactions.
//!
//! Owns: the entries, their expiry, the open and the not yet replicated transactions.
//! Must not know: files (snapshots are `snapshot`'s), segments.
//! Invariants: at most [`BATCHES_REMEMBERED`] batches per producer, of one epoch, in offset order;
//! a producer has at most one open transaction; nothing changes before its batch is written.

mod changes;
mod snapshot;

use std::collections::BTreeMap;

use isthmus_wire::batch::{BatchHeader, NO_PRODUCER_EPOCH, NO_SEQUENCE, NO_TIMESTAMP};

use crate::index::AbortedTxn;

pub(crate) use changes::{CheckedBy, ControlRecord, ProducerChanges};
pub(crate) use snapshot::{decode_snapshot, encode_snapshot};

/// As many as a producer may have in flight (`max.in.flight.requests.per.connection`).
const BATCHES_REMEMBERED: usize = 5;
/// No coordinator has written a marker yet.
const NO_COORDINATOR_EPOCH: i32 = -1;

/// A batch that was appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BatchMetadata {
    pub(crate) last_sequence: i32,
    pub(crate) last_offset: i64,
    pub(crate) offset_delta: i32,
    pub(crate) timestamp: i64,
}

impl BatchMetadata {
    fn of(header: &BatchHeader) -> Self {
        Self {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        }
    }

    pub(crate) fn first_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }

    fn first_sequence(&self) -> i32 {
        let first = i64::from(self.last_sequence) - i64::from(self.offset_delta);
        let wrapped = first.rem_euclid(i64::from(i32::MAX) + 1);
        i32::try_from(wrapped).unwrap_or(i32::MAX)
    }
}

/// One producer; the state as of its last batch or marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProducerEntry {
    pub(crate) epoch: i16,
    pub(crate) coordinator_epoch: i32,
    pub(crate) last_timestamp: i64,
    pub(crate) txn_first_offset: Option<i64>,
    batches: [BatchMetadata; BATCHES_REMEMBERED],
    batches_len: u8,
}

impl ProducerEntry {
    fn unknown() -> ProducerEntry {
        ProducerEntry {
            epoch: NO_PRODUCER_EPOCH,
            coordinator_epoch: NO_COORDINATOR_EPOCH,
            last_timestamp: NO_TIMESTAMP,
            txn_first_offset: None,
            batches: [BatchMetadata::default(); BATCHES_REMEMBERED],
            batches_len: 0,
        }
    }

    pub(crate) fn batches(&self) -> &[BatchMetadata] {
        &self.batches[..usize::from(self.batches_len)]
    }

    fn last_sequence(&self) -> i32 {
        self.batches()
            .last()
            .map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    /// A new epoch starts its sequences anew.
    fn enter_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches_len = 0;
        }
    }

    fn remember(&mut self, batch: BatchMetadata) {
        if usize::from(self.batches_len) == BATCHES_REMEMBERED {
            self.batches.rotate_left(1);
            self.batches_len -= 1;
        }
        self.batches[usize::from(self.batches_len)] = batch;
        self.batches_len += 1;
    }

    /// Batches from before those that are known, the newest first; of the same epoch, or they say nothing.
    fn recall(&mut self, earlier: &[BatchMetadata]) {
        let known = self.batches().to_vec();
        let room = BATCHES_REMEMBERED - known.len();
        let earlier = earlier.iter().take(room).rev().copied();
        self.batches_len = 0;
        for batch in earlier.chain(known) {
            self.remember(batch);
        }
    }

    /// An open transaction keeps its producer, however old.
    fn is_expired(&self, now_ms: i64, expiration_ms: i64) -> bool {
        self.txn_first_offset.is_none()
            && now_ms.saturating_sub(self.last_timestamp) >= expiration_ms
    }
}

/// A transaction that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CompletedTxn {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    /// The offset of the marker.
    pub(crate) last_offset: i64,
    pub(crate) is_aborted: bool,
}

/// A producer as `DescribeProducers` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub last_sequence: i32,
    pub last_timestamp: i64,
    pub coordinator_epoch: i32,
    /// The first offset of its open transaction.
    pub current_txn_start_offset: Option<i64>,
}

/// Batches before the one that a snapshot tells of, found from the newest to the oldest.
#[derive(Debug, Default)]
pub(crate) struct Recalled {
    /// By producer: its epoch, and what was found.
    of: BTreeMap<i64, (i16, Vec<BatchMetadata>)>,
}

impl Recalled {
    /// Nothing is missing that could be asked for.
    pub(crate) fn is_whole(&self) -> bool {
        let full = |found: &Vec<BatchMetadata>| found.len() + 1 >= BATCHES_REMEMBERED;
        self.of.values().all(|(_, found)| full(found))
    }

    /// The next older batch of any producer.
    pub(crate) fn add(&mut self, state: &ProducerState, header: &BatchHeader) {
        let Some((epoch, found)) = self.of.get_mut(&header.producer_id) else {
            return;
        };
        let known = state.get(header.producer_id);
        let oldest = known.and_then(|it| it.batches().first());
        let is_older = oldest.is_none_or(|it| header.last_offset() < it.first_offset());
        let is_of_epoch = header.producer_epoch == *epoch && !header.is_control();
        if is_older && is_of_epoch && found.len() + 1 < BATCHES_REMEMBERED {
            found.push(BatchMetadata::of(header));
        }
    }
}

/// All producers of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProducerState {
    // Boxed: an idle partition with one producer then costs little more than its entry.
    producers: BTreeMap<i64, Box<ProducerEntry>>,
    /// First offset → producer id.
    open_txns: BTreeMap<i64, i64>,
    /// First offset → offset of the marker, until the high watermark passes the marker.
    unreplicated_txns: BTreeMap<i64, i64>,
}

impl ProducerState {
    pub(crate) fn get(&self, producer_id: i64) -> Option<&ProducerEntry> {
        self.producers.get(&producer_id).map(|entry| &**entry)
    }

    pub(crate) fn entries(&self) -> impl ExactSizeIterator<Item = (i64, &ProducerEntry)> {
        self.producers.iter().map(|(id, entry)| (*id, &**entry))
    }

    /// The remembered batch with the same producer, epoch and sequences: a retry of it.
    pub(crate) fn duplicate_of(&self, header: &BatchHeader) -> Option<BatchMetadata> {
        let entry = self.get(header.producer_id)?;
        if entry.epoch != header.producer_epoch {
            return None;
        }
        let is_same = |batch: &&BatchMetadata| {
            batch.first_sequence() == header.base_sequence
                && batch.last_sequence == header.last_sequence()
        };
        entry.batches().iter().find(is_same).copied()
    }

    /// Takes over what was checked before the batches were written; returns the aborted
    /// transactions for the index.
    pub(crate) fn apply(&mut self, changes: ProducerChanges) -> Vec<AbortedTxn> {
        for (producer_id, entry) in changes.entries {
            self.producers.insert(producer_id, Box::new(entry));
        }
        self.open_txns.extend(changes.started);
        let mut aborted = Vec::new();
        for txn in changes.completed {
            if txn.is_aborted {
                aborted.push(AbortedTxn {
                    producer_id: txn.producer_id,
                    first_offset: txn.first_offset,
                    last_offset: txn.last_offset,
                    last_stable_offset: self.last_stable_offset_after(&txn),
                });
            }
            self.open_txns.remove(&txn.first_offset);
            self.unreplicated_txns
                .insert(txn.first_offset, txn.last_offset);
        }
        aborted
    }

    /// Where the last stable offset will be once `txn` is over.
    fn last_stable_offset_after(&self, txn: &CompletedTxn) -> i64 {
        let other = self
            .open_txns
            .iter()
            .find(|(_, producer_id)| **producer_id != txn.producer_id);
        other.map_or(txn.last_offset + 1, |(first_offset, _)| *first_offset)
    }

    /// The first offset that is not decided, or whose decision is not yet replicated.
    pub(crate) fn first_unstable_offset(&self) -> Option<i64> {
        let open = self.open_txns.keys().next();
        let unreplicated = self.unreplicated_txns.keys().next();
        open.into_iter().chain(unreplicated).min().copied()
    }

    /// Decisions below the high watermark are replicated.
    pub(crate) fn on_high_watermark(&mut self, high_watermark: i64) {
        self.unreplicated_txns
            .retain(|_, marker| *marker >= high_watermark);
    }

    /// What lies below the log start matters to no reader.
    pub(crate) fn on_log_start_offset(&mut self, log_start_offset: i64) {
        self.unreplicated_txns
            .retain(|_, marker| *marker >= log_start_offset);
    }

    /// Forgets producers that were silent for too long.
    pub(crate) fn expire(&mut self, now_ms: i64, expiration_ms: i64) -> usize {
        let before = self.producers.len();
        self.producers
            .retain(|_, entry| !entry.is_expired(now_ms, expiration_ms));
        before - self.producers.len()
    }

    pub(crate) fn active(&self) -> impl Iterator<Item = ActiveProducer> {
        self.entries().map(|(producer_id, entry)| ActiveProducer {
            producer_id,
            producer_epoch: entry.epoch,
            last_sequence: entry.last_sequence(),
            last_timestamp: entry.last_timestamp,
            coordinator_epoch: entry.coordinator_epoch,
            current_txn_start_offset: entry.txn_first_offset,
        })
    }

    /// Those out of a snapshot that wrote since `since_ms`, and of which earlier batches may be asked for again.
    pub(crate) fn forgetful(&self, since_ms: i64) -> Recalled {
        let recent = self
            .producers
            .iter()
            .filter(|(_, entry)| entry.last_timestamp >= since_ms && entry.batches_len == 1);
        Recalled {
            of: recent
                .map(|(id, entry)| (*id, (entry.epoch, Vec::new())))
                .collect(),
        }
    }

    /// Takes over what was found of them.
    pub(crate) fn recall(&mut self, recalled: Recalled) {
        for (producer_id, (_, earlier)) in recalled.of {
            if let Some(entry) = self.producers.get_mut(&producer_id) {
                entry.recall(&earlier);
            }
        }
    }

    /// A state out of a snapshot; producers that expired meanwhile are left out.
    pub(crate) fn restore(
        entries: Vec<(i64, ProducerEntry)>,
        now_ms: i64,
        expiration_ms: i64,
    ) -> ProducerState {
        let mut state = ProducerState::default();
        for (producer_id, entry) in entries {
            if entry.is_expired(now_ms, expiration_ms) {
                continue;
            }
            state
                .open_txns
                .extend(entry.txn_first_offset.map(|first| (first, producer_id)));
            state.producers.insert(producer_id, Box::new(entry));
        }
        state
    }
}
