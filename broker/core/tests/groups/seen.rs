//! What a churn has been through.

use isthmus_broker_core::groups::Reply;
use isthmus_wire::ErrorCode;

/// How often it came to what the run is about; a run without is no evidence.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) generations: u64,
    pub(crate) assignments: u64,
    pub(crate) commits: u64,
    pub(crate) fenced: u64,
    pub(crate) rebalances_in_between: u64,
    pub(crate) refused_by_log: u64,
    pub(crate) moves: u64,
    pub(crate) deletions: u64,
    pub(crate) forgotten: u64,
}

impl Seen {
    pub(crate) fn of(&mut self, reply: &Reply) {
        let error = match reply {
            Reply::Join(it) => it.error_code,
            Reply::Sync(it) => {
                self.assignments += u64::from(!it.error_code.is_error());
                it.error_code
            }
            Reply::Heartbeat(it) => it.error_code,
            Reply::OffsetCommit(it) => {
                let error = it.topics[0].partitions[0].error_code;
                self.commits += u64::from(!error.is_error());
                error
            }
            _ => ErrorCode::NONE,
        };
        self.fenced += u64::from(error == ErrorCode::FENCED_INSTANCE_ID);
        self.rebalances_in_between += u64::from(error == ErrorCode::REBALANCE_IN_PROGRESS);
        self.refused_by_log += u64::from(error == ErrorCode::COORDINATOR_NOT_AVAILABLE);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.generations += other.generations;
        self.assignments += other.assignments;
        self.commits += other.commits;
        self.fenced += other.fenced;
        self.rebalances_in_between += other.rebalances_in_between;
        self.refused_by_log += other.refused_by_log;
        self.moves += other.moves;
        self.deletions += other.deletions;
        self.forgotten += other.forgotten;
    }

    /// Per seed, on average.
    pub(crate) fn check(&self, seeds: u64) {
        let enough = self.generations >= 10 * seeds
            && self.assignments >= 60 * seeds
            && self.commits >= 40 * seeds
            && self.fenced >= seeds
            && self.rebalances_in_between >= 20 * seeds
            && self.refused_by_log >= 5 * seeds
            && self.moves >= 5 * seeds
            && 4 * self.deletions >= seeds
            && self.forgotten >= seeds;
        assert!(enough, "{seeds} seeds saw too little: {self:?}");
    }
}
