//! How the quorum stands: leader, voters, epochs, the latest snapshot. For DescribeQuorum and
//! metrics; asking never waits for a change.

use super::machine::State;
use super::types::{Quorum, Voter};
use openraft::RaftMetrics;
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::WatchReceiver;
use parking_lot::Mutex;
use std::sync::Arc;

/// How the quorum stands, for whoever asks; clones look at the same quorum.
#[derive(Clone)]
pub(crate) struct QuorumWatch {
    pub(super) metrics: WatchReceiverOf<Quorum, RaftMetrics<Quorum>>,
    pub(super) state: Arc<Mutex<State>>,
}

/// One voter, as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VoterState {
    pub(crate) voter: Voter,
    pub(crate) is_leader: bool,
    /// Offset behind the last record it is known to hold.
    pub(crate) log_end_offset: i64,
}

/// The latest snapshot, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SnapshotState {
    pub(crate) len_bytes: u64,
    /// Wall clock of its making, in ms.
    pub(crate) made_ms: i64,
}

impl QuorumWatch {
    /// The term, as Kafka's quorum epoch.
    pub(crate) fn term(&self) -> u64 {
        self.metrics.borrow_watched().current_term
    }

    /// Node id of the leader; `None` while there is none.
    pub(crate) fn leader(&self) -> Option<i32> {
        let metrics = self.metrics.borrow_watched();
        let leader = metrics.current_leader?;
        let voters = metrics.membership_config.membership();
        voters.get_node(&leader).map(|voter| voter.node_id)
    }

    /// Offset behind the last committed record.
    pub(crate) fn high_watermark(&self) -> i64 {
        self.state.lock().image.offset + 1
    }

    /// The voters, in the order of their node ids.
    pub(crate) fn voters(&self) -> Vec<VoterState> {
        let leader = self.metrics.borrow_watched().current_leader;
        let state = self.state.lock();
        // A quorum of one: what is committed is what its only voter holds.
        let log_end_offset = state.image.offset + 1;
        let voters = state.voters().membership().nodes();
        let mut voters: Vec<VoterState> = voters
            .map(|(id, voter)| VoterState {
                voter: *voter,
                is_leader: Some(*id) == leader,
                log_end_offset,
            })
            .collect();
        voters.sort_by_key(|state| state.voter.node_id);
        voters
    }

    pub(crate) fn controller_epoch(&self) -> i64 {
        self.state.lock().image.controller_epoch
    }

    pub(crate) fn snapshot(&self) -> Option<SnapshotState> {
        let state = self.state.lock();
        state.latest.as_ref().map(|latest| SnapshotState {
            len_bytes: latest.file.len_bytes,
            made_ms: latest.head.made_ms,
        })
    }
}
