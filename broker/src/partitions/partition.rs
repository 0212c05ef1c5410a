//! One partition on this broker: its log, the role of this replica, and who waits for it.
//!
//! One writer at a time, under the partition's lock. Readers take their place in the segment under
//! the lock and read outside of it. An fsync never runs under the lock.

use super::cleaning::CleaningState;
use super::group_commit::Commits;
use super::leases::Leases;
use super::role::{Role, Taking};
use super::rules::append_rules;
use super::watchers::{Ready, Watchers};
use super::{IsrProposal, PartitionKey, ReadFailure, ServedBy};
use crate::disk_failure::DiskFailure;
use isthmus_broker_core::config::TopicConfig;
use isthmus_broker_core::metadata::{MetadataImage, PartitionImage};
use isthmus_broker_core::replica::{
    AlterPartition, AlterPartitionAnswer, AppendRefused, Completion, Leader, LeaderEffects,
};
use isthmus_log::disk::ProcessDisk;
use isthmus_log::{
    AppendError, AppendOrigin, AppendRules, Deleted, Log, LogConfig, OpenContext, OpenError,
    RecoveryReport, StorageError,
};
use isthmus_wire::ErrorCode;
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// How often a write that waits for a lease alone looks for it.
pub(super) const LEASE_PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Partition {
    topic: Arc<str>,
    key: PartitionKey,
    pub(super) state: Mutex<State>,
    pub(super) watchers: Watchers,
    /// Held by a flush: a second one would only do the same work again.
    pub(super) flushing: tokio::sync::Mutex<()>,
    /// To the controller.
    proposals: mpsc::Sender<IsrProposal>,
    /// For `flush.policy = group`.
    pub(super) commits: Arc<Commits>,
    pub(super) leases: Arc<Leases>,
    pub(super) failure: DiskFailure,
}

/// What all partitions of a broker share.
pub(super) struct Shared {
    pub(super) proposals: mpsc::Sender<IsrProposal>,
    pub(super) commits: Arc<Commits>,
    pub(super) leases: Arc<Leases>,
    pub(super) failure: DiskFailure,
}

pub(super) struct State {
    pub(super) log: Log<ProcessDisk>,
    pub(super) role: Role,
    pub(super) config: TopicConfig,
    rules: AppendRules,
    /// Records appended since the last fsync that `flush.messages` asked for.
    pub(super) unflushed_records: i64,
    /// Since when (boot clock) there is something to flush, where `flush.ms` bounds that.
    pub(super) unflushed_since: Option<Duration>,
    /// The topic was deleted: nothing may touch the files any more.
    pub(super) gone: bool,
    /// The broker stops: nothing is appended any more.
    pub(super) closed: bool,
    /// A sync of this directory failed: nobody waits for another.
    pub(super) failed: Option<StorageError>,
    /// Where a follower's log is about to be cut: the checkpoints come down before.
    pub(super) cut_to: Option<i64>,
    pub(super) cleaning: CleaningState,
}

/// What a producer wants to be sure of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acks {
    None,
    Leader,
    All,
}

/// A batch that is in the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Appended {
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) log_append_time_ms: i64,
    pub(crate) log_start_offset: i64,
    /// Of the leadership that took it; what becomes of it under another one, this one cannot say.
    pub(super) leader_epoch: i32,
    /// The high watermark is past it already.
    pub(crate) committed: bool,
    /// This replica's copy counts already; it does at once unless `flush.policy` is group.
    pub(crate) held: bool,
    /// `flush.messages` wants it on disk before the answer.
    pub(crate) flush_due: bool,
    pub(crate) bytes: usize,
}

#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum AppendFailure {
    #[error("{0}")]
    NotEnoughReplicas(AppendRefused),
    #[error("it is committed, but fewer are in sync than needed")]
    NotEnoughReplicasAfterAppend,
    #[error("another broker leads the partition")]
    NotLeader,
    /// Another broker may lead it by now (rule 20).
    #[error("this broker has no lease")]
    NoLease,
    #[error("the topic was deleted")]
    Gone,
    #[error("the broker stops")]
    Closed,
    #[error(transparent)]
    Log(#[from] AppendError),
}

