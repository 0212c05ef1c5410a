//! How the quorum stands: leader, voters, epochs, the latest snapshot. For DescribeQuorum and
//! metrics; asking never waits for a change.

use super::QuorumTiming;
use super::machine::State;
use super::types::{Membership, Quorum, Voter};
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::WatchReceiver;
use openraft::{Instant, RaftMetrics, ServerState};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// How the quorum stands, for whoever asks; clones look at the same quorum.
#[derive(Clone)]
pub(crate) struct QuorumWatch {
    pub(super) metrics: WatchReceiverOf<Quorum, RaftMetrics<Quorum>>,
    pub(super) state: Arc<Mutex<State>>,
    pub(super) timing: QuorumTiming,
}

/// One voter, as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VoterState {
    pub(crate) voter: Voter,
    pub(crate) is_leader: bool,
    /// Offset behind the last record it is known to hold; -1 where that is not known: elsewhere than
    /// at the leader, or of a voter that is far behind.
    pub(crate) log_end_offset: i64,
    /// How long ago it last acknowledged anything to the leader.
    pub(crate) heard: Option<Duration>,
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

    /// Whether somebody leads the quorum, as far as this node knows: not itself, once a majority is silent.
    pub(crate) fn is_led(&self) -> bool {
        let metrics = self.metrics.borrow_watched();
        let (leader, own) = (metrics.current_leader, metrics.id);
        drop(metrics);
        match leader {
            Some(leader) if leader == own => self.leads().is_some(),
            Some(_) => true,
            None => false,
        }
    }

    /// Offset behind the last committed record.
    pub(crate) fn high_watermark(&self) -> i64 {
        self.state.lock().image.offset + 1
    }

    /// The term in which this voter leads, while it does. The library lets a leader that is cut off
    /// believe in itself for ever; here it leads no more once a majority was silent for so long that it
    /// may have elected another one.
    pub(crate) fn leads(&self) -> Option<u64> {
        self.leads_but_for(self.timing.majority_silence_max())
    }

    fn leads_but_for(&self, silence_max: Duration) -> Option<u64> {
        let metrics = self.metrics.borrow_watched();
        let leads = metrics.state == ServerState::Leader && metrics.running_state.is_ok();
        let is_alone = metrics.membership_config.voter_ids().count() <= 1;
        let heard = metrics.last_quorum_acked.as_ref().map(|at| at.elapsed());
        // Who was only just elected, and has not been heard since, is given nothing to commit yet.
        let is_heard = is_alone || heard.is_some_and(|heard| heard <= silence_max);
        (leads && is_heard).then_some(metrics.current_term)
    }

    /// Until nothing comes of this voter's changes any more. Silence is no change that anybody is told of,
    /// so it is looked for.
    pub(super) async fn lost_lead(&self) {
        // Who does not lead in the first place is told so by the library, and by then has been.
        loop {
            tokio::time::sleep(self.look_every()).await;
            if self
                .leads_but_for(self.timing.change_silence_max())
                .is_none()
            {
                return;
            }
        }
    }

    /// How often whoever waits looks whether this voter still leads.
    pub(crate) fn look_every(&self) -> Duration {
        self.timing.look_every()
    }

    /// Until anything at all changed in how the quorum stands; `false` when it is closed.
    pub(crate) async fn changed(&mut self) -> bool {
        self.metrics.changed().await.is_ok()
    }

    /// The voters, in the order of their node ids.
    pub(crate) fn voters(&self) -> Vec<VoterState> {
        self.members(|membership, id| membership.voter_ids().any(|voter| voter == *id))
    }

    /// Nodes that get the log from the leader and do not vote: on their way into the quorum, or taken
    /// out of it while they lived.
    pub(crate) fn learners(&self) -> Vec<VoterState> {
        self.members(|membership, id| membership.voter_ids().all(|voter| voter != *id))
    }

    /// Whether a node answered this leader within the last session, or is this leader.
    pub(crate) fn lives(&self, raft_id: u64) -> bool {
        let metrics = self.metrics.borrow_watched();
        let heard = metrics.heartbeat.as_ref().and_then(|it| it.get(&raft_id));
        let heard = heard.and_then(Option::as_ref).map(|at| at.elapsed());
        let silence_max = self.timing.silence_max();
        raft_id == metrics.id || heard.is_some_and(|heard| heard <= silence_max)
    }

    fn members(&self, is_asked_for: impl Fn(&Membership, &u64) -> bool) -> Vec<VoterState> {
        let metrics = self.metrics.borrow_watched().clone();
        let state = self.state.lock();
        let membership = state.voters().membership();
        let asked_for = membership
            .nodes()
            .filter(|(id, _)| is_asked_for(membership, id));
        let mut members: Vec<VoterState> = asked_for
            .map(|(id, voter)| member(&metrics, &state, *id, *voter))
            .collect();
        members.sort_by_key(|state| state.voter.node_id);
        members
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

/// The leader holds what is applied here at least; of the others it knows what they acknowledged.
fn member(metrics: &RaftMetrics<Quorum>, state: &State, id: u64, voter: Voter) -> VoterState {
    let is_leader = metrics.current_leader == Some(id);
    let acknowledged = metrics.replication.as_ref().and_then(|it| it.get(&id));
    let acknowledged = acknowledged.and_then(Option::as_ref);
    let heard = metrics.heartbeat.as_ref().and_then(|it| it.get(&id));
    let log_end_offset = if id == metrics.id {
        state.image.offset + 1
    } else {
        acknowledged.map_or(-1, |last| match state.offset_at(last.index) {
            -1 => -1,
            offset => offset + 1,
        })
    };
    VoterState {
        voter,
        is_leader,
        log_end_offset,
        heard: heard.and_then(Option::as_ref).map(|at| at.elapsed()),
    }
}
