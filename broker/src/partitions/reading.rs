//! Reading from a partition: fetches, offsets by time, ends of epochs, whole logs.
//!
//! What a reader may see ends at the high watermark, or at the last stable offset for
//! read_committed. The place in the segment is found under the partition's lock; the bytes are read
//! or sent outside of it.

use super::partition::{Partition, State};
use super::role::Role;
use crate::disk_failure::DiskFailure;
use crate::endpoints::ClientPlace;
use crate::groups::LoadError;
use isthmus_log::disk::{Disk, ProcessDisk};
use isthmus_log::{LogRead, ReadError, StorageError, TimestampedOffset};
use isthmus_wire::batch::split_batches;
use isthmus_wire::{ErrorCode, Records};
use std::io;

/// Regions up to this size are read into the answer; larger ones go from the file to the socket.
/// Below it a second system call per answer costs more than the copy.
const READ_INTO_ANSWER_MAX: usize = 16 << 10;

/// Bytes read at a time when a whole log is gone through.
const LOAD_BYTES: usize = 1 << 20;

/// Bound on a batch of our own records when it is decompressed.
const LOAD_DECOMPRESSED_MAX: usize = 64 << 20;

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

/// Which replica may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServedBy {
    Leader,
    /// Followers too, up to what they know is committed (KIP-392, rule 18).
    AnyReplica,
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
    #[error("another broker leads the partition")]
    NotLeader,
    /// What a new leader knows as committed lies before the start of its epoch: the end of the log
    /// that earlier leaders showed may be further (KIP-207).
    #[error("the leader does not know yet what is committed")]
    NotAvailable,
    #[error("the topic's policy keeps its records")]
    KeptByPolicy,
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
            Self::NotLeader => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            Self::NotAvailable => ErrorCode::OFFSET_NOT_AVAILABLE,
            Self::KeptByPolicy => ErrorCode::POLICY_VIOLATION,
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
pub(crate) struct ReadRequest<'a> {
    pub(crate) offset: i64,
    pub(crate) max_bytes: usize,
    pub(crate) at_least_one_batch: bool,
    pub(crate) isolation: Isolation,
    pub(crate) served_by: ServedBy,
    /// -1: the client does not know one.
    pub(crate) current_leader_epoch: i32,
    pub(crate) last_fetched_epoch: i32,
    /// Of a client that is to read from a replica near it, if there is one that can serve it.
    pub(crate) place: Option<ClientPlace<'a>>,
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
    /// Who is to be asked in place of this leader; there are no records then.
    pub(crate) preferred_read_replica: Option<i32>,
}

/// What ListOffsets asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OffsetQuery {
    Earliest,
    Latest(Isolation),
    MaxTimestamp,
    At(i64, Isolation),
    /// What this replica knows as committed; only a look at one replica asks for it.
    HighWatermark,
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

impl Partition {
    /// Finds the records from an offset on, as far as the asker may see.
    pub(crate) fn read(&self, request: &ReadRequest<'_>) -> Result<ReadAnswer, ReadFailure> {
        let (found, mut answer) = {
            let state = self.state.lock();
            state.check(request.current_leader_epoch, request.served_by)?;
            let high_watermark = state.high_watermark();
            let log_start_offset = state.log.log_start_offset();
            let last_stable_offset = state.last_stable_offset();
            let mut answer = ReadAnswer {
                records: Records::from(bytes::Bytes::new()),
                high_watermark,
                last_stable_offset,
                log_start_offset,
                diverging: None,
                aborted: None,
                preferred_read_replica: state.preferred_read_replica(request),
            };
            if answer.preferred_read_replica.is_some() {
                return Ok(answer);
            }
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
                let aborted = state.log.aborted_transactions(request.offset, end);
                let aborted = aborted.inspect_err(|error| self.failure.end_if_broken(error))?;
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
            (
                read.map_err(|error| read_failure(&self.failure, &error, &state))?,
                answer,
            )
        };
        answer.records = into_records(found).map_err(|error| {
            self.failure.end_if_broken(&error);
            ReadFailure::Storage(error.to_string())
        })?;
        Ok(answer)
    }

