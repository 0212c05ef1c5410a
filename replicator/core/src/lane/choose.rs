//! The choice of the lane, from a batch's header alone.

use isthmus_wire::batch::{BatchHeader, Compression, TimestampType};

use super::{LaneRules, LogAppendTimes, TargetCompression, TargetLimits};
use crate::names::SourceOffset;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lane {
    Raw(RawReason),
    Rebuild(RebuildReason),
    Skip(SkipReason),
    Refuse(Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RawReason {
    /// As it is.
    Whole,
    /// The target topic has a codec of its own: its broker decompresses and compresses again.
    TargetRecompresses,
    /// The target topic has append times: those of the source cannot be kept.
    TimestampsReplaced,
    /// Append times dropped by [`LogAppendTimes::Drop`].
    AppendTimesDropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RebuildReason {
    StartsInside,
    DeleteHorizon,
    Holes,
    LogAppendTime,
    CodecNotTaken,
    TooLarge,
    /// Merged with its neighbours.
    Small,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    Control,
    BeforePosition,
    Empty,
    Aborted,
}

/// What cannot be copied as things stand: the partition waits, nothing is skipped silently. Fits
/// after "could not copy the record at offset n:".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it is of message format {0}, older than Kafka 0.11, which is not read here")]
    OldFormat(i8),
    #[error("the source sent a damaged batch: {0}")]
    Damaged(String),
    #[error("it is compressed by codec {0}, which is none of Kafka's")]
    UnknownCodec(u8),
    #[error(
        "its timestamp {timestamp} is later than now by more than the target's \
         message.timestamp.after.max.ms = {after_max_ms}"
    )]
    TimestampAhead { timestamp: i64, after_max_ms: i64 },
    #[error(
        "as a batch of its own it has {size} bytes, more than the target's max.message.bytes = {max}"
    )]
    RecordTooLarge { size: usize, max: usize },
    #[error("it has no key, and the target topic is compacted")]
    NullKey,
    #[error("its batch decompresses to more than {max} bytes")]
    Decompressed { max: usize },
}

/// The lane of one batch, whose CRC is right and whose transaction was judged.
pub fn choose(
    header: &BatchHeader,
    position: SourceOffset,
    now_ms: i64,
    is_aborted: bool,
    limits: &TargetLimits,
    rules: &LaneRules,
) -> Lane {
    if let Some(reason) = skipped(header, position, is_aborted) {
        return Lane::Skip(reason);
    }
    let codec = match header.compression() {
        Ok(codec) => codec,
        Err(_) => return Lane::Refuse(Refusal::UnknownCodec(header.attributes.codec_id())),
    };
    if let Some(refusal) = too_far_ahead(header, now_ms, limits) {
        return Lane::Refuse(refusal);
    }
    match rebuilt(header, codec, position, limits, rules) {
        Some(reason) => Lane::Rebuild(reason),
        None => Lane::Raw(raw(header, codec, limits)),
    }
}

fn skipped(header: &BatchHeader, position: SourceOffset, is_aborted: bool) -> Option<SkipReason> {
    if header.is_control() {
        Some(SkipReason::Control)
    } else if header.last_offset() < position.0 {
        Some(SkipReason::BeforePosition)
    } else if header.records_count == 0 {
        Some(SkipReason::Empty)
    } else {
        is_aborted.then_some(SkipReason::Aborted)
    }
}

/// LogValidator looks at timestamps only where the topic keeps create times.
fn too_far_ahead(header: &BatchHeader, now_ms: i64, limits: &TargetLimits) -> Option<Refusal> {
    let latest = now_ms.saturating_add(limits.timestamp_after_max_ms);
    match limits.timestamp_type {
        TimestampType::CreateTime if header.max_timestamp > latest => {
            Some(Refusal::TimestampAhead {
                timestamp: header.max_timestamp,
                after_max_ms: limits.timestamp_after_max_ms,
            })
        }
        TimestampType::CreateTime | TimestampType::LogAppendTime => None,
    }
}

fn rebuilt(
    header: &BatchHeader,
    codec: Compression,
    position: SourceOffset,
    limits: &TargetLimits,
    rules: &LaneRules,
) -> Option<RebuildReason> {
    if header.base_offset < position.0 {
        Some(RebuildReason::StartsInside)
    } else if header.delete_horizon_ms().is_some() {
        Some(RebuildReason::DeleteHorizon)
    } else if i64::from(header.last_offset_delta) + 1 != i64::from(header.records_count) {
        Some(RebuildReason::Holes)
    } else if loses_append_time(header, limits) && rules.log_append_times == LogAppendTimes::Keep {
        Some(RebuildReason::LogAppendTime)
    } else if codec == Compression::Zstd && !limits.takes_zstd {
        Some(RebuildReason::CodecNotTaken)
    } else {
        (header.size_in_bytes() > limits.max_message_bytes).then_some(RebuildReason::TooLarge)
    }
}

fn loses_append_time(header: &BatchHeader, limits: &TargetLimits) -> bool {
    header.timestamp_type() == TimestampType::LogAppendTime
        && limits.timestamp_type == TimestampType::CreateTime
}

fn raw(header: &BatchHeader, codec: Compression, limits: &TargetLimits) -> RawReason {
    match limits.compression {
        TargetCompression::Codec(wanted) if wanted != codec => RawReason::TargetRecompresses,
        TargetCompression::Codec(_) | TargetCompression::Producer => match limits.timestamp_type {
            TimestampType::LogAppendTime => RawReason::TimestampsReplaced,
            TimestampType::CreateTime if loses_append_time(header, limits) => {
                RawReason::AppendTimesDropped
            }
            TimestampType::CreateTime => RawReason::Whole,
        },
    }
}
