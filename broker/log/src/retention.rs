//! Deleting old segments and moving the log start.
//!
//! Owns: which segments may go (a pure decision) and their removal in two steps.
//! Must not know: clocks; whether a jump of the wall clock is to be believed is the caller's.
//! Invariants: segments go oldest first, never above the high watermark; the log start moves before
//! a file does; a file is first renamed to `.deleted`, and what a crash leaves of that is removed
//! when the log is opened.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::LogConfig;
use crate::disk::Disk;
use crate::error::StorageError;
use crate::log::{Log, SegmentInfo};
use crate::names::{FileStage, FileType, OffsetFile};
use crate::segment::Place;

/// What retention took out of the log; the files are renamed and wait for removal.
#[derive(Debug)]
#[must_use = "the files stay on disk until `remove_files` is called"]
pub struct Deleted<D> {
    pub segments: Vec<SegmentInfo>,
    disk: Arc<D>,
    files: Vec<PathBuf>,
}

impl<D: Disk> Deleted<D> {
    pub(crate) fn new(
        disk: &Arc<D>,
        segments: Vec<SegmentInfo>,
        files: Vec<PathBuf>,
    ) -> Deleted<D> {
        Deleted {
            segments,
            disk: disk.clone(),
            files,
        }
    }

    /// Removes the files; `file.delete.delay.ms` later, so that readers can finish.
    pub fn remove_files(self) -> io::Result<()> {
        for path in self.files {
            match self.disk.remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What retention looks at in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    end_offset: i64,
    size: u64,
    newest_ms: i64,
}

/// How many of the oldest segments may go. The segments are given oldest first; the last is active.
fn deletable(
    candidates: &[Candidate],
    config: &LogConfig,
    log_start_offset: i64,
    high_watermark: i64,
    now_ms: i64,
) -> usize {
    let total: u64 = candidates.iter().map(|candidate| candidate.size).sum();
    let mut excess = match u64::try_from(config.retention_bytes) {
        Ok(limit) => total.saturating_sub(limit),
        Err(_) => 0,
    };
    let mut count = 0;
    for (index, candidate) in candidates.iter().enumerate() {
        let is_active = index + 1 == candidates.len();
        if candidate.end_offset > high_watermark || (is_active && candidate.size == 0) {
            break;
        }
        // Kafka deletes by size only what lies wholly in the excess.
        let is_excess = excess >= candidate.size && excess > 0;
        let is_old = config.retention_ms >= 0 && now_ms - candidate.newest_ms > config.retention_ms;
        let is_below_start = candidate.end_offset <= log_start_offset && !is_active;
        let by_policy = config.cleanup_policy.deletes() && (is_excess || is_old);
        if !(by_policy || is_below_start) {
            break;
        }
        excess = excess.saturating_sub(candidate.size);
        count += 1;
    }
    count
}

impl<D: Disk> Log<D> {
    /// Takes out what `retention.ms`, `retention.bytes` and the log start allow.
    pub fn apply_retention(
        &mut self,
        now_ms: i64,
        high_watermark: i64,
    ) -> Result<Deleted<D>, StorageError> {
        self.check_poison()?;
        let candidates = self.candidates()?;
        let start = self.log_start_offset;
        let count = deletable(&candidates, &self.config, start, high_watermark, now_ms);
        if count == self.segments.len() {
            self.roll(now_ms)?;
        }
        self.delete_oldest(count)
    }

    /// Moves the log start, as `DeleteRecords` and a leader's log start do; never back. The caller
    /// has checked it against the high watermark. Returns whether it moved.
    pub fn increment_log_start_offset(&mut self, offset: i64) -> Result<bool, StorageError> {
        self.check_poison()?;
        assert!(
            offset <= self.log_end_offset,
            "log start {offset} beyond log end {}",
            self.log_end_offset
        );
        if offset <= self.log_start_offset {
            return Ok(false);
        }
        self.log_start_offset = offset;
        self.epochs.truncate_from_start(offset);
        self.producers.on_log_start_offset(offset);
        self.assert_order();
        Ok(true)
    }

    fn candidates(&mut self) -> Result<Vec<Candidate>, StorageError> {
        let mut candidates = Vec::with_capacity(self.segments.len());
        for index in 0..self.segments.len() {
            let end_offset = self
                .segments
                .get(index + 1)
                .map_or(self.log_end_offset, |next| next.base_offset);
            let place = Place {
                disk: &*self.disk,
                dir: &self.dir,
            };
            let segment = &mut self.segments[index];
            // An unreadable index says nothing: as old as the segment is known to be.
            let newest = segment
                .load_max_timestamp(place)
                .map_or(-1, |max| max.timestamp);
            candidates.push(Candidate {
                end_offset,
                size: u64::from(segment.size),
                newest_ms: if newest >= 0 {
                    newest
                } else {
                    segment.created_ms
                },
            });
        }
        Ok(candidates)
    }

    fn delete_oldest(&mut self, count: usize) -> Result<Deleted<D>, StorageError> {
        let mut deleted = Deleted::new(&self.disk, Vec::new(), Vec::new());
        if count == 0 {
            return Ok(deleted);
        }
        self.increment_log_start_offset(self.segments[count].base_offset)?;
        let gone: Vec<_> = self.segments.drain(..count).collect();
        for segment in &gone {
            let result = rename_deleted(self.place(), segment.base_offset, &WITH_SNAPSHOT);
            deleted
                .files
                .extend(self.poison_on("delete a segment of", result)?);
            deleted.segments.push(SegmentInfo {
                base_offset: segment.base_offset,
                size_bytes: u64::from(segment.size),
            });
        }
        let first_kept = self.segments[0].base_offset;
        self.flush_state
            .sealed
            .retain(|(base_offset, _)| *base_offset >= first_kept);
        self.flush_state.names_changed += 1;
        self.snapshots.retain(|offset| *offset >= first_kept);
        self.recovery_point = self.recovery_point.max(first_kept.min(self.log_end_offset));
        self.assert_order();
        Ok(deleted)
    }
}

/// All files of a segment, the log file last: a crash between leaves a segment whose indexes are
/// rebuilt, never indexes without a segment.
const WITH_SNAPSHOT: [FileType; 5] = [
    FileType::Snapshot,
    FileType::TxnIndex,
    FileType::TimeIndex,
    FileType::OffsetIndex,
    FileType::Log,
];

/// Renames files for removal, in this order; returns the new names.
pub(crate) fn rename_deleted<D: Disk>(
    place: Place<'_, D>,
    base_offset: i64,
    kinds: &[FileType],
) -> io::Result<Vec<PathBuf>> {
    let mut renamed = Vec::new();
    for file_type in kinds {
        let file = OffsetFile::live(base_offset, *file_type);
        let target = file.at(FileStage::Deleted).path(place.dir);
        match place.disk.rename(&file.path(place.dir), &target) {
            Ok(()) => renamed.push(target),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CleanupPolicy;

    fn segments(specs: &[(i64, u64, i64)]) -> Vec<Candidate> {
        let candidate = |(end_offset, size, newest_ms): &(i64, u64, i64)| Candidate {
            end_offset: *end_offset,
            size: *size,
            newest_ms: *newest_ms,
        };
        specs.iter().map(candidate).collect()
    }

    #[test]
    fn what_may_go() {
        let log = segments(&[(10, 100, 1000), (20, 100, 2000), (30, 100, 3000)]);
        let config = |retention_ms, retention_bytes, cleanup_policy| LogConfig {
            retention_ms,
            retention_bytes,
            cleanup_policy,
            ..LogConfig::default()
        };
        use CleanupPolicy::{Compact, CompactAndDelete, Delete};
        // (retention ms, bytes, policy, log start, high watermark, now) → deleted segments
        let cases = [
            ((-1, -1, Delete, 0, 30, i64::MAX), 0),
            ((500, -1, Delete, 0, 30, 1500), 0),
            ((500, -1, Delete, 0, 30, 1501), 1),
            ((500, -1, Delete, 0, 30, 9999), 3),
            ((500, -1, Delete, 0, 15, 9999), 1),
            ((500, -1, Compact, 0, 30, 9999), 0),
            ((500, -1, CompactAndDelete, 0, 30, 2501), 2),
            ((-1, 250, Delete, 0, 30, 0), 0),
            ((-1, 200, Delete, 0, 30, 0), 1),
            ((-1, 0, Delete, 0, 30, 0), 3),
            ((-1, -1, Compact, 20, 30, 0), 2),
            ((-1, -1, Delete, 30, 30, 0), 2),
        ];
        for ((ms, bytes, policy, start, high_watermark, now), expected) in cases {
            let config = config(ms, bytes, policy);
            let count = deletable(&log, &config, start, high_watermark, now);
            assert_eq!(
                count, expected,
                "{ms} {bytes} {policy:?} {start} {high_watermark} {now}"
            );
        }
        let empty_active = segments(&[(10, 100, 0), (10, 0, 0)]);
        let config = config(1, -1, Delete);
        assert_eq!(deletable(&empty_active, &config, 0, 10, 100), 1);
    }
}
