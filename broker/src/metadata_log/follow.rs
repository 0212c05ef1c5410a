//! The log at a broker that is no voter: it pulls what is committed, from any controller.
//!
//! A quorum that was recovered from a survivor may lack what this node has applied. It must not go back
//! silently: topics would be deleted with their data, and leader epochs given out a second time.
//!
//! What comes is kept as voters keep it (`store`, `snapshot`) and applied as they apply it
//! (`machine`), so that a restart goes on where it was. Only what is committed ever comes, so nothing
//! is taken back; a controller that has been replaced and does not know it may be behind, but never
//! wrong.
//!
//! | State | Event | Then |
//! |---|---|---|
//! | following | entries behind the last one | kept, applied |
//! | following | nothing, after a while | asks again |
//! | following | nothing, from one that hears no leader | asks another controller, after a pause |
//! | following | what it needs is gone there | takes the latest snapshot in, in pieces |
//! | following | a snapshot that covers no more than it has | asks another controller, after a pause |
//! | any | word that it has what a recovered quorum gave up | the node stops, with the remedy |
//! | any | no answer, or one that makes no sense | asks another controller, after a pause |
//! | any | the disk failed | the node stops |

use super::load::load_blocking;
use super::machine::{Machine, State};
use super::network::{Lane, QuorumTransport};
use super::quorum::QuorumOptions;
use super::receive::{Received, Receiver};
use super::rows;
use super::rpc;
use super::service::HAS_MORE;
use super::snapshot::SnapshotFile;
use super::store::LogStore;
use super::types::{Entry, LogId, Voter};
use super::{MetadataLogError, Publish};
use isthmus_broker_core::metadata::{MetadataDelta, MetadataImage};
use isthmus_log::MetaProperties;
use isthmus_log::disk::Disk;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::fetch_metadata_response::SnapshotId;
use isthmus_wire::messages::{
    FetchMetadataRequest, FetchMetadataSnapshotRequest, QuorumSnapshotRequest,
};
use openraft::entry::RaftEntry;
use parking_lot::Mutex;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a controller may hold a request of a broker that has everything.
const WAIT: Duration = Duration::from_millis(500);

/// Longest wait for entries, or for word that there are none. Shorter than the shortest session: a
/// broker that follows a controller which is lost knows another one by the time leaders are replaced.
const ANSWER_MAX: Duration = Duration::from_millis(1_500);

/// Longest wait for a piece of a snapshot.
const PIECE_MAX: Duration = Duration::from_secs(5);

/// After an answer that did not help: wait before the next controller is asked.
const PAUSE: Duration = Duration::from_millis(50);

/// Bytes of entries asked for at once: a line of two megabits carries them in time.
const FETCH_BYTES: i32 = 256 << 10;

/// Bytes of a snapshot asked for at once.
const PIECE_BYTES: i32 = 256 << 10;

/// The log of a broker that follows the quorum.
pub(crate) struct FollowedLog<D: Disk> {
    state: Arc<Mutex<State>>,
    run: Box<dyn FnOnce(CancellationToken) + Send>,
    _disk: std::marker::PhantomData<D>,
}

/// Why one round came to nothing.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    /// Another controller may do better.
    #[error("{0}")]
    There(String),
    /// This node can go on no more.
    #[error("{0}")]
    Here(String),
}

struct Follower<D: Disk, T> {
    disk: Arc<D>,
    store: LogStore,
    machine: Machine<D>,
    receiver: Receiver<D>,
    transport: T,
    controllers: Vec<i32>,
    snapshot_bytes: u64,
    failed: CancellationToken,
}