    pub(crate) fn look_up(
        &self,
        query: OffsetQuery,
        current_leader_epoch: i32,
    ) -> Result<FoundOffset, ReadFailure> {
        let state = self.state.lock();
        state.check(current_leader_epoch, ServedBy::Leader)?;
        let leader = state.leader().ok_or(ReadFailure::NotLeader)?;
        let epoch = leader.epoch();
        let knows_end = leader.high_watermark() >= leader.epoch_start_offset();
        let at = |offset: i64| FoundOffset {
            offset,
            timestamp: -1,
            leader_epoch: epoch,
        };
        let visible = |isolation| state.visible_end(isolation);
        let found = |found, end| match found_below(found, end) {
            // It may be there, and only not be known as committed yet.
            None if !knows_end => Err(ReadFailure::NotAvailable),
            found => Ok(found.unwrap_or(NOT_FOUND)),
        };
        Ok(match query {
            OffsetQuery::Earliest => {
                let start = state.log.log_start_offset();
                // An empty log has no epoch of its own: what comes will be in the leader's.
                FoundOffset {
                    leader_epoch: state.log.epoch_of(start).unwrap_or(epoch),
                    ..at(start)
                }
            }
            OffsetQuery::Latest(_) if !knows_end => return Err(ReadFailure::NotAvailable),
            OffsetQuery::Latest(isolation) => at(visible(isolation)),
            OffsetQuery::MaxTimestamp => {
                let newest = state.log.offset_of_max_timestamp();
                let newest = newest.map_err(|error| read_failure(&self.failure, &error, &state))?;
                found(newest, leader.high_watermark())?
            }
            OffsetQuery::At(timestamp, isolation) => {
                let first = state
                    .log
                    .offset_for_timestamp(timestamp, visible(isolation));
                let first = first.map_err(|error| read_failure(&self.failure, &error, &state))?;
                found(first, visible(isolation))?
            }
            OffsetQuery::HighWatermark => at(leader.high_watermark()),
            OffsetQuery::Remote => NOT_FOUND,
        })
    }

    /// The same of this very replica, whoever leads, and up to the end of its log whatever is
    /// committed (Kafka's debugging replica).
    pub(crate) fn look_up_here(
        &self,
        query: OffsetQuery,
        current_leader_epoch: i32,
    ) -> Result<FoundOffset, ReadFailure> {
        let state = self.state.lock();
        state.check(current_leader_epoch, ServedBy::AnyReplica)?;
        let (start, end) = (state.log.log_start_offset(), state.log.log_end_offset());
        let at = |offset: i64, leader_epoch: Option<i32>| FoundOffset {
            offset,
            timestamp: -1,
            leader_epoch: leader_epoch.unwrap_or(-1),
        };
        let found = |found: Option<TimestampedOffset>| found_below(found, end).unwrap_or(NOT_FOUND);
        Ok(match query {
            OffsetQuery::Earliest => at(start, state.log.epoch_of(start)),
            OffsetQuery::Latest(_) => at(end, state.log.latest_epoch()),
            OffsetQuery::HighWatermark => at(state.high_watermark(), None),
            OffsetQuery::MaxTimestamp => {
                let newest = state.log.offset_of_max_timestamp();
                found(newest.map_err(|error| read_failure(&self.failure, &error, &state))?)
            }
            OffsetQuery::At(timestamp, _) => {
                let first = state.log.offset_for_timestamp(timestamp, end);
                found(first.map_err(|error| read_failure(&self.failure, &error, &state))?)
            }
            OffsetQuery::Remote => NOT_FOUND,
        })
    }

    /// The largest epoch not above `epoch`, and where it ended; (-1, -1) when there is none.
    pub(crate) fn epoch_end(
        &self,
        epoch: i32,
        current_leader_epoch: i32,
        served_by: ServedBy,
    ) -> Result<(i32, i64), ReadFailure> {
        let state = self.state.lock();
        state.check(current_leader_epoch, served_by)?;
        Ok(state.log.end_offset_for_epoch(epoch))
    }

