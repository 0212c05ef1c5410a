//! What a log is told: its topic's settings, the rules of an append, the state it is opened with.
//!
//! Owns: the types; defaults are Kafka's.
//! Must not know: where the settings come from; `config` and the broker parse and check them.
//! Invariants: a frozen value is never changed in place; a new one replaces it.

use isthmus_wire::batch::{Compression, TimestampType};

/// `cleanup.policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CleanupPolicy {
    #[default]
    Delete,
    Compact,
    CompactAndDelete,
}

impl CleanupPolicy {
    pub fn deletes(self) -> bool {
        match self {
            CleanupPolicy::Delete | CleanupPolicy::CompactAndDelete => true,
            CleanupPolicy::Compact => false,
        }
    }

    pub fn compacts(self) -> bool {
        match self {
            CleanupPolicy::Compact | CleanupPolicy::CompactAndDelete => true,
            CleanupPolicy::Delete => false,
        }
    }
}

/// The settings of one log; shared by all partitions of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`, default 1 GiB, at most 2 GiB − 1: positions in an index are 31 bits.
    /// Retention removes whole segments; a crash re-reads the last one.
    pub segment_bytes: u32,
    /// `segment.ms`, default 7 days: how old a segment's first record gets before a new one starts.
    pub segment_ms: i64,
    /// Taken off `segment_ms`, so that partitions do not all roll at once; drawn by the shell.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`, default 10 MiB: an index that reaches it rolls the segment.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`, default 4096: log bytes per index entry, and so the most that a
    /// lookup reads beyond the index.
    pub index_interval_bytes: u32,
    /// `retention.ms`, default 7 days; −1 keeps for ever.
    pub retention_ms: i64,
    /// `retention.bytes`, default −1: no limit.
    pub retention_bytes: i64,
    pub cleanup_policy: CleanupPolicy,
    /// `delete.retention.ms`, default 1 day: how long a tombstone stays readable after the cleaning
    /// that first met it. A reader that takes longer for the whole log may miss the deletion.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`, default 0: how long every record stays readable.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`, default for ever: how long a record may wait for its cleaning.
    pub max_compaction_lag_ms: i64,
    /// `producer.id.expiration.ms`, default 1 day: how long a silent producer is remembered.
    pub producer_id_expiration_ms: i64,
}

impl LogConfig {
    /// `segment_bytes`, kept to the positions that an index can name.
    pub(crate) fn segment_limit(&self) -> u32 {
        self.segment_bytes.min(i32::MAX.unsigned_abs())
    }

    /// `segment_ms`; a compacted log seals its segments in time for `max.compaction.lag.ms`, since
    /// the active one is never compacted.
    pub(crate) fn segment_ms_limit(&self) -> i64 {
        if self.cleanup_policy.compacts() && self.max_compaction_lag_ms > 0 {
            self.segment_ms.min(self.max_compaction_lag_ms)
        } else {
            self.segment_ms
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            retention_ms: 7 * DAY_MS,
            retention_bytes: -1,
            cleanup_policy: CleanupPolicy::Delete,
            delete_retention_ms: DAY_MS,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            producer_id_expiration_ms: DAY_MS,
        }
    }
}

/// Who appends as leader; it decides what is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A produce request: everything is checked.
    Client,
    /// A coordinator of this broker: may write control batches and several batches at once;
    /// sequences are not checked, epochs are.
    Coordinator,
}

/// The rules of an append as leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendRules {
    /// `max.message.bytes`: the largest batch, as it arrives and as it is stored.
    pub max_message_bytes: usize,
    /// The topic is compacted: a record without a key is refused.
    pub compacted: bool,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `compression.type`; `None` is `producer`: as it came.
    pub compression_type: Option<Compression>,
    /// `compression.<codec>.level` for that codec.
    pub compression_level: Option<i32>,
}

impl Default for AppendRules {
    fn default() -> Self {
        AppendRules {
            max_message_bytes: 1_048_588,
            compacted: false,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 60 * 60 * 1000,
            compression_type: None,
            compression_level: None,
        }
    }
}

/// What the data directory remembers of a log, and the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenContext {
    /// Everything below was synced; from `recovery-point-offset-checkpoint`, 0 when unknown.
    pub recovery_point: i64,
    /// From `log-start-offset-checkpoint`, 0 when unknown.
    pub log_start_offset: i64,
    /// The clean-shutdown marker was there: nothing needs to be read again.
    pub clean_shutdown: bool,
    pub now_ms: i64,
}
