//! What a voter does when it is asked: by the other voters, and by brokers that follow the log.
//!
//! Owns: the answers, snapshots that are coming in. Must not know: who may ask (that is decided
//! where the connection is), and sockets.
//!
//! Only what is committed is shown to brokers: a voter that has been replaced and does not know it
//! may be behind, but never wrong. One that has nothing new and heard no leader for a session says so
//! instead of nothing: it may be cut off or taken out, and the broker would wait with it for ever.

use super::machine::Machine;
use super::network::read_piece;
use super::quorum::{QuorumRaft, not_written, resign, stopped, within};
use super::receive::{Received, Receiver};
use super::rows::{self, RowError};
use super::rpc;
use super::snapshot::{self, Snapshot, SnapshotFile};
use super::store::{LogStore, StoreError};
use super::succession::HungUp;
use super::types::{LogId, Quorum, Vote, Voter};
use super::{MetadataLogError, QuorumWatch};
use isthmus_broker_core::metadata::{Incarnations, Kin, LogPlace};
use isthmus_log::disk::Disk;
use isthmus_wire::ErrorCode;
use isthmus_wire::codec::EncodeError;
use isthmus_wire::messages::fetch_metadata_response::{EntryRow, SnapshotId};
use isthmus_wire::messages::{
    FetchMetadataRequest, FetchMetadataResponse, FetchMetadataSnapshotRequest,
    FetchMetadataSnapshotResponse, QuorumAppendRequest, QuorumAppendResponse,
    QuorumSnapshotRequest, QuorumSnapshotResponse, QuorumTransferRequest, QuorumTransferResponse,
    QuorumVoteRequest, QuorumVoteResponse,
};
use openraft::async_runtime::WatchReceiver;
use openraft::entry::RaftEntry;
use openraft::errors::{Fatal, LinearizableReadError, RaftError};
use openraft::raft::AppendEntriesResponse;
use openraft::{ChangeMembers, ReadPolicy, Snapshot as RaftSnapshot, SnapshotMeta};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Most bytes of one answer to a broker that follows the log, whatever it asks for.
const FETCH_BYTES_MAX: usize = 4 << 20;

/// Longest wait of a broker that has everything.
const FETCH_WAIT_MAX: Duration = Duration::from_secs(5);

/// Told to a broker that has applied what a recovered quorum lacks.
pub(super) const HAS_MORE: ErrorCode = ErrorCode::REBOOTSTRAP_REQUIRED;

/// The service of a voter, until its log is closed; clones share it.
pub(crate) struct QuorumService<D: Disk>(Arc<Mutex<Option<Arc<Service<D>>>>>);

impl<D: Disk> Clone for QuorumService<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// What answering takes.
pub(super) struct Service<D: Disk> {
    raft: QuorumRaft<D>,
    store: LogStore,
    machine: Machine<D>,
    own_id: u64,
    watch: QuorumWatch,
    /// When a leader was last heard that this voter takes for one.
    leader_heard: Mutex<Option<Instant>>,
    receiver: Arc<tokio::sync::Mutex<Receiver<D>>>,
    hung_up: watch::Sender<HungUp>,
}

/// Why an asker gets no answer but this.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("the quorum is closed here")]
    Closed,
    #[error("voter {asked:016x} was asked, this is {own:016x}")]
    AnotherVoter { asked: u64, own: u64 },
    #[error("{0}")]
    Row(#[from] RowError),
    #[error("{0}")]
    Encode(#[from] EncodeError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Stopped(Box<Fatal<Quorum>>),
    #[error(
        "entry {index} of term {term} was never committed here: this is the log of another quorum"
    )]
    Foreign { index: u64, term: u64 },
    #[error(
        "this broker has metadata up to entry {index} of term {term}, and the quorum was recovered from \
         one that had it up to entry {} of term {} (record {kept_offset}): recover the quorum from this \
         broker's directory, if nothing has been changed since (isthmus quorum recover --survivors); or \
         give this broker an empty directory and format it, and its replicas come from others",
        kept.index, kept.term
    )]
    HasMore {
        index: u64,
        term: u64,
        kept: LogPlace,
        kept_offset: i64,
    },
    #[error("there is no such snapshot any more")]
    NoSnapshot,
    #[error("no leader was heard for {0:?}, and there is nothing new")]
    Alone(Duration),
    #[error("position {0} lies outside")]
    Position(i64),
    #[error("the snapshot: {0}")]
    Snapshot(String),
}

