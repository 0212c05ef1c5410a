//! What becomes of one batch.
//!
//! Owns: which records stay, which batches stay without any, when a delete horizon is set.
//! Must not know: files, segments, indexes.
//! Invariants: a batch whose records all stay leaves as it came, byte for byte, unless a horizon has
//! to be written into it; a batch that is rewritten keeps its base offset, last offset, codec,
//! producer and sequence, so that offsets and idempotence do not notice.
//!
//! | record | stays |
//! |---|---|
//! | at or above the end of the cleaned part | yes |
//! | without key | no: a compacted log cannot place it |
//! | of an aborted transaction | no |
//! | an older offset of its key than the last | no |
//! | tombstone, the last of its key | until the delete horizon of its batch |
//! | marker of a transaction with data left | yes |
//! | marker of an empty transaction | until the delete horizon of its batch |
//!
//! The horizon (KIP-534) is the time of the first cleaning that met the tombstone or the empty
//! transaction, plus `delete.retention.ms`: bit 6 of the attributes, with the base timestamp as the
//! horizon and every record's delta counted from it.

use std::collections::BTreeMap;

use bytes::Bytes;
use isthmus_wire::batch::{
    BatchBuilder, BatchError, BatchHeader, BatchParams, BatchView, BuildError, OffsetRule,
    RecordRef, ScanRules, TimestampType, for_each_record,
};
use isthmus_wire::compression::Decompressor;

use super::offset_map::OffsetMap;
use super::transactions::Transactions;
use crate::error::AppendError;
use crate::index::AbortedTxn;
use crate::validate::read_control;

/// The most that the records of a batch may decompress to.
pub(super) const DECOMPRESSED_BYTES_MAX: usize = 256 << 20;

pub(super) const SCAN: ScanRules = ScanRules {
    offsets: OffsetRule::Increasing,
    decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
};

/// A batch that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBatch {
    #[error(transparent)]
    Read(#[from] BatchError),
    #[error(transparent)]
    Write(#[from] BuildError),
    #[error("not a marker: {0}")]
    Marker(String),
}

impl From<AppendError> for BadBatch {
    fn from(error: AppendError) -> Self {
        BadBatch::Marker(error.to_string())
    }
}

/// The last batch of a producer that may still come back; it carries the state to go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastOfProducer {
    /// The last offset of its last batch; `None`: only a marker tells of it.
    pub(super) data_offset: Option<i64>,
    /// The same of its last synced batch: after a crash that may be the last.
    pub(super) synced_offset: Option<i64>,
    pub(super) epoch: i16,
}

/// The rules of one cleaning.
#[derive(Debug)]
pub(super) struct Rules {
    /// Records from here on are not looked at.
    pub(super) end_offset: i64,
    pub(super) now_ms: i64,
    pub(super) delete_retention_ms: i64,
    pub(super) producers: BTreeMap<i64, LastOfProducer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    Replace(Bytes),
    Drop,
}

/// What was decided, and what the segment's transaction index has to tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) aborted: Option<AbortedTxn>,
    pub(super) keyless: u64,
}

/// Which records of a batch stay.
#[derive(Debug, Default)]
struct Selection {
    stays: Vec<bool>,
    kept: usize,
    has_tombstone: bool,
    keyless: u64,
}

#[derive(Debug)]
pub(super) struct Filter<'a> {
    pub(super) rules: &'a Rules,
    pub(super) map: &'a OffsetMap,
    pub(super) transactions: Transactions,
    pub(super) decompressor: Decompressor,
}

