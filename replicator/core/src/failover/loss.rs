//! What would be lost: at least, and at most.
//!
//! Samples say where the source's end was, and when; the progress says how far the copy has come.
//! - *At least* what was seen at the source, is behind the saved progress, and is not at the target.
//!   The progress is up to a save old, so what the target has behind it counts as copied. Where
//!   source offsets had holes (compaction, transactions) nobody knows how many of the missing ones
//!   are records: then it is 0.
//! - *At most* all that was seen behind the saved progress, and what the source may have taken in
//!   since it was seen last, at the fastest that it ever grew between two samples that are still
//!   kept. A source that went faster than ever before lost more: it is an estimate, and the only one
//!   that can be made from here.

use crate::lag::{EndSample, EndSamples, SAMPLE_SPACING_MS};
use crate::names::{SourceOffset, TargetOffset};

/// Of one partition.
#[derive(Clone, Copy, Debug)]
pub struct PartitionFacts<'a> {
    /// As saved: the first source offset that is not copied, and the target's end behind our last
    /// record. `None`: nothing was ever saved.
    pub progress: Option<(SourceOffset, TargetOffset)>,
    /// Where the target's partition ends now; as far as can be where it does not tell.
    pub target_end: TargetOffset,
    pub samples: &'a EndSamples,
    /// Where the source ends now, if it answers.
    pub source_end: Option<EndSample>,
    /// Each source offset that is copied held a record.
    pub is_dense: bool,
    /// How fast the source grew at most.
    pub fastest_per_second: i64,
}

/// Of a partition, or of many together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// In records.
    pub at_least: i64,
    /// `None`: not known.
    pub at_most: Option<i64>,
    /// How far back the oldest lost record may lie; `None`: not known.
    pub at_most_ms: Option<i64>,
    /// How long ago the source was seen; `None`: never.
    pub seen_age_ms: Option<i64>,
}

impl Loss {
    pub const NONE: Self = Self {
        at_least: 0,
        at_most: Some(0),
        at_most_ms: Some(0),
        seen_age_ms: Some(0),
    };

    pub fn of(now_ms: i64, facts: &PartitionFacts<'_>) -> Self {
        let seen = facts.source_end.or(facts.samples.newest());
        let Some((seen, (position, target_next))) = seen.zip(facts.progress) else {
            return Self {
                at_least: 0,
                at_most: None,
                at_most_ms: None,
                seen_age_ms: seen.map(|it| age(now_ms, it.at_ms)),
            };
        };
        let age_ms = age(now_ms, seen.at_ms);
        let behind = seen.end.0.saturating_sub(position.0).max(0);
        let unsaved = facts.target_end.0.saturating_sub(target_next.0).max(0);
        let at_least = match facts.is_dense {
            true => behind.saturating_sub(unsaved).max(0),
            false => 0,
        };
        Self {
            at_least,
            at_most: Some(behind.saturating_add(facts.grown(age_ms))),
            at_most_ms: facts.lost_since(seen, position).map(|ms| age(now_ms, ms)),
            seen_age_ms: Some(age_ms),
        }
    }

    /// The sum of records, the worst of times; one that is not known makes the whole unknown.
    pub fn and(self, other: Self) -> Self {
        let worst = |a: Option<i64>, b: Option<i64>| a.zip(b).map(|(a, b)| a.max(b));
        Self {
            at_least: self.at_least.saturating_add(other.at_least),
            at_most: self
                .at_most
                .zip(other.at_most)
                .map(|(a, b)| a.saturating_add(b)),
            at_most_ms: worst(self.at_most_ms, other.at_most_ms),
            seen_age_ms: worst(self.seen_age_ms, other.seen_age_ms),
        }
    }
}

/// A clock that was set back makes nothing younger than now. Times are read from the topic, so they
/// may be anything.
fn age(now_ms: i64, at_ms: i64) -> i64 {
    now_ms.saturating_sub(at_ms).max(0)
}

impl PartitionFacts<'_> {
    /// What may have come since: one more sample's time, because growth is not even.
    fn grown(&self, age_ms: i64) -> i64 {
        let elapsed_ms = i128::from(age_ms) + i128::from(SAMPLE_SPACING_MS);
        let grown = i128::from(self.fastest_per_second.max(0)) * elapsed_ms;
        // Rounded up.
        let grown = (grown + 999) / 1_000;
        i64::try_from(grown).unwrap_or(i64::MAX)
    }

    /// The last time at which nothing behind the position was there.
    fn lost_since(&self, seen: EndSample, position: SourceOffset) -> Option<i64> {
        if seen.end <= position {
            return Some(seen.at_ms);
        }
        let last = self.samples.last_not_past(position);
        last.map(|sample| sample.at_ms)
    }
}

/// The loss that an operator takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossMax {
    Records(i64),
    Millis(i64),
}

impl LossMax {
    /// What is not known is above every bound.
    pub fn allows(self, loss: &Loss) -> bool {
        match self {
            Self::Records(max) => loss.at_most.is_some_and(|lost| lost <= max),
            Self::Millis(max) => loss.at_most_ms.is_some_and(|lost| lost <= max),
        }
    }
}
