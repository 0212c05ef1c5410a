//! The leader's end of a partition: what followers say and get, and what the controller answers.
//!
//! The core decides (`isthmus_broker_core::replica`); here its log is read.

use super::partition::{Partition, State};
use super::reading::into_records;
use super::replica_log::ReplicaLog;
use super::role::Role;
use isthmus_broker_core::metadata::MetadataImage;
use isthmus_broker_core::replica::{
    AlterPartitionAnswer, FetchRefused, LeaderEffects, ReplicaFetch, ReplicaFetchAnswer,
};
use isthmus_log::disk::{Disk, ProcessDisk};
use isthmus_log::{Log, LogRead, ReadError};
use isthmus_wire::{ErrorCode, Records};
use std::time::Duration;

type File = <ProcessDisk as Disk>::File;

/// What a leader gives a follower.
pub(crate) struct ReplicaRead {
    pub(crate) base: i64,
    pub(crate) end: i64,
    pub(crate) high_watermark: i64,
    pub(crate) log_start_offset: i64,
    pub(crate) records: Records,
}

/// When a follower is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// As soon as there are records, or what it was told has changed.
    WhenOwed,
    /// At once: it has started over, and has forgotten what it was told.
    AtOnce,
}

impl Partition {
    /// A follower says how far its log reaches. `Ok`: whether it is owed an answer.
    pub(crate) fn replica_asks(
        &self,
        now: Duration,
        image: &MetadataImage,
        fetch: &ReplicaFetch,
    ) -> Result<bool, FetchRefused> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if state.gone {
            let gone = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
            return Err(FetchRefused::Error(gone));
        }
        let Role::Leader(leader) = &mut state.role else {
            return Err(FetchRefused::Error(ErrorCode::NOT_LEADER_OR_FOLLOWER));
        };
        let low_watermark = leader.low_watermark(image);
        let (verdict, effects) = leader.fetched(now, image, fetch, &ReplicaLog(&state.log));
        state.log.on_high_watermark(leader.high_watermark());
        let is_owed = leader.owes(fetch.replica_id);
        let is_deleted = leader.low_watermark(image) > low_watermark;
        drop(guard);
        self.follow_up(now, image, effects);
        if is_deleted {
            self.wake();
        }
        verdict.map(|()| is_owed)
    }

    /// What that follower is owed, if anything; whole batches of at most `max_bytes`, one at least.
    pub(crate) fn replica_answer(
        &self,
        replica_id: i32,
        attempt: u64,
        max_bytes: usize,
        answered: Answered,
    ) -> Option<Result<ReplicaRead, FetchRefused>> {
        let (found, mut answer) = {
            let mut state = self.state.lock();
            match state.replica_answer(replica_id, attempt, max_bytes, answered)? {
                Ok(found) => found,
                Err(refused) => return Some(Err(self.refused(refused))),
            }
        };
        let Some(found) = found else {
            return Some(Ok(answer));
        };
        Some(match into_records(found) {
            Ok(records) => {
                answer.records = records;
                Ok(answer)
            }
            Err(error) => Err(self.refused(NotRead::Log(error.into()))),
        })
    }

    fn refused(&self, not_read: NotRead) -> FetchRefused {
        match not_read {
            NotRead::Refused(refused) => refused,
            NotRead::Log(error) => {
                self.failure.end_if_broken(&*error);
                FetchRefused::Error(ErrorCode::KAFKA_STORAGE_ERROR)
            }
        }
    }

    /// Whether there is more for that follower than it was sent.
    pub(crate) fn owes(&self, replica_id: i32) -> bool {
        let state = self.state.lock();
        state.leader().is_some_and(|it| it.owes(replica_id))
    }

    /// By how many records each follower is behind, while this replica leads.
    pub(crate) fn lags(&self) -> Vec<(i32, i64)> {
        let state = self.state.lock();
        let leader = state.leader();
        leader.map_or_else(Vec::new, |it| it.lags().collect())
    }

    /// Time has passed for a leader.
    pub(crate) fn tick(&self, now: Duration, image: &MetadataImage) {
        self.as_leader(now, image, |state| match &mut state.role {
            Role::Leader(leader) => leader.tick(now, image),
            Role::Unknown { .. } | Role::Waiting { .. } | Role::Follower(_) => {
                LeaderEffects::default()
            }
        });
    }

    /// What the controller said to a proposal, named by its leader epoch and number.
    pub(crate) fn isr_answered(
        &self,
        now: Duration,
        image: &MetadataImage,
        (leader_epoch, proposal): (i32, u64),
        answer: AlterPartitionAnswer,
    ) {
        self.as_leader(now, image, |state| match &mut state.role {
            Role::Leader(leader) if leader.epoch() == leader_epoch => {
                leader.alter_partition_answered(now, image, proposal, answer)
            }
            Role::Leader(_) | Role::Unknown { .. } | Role::Waiting { .. } | Role::Follower(_) => {
                LeaderEffects::default()
            }
        });
    }

    fn as_leader(
        &self,
        now: Duration,
        image: &MetadataImage,
        event: impl FnOnce(&mut State) -> LeaderEffects,
    ) {
        let mut state = self.state.lock();
        let effects = event(&mut state);
        let high_watermark = state.high_watermark();
        state.log.on_high_watermark(high_watermark);
        drop(state);
        self.follow_up(now, image, effects);
    }
}

