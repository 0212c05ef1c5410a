//! The follower's end of a partition: what it has to say to its leader, and what becomes of answers.
//!
//! The core decides (`isthmus_broker_core::replica`); here its log is appended to and cut.
//!
//! A log is cut in steps, because the checkpoints of all partitions come between them
//! ([`super::Partitions::cut`]): 1. the high watermark and what the recovery point may say come down,
//! in memory; 2. the checkpoints are written; 3. what goes is kept as evidence (`evidence`); 4. the log
//! is cut. Nothing is fetched for the partition meanwhile, and another role gives the cut up.

use super::partition::{Partition, State};
use super::replica_log::ReplicaLog;
use super::role::Role;
use super::watchers::Ready;
use bytes::Bytes;
use isthmus_broker_core::replica::{
    EpochHistory, Follower, FollowerStep, ReplicaFetch, ReplicaFetchAnswer,
};
use isthmus_log::disk::{Disk, ProcessDisk};
use isthmus_log::{AppendError, Log, ReadError, StorageError, Suffix};
use isthmus_wire::batch::split_batches;
use std::sync::Arc;
use std::time::Duration;

/// A leader's answer on one partition, as it came.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) leader_epoch: i32,
    /// The follower's session that asked.
    pub(crate) attempt: u64,
    pub(crate) answer: ReplicaFetchAnswer,
    pub(crate) log_start_offset: i64,
    pub(crate) records: Bytes,
}

/// What a follower has to say to its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Ask(ReplicaFetch),
    /// Not before that time on the boot clock.
    Later(Duration),
    Nothing,
}

/// What a follower's answer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Done,
    /// `flush.messages` wants it on disk before the leader is told.
    Flush,
    Cut(Cut),
}

/// Where a follower's log is to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    leader_epoch: i32,
    at: CutAt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CutAt {
    /// What is behind goes.
    End(i64),
    /// Everything goes; the log begins there.
    Start(i64),
}

impl Cut {
    pub(super) fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }
}

impl Partition {
    /// The broker that this replica follows, and in which leader epoch.
    pub(crate) fn followed(&self) -> Option<(i32, i32)> {
        let state = self.state.lock();
        match &state.role {
            Role::Follower(follower) if !state.gone && !state.closed => {
                Some((follower.leader(), follower.leader_epoch()))
            }
            Role::Follower(_) | Role::Leader(_) | Role::Unknown { .. } | Role::Waiting { .. } => {
                None
            }
        }
    }

    /// What is to be said to that leader now.
    pub(crate) fn ask_leader(&self, now: Duration, leader: i32, broker_epoch: i64) -> Due {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        // While the log waits to be cut there is nothing to say.
        if state.gone || state.closed || state.cut_to.is_some() {
            return Due::Nothing;
        }
        let own_copy = state.own_copy();
        let Role::Follower(follower) = &mut state.role else {
            return Due::Nothing;
        };
        if follower.leader() != leader {
            return Due::Nothing;
        }
        match follower.poll(now, broker_epoch, &ReplicaLog(&state.log), own_copy) {
            Some(fetch) => Due::Ask(fetch),
            None if now < follower.pause_until() => Due::Later(follower.pause_until()),
            None => Due::Nothing,
        }
    }

    /// The leader answered.
    pub(crate) fn leader_answered(
        &self,
        now: Duration,
        now_ms: i64,
        fetched: &Fetched,
    ) -> Result<Turn, StorageError> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if state.gone || state.closed {
            return Ok(Turn::Done);
        }
        let Role::Follower(follower) = &mut state.role else {
            return Ok(Turn::Done);
        };
        if follower.leader_epoch() != fetched.leader_epoch {
            return Ok(Turn::Done);
        }
        let log = ReplicaLog(&state.log);
        let at = match follower.answered(now, fetched.attempt, fetched.answer, &log) {
            FollowerStep::Nothing => return Ok(Turn::Done),
            FollowerStep::Append => {
                let before = state.high_watermark();
                let flush_due = state.append_fetched(self, now, now_ms, fetched)?;
                let moved = state.high_watermark() > before;
                let waits = state.waits_for_commit();
                drop(guard);
                if waits {
                    self.commits.wait(self.key(), fetched.records.len() as u64);
                }
                if moved {
                    self.wake();
                }
                return Ok(if flush_due { Turn::Flush } else { Turn::Done });
            }
            FollowerStep::Truncate { to } => CutAt::End(to),
            FollowerStep::StartAt { at } => CutAt::Start(at),
        };
        let (CutAt::End(to) | CutAt::Start(to)) = at;
        follower.truncated(to);
        state.cut_to = Some(to);
        Ok(Turn::Cut(Cut {
            leader_epoch: fetched.leader_epoch,
            at,
        }))
    }

    /// The set that is told when this replica may have something to say to its leader: what it has
    /// is flushed (`flush.policy = group`).
    pub(crate) fn fetched_by(&self, ready: &Arc<Ready>) {
        self.watchers.set_fetcher(ready);
    }

    /// The connection to that leader ended.
    pub(crate) fn leader_lost(&self, now: Duration, leader: i32) {
        if let Role::Follower(follower) = &mut self.state.lock().role
            && follower.leader() == leader
        {
            follower.disconnected(now);
        }
    }

    /// What a cut takes away that this leader never had; nothing when the role has changed since.
    pub(super) fn suffix_of(
        &self,
        cut: &Cut,
    ) -> Result<Option<Suffix<<ProcessDisk as Disk>::File>>, ReadError> {
        let CutAt::End(to) = cut.at else {
            return Ok(None);
        };
        let state = self.state.lock();
        let is_due = state.role.leader_epoch() == Some(cut.leader_epoch);
        if state.gone || state.closed || !is_due {
            return Ok(None);
        }
        let suffix = state.log.suffix(to)?;
        Ok(Some(suffix).filter(|it| !it.is_empty()))
    }

    /// The last step of a cut: whether it was made. Not when the role has changed since.
    pub(super) fn cut(&self, cut: &Cut, now_ms: i64) -> Result<bool, StorageError> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let Role::Follower(follower) = &mut state.role else {
            return Ok(false);
        };
        if state.gone || state.closed || follower.leader_epoch() != cut.leader_epoch {
            return Ok(false);
        }
        let before = state.log.log_end_offset();
        match cut.at {
            CutAt::End(to) => {
                let log_end = state.log.truncate_to(to, now_ms)?;
                follower.truncated(log_end);
            }
            CutAt::Start(at) => {
                state.log.truncate_fully_and_start_at(at, now_ms)?;
                follower.started_at(at);
            }
        }
        let log_end_offset = state.log.log_end_offset();
        state.cleaning.log_cut(log_end_offset);
        state.cut_to = None;
        tracing::info!(
            event = "log_truncated",
            topic = self.topic(),
            partition = self.index(),
            leader_epoch = cut.leader_epoch,
            log_end_offset_before = before,
            log_end_offset,
            "its leader's history is another one"
        );
        Ok(true)
    }

    fn name(&self) -> String {
        format!("{}-{}", self.topic(), self.index())
    }
}

