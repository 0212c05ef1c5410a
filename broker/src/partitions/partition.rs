//! One partition on this broker: its log, what its leader may acknowledge, and who waits for it.
//!
//! One writer at a time, under the partition's lock. Readers take their place in the segment under
//! the lock and read outside of it. An fsync never runs under the lock.

use super::watchers::Watchers;
use crate::clocks;
use crate::groups::LoadError;
use isthmus_broker_core::config::{CompressionType, MessageTimestampType, TopicConfig};
use isthmus_broker_core::replica::{AppendRefused, Leader};
use isthmus_log::disk::{Disk, ProcessDisk};
use isthmus_log::{
    AppendError, AppendOrigin, AppendRules, CleanupPolicy, Deleted, Log, LogConfig, LogRead,
    OpenContext, OpenError, ReadError, RecoveryReport, StorageError, TimestampedOffset,
};
use isthmus_wire::batch::{Compression, TimestampType, split_batches};
use isthmus_wire::{ErrorCode, Records};
use parking_lot::Mutex;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Regions up to this size are read into the answer; larger ones go from the file to the socket.
/// Below it a second system call per answer costs more than the copy.
const READ_INTO_ANSWER_MAX: usize = 16 << 10;

/// Bytes read at a time when a whole log is gone through.
const LOAD_BYTES: usize = 1 << 20;

/// Bound on a batch of our own records when it is decompressed.
const LOAD_DECOMPRESSED_MAX: usize = 64 << 20;

pub(crate) struct Partition {
    topic: Arc<str>,
    index: i32,
    state: Mutex<State>,
    watchers: Watchers,
    /// Held by a flush: a second one would only do the same work again.
    flushing: tokio::sync::Mutex<()>,
}

struct State {
    log: Log<ProcessDisk>,
    leader: Leader,
    config: TopicConfig,
    rules: AppendRules,
    /// Records appended since the last fsync that `flush.messages` asked for.
    unflushed_records: i64,
    /// Since when (boot clock) there is something to flush, where `flush.ms` bounds that.
    unflushed_since: Option<Duration>,
    /// The topic was deleted: nothing may touch the files any more.
    gone: bool,
    /// The broker stops: nothing is appended any more.
    closed: bool,
}

/// What a producer wants to be sure of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acks {
    None,
    Leader,
    All,
}

/// What a consumer wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

impl Isolation {
    /// Kafka takes every value but 0 for read_committed.
    pub(crate) fn from_wire(level: i8) -> Self {
        if level == 0 {
            Self::ReadUncommitted
        } else {
            Self::ReadCommitted
        }
    }
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

#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ReadFailure {
    #[error("out of range: the log starts at {log_start_offset}")]
    OutOfRange {
        high_watermark: i64,
        log_start_offset: i64,
    },
    #[error("the client's leader epoch is old")]
    FencedEpoch,
    #[error("the client's leader epoch is newer than ours")]
    UnknownEpoch,
    #[error("the topic was deleted")]
    Gone,
    #[error("{0}")]
    Storage(String),
}

impl ReadFailure {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::OutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
            Self::FencedEpoch => ErrorCode::FENCED_LEADER_EPOCH,
            Self::UnknownEpoch => ErrorCode::UNKNOWN_LEADER_EPOCH,
            Self::Gone => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            Self::Storage(_) => ErrorCode::KAFKA_STORAGE_ERROR,
        }
    }
}

impl From<StorageError> for ReadFailure {
    fn from(error: StorageError) -> Self {
        Self::Storage(error.to_string())
    }
}

/// One partition's share of a fetch.
pub(crate) struct ReadRequest {
    pub(crate) offset: i64,
    pub(crate) max_bytes: usize,
    pub(crate) at_least_one_batch: bool,
    pub(crate) isolation: Isolation,
    /// -1: the client does not know one.
    pub(crate) current_leader_epoch: i32,
    pub(crate) last_fetched_epoch: i32,
}

pub(crate) struct ReadAnswer {
    pub(crate) records: Records,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) log_start_offset: i64,
    /// Epoch and end offset where the client's log leaves ours.
    pub(crate) diverging: Option<(i32, i64)>,
    /// For read_committed: producer id and first offset of aborted transactions.
    pub(crate) aborted: Option<Vec<(i64, i64)>>,
}

/// What ListOffsets asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OffsetQuery {
    Earliest,
    Latest(Isolation),
    MaxTimestamp,
    At(i64, Isolation),
    /// Something that only remote storage has.
    Remote,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FoundOffset {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) leader_epoch: i32,
}