impl<D: Disk> FollowedLog<D> {
    /// Opens the log below `data`, and applies what it holds.
    pub(crate) async fn open<T: QuorumTransport>(
        disk: &Arc<D>,
        data: &Path,
        meta: &MetaProperties,
        transport: T,
        controllers: Vec<i32>,
        options: QuorumOptions,
    ) -> Result<Self, MetadataLogError> {
        let owner = Voter {
            node_id: meta.node_id,
            directory_id: meta.directory_id,
        };
        let (store, machine, _closed) = load_blocking(disk, data, owner).await?;
        machine.state.lock().bind(&options.bond);
        replay(&store, &machine).await?;
        let follower = Follower {
            disk: Arc::clone(disk),
            receiver: Receiver::new(Arc::clone(disk), machine.dir.clone()),
            transport,
            controllers,
            snapshot_bytes: options.snapshot_bytes,
            failed: options.failed,
            store,
            machine,
        };
        Ok(Self {
            state: Arc::clone(&follower.machine.state),
            run: Box::new(move |stop| {
                tokio::spawn(follower.run(stop));
            }),
            _disk: std::marker::PhantomData,
        })
    }

    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.state.lock().image)
    }

    /// The voters by the last word of the log as it was opened.
    pub(crate) fn voters_at_start(&self) -> Vec<Voter> {
        self.state.lock().voters_at_start.clone()
    }

    /// As [`super::MetadataLog::publish_to`].
    pub(crate) fn publish_to(
        &self,
        publisher: Arc<dyn Publish>,
    ) -> (Arc<MetadataImage>, MetadataDelta) {
        self.state.lock().publish_to(publisher)
    }

    /// Follows until `stop` is cancelled.
    pub(crate) fn start(self, stop: CancellationToken) {
        (self.run)(stop);
    }
}

/// Entries behind the snapshot, as they were kept.
async fn replay<D: Disk>(store: &LogStore, machine: &Machine<D>) -> Result<(), MetadataLogError> {
    let (store, machine) = (store.clone(), machine.clone());
    let from = next_index(machine.state.lock().applied());
    let run = move || -> Result<(), io::Error> {
        for entry in store.from(from)? {
            machine.apply_entry(entry)?;
        }
        Ok(())
    };
    let ran = tokio::task::spawn_blocking(run).await;
    let stopped = |error: &dyn std::fmt::Display| MetadataLogError::Stopped(error.to_string());
    ran.map_err(|panic| stopped(&panic))?
        .map_err(|error| stopped(&error))
}

fn next_index(last: Option<LogId>) -> u64 {
    last.map_or(0, |last| last.index + 1)
}