impl State {
    /// Appends what the leader sent, and takes over what it says is committed and deleted. Returns
    /// whether a flush is due before the leader is told. What cannot be appended is asked for again.
    fn append_fetched(
        &mut self,
        partition: &Partition,
        now: Duration,
        now_ms: i64,
        fetched: &Fetched,
    ) -> Result<bool, StorageError> {
        let ReplicaFetchAnswer::Records {
            end,
            high_watermark,
            ..
        } = fetched.answer
        else {
            return Ok(false);
        };
        let Role::Follower(follower) = &mut self.role else {
            return Ok(false);
        };
        let before = self.log.log_end_offset();
        match append(&mut self.log, follower, &fetched.records, now_ms) {
            Ok(()) if self.log.log_end_offset() == end => {}
            Ok(()) => {
                let log_end = self.log.log_end_offset();
                tracing::warn!(
                    event = "replica_fetch_short",
                    partition = partition.name(),
                    log_end,
                    end
                );
                follower.disconnected(now);
            }
            Err(AppendError::Storage(error)) => return Err(error),
            Err(error) => {
                tracing::warn!(event = "replica_fetch_refused", partition = partition.name(), %error);
                follower.disconnected(now);
                return Ok(false);
            }
        }
        let log_end = self.log.log_end_offset();
        follower.appended(log_end, high_watermark);
        let high_watermark = follower.high_watermark();
        self.log.on_high_watermark(high_watermark);
        let log_start = fetched.log_start_offset.min(high_watermark);
        if log_start > self.log.log_start_offset() {
            self.log.increment_log_start_offset(log_start)?;
        }
        Ok(log_end > before && self.count_unflushed(log_end - before))
    }
}

/// Appends in the leader's offsets and epochs, which only rise and are not above its own.
fn append(
    log: &mut Log<ProcessDisk>,
    follower: &Follower,
    records: &Bytes,
    now_ms: i64,
) -> Result<(), AppendError> {
    if records.is_empty() {
        return Ok(());
    }
    let mut latest = ReplicaLog(log).latest_epoch().unwrap_or(0);
    let mut first_last_offset = None;
    for batch in split_batches(records) {
        let batch = batch.map_err(AppendError::CorruptRecord)?;
        let epoch = batch.header().partition_leader_epoch;
        if epoch < latest || epoch > follower.leader_epoch() {
            let leader_epoch = follower.leader_epoch();
            let what = format!("a batch of epoch {epoch} from the leader of {leader_epoch}");
            return Err(AppendError::InvalidRecord(what));
        }
        latest = epoch;
        first_last_offset.get_or_insert(batch.header().last_offset());
    }
    let start = log.log_start_offset();
    let is_empty = start == log.log_end_offset();
    match log.append_as_follower(records, now_ms) {
        // The leader's log begins within its first batch, and this one there too: the whole batch
        // comes, and the log still begins where it did (Kafka does the same).
        Err(AppendError::UnexpectedAppendOffset { first_offset, .. })
            if is_empty && first_last_offset.is_some_and(|last| last >= start) =>
        {
            log.truncate_fully_and_start_at(first_offset, now_ms)?;
            log.append_as_follower(records, now_ms)?;
            log.increment_log_start_offset(start)?;
            Ok(())
        }
        outcome => outcome.map(drop),
    }
}
