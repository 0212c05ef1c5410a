//! What a leader checks before it appends (the rules of Kafka's `LogValidator` for magic 2).
//!
//! Owns: the rules, their order and texts, and the edits a broker makes to a batch.
//! Must not know: the log; offsets are assigned by the caller.
//! Invariants: nothing is accepted half; the bytes of the records are never copied, only the 61
//! bytes in front of them, unless the topic's codec asks for another compression.

use std::cell::RefCell;

use bytes::Bytes;
use isthmus_wire::batch::{
    BATCH_HEADER_LEN, BatchBuilder, BatchError, BatchHeader, BatchParams, BatchView, Compression,
    ControlRecordType, EndTransactionMarker, NO_TIMESTAMP, OffsetRule, RecordSummary, ScanRules,
    TimestampType, patch, scan_records, split_batches,
};
use isthmus_wire::compression::{CompressionError, Decompressor};

use crate::config::{AppendOrigin, AppendRules};
use crate::error::{AppendError, RecordError};
use crate::producers::ControlRecord;

/// The most that the records of one batch may decompress to: the largest message setting times a
/// ratio no honest producer reaches; beyond it the batch is refused as damaged.
const DECOMPRESSED_BYTES_MAX: usize = 256 << 20;
/// Kafka shows only the first records of a refused batch in its text, all in the answer; ours has a
/// bound because an error is larger than the record it names.
const RECORD_ERRORS_MAX: usize = 1000;

thread_local! {
    // One per worker thread, as its buffers are large and a log is small.
    static DECOMPRESSOR: RefCell<Decompressor> = RefCell::new(Decompressor::new());
}

/// A batch ready to be written once offsets are assigned.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) header: BatchHeader,
    /// The header's bytes, to be edited.
    pub(crate) head: [u8; BATCH_HEADER_LEN],
    /// The whole batch as it came; its first 61 bytes are replaced by `head`.
    pub(crate) batch: Bytes,
    pub(crate) control: Option<ControlRecord>,
}

impl Prepared {
    fn new(view: &BatchView) -> Prepared {
        let mut head = [0; BATCH_HEADER_LEN];
        head.copy_from_slice(&view.bytes()[..BATCH_HEADER_LEN]);
        Prepared {
            header: view.header().clone(),
            head,
            batch: view.bytes().clone(),
            control: None,
        }
    }

    /// The bytes after the header.
    pub(crate) fn records(&self) -> &[u8] {
        &self.batch[BATCH_HEADER_LEN..]
    }

    pub(crate) fn assign(&mut self, base_offset: i64, leader_epoch: i32) {
        let offset = patch::set_base_offset(&mut self.head, base_offset);
        let epoch = patch::set_partition_leader_epoch(&mut self.head, leader_epoch);
        self.reparse(offset.and(epoch));
    }

    fn reparse(&mut self, edited: Result<(), BatchError>) {
        match edited.and_then(|()| BatchHeader::parse(&self.head)) {
            Ok(header) => self.header = header,
            Err(error) => panic!("edited header of a checked batch: {error}"),
        }
    }
}

/// Checks all batches of one append and edits their headers; offsets are still the producer's.
pub(crate) fn validate(
    records: &Bytes,
    origin: AppendOrigin,
    rules: &AppendRules,
    segment_bytes: u32,
    now_ms: i64,
) -> Result<Vec<Prepared>, AppendError> {
    let views = split(records, origin)?;
    let mut prepared = Vec::with_capacity(views.len());
    for view in &views {
        check_size(view, rules)?;
        view.verify_crc().map_err(AppendError::CorruptRecord)?;
        check_header(view.header(), origin)?;
        prepared.push(check_batch(view, rules, now_ms)?);
    }
    let size: usize = prepared
        .iter()
        .map(|batch| batch.header.size_in_bytes())
        .sum();
    let max = segment_bytes as usize;
    if size > max {
        return Err(AppendError::RecordListTooLarge { size, max });
    }
    Ok(prepared)
}

fn split(records: &Bytes, origin: AppendOrigin) -> Result<Vec<BatchView>, AppendError> {
    let mut batches = split_batches(records);
    let mut views = Vec::new();
    for view in batches.by_ref() {
        views.push(view.map_err(of_header)?);
    }
    if batches.remaining() > 0 {
        let available = batches.remaining();
        return Err(of_header(BatchError::TooShort {
            needed: BATCH_HEADER_LEN,
            available,
        }));
    }
    match (views.len(), origin) {
        (0, _) => Err(invalid(
            "a produce request must have one batch per partition, this has none",
        )),
        (1, _) | (_, AppendOrigin::Coordinator) => Ok(views),
        (count, AppendOrigin::Client) => Err(AppendError::InvalidRecord(format!(
            "a produce request must have one batch per partition, this has {count}"
        ))),
    }
}

