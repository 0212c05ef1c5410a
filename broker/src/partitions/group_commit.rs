//! The rounds of a data directory: all logs of `flush.policy = group` that wait, synced together.
//!
//! The core says which logs a round has ([`isthmus_broker_core::group_commit`]); here they are synced,
//! on threads that may block, and whoever waited looks again as soon as its own log is done. A round
//! begins at once when something waits and none is under way: nothing is held back to gather more, what
//! gathers does so behind the round before. A failed fsync ends the directory, and the broker.

use super::partition::Partition;
use super::{PartitionKey, Partitions};
use crate::metrics::GroupCommitMetrics;
use isthmus_broker_core::group_commit::GroupCommit;
use isthmus_log::StorageError;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Bytes that may be written and not flushed before appends wait for room: more than a round of a
/// slow disk takes, so it is met only where appends come faster than the disk for good.
const UNFLUSHED_BYTES_MAX: u64 = 64 << 20;

/// Threads that sync in a round. File systems join the syncs that meet in one commit of their
/// journal; more threads than this gain little, and the blocking pool has other work too.
const LANES: usize = 4;

/// Which logs of the directory wait, for those who append and the one who syncs.
pub(super) struct Commits {
    core: Mutex<GroupCommit<PartitionKey>>,
    /// A round may be due, or there will be none any more.
    due: Notify,
    /// There may be room.
    room: Notify,
    /// Whether appends are to wait, as the core said last.
    full: AtomicBool,
    /// No round will be begun any more; what is open is flushed as it is closed.
    ended: AtomicBool,
}

impl Commits {
    pub(super) fn new() -> Self {
        Self {
            core: Mutex::new(GroupCommit::new(UNFLUSHED_BYTES_MAX)),
            due: Notify::new(),
            room: Notify::new(),
            full: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    /// That log was appended to by so many bytes, or waits for another reason.
    pub(super) fn wait(&self, key: PartitionKey, bytes: u64) {
        let mut core = self.core.lock();
        let is_due = core.wait(key, bytes);
        self.full.store(!core.has_room(), Ordering::Release);
        drop(core);
        if is_due {
            self.due.notify_one();
        }
    }

    fn round_is_over(&self) {
        let mut core = self.core.lock();
        core.end_round();
        self.full.store(!core.has_room(), Ordering::Release);
        drop(core);
        self.room.notify_waiters();
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.due.notify_one();
    }
}

impl Drop for Partitions {
    fn drop(&mut self) {
        self.commits.end();
    }
}

impl Partitions {
    /// Begins to sync what waits, until these partitions are closed or dropped.
    pub(crate) fn start_group_commit(self: &Arc<Self>, metrics: GroupCommitMetrics) {
        let commits = Arc::clone(&self.commits);
        let partitions = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                commits.due.notified().await;
                let Some(partitions) = partitions.upgrade() else {
                    return;
                };
                while !commits.ended.load(Ordering::Acquire) {
                    let keys = commits.core.lock().begin_round();
                    if keys.is_empty() {
                        break;
                    }
                    let outcome = partitions.round(&keys, &metrics).await;
                    commits.round_is_over();
                    if let Err(error) = outcome {
                        let all = partitions.all();
                        all.iter().for_each(|it| it.directory_failed(&error));
                        return;
                    }
                }
                if commits.ended.load(Ordering::Acquire) {
                    return;
                }
            }
        });
    }

    /// Syncs those logs, each once.
    async fn round(
        &self,
        keys: &[PartitionKey],
        metrics: &GroupCommitMetrics,
    ) -> Result<(), StorageError> {
        let began = Instant::now();
        let waiting = keys
            .iter()
            .filter_map(|(topic, index)| self.get(*topic, *index));
        let waiting: Vec<Arc<Partition>> = waiting.collect();
        let mut lanes = JoinSet::new();
        for lane in waiting.chunks(waiting.len().div_ceil(LANES).max(1)) {
            let lane = lane.to_vec();
            lanes.spawn_blocking(move || lane.iter().try_for_each(|it| it.commit()));
        }
        let mut outcome = Ok(());
        while let Some(ended) = lanes.join_next().await {
            match ended {
                Ok(synced) => outcome = outcome.and(synced),
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        metrics.round(waiting.len(), began.elapsed());
        outcome
    }

    /// Waits until there is room for more that is written and not flushed; `false` when the deadline
    /// comes first.
    pub(crate) async fn room_to_append(&self, deadline: Instant) -> bool {
        loop {
            let roomier = self.commits.room.notified();
            tokio::pin!(roomier);
            // Before the look: a round that ends in between is not missed.
            roomier.as_mut().enable();
            if self.has_room_to_append() {
                return true;
            }
            if tokio::time::timeout_at(deadline, roomier).await.is_err() {
                return false;
            }
        }
    }

    pub(crate) fn has_room_to_append(&self) -> bool {
        !self.commits.full.load(Ordering::Acquire)
    }

    /// Written and not known to be flushed, of all logs of `flush.policy = group`.
    pub(crate) fn unflushed_bytes(&self) -> u64 {
        self.commits.core.lock().unflushed_bytes()
    }
}