impl AppendFailure {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::NotEnoughReplicas(_) => ErrorCode::NOT_ENOUGH_REPLICAS,
            Self::NotEnoughReplicasAfterAppend => ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
            Self::NotLeader | Self::NoLease => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            Self::Gone => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            // Retriable: the client looks for the partition again and finds it after the restart.
            Self::Closed => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            Self::Log(error) => error.error_code(),
        }
    }
}

/// What checkpoints say of a partition, as far as they are believed: its log may have been cut since.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remembered {
    pub(super) high_watermark: i64,
    pub(super) cleaned_to: Option<i64>,
}

impl Partition {
    /// Opens the log; the replica has no role yet.
    pub(super) fn open(
        disk: &Arc<ProcessDisk>,
        dir: PathBuf,
        (topic, key): (Arc<str>, PartitionKey),
        shared: Shared,
        config: TopicConfig,
        log_config: LogConfig,
        context: OpenContext,
        remembered: Remembered,
    ) -> Result<(Self, RecoveryReport), OpenError> {
        let (log, report) = Log::open(disk, dir, log_config, context)?;
        let (log_start, log_end) = (log.log_start_offset(), log.log_end_offset());
        let high_watermark = remembered.high_watermark.clamp(log_start, log_end);
        let rules = append_rules(&config);
        let state = State {
            log,
            role: Role::Unknown { high_watermark },
            config,
            rules,
            unflushed_records: 0,
            unflushed_since: None,
            gone: false,
            closed: false,
            failed: None,
            cut_to: None,
            cleaning: CleaningState::new(remembered.cleaned_to),
        };
        let partition = Self {
            topic,
            key,
            proposals: shared.proposals,
            commits: shared.commits,
            leases: shared.leases,
            failure: shared.failure,
            state: Mutex::new(state),
            watchers: Watchers::default(),
            flushing: tokio::sync::Mutex::new(()),
        };
        Ok((partition, report))
    }

    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    pub(crate) fn index(&self) -> i32 {
        self.key.1
    }

    /// Its topic's id, and its number.
    pub(crate) fn key(&self) -> PartitionKey {
        self.key
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.state.lock().log.size_bytes()
    }

    /// What metadata makes of this replica.
    pub(super) fn take_role(
        &self,
        taking: &Taking<'_>,
        partition: &PartitionImage,
    ) -> Result<(), StorageError> {
        let mut state = self.state.lock();
        if state.gone || state.closed {
            return Ok(());
        }
        let effects = state.take_role(taking, partition)?;
        let waits = state.waits_for_commit();
        drop(state);
        if waits {
            self.commits.wait(self.key, 0);
        }
        self.follow_up(taking.now, taking.image, effects);
        // Whoever waits for replicas may wait for others now.
        self.watchers.wake();
        Ok(())
    }

    /// Does what follows from an event of the leader. The lock is not held.
    pub(super) fn follow_up(&self, now: Duration, image: &MetadataImage, effects: LeaderEffects) {
        if effects.high_watermark_moved {
            self.wake();
        }
        if let Some(change) = effects.alter_partition {
            self.propose(now, image, change);
        }
    }

    fn propose(&self, now: Duration, image: &MetadataImage, change: AlterPartition) {
        let (leader_epoch, number) = (change.leader_epoch, change.proposal);
        let proposal = IsrProposal {
            key: self.key,
            change,
        };
        if self.proposals.try_send(proposal).is_err() {
            // The queue is full, or the broker stops: it is sent again when its pause is over.
            let lost = AlterPartitionAnswer::Lost;
            self.isr_answered(now, image, (leader_epoch, number), lost);
        }
    }

    /// All who wait look again.
    pub(super) fn wake(&self) {
        self.watchers.wake();
        self.watchers.wake_followers(self.key);
    }

