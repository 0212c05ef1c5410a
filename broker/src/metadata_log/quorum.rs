//! The quorum as one of its voters sees it: joined, led, appended to, closed.
//!
//! A voter *joins* when its files are open and it takes part in elections. It may *lead* once it was
//! elected and this incarnation's own record is committed: from then on its epoch is the place of
//! that record, and every change carries it (design, decision 6). A change that was decided by a
//! controller that has been replaced is a no-op, wherever it comes to stand.
//!
//! The only voter of its quorum calls for the election instead of waiting for it, and opening ends
//! when it leads: all that is a matter of milliseconds.

use super::load::load_blocking;
use super::machine::{Machine, State};
use super::network::{NoPeers, Peers, QuorumTransport};
use super::service::{QuorumService, Service};
use super::succession::stand_for_election;
use super::types::{EncodedChange, Quorum, Voter};
use super::{MetadataLog, MetadataLogError, Publish, QuorumBond, QuorumTiming, QuorumWatch};
use crate::disk_failure::FULL_OR_BROKEN;
use bytes::Bytes;
use futures::future::BoxFuture;
use isthmus_broker_core::metadata::{ChangeVerdict, MetadataDelta, MetadataImage, MetadataRecord};
use isthmus_log::MetaProperties;
use isthmus_log::disk::Disk;
use isthmus_wire::messages::ControllerStartedRecord;
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::{Config, Raft, RaftMetrics, ServerState, SnapshotPolicy};
use parking_lot::Mutex;
use prometheus::Histogram;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// A disk that takes longer for one change, or for the replay at a start, counts as dead; so does a
/// majority that does not take one.
const COMMIT_MAX: Duration = Duration::from_secs(60);

/// Entries after which a snapshot is taken, however small they are: what a start has to replay.
const SNAPSHOT_ENTRIES: u64 = 20_000;

/// Entries of one append: a voter that is far behind gets them in bites.
const APPEND_ENTRIES_MAX: u64 = 64;

/// Tries at the first record of an incarnation, each behind what another one left. There are no more
/// of those than elections in the meantime.
const BEGIN_TRIES: u32 = 16;

/// How often voters that do not lead look whether a snapshot is due, or entries can go.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// How long a leader that gives way waits for its successor.
const RESIGN_MAX: Duration = Duration::from_secs(1);

pub(super) type QuorumRaft<D> = Raft<Quorum, Machine<D>>;

/// What opening takes beside the directory.
pub(crate) struct QuorumOptions {
    /// Bytes of records behind which a snapshot is taken.
    pub(crate) snapshot_bytes: u64,
    pub(crate) timing: QuorumTiming,
    pub(crate) append_seconds: Histogram,
    /// Told of the log once it is open.
    pub(crate) bond: QuorumBond,
    /// Cancelled when the quorum can go on no more.
    pub(crate) failed: CancellationToken,
}

/// The log of the quorum, at one of its voters.
pub(crate) struct QuorumMetadataLog<D: Disk> {
    raft: Option<QuorumRaft<D>>,
    voter: Voter,
    state: Arc<Mutex<State>>,
    service: QuorumService<D>,
    runtime: Handle,
    controller_epoch: i64,
    tidier: Tidier,
    timing: QuorumTiming,
    append_seconds: Histogram,
    /// Resolves when the file is closed.
    closed: Option<oneshot::Receiver<()>>,
    stop: CancellationToken,
}

impl<D: Disk> QuorumMetadataLog<D> {
    /// Opens the log below `data` as the only voter, and leads.
    pub(crate) async fn open(
        disk: &Arc<D>,
        data: &Path,
        meta: &MetaProperties,
        options: QuorumOptions,
    ) -> Result<Self, MetadataLogError> {
        let mut log = Self::join(disk, data, meta, NoPeers, options).await?;
        let voters = log.voters_at_start();
        if voters.iter().map(Voter::raft_id).ne([log.voter.raft_id()]) {
            return Err(MetadataLogError::OtherVoters { voters });
        }
        let raft = log.raft()?;
        raft.trigger().elect(false).await.map_err(stopped)?;
        let wait = raft.wait(Some(COMMIT_MAX));
        wait.state(ServerState::Leader, "the only voter leads")
            .await
            .map_err(stopped)?;
        let recovered = raft.wait_for_recovery(Some(COMMIT_MAX)).await;
        recovered.map_err(stopped)?;
        log.begin_to_lead().await?;
        Ok(log)
    }