impl Refused {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Closed | Self::Stopped(_) => ErrorCode::BROKER_NOT_AVAILABLE,
            Self::AnotherVoter { .. } => ErrorCode::INVALID_VOTER_KEY,
            Self::Row(_) => ErrorCode::CORRUPT_MESSAGE,
            Self::Encode(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
            Self::Store(_) | Self::Snapshot(_) => ErrorCode::KAFKA_STORAGE_ERROR,
            Self::Foreign { .. } => ErrorCode::INVALID_REQUEST,
            Self::HasMore { .. } => HAS_MORE,
            Self::NoSnapshot => ErrorCode::SNAPSHOT_NOT_FOUND,
            Self::Alone(_) => ErrorCode::NOT_CONTROLLER,
            Self::Position(_) => ErrorCode::POSITION_OUT_OF_RANGE,
        }
    }
}

impl From<Fatal<Quorum>> for Refused {
    fn from(error: Fatal<Quorum>) -> Self {
        Self::Stopped(Box::new(error))
    }
}

impl From<RaftError<Quorum>> for Refused {
    fn from(error: RaftError<Quorum>) -> Self {
        match error {
            RaftError::Fatal(error) => error.into(),
            RaftError::APIError(never) => match never {},
        }
    }
}

/// An answer that says nothing but why there is none.
macro_rules! refusal {
    ($answer:ident, $refused:expr) => {{
        let refused: Refused = $refused;
        $answer {
            error_code: refused.code(),
            error_message: Some(refused.to_string()),
            ..$answer::default()
        }
    }};
}

impl<D: Disk> QuorumService<D> {
    pub(super) fn new(service: Service<D>) -> Self {
        Self(Arc::new(Mutex::new(Some(Arc::new(service)))))
    }

    /// From now on everybody is refused.
    pub(super) fn close(&self) {
        self.0.lock().take();
    }

    fn open(&self) -> Result<Arc<Service<D>>, Refused> {
        self.0.lock().clone().ok_or(Refused::Closed)
    }

    fn of_voter(&self, asked: i64) -> Result<Arc<Service<D>>, Refused> {
        let (service, asked) = (self.open()?, rows::unsigned(asked));
        let own = service.own_id;
        if asked != own {
            return Err(Refused::AnotherVoter { asked, own });
        }
        Ok(service)
    }

    pub(crate) async fn vote(&self, request: QuorumVoteRequest) -> QuorumVoteResponse {
        let answered = async { self.of_voter(request.target_raft_id)?.vote(&request).await };
        let answered = answered.await;
        answered.unwrap_or_else(|refused| refusal!(QuorumVoteResponse, refused))
    }

    pub(crate) async fn append(&self, request: QuorumAppendRequest) -> QuorumAppendResponse {
        let answered = async {
            self.of_voter(request.target_raft_id)?
                .append(&request)
                .await
        };
        let answered = answered.await;
        answered.unwrap_or_else(|refused| refusal!(QuorumAppendResponse, refused))
    }

    /// A connection has ended by which that node sent entries or heartbeats, or called itself the leader.
    pub(crate) fn hung_up(&self, node_id: i32) {
        if let Ok(service) = self.open() {
            service
                .hung_up
                .send_replace(Some((node_id, Instant::now())));
        }
    }

    pub(crate) async fn transfer(&self, request: QuorumTransferRequest) -> QuorumTransferResponse {
        let answered = async {
            self.of_voter(request.target_raft_id)?
                .transfer(&request)
                .await
        };
        let answered = answered.await;
        answered.unwrap_or_else(|refused| refusal!(QuorumTransferResponse, refused))
    }

