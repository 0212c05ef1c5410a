//! Cutting the end of the log off, as a follower does that diverged from its leader.
//!
//! Owns: the order of the steps.
//! Must not know: where the leader says to cut.
//! Invariants: cuts at batch boundaries; durable when it returns; the recovery point comes down
//! with the end. The caller must write the recovery-point checkpoint before it appends again, as
//! Kafka does: else a crash would find unsynced bytes below the checkpoint and take their damage
//! for damage of synced data.

use std::io;
use std::path::Path;

use crate::disk::{Disk, DiskFile};
use crate::error::StorageError;
use crate::log::Log;
use crate::lookup::Lookup;
use crate::names::{FileType, OffsetFile};
use crate::producers::ProducerState;
use crate::segment::Segment;

impl<D: Disk> Log<D> {
    /// Removes every batch that ends at or above `offset`; returns the new log end, which is below
    /// `offset` if a batch spans it. An epoch that begins there goes too, records or not: it was
    /// another history's (rule 13).
    pub fn truncate_to(&mut self, offset: i64, now_ms: i64) -> Result<i64, StorageError> {
        self.check_poison()?;
        assert!(offset >= 0, "truncation to {offset}");
        if offset >= self.log_end_offset {
            self.epochs.truncate_from_end(offset);
            return Ok(self.log_end_offset);
        }
        if offset <= self.segments[0].base_offset || offset < self.log_start_offset {
            self.truncate_fully_and_start_at(offset, now_ms)?;
            return Ok(offset);
        }
        self.flush_state.truncations += 1;
        let keep = self.segment_index(offset - 1);
        self.remove_segments_from(keep + 1)?;
        let end = self.cut_active(offset)?;
        self.settle(end, now_ms)?;
        Ok(end)
    }

    /// Removes everything; the log goes on, empty, at `offset`.
    pub fn truncate_fully_and_start_at(
        &mut self,
        offset: i64,
        now_ms: i64,
    ) -> Result<(), StorageError> {
        self.check_poison()?;
        assert!(offset >= 0, "truncation to {offset}");
        self.flush_state.truncations += 1;
        // The newest first: what a crash leaves has no hole, and nothing at all is opened as empty.
        let old: Vec<i64> = self
            .segments
            .iter()
            .map(|segment| segment.base_offset)
            .collect();
        let result = self.remove_files_of(old.into_iter().rev().filter(|base| *base != offset));
        self.poison_on("truncate", result)?;
        let stale = remove_all(&*self.disk, &self.dir, offset, &INDEXES);
        self.poison_on("truncate", stale)?;
        let segment = Segment::create(self.place(), offset, now_ms);
        self.segments = vec![self.poison_on("create a segment of", segment)?];
        let synced = self.segments[0].file(self.place()).and_then(|file| {
            file.sync_data()?;
            self.disk.sync_dir(&self.dir)
        });
        self.poison_on("sync", synced)?;
        self.log_start_offset = offset;
        self.log_end_offset = offset;
        self.recovery_point = self.recovery_point.min(offset);
        self.flush_state.sealed.clear();
        self.epochs.clear();
        self.producers = ProducerState::default();
        self.remove_snapshots(|_| true)?;
        *self.cold.lock() = None;
        self.assert_order();
        Ok(())
    }

    /// Cuts the last segment before the first batch that ends at or above `offset`.
    fn cut_active(&mut self, offset: i64) -> Result<i64, StorageError> {
        let result = self.boundary_in_active(offset);
        let (position, end) = self.poison_on("truncate", result)?;
        let (active, place) = self.active_in_place();
        let result = active.truncate(place, position, end);
        self.poison_on("truncate", result)?;
        Ok(end)
    }

    fn boundary_in_active(&self, offset: i64) -> io::Result<(u32, i64)> {
        let active = self.active();
        let file = active.open_file(self.place())?;
        match active.find_offset(self.place(), &file, offset)? {
            Lookup::Found {
                position,
                base_offset,
                ..
            } => {
                let position = u32::try_from(position).map_err(io::Error::other)?;
                Ok((position, base_offset.min(offset)))
            }
            Lookup::End => Ok((active.size, offset)),
            Lookup::Damaged { position } => {
                Err(io::Error::other(format!("no batch at position {position}")))
            }
        }
    }

    fn settle(&mut self, end: i64, now_ms: i64) -> Result<(), StorageError> {
        self.log_end_offset = end;
        // A log start inside the batch that went comes down with it.
        self.log_start_offset = self.log_start_offset.min(end);
        self.recovery_point = self.recovery_point.min(end);
        let base_offset = self.active().base_offset;
        self.flush_state
            .sealed
            .retain(|(sealed, _)| *sealed < base_offset);
        self.epochs.truncate_from_end(end);
        self.remove_snapshots(|snapshot| snapshot > end)?;
        let result = self.rebuild_producers(now_ms);
        self.poison_on("rebuild the producers of", result)?;
        *self.cold.lock() = None;
        self.assert_order();
        Ok(())
    }

    fn remove_segments_from(&mut self, index: usize) -> Result<(), StorageError> {
        if index >= self.segments.len() {
            return Ok(());
        }
        let gone: Vec<i64> = self
            .segments
            .drain(index..)
            .map(|s| s.base_offset)
            .collect();
        // The newest first: what a crash leaves has no hole.
        let result = self
            .remove_files_of(gone.into_iter().rev())
            .and_then(|()| self.disk.sync_dir(&self.dir));
        self.poison_on("truncate", result)
    }

    fn remove_files_of(&self, base_offsets: impl Iterator<Item = i64>) -> io::Result<()> {
        for base_offset in base_offsets {
            remove_all(&*self.disk, &self.dir, base_offset, &INDEXES)?;
            remove_all(&*self.disk, &self.dir, base_offset, &[FileType::Log])?;
        }
        Ok(())
    }

    fn remove_snapshots(&mut self, is_gone: impl Fn(i64) -> bool) -> Result<(), StorageError> {
        let (gone, kept) = self.snapshots.iter().partition(|offset| is_gone(**offset));
        let gone: Vec<i64> = gone;
        self.flush_state
            .snapshots
            .retain(|offset| !gone.contains(offset));
        self.snapshots = kept;
        if gone.is_empty() {
            return Ok(());
        }
        let removed = gone
            .into_iter()
            .try_for_each(|o| remove_all(&*self.disk, &self.dir, o, &[FileType::Snapshot]));
        // Durable before other batches take their offsets: a snapshot that came back would tell of
        // batches that are gone.
        let result = removed.and_then(|()| self.disk.sync_dir(&self.dir));
        self.poison_on("truncate", result)
    }
}

pub(crate) const INDEXES: [FileType; 3] = [
    FileType::OffsetIndex,
    FileType::TimeIndex,
    FileType::TxnIndex,
];

/// Removes files that may not exist.
pub(crate) fn remove_all<D: Disk>(
    disk: &D,
    dir: &Path,
    base_offset: i64,
    kinds: &[FileType],
) -> io::Result<()> {
    for file_type in kinds {
        match disk.remove_file(&OffsetFile::live(base_offset, *file_type).path(dir)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
