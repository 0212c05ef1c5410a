//! The quorum as its node sees it: opened, led, appended to, closed.
//!
//! Opening ends when this node leads, everything committed is applied, and this incarnation's own
//! record is committed: from then on its epoch is the place of that record, and every change
//! carries it. With one voter all that is a matter of milliseconds; a change that cannot be
//! committed stops the node.

use super::load::load_blocking;
use super::machine::{Machine, State};
use super::network::NoPeers;
use super::store::LogStore;
use super::types::{EncodedChange, Quorum, Voter};
use super::{MetadataLog, MetadataLogError, Publish, QuorumWatch};
use bytes::Bytes;
use isthmus_broker_core::metadata::{ChangeVerdict, MetadataDelta, MetadataImage, MetadataRecord};
use isthmus_log::MetaProperties;
use isthmus_log::disk::Disk;
use isthmus_wire::messages::ControllerStartedRecord;
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::WatchReceiver;
use openraft::{Config, Raft, RaftMetrics, ServerState, SnapshotPolicy};
use parking_lot::Mutex;
use prometheus::Histogram;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// A disk that takes longer for one change, or for the replay at a start, counts as dead.
const COMMIT_MAX: Duration = Duration::from_secs(60);

/// Entries after which a snapshot is taken, however small they are: what a start has to replay.
const SNAPSHOT_ENTRIES: u64 = 20_000;

/// Times of the library, in ms. With one voter nobody waits for any of them: the election is
/// called for, not waited for.
const HEARTBEAT_MS: u64 = 200;
const ELECTION_MS: (u64, u64) = (1_000, 2_000);

type QuorumRaft<D> = Raft<Quorum, Machine<D>>;

/// What opening takes beside the directory.
pub(crate) struct QuorumOptions {
    /// Bytes of records behind which a snapshot is taken.
    pub(crate) snapshot_bytes: u64,
    pub(crate) append_seconds: Histogram,
    /// Cancelled when the quorum can go on no more.
    pub(crate) failed: CancellationToken,
}

/// An open log, and what it added up to.
pub(crate) struct Opened<D: Disk> {
    pub(crate) log: QuorumMetadataLog<D>,
    pub(crate) image: Arc<MetadataImage>,
    pub(crate) replayed: MetadataDelta,
}

/// The log of the quorum, as its leader.
pub(crate) struct QuorumMetadataLog<D: Disk> {
    raft: Option<QuorumRaft<D>>,
    state: Arc<Mutex<State>>,
    runtime: Handle,
    controller_epoch: i64,
    purged_upto: Option<u64>,
    snapshot_bytes: u64,
    append_seconds: Histogram,
    /// Resolves when the file is closed.
    closed: Option<oneshot::Receiver<()>>,
}

impl<D: Disk> QuorumMetadataLog<D> {
    /// Opens the log below `data` and leads the quorum.
    pub(crate) async fn open(
        disk: &Arc<D>,
        data: &Path,
        meta: &MetaProperties,
        options: QuorumOptions,
    ) -> Result<Opened<D>, MetadataLogError> {
        let voter = Voter {
            node_id: meta.node_id,
            directory_id: meta.directory_id,
        };
        let (store, machine, closed) = load_blocking(disk, data, voter).await?;
        let state = Arc::clone(&machine.state);
        let raft = start(voter, store, machine, options.failed).await?;
        let mut log = Self {
            raft: Some(raft),
            state,
            runtime: Handle::current(),
            controller_epoch: -1,
            purged_upto: None,
            snapshot_bytes: options.snapshot_bytes,
            append_seconds: options.append_seconds,
            closed: Some(closed),
        };
        log.begin(voter).await?;
        let mut state = log.state.lock();
        let (image, replayed) = (Arc::clone(&state.image), state.take_replayed());
        drop(state);
        Ok(Opened {
            log,
            image,
            replayed,
        })
    }

    pub(crate) fn watch(&self) -> Result<QuorumWatch, MetadataLogError> {
        Ok(QuorumWatch {
            metrics: self.raft()?.metrics(),
            state: Arc::clone(&self.state),
        })
    }

    fn raft(&self) -> Result<&QuorumRaft<D>, MetadataLogError> {
        let closed = || MetadataLogError::Stopped("it is closed".to_owned());
        self.raft.as_ref().ok_or_else(closed)
    }

    /// Commits the record by which this incarnation begins; its place is the controller epoch.
    async fn begin(&mut self, voter: Voter) -> Result<(), MetadataLogError> {
        let term = self.raft()?.metrics().borrow_watched().current_term;
        let (epoch, last_offset) = {
            let state = self.state.lock();
            (state.image.controller_epoch, state.image.offset)
        };
        self.controller_epoch = epoch;
        let record = ControllerStartedRecord {
            controller_id: voter.node_id,
            directory_id: voter.directory_id,
            incarnation_id: crate::ids::random_uuid(),
            term: super::rows::signed(term),
        };
        self.commit(last_offset, &[record.into()]).await?;
        self.controller_epoch = self.state.lock().image.controller_epoch;
        Ok(())
    }