    pub(crate) async fn snapshot(&self, request: QuorumSnapshotRequest) -> QuorumSnapshotResponse {
        let answered = async {
            self.of_voter(request.target_raft_id)?
                .snapshot(request)
                .await
        };
        let answered = answered.await;
        answered.unwrap_or_else(|refused| refusal!(QuorumSnapshotResponse, refused))
    }

    pub(crate) async fn fetch(&self, request: FetchMetadataRequest) -> FetchMetadataResponse {
        let answered = async { self.open()?.fetch(&request).await };
        let answered = answered.await;
        answered.unwrap_or_else(|refused| refusal!(FetchMetadataResponse, refused))
    }

    pub(crate) async fn fetch_snapshot(
        &self,
        request: FetchMetadataSnapshotRequest,
    ) -> FetchMetadataSnapshotResponse {
        let answered = async { self.open()?.fetch_snapshot(&request).await };
        let answered = answered.await;
        answered.unwrap_or_else(|refused| refusal!(FetchMetadataSnapshotResponse, refused))
    }
}

/// Changes of the voters; only at the leader.
impl<D: Disk> QuorumService<D> {
    fn raft(&self) -> Result<QuorumRaft<D>, MetadataLogError> {
        let service = self.open().map_err(stopped)?;
        Ok(service.raft.clone())
    }

    /// Takes a node into the quorum: first it gets the log, then it votes. One that does not come goes on
    /// being sent the log, until it is there or is taken out.
    pub(crate) async fn add_voter(&self, voter: Voter) -> Result<(), MetadataLogError> {
        let (raft, id) = (self.raft()?, voter.raft_id());
        let learns = within(
            "bring a voter up to date",
            raft.add_learner(id, voter, true),
        );
        learns.await?.map_err(not_written)?;
        within("bring a voter up to date", caught_up(&raft, id)).await??;
        let votes = ChangeMembers::AddVoterIds(BTreeSet::from([id]));
        let votes = within("add a voter", raft.change_membership(votes, false));
        votes.await?.map_err(not_written)?;
        Ok(())
    }

    /// Takes a voter out of the quorum, which may be the leader itself. One that lives goes on getting
    /// the log, as an observer (KIP-853): it may be a broker as well, and needs the metadata.
    pub(crate) async fn remove_voter(&self, raft_id: u64) -> Result<(), MetadataLogError> {
        let service = self.open().map_err(stopped)?;
        let raft = service.raft.clone();
        let lives = service.watch.lives(raft_id);
        let gone = ChangeMembers::RemoveVoters(BTreeSet::from([raft_id]));
        let gone = within("remove a voter", raft.change_membership(gone, lives));
        gone.await?.map_err(not_written)?;
        if raft_id == service.own_id {
            // The library lets a leader lead on that is an observer.
            resign(&raft).await;
        }
        Ok(())
    }

    /// Takes a node out that gets the log and does not vote: it was added and never came up to date, or
    /// voted once.
    pub(crate) async fn remove_learner(&self, raft_id: u64) -> Result<(), MetadataLogError> {
        let raft = self.raft()?;
        let gone = ChangeMembers::RemoveNodes(BTreeSet::from([raft_id]));
        let gone = within("remove an observer", raft.change_membership(gone, false));
        gone.await?.map_err(not_written)?;
        Ok(())
    }

    /// Until a majority of the voters has answered what was asked after this was called, and all that was
    /// committed by then is applied here: a read index. Who leads no more, or is cut off, is told so within
    /// the lease of a leader.
    pub(crate) async fn confirm_lead(&self) -> Result<(), MetadataLogError> {
        let raft = self.raft()?;
        let confirmed = raft.ensure_linearizable(ReadPolicy::ReadIndex);
        let confirmed = within("confirm its leader", confirmed).await?;
        confirmed.map(drop).map_err(not_confirmed)
    }

    /// Asks another voter to lead. Whether it came to that is seen in the quorum's watch.
    #[cfg(test)]
    pub(super) async fn hand_over(&self, raft_id: u64) -> Result<(), MetadataLogError> {
        let asked = self.raft()?.trigger().transfer_leader(raft_id).await;
        asked.map_err(stopped)
    }
}

