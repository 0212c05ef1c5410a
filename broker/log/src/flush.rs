//! Making the log durable, in two steps so that the fsync runs outside of the log's lock.
//!
//! Owns: the plan, the recovery point, closing.
//! Must not know: threads, when to flush.
//! Invariants: the recovery point moves only over bytes whose sync succeeded and which no truncation
//! has replaced since; sealed segments are synced in order, with their indexes; a failed fsync ends
//! the log and is never tried again.
//!
//! ```text
//! under the lock:  plan = log.flush_plan()
//! outside:         outcome = plan.run()
//! under the lock:  log.flushed(&plan, outcome)
//! ```

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::StorageError;
use crate::log::Log;
use crate::names::{FileType, OffsetFile};

/// What has to be synced to make everything below `upto` durable.
#[derive(Debug)]
pub struct FlushPlan<D: Disk> {
    disk: Arc<D>,
    dir: PathBuf,
    upto: i64,
    sealed: Vec<(i64, Arc<D::File>)>,
    snapshots: Vec<i64>,
    active: Option<Arc<D::File>>,
    sync_dir: bool,
    names_changed: u64,
    truncations: u64,
}

impl<D: Disk> FlushPlan<D> {
    /// What the recovery point will be.
    pub fn upto(&self) -> i64 {
        self.upto
    }

    pub fn is_empty(&self) -> bool {
        self.active.is_none()
            && self.sealed.is_empty()
            && self.snapshots.is_empty()
            && !self.sync_dir
    }

    /// Syncs; to be called on a thread that may block.
    pub fn run(&self) -> io::Result<()> {
        for (base_offset, file) in &self.sealed {
            file.sync_data()?;
            for file_type in [
                FileType::OffsetIndex,
                FileType::TimeIndex,
                FileType::TxnIndex,
            ] {
                self.sync_if_there(OffsetFile::live(*base_offset, file_type))?;
            }
        }
        for offset in &self.snapshots {
            self.sync_if_there(OffsetFile::live(*offset, FileType::Snapshot))?;
        }
        if let Some(active) = &self.active {
            active.sync_data()?;
        }
        if self.sync_dir {
            self.disk.sync_dir(&self.dir)?;
        }
        Ok(())
    }

    fn sync_if_there(&self, file: OffsetFile) -> io::Result<()> {
        match self.disk.open(&file.path(&self.dir), OpenMode::Write) {
            Ok(file) => file.sync_data(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl<D: Disk> Log<D> {
    /// Full segments that wait for their sync. Each holds a file handle, so a flush is due when there
    /// is one, whatever the topic's flush settings are; Kafka too flushes after a roll.
    pub fn unsynced_segments(&self) -> usize {
        self.flush_state.sealed.len()
    }

    /// What a flush up to the log end has to do. A pending truncation of the epoch file is written
    /// here, under the lock: two writers of that file must not meet.
    pub fn flush_plan(&mut self) -> Result<FlushPlan<D>, StorageError> {
        self.check_poison()?;
        self.flush_epochs()?;
        let active = if self.recovery_point < self.log_end_offset && !self.active().is_empty() {
            let handle = self.active().file(self.place()).cloned();
            Some(self.poison_on("open the active segment of", handle)?)
        } else {
            None
        };
        Ok(FlushPlan {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            upto: self.log_end_offset,
            sealed: self.flush_state.sealed.clone(),
            snapshots: self.flush_state.snapshots.clone(),
            active,
            sync_dir: self.flush_state.names_synced < self.flush_state.names_changed,
            names_changed: self.flush_state.names_changed,
            truncations: self.flush_state.truncations,
        })
    }

    /// Takes the outcome of a plan over.
    pub fn flushed(
        &mut self,
        plan: &FlushPlan<D>,
        outcome: io::Result<()>,
    ) -> Result<(), StorageError> {
        self.check_poison()?;
        self.poison_on("sync", outcome)?;
        if plan.truncations != self.flush_state.truncations {
            return Ok(());
        }
        let planned = |base: &i64| plan.sealed.iter().any(|(synced, _)| synced == base);
        self.flush_state
            .sealed
            .retain(|(base_offset, _)| !planned(base_offset));
        self.flush_state
            .snapshots
            .retain(|offset| !plan.snapshots.contains(offset));
        self.flush_state.names_synced = self.flush_state.names_synced.max(plan.names_changed);
        self.recovery_point = self.recovery_point.max(plan.upto);
        self.assert_order();
        Ok(())
    }

    /// Plans, syncs and takes over in one go, for callers that may block.
    pub fn flush(&mut self) -> Result<(), StorageError> {
        let plan = self.flush_plan()?;
        let outcome = plan.run();
        self.flushed(&plan, outcome)
    }

    /// Completes everything on disk: snapshot, indexes, epochs, all synced. Afterwards the directory
    /// may be marked as cleanly shut down, and the log is not to be used any more.
    pub fn close(&mut self) -> Result<(), StorageError> {
        self.check_poison()?;
        if self.log_end_offset > self.log_start_offset || self.snapshots.last().is_some() {
            self.take_snapshot()?;
        }
        if !self.active().is_empty() {
            let (active, place) = self.active_in_place();
            let result = active.complete_indexes(place);
            self.poison_on("complete the indexes of", result)?;
            self.flush_state.names_changed += 1;
        }
        self.flush()?;
        let result = self.sync_closing_files();
        self.poison_on("sync", result)?;
        self.active_mut().release_file();
        *self.cold.lock() = None;
        Ok(())
    }

    fn sync_closing_files(&self) -> io::Result<()> {
        let active = self.active().base_offset;
        let indexes = [
            FileType::OffsetIndex,
            FileType::TimeIndex,
            FileType::TxnIndex,
        ];
        let indexes = indexes.map(|file_type| OffsetFile::live(active, file_type));
        for file in indexes {
            match self.disk.open(&file.path(&self.dir), OpenMode::Write) {
                Ok(file) => file.sync_data()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
