//! A topic's configuration in the words of the log.

use isthmus_broker_core::config::{CompressionType, MessageTimestampType, TopicConfig};
use isthmus_log::{AppendRules, CleanupPolicy, LogConfig};
use isthmus_wire::batch::{Compression, TimestampType};

/// What is checked when records are appended.
pub(super) fn append_rules(config: &TopicConfig) -> AppendRules {
    AppendRules {
        max_message_bytes: usize::try_from(config.max_message_bytes).unwrap_or(usize::MAX),
        compacted: config.cleanup_policy.compact,
        timestamp_type: match config.message_timestamp_type {
            MessageTimestampType::CreateTime => TimestampType::CreateTime,
            MessageTimestampType::LogAppendTime => TimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: config.message_timestamp_before_max_ms,
        timestamp_after_max_ms: config.message_timestamp_after_max_ms,
        compression_type: match config.compression_type {
            CompressionType::Producer => None,
            CompressionType::Uncompressed => Some(Compression::None),
            CompressionType::Gzip => Some(Compression::Gzip),
            CompressionType::Snappy => Some(Compression::Snappy),
            CompressionType::Lz4 => Some(Compression::Lz4),
            CompressionType::Zstd => Some(Compression::Zstd),
        },
        compression_level: config.compression_level,
    }
}

/// What the log is told of a topic's configuration. `jitter` is a random share in [0, 1).
pub(super) fn log_config(
    config: &TopicConfig,
    producer_id_expiration_ms: i64,
    jitter: f64,
) -> LogConfig {
    let unsigned = |value: i32| u32::try_from(value).unwrap_or(u32::MAX);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a share of an i64 fits into one"
    )]
    #[expect(clippy::cast_precision_loss, reason = "jitter needs no precision")]
    let segment_jitter_ms = (config.segment_jitter_ms as f64 * jitter) as i64;
    LogConfig {
        segment_bytes: unsigned(config.segment_bytes),
        segment_ms: config.segment_ms,
        segment_jitter_ms,
        segment_index_bytes: unsigned(config.segment_index_bytes),
        index_interval_bytes: unsigned(config.index_interval_bytes),
        retention_ms: config.retention_ms,
        retention_bytes: config.retention_bytes,
        cleanup_policy: match (config.cleanup_policy.compact, config.cleanup_policy.delete) {
            (true, true) => CleanupPolicy::CompactAndDelete,
            (true, false) => CleanupPolicy::Compact,
            (false, _) => CleanupPolicy::Delete,
        },
        delete_retention_ms: config.delete_retention_ms,
        min_compaction_lag_ms: config.min_compaction_lag_ms,
        max_compaction_lag_ms: config.max_compaction_lag_ms,
        producer_id_expiration_ms,
    }
}