impl<D: Disk, T: QuorumTransport> Follower<D, T> {
    async fn run(mut self, stop: CancellationToken) {
        let mut at = 0;
        loop {
            let round = tokio::select! {
                () = stop.cancelled() => return,
                round = self.round(at) => round,
            };
            match round {
                Ok(()) => continue,
                Err(FollowError::There(error)) => {
                    tracing::debug!(event = "metadata_not_fetched", error);
                    at = (at + 1) % self.controllers.len().max(1);
                }
                Err(FollowError::Here(error)) => {
                    tracing::error!(event = "metadata_log_failed", error);
                    self.failed.cancel();
                    return;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// One request to one controller, and what comes of it.
    async fn round(&mut self, at: usize) -> Result<(), FollowError> {
        let node_id = self.controllers.get(at).copied();
        let node_id = node_id.ok_or_else(|| there(&"no controllers are known"))?;
        let (last, quorum) = {
            let state = self.machine.state.lock();
            (state.applied(), state.image.incarnations())
        };
        let request = FetchMetadataRequest {
            last_log_id: rpc::put_log_id(last.as_ref()).map_err(|error| here(&error))?,
            max_wait_ms: i32::try_from(WAIT.as_millis()).unwrap_or(i32::MAX),
            max_bytes: FETCH_BYTES,
            incarnations: quorum.ids().to_vec(),
        };
        let answer = self
            .transport
            .call(to(node_id), Lane::Log, request, ANSWER_MAX);
        let answer = answer.await.map_err(|error| there(&error))?;
        if answer.error_code == HAS_MORE {
            return Err(here(&answer.error_message.unwrap_or_default()));
        }
        if answer.error_code != ErrorCode::NONE {
            let message = answer.error_message.unwrap_or_default();
            return Err(there(&format!("{:?}: {message}", answer.error_code)));
        }
        if let Some(snapshot) = answer.snapshot {
            return self.take_snapshot(node_id, snapshot).await;
        }
        let rows = answer.entries.iter().map(|it| rows::read_entry(&it.row));
        let entries: Result<Vec<Entry>, _> = rows.collect();
        self.take(last, entries.map_err(|error| there(&error))?)
            .await
    }

    /// Keeps and applies entries that follow on the last one.
    async fn take(&self, last: Option<LogId>, entries: Vec<Entry>) -> Result<(), FollowError> {
        for (expected, entry) in (next_index(last)..).zip(&entries) {
            let found = entry.log_id().index;
            if found != expected {
                return Err(there(&format!(
                    "entry {found} came where {expected} was due"
                )));
            }
        }
        if entries.is_empty() {
            return Ok(());
        }
        let kept = self.store.keep(entries.clone()).await;
        kept.map_err(|error| here(&error))?;
        let (machine, snapshot_bytes) = (self.machine.clone(), self.snapshot_bytes);
        let run = move || -> Result<Option<LogId>, io::Error> {
            for entry in entries {
                machine.apply_entry(entry)?;
            }
            if machine.state.lock().bytes_behind_snapshot < snapshot_bytes {
                return Ok(None);
            }
            machine.snapshot().map_err(io::Error::other)?;
            Ok(machine.state.lock().purge_upto())
        };
        let upto = self.blocking(run).await?;
        self.let_go(upto).await
    }

    async fn let_go(&self, upto: Option<LogId>) -> Result<(), FollowError> {
        let Some(upto) = upto else {
            return Ok(());
        };
        let gone = self.store.let_go(upto).await;
        gone.map_err(|error| here(&error))
    }

    async fn blocking<R: Send + 'static>(
        &self,
        run: impl FnOnce() -> Result<R, io::Error> + Send + 'static,
    ) -> Result<R, FollowError> {
        let ran = tokio::task::spawn_blocking(run).await;
        let ran = ran.map_err(|panic| here(&panic))?;
        ran.map_err(|error| here(&error))
    }

    async fn take_snapshot(&mut self, node_id: i32, id: SnapshotId) -> Result<(), FollowError> {
        let mut position = 0;
        loop {
            let request = FetchMetadataSnapshotRequest {
                end_offset: id.end_offset,
                term: id.term,
                position: rows::signed(position),
                max_bytes: PIECE_BYTES,
            };
            let answer = self
                .transport
                .call(to(node_id), Lane::Snapshot, request, PIECE_MAX);
            let answer = answer.await.map_err(|error| there(&error))?;
            if answer.error_code != ErrorCode::NONE || answer.length != id.length {
                return Err(there(&format!("{:?} in a snapshot", answer.error_code)));
            }
            let piece = QuorumSnapshotRequest {
                end_offset: id.end_offset,
                term: id.term,
                length: id.length,
                position: rows::signed(position),
                piece: answer.piece,
                ..QuorumSnapshotRequest::default()
            };
            match self.receiver.take(piece).await {
                Ok(Received::More(next)) if next > position => position = next,
                Ok(Received::More(_)) => return Err(there(&"a snapshot that does not go on")),
                Ok(Received::Whole(file)) => return self.install(file).await,
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    return Err(there(&error));
                }
                Err(error) => return Err(here(&error)),
            }
        }
    }

    /// Takes the place of the whole log. One that is damaged was damaged on the way, or there.
    async fn install(&self, file: SnapshotFile) -> Result<(), FollowError> {
        let (disk, path) = (Arc::clone(&self.disk), file.path.clone());
        let read = move || super::snapshot::Snapshot::read(&*disk, &path);
        let read = tokio::task::spawn_blocking(read).await;
        let read = read.map_err(|panic| here(&panic))?;
        let head = read.map_err(|error| there(&error))?.head;
        let applied = self.machine.state.lock().applied();
        if applied >= Some(head.last_log_id) {
            return Err(there(&"a snapshot of what this node has already"));
        }
        let machine = self.machine.clone();
        let install = move || machine.install(&file).map_err(io::Error::other);
        self.blocking(install).await?;
        self.let_go(Some(head.last_log_id)).await
    }
}

/// Only its number is known; that is enough to reach it.
fn to(node_id: i32) -> Voter {
    Voter {
        node_id,
        ..Voter::default()
    }
}

fn there(error: &dyn std::fmt::Display) -> FollowError {
    FollowError::There(error.to_string())
}

fn here(error: &dyn std::fmt::Display) -> FollowError {
    FollowError::Here(error.to_string())
}
