//! Cleaned segments take the place of those they were made from. Under the log's lock: renames only,
//! no fsync.
//!
//! Owns: the order of the renames, and the check that the log is still the one that was cleaned.
//! Must not know: what was removed.
//! Invariants: readers hold their files and notice nothing. A crash after any of these steps leaves
//! what opening settles (`leftovers`); names of one directory become durable in their order, as with
//! every file system that has a journal.
//!
//! 1. `.cleaned` → `.swap`, the highest segment first: while a `.cleaned` is left, opening drops all
//! 2. the sources → `.deleted`: from here on opening completes the swap
//! 3. `.swap` → live, the log file first
//! 4. in memory

use std::io;

use super::CleanedGroup;
use super::output::remove_cleaned;
use crate::disk::Disk;
use crate::error::StorageError;
use crate::log::{Log, SegmentInfo};
use crate::names::{FileStage, FileType, OffsetFile};
use crate::retention::{Deleted, rename_deleted};
use crate::segment::Segment;

impl<D: Disk> Log<D> {
    /// Swaps a group in; returns the files that went out of use. `None`: the log was truncated or
    /// shortened meanwhile, and the group is given up.
    pub fn swap_cleaned(
        &mut self,
        group: CleanedGroup<D>,
    ) -> Result<Option<Deleted<D>>, StorageError> {
        self.check_poison()?;
        let Some(first) = self.position_of(&group) else {
            for segment in &group.segments {
                // What cannot be removed now goes when the log is next opened.
                remove_cleaned(self.place(), segment.base_offset).ok();
            }
            return Ok(None);
        };
        let bases: Vec<i64> = group.segments.iter().map(|s| s.base_offset).collect();
        let renamed = self.rename_in(&group, &bases);
        let files = self.poison_on("swap cleaned segments into", renamed)?;
        let sources = first..first + group.sources.len();
        let cleaned = group.segments.into_iter().map(|mut segment| {
            segment.stage = FileStage::Live;
            segment
        });
        let gone: Vec<Segment<D::File>> = self.segments.splice(sources, cleaned).collect();
        self.forget(&gone, &bases);
        let segments = gone.iter().map(|segment| SegmentInfo {
            base_offset: segment.base_offset,
            size_bytes: u64::from(segment.size),
        });
        let deleted = Deleted::new(&self.disk, segments.collect(), files);
        self.assert_order();
        Ok(Some(deleted))
    }

    /// Where the sources stand in the log, if they are what they were.
    fn position_of(&self, group: &CleanedGroup<D>) -> Option<usize> {
        if group.truncations != self.flush_state.truncations {
            return None;
        }
        let base_offset = group.sources.first()?.base_offset;
        let first = self
            .segments
            .binary_search_by_key(&base_offset, |segment| segment.base_offset)
            .ok()?;
        let active = self.segments.len() - 1;
        let here = self.segments[..active].get(first..first + group.sources.len())?;
        let pairs = here.iter().zip(&group.sources);
        let is_same = pairs.into_iter().all(|(segment, source)| {
            (segment.base_offset, segment.size) == (source.base_offset, source.size)
        });
        is_same.then_some(first)
    }

    fn rename_in(
        &self,
        group: &CleanedGroup<D>,
        bases: &[i64],
    ) -> io::Result<Vec<std::path::PathBuf>> {
        let cleaned = FileStage::Cleaned;
        for base_offset in bases.iter().rev() {
            self.rename_stage(*base_offset, cleaned, FileStage::Swap)?;
        }
        let mut files = Vec::new();
        for source in &group.sources {
            if !bases.contains(&source.base_offset) {
                let snapshot = [FileType::Snapshot];
                files.extend(rename_deleted(self.place(), source.base_offset, &snapshot)?);
            }
            // The log file last, so that no index is left without one.
            let mut kinds = FileType::OF_SEGMENT;
            kinds.reverse();
            files.extend(rename_deleted(self.place(), source.base_offset, &kinds)?);
        }
        for base_offset in bases {
            self.rename_stage(*base_offset, FileStage::Swap, FileStage::Live)?;
        }
        Ok(files)
    }

    fn rename_stage(&self, base_offset: i64, from: FileStage, to: FileStage) -> io::Result<()> {
        for file_type in FileType::OF_SEGMENT {
            let file = OffsetFile::live(base_offset, file_type);
            let (from, to) = (file.at(from).path(&self.dir), file.at(to).path(&self.dir));
            match self.disk.rename(&from, &to) {
                Ok(()) => {}
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound && file_type != FileType::Log => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Lets go of everything that belonged to the sources.
    fn forget(&mut self, gone: &[Segment<D::File>], bases: &[i64]) {
        let is_gone = |offset: &i64| gone.iter().any(|segment| segment.base_offset == *offset);
        self.flush_state.sealed.retain(|(base, _)| !is_gone(base));
        let loses_snapshot = |offset: &i64| is_gone(offset) && !bases.contains(offset);
        self.snapshots.retain(|offset| !loses_snapshot(offset));
        self.flush_state
            .snapshots
            .retain(|offset| !loses_snapshot(offset));
        self.flush_state.names_changed += 1;
        *self.cold.lock() = None;
    }
}
