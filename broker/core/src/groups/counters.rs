//! What a shard has done, for the metrics of the program.

/// What was done since the shard was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub rebalances_started: u64,
    pub rebalances_completed: u64,
    /// Members given up because a session, a join or a sync took too long.
    pub members_expired: u64,
    /// Offsets proposed by OffsetCommit.
    pub offset_commits: u64,
    /// Offsets deleted by a client or with their topic.
    pub offset_deletions: u64,
    pub offsets_expired: u64,
    pub groups_deleted: u64,
    pub appends_failed: u64,
    pub appends_timed_out: u64,
}