/// Where to read, and the answer to be; no place when only the high watermark is owed.
type Owed = (Option<LogRead<File>>, ReplicaRead);

/// Why a follower gets nothing.
enum NotRead {
    Refused(FetchRefused),
    Log(Box<dyn std::error::Error + Send + Sync>),
}

impl State {
    fn replica_answer(
        &mut self,
        replica_id: i32,
        attempt: u64,
        max_bytes: usize,
        answered: Answered,
    ) -> Option<Result<Owed, NotRead>> {
        let Role::Leader(leader) = &mut self.role else {
            return None;
        };
        let is_due = answered == Answered::AtOnce || leader.owes(replica_id);
        if self.gone || !is_due {
            return None;
        }
        let base = leader.sent(replica_id, attempt)?;
        let (found, end) = match read(&self.log, base, max_bytes) {
            Ok(read) => read,
            Err(refused) => return Some(Err(refused)),
        };
        let answer = leader.answer(replica_id, attempt, end - base)?;
        let ReplicaFetchAnswer::Records {
            base,
            end,
            high_watermark,
        } = answer
        else {
            return None;
        };
        let answer = ReplicaRead {
            base,
            end,
            high_watermark,
            log_start_offset: self.log.log_start_offset(),
            records: Records::default(),
        };
        Some(Ok((found, answer)))
    }
}

/// What lies behind `base`; nothing at the log end.
fn read(
    log: &Log<ProcessDisk>,
    base: i64,
    max_bytes: usize,
) -> Result<(Option<LogRead<File>>, i64), NotRead> {
    let (log_start, log_end) = (log.log_start_offset(), log.log_end_offset());
    if base == log_end {
        return Ok((None, base));
    }
    match log.read_for_replica(base, max_bytes) {
        Ok((read, end)) if !read.is_empty() => Ok((Some(read), end)),
        // Nothing whole where there should be something: a follower cannot get past it.
        Ok(_) => Err(NotRead::Refused(FetchRefused::Error(
            ErrorCode::KAFKA_STORAGE_ERROR,
        ))),
        Err(error @ (ReadError::Storage(_) | ReadError::Corrupt { .. })) => {
            Err(NotRead::Log(error.into()))
        }
        // Retention was here since the follower asked.
        Err(ReadError::OffsetOutOfRange { .. }) => {
            Err(NotRead::Refused(FetchRefused::OutOfRange {
                log_start,
                log_end,
            }))
        }
    }
}