fn of_header(error: BatchError) -> AppendError {
    match error {
        BatchError::UnsupportedMagic(magic) => AppendError::UnsupportedForMessageFormat(magic),
        BatchError::InvalidOffsets { .. } | BatchError::InvalidCount { .. } => {
            AppendError::InvalidRecord(error.to_string())
        }
        BatchError::TooShort { .. }
        | BatchError::InvalidLength(_)
        | BatchError::LengthMismatch { .. }
        | BatchError::WrongCrc { .. }
        | BatchError::TrailingBytes(_)
        | BatchError::Record { .. }
        | BatchError::Compression(_) => AppendError::CorruptRecord(error),
    }
}

fn check_size(view: &BatchView, rules: &AppendRules) -> Result<(), AppendError> {
    let (size, max) = (view.bytes().len(), rules.max_message_bytes);
    if size > max {
        return Err(AppendError::RecordTooLarge { size, max });
    }
    Ok(())
}

fn check_header(header: &BatchHeader, origin: AppendOrigin) -> Result<(), AppendError> {
    match origin {
        AppendOrigin::Client => {}
        AppendOrigin::Coordinator => return Ok(()),
    }
    if header.base_offset != 0 {
        let text = format!(
            "the base offset of a produced batch is 0, not {}",
            header.base_offset
        );
        return Err(AppendError::InvalidRecord(text));
    }
    if header.is_control() {
        return Err(invalid("clients may not write control records"));
    }
    if header.records_count == 0 || header.records_count - 1 != header.last_offset_delta {
        return Err(AppendError::InvalidRecord(format!(
            "{} records with a last offset delta of {}",
            header.records_count, header.last_offset_delta
        )));
    }
    if header.has_producer_id() && header.base_sequence < 0 {
        return Err(invalid("a producer id without a sequence"));
    }
    if header.is_transactional() && !header.has_producer_id() {
        return Err(invalid("a transactional batch without a producer id"));
    }
    if header.attributes.has_delete_horizon() {
        return Err(invalid("a delete horizon is for the broker to set"));
    }
    Ok(())
}

fn check_batch(
    view: &BatchView,
    rules: &AppendRules,
    now_ms: i64,
) -> Result<Prepared, AppendError> {
    let header = view.header();
    let codec = header.compression().map_err(|error| match error {
        CompressionError::UnknownCodec(id) => AppendError::UnsupportedCompressionType(id),
        other => AppendError::CorruptRecord(other.into()),
    })?;
    let mut prepared = Prepared::new(view);
    if header.is_control() {
        prepared.control = read_control(view)?;
        return Ok(prepared);
    }
    if header.timestamp_type() == TimestampType::LogAppendTime {
        let text = "a producer may not set the timestamp type LogAppendTime";
        return Err(AppendError::InvalidTimestamp(text.to_owned()));
    }
    let max_timestamp = check_records(view, rules, now_ms)?;
    let target = rules.compression_type.unwrap_or(codec);
    if target != codec {
        prepared = recompress(view, target, rules)?;
        if prepared.batch.len() > rules.max_message_bytes {
            let (size, max) = (prepared.batch.len(), rules.max_message_bytes);
            return Err(AppendError::RecordTooLarge { size, max });
        }
    }
    let edited = match rules.timestamp_type {
        TimestampType::LogAppendTime => patch::set_log_append_time(&mut prepared.head, now_ms),
        TimestampType::CreateTime if prepared.header.max_timestamp != max_timestamp => {
            patch::set_max_timestamp(&mut prepared.head, max_timestamp)
        }
        TimestampType::CreateTime => Ok(()),
    };
    prepared.reparse(edited);
    Ok(prepared)
}

/// Reads through the records once; returns their largest timestamp.
fn check_records(view: &BatchView, rules: &AppendRules, now_ms: i64) -> Result<i64, AppendError> {
    let mut refused = Refused::default();
    let scan = ScanRules {
        offsets: OffsetRule::Consecutive,
        decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
    };
    let summary = DECOMPRESSOR.with_borrow_mut(|decompressor| {
        scan_records(view, scan, decompressor, |record| {
            refused.check(&record, rules, now_ms);
        })
    });
    let summary = summary.map_err(|error| match error {
        BatchError::Record { index, error } => AppendError::InvalidRecords {
            errors: vec![RecordError {
                batch_index: i32::try_from(index).unwrap_or(i32::MAX),
                message: error.to_string(),
            }],
            invalid_timestamp: false,
        },
        other => of_header(other),
    })?;
    refused.into_result()?;
    Ok(summary.max_timestamp)
}

