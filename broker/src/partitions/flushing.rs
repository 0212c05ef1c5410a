//! How a partition's records reach the disk itself (`flush.policy`).
//!
//! | Policy | Flushed |
//! |---|---|
//! | any | when a segment is full, when a log is closed, before it is compacted |
//! | interval | also once `flush.messages` records are appended, before the answer, and once `flush.ms` have passed |
//! | group | also in rounds with all that wait ([`super::group_commit`]); nothing counts before |
//!
//! An fsync never runs under the lock. What is on disk is what the log's recovery point says: a flush
//! that was planned before the log was cut moves nothing.

use super::partition::{AppendFailure, Appended, LEASE_PAUSE, Partition, State};
use crate::clocks;
use isthmus_broker_core::config::FlushPolicy;
use isthmus_broker_core::replica::OwnCopy;
use isthmus_log::StorageError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

impl Partition {
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
        self.try_flush()
            .inspect_err(|error| self.failure.end_by(error))
    }

    fn try_flush(&self) -> Result<(), StorageError> {
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
        let mut state = self.state.lock();
        state.log.flushed(&plan, outcome)?;
        let moved = state.own_copy_changed();
        let was_awaited = state.config.flush_policy == FlushPolicy::Group;
        drop(state);
        if moved {
            self.wake();
        } else if was_awaited {
            self.watchers.wake();
        }
        if was_awaited {
            self.watchers.wake_fetcher(self.key());
        }
        Ok(())
    }

    /// Its turn in a round of the group commit.
    pub(super) fn commit(&self) -> Result<(), StorageError> {
        if !self.state.lock().waits_for_commit() {
            return Ok(());
        }
        self.flush_blocking()?;
        // Appended to, or cut, meanwhile.
        if self.state.lock().waits_for_commit() {
            self.commits.wait(self.key(), 0);
        }
        Ok(())
    }

    /// A sync failed in the directory: whoever waits for one waits in vain.
    pub(super) fn directory_failed(&self, error: &StorageError) {
        self.state.lock().failed = Some(error.clone());
        self.watchers.wake();
    }

    /// Whether what is appended here counts against the bound on what is not flushed.
    pub(crate) fn is_group_committed(&self) -> bool {
        self.state.lock().config.flush_policy == FlushPolicy::Group
    }

    /// Until this replica's copy of what was appended counts, which acks=1 waits for; an error when
    /// this replica leads no more in that epoch. The caller sets the deadline.
    pub(crate) async fn wait_until_held(
        self: &Arc<Self>,
        appended: &Appended,
    ) -> Result<(), AppendFailure> {
        let woken = Arc::new(Notify::new());
        let _watch = self.watch(&woken);
        loop {
            let end = appended.last_offset + 1;
            let is_held = self.state.lock().led_in(appended.leader_epoch)?.holds(end);
            match is_held {
                true if self.may_acknowledge(appended) => return Ok(()),
                true => tokio::time::sleep(LEASE_PAUSE).await,
                false => woken.notified().await,
            }
        }
    }

    /// Whether a flush is due: `flush.ms` has passed since something unflushed came, or a segment
    /// was sealed and is not synced yet.
    pub(super) fn is_flush_due(&self, boot: Duration) -> bool {
        let state = self.state.lock();
        let interval = u64::try_from(state.config.flush_ms).unwrap_or(0);
        let aged = state
            .unflushed_since
            .is_some_and(|since| boot.saturating_sub(since) >= Duration::from_millis(interval));
        let aged = aged && state.config.flush_policy == FlushPolicy::Interval;
        !state.gone && (aged || state.log.unsynced_segments() > 0)
    }
}

impl State {
    /// Up to where this replica's own log counts.
    pub(super) fn own_copy(&self) -> OwnCopy {
        match self.config.flush_policy {
            FlushPolicy::None | FlushPolicy::Interval => OwnCopy::Written,
            FlushPolicy::Group => OwnCopy::Flushed(self.log.recovery_point()),
        }
    }

    /// Tells a leader; returns whether its high watermark moved.
    pub(super) fn own_copy_changed(&mut self) -> bool {
        let own_copy = self.own_copy();
        let moved = self
            .leader_mut()
            .is_some_and(|leader| leader.set_own_copy(own_copy));
        if moved {
            self.log.on_high_watermark(self.role.high_watermark());
        }
        moved
    }

    /// Whether a round of the group commit has something to do here.
    pub(super) fn waits_for_commit(&self) -> bool {
        let is_open = !self.gone && !self.closed;
        is_open && !self.own_copy().is_whole(self.log.log_end_offset())
    }

    /// Counts for `flush.messages` and `flush.ms`; returns whether a flush is due at once.
    pub(super) fn count_unflushed(&mut self, records: i64) -> bool {
        match self.config.flush_policy {
            FlushPolicy::Interval => {}
            FlushPolicy::None | FlushPolicy::Group => return false,
        }
        if self.config.flush_ms < i64::MAX && self.unflushed_since.is_none() {
            self.unflushed_since = Some(clocks::boot());
        }
        self.unflushed_records = self.unflushed_records.saturating_add(records);
        self.unflushed_records >= self.config.flush_messages
    }
}
