//! One partition on this broker: its log, what its leader may acknowledge, and who waits for it.
//!
//! One writer at a time, under the partition's lock. Readers take their place in the segment under
//! the lock and read outside of it. An fsync never runs under the lock.

use super::ReadFailure;
use super::cleaning::CleaningState;
use super::rules::append_rules;
use super::watchers::Watchers;
use crate::clocks;
use isthmus_broker_core::config::TopicConfig;
use isthmus_broker_core::replica::{AppendRefused, Leader};
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
use tokio::sync::Notify;

pub(crate) struct Partition {
    topic: Arc<str>,
    index: i32,
    pub(super) state: Mutex<State>,
    watchers: Watchers,
    /// Held by a flush: a second one would only do the same work again.
    flushing: tokio::sync::Mutex<()>,
}

pub(super) struct State {
    pub(super) log: Log<ProcessDisk>,
    pub(super) leader: Leader,
    pub(super) config: TopicConfig,
    rules: AppendRules,
    /// Records appended since the last fsync that `flush.messages` asked for.
    unflushed_records: i64,
    /// Since when (boot clock) there is something to flush, where `flush.ms` bounds that.
    unflushed_since: Option<Duration>,
    /// The topic was deleted: nothing may touch the files any more.
    pub(super) gone: bool,
    /// The broker stops: nothing is appended any more.
    pub(super) closed: bool,
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
    /// The high watermark is past it already.
    pub(crate) committed: bool,
    /// `flush.messages` wants it on disk before the answer.
    pub(crate) flush_due: bool,
    pub(crate) bytes: usize,
}

#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum AppendFailure {
    #[error("{} in sync, {} needed", .0.isr, .0.min_insync_replicas)]
    NotEnoughReplicas(AppendRefused),
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
            Self::Gone => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            // Retriable: the client looks for the partition again and finds it after the restart.
            Self::Closed => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            Self::Log(error) => error.error_code(),
        }
    }

    pub(crate) fn is_storage(&self) -> bool {
        matches!(self, Self::Log(AppendError::Storage(_)))
    }
}

/// Which partition, and how it is led.
pub(super) struct Assignment {
    pub(super) topic: Arc<str>,
    pub(super) index: i32,
    pub(super) broker_id: i32,
    pub(super) leader_epoch: i32,
    pub(super) isr: Vec<i32>,
    pub(super) replicas: usize,
}

impl Partition {
    pub(super) fn open(
        disk: &Arc<ProcessDisk>,
        dir: PathBuf,
        assignment: Assignment,
        config: TopicConfig,
        log_config: LogConfig,
        context: OpenContext,
        high_watermark: i64,
        cleaned_to: Option<i64>,
    ) -> Result<(Self, RecoveryReport), OpenError> {
        let (log, report) = Log::open(disk, dir, log_config, context)?;
        let leader = Leader::new(
            assignment.broker_id,
            assignment.leader_epoch,
            &assignment.isr,
            assignment.replicas,
            usize::try_from(config.min_insync_replicas).unwrap_or(1),
            log.log_start_offset()..log.log_end_offset(),
            high_watermark,
        );
        let rules = append_rules(&config);
        let state = State {
            log,
            leader,
            config,
            rules,
            unflushed_records: 0,
            unflushed_since: None,
            gone: false,
            closed: false,
            cleaning: CleaningState::new(cleaned_to),
        };
        let partition = Self {
            topic: assignment.topic,
            index: assignment.index,
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
        self.index
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.state.lock().log.size_bytes()
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
        if acks == Acks::All {
            state
                .leader
                .admit_acks_all()
                .map_err(AppendFailure::NotEnoughReplicas)?;
        }
        let epoch = state.leader.epoch();
        let info = state
            .log
            .append_as_leader(records, origin, epoch, &state.rules, now_ms)?;
        let moved = state.leader.appended(state.log.log_end_offset());
        let high_watermark = state.leader.high_watermark();
        state.log.on_high_watermark(high_watermark);
        let appended = Appended {
            base_offset: info.base_offset,
            last_offset: info.last_offset,
            log_append_time_ms: info.log_append_time_ms,
            log_start_offset: info.log_start_offset,
            committed: high_watermark > info.last_offset,
            flush_due: !info.duplicate
                && state.count_unflushed(info.last_offset - info.base_offset + 1),
            bytes: info.bytes,
        };
        drop(guard);
        if moved {
            self.watchers.wake();
        }
        Ok(appended)
    }

    /// Watches for the high watermark; the watch ends when it is dropped.
    pub(crate) fn watch(self: &Arc<Self>, notify: &Arc<Notify>) -> Watch {
        Watch {
            ticket: self.watchers.add(notify),
            partition: Arc::clone(self),
        }
    }

    /// Until the high watermark reaches `end`. The caller sets the deadline.
    pub(crate) async fn wait_for_high_watermark(
        self: &Arc<Self>,
        end: i64,
    ) -> Result<(), AppendFailure> {
        let woken = Arc::new(Notify::new());
        let _watch = self.watch(&woken);
        loop {
            {
                let state = self.state.lock();
                if state.gone {
                    return Err(AppendFailure::Gone);
                }
                if state.leader.high_watermark() >= end {
                    return Ok(());
                }
            }
            woken.notified().await;
        }
    }

    /// Whether records may go before compaction takes them.
    pub(crate) fn may_delete(&self) -> bool {
        self.state.lock().config.cleanup_policy.delete
    }

    pub(crate) fn log_start_offset(&self) -> i64 {
        self.state.lock().log.log_start_offset()
    }

    /// Moves the log start up to `offset` (-1: the high watermark); returns where it stands.
    pub(crate) fn delete_records(&self, offset: i64) -> Result<i64, ReadFailure> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.check(-1)?;
        let high_watermark = state.leader.high_watermark();
        let offset = if offset == -1 { high_watermark } else { offset };
        if offset < 0 || offset > high_watermark {
            return Err(state.out_of_range());
        }
        state.log.increment_log_start_offset(offset)?;
        state.leader.log_start_moved(state.log.log_start_offset());
        Ok(state.log.log_start_offset())
    }

