//! The voters' way to each other. A quorum of one has none.
//!
//! Nobody is ever called: with one voter there is no one else to ask. If the library called all
//! the same, it would hear that nobody is there, which is true.

use super::snapshot::SnapshotFile;
use super::types::{Quorum, Vote, Voter};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2, Snapshot};
use std::future::Future;
use std::io;

/// The network of a quorum of one.
pub(super) struct NoPeers;

/// A voter that is not there.
pub(super) struct NoPeer;

fn nobody() -> Unreachable<Quorum> {
    Unreachable::new(&io::Error::new(
        io::ErrorKind::NotConnected,
        "this build runs a quorum of one voter",
    ))
}

impl RaftNetworkFactory<Quorum> for NoPeers {
    type Network = NoPeer;

    async fn new_client(&mut self, _target: u64, _node: &Voter) -> NoPeer {
        NoPeer
    }
}

impl RaftNetworkV2<Quorum> for NoPeer {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<Quorum>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Quorum>, RPCError<Quorum>> {
        Err(RPCError::Unreachable(nobody()))
    }

    async fn vote(
        &mut self,
        _rpc: VoteRequest<Quorum>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Quorum>, RPCError<Quorum>> {
        Err(RPCError::Unreachable(nobody()))
    }

    /// The library's own default grants every pre-vote.
    async fn pre_vote(
        &mut self,
        _rpc: VoteRequest<Quorum>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Quorum>, RPCError<Quorum>> {
        Err(RPCError::Unreachable(nobody()))
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: Snapshot<super::types::CommittedLeader, u64, Voter, SnapshotFile>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Quorum>, StreamingError<Quorum>> {
        Err(StreamingError::Unreachable(nobody()))
    }
}