    /// Opens the log below `data` as one of several voters. Who leads is seen in [`Self::watch`].
    pub(crate) async fn join<T: QuorumTransport>(
        disk: &Arc<D>,
        data: &Path,
        meta: &MetaProperties,
        transport: T,
        options: QuorumOptions,
    ) -> Result<Self, MetadataLogError> {
        let voter = Voter {
            node_id: meta.node_id,
            directory_id: meta.directory_id,
        };
        let (store, machine, closed) = load_blocking(disk, data, voter).await?;
        machine.state.lock().bind(&options.bond);
        let peers = Peers {
            own_id: voter.raft_id(),
            disk: Arc::clone(disk),
            transport,
        };
        let config = config(options.timing).validate().map_err(stopped)?;
        let (id, config) = (voter.raft_id(), Arc::new(config));
        let raft = Raft::new(id, config, peers, store.clone(), machine.clone()).await;
        let raft = raft.map_err(stopped)?;
        let stop = CancellationToken::new();
        let (hung_up, told) = watch::channel(None);
        let stand = stand_for_election(raft.clone(), options.timing, told, stop.clone());
        tokio::spawn(stand);
        let watch = QuorumWatch {
            metrics: raft.metrics(),
            state: Arc::clone(&machine.state),
            timing: options.timing,
        };
        let log = Self {
            voter,
            state: Arc::clone(&machine.state),
            runtime: Handle::current(),
            controller_epoch: -1,
            tidier: Tidier {
                state: Arc::clone(&machine.state),
                snapshot_bytes: options.snapshot_bytes,
                purged_upto: None,
            },
            service: QuorumService::new(Service::new(
                raft.clone(),
                store,
                machine,
                id,
                watch,
                hung_up,
            )),
            timing: options.timing,
            append_seconds: options.append_seconds,
            closed: Some(closed),
            stop,
            raft: Some(raft),
        };
        let ended = stop_when_given_up(options.bond, options.failed.clone(), log.stop.clone());
        tokio::spawn(ended);
        tokio::spawn(watch_failure(log.raft()?.metrics(), options.failed));
        Ok(log)
    }

