//! Where the end of a source partition was, and when: dense for the last minutes, thinner with age.

use std::collections::VecDeque;

use crate::names::SourceOffset;

/// Samples per partition. Spaced by age, they cover weeks: any two neighbours are then less than
/// a third of their age apart. 16 bytes each, so 2 KiB for a partition that lags; one that keeps
/// up has two or three.
pub const SAMPLES_MAX: usize = 128;

/// Samples closer than this replace each other.
pub const SAMPLE_SPACING_MS: i64 = 1_000;

/// "At this time the end was there."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndSample {
    pub at_ms: i64,
    pub end: SourceOffset,
}

/// Invariant: strictly growing in time and in offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndSamples {
    points: VecDeque<EndSample>,
}

impl EndSamples {
    /// Saved samples. Those of the future (the clock was set back) and those out of order are
    /// dropped: forgetting is always safe.
    pub fn from_saved(now_ms: i64, saved: impl IntoIterator<Item = EndSample>) -> Self {
        let mut samples = Self::default();
        for sample in saved.into_iter().filter(|sample| sample.at_ms <= now_ms) {
            let last = samples.points.back();
            if last.is_none_or(|last| last.at_ms < sample.at_ms && last.end < sample.end) {
                samples.points.push_back(sample);
                samples.thin(now_ms);
            }
        }
        samples
    }

    pub fn observe(&mut self, now_ms: i64, end: SourceOffset) {
        // A clock set back makes later samples claims about the future; a shorter log (an unclean
        // election at the source) makes higher ends claims about records that are gone.
        let is_stale = |last: &EndSample| last.at_ms > now_ms || last.end > end;
        while self.points.back().is_some_and(is_stale) {
            self.points.pop_back();
        }
        match self.points.back_mut() {
            Some(last) if last.end == end => last.at_ms = now_ms,
            Some(last) if last.at_ms == now_ms => last.end = end,
            _ => self.push(EndSample { at_ms: now_ms, end }),
        }
        self.thin(now_ms);
        self.assert_order();
    }

    /// Of the samples that a copy has passed only the last says anything.
    pub fn forget_before(&mut self, position: SourceOffset) {
        while self.points.get(1).is_some_and(|next| next.end <= position) {
            self.points.pop_front();
        }
    }

    /// The last time at which the record at `position` was not there.
    pub fn last_not_past(&self, position: SourceOffset) -> Option<EndSample> {
        let after = self.points.partition_point(|sample| sample.end <= position);
        self.points.get(after.checked_sub(1)?).copied()
    }

    pub fn newest(&self) -> Option<EndSample> {
        self.points.back().copied()
    }

    pub fn oldest(&self) -> Option<EndSample> {
        self.points.front().copied()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &EndSample> {
        self.points.iter()
    }

    /// How fast the source grew over all samples.
    pub fn offsets_per_second(&self) -> i64 {
        let (Some(first), Some(last)) = (self.oldest(), self.newest()) else {
            return 0;
        };
        let offsets = i128::from(last.end.0) - i128::from(first.end.0);
        let rate = (offsets * 1_000).checked_div(i128::from(last.at_ms) - i128::from(first.at_ms));
        rate.map_or(0, |rate| i64::try_from(rate).unwrap_or(i64::MAX))
    }

    fn push(&mut self, sample: EndSample) {
        let mut newest = self.points.iter().rev();
        let is_dense = match (newest.next(), newest.next()) {
            (Some(last), Some(before)) => last.at_ms - before.at_ms < SAMPLE_SPACING_MS,
            _ => false,
        };
        if is_dense {
            self.points.pop_back();
        }
        self.points.push_back(sample);
    }

    /// Drops the sample that is missed least: the one whose neighbours are closest for its age.
    fn thin(&mut self, now_ms: i64) {
        while self.points.len() > SAMPLES_MAX {
            let gap = |index: usize| {
                let gap = self.points[index + 1].at_ms - self.points[index - 1].at_ms;
                let age = (now_ms - self.points[index].at_ms).max(1);
                // Per mille of the age; whole numbers, so that it is the same on every machine.
                i128::from(gap) * 1_000_000 / i128::from(age)
            };
            let inner = 1..self.points.len() - 1;
            let Some(least) = inner.min_by_key(|index| gap(*index)) else {
                return;
            };
            self.points.remove(least);
        }
    }

    fn assert_order(&self) {
        let mut newest = self.points.iter().rev();
        if let (Some(b), Some(a)) = (newest.next(), newest.next()) {
            assert!(
                a.at_ms < b.at_ms && a.end < b.end,
                "samples out of order: {a:?} before {b:?}"
            );
        }
    }
}
