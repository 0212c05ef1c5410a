//! What a cleaning needs to know of a log, taken under its lock.
//!
//! Owns: the sources, their grouping, the rules of this cleaning.
//! Must not know: what is in the records.
//! Invariants: there is no plan before everything is synced that was there when the log was found
//! cleanable. A record is dropped because a later one of its key is in the log; if that later one, or
//! the marker of its transaction, could still be lost, a crash would lose both.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::Cleanable;
use super::filter::{LastOfProducer, Rules};
use crate::disk::Disk;
use crate::error::StorageError;
use crate::index::AbortedTxn;
use crate::log::Log;

/// A sealed segment as it was when the plan was made; it does not change any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) base_offset: i64,
    /// Where the next segment begins.
    pub(super) end_offset: i64,
    pub(crate) size: u32,
    pub(super) created_ms: i64,
    offset_entries: u32,
    time_entries: u32,
}

/// Everything a cleaning needs; it is carried out without the log.
#[derive(Debug)]
pub struct CleaningPlan<D> {
    pub(super) disk: Arc<D>,
    pub(super) dir: PathBuf,
    pub(super) first_dirty_offset: i64,
    pub(super) sources: Vec<Source>,
    /// By rising first offset.
    pub(super) aborted: Vec<AbortedTxn>,
    pub(super) rules: Rules,
    pub(super) segment_bytes_max: u64,
    pub(super) offset_entries_max: u32,
    pub(super) time_entries_max: u32,
    pub(super) index_interval_bytes: u32,
    pub(super) truncations: u64,
}

impl<D: Disk> Log<D> {
    /// Plans a cleaning of what is cleanable; `None` when that is nothing, or when the log was not
    /// flushed since.
    pub fn plan_cleaning(
        &self,
        cleanable: &Cleanable,
        now_ms: i64,
    ) -> Result<Option<CleaningPlan<D>>, StorageError> {
        self.check_poison()?;
        let end_offset = cleanable
            .first_uncleanable_offset
            .min(self.active_base_offset());
        let first_dirty_offset = cleanable.first_dirty_offset.max(self.log_start_offset);
        let is_synced = cleanable.log_end_offset <= self.recovery_point;
        if end_offset <= first_dirty_offset || !is_synced {
            return Ok(None);
        }
        Ok(Some(CleaningPlan {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            first_dirty_offset,
            sources: self.sources_below(end_offset),
            aborted: self.aborted_transactions(0, self.log_end_offset)?,
            rules: Rules {
                end_offset,
                now_ms,
                delete_retention_ms: self.config.delete_retention_ms,
                producers: self.last_of_producers(),
            },
            segment_bytes_max: u64::from(self.config.segment_limit()),
            offset_entries_max: self.config.segment_index_bytes / 8,
            time_entries_max: self.config.segment_index_bytes / 12,
            index_interval_bytes: self.config.index_interval_bytes,
            truncations: self.flush_state.truncations,
        }))
    }

    fn sources_below(&self, end_offset: i64) -> Vec<Source> {
        let pairs = self.segments.iter().zip(&self.segments[1..]);
        let below = pairs.take_while(|(segment, _)| segment.base_offset < end_offset);
        below
            .map(|(segment, next)| Source {
                base_offset: segment.base_offset,
                end_offset: next.base_offset,
                size: segment.size,
                created_ms: segment.created_ms,
                offset_entries: segment.offset_index.entries(),
                time_entries: segment.time_index.entries(),
            })
            .collect()
    }

    fn last_of_producers(&self) -> BTreeMap<i64, LastOfProducer> {
        let last = |(id, entry): (i64, &crate::producers::ProducerEntry)| {
            let offsets = || entry.batches().iter().map(|batch| batch.last_offset);
            let last = LastOfProducer {
                data_offset: offsets().next_back(),
                synced_offset: offsets().rfind(|offset| *offset < self.recovery_point),
                epoch: entry.epoch,
            };
            (id, last)
        };
        self.producers.entries().map(last).collect()
    }
}

impl<D> CleaningPlan<D> {
    /// The sources in groups that become one segment each, as long as that fits the topic's
    /// segment and index sizes and 31 bits of offsets.
    pub(super) fn groups(&self) -> Vec<Vec<Source>> {
        let mut groups: Vec<Vec<Source>> = Vec::new();
        for source in &self.sources {
            match groups.last_mut() {
                Some(group) if self.fits(group, source) => group.push(*source),
                Some(_) | None => groups.push(vec![*source]),
            }
        }
        groups
    }

    fn fits(&self, group: &[Source], next: &Source) -> bool {
        let all = || group.iter().chain([next]);
        let bytes: u64 = all().map(|source| u64::from(source.size)).sum();
        let offset_entries: u32 = all().map(|source| source.offset_entries).sum();
        let time_entries: u32 = all().map(|source| source.time_entries).sum();
        let first = group.first().map_or(next.base_offset, |s| s.base_offset);
        bytes <= self.segment_bytes_max
            && offset_entries <= self.offset_entries_max
            && time_entries <= self.time_entries_max
            && i32::try_from(next.end_offset - first).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    fn plan(sources: &[(i64, i64, u32)]) -> CleaningPlan<MemDisk> {
        let source = |(base_offset, end_offset, size): &(i64, i64, u32)| Source {
            base_offset: *base_offset,
            end_offset: *end_offset,
            size: *size,
            created_ms: 0,
            offset_entries: *size / 10,
            time_entries: 1,
        };
        CleaningPlan {
            disk: Arc::new(MemDisk::new()),
            dir: PathBuf::from("/d"),
            first_dirty_offset: 0,
            sources: sources.iter().map(source).collect(),
            aborted: Vec::new(),
            rules: Rules {
                end_offset: i64::MAX,
                now_ms: 0,
                delete_retention_ms: 0,
                producers: BTreeMap::new(),
            },
            segment_bytes_max: 100,
            offset_entries_max: 8,
            time_entries_max: 3,
            index_interval_bytes: 4096,
            truncations: 0,
        }
    }

    #[test]
    fn small_segments_become_one_as_far_as_the_limits_allow() {
        let far = i64::from(i32::MAX);
        type Segments<'a> = &'a [(i64, i64, u32)];
        type Groups<'a> = &'a [&'a [i64]];
        // (base, end, size) of each segment → the base offsets of each group
        let cases: [(Segments<'_>, Groups<'_>); 5] = [
            (&[], &[]),
            (&[(0, 5, 30), (5, 9, 30), (9, 20, 15)], &[&[0, 5, 9]]),
            (&[(0, 5, 60), (5, 9, 41), (9, 20, 10)], &[&[0], &[5, 9]]),
            (
                &[(0, 1, 1), (1, 2, 1), (2, 3, 1), (3, 4, 1)],
                &[&[0, 1, 2], &[3]],
            ),
            (
                &[(0, far, 1), (far, far + 1, 1), (far + 1, far + 2, 1)],
                &[&[0], &[far, far + 1]],
            ),
        ];
        for (sources, expected) in cases {
            let groups = plan(sources).groups();
            let bases: Vec<Vec<i64>> = groups
                .iter()
                .map(|group| group.iter().map(|source| source.base_offset).collect())
                .collect();
            assert_eq!(bases, expected, "{sources:?}");
        }
    }
}