fn not_confirmed(error: RaftError<Quorum, LinearizableReadError<Quorum>>) -> MetadataLogError {
    match error {
        RaftError::APIError(_) => MetadataLogError::NotLeader { leader: None },
        RaftError::Fatal(error) => stopped(error),
    }
}

/// Until a node that gets the log has all that the leader had when it was taken in. The library is
/// content with one that is thousands of records behind, and with one that is not there at all; its
/// vote would be counted from then on, and a majority could be lost by it.
async fn caught_up<D: Disk>(raft: &QuorumRaft<D>, id: u64) -> Result<(), MetadataLogError> {
    let mut metrics = raft.metrics();
    let target = metrics.borrow_watched().last_log_index;
    loop {
        {
            let now = metrics.borrow_watched();
            let Some(replication) = &now.replication else {
                let leader = None;
                return Err(MetadataLogError::NotLeader { leader });
            };
            if now.membership_config.membership().get_node(&id).is_none() {
                let gone = "it was taken out before it had the log".to_owned();
                return Err(MetadataLogError::Voters(gone));
            }
            let matched = replication.get(&id).and_then(Option::as_ref);
            if matched.map(|last| last.index) >= target {
                return Ok(());
            }
        }
        metrics.changed().await.map_err(stopped)?;
    }
}

impl<D: Disk> Service<D> {
    pub(super) fn new(
        raft: QuorumRaft<D>,
        store: LogStore,
        machine: Machine<D>,
        own_id: u64,
        watch: QuorumWatch,
        hung_up: watch::Sender<HungUp>,
    ) -> Self {
        let receiver = Receiver::new(Arc::clone(&machine.disk), machine.dir.clone());
        Self {
            raft,
            store,
            machine,
            own_id,
            watch,
            leader_heard: Mutex::new(None),
            receiver: Arc::new(tokio::sync::Mutex::new(receiver)),
            hung_up,
        }
    }

    async fn vote(&self, request: &QuorumVoteRequest) -> Result<QuorumVoteResponse, Refused> {
        let asked = rpc::get_vote_request(request)?;
        let answer = if request.pre_vote {
            self.raft.pre_vote(asked).await?
        } else {
            self.raft.vote(asked).await?
        };
        Ok(rpc::put_voted(&answer)?)
    }

    async fn append(&self, request: &QuorumAppendRequest) -> Result<QuorumAppendResponse, Refused> {
        let answer = self.raft.append_entries(rpc::get_append(request)?).await?;
        match answer {
            AppendEntriesResponse::Success
            | AppendEntriesResponse::PartialSuccess(_)
            | AppendEntriesResponse::Conflict => {
                *self.leader_heard.lock() = Some(Instant::now());
            }
            // It was replaced.
            AppendEntriesResponse::HigherVote(_) => {}
        }
        Ok(rpc::put_appended(&answer)?)
    }

    async fn transfer(
        &self,
        request: &QuorumTransferRequest,
    ) -> Result<QuorumTransferResponse, Refused> {
        let asked = rpc::get_transfer(request)?;
        let answer = self.raft.handle_transfer_leader(asked).await?;
        Ok(rpc::put_transferred(&answer)?)
    }

    /// Takes a piece of a snapshot; with the last one the whole is installed, unless the sender has
    /// been replaced meanwhile. Until that is done no other piece is taken, also when nobody waits for
    /// the answer any more: the same snapshot sent again would be written over the one being read.
    async fn snapshot(
        self: Arc<Self>,
        request: QuorumSnapshotRequest,
    ) -> Result<QuorumSnapshotResponse, Refused> {
        let theirs = rows::read_vote(&request.vote)?;
        let own = self.raft.metrics().borrow_watched().vote;
        if own > theirs {
            return answer_piece(0, &own);
        }
        let mut receiver = Arc::clone(&self.receiver).lock_owned().await;
        let taken = tokio::spawn(async move {
            let length = request.length;
            let broken = |error: io::Error| Refused::Snapshot(error.to_string());
            match receiver.take(request).await.map_err(broken)? {
                Received::More(position) => answer_piece(rows::signed(position), &theirs),
                Received::Whole(file) => answer_piece(length, &self.install(theirs, file).await?),
            }
        });
        let taken = taken.await;
        taken.unwrap_or_else(|panic| Err(Refused::Snapshot(panic.to_string())))
    }