const NOT_FOUND: FoundOffset = FoundOffset {
    offset: -1,
    timestamp: -1,
    leader_epoch: -1,
};

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

    /// Finds the records from an offset on, as far as the asker may see.
    pub(crate) fn read(&self, request: &ReadRequest) -> Result<ReadAnswer, ReadFailure> {
        let (found, mut answer) = {
            let state = self.state.lock();
            state.check(request.current_leader_epoch)?;
            let high_watermark = state.leader.high_watermark();
            let log_start_offset = state.log.log_start_offset();
            let last_stable_offset = state.last_stable_offset();
            let mut answer = ReadAnswer {
                records: Records::from(bytes::Bytes::new()),
                high_watermark,
                last_stable_offset,
                log_start_offset,
                diverging: None,
                aborted: None,
            };
            if let Some(diverging) = state.diverging(request)? {
                answer.diverging = Some(diverging);
                return Ok(answer);
            }
            let end = match request.isolation {
                Isolation::ReadUncommitted => high_watermark,
                Isolation::ReadCommitted => last_stable_offset,
            };
            if request.offset < log_start_offset || request.offset > state.log.log_end_offset() {
                return Err(state.out_of_range());
            }
            if request.isolation == Isolation::ReadCommitted {
                let aborted = state.log.aborted_transactions(request.offset, end)?;
                let entry = |txn: isthmus_log::AbortedTxn| (txn.producer_id, txn.first_offset);
                answer.aborted = Some(aborted.into_iter().map(entry).collect());
            }
            if request.offset >= end {
                return Ok(answer);
            }
            let read = state.log.read(
                request.offset,
                request.max_bytes,
                end,
                request.at_least_one_batch,
            );
            (read.map_err(|error| read_failure(&error, &state))?, answer)
        };
        answer.records =
            into_records(found).map_err(|error| ReadFailure::Storage(error.to_string()))?;
        Ok(answer)
    }

    /// Hands every committed record's key and value to `take`, in order.
    pub(crate) fn for_each_record(
        &self,
        mut take: impl FnMut(Option<&bytes::Bytes>, Option<&bytes::Bytes>) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        let log_error = |error: &dyn std::fmt::Display| LoadError::Log(error.to_string());
        let mut offset = self.state.lock().log.log_start_offset();
        loop {
            let read = {
                let state = self.state.lock();
                let end = state.leader.high_watermark();
                if offset >= end {
                    return Ok(());
                }
                state.log.read(offset, LOAD_BYTES, end, true)
            };
            let bytes = read.map_err(|error| log_error(&error))?;
            let bytes = bytes.read_bytes().map_err(|error| log_error(&error))?;
            for batch in split_batches(&bytes) {
                let batch = batch.map_err(|error| log_error(&error))?;
                batch.verify_crc().map_err(|error| log_error(&error))?;
                offset = batch.header().next_offset();
                if batch.header().is_control() {
                    continue;
                }
                for record in batch
                    .records(LOAD_DECOMPRESSED_MAX)
                    .map_err(|e| log_error(&e))?
                {
                    let record = record.map_err(|error| log_error(&error))?;
                    take(record.key.as_ref(), record.value.as_ref())?;
                }
            }
        }
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

    pub(crate) fn look_up(
        &self,
        query: OffsetQuery,
        current_leader_epoch: i32,
    ) -> Result<FoundOffset, ReadFailure> {
        let state = self.state.lock();
        state.check(current_leader_epoch)?;
        let epoch = state.leader.epoch();
        let at = |offset: i64| FoundOffset {
            offset,
            timestamp: -1,
            leader_epoch: epoch,
        };
        let visible = |isolation| state.visible_end(isolation);
        Ok(match query {
            OffsetQuery::Earliest => {
                let start = state.log.log_start_offset();
                // An empty log has no epoch of its own: what comes will be in the leader's.
                FoundOffset {
                    leader_epoch: state.log.epoch_of(start).unwrap_or(epoch),
                    ..at(start)
                }
            }
            OffsetQuery::Latest(isolation) => at(visible(isolation)),
            OffsetQuery::MaxTimestamp => {
                let newest = state.log.offset_of_max_timestamp();
                let newest = newest.map_err(|error| read_failure(&error, &state))?;
                found(newest, state.leader.high_watermark())
            }
            OffsetQuery::At(timestamp, isolation) => {
                let first = state
                    .log
                    .offset_for_timestamp(timestamp, visible(isolation));
                found(
                    first.map_err(|error| read_failure(&error, &state))?,
                    visible(isolation),
                )
            }
            OffsetQuery::Remote => NOT_FOUND,
        })
    }

    /// The largest epoch not above `epoch`, and where it ended; (-1, -1) when there is none.
    pub(crate) fn epoch_end(
        &self,
        epoch: i32,
        current_leader_epoch: i32,
    ) -> Result<(i32, i64), ReadFailure> {
        let state = self.state.lock();
        state.check(current_leader_epoch)?;
        Ok(state.epoch_end(epoch))
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
    /// KIP-320: an old epoch is fenced, a newer one is not known here yet.
    fn check(&self, current_leader_epoch: i32) -> Result<(), ReadFailure> {
        if self.gone {
            return Err(ReadFailure::Gone);
        }
        match current_leader_epoch {
            -1 => Ok(()),
            epoch if epoch < self.leader.epoch() => Err(ReadFailure::FencedEpoch),
            epoch if epoch > self.leader.epoch() => Err(ReadFailure::UnknownEpoch),
            _ => Ok(()),
        }
    }

    fn last_stable_offset(&self) -> i64 {
        let high_watermark = self.leader.high_watermark();
        self.log
            .first_unstable_offset()
            .map_or(high_watermark, |first| first.min(high_watermark))
    }

    fn visible_end(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.leader.high_watermark(),
            Isolation::ReadCommitted => self.last_stable_offset(),
        }
    }

    /// Rule 13: the client's last epoch ended before the offset it asks for. An epoch that this
    /// log cannot place leaves nothing to compare: out of range, as in Kafka.
    fn diverging(&self, request: &ReadRequest) -> Result<Option<(i32, i64)>, ReadFailure> {
        if request.last_fetched_epoch < 0 {
            return Ok(None);
        }
        let (epoch, end) = self.epoch_end(request.last_fetched_epoch);
        if epoch < 0 || end < 0 {
            return Err(self.out_of_range());
        }
        let diverges = epoch < request.last_fetched_epoch || end < request.offset;
        Ok(diverges.then_some((epoch, end)))
    }

    /// The largest epoch not above `epoch`, and where it ended. The leader's own epoch counts
    /// from its start, before anything was appended in it.
    fn epoch_end(&self, epoch: i32) -> (i32, i64) {
        if epoch == self.leader.epoch() {
            return (epoch, self.log.log_end_offset());
        }
        self.log.end_offset_for_epoch(epoch)
    }

    fn out_of_range(&self) -> ReadFailure {
        ReadFailure::OutOfRange {
            high_watermark: self.leader.high_watermark(),
            log_start_offset: self.log.log_start_offset(),
        }
    }

    fn count_unflushed(&mut self, records: i64) -> bool {
        if self.config.flush_ms < i64::MAX && self.unflushed_since.is_none() {
            self.unflushed_since = Some(clocks::boot());
        }
        self.unflushed_records = self.unflushed_records.saturating_add(records);
        self.unflushed_records >= self.config.flush_messages
    }
}

