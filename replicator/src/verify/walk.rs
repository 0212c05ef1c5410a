//! The comparison of one partition: both logs side by side, in the order of the target.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use isthmus_replicator_core::offset_map::Run;
use isthmus_wire::batch::Record;

use super::document::{Counts, Difference, Kind};
use super::reader::{Log, ReadError, Seen};

/// What is known of the partition before it is read.
#[derive(Debug, Default)]
pub(super) struct Task {
    /// First copies, growing in both offsets.
    pub(super) runs: Vec<Run>,
    /// Later copies of the same records.
    pub(super) repeats: Vec<Run>,
    /// Source offsets below it may have lost their run.
    pub(super) thinned_below: i64,
    /// Behind the last source offset that was copied.
    pub(super) source_end: i64,
    /// Source offsets that an operator let go.
    pub(super) released: Vec<Range<i64>>,
    pub(super) source_compacted: bool,
    pub(super) target_compacted: bool,
    /// The flow begins with the first record of a topic.
    pub(super) from_earliest: bool,
    /// What stands at the target before our first record is somebody else's, by intent.
    pub(super) others_before: bool,
}

/// Which side could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Target,
}

type Failed = (Side, ReadError);

/// `again` is a second reader of the source, for copies made twice.
pub(super) async fn walk(
    task: &Task,
    source: &mut impl Log,
    again: &mut impl Log,
    target: &mut impl Log,
    records: &AtomicU64,
) -> Result<Counts, Failed> {
    let mut walk = Walk {
        task,
        target_start: target.start(),
        ahead: None,
        counts: Counts::default(),
    };
    source.seek(walk.first_source(source.start()));
    while let Some(seen) = target.next().await.map_err(|error| (Side::Target, error))? {
        records.fetch_add(1, Ordering::Relaxed);
        walk.target_start = walk.target_start.max(target.start());
        walk.copy(&seen, source, again).await?;
    }
    walk.rest(source, task.source_end).await?;
    Ok(walk.counts)
}

struct Walk<'a> {
    task: &'a Task,
    target_start: i64,
    /// Read of the source and not accounted for yet.
    ahead: Option<Seen>,
    counts: Counts,
}

