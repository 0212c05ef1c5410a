//! Batches made anew from the records of others, so that the target takes them.
//!
//! Kept: timestamp, key, value, headers with their order and repetition, the codec where the target
//! takes it. Not kept: offsets (the target gives its own; the runs remember), the grouping into
//! batches, the codec's level.

use bytes::Bytes;
use isthmus_wire::batch::{
    BatchBuilder, BatchError, BatchParams, BatchView, BuildError, Compression, Record,
};
use isthmus_wire::compression::CompressionError;

use super::{LaneRules, Outgoing, Refusal, Refused, SourceRun, TargetLimits};
use crate::names::SourceOffset;

/// What came of it. Records before a refused one are in `batches`, those behind it are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    pub batches: Vec<Outgoing>,
    pub refused: Option<Refused>,
}

/// Rebuilds the records from `position` on of neighbouring batches.
pub fn rebuild(
    batches: &[BatchView],
    position: SourceOffset,
    limits: &TargetLimits,
    rules: &LaneRules,
) -> Rebuilt {
    let (records, mut refused) = read(batches, position, limits, rules);
    let mut rebuilt = Rebuilt::default();
    let codec = batches
        .first()
        .map_or(Compression::None, |batch| codec_for(batch, limits));
    if let Err(earlier) = build(&records, codec, limits, &mut rebuilt.batches) {
        refused = Some(earlier);
    }
    rebuilt.refused = refused;
    rebuilt
}

/// The records up to the first that the target would refuse.
fn read(
    batches: &[BatchView],
    position: SourceOffset,
    limits: &TargetLimits,
    rules: &LaneRules,
) -> (Vec<Record>, Option<Refused>) {
    let mut records = Vec::new();
    for batch in batches {
        let at = batch.header().base_offset.max(position.0);
        let all = match batch.records(rules.decompressed_bytes_max) {
            Ok(all) => all,
            Err(error) => return (records, Some(unreadable(at, &error))),
        };
        for record in all {
            match record {
                Ok(record) if record.offset < position.0 => {}
                Ok(record) if limits.compacted && record.key.is_none() => {
                    return (records, Some(Refused::at(record.offset, Refusal::NullKey)));
                }
                Ok(record) => records.push(record),
                Err(error) => {
                    // A batch is read or it is not: half of a damaged one proves nothing.
                    records.retain(|it| it.offset < batch.header().base_offset);
                    return (records, Some(unreadable(at, &error)));
                }
            }
        }
    }
    (records, None)
}

fn unreadable(offset: i64, error: &BatchError) -> Refused {
    let refusal = match error {
        BatchError::Compression(CompressionError::TooLarge { limit }) => {
            Refusal::Decompressed { max: *limit }
        }
        other => Refusal::Damaged(other.to_string()),
    };
    Refused::at(offset, refusal)
}

/// All records in one batch, or in two halves if that is too large: how far they compress shows
/// only when they are compressed.
fn build(
    records: &[Record],
    codec: Compression,
    limits: &TargetLimits,
    out: &mut Vec<Outgoing>,
) -> Result<(), Refused> {
    let Some(first) = records.first() else {
        return Ok(());
    };
    let damaged =
        |error: &dyn ToString| Refused::at(first.offset, Refusal::Damaged(error.to_string()));
    let batch = build_one(records, codec).map_err(|error| damaged(&error))?;
    if batch.len() <= limits.max_message_bytes {
        let batch = Outgoing::rebuilt(batch, runs(records)).map_err(|error| damaged(&error))?;
        out.push(batch);
        return Ok(());
    }
    if records.len() == 1 {
        let refusal = Refusal::RecordTooLarge {
            size: batch.len(),
            max: limits.max_message_bytes,
        };
        return Err(Refused::at(first.offset, refusal));
    }
    let (front, back) = records.split_at(records.len() / 2);
    build(front, codec, limits, out)?;
    build(back, codec, limits, out)
}

fn build_one(records: &[Record], codec: Compression) -> Result<Bytes, BuildError> {
    let mut builder = BatchBuilder::new(BatchParams {
        compression: codec,
        ..BatchParams::default()
    });
    for record in records {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder.append(record.timestamp, key, value, &record.headers)?;
    }
    builder.finish()
}

/// The source's codec; for zstd at an old target lz4, the nearest in speed.
fn codec_for(batch: &BatchView, limits: &TargetLimits) -> Compression {
    match batch.header().compression() {
        Ok(Compression::Zstd) if !limits.takes_zstd => Compression::Lz4,
        Ok(codec) => codec,
        // The choice of the lane refuses it first.
        Err(_) => Compression::None,
    }
}

fn runs(records: &[Record]) -> Vec<SourceRun> {
    let mut runs: Vec<SourceRun> = Vec::new();
    for record in records {
        match runs.last_mut() {
            Some(run) if run.source.0 + run.count == record.offset => run.count += 1,
            _ => runs.push(SourceRun {
                source: SourceOffset(record.offset),
                count: 1,
            }),
        }
    }
    runs
}