fn found(found: Option<TimestampedOffset>, end: i64) -> FoundOffset {
    found
        .filter(|found| found.offset < end)
        .map_or(NOT_FOUND, |found| FoundOffset {
            offset: found.offset,
            timestamp: found.timestamp,
            leader_epoch: found.leader_epoch.unwrap_or(-1),
        })
}

fn read_failure(error: &ReadError, state: &State) -> ReadFailure {
    match error {
        ReadError::OffsetOutOfRange {
            log_start_offset, ..
        } => ReadFailure::OutOfRange {
            high_watermark: state.leader.high_watermark(),
            log_start_offset: *log_start_offset,
        },
        ReadError::Storage(_) | ReadError::Corrupt { .. } => {
            ReadFailure::Storage(error.to_string())
        }
    }
}

fn into_records(found: LogRead<<ProcessDisk as Disk>::File>) -> io::Result<Records> {
    if found.len > READ_INTO_ANSWER_MAX {
        found.into_records()
    } else {
        found.read_bytes().map(Records::from)
    }
}

fn append_rules(config: &TopicConfig) -> AppendRules {
    AppendRules {
        max_message_bytes: usize::try_from(config.max_message_bytes).unwrap_or(usize::MAX),
        compacted: config.cleanup_policy.compact,
        timestamp_type: match config.message_timestamp_type {
            MessageTimestampType::CreateTime => TimestampType::CreateTime,
            MessageTimestampType::LogAppendTime => TimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: config.message_timestamp_before_max_ms,
        timestamp_after_max_ms: config.message_timestamp_after_max_ms,
        compression_type: match config.compression_type {
            CompressionType::Producer => None,
            CompressionType::Uncompressed => Some(Compression::None),
            CompressionType::Gzip => Some(Compression::Gzip),
            CompressionType::Snappy => Some(Compression::Snappy),
            CompressionType::Lz4 => Some(Compression::Lz4),
            CompressionType::Zstd => Some(Compression::Zstd),
        },
        compression_level: config.compression_level,
    }
}

/// What the log is told of a topic's configuration. `jitter` is a random share in [0, 1).
pub(super) fn log_config(
    config: &TopicConfig,
    producer_id_expiration_ms: i64,
    jitter: f64,
) -> LogConfig {
    let unsigned = |value: i32| u32::try_from(value).unwrap_or(u32::MAX);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a share of an i64 fits into one"
    )]
    #[expect(clippy::cast_precision_loss, reason = "jitter needs no precision")]
    let segment_jitter_ms = (config.segment_jitter_ms as f64 * jitter) as i64;
    LogConfig {
        segment_bytes: unsigned(config.segment_bytes),
        segment_ms: config.segment_ms,
        segment_jitter_ms,
        segment_index_bytes: unsigned(config.segment_index_bytes),
        index_interval_bytes: unsigned(config.index_interval_bytes),
        retention_ms: config.retention_ms,
        retention_bytes: config.retention_bytes,
        cleanup_policy: match (config.cleanup_policy.compact, config.cleanup_policy.delete) {
            (true, true) => CleanupPolicy::CompactAndDelete,
            (true, false) => CleanupPolicy::Compact,
            (false, _) => CleanupPolicy::Delete,
        },
        producer_id_expiration_ms,
    }
}
