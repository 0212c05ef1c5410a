//! Which offset of the target holds which record of the source, at any age.
//!
//! Owns: the runs of one partition. Must not know how they are saved ([`crate::state`]).
//!
//! A run says that `count` records from source offset `source` on stand one behind the other from
//! target offset `target` on. Contiguous runs merge: a dense partition is one run, a hole left by
//! compaction or an aborted transaction costs one more (mirror.md 5.9).
//!
//! Invariants, asserted after each change: runs are not empty, and grow strictly in both offsets.
//! A record copied twice (at-least-once) is known at its first place; the later one is a *repeat*.

use std::collections::VecDeque;

use crate::names::{SourceOffset, TargetOffset};

/// Runs kept per partition: 24 bytes each, so 1.5 MiB at most. Beyond it the oldest half is
/// thinned, and translation there is earlier than exact.
pub const RUNS_MAX: usize = 65_536;

/// Repeats kept per partition; each restart leaves at most a few.
pub const REPEATS_MAX: usize = 1_024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub source: SourceOffset,
    pub target: TargetOffset,
    /// At least 1.
    pub count: i64,
}

impl Run {
    pub fn source_end(&self) -> SourceOffset {
        SourceOffset(self.source.0 + self.count)
    }

    pub fn target_end(&self) -> TargetOffset {
        TargetOffset(self.target.0 + self.count)
    }

    fn follows(&self, last: &Self) -> bool {
        self.source == last.source_end() && self.target == last.target_end()
    }

    /// Without its first `count` records.
    fn without_first(&self, count: i64) -> Self {
        Self {
            source: SourceOffset(self.source.0 + count),
            target: TargetOffset(self.target.0 + count),
            count: self.count - count,
        }
    }
}

/// A group's or an operator's offset on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translated<T> {
    /// The very record, or the one that comes next because the asked one is not there.
    Exact(T),
    /// Not after the wanted record, perhaps before it.
    Earlier(T, EarlierReason),
    /// Nothing was copied yet.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlierReason {
    /// The asked offset is not copied yet: the end of what is.
    NotCopied,
    /// The run was thinned out: the end of the run before it.
    Thinned,
}

impl<T: Copy> Translated<T> {
    /// The offset, exact or earlier.
    pub fn offset(self) -> Option<T> {
        match self {
            Self::Exact(offset) | Self::Earlier(offset, _) => Some(offset),
            Self::Unknown => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    #[error("run of {0} records")]
    Count(i64),
    #[error("run of {count} records at source {from}, target {to} ends beyond any offset")]
    Overflow { from: i64, to: i64, count: i64 },
    #[error("run at target {found} after one that ended at {end}")]
    Backward { found: i64, end: i64 },
}

/// The map of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetMap {
    runs: VecDeque<Run>,
    repeats: VecDeque<Run>,
    /// Source offsets below it may have lost their run.
    thinned_below: SourceOffset,
    /// The lowest end it was cut to since somebody asked.
    cut_to: Option<TargetOffset>,
}

impl OffsetMap {
    /// What was saved, in the order in which it was appended.
    pub fn from_runs(
        runs: impl IntoIterator<Item = Run>,
        thinned_below: SourceOffset,
    ) -> Result<Self, RunError> {
        let mut map = Self {
            thinned_below,
            ..Self::default()
        };
        for run in runs {
            map.append(run)?;
        }
        Ok(map)
    }

    /// Adds what an acknowledged batch said. The target's offsets only grow; the source's may go
    /// back after a restart, and what was there already becomes a repeat.
    pub fn append(&mut self, run: Run) -> Result<(), RunError> {
        check(&run)?;
        let end = self.target_end().unwrap_or(TargetOffset(i64::MIN));
        if run.target < end {
            return Err(RunError::Backward {
                found: run.target.0,
                end: end.0,
            });
        }
        let frontier = self.source_end().unwrap_or(run.source);
        let known = (frontier.0 - run.source.0).clamp(0, run.count);
        if known > 0 {
            self.repeat(Run {
                count: known,
                ..run
            });
        }
        if known < run.count {
            self.push(run.without_first(known));
        }
        self.assert_order();
        Ok(())
    }

    /// Where a reader of the target starts who wants to start at `source` of the source.
    pub fn target_at(&self, source: SourceOffset) -> Translated<TargetOffset> {
        let after = self.runs.partition_point(|run| run.source <= source);
        let before = after.checked_sub(1).and_then(|index| self.runs.get(index));
        let next = self.runs.get(after);
        match (before, next) {
            (Some(run), _) if source < run.source_end() => {
                Translated::Exact(TargetOffset(run.target.0 + (source.0 - run.source.0)))
            }
            // In a hole whose end is known: the record behind it is the next one to read.
            (_, Some(next)) if source >= self.thinned_below => Translated::Exact(next.target),
            (Some(run), Some(_)) => Translated::Earlier(run.target_end(), EarlierReason::Thinned),
            (Some(run), None) if source == run.source_end() => Translated::Exact(run.target_end()),
            (Some(run), None) => Translated::Earlier(run.target_end(), EarlierReason::NotCopied),
            // Older than all that was copied: those records are not at the target.
            (None, Some(next)) => Translated::Exact(next.target),
            (None, None) => Translated::Unknown,
        }
    }

