//! One file per feature; what they share stands here: arbitrary batches and how to read them.

mod builder;
mod damage;
mod edits;
mod fixtures;
mod header;

mod scan;
mod split;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::compression::Decompressor;

/// More than any batch here decompresses to.
const LIMIT: usize = 1 << 20;

fn hex(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0, "odd hex");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn view(batch: impl Into<Bytes>) -> BatchView {
    BatchView::new(batch.into()).unwrap()
}

fn records(view: &BatchView) -> Result<Vec<Record>, BatchError> {
    view.records(LIMIT)?.collect()
}

fn scan(
    view: &BatchView,
    offsets: OffsetRule,
) -> Result<(ScanSummary, Vec<RecordSummary>), BatchError> {
    let rules = ScanRules {
        offsets,
        decompressed_bytes_max: LIMIT,
    };
    let mut seen = vec![];
    let found = scan_records(view, rules, &mut Decompressor::new(), |record| {
        seen.push(record);
    })?;
    Ok((found, seen))
}

/// Makes the CRC right again after a change by hand.
fn reseal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// A batch of uncompressed records given byte by byte, with a right CRC.
fn batch_of(records_count: i32, last_offset_delta: i32, records: &[u8]) -> BatchView {
    let mut builder = BatchBuilder::new(BatchParams::default());
    builder.set_last_offset_delta(last_offset_delta);
    let mut batch = builder.finish().unwrap().to_vec();
    batch.extend_from_slice(records);
    let length = (batch.len() - LENGTH_PREFIX_LEN) as i32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[57..61].copy_from_slice(&records_count.to_be_bytes());
    reseal(&mut batch);
    view(batch)
}

fn build(params: &BatchParams, records: &[Record]) -> Bytes {
    let mut builder = BatchBuilder::new(params.clone());
    for record in records {
        builder.append_record(record).unwrap();
    }
    if records.is_empty() {
        builder.set_last_offset_delta(3);
    }
    builder.finish().unwrap()
}

fn any_params() -> impl Strategy<Value = BatchParams> {
    (
        (
            0..1_i64 << 60,
            any::<i32>(),
            proptest::sample::select(&Compression::ALL[..]),
        ),
        (any::<i64>(), any::<i16>(), any::<i32>()),
        (
            any::<bool>(),
            any::<bool>(),
            proptest::option::of(0..1_i64 << 50),
        ),
    )
        .prop_map(
            |(place, producer, (transactional, control, delete_horizon_ms))| BatchParams {
                base_offset: place.0,
                partition_leader_epoch: place.1,
                compression: place.2,
                compression_level: None,
                timestamp_type: TimestampType::CreateTime,
                delete_horizon_ms,
                producer_id: producer.0,
                producer_epoch: producer.1,
                base_sequence: producer.2,
                transactional,
                control,
            },
        )
}

fn any_bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(any::<u8>(), 60..300),
    ]
    .prop_map(Bytes::from)
}

fn any_header() -> impl Strategy<Value = RecordHeader> {
    (any_bytes(), proptest::option::of(any_bytes()))
        .prop_map(|(key, value)| RecordHeader { key, value })
}

/// Parameters and records that fit them; with gaps between the offsets if asked.
fn any_batch(gaps: bool) -> impl Strategy<Value = (BatchParams, Vec<Record>)> {
    let step = if gaps { 0..500_i64 } else { 0..1 };
    let record = (
        step,
        prop_oneof![-50..50_i64, any::<i64>()],
        proptest::option::of(any_bytes()),
        proptest::option::of(any_bytes()),
        prop::collection::vec(any_header(), 0..3),
    );
    (any_params(), prop::collection::vec(record, 0..20)).prop_map(|(params, drafts)| {
        let mut next = params.base_offset;
        let records = drafts
            .into_iter()
            .map(|(gap, timestamp, key, value, headers)| {
                let offset = next + gap;
                next = offset + 1;
                Record {
                    attributes: 0,
                    offset,
                    timestamp: 1_700_000_000_000_i64.wrapping_add(timestamp),
                    key,
                    value,
                    headers,
                }
            });
        let records = records.collect();
        (params, records)
    })
}
