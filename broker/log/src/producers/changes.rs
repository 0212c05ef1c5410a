//! Checks batches against the producers and collects what will be true once they are written.
//!
//! Owns: the rules of epochs, sequences and transactions.
//! Must not know: where batches come from, how they are stored.
//! Invariants: the state is read, never changed; a refused batch leaves no trace.
//!
//! | check | client | coordinator | replication |
//! |---|---|---|---|
//! | producer epoch not older | yes | yes | no |
//! | sequence follows | yes | no | no |
//! | no plain batch inside a transaction | yes | yes | no |
//! | coordinator epoch not older | – | yes | no |

use std::collections::BTreeMap;

use isthmus_wire::batch::{
    BatchHeader, ControlRecordType, EndTransactionMarker, NO_PRODUCER_EPOCH, NO_SEQUENCE,
};

use super::{BatchMetadata, CompletedTxn, ProducerEntry, ProducerState};
use crate::error::ProducerError;

/// Whose word a batch is, see the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckedBy {
    Client,
    Coordinator,
    /// The leader has checked it, or it was read back from disk.
    Replication,
}

/// The first record of a control batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ControlRecord {
    pub(crate) control_type: ControlRecordType,
    pub(crate) marker: EndTransactionMarker,
    pub(crate) timestamp: i64,
}

/// What becomes true when the checked batches are written.
#[derive(Debug, Default)]
pub(crate) struct ProducerChanges {
    pub(super) entries: BTreeMap<i64, ProducerEntry>,
    /// (first offset, producer id)
    pub(super) started: Vec<(i64, i64)>,
    pub(super) completed: Vec<CompletedTxn>,
}

impl ProducerChanges {
    /// Checks one batch, whose offsets are assigned, after those already in `self`. `control` is
    /// the end marker of a control batch; a control batch without one changes nothing.
    pub(crate) fn add(
        &mut self,
        state: &ProducerState,
        header: &BatchHeader,
        control: Option<ControlRecord>,
        checked_by: CheckedBy,
    ) -> Result<(), ProducerError> {
        if !header.has_producer_id() {
            return Ok(());
        }
        match (header.is_control(), control) {
            (false, _) => self.add_data(state, header, checked_by),
            (true, Some(control)) => self.add_marker(state, header, control, checked_by),
            (true, None) => Ok(()),
        }
    }

    fn add_data(
        &mut self,
        state: &ProducerState,
        header: &BatchHeader,
        checked_by: CheckedBy,
    ) -> Result<(), ProducerError> {
        let producer_id = header.producer_id;
        let entry = self.entry(state, producer_id);
        match checked_by {
            CheckedBy::Client => {
                check_epoch(entry, header)?;
                check_sequence(entry, header)?;
                check_transaction(entry, header)?;
            }
            CheckedBy::Coordinator => {
                check_epoch(entry, header)?;
                check_transaction(entry, header)?;
            }
            CheckedBy::Replication => {}
        }
        entry.enter_epoch(header.producer_epoch);
        entry.remember(BatchMetadata::of(header));
        entry.last_timestamp = header.max_timestamp;
        if header.is_transactional() && entry.txn_first_offset.is_none() {
            entry.txn_first_offset = Some(header.base_offset);
            self.started.push((header.base_offset, producer_id));
        }
        Ok(())
    }

    fn add_marker(
        &mut self,
        state: &ProducerState,
        header: &BatchHeader,
        control: ControlRecord,
        checked_by: CheckedBy,
    ) -> Result<(), ProducerError> {
        let producer_id = header.producer_id;
        let entry = self.entry(state, producer_id);
        match checked_by {
            CheckedBy::Client | CheckedBy::Coordinator => {
                check_epoch(entry, header)?;
                check_coordinator(entry, producer_id, control.marker)?;
            }
            CheckedBy::Replication => {}
        }
        entry.enter_epoch(header.producer_epoch);
        entry.coordinator_epoch = control.marker.coordinator_epoch;
        entry.last_timestamp = control.timestamp;
        // A transaction that wrote nothing here has nothing to decide.
        if let Some(first_offset) = entry.txn_first_offset.take() {
            self.completed.push(CompletedTxn {
                producer_id,
                first_offset,
                last_offset: header.base_offset,
                is_aborted: control.control_type == ControlRecordType::Abort,
            });
        }
        Ok(())
    }

    fn entry(&mut self, state: &ProducerState, producer_id: i64) -> &mut ProducerEntry {
        self.entries.entry(producer_id).or_insert_with(|| {
            state
                .get(producer_id)
                .cloned()
                .unwrap_or_else(ProducerEntry::unknown)
        })
    }
}

fn check_epoch(entry: &ProducerEntry, header: &BatchHeader) -> Result<(), ProducerError> {
    if header.producer_epoch < entry.epoch {
        return Err(ProducerError::InvalidProducerEpoch {
            producer_id: header.producer_id,
            found: header.producer_epoch,
            current: entry.epoch,
        });
    }
    Ok(())
}

fn check_sequence(entry: &ProducerEntry, header: &BatchHeader) -> Result<(), ProducerError> {
    // A producer of whom nothing is known may start anywhere: retention may have removed all of it.
    if entry.epoch == NO_PRODUCER_EPOCH {
        return Ok(());
    }
    let last = if header.producer_epoch == entry.epoch {
        entry.last_sequence()
    } else {
        NO_SEQUENCE
    };
    let expected = if last == i32::MAX { 0 } else { last + 1 };
    if header.base_sequence == expected {
        return Ok(());
    }
    Err(ProducerError::OutOfOrderSequence {
        producer_id: header.producer_id,
        found: header.base_sequence,
        expected,
    })
}

fn check_transaction(entry: &ProducerEntry, header: &BatchHeader) -> Result<(), ProducerError> {
    if entry.txn_first_offset.is_some() && !header.is_transactional() {
        return Err(ProducerError::InvalidTxnState {
            producer_id: header.producer_id,
        });
    }
    Ok(())
}

fn check_coordinator(
    entry: &ProducerEntry,
    producer_id: i64,
    marker: EndTransactionMarker,
) -> Result<(), ProducerError> {
    if marker.coordinator_epoch < entry.coordinator_epoch {
        return Err(ProducerError::TransactionCoordinatorFenced {
            producer_id,
            found: marker.coordinator_epoch,
            current: entry.coordinator_epoch,
        });
    }
    Ok(())
}
