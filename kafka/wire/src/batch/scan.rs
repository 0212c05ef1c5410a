//! The fast pass over the records of a batch: everything checked, nothing allocated per record.
//! A leader runs it on every produce.

use super::varint::Cursor;
use super::{BatchError, BatchHeader, BatchView, NO_TIMESTAMP, RecordError, RecordRef};
use crate::compression::Decompressor;

/// What the offset deltas of a batch must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetRule {
    /// 0, 1, 2 … up to the last offset delta, and at least one record: a client's produce. The
    /// unused attribute bits of records must be 0.
    Consecutive,
    /// Growing and within the last offset delta: what compaction leaves and followers copy, also
    /// no record at all.
    Increasing,
}

#[derive(Clone, Copy, Debug)]
pub struct ScanRules {
    pub offsets: OffsetRule,
    /// What the records of a batch may be decompressed to. No limit for uncompressed ones, whose
    /// bytes are here already.
    pub decompressed_bytes_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSummary {
    pub offset_delta: i32,
    /// The append time of the batch if it has one.
    pub timestamp: i64,
    pub has_key: bool,
    /// False for a tombstone.
    pub has_value: bool,
    /// Uncompressed, with the length in front.
    pub size: usize,
}

/// What a scan found over all records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanSummary {
    pub records: u32,
    /// Of all records, uncompressed.
    pub records_bytes: usize,
    /// [`NO_TIMESTAMP`] without records.
    pub max_timestamp: i64,
    /// Of the first record that has it; 0 without records.
    pub offset_delta_of_max_timestamp: i32,
}

/// Checks the records of a batch and reports each of them.
pub fn scan_records(
    view: &BatchView,
    rules: ScanRules,
    decompressor: &mut Decompressor,
    mut visit: impl FnMut(RecordSummary),
) -> Result<ScanSummary, BatchError> {
    let header = view.header();
    let mut found = ScanSummary {
        records: 0,
        records_bytes: 0,
        max_timestamp: NO_TIMESTAMP,
        offset_delta_of_max_timestamp: 0,
    };
    for_each_record(view, rules, decompressor, |record| {
        let timestamp = header.timestamp(record.timestamp_delta);
        if found.records == 0 || timestamp > found.max_timestamp {
            found.max_timestamp = timestamp;
            found.offset_delta_of_max_timestamp = record.offset_delta;
        }
        found.records += 1;
        found.records_bytes += record.size;
        visit(RecordSummary {
            offset_delta: record.offset_delta,
            timestamp,
            has_key: record.key.is_some(),
            has_value: record.value.is_some(),
            size: record.size,
        });
    })?;
    Ok(found)
}

/// The same checks with the whole record in sight, for those who need keys (compaction) or
/// values. A record is reported before those behind it are checked.
pub fn for_each_record(
    view: &BatchView,
    rules: ScanRules,
    decompressor: &mut Decompressor,
    mut visit: impl FnMut(&RecordRef<'_>),
) -> Result<(), BatchError> {
    let mut offsets = OffsetCheck::new(rules.offsets, view.header())?;
    let stored = &view.bytes()[super::BATCH_HEADER_LEN..];
    let codec = view.records_codec()?;
    let limit = match codec {
        super::Compression::None => usize::MAX,
        _ => rules.decompressed_bytes_max,
    };
    let mut cursor = Cursor::new(decompressor.decompress(codec, stored, limit)?);
    while !offsets.is_complete() {
        let record = RecordRef::read(&mut cursor).map_err(|error| error.at(offsets.index()))?;
        offsets.check(&record)?;
        visit(&record);
    }
    match cursor.remaining() {
        0 => Ok(()),
        more => Err(BatchError::TrailingBytes(more)),
    }
}

/// Follows the offsets of the records of one batch.
#[derive(Clone, Debug)]
pub(super) struct OffsetCheck {
    rule: OffsetRule,
    count: u32,
    last: i32,
    index: u32,
    previous: i32,
}

impl OffsetCheck {
    pub(super) fn new(rule: OffsetRule, header: &BatchHeader) -> Result<Self, BatchError> {
        let invalid = BatchError::InvalidCount {
            count: header.records_count,
            last_offset_delta: header.last_offset_delta,
        };
        let count = match u32::try_from(header.records_count) {
            Ok(count) => count,
            Err(_) => return Err(invalid),
        };
        // LogValidator's "inconsistent batch offset range" and "invalid reported count".
        if rule == OffsetRule::Consecutive
            && i64::from(count) != i64::from(header.last_offset_delta) + 1
        {
            return Err(invalid);
        }
        Ok(Self {
            rule,
            count,
            last: header.last_offset_delta,
            index: 0,
            previous: -1,
        })
    }

    #[inline]
    pub(super) fn is_complete(&self) -> bool {
        self.index == self.count
    }

    #[inline]
    pub(super) fn index(&self) -> u32 {
        self.index
    }

    #[inline]
    pub(super) fn check(&mut self, record: &RecordRef<'_>) -> Result<(), BatchError> {
        let accepted = match self.rule {
            OffsetRule::Consecutive => {
                record.offset_delta as u32 == self.index && record.attributes == 0
            }
            OffsetRule::Increasing => {
                record.offset_delta > self.previous && record.offset_delta <= self.last
            }
        };
        if !accepted {
            return Err(self.refusal(record).at(self.index));
        }
        self.previous = record.offset_delta;
        self.index += 1;
        Ok(())
    }

    #[cold]
    fn refusal(&self, record: &RecordRef<'_>) -> RecordError {
        let found = record.offset_delta;
        match self.rule {
            OffsetRule::Consecutive if record.attributes != 0 => {
                RecordError::ReservedAttributes(record.attributes)
            }
            OffsetRule::Consecutive => RecordError::OffsetNotConsecutive {
                found,
                expected: self.previous + 1,
            },
            OffsetRule::Increasing if found <= self.previous => RecordError::OffsetNotIncreasing {
                found,
                previous: self.previous,
            },
            OffsetRule::Increasing => RecordError::OffsetBeyondLast {
                found,
                last: self.last,
            },
        }
    }
}