    /// Hands every record's key and value to `take`, in order. Those that are not committed yet will
    /// be, as long as this replica leads; when it does not, who reads here must stop anyway.
    pub(crate) fn for_each_record(
        &self,
        mut take: impl FnMut(Option<&bytes::Bytes>, Option<&bytes::Bytes>) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        let log_error = |error: &dyn std::fmt::Display| LoadError::Log(error.to_string());
        let mut offset = self.state.lock().log.log_start_offset();
        loop {
            let read = {
                let state = self.state.lock();
                let end = state.log.log_end_offset();
                if offset >= end {
                    return Ok(());
                }
                state.log.read(offset, LOAD_BYTES, end, true)
            };
            let bytes = read
                .inspect_err(|error| self.failure.end_if_broken(error))
                .map_err(|error| log_error(&error))?;
            let bytes = bytes
                .read_bytes()
                .inspect_err(|error| self.failure.end_if_broken(error))
                .map_err(|error| log_error(&error))?;
            // Nothing whole where the log says there is something: going on would never end.
            if split_batches(&bytes).next().is_none() {
                return Err(LoadError::Log(format!("no whole batch at offset {offset}")));
            }
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
}

impl State {
    /// KIP-320: an old epoch is fenced, a newer one is not known here yet. Only then it counts who
    /// leads, as in Kafka.
    pub(super) fn check(
        &self,
        current_leader_epoch: i32,
        served_by: ServedBy,
    ) -> Result<(), ReadFailure> {
        if self.gone {
            return Err(ReadFailure::Gone);
        }
        let known = self.role.leader_epoch().ok_or(ReadFailure::NotLeader)?;
        match current_leader_epoch {
            -1 => {}
            epoch if epoch < known => return Err(ReadFailure::FencedEpoch),
            epoch if epoch > known => return Err(ReadFailure::UnknownEpoch),
            _ => {}
        }
        match (served_by, &self.role) {
            (ServedBy::AnyReplica, _) | (ServedBy::Leader, Role::Leader(_)) => Ok(()),
            (ServedBy::Leader, Role::Unknown { .. } | Role::Waiting { .. } | Role::Follower(_)) => {
                Err(ReadFailure::NotLeader)
            }
        }
    }

    pub(super) fn last_stable_offset(&self) -> i64 {
        let high_watermark = self.high_watermark();
        self.log
            .first_unstable_offset()
            .map_or(high_watermark, |first| first.min(high_watermark))
    }

    fn visible_end(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.high_watermark(),
            Isolation::ReadCommitted => self.last_stable_offset(),
        }
    }

    /// The follower that the client should ask in place of this leader (KIP-392).
    fn preferred_read_replica(&self, request: &ReadRequest<'_>) -> Option<i32> {
        let place = request.place?;
        let is_near = |broker| place.is_near(broker);
        self.leader()?
            .preferred_read_replica(request.offset, is_near)
    }

    /// Rule 13: the client's last epoch ended before the offset it asks for. An epoch that this
    /// log cannot place leaves nothing to compare: out of range, as in Kafka.
    fn diverging(&self, request: &ReadRequest<'_>) -> Result<Option<(i32, i64)>, ReadFailure> {
        if request.last_fetched_epoch < 0 {
            return Ok(None);
        }
        let (epoch, end) = self.log.end_offset_for_epoch(request.last_fetched_epoch);
        if epoch < 0 || end < 0 {
            return Err(self.out_of_range());
        }
        let diverges = epoch < request.last_fetched_epoch || end < request.offset;
        Ok(diverges.then_some((epoch, end)))
    }

    pub(super) fn out_of_range(&self) -> ReadFailure {
        ReadFailure::OutOfRange {
            high_watermark: self.high_watermark(),
            log_start_offset: self.log.log_start_offset(),
        }
    }
}

fn found_below(found: Option<TimestampedOffset>, end: i64) -> Option<FoundOffset> {
    let found = found.filter(|found| found.offset < end)?;
    Some(FoundOffset {
        offset: found.offset,
        timestamp: found.timestamp,
        leader_epoch: found.leader_epoch.unwrap_or(-1),
    })
}

fn read_failure(failure: &DiskFailure, error: &ReadError, state: &State) -> ReadFailure {
    match error {
        ReadError::OffsetOutOfRange {
            log_start_offset, ..
        } => ReadFailure::OutOfRange {
            high_watermark: state.high_watermark(),
            log_start_offset: *log_start_offset,
        },
        ReadError::Storage(_) | ReadError::Corrupt { .. } => {
            failure.end_if_broken(error);
            ReadFailure::Storage(error.to_string())
        }
    }
}

pub(super) fn into_records(found: LogRead<<ProcessDisk as Disk>::File>) -> io::Result<Records> {
    if found.len > READ_INTO_ANSWER_MAX {
        found.into_records()
    } else {
        found.read_bytes().map(Records::from)
    }
}