impl Filter<'_> {
    /// `is_last`: the segment would end short without it, and offsets would seem to be missing.
    pub(super) fn judge(&mut self, view: &BatchView, is_last: bool) -> Result<Judged, BadBatch> {
        let header = view.header();
        if header.is_control() {
            self.judge_control(view, is_last)
        } else {
            self.judge_data(view, is_last)
        }
    }

    fn judge_control(&mut self, view: &BatchView, is_last: bool) -> Result<Judged, BadBatch> {
        let header = view.header();
        let marker = read_control(view)?;
        let is_empty = header.records_count == 0;
        let kind = marker.map(|marker| marker.control_type);
        let seen = self.transactions.marker(header, kind, is_empty);
        let is_past = header
            .delete_horizon_ms()
            .is_some_and(|horizon| horizon <= self.rules.now_ms);
        let goes = seen.is_of_empty_txn && (is_past || is_empty);
        let verdict = if goes {
            self.without_records(header, is_last)?
        } else if seen.is_of_empty_txn && header.delete_horizon_ms().is_none() {
            let all = |_: usize| true;
            Verdict::Replace(rebuild(view, self.new_horizon(), all)?)
        } else {
            Verdict::Keep
        };
        Ok(Judged {
            verdict,
            aborted: seen.aborted,
            keyless: 0,
        })
    }

    fn judge_data(&mut self, view: &BatchView, is_last: bool) -> Result<Judged, BadBatch> {
        let header = view.header();
        let selection = if self.transactions.is_aborted(header) {
            Selection::default()
        } else {
            self.select(view)?
        };
        let has_new_tombstone = selection.has_tombstone && header.delete_horizon_ms().is_none();
        let is_whole = selection.kept > 0 && selection.kept == selection.stays.len();
        let verdict = if selection.kept == 0 {
            self.without_records(header, is_last)?
        } else if is_whole && !has_new_tombstone {
            Verdict::Keep
        } else {
            let horizon = if has_new_tombstone {
                self.new_horizon()
            } else {
                header.delete_horizon_ms()
            };
            let stays = |index: usize| selection.stays.get(index) == Some(&true);
            Verdict::Replace(rebuild(view, horizon, stays)?)
        };
        Ok(Judged {
            verdict,
            aborted: None,
            keyless: selection.keyless,
        })
    }

    fn select(&mut self, view: &BatchView) -> Result<Selection, BadBatch> {
        let header = view.header();
        let mut selection = Selection::default();
        let (rules, map) = (self.rules, self.map);
        for_each_record(view, SCAN, &mut self.decompressor, |record| {
            let stays = stays(rules, map, header, record);
            selection.stays.push(stays);
            selection.kept += usize::from(stays);
            selection.has_tombstone |= stays && record.value.is_none();
            selection.keyless += u64::from(record.key.is_none());
        })?;
        Ok(selection)
    }

    /// A batch without records stays where it tells of a producer's last sequence, or of the last
    /// offset of its segment.
    fn without_records(&self, header: &BatchHeader, is_last: bool) -> Result<Verdict, BadBatch> {
        if !is_last && !self.is_last_of_producer(header) {
            return Ok(Verdict::Drop);
        }
        if header.records_count == 0 {
            return Ok(Verdict::Keep);
        }
        let mut builder = BatchBuilder::new(params_of(header, None));
        builder.set_last_offset_delta(header.last_offset_delta);
        builder.set_max_timestamp(header.max_timestamp);
        Ok(Verdict::Replace(builder.finish()?))
    }

    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        if !header.has_producer_id() {
            return false;
        }
        let last = self.rules.producers.get(&header.producer_id);
        last.is_some_and(|last| match last.data_offset {
            Some(_) => [last.data_offset, last.synced_offset].contains(&Some(header.last_offset())),
            None => header.is_control() && header.producer_epoch == last.epoch,
        })
    }

    fn new_horizon(&self) -> Option<i64> {
        let rules = self.rules;
        Some(rules.now_ms.saturating_add(rules.delete_retention_ms))
    }
}

fn stays(rules: &Rules, map: &OffsetMap, header: &BatchHeader, record: &RecordRef<'_>) -> bool {
    let offset = header.base_offset + i64::from(record.offset_delta);
    if offset >= rules.end_offset {
        return true;
    }
    let Some(key) = record.key else {
        return false;
    };
    let is_latest = map.get(key).is_none_or(|latest| offset >= latest);
    let horizon = header.delete_horizon_ms();
    let is_readable = record.value.is_some() || horizon.is_none_or(|at| rules.now_ms < at);
    is_latest && is_readable
}

fn params_of(header: &BatchHeader, horizon_ms: Option<i64>) -> BatchParams {
    BatchParams {
        base_offset: header.base_offset,
        partition_leader_epoch: header.partition_leader_epoch,
        timestamp_type: header.timestamp_type(),
        delete_horizon_ms: horizon_ms,
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        transactional: header.is_transactional(),
        control: header.is_control(),
        ..BatchParams::default()
    }
}

/// The batch anew, with some of its records.
fn rebuild(
    view: &BatchView,
    horizon_ms: Option<i64>,
    stays: impl Fn(usize) -> bool,
) -> Result<Bytes, BadBatch> {
    let header = view.header();
    let mut builder = BatchBuilder::new(BatchParams {
        compression: header.compression().map_err(BatchError::from)?,
        ..params_of(header, horizon_ms)
    });
    for (index, record) in view.records(DECOMPRESSED_BYTES_MAX)?.enumerate() {
        let record = record?;
        if stays(index) {
            builder.append_record(&record)?;
        }
    }
    builder.set_last_offset_delta(header.last_offset_delta);
    if header.timestamp_type() == TimestampType::LogAppendTime {
        builder.set_max_timestamp(header.max_timestamp);
    }
    Ok(builder.finish()?)
}
