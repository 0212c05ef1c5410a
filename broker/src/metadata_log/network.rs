//! The voters' way to each other: the library's calls as requests, over whatever carries them.
//!
//! Owns: which request says what, how long each may take, snapshots in pieces. Must not know:
//! sockets (that is [`QuorumTransport`]'s matter), and what the records say.
//!
//! Log, heartbeats and snapshots go by lanes of their own: a heartbeat never waits behind a
//! snapshot, or behind an append that waits for a slow disk.

use super::rows;
use super::rpc::{self, RpcError};
use super::snapshot::{self, SnapshotFile};
use super::types::{CommittedLeader, Quorum, Vote, Voter};
use bytes::Bytes;
use isthmus_log::disk::{Disk, DiskFile, OpenMode};
use isthmus_wire::ErrorCode;
use isthmus_wire::codec::{EncodeError, Request};
use isthmus_wire::messages::{
    QuorumAppendResponse, QuorumSnapshotRequest, QuorumSnapshotResponse, QuorumTransferResponse,
    QuorumVoteResponse,
};
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{RPCOption, RPCTypes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2, Snapshot};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// An append waits for the other side's disk, whose longest commit seen is a tenth of this.
const APPEND_MAX: Duration = Duration::from_secs(1);

/// A vote must be there before the other side's patience ends.
const VOTE_MAX: Duration = Duration::from_millis(500);

/// One piece of a snapshot; the last one waits until all of it is applied.
const PIECE_MAX: Duration = Duration::from_secs(30);

/// Bytes of a piece of a snapshot.
pub(super) const PIECE_BYTES: usize = 256 << 10;

/// Which connection a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    Log,
    Heartbeat,
    Snapshot,
}

/// Why a voter did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error("{0}")]
    Unreachable(String),
}

/// Carries a request to another voter and brings its answer, once, within the limit.
pub(crate) trait QuorumTransport: Clone + Send + Sync + 'static {
    fn call<R: Request>(
        &self,
        to: Voter,
        lane: Lane,
        request: R,
        limit: Duration,
    ) -> impl Future<Output = Result<R::Response, TransportError>> + Send;
}

/// The way of a quorum of one: nobody is ever called, and if the library called all the same it
/// would hear that nobody is there, which is true.
#[derive(Clone)]
pub(crate) struct NoPeers;

impl QuorumTransport for NoPeers {
    async fn call<R: Request>(
        &self,
        _to: Voter,
        _lane: Lane,
        _request: R,
        _limit: Duration,
    ) -> Result<R::Response, TransportError> {
        let nobody = "this is a quorum of one voter";
        Err(TransportError::Unreachable(nobody.to_owned()))
    }
}

/// Makes the ways to all other voters.
pub(super) struct Peers<D, T> {
    pub(super) own_id: u64,
    pub(super) disk: Arc<D>,
    pub(super) transport: T,
}

/// The way to one voter, by one lane.
pub(super) struct Peer<D, T> {
    own_id: u64,
    target: u64,
    voter: Voter,
    lane: Lane,
    disk: Arc<D>,
    transport: T,
}

impl<D, T: Clone> Peers<D, T> {
    fn peer(&self, target: u64, voter: &Voter, lane: Lane) -> Peer<D, T> {
        Peer {
            own_id: self.own_id,
            target,
            voter: *voter,
            lane,
            disk: Arc::clone(&self.disk),
            transport: self.transport.clone(),
        }
    }
}

impl<D: Disk, T: QuorumTransport> RaftNetworkFactory<Quorum> for Peers<D, T> {
    type Network = Peer<D, T>;

    async fn new_client(&mut self, target: u64, voter: &Voter) -> Peer<D, T> {
        self.peer(target, voter, Lane::Log)
    }