#[derive(Debug, Default)]
struct Refused {
    errors: Vec<RecordError>,
    /// The first refused record decides the code of the answer, as in Kafka.
    first_is_timestamp: bool,
}

impl Refused {
    fn check(&mut self, record: &RecordSummary, rules: &AppendRules, now_ms: i64) {
        if rules.compacted && !record.has_key {
            let text = "Compacted topic cannot accept message without key".to_owned();
            self.add(record.offset_delta, text, false);
        } else if let Some(text) = timestamp_fault(record.timestamp, rules, now_ms) {
            self.add(record.offset_delta, text, true);
        }
    }

    fn add(&mut self, batch_index: i32, message: String, is_timestamp: bool) {
        if self.errors.is_empty() {
            self.first_is_timestamp = is_timestamp;
        }
        if self.errors.len() < RECORD_ERRORS_MAX {
            self.errors.push(RecordError {
                batch_index,
                message,
            });
        }
    }

    fn into_result(self) -> Result<(), AppendError> {
        if self.errors.is_empty() {
            return Ok(());
        }
        let invalid_timestamp = self.first_is_timestamp;
        Err(AppendError::InvalidRecords {
            errors: self.errors,
            invalid_timestamp,
        })
    }
}

fn timestamp_fault(timestamp: i64, rules: &AppendRules, now_ms: i64) -> Option<String> {
    if rules.timestamp_type == TimestampType::LogAppendTime || timestamp == NO_TIMESTAMP {
        return None;
    }
    let is_old = now_ms.saturating_sub(timestamp) > rules.timestamp_before_max_ms;
    let is_new = timestamp.saturating_sub(now_ms) > rules.timestamp_after_max_ms;
    (is_old || is_new).then(|| {
        format!(
            "timestamp {timestamp} is not within {} ms before and {} ms after {now_ms}",
            rules.timestamp_before_max_ms, rules.timestamp_after_max_ms
        )
    })
}

/// The marker of a control batch that ends a transaction; other kinds have none.
pub(crate) fn read_control(view: &BatchView) -> Result<Option<ControlRecord>, AppendError> {
    let mut records = view
        .records(DECOMPRESSED_BYTES_MAX)
        .map_err(AppendError::CorruptRecord)?;
    let Some(record) = records
        .next()
        .transpose()
        .map_err(AppendError::CorruptRecord)?
    else {
        return Ok(None);
    };
    let control_type = record.key.as_deref().and_then(ControlRecordType::from_key);
    match control_type {
        Some(control_type @ (ControlRecordType::Abort | ControlRecordType::Commit)) => {
            let marker = record
                .value
                .as_deref()
                .and_then(EndTransactionMarker::decode);
            let marker = marker.ok_or_else(|| invalid("a transaction marker without its value"))?;
            Ok(Some(ControlRecord {
                control_type,
                marker,
                timestamp: record.timestamp,
            }))
        }
        Some(
            ControlRecordType::LeaderChange
            | ControlRecordType::SnapshotHeader
            | ControlRecordType::SnapshotFooter
            | ControlRecordType::KraftVersion
            | ControlRecordType::KraftVoters,
        )
        | None => Ok(None),
    }
}

fn recompress(
    view: &BatchView,
    target: Compression,
    rules: &AppendRules,
) -> Result<Prepared, AppendError> {
    let header = view.header();
    let mut builder = BatchBuilder::new(BatchParams {
        base_offset: header.base_offset,
        compression: target,
        compression_level: rules.compression_level,
        timestamp_type: header.timestamp_type(),
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        transactional: header.is_transactional(),
        control: false,
        ..BatchParams::default()
    });
    for record in view
        .records(DECOMPRESSED_BYTES_MAX)
        .map_err(AppendError::CorruptRecord)?
    {
        let record = record.map_err(AppendError::CorruptRecord)?;
        builder
            .append_record(&record)
            .map_err(|error| AppendError::InvalidRecord(error.to_string()))?;
    }
    let batch = builder
        .finish()
        .map_err(|error| AppendError::InvalidRecord(error.to_string()))?;
    let view = BatchView::new(batch).map_err(AppendError::CorruptRecord)?;
    Ok(Prepared::new(&view))
}

fn invalid(text: &str) -> AppendError {
    AppendError::InvalidRecord(text.to_owned())
}