    async fn commit(
        &self,
        last_offset: i64,
        records: &[MetadataRecord],
    ) -> Result<(), MetadataLogError> {
        let values = records.iter().map(MetadataRecord::to_bytes);
        let change = EncodedChange {
            controller_epoch: self.controller_epoch,
            expected_last_offset: last_offset,
            records: values.collect::<Result<Vec<Bytes>, _>>()?,
        };
        let timer = self.append_seconds.start_timer();
        let written = within("commit a change", self.raft()?.client_write(change)).await?;
        timer.observe_duration();
        match written.map_err(stopped)?.data {
            Some(ChangeVerdict::Applied) => Ok(()),
            Some(ChangeVerdict::Stale { .. }) | None => Err(MetadataLogError::Stale {
                expected: last_offset,
                epoch: self.controller_epoch,
            }),
        }
    }

    /// Asks for a snapshot when enough has come behind the last one, and lets go of what no kept
    /// snapshot needs. Both happen beside the changes that follow.
    async fn tidy(&mut self) -> Result<(), MetadataLogError> {
        let (due, upto) = {
            let state = self.state.lock();
            let due = state.bytes_behind_snapshot >= self.snapshot_bytes;
            (due, state.purge_upto())
        };
        if due {
            self.raft()?.trigger().snapshot().await.map_err(stopped)?;
        }
        if let Some(upto) = upto
            && self.purged_upto.is_none_or(|purged| purged < upto)
        {
            self.raft()?
                .trigger()
                .purge_log(upto)
                .await
                .map_err(stopped)?;
            self.purged_upto = Some(upto);
        }
        Ok(())
    }
}

impl<D: Disk> MetadataLog for QuorumMetadataLog<D> {
    fn append(
        &mut self,
        last_offset: i64,
        records: &[MetadataRecord],
    ) -> Result<(), MetadataLogError> {
        let runtime = self.runtime.clone();
        runtime.block_on(async {
            self.commit(last_offset, records).await?;
            self.tidy().await
        })
    }

    fn publish_to(&mut self, publisher: Arc<dyn Publish>) {
        self.state.lock().publish_to(publisher);
    }

    fn close(&mut self) -> Result<(), MetadataLogError> {
        let Some(raft) = self.raft.take() else {
            return Ok(());
        };
        let closed = self.closed.take();
        self.runtime.clone().block_on(async move {
            let ended = within("stop", raft.shutdown()).await?;
            drop(raft);
            if let Some(closed) = closed {
                within("close its file", closed).await?.ok();
            }
            ended.map_err(stopped)
        })
    }
}

fn config() -> Config {
    Config {
        cluster_name: "metadata".to_owned(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: ELECTION_MS.0,
        election_timeout_max: ELECTION_MS.1,
        enable_pre_vote: Some(true),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_ENTRIES),
        // What is let go of is decided here: the library would go up to the latest snapshot.
        max_in_snapshot_log_to_keep: u64::MAX,
        ..Config::default()
    }
}

/// Starts the library and waits until this node leads and everything is applied.
async fn start<D: Disk>(
    voter: Voter,
    store: LogStore,
    machine: Machine<D>,
    failed: CancellationToken,
) -> Result<QuorumRaft<D>, MetadataLogError> {
    let id = voter.raft_id();
    let config = config().validate().map_err(stopped)?;
    let raft = Raft::new(id, Arc::new(config), NoPeers, store, machine)
        .await
        .map_err(stopped)?;
    raft.trigger().elect(false).await.map_err(stopped)?;
    let wait = raft.wait(Some(COMMIT_MAX));
    wait.state(ServerState::Leader, "the only voter leads")
        .await
        .map_err(stopped)?;
    let recovered = raft.wait_for_recovery(Some(COMMIT_MAX)).await;
    recovered.map_err(stopped)?;
    tokio::spawn(watch_failure(raft.metrics(), failed));
    Ok(raft)
}

/// Says so, and stops the node, when the quorum ends for any reason but being asked.
async fn watch_failure(
    mut metrics: WatchReceiverOf<Quorum, RaftMetrics<Quorum>>,
    failed: CancellationToken,
) {
    loop {
        let state = metrics.borrow_watched().running_state.clone();
        match state {
            Ok(()) => {}
            Err(openraft::errors::Fatal::Stopped) => return,
            Err(error) => {
                tracing::error!(event = "metadata_quorum_failed", %error);
                failed.cancel();
                return;
            }
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

async fn within<T>(
    what: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, MetadataLogError> {
    let limit = COMMIT_MAX;
    let done = tokio::time::timeout(limit, work).await;
    done.map_err(|_| MetadataLogError::TimedOut { what, limit })
}

fn stopped(error: impl std::fmt::Display) -> MetadataLogError {
    MetadataLogError::Stopped(error.to_string())
}