    async fn new_heartbeat_client(&mut self, target: u64, voter: &Voter) -> Peer<D, T> {
        self.peer(target, voter, Lane::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: u64, voter: &Voter) -> Peer<D, T> {
        self.peer(target, voter, Lane::Snapshot)
    }
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("{code:?}: {message}")]
    Refused { code: ErrorCode, message: String },
    #[error("could not encode: {0}")]
    Encode(#[from] EncodeError),
    #[error("could not read the answer: {0}")]
    Answer(#[from] RpcError),
    #[error("could not read the snapshot: {0}")]
    Snapshot(#[source] io::Error),
}

impl From<rows::RowError> for CallError {
    fn from(error: rows::RowError) -> Self {
        Self::Answer(error.into())
    }
}

/// Answers say in one way whether they are any.
trait Answer {
    fn refusal(&self) -> (ErrorCode, Option<&str>);
}

macro_rules! answers {
    ($($answer:ident)*) => {
        $(impl Answer for $answer {
            fn refusal(&self) -> (ErrorCode, Option<&str>) {
                (self.error_code, self.error_message.as_deref())
            }
        })*
    };
}

answers!(QuorumAppendResponse QuorumVoteResponse QuorumSnapshotResponse QuorumTransferResponse);

impl<D: Disk, T: QuorumTransport> Peer<D, T> {
    async fn call<R>(&self, request: R, limit: Duration) -> Result<R::Response, CallError>
    where
        R: Request,
        R::Response: Answer,
    {
        let call = self.transport.call(self.voter, self.lane, request, limit);
        let answer = call.await?;
        match answer.refusal() {
            (ErrorCode::NONE, _) => Ok(answer),
            (code, message) => {
                let message = message.unwrap_or_default().to_owned();
                Err(CallError::Refused { code, message })
            }
        }
    }

    /// The library tries again at once after one kind of failure, and waits after the other.
    fn failed(&self, action: RPCTypes, error: &CallError) -> RPCError<Quorum> {
        match error {
            CallError::Transport(TransportError::TimedOut(timeout)) => RPCError::Timeout(Timeout {
                action,
                id: self.own_id,
                target: self.target,
                timeout: *timeout,
            }),
            CallError::Transport(TransportError::Unreachable(_))
            | CallError::Refused { .. }
            | CallError::Encode(_)
            | CallError::Answer(_)
            | CallError::Snapshot(_) => RPCError::Unreachable(Unreachable::from_string(error)),
        }
    }

    async fn ask_for_vote(
        &self,
        pre_vote: bool,
        request: &VoteRequest<Quorum>,
    ) -> Result<VoteResponse<Quorum>, CallError> {
        let request = rpc::put_vote_request(self.target, pre_vote, request)?;
        let answer = self.call(request, VOTE_MAX).await?;
        Ok(rpc::get_voted(&answer)?)
    }

    async fn append(
        &self,
        request: &AppendEntriesRequest<Quorum>,
    ) -> Result<AppendEntriesResponse<Quorum>, CallError> {
        let request = rpc::put_append(self.target, request)?;
        let answer = self.call(request, APPEND_MAX).await?;
        Ok(rpc::get_appended(&answer)?)
    }

    async fn transfer(
        &self,
        request: &TransferLeaderRequest<Quorum>,
    ) -> Result<TransferLeaderResponse<Quorum>, CallError> {
        let message = rpc::put_transfer(self.target, request)?;
        let answer = self.call(message, APPEND_MAX).await?;
        Ok(rpc::get_transferred(request, &answer)?)
    }

    /// Sends all pieces, from where the other side says it is. Ends with the vote of that side:
    /// a higher one than ours means that it has another leader.
    async fn send_snapshot(&self, vote: &Vote, file: &SnapshotFile) -> Result<Vote, CallError> {
        let no_name = || CallError::Snapshot(io::ErrorKind::InvalidInput.into());
        let (end_offset, term) = snapshot::place_in_name(&file.path).ok_or_else(no_name)?;
        let length = file.len_bytes;
        let (mut position, mut restarts) = (0, 0);
        loop {
            let piece = self.piece(file, position).await?;
            let after = position + piece.len() as u64;
            let request = QuorumSnapshotRequest {
                target_raft_id: rows::signed(self.target),
                vote: rpc::put_vote(vote)?,
                end_offset,
                term,
                length: rows::signed(length),
                position: rows::signed(position),
                piece,
            };
            let answer = self.call(request, PIECE_MAX).await?;
            let theirs = rows::read_vote(&answer.vote)?;
            let next = rows::unsigned(answer.next_position);
            if theirs > *vote || (after == length && next == length) {
                return Ok(theirs);
            }
            // Once it may have forgotten what it had, because it was started again.
            restarts += u32::from(next != after);
            if restarts > 1 || next > length {
                let code = ErrorCode::POSITION_OUT_OF_RANGE;
                let message = format!("it is at {next} where {after} was sent");
                return Err(CallError::Refused { code, message });
            }
            position = next;
        }
    }

    async fn piece(&self, file: &SnapshotFile, position: u64) -> Result<Bytes, CallError> {
        let (disk, file) = (Arc::clone(&self.disk), file.clone());
        let read = move || read_piece(&*disk, &file, position, PIECE_BYTES);
        let piece = tokio::task::spawn_blocking(read).await;
        let piece = piece.map_err(|panic| CallError::Snapshot(io::Error::other(panic)))?;
        piece.map_err(CallError::Snapshot)
    }
}

/// Up to `bytes_max` bytes of a snapshot, from `position` on; fewer only at its end.
pub(super) fn read_piece<D: Disk>(
    disk: &D,
    file: &SnapshotFile,
    position: u64,
    bytes_max: usize,
) -> io::Result<Bytes> {
    let left = file.len_bytes.saturating_sub(position);
    let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes_max);
    let mut piece = vec![0; len];
    disk.open(&file.path, OpenMode::Read)?
        .read_exact_at(&mut piece, position)?;
    Ok(piece.into())
}

impl<D: Disk, T: QuorumTransport> RaftNetworkV2<Quorum> for Peer<D, T> {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Quorum>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Quorum>, RPCError<Quorum>> {
        let appended = self.append(&rpc).await;
        appended.map_err(|error| self.failed(RPCTypes::AppendEntries, &error))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Quorum>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Quorum>, RPCError<Quorum>> {
        let voted = self.ask_for_vote(false, &rpc).await;
        voted.map_err(|error| self.failed(RPCTypes::Vote, &error))
    }

    /// The library's own default grants every pre-vote.
    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Quorum>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Quorum>, RPCError<Quorum>> {
        let voted = self.ask_for_vote(true, &rpc).await;
        voted.map_err(|error| self.failed(RPCTypes::Vote, &error))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<CommittedLeader, u64, Voter, SnapshotFile>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Quorum>, StreamingError<Quorum>> {
        let sent = tokio::select! {
            closed = cancel => return Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(&vote, &snapshot.snapshot) => sent,
        };
        match sent {
            Ok(theirs) => Ok(SnapshotResponse::new(theirs)),
            // What goes wrong in reading one is no reason to end a leader: there will be another.
            Err(error) => Err(match self.failed(RPCTypes::InstallSnapshot, &error) {
                RPCError::Timeout(timeout) => StreamingError::Timeout(timeout),
                RPCError::Unreachable(unreachable) => StreamingError::Unreachable(unreachable),
                RPCError::Network(network) => StreamingError::Network(network),
                RPCError::RemoteError(remote) => {
                    StreamingError::Network(NetworkError::from_string(remote))
                }
            }),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Quorum>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<Quorum>, RPCError<Quorum>> {
        let transferred = self.transfer(&request).await;
        transferred.map_err(|error| self.failed(RPCTypes::TransferLeader, &error))
    }
}