    /// Makes everything appended so far survive a power loss.
    pub(crate) async fn flush(self: &Arc<Self>) -> Result<(), AppendFailure> {
        let partition = Arc::clone(self);
        let _turn = self.flushing.lock().await;
        let flushed = tokio::task::spawn_blocking(move || partition.flush_blocking()).await;
        match flushed {
            Ok(outcome) => outcome.map_err(|error| AppendFailure::Log(error.into())),
            Err(_) => Err(AppendFailure::Gone),
        }
    }

    /// As [`Partition::flush`], on the caller's thread.
    pub(super) fn flush_blocking(&self) -> Result<(), StorageError> {
        let plan = {
            let mut state = self.state.lock();
            if state.gone {
                return Ok(());
            }
            state.unflushed_records = 0;
            state.unflushed_since = None;
            state.log.flush_plan()?
        };
        let outcome = plan.run();
        self.state.lock().log.flushed(&plan, outcome)
    }

    /// What the checkpoint files say about it: recovery point, log start, high watermark.
    pub(super) fn checkpoint(&self) -> Option<Checkpoint> {
        let state = self.state.lock();
        (!state.gone).then(|| Checkpoint {
            recovery_point: state.log.recovery_point(),
            log_start_offset: state.log.log_start_offset(),
            high_watermark: state.leader.high_watermark(),
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
        let high_watermark = state.leader.high_watermark();
        let deleted = state
            .log
            .apply_retention(retention_now_ms, high_watermark)?;
        state.leader.log_start_moved(state.log.log_start_offset());
        state.log.expire_producers(now_ms);
        state.log.release_idle_files();
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
        let moved = state.leader.set_min_insync_replicas(min_insync);
        state.config = config;
        drop(guard);
        if moved {
            self.watchers.wake();
        }
    }

    /// The topic was deleted: from here on the files are nobody's.
    pub(super) fn leave(&self) {
        self.state.lock().gone = true;
        self.watchers.wake();
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

    /// Whether a flush is due: `flush.ms` has passed since something unflushed came, or a segment
    /// was sealed and is not synced yet.
    pub(super) fn is_flush_due(&self, boot: Duration) -> bool {
        let state = self.state.lock();
        let interval = u64::try_from(state.config.flush_ms).unwrap_or(0);
        let aged = state
            .unflushed_since
            .is_some_and(|since| boot.saturating_sub(since) >= Duration::from_millis(interval));
        !state.gone && (aged || state.log.unsynced_segments() > 0)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Checkpoint {
    pub(super) recovery_point: i64,
    pub(super) log_start_offset: i64,
    pub(super) high_watermark: i64,
    pub(super) cleaned_to: Option<i64>,
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
    fn count_unflushed(&mut self, records: i64) -> bool {
        if self.config.flush_ms < i64::MAX && self.unflushed_since.is_none() {
            self.unflushed_since = Some(clocks::boot());
        }
        self.unflushed_records = self.unflushed_records.saturating_add(records);
        self.unflushed_records >= self.config.flush_messages
    }
}