    async fn install(&self, vote: Vote, file: SnapshotFile) -> Result<Vote, Refused> {
        let (disk, path) = (Arc::clone(&self.machine.disk), file.path.clone());
        let read = move || Snapshot::read(&*disk, &path);
        let read = tokio::task::spawn_blocking(read).await;
        let broken = |error: &dyn std::fmt::Display| Refused::Snapshot(error.to_string());
        let snapshot = read.map_err(|panic| broken(&panic))?;
        let head = snapshot.map_err(|error| broken(&error))?.head;
        let meta = SnapshotMeta {
            last_log_id: Some(head.last_log_id),
            last_membership: head.membership,
        };
        let snapshot = RaftSnapshot {
            meta,
            snapshot: file,
        };
        Ok(self.raft.install_full_snapshot(vote, snapshot).await?.vote)
    }

    /// Committed entries behind the one that the broker has; or a snapshot, when those are gone.
    async fn fetch(
        &self,
        request: &FetchMetadataRequest,
    ) -> Result<FetchMetadataResponse, Refused> {
        let theirs = rpc::get_log_id(&request.last_log_id)?;
        let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
        let until = Instant::now() + wait.min(FETCH_WAIT_MAX);
        let quorum: Incarnations = request.incarnations.iter().copied().collect();
        self.check_kept(theirs, &quorum)?;
        let applied = self.applied_behind(theirs, until).await;
        self.check_kept(theirs, &quorum)?;
        let bytes_max = usize::try_from(request.max_bytes).unwrap_or(0);
        let mut answer = FetchMetadataResponse {
            leader_node_id: self.leader(),
            ..FetchMetadataResponse::default()
        };
        let Some(applied) = applied else {
            self.check_leader()?;
            return Ok(answer);
        };
        let (from, purged) = (theirs.map_or(0, |id| id.index + 1), self.store.purged()?);
        if purged.is_some_and(|purged| from <= purged.index) {
            answer.snapshot = Some(self.latest_snapshot()?);
            return Ok(answer);
        }
        self.check_history(theirs, purged)?;
        let store = self.store.clone();
        let bytes_max = bytes_max.min(FETCH_BYTES_MAX);
        let read = move || store.rows(from, applied.index + 1, bytes_max);
        let rows = tokio::task::spawn_blocking(read).await;
        let rows = rows.map_err(|panic| Refused::Snapshot(panic.to_string()))??;
        let entry = |row: Vec<u8>| EntryRow { row: row.into() };
        answer.entries = rows.into_iter().map(entry).collect();
        Ok(answer)
    }

    /// The last applied entry, once it lies behind what the broker has; `None` when the time is over.
    async fn applied_behind(&self, theirs: Option<LogId>, until: Instant) -> Option<LogId> {
        let mut metrics = self.raft.metrics();
        loop {
            let applied = self.machine.state.lock().applied();
            if let Some(applied) = applied
                && theirs.is_none_or(|theirs| theirs.index < applied.index)
            {
                return Some(applied);
            }
            let changed = tokio::time::timeout_at(until, metrics.changed()).await;
            if !matches!(changed, Ok(Ok(()))) {
                return None;
            }
        }
    }

    /// That there is nothing new is only worth saying with a leader in touch.
    fn check_leader(&self) -> Result<(), Refused> {
        let silence_max = self.watch.timing.silence_max();
        let heard = *self.leader_heard.lock();
        let is_heard = heard.is_some_and(|at| at.elapsed() <= silence_max);
        match is_heard || self.watch.leads().is_some() {
            true => Ok(()),
            false => Err(Refused::Alone(silence_max)),
        }
    }

