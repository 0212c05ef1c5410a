//! What the consensus library is told of our types.
//!
//! Only the names stand here: how each of them lies on disk is in `rows` and `snapshot`, never in
//! a serialisation of the library's own (design, frozen formats).

use bytes::Bytes;
use isthmus_broker_core::metadata::ChangeVerdict;
use isthmus_wire::Uuid;
use std::fmt;

openraft::declare_raft_types!(
    /// The quorum of the metadata log. One leader per term, as in Kafka.
    pub(crate) Quorum:
        D = EncodedChange,
        R = Option<ChangeVerdict>,
        NodeId = u64,
        Node = Voter,
        LeaderId = openraft::impls::leader_id_std::LeaderId<Self::Term, Self::NodeId>,
        AsyncRuntime = openraft::impls::TokioRuntime,
);

pub(super) type LogId = openraft::alias::LogIdOf<Quorum>;
pub(super) type Vote = openraft::alias::VoteOf<Quorum>;
pub(super) type Entry = openraft::alias::EntryOf<Quorum>;
pub(super) type StoredMembership = openraft::alias::StoredMembershipOf<Quorum>;
pub(super) type Membership = openraft::Membership<u64, Voter>;
pub(super) type Leader = openraft::alias::LeaderIdOf<Quorum>;
pub(super) type CommittedLeader = openraft::alias::CommittedLeaderIdOf<Quorum>;

/// A voter of the quorum. Its addresses are not in it: they may change with every start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Voter {
    pub(crate) node_id: i32,
    pub(crate) directory_id: Uuid,
}

impl Voter {
    /// The name under which it votes. It comes from the directory, so that a voter whose directory
    /// was wiped is a new voter, and cannot take back what it promised.
    pub(crate) fn raft_id(&self) -> u64 {
        let mut head = [0; 8];
        head.copy_from_slice(&self.directory_id.0[..8]);
        u64::from_be_bytes(head)
    }
}

/// A change as it stands in the log: its records in Kafka's frame. They may hold the keys of users,
/// so that neither `Debug` nor `Display` shows them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct EncodedChange {
    pub(crate) controller_epoch: i64,
    pub(crate) expected_last_offset: i64,
    pub(crate) records: Vec<Bytes>,
}

impl EncodedChange {
    pub(crate) fn len_bytes(&self) -> usize {
        self.records.iter().map(Bytes::len).sum()
    }
}

impl fmt::Debug for EncodedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for EncodedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            controller_epoch,
            expected_last_offset,
            records,
        } = self;
        write!(
            f,
            "{} records behind {expected_last_offset} of controller {controller_epoch}",
            records.len()
        )
    }
}

pub(super) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeader::new(term), index)
}
