//! How dirty a log is, and from where to where it may be cleaned.
//!
//! Owns: the two bounds and the bytes between them.
//! Must not know: checkpoint files, threads, which log comes first.
//! Invariants: the active segment is never cleaned, nor anything that is not yet stable; a checkpoint
//! that does not fit the log counts as none.

use crate::disk::Disk;
use crate::error::StorageError;
use crate::log::Log;

/// The part of a log that was not cleaned yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanable {
    /// Everything below was cleaned.
    pub first_dirty_offset: i64,
    /// Nothing from here on may be cleaned: not stable, active, or too young.
    pub first_uncleanable_offset: i64,
    /// Where the log ended: everything that made a record stable lies below.
    pub log_end_offset: i64,
    pub clean_bytes: u64,
    pub cleanable_bytes: u64,
    /// A record has waited for longer than `max.compaction.lag.ms`.
    pub is_overdue: bool,
}

impl Cleanable {
    /// Of the bytes that a cleaning reads, the share that was not cleaned before; 0 of nothing.
    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no precision")]
    pub fn dirty_ratio(&self) -> f64 {
        let total = self.clean_bytes + self.cleanable_bytes;
        if total == 0 {
            return 0.0;
        }
        self.cleanable_bytes as f64 / total as f64
    }

    /// Kafka's rule: something is overdue, or more is dirty than `min.cleanable.dirty.ratio`.
    pub fn is_due(&self, min_dirty_ratio: f64) -> bool {
        self.cleanable_bytes > 0 && (self.is_overdue || self.dirty_ratio() > min_dirty_ratio)
    }
}

impl<D: Disk> Log<D> {
    /// `checkpoint`: up to where the log was cleaned, if that is known. `stable_end`: the last
    /// stable offset, below which every record is replicated and decided.
    pub fn cleanable(
        &mut self,
        checkpoint: Option<i64>,
        stable_end: i64,
        now_ms: i64,
    ) -> Result<Cleanable, StorageError> {
        self.check_poison()?;
        let known = self.log_start_offset..=self.log_end_offset;
        let first_dirty_offset = checkpoint
            .filter(|offset| known.contains(offset))
            .unwrap_or(self.log_start_offset);
        let first_dirty = self.segment_index(first_dirty_offset);
        let end = self.too_young_from(first_dirty, now_ms);
        let first_uncleanable_offset = end.min(stable_end).max(first_dirty_offset);
        let first_uncleanable = self.segment_index(first_uncleanable_offset);
        let size = |from: usize, to: usize| -> u64 {
            let segments = self.segments.get(from..to).unwrap_or(&[]);
            segments.iter().map(|s| u64::from(s.size)).sum()
        };
        let clean_segments = self
            .segments
            .partition_point(|segment| segment.base_offset < first_dirty_offset);
        Ok(Cleanable {
            first_dirty_offset,
            first_uncleanable_offset,
            log_end_offset: self.log_end_offset,
            clean_bytes: size(0, clean_segments),
            cleanable_bytes: size(first_dirty, first_uncleanable),
            is_overdue: self.is_overdue(first_dirty, first_uncleanable, now_ms),
        })
    }

    /// The base of the active segment, or of the first one with a record younger than
    /// `min.compaction.lag.ms`.
    fn too_young_from(&mut self, first_dirty: usize, now_ms: i64) -> i64 {
        let active = self.segments.len() - 1;
        let lag_ms = self.config.min_compaction_lag_ms;
        if lag_ms > 0 {
            for index in first_dirty..active {
                if self.newest_ms(index) > now_ms.saturating_sub(lag_ms) {
                    return self.segments[index].base_offset;
                }
            }
        }
        self.active_base_offset()
    }

    /// A time index that cannot be read says nothing: as old as the segment is known to be.
    fn newest_ms(&mut self, index: usize) -> i64 {
        let place = crate::segment::Place {
            disk: &*self.disk,
            dir: &self.dir,
        };
        let segment = &mut self.segments[index];
        match segment.load_max_timestamp(place) {
            Ok(max) if max.timestamp >= 0 => max.timestamp,
            Ok(_) | Err(_) => segment.created_ms,
        }
    }

    fn is_overdue(&mut self, from: usize, to: usize, now_ms: i64) -> bool {
        let lag_ms = self.config.max_compaction_lag_ms;
        if lag_ms == i64::MAX {
            return false;
        }
        let oldest_allowed = now_ms.saturating_sub(lag_ms.max(0));
        let place = crate::segment::Place {
            disk: &*self.disk,
            dir: &self.dir,
        };
        (from..to).any(|index| {
            let first = self.segments[index].first_batch_timestamp(place);
            let first = first.ok().flatten().filter(|timestamp| *timestamp > 0);
            first.is_some_and(|timestamp| timestamp < oldest_allowed)
        })
    }
}