    /// What a broker of an older incarnation has is in this log, if it lies before what the survivor had
    /// (`metadata/incarnations` in the core). Looked at also where there is nothing new: a broker that is
    /// ahead would take that for the latest.
    fn check_kept(&self, theirs: Option<LogId>, quorum: &Incarnations) -> Result<(), Refused> {
        let Some(theirs) = theirs else {
            return Ok(());
        };
        let image = Arc::clone(&self.machine.state.lock().image);
        let (term, index) = (theirs.leader_id.term, theirs.index);
        match image.incarnations().kin(quorum) {
            Kin::Same => return Ok(()),
            Kin::Newer | Kin::Foreign => return Err(Refused::Foreign { index, term }),
            Kin::Older => {}
        }
        // The first that they know nothing of.
        let Some(next) = image.recoveries().get(quorum.ids().len()) else {
            return Ok(());
        };
        if (LogPlace { term, index }) <= next.kept {
            return Ok(());
        }
        Err(Refused::HasMore {
            index,
            term,
            kept: next.kept,
            kept_offset: next.kept_offset,
        })
    }

    /// A broker only has what was committed. If that is not in the log here, one of the two belongs
    /// to another quorum.
    fn check_history(&self, theirs: Option<LogId>, purged: Option<LogId>) -> Result<(), Refused> {
        let Some(theirs) = theirs else {
            return Ok(());
        };
        let own = match purged.filter(|purged| purged.index == theirs.index) {
            Some(purged) => Some(purged),
            None => self.store.entry(theirs.index)?.map(|entry| entry.log_id()),
        };
        if own.is_none_or(|own| own == theirs) {
            return Ok(());
        }
        Err(Refused::Foreign {
            index: theirs.index,
            term: theirs.leader_id.term,
        })
    }

    fn leader(&self) -> i32 {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let voters = metrics.membership_config.membership();
        let leader = metrics.current_leader.and_then(|id| voters.get_node(&id));
        leader.map_or(-1, |voter| voter.node_id)
    }

    fn latest_snapshot(&self) -> Result<SnapshotId, Refused> {
        let state = self.machine.state.lock();
        let file = state.latest.as_ref().map(|latest| &latest.file);
        let place = file.and_then(|file| Some((snapshot::place_in_name(&file.path)?, file)));
        let ((end_offset, term), file) = place.ok_or(Refused::NoSnapshot)?;
        Ok(SnapshotId {
            end_offset,
            term,
            length: rows::signed(file.len_bytes),
        })
    }

    async fn fetch_snapshot(
        &self,
        request: &FetchMetadataSnapshotRequest,
    ) -> Result<FetchMetadataSnapshotResponse, Refused> {
        let FetchMetadataSnapshotRequest {
            end_offset,
            term,
            position,
            max_bytes,
        } = *request;
        let file = {
            let state = self.machine.state.lock();
            let latest = state.latest.as_ref().map(|latest| latest.file.clone());
            latest.filter(|file| snapshot::place_in_name(&file.path) == Some((end_offset, term)))
        };
        let file = file.ok_or(Refused::NoSnapshot)?;
        let length = file.len_bytes;
        let at = u64::try_from(position).ok().filter(|at| *at < length);
        let at = at.ok_or(Refused::Position(position))?;
        let bytes_max = usize::try_from(max_bytes).unwrap_or(0);
        let bytes_max = bytes_max.clamp(1, FETCH_BYTES_MAX);
        let disk = Arc::clone(&self.machine.disk);
        let read = move || read_piece(&*disk, &file, at, bytes_max);
        let piece = tokio::task::spawn_blocking(read).await;
        let broken = |error: &dyn std::fmt::Display| Refused::Snapshot(error.to_string());
        let piece = piece.map_err(|panic| broken(&panic))?;
        Ok(FetchMetadataSnapshotResponse {
            length: rows::signed(length),
            piece: piece.map_err(|error| broken(&error))?,
            ..FetchMetadataSnapshotResponse::default()
        })
    }
}

fn answer_piece(next_position: i64, vote: &Vote) -> Result<QuorumSnapshotResponse, Refused> {
    Ok(QuorumSnapshotResponse {
        next_position,
        vote: rpc::put_vote(vote)?,
        ..QuorumSnapshotResponse::default()
    })
}