    /// Marks this partition in `ready` whenever it may have something for that follower; the
    /// attachment ends when it is dropped.
    pub(crate) fn attach(self: &Arc<Self>, ready: &Arc<Ready>) -> Attached {
        Attached {
            ticket: self.watchers.add_follower(ready),
            partition: Arc::clone(self),
        }
    }

    /// The leader epoch in which this replica leads, if it does.
    pub(crate) fn led_epoch(&self) -> Option<i32> {
        self.state.lock().leader().map(Leader::epoch)
    }

    /// Up to where everything is on disk.
    #[cfg(test)]
    pub(crate) fn recovery_point(&self) -> i64 {
        self.state.lock().log.recovery_point()
    }

    /// Log start, log end, high watermark.
    #[cfg(test)]
    pub(crate) fn offsets(&self) -> (i64, i64, i64) {
        let state = self.state.lock();
        let log = &state.log;
        let high_watermark = state.high_watermark();
        (log.log_start_offset(), log.log_end_offset(), high_watermark)
    }

    /// Checks and appends a producer's batches.
    pub(crate) fn append(
        &self,
        records: &bytes::Bytes,
        acks: Acks,
        now_ms: i64,
    ) -> Result<Appended, AppendFailure> {
        self.append_from(AppendOrigin::Client, records, acks, now_ms)
    }

    /// Appends what this broker itself writes: the records of a coordinator.
    pub(crate) fn append_own(
        &self,
        records: &bytes::Bytes,
        now_ms: i64,
    ) -> Result<Appended, AppendFailure> {
        self.append_from(AppendOrigin::Coordinator, records, Acks::All, now_ms)
    }