    /// Where a reader of the source starts who stood at `target` of the target.
    pub fn source_at(&self, target: TargetOffset) -> Translated<SourceOffset> {
        let holds = |run: &&Run| run.target <= target && target < run.target_end();
        if let Some(run) = self.repeats.iter().find(holds) {
            return Translated::Exact(source_in(run, target));
        }
        let after = self.runs.partition_point(|run| run.target <= target);
        let before = after.checked_sub(1).and_then(|index| self.runs.get(index));
        match (before, self.runs.get(after)) {
            (Some(run), _) if target < run.target_end() => {
                Translated::Exact(source_in(run, target))
            }
            (Some(run), Some(_)) if run.source_end() < self.thinned_below => {
                Translated::Earlier(run.source_end(), EarlierReason::Thinned)
            }
            (_, Some(next)) => Translated::Exact(next.source),
            // What the target has behind our last record is not ours.
            (Some(run), None) => Translated::Exact(run.source_end()),
            (None, None) => Translated::Unknown,
        }
    }

    /// Forgets runs that the target itself no longer holds.
    pub fn trim_before(&mut self, target_log_start: TargetOffset) {
        // The last run stays: it says where the copy ended.
        while self.runs.len() > 1 && self.runs[0].target_end() <= target_log_start {
            self.runs.pop_front();
        }
        if let Some(first) = self.runs.front_mut() {
            let gone = (target_log_start.0 - first.target.0).clamp(0, first.count - 1);
            *first = first.without_first(gone);
        }
        self.repeats
            .retain(|run| run.target_end() > target_log_start);
        let first = self.runs.front().map(|run| run.target);
        if self.repeats.front().map(|run| run.target) < first && !self.repeats.is_empty() {
            self.promote();
        }
    }

    /// The first copy of some records is gone, so that a repeat is now the only one.
    fn promote(&mut self) {
        let mut runs: Vec<Run> = self.in_order().collect();
        self.runs.clear();
        self.repeats.clear();
        for run in runs.drain(..) {
            let appended = self.append(run);
            assert_eq!(appended, Ok(()), "runs and repeats of a map in their order");
        }
    }

    /// Runs and repeats in the order of target offsets, as they were appended.
    pub fn in_order(&self) -> impl Iterator<Item = Run> {
        let mut runs: Vec<Run> = self.runs.iter().chain(&self.repeats).copied().collect();
        runs.sort_by_key(|run| run.target);
        runs.into_iter()
    }

    /// The target lost its end (an unclean election there): so do we, and it is copied again.
    pub fn truncate_to(&mut self, target_end: TargetOffset) {
        let cut = |runs: &mut VecDeque<Run>| {
            while runs.back().is_some_and(|run| run.target >= target_end) {
                runs.pop_back();
            }
            if let Some(last) = runs.back_mut() {
                last.count = last.count.min(target_end.0 - last.target.0);
            }
        };
        cut(&mut self.runs);
        cut(&mut self.repeats);
        let lowest = self
            .cut_to
            .map_or(target_end, |before| before.min(target_end));
        self.cut_to = Some(lowest);
        self.assert_order();
    }

    /// The lowest end that it was cut to since this was asked last: what is saved from there on is
    /// no longer true.
    pub fn take_cut(&mut self) -> Option<TargetOffset> {
        self.cut_to.take()
    }

    /// The source offset behind the last record copied.
    pub fn source_end(&self) -> Option<SourceOffset> {
        self.runs.back().map(Run::source_end)
    }

    /// The target offset behind our last record.
    pub fn target_end(&self) -> Option<TargetOffset> {
        let last = self.runs.back().map(Run::target_end);
        last.max(self.repeats.back().map(Run::target_end))
    }

    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &Run> + ExactSizeIterator {
        self.runs.iter()
    }

    pub fn repeats(&self) -> impl ExactSizeIterator<Item = &Run> {
        self.repeats.iter()
    }

    /// Below it translation may be earlier than exact.
    pub fn thinned_below(&self) -> SourceOffset {
        self.thinned_below
    }

    fn push(&mut self, run: Run) {
        match self.runs.back_mut() {
            // A repeat in between keeps the target offsets apart.
            Some(last) if run.follows(last) => last.count += run.count,
            _ => self.runs.push_back(run),
        }
        if self.runs.len() > RUNS_MAX {
            self.thin();
        }
    }

    fn repeat(&mut self, run: Run) {
        match self.repeats.back_mut() {
            Some(last) if run.follows(last) => last.count += run.count,
            _ => self.repeats.push_back(run),
        }
        if self.repeats.len() > REPEATS_MAX {
            self.repeats.pop_front();
        }
    }

    /// Drops every second run of the older half, never the first: a quarter of all in one go, so
    /// that it is rare.
    fn thin(&mut self) {
        let half = self.runs.len() / 2;
        let mut index = 0;
        self.thinned_below = self.runs[half].source;
        self.runs.retain(|_| {
            index += 1;
            index > half || index % 2 == 1
        });
    }

    fn assert_order(&self) {
        // The last two: all before them were checked when they were the last.
        let mut last = self.runs.iter().rev();
        if let (Some(b), Some(a)) = (last.next(), last.next()) {
            assert!(
                a.source_end() <= b.source && a.target_end() <= b.target && b.count > 0,
                "runs out of order: {a:?} before {b:?}"
            );
        }
    }
}

fn source_in(run: &Run, target: TargetOffset) -> SourceOffset {
    SourceOffset(run.source.0 + (target.0 - run.target.0))
}

fn check(run: &Run) -> Result<(), RunError> {
    if run.count < 1 {
        return Err(RunError::Count(run.count));
    }
    let is_offset = |offset: i64| offset >= 0 && offset.checked_add(run.count).is_some();
    if is_offset(run.source.0) && is_offset(run.target.0) {
        return Ok(());
    }
    Err(RunError::Overflow {
        from: run.source.0,
        to: run.target.0,
        count: run.count,
    })
}

#[cfg(test)]
mod tests;