impl Walk<'_> {
    /// Where the source must be accounted for from: what the target's retention took is not.
    fn first_source(&self, source_start: i64) -> i64 {
        let runs = &self.task.runs;
        let kept = runs.partition_point(|run| run.target_end().0 <= self.target_start);
        match runs.get(kept) {
            Some(run) if run.target.0 < self.target_start => {
                run.source.0 + (self.target_start - run.target.0)
            }
            Some(_) if kept == 0 && self.task.from_earliest => source_start,
            Some(run) => run.source.0,
            None if runs.is_empty() && self.task.from_earliest => source_start,
            None => self.task.source_end,
        }
    }

    async fn copy(
        &mut self,
        seen: &Seen,
        source: &mut impl Log,
        again: &mut impl Log,
    ) -> Result<(), Failed> {
        let at = seen.record.offset;
        if let Some(offset) = source_of(&self.task.runs, at) {
            self.rest(source, offset).await?;
            let original = self.take_ahead(source, offset).await?;
            self.pair(original, offset, source.start(), seen);
        } else if let Some(offset) = source_of(&self.task.repeats, at) {
            self.counts.repeats += 1;
            again.seek(offset);
            let read = again.next().await;
            let original = read.map_err(|error| (Side::Source, error))?;
            let original = original.filter(|it| it.record.offset == offset);
            self.pair(original, offset, again.start(), seen);
        } else {
            self.unmapped(seen);
        }
        Ok(())
    }

    /// A copy and the record that it was made of.
    fn pair(&mut self, original: Option<Seen>, offset: i64, source_start: i64, copy: &Seen) {
        let Some(original) = original else {
            if offset < source_start {
                self.counts.gone_at_source += 1;
            } else if self.task.source_compacted {
                self.counts.compacted += 1;
            } else {
                self.differ(Kind::NotAtSource, Some(offset), None, Some(copy));
            }
            return;
        };
        self.counts.compared += 1;
        self.counts.append_times += u64::from(copy.append_time);
        let kind = difference(&original.record, &copy.record, copy.append_time);
        if let Some(kind) = kind {
            self.differ(kind, Some(offset), Some(&original), Some(copy));
        }
    }

    /// A target record that no run names.
    fn unmapped(&mut self, seen: &Seen) {
        let at = seen.record.offset;
        let runs = &self.task.runs;
        let after = runs.partition_point(|run| run.target.0 <= at);
        let is_before = after == 0 && self.task.others_before;
        let next = runs.get(after).map(|run| run.source.0);
        let is_thinned = next.is_some_and(|source| source <= self.task.thinned_below);
        if is_before {
            self.counts.others_before += 1;
        } else if is_thinned {
            self.counts.unchecked += 1;
        } else {
            self.differ(Kind::Foreign, None, None, Some(seen));
        }
    }

    /// Accounts for the source records before `offset` that no copy stands for.
    async fn rest(&mut self, source: &mut impl Log, offset: i64) -> Result<(), Failed> {
        while let Some(seen) = self.peek(source).await? {
            if seen.record.offset >= offset {
                self.ahead = Some(seen);
                break;
            }
            self.uncopied(&seen);
        }
        Ok(())
    }

    /// A source record for which the target holds nothing.
    fn uncopied(&mut self, seen: &Seen) {
        let offset = seen.record.offset;
        let task = self.task;
        let copied_to = target_of(&task.runs, offset);
        match copied_to {
            Some(at) if at < self.target_start => self.counts.gone_at_target += 1,
            Some(_) if task.target_compacted => self.counts.compacted += 1,
            Some(_) => self.differ(Kind::NotAtTarget, Some(offset), Some(seen), None),
            None if task.released.iter().any(|gap| gap.contains(&offset)) => {
                self.counts.released += 1;
            }
            None if offset < task.thinned_below => self.counts.unchecked += 1,
            None => self.differ(Kind::NotAtTarget, Some(offset), Some(seen), None),
        }
    }

    async fn peek(&mut self, source: &mut impl Log) -> Result<Option<Seen>, Failed> {
        match self.ahead.take() {
            Some(seen) => Ok(Some(seen)),
            None => source.next().await.map_err(|error| (Side::Source, error)),
        }
    }

    /// The record at `offset`, if the source has it; one behind it stays.
    async fn take_ahead(
        &mut self,
        source: &mut impl Log,
        offset: i64,
    ) -> Result<Option<Seen>, Failed> {
        let seen = self.peek(source).await?;
        match seen {
            Some(seen) if seen.record.offset == offset => Ok(Some(seen)),
            other => {
                self.ahead = other;
                Ok(None)
            }
        }
    }

    fn differ(
        &mut self,
        kind: Kind,
        source_offset: Option<i64>,
        source: Option<&Seen>,
        target: Option<&Seen>,
    ) {
        self.counts.differences += 1;
        if self.counts.first_difference.is_none() {
            self.counts.first_difference = Some(Difference {
                kind,
                source_offset,
                target_offset: target.map(|seen| seen.record.offset),
                source: source.map(|seen| kind.show(&seen.record)),
                target: target.map(|seen| kind.show(&seen.record)),
            });
        }
    }
}

/// Of which source record the target's record at `at` is a copy.
fn source_of(runs: &[Run], at: i64) -> Option<i64> {
    let after = runs.partition_point(|run| run.target.0 <= at);
    let run = runs.get(after.checked_sub(1)?)?;
    (at < run.target_end().0).then(|| run.source.0 + (at - run.target.0))
}

fn target_of(runs: &[Run], offset: i64) -> Option<i64> {
    let after = runs.partition_point(|run| run.source.0 <= offset);
    let run = runs.get(after.checked_sub(1)?)?;
    (offset < run.source_end().0).then(|| run.target.0 + (offset - run.source.0))
}

/// The first field in which they differ. A target that stamps records with its own time keeps none.
fn difference(source: &Record, target: &Record, append_time: bool) -> Option<Kind> {
    if source.key != target.key {
        Some(Kind::Key)
    } else if source.value != target.value {
        Some(Kind::Value)
    } else if source.headers != target.headers {
        Some(Kind::Headers)
    } else {
        (!append_time && source.timestamp != target.timestamp).then_some(Kind::Timestamp)
    }
}

#[cfg(test)]
mod tests;
