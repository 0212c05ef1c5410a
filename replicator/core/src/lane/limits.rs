//! What the target takes, and what the flow wants.

use isthmus_wire::batch::{Compression, TimestampType};

/// The target topic's settings that decide over lanes, by its own description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetLimits {
    /// `max.message.bytes`: of a whole batch, as it arrives.
    pub max_message_bytes: usize,
    pub compression: TargetCompression,
    pub timestamp_type: TimestampType,
    /// `message.timestamp.after.max.ms`, an hour by default.
    pub timestamp_after_max_ms: i64,
    /// `cleanup.policy` has `compact`: null keys are refused.
    pub compacted: bool,
    /// Produce version 7 is served.
    pub takes_zstd: bool,
}

/// `compression.type` of the target topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetCompression {
    /// What the producer sent.
    Producer,
    /// The broker brings all to this codec.
    Codec(Compression),
}

/// The flow's own choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneRules {
    pub isolation: Isolation,
    pub log_append_times: LogAppendTimes,
    /// Most that one batch may be decompressed to.
    pub decompressed_bytes_max: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    #[default]
    ReadCommitted,
    /// MirrorMaker 2's default: aborted records are copied like any.
    ReadUncommitted,
}

/// What becomes of the append times of a source topic at a target that keeps create times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogAppendTimes {
    /// Each record gets the append time as its create time; the batch is rebuilt.
    #[default]
    Keep,
    /// The operator accepts that the producers' times show; the batch stays raw.
    Drop,
}
