//! How far the copy of one partition is behind, also when the source cannot be asked.
//!
//! Owns: the recovery point (RPO) in seconds, the lag in records and bytes, the headroom until the
//! source's retention reaches our position. Must not know where samples come from or are saved.
//!
//! The shell samples each source partition's end once a second with its *own* wall clock. A sample
//! says "at that time the end was there", so a record at offset `p` came after the last sample with
//! an end ≤ `p`. Hence `rpo` = now − that sample's time. From this follow, without another rule:
//! - `rpo` is never below the age of the newest sample, so a dark source makes it grow;
//! - forgetting a sample can only make `rpo` larger, so thinning and lost saves stay honest.
//!
//! Times are wall-clock milliseconds, since samples outlive the process.

mod headroom;
mod samples;

pub use headroom::{Retention, StartSamples};
pub use samples::{EndSample, EndSamples, SAMPLE_SPACING_MS, SAMPLES_MAX};

use crate::names::SourceOffset;

/// Samples are taken each second; five in a row without an answer and the lag is no longer known.
pub const SEEN_STALE_MS: i64 = 5_000;

/// The lag of one partition.
#[derive(Clone, Debug)]
pub struct Lag {
    samples: EndSamples,
    starts: StartSamples,
    /// When this process began to look, or an earlier one by what it saved.
    looking_since_ms: i64,
    /// The newest sample is of this process.
    seen_in_this_life: bool,
    copied: Copied,
}

/// What the mean size of a record is guessed from.
#[derive(Clone, Copy, Debug, Default)]
struct Copied {
    offsets: u64,
    bytes: u64,
}

/// What status and metrics show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LagReading {
    /// The source was seen within [`SEEN_STALE_MS`] by this process.
    pub lag_known: bool,
    pub rpo_ms: i64,
    /// The oldest uncopied record was there before the first sample: `rpo_ms` is a floor.
    pub rpo_is_floor: bool,
    pub source_seen_age_ms: i64,
    /// As of the newest sample.
    pub lag_records: i64,
    /// Guessed from the mean size of what was copied; `None` before anything was.
    pub lag_bytes: Option<i64>,
    /// `None`: retention does not reach us, or nothing is known about it.
    pub headroom_ms: Option<i64>,
}

impl Lag {
    /// `saved` are the samples of an earlier life, empty at the first.
    pub fn new(now_ms: i64, saved: EndSamples) -> Self {
        let looking_since_ms = saved.oldest().map_or(now_ms, |oldest| oldest.at_ms);
        Self {
            samples: saved,
            starts: StartSamples::default(),
            looking_since_ms: looking_since_ms.min(now_ms),
            seen_in_this_life: false,
            copied: Copied::default(),
        }
    }

    /// The source answered: these are the start and the end of its log, asked for at `asked_ms`. What
    /// came after the question may be missing in the answer, so its time is that of the sample.
    pub fn seen(&mut self, asked_ms: i64, log_start: SourceOffset, log_end: SourceOffset) {
        self.samples.observe(asked_ms, log_end);
        self.starts.observe(asked_ms, log_start);
        self.seen_in_this_life = true;
    }

    /// The copy went on to `position`, over `offsets` offsets and `bytes` bytes.
    pub fn copied(&mut self, position: SourceOffset, offsets: u64, bytes: u64) {
        self.samples.forget_before(position);
        self.copied.offsets = self.copied.offsets.saturating_add(offsets);
        self.copied.bytes = self.copied.bytes.saturating_add(bytes);
    }

    /// What to save along with the progress.
    pub fn samples(&self) -> &EndSamples {
        &self.samples
    }

    /// `position` is the oldest source offset that is not acknowledged by the target.
    pub fn read(&self, now_ms: i64, position: SourceOffset, retention: Retention) -> LagReading {
        let newest = self.samples.newest();
        let seen_at = newest.map_or(self.looking_since_ms, |sample| sample.at_ms);
        let source_seen_age_ms = (now_ms - seen_at).max(0);
        let lag_known = self.seen_in_this_life && source_seen_age_ms <= SEEN_STALE_MS;
        let not_passed = self.samples.last_not_past(position);
        let since = not_passed.map_or(self.looking_since_ms, |sample| sample.at_ms);
        // An unknown lag never reads 0, not even in the millisecond of the restart.
        let floor = if lag_known { 0 } else { 1 };
        let rpo_ms = (now_ms - since).max(floor);
        let lag_records = newest.map_or(0, |sample| (sample.end.0 - position.0).max(0));
        let lag_bytes = self.copied.bytes_of(lag_records);
        LagReading {
            lag_known,
            rpo_ms,
            rpo_is_floor: not_passed.is_none(),
            source_seen_age_ms,
            lag_records,
            lag_bytes,
            headroom_ms: self.headroom(now_ms, position, retention, rpo_ms, lag_bytes),
        }
    }

    fn headroom(
        &self,
        now_ms: i64,
        position: SourceOffset,
        retention: Retention,
        rpo_ms: i64,
        lag_bytes: Option<i64>,
    ) -> Option<i64> {
        let rate = self.samples.offsets_per_second();
        let bytes_per_second = self.copied.bytes_of(rate);
        let by_rule = retention.headroom(
            now_ms,
            self.newest_at(),
            rpo_ms,
            lag_bytes,
            bytes_per_second,
        );
        // Somebody may still delete records by hand or by a rule that we were not told of.
        by_rule.or_else(|| self.starts.headroom(now_ms, position))
    }

    fn newest_at(&self) -> i64 {
        let newest = self.samples.newest();
        newest.map_or(self.looking_since_ms, |sample| sample.at_ms)
    }
}

impl Copied {
    fn bytes_of(self, offsets: i64) -> Option<i64> {
        let mean = u128::from(self.bytes) * u128::try_from(offsets).ok()?;
        let bytes = mean.checked_div(u128::from(self.offsets))?;
        Some(i64::try_from(bytes).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests;
