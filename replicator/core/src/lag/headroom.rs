//! How long until the source's retention deletes what is not copied yet.

use std::collections::VecDeque;

use crate::names::SourceOffset;

/// Samples of the log start, and how far apart: an hour in all.
const STARTS_MAX: usize = 60;
const START_SPACING_MS: i64 = 60_000;

/// Log starts move by whole segments, so less than this says nothing about their speed.
const START_WINDOW_MIN_MS: i64 = 10 * 60_000;

/// `retention.ms` and `retention.bytes` of the source topic; `None` is no limit, and both are
/// `None` where `cleanup.policy` has no `delete`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    pub time_ms: Option<i64>,
    pub bytes: Option<i64>,
}

impl Retention {
    /// The shorter of both limits. A whole segment goes at once and only when its newest record
    /// is old enough, so the truth is never shorter.
    pub(super) fn headroom(
        self,
        now_ms: i64,
        seen_at_ms: i64,
        rpo_ms: i64,
        lag_bytes: Option<i64>,
        bytes_per_second: Option<i64>,
    ) -> Option<i64> {
        let by_time = self
            .time_ms
            .map(|limit| limit.saturating_sub(rpo_ms).max(0));
        let by_bytes = self.bytes.and_then(|limit| {
            let left = limit.saturating_sub(lag_bytes?).max(0);
            let left_ms = i128::from(left) * 1_000;
            let at_sample = left_ms.checked_div(i128::from(bytes_per_second?))?;
            // Since then the source has gone on.
            let at_sample = i64::try_from(at_sample).unwrap_or(i64::MAX);
            Some(at_sample.saturating_sub(now_ms - seen_at_ms).max(0))
        });
        [by_time, by_bytes].into_iter().flatten().min()
    }
}

/// Where the start of a source partition was, over the last hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartSamples {
    points: VecDeque<(i64, SourceOffset)>,
}

impl StartSamples {
    pub fn observe(&mut self, now_ms: i64, log_start: SourceOffset) {
        // A clock set back, or a log that begins anew: what was seen says nothing any more.
        let is_broken = |last: &(i64, SourceOffset)| last.0 > now_ms || last.1 > log_start;
        if self.points.back().is_some_and(is_broken) {
            self.points.clear();
        }
        let is_due = |last: &(i64, SourceOffset)| now_ms - last.0 >= START_SPACING_MS;
        if self.points.back().is_none_or(is_due) {
            self.points.push_back((now_ms, log_start));
        }
        if self.points.len() > STARTS_MAX {
            self.points.pop_front();
        }
    }

    /// Until the log start, moving on as it has, reaches `position`.
    pub(super) fn headroom(&self, now_ms: i64, position: SourceOffset) -> Option<i64> {
        let (first, last) = (self.points.front()?, self.points.back()?);
        let elapsed = last.0 - first.0;
        let moved = last.1.0 - first.1.0;
        if elapsed < START_WINDOW_MIN_MS || moved <= 0 {
            return None;
        }
        let left = i128::from((position.0 - last.1.0).max(0));
        let left_ms = left * i128::from(elapsed) / i128::from(moved);
        let left_ms = i64::try_from(left_ms).unwrap_or(i64::MAX);
        Some(left_ms.saturating_sub(now_ms - last.0).max(0))
    }
}