    fn append_from(
        &self,
        origin: AppendOrigin,
        records: &bytes::Bytes,
        acks: Acks,
        now_ms: i64,
    ) -> Result<Appended, AppendFailure> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if state.gone {
            return Err(AppendFailure::Gone);
        }
        if state.closed {
            return Err(AppendFailure::Closed);
        }
        let Role::Leader(leader) = &mut state.role else {
            return Err(AppendFailure::NotLeader);
        };
        if !self.leases.allow(leader) {
            self.leases.refusals.inc();
            return Err(AppendFailure::NoLease);
        }
        if acks == Acks::All {
            leader
                .admit_acks_all()
                .map_err(AppendFailure::NotEnoughReplicas)?;
        }
        let leader_epoch = leader.epoch();
        let appended =
            state
                .log
                .append_as_leader(records, origin, leader_epoch, &state.rules, now_ms);
        let info = appended.inspect_err(|error| self.not_appended(error))?;
        let moved = leader.appended(state.log.log_end_offset());
        let high_watermark = leader.high_watermark();
        state.log.on_high_watermark(high_watermark);
        let appended = Appended {
            base_offset: info.base_offset,
            last_offset: info.last_offset,
            log_append_time_ms: info.log_append_time_ms,
            log_start_offset: info.log_start_offset,
            leader_epoch,
            committed: leader.completion(info.last_offset + 1) == Completion::Done,
            held: leader.holds(info.last_offset + 1),
            flush_due: !info.duplicate
                && state.count_unflushed(info.last_offset - info.base_offset + 1),
            bytes: info.bytes,
        };
        let waits = state.waits_for_commit();
        drop(guard);
        if waits {
            self.commits.wait(self.key, appended.bytes as u64);
        }
        if moved {
            self.wake();
        } else {
            self.watchers.wake_followers(self.key);
        }
        Ok(appended)
    }

    /// Nothing else ends a node whose log takes no more: whoever asked is answered and asks again.
    fn not_appended(&self, error: &AppendError) {
        if matches!(error, AppendError::Storage(_)) {
            self.failure.end_by(error);
        }
    }

    /// Watches for the high watermark; the watch ends when it is dropped.
    pub(crate) fn watch(self: &Arc<Self>, notify: &Arc<Notify>) -> Watch {
        Watch {
            ticket: self.watchers.add(notify),
            partition: Arc::clone(self),
        }
    }

    /// Until what was appended is committed by enough replicas (rule 2), or can no longer be here.
    /// The caller sets the deadline.
    pub(crate) async fn wait_for_commit(
        self: &Arc<Self>,
        appended: &Appended,
    ) -> Result<(), AppendFailure> {
        let woken = Arc::new(Notify::new());
        let _watch = self.watch(&woken);
        loop {
            let end = appended.last_offset + 1;
            let completion = self.state.lock().completion(appended.leader_epoch, end)?;
            match completion {
                Completion::Done if self.may_acknowledge(appended) => return Ok(()),
                // A lease comes back unseen.
                Completion::Done => tokio::time::sleep(LEASE_PAUSE).await,
                Completion::TooFewReplicas => {
                    return Err(AppendFailure::NotEnoughReplicasAfterAppend);
                }
                Completion::Waiting => woken.notified().await,
            }
        }
    }

    /// Whether what is settled may be answered, just before it is. What is not, waits until the lease is
    /// back or its time is over: it is in the log, and may be committed yet (rule 20).
    pub(super) fn may_acknowledge(&self, appended: &Appended) -> bool {
        let state = self.state.lock();
        let leader = state.led_in(appended.leader_epoch);
        leader.is_ok_and(|leader| self.leases.allow(leader))
    }

    /// Until all that is in the log now is committed, or too few are in sync to commit anything; an
    /// error when this replica leads no more in that epoch.
    pub(crate) async fn all_committed(
        self: &Arc<Self>,
        leader_epoch: i32,
    ) -> Result<(), AppendFailure> {
        let end = self.state.lock().log.log_end_offset();
        let woken = Arc::new(Notify::new());
        let _watch = self.watch(&woken);
        loop {
            {
                let state = self.state.lock();
                let is_waiting = state.completion(leader_epoch, end)? == Completion::Waiting;
                let may_commit = state.leader().is_some_and(|it| it.admit_acks_all().is_ok());
                if !(is_waiting && may_commit) {
                    return Ok(());
                }
            }
            woken.notified().await;
        }
    }

    /// Until what was appended is committed, by however many replicas; an error when this replica
    /// leads no more in that epoch.
    pub(crate) async fn in_log_for_good(
        self: &Arc<Self>,
        appended: &Appended,
    ) -> Result<(), AppendFailure> {
        match self.wait_for_commit(appended).await {
            Err(AppendFailure::NotEnoughReplicasAfterAppend) => Ok(()),
            outcome => outcome,
        }
    }

    pub(crate) fn log_start_offset(&self) -> i64 {
        self.state.lock().log.log_start_offset()
    }

    /// Moves the log start up to `offset` (-1: the high watermark); returns which offset that was.
    pub(crate) fn delete_records(&self, offset: i64) -> Result<i64, ReadFailure> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.check(-1, ServedBy::Leader)?;
        if !state.config.cleanup_policy.delete {
            return Err(ReadFailure::KeptByPolicy);
        }
        let high_watermark = state.high_watermark();
        let offset = if offset == -1 { high_watermark } else { offset };
        if offset < 0 || offset > high_watermark {
            return Err(state.out_of_range());
        }
        let moved = state.log.increment_log_start_offset(offset);
        moved.inspect_err(|error| self.failure.end_by(error))?;
        state.log_start_moved();
        drop(guard);
        self.watchers.wake_followers(self.key);
        Ok(offset)
    }

    /// Before it records are deleted at all replicas that live.
    pub(crate) fn low_watermark(&self, image: &MetadataImage) -> Result<i64, ReadFailure> {
        let state = self.state.lock();
        state.check(-1, ServedBy::Leader)?;
        let leader = state.leader().ok_or(ReadFailure::NotLeader)?;
        Ok(leader.low_watermark(image))
    }

    /// What the checkpoint files say about it: recovery point, log start, high watermark.
    pub(super) fn checkpoint(&self) -> Option<Checkpoint> {
        let state = self.state.lock();
        let recovery_point = state.log.recovery_point();
        (!state.gone).then(|| Checkpoint {
            recovery_point: state
                .cut_to
                .map_or(recovery_point, |to| to.min(recovery_point)),
            log_start_offset: state.log.log_start_offset(),
            high_watermark: state.high_watermark(),
            cleaned_to: state.cleaning.cleaned_to(),
        })
    }

    /// Deletes by age and size, forgets silent producers. Returns the files to be removed later.
    pub(super) fn clean_up(
        &self,
        retention_now_ms: i64,
        now_ms: i64,
    ) -> Result<Option<Deleted<ProcessDisk>>, StorageError> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if state.gone {
            return Ok(None);
        }
        let high_watermark = state.high_watermark();
        let deleted = state
            .log
            .apply_retention(retention_now_ms, high_watermark)?;
        state.log_start_moved();
        state.log.expire_producers(now_ms);
        state.log.release_idle_files();
        drop(guard);
        if !deleted.segments.is_empty() {
            self.watchers.wake_followers(self.key);
        }
        Ok(Some(deleted).filter(|deleted| !deleted.segments.is_empty()))
    }

    pub(super) fn file_delete_delay_ms(&self) -> i64 {
        self.state.lock().config.file_delete_delay_ms
    }

    pub(super) fn update_config(&self, config: TopicConfig, log_config: LogConfig) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.rules = append_rules(&config);
        state.log.update_config(log_config);
        let min_insync = usize::try_from(config.min_insync_replicas).unwrap_or(1);
        let moved = state.leader_mut().is_some_and(|leader| {
            leader.set_unclean_leader_election(config.unclean_leader_election_enable);
            leader.set_min_insync_replicas(min_insync)
        });
        state.config = config;
        let moved = state.own_copy_changed() || moved;
        state.log.on_high_watermark(state.role.high_watermark());
        let waits = state.waits_for_commit();
        drop(guard);
        if waits {
            self.commits.wait(self.key, 0);
        }
        if moved {
            self.wake();
        }
        // What waited for a flush may not have to any more.
        self.watchers.wake();
        self.watchers.wake_fetcher(self.key);
    }

    /// The topic was deleted: from here on the files are nobody's.
    pub(super) fn leave(&self) {
        self.state.lock().gone = true;
        self.wake();
    }

    /// Completes the files for a clean stop: nothing is appended any more.
    pub(super) fn complete(&self) -> Result<(), StorageError> {
        let mut state = self.state.lock();
        if state.gone {
            return Ok(());
        }
        state.closed = true;
        state.log.close()
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Checkpoint {
    pub(super) recovery_point: i64,
    pub(super) log_start_offset: i64,
    pub(super) high_watermark: i64,
    pub(super) cleaned_to: Option<i64>,
}

/// A follower's place in the list of those that are told of a partition.
pub(crate) struct Attached {
    ticket: u64,
    partition: Arc<Partition>,
}

impl Attached {
    pub(crate) fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.partition.watchers.remove_follower(self.ticket);
    }
}

/// A request's place in the list of those that wait for a partition.
pub(crate) struct Watch {
    ticket: u64,
    partition: Arc<Partition>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.partition.watchers.remove(self.ticket);
    }
}

impl State {
    /// Of what lies before `end`, and was there under that leadership.
    fn completion(&self, leader_epoch: i32, end: i64) -> Result<Completion, AppendFailure> {
        Ok(self.led_in(leader_epoch)?.completion(end))
    }

    pub(super) fn led_in(&self, leader_epoch: i32) -> Result<&Leader, AppendFailure> {
        if self.gone {
            return Err(AppendFailure::Gone);
        }
        if let Some(error) = &self.failed {
            return Err(AppendFailure::Log(error.clone().into()));
        }
        let leader = self.leader();
        let leader = leader.filter(|it| it.epoch() == leader_epoch);
        leader.ok_or(AppendFailure::NotLeader)
    }

    fn log_start_moved(&mut self) {
        let log_start_offset = self.log.log_start_offset();
        if let Some(leader) = self.leader_mut() {
            leader.log_start_moved(log_start_offset);
        }
    }
}
