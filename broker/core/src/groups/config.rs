//! The coordinator's settings; keys as in Kafka where Kafka has one.

/// Time a new member may wait in its first JoinGroup before it is given up (a constant in Kafka).
///
/// Clients before KIP-394 learn their id only by the reply, so nothing but this ends the
/// membership of one that went away meanwhile.
pub(super) const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1000;

/// All settings of a [`super::Shard`]; frozen once [`GroupConfig::problems`] finds none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`, 6 s. Shorter sessions notice a crash sooner; the worst
    /// cost of a low value is heartbeats in masses.
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`, 30 min. The worst cost of a high value is that the
    /// partitions of a dead member wait that long.
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`, 3 s. An empty group waits this long for more members;
    /// too short costs a rebalance per late member, too long delays the first record.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`, no limit. Members per group; each costs its metadata and assignment.
    pub max_size: i32,
    /// `offset.metadata.max.bytes`, 4096. Text kept with an offset, in UTF-16 units as Kafka
    /// counts it; the worst cost is this per partition and group, in memory and in the log.
    pub offset_metadata_max_bytes: i32,
    /// `offsets.retention.minutes`, 7 days, here in ms. Too short makes an idle group start over.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`, 10 min. Each check looks at every offset.
    pub offsets_retention_check_interval_ms: i64,
    /// `offsets.commit.timeout.ms`, 5 s. How long replies wait for their append.
    pub offsets_commit_timeout_ms: i64,
    /// Groups per shard, 10 000; each costs about 1 kB when empty. Commits in flight for groups
    /// that do not exist yet may exceed it by their number.
    pub groups_max: usize,
    /// Ids handed out (KIP-394) whose member did not come back yet, per group: 5 000; each costs
    /// about 200 B until its session time-out. Without it, JoinGroup in a loop fills the memory.
    pub pending_members_max: usize,
    /// Appends that wait for the log, per shard: 10 000; each holds its records and replies.
    pub appends_in_flight_max: usize,
    /// Requests without a reply yet, per shard: 100 000; each holds its token and its reply.
    pub requests_waiting_max: usize,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_size: i32::MAX,
            offset_metadata_max_bytes: 4_096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            offsets_retention_check_interval_ms: 600_000,
            offsets_commit_timeout_ms: 5_000,
            groups_max: 10_000,
            pending_members_max: 5_000,
            appends_in_flight_max: 10_000,
            requests_waiting_max: 100_000,
        }
    }
}

/// A setting out of its range, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: set it to {remedy}")]
pub struct GroupConfigError {
    pub key: &'static str,
    pub value: i64,
    pub remedy: &'static str,
}

impl GroupConfig {
    /// Everything wrong, at once.
    pub fn problems(&self) -> Vec<GroupConfigError> {
        let from_1 = "1 or more";
        let rules = [
            (
                "group.min.session.timeout.ms",
                i64::from(self.min_session_timeout_ms),
                self.min_session_timeout_ms >= 1,
                from_1,
            ),
            (
                "group.max.session.timeout.ms",
                i64::from(self.max_session_timeout_ms),
                self.max_session_timeout_ms >= self.min_session_timeout_ms,
                "group.min.session.timeout.ms or more",
            ),
            (
                "group.initial.rebalance.delay.ms",
                i64::from(self.initial_rebalance_delay_ms),
                self.initial_rebalance_delay_ms >= 0,
                "0 or more",
            ),
            (
                "group.max.size",
                i64::from(self.max_size),
                self.max_size >= 1,
                from_1,
            ),
            (
                "offset.metadata.max.bytes",
                i64::from(self.offset_metadata_max_bytes),
                self.offset_metadata_max_bytes >= 0,
                "0 or more",
            ),
            (
                "offsets.retention.minutes",
                self.offsets_retention_ms / 60_000,
                self.offsets_retention_ms >= 60_000,
                from_1,
            ),
            (
                "offsets.retention.check.interval.ms",
                self.offsets_retention_check_interval_ms,
                self.offsets_retention_check_interval_ms >= 1,
                from_1,
            ),
            (
                "offsets.commit.timeout.ms",
                self.offsets_commit_timeout_ms,
                self.offsets_commit_timeout_ms >= 1,
                from_1,
            ),
        ];
        let wrong = rules.into_iter().filter(|(_, _, holds, _)| !holds);
        wrong
            .map(|(key, value, _, remedy)| GroupConfigError { key, value, remedy })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_told_at_once() {
        assert_eq!(GroupConfig::default().problems(), []);
        let config = GroupConfig {
            min_session_timeout_ms: 7,
            max_session_timeout_ms: 6,
            max_size: 0,
            ..GroupConfig::default()
        };
        let told: Vec<String> = config.problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "group.max.session.timeout.ms = 6: set it to group.min.session.timeout.ms or more",
                "group.max.size = 0: set it to 1 or more",
            ]
        );
    }
}