    /// What the log has added up to so far.
    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.state.lock().image)
    }

    /// The voters by the last word of the log as it was opened.
    pub(crate) fn voters_at_start(&self) -> Vec<Voter> {
        self.state.lock().voters_at_start.clone()
    }

    pub(crate) fn watch(&self) -> Result<QuorumWatch, MetadataLogError> {
        Ok(QuorumWatch {
            metrics: self.raft()?.metrics(),
            state: Arc::clone(&self.state),
            timing: self.timing,
        })
    }

    /// What the other voters, and brokers that follow the log, may ask of this one.
    pub(crate) fn service(&self) -> QuorumService<D> {
        self.service.clone()
    }

    fn raft(&self) -> Result<&QuorumRaft<D>, MetadataLogError> {
        let closed = || MetadataLogError::Stopped("it is closed".to_owned());
        self.raft.as_ref().ok_or_else(closed)
    }

    /// Commits the record by which this incarnation begins; its place is the controller epoch. To be
    /// called when this voter was elected, and before anything else is appended in that term.
    pub(super) async fn begin_to_lead(&mut self) -> Result<i64, MetadataLogError> {
        let term = self.raft()?.metrics().borrow_watched().current_term;
        let record = MetadataRecord::from(ControllerStartedRecord {
            controller_id: self.voter.node_id,
            directory_id: self.voter.directory_id,
            incarnation_id: crate::ids::random_uuid(),
            term: super::rows::signed(term),
        });
        let mut tries = 0;
        loop {
            let last_offset = {
                let state = self.state.lock();
                self.controller_epoch = state.image.controller_epoch;
                state.image.offset
            };
            match self
                .commit(last_offset, std::slice::from_ref(&record))
                .await
            {
                Ok(()) => break,
                // What the one before left behind is applied by now: once more, behind that.
                Err(MetadataLogError::Stale { .. }) if tries < BEGIN_TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
        self.controller_epoch = self.state.lock().image.controller_epoch;
        Ok(self.controller_epoch)
    }

    /// From now on time alone makes no candidate of this voter.
    #[cfg(test)]
    pub(super) fn elects_only_when_asked(&self) {
        self.raft().unwrap().runtime_config().elect(false);
    }

    pub(super) async fn commit(
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
        let watch = self.watch()?;
        let timer = self.append_seconds.start_timer();
        let written = tokio::select! {
            biased;
            written = within("commit a change", self.write(&watch, change)) => written??,
            // Whoever waits for it holds up everybody else, and the end of this node.
            () = watch.lost_lead() => {
                let silence = "a majority was silent";
                return Err(MetadataLogError::Unsure(silence.to_owned()));
            }
        };
        timer.observe_duration();
        match written {
            Some(ChangeVerdict::Applied) => Ok(()),
            Some(ChangeVerdict::Stale { .. }) | None => Err(MetadataLogError::Stale {
                expected: last_offset,
                epoch: self.controller_epoch,
            }),
        }
    }

    /// The library takes nothing while a majority is silent for longer than a lease, which may be over
    /// before another voter can have been elected: nothing was written then, and it is tried again.
    async fn write(
        &self,
        watch: &QuorumWatch,
        change: EncodedChange,
    ) -> Result<Option<ChangeVerdict>, MetadataLogError> {
        loop {
            let written = self.raft()?.client_write(change.clone()).await;
            match written.map_err(not_written) {
                Ok(written) => return Ok(written.data),
                Err(MetadataLogError::NotLeader { leader: None }) if watch.leads().is_some() => {
                    tokio::time::sleep(watch.look_every()).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks after snapshots while this voter does not lead; a leader does that with its changes.
    pub(crate) fn tidy_in_background(&self) {
        let (mut tidier, stop) = (self.tidier.clone(), self.stop.clone());
        let Some(raft) = self.raft.clone() else {
            return;
        };
        self.runtime.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(TIDY_EVERY) => {}
                }
                if !raft.is_leader() && tidier.tidy(&raft).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Takes snapshots when they are due, and lets go of what no kept snapshot needs.
#[derive(Clone)]
struct Tidier {
    state: Arc<Mutex<State>>,
    snapshot_bytes: u64,
    purged_upto: Option<u64>,
}

impl Tidier {
    /// Both happen beside the changes that follow.
    async fn tidy<D: Disk>(&mut self, raft: &QuorumRaft<D>) -> Result<(), MetadataLogError> {
        let (due, upto) = {
            let state = self.state.lock();
            let due = state.bytes_behind_snapshot >= self.snapshot_bytes;
            (due, state.purge_upto().map(|upto| upto.index))
        };
        if due {
            raft.trigger().snapshot().await.map_err(stopped)?;
        }
        if let Some(upto) = upto
            && self.purged_upto.is_none_or(|purged| purged < upto)
        {
            raft.trigger().purge_log(upto).await.map_err(stopped)?;
            self.purged_upto = Some(upto);
        }
        Ok(())
    }
}

impl<D: Disk> MetadataLog for QuorumMetadataLog<D> {
    fn append<'a>(
        &'a mut self,
        last_offset: i64,
        records: &'a [MetadataRecord],
    ) -> BoxFuture<'a, Result<(), MetadataLogError>> {
        Box::pin(async move {
            self.commit(last_offset, records).await?;
            let raft = self.raft()?.clone();
            self.tidier.tidy(&raft).await
        })
    }

    fn lead(&mut self) -> BoxFuture<'_, Result<i64, MetadataLogError>> {
        Box::pin(self.begin_to_lead())
    }

    fn publish_to(&mut self, publisher: Arc<dyn Publish>) -> (Arc<MetadataImage>, MetadataDelta) {
        self.state.lock().publish_to(publisher)
    }

    fn close(&mut self) -> BoxFuture<'_, Result<(), MetadataLogError>> {
        Box::pin(async move {
            let Some(raft) = self.raft.take() else {
                return Ok(());
            };
            self.stop.cancel();
            self.service.close();
            let closed = self.closed.take();
            resign(&raft).await;
            let ended = within("stop", raft.shutdown()).await?;
            drop(raft);
            if let Some(closed) = closed {
                within("close its file", closed).await?.ok();
            }
            ended.map_err(stopped)
        })
    }
}

/// A leader that stops, or votes no more, asks the voter that has most to lead, so that nobody waits for an election. If
/// that does not take the lead in time, there will be one.
pub(super) async fn resign<D: Disk>(raft: &QuorumRaft<D>) {
    let mut metrics = raft.metrics();
    let successor = {
        let now = metrics.borrow_watched();
        let voters: BTreeSet<u64> = now.membership_config.voter_ids().collect();
        let others = now.replication.iter().flatten();
        let others = others.filter(|(id, _)| **id != now.id && voters.contains(id));
        others.max_by_key(|(_, last)| **last).map(|(id, _)| *id)
    };
    let (Some(successor), true) = (successor, raft.is_leader()) else {
        return;
    };
    if raft.trigger().transfer_leader(successor).await.is_err() {
        return;
    }
    let gone = async { while raft.is_leader() && metrics.changed().await.is_ok() {} };
    drop(tokio::time::timeout(RESIGN_MAX, gone).await);
}

pub(super) fn config(timing: QuorumTiming) -> Config {
    let (election_timeout_min, election_timeout_max) = timing.election_ms();
    Config {
        cluster_name: "metadata".to_owned(),
        heartbeat_interval: timing.heartbeat_ms(),
        election_timeout_min,
        election_timeout_max,
        // A leader that is heard and hears nobody would otherwise lead for ever.
        quorum_loss_probe_interval: Some(timing.quiet_ms()),
        enable_pre_vote: Some(true),
        max_payload_entries: APPEND_ENTRIES_MAX,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_ENTRIES),
        // What is let go of is decided here: the library would go up to the latest snapshot.
        max_in_snapshot_log_to_keep: u64::MAX,
        ..Config::default()
    }
}

/// A voter whose quorum was given up must not come to lead it again: with others that come back it would
/// be a majority. What it has that the new one has not was given up by whoever recovered the survivor.
async fn stop_when_given_up(bond: QuorumBond, failed: CancellationToken, stop: CancellationToken) {
    let newer = tokio::select! {
        () = stop.cancelled() => return,
        newer = bond.given_up() => newer,
    };
    let own = bond.quorum().unwrap_or_default();
    tracing::error!(
        event = "quorum_given_up", told_by = newer.node_id, own = %own, now = %newer.quorum,
        "the quorum of this voter lost its majority and was recovered without it (isthmus quorum recover): \
         give this node an empty directory, format it with --no-initial-controllers, and add it with \
         isthmus quorum add"
    );
    failed.cancel();
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
                tracing::error!(event = "metadata_quorum_failed", %error, "{}", FULL_OR_BROKEN);
                failed.cancel();
                return;
            }
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

pub(super) async fn within<T>(
    what: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, MetadataLogError> {
    let limit = COMMIT_MAX;
    let done = tokio::time::timeout(limit, work).await;
    done.map_err(|_| MetadataLogError::TimedOut { what, limit })
}

/// A write that another voter should have been asked for is not the end of this one.
pub(super) fn not_written(error: RaftError<Quorum, ClientWriteError<Quorum>>) -> MetadataLogError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
            let leader = forward.leader_node.map(|voter| voter.node_id);
            MetadataLogError::NotLeader { leader }
        }
        RaftError::APIError(ClientWriteError::ChangeMembershipError(
            ChangeMembershipError::InProgress(_),
        )) => MetadataLogError::VotersChanging,
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => {
            MetadataLogError::Voters(error.to_string())
        }
        // Committed or not: whoever asked must not be told that it was.
        RaftError::APIError(discarded) => MetadataLogError::Unsure(discarded.to_string()),
        RaftError::Fatal(error) => stopped(error),
    }
}

pub(super) fn stopped(error: impl std::fmt::Display) -> MetadataLogError {
    MetadataLogError::Stopped(error.to_string())
}
