//! Bytes, records and batches per lane and reason: `lane_bytes{lane,reason}`.

use std::collections::BTreeMap;
use std::fmt;

use isthmus_wire::batch::BatchView;

use super::{RawReason, RebuildReason, SkipReason};

/// A label pair of the metric; closed, so its cardinality is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaneReason {
    Raw(RawReason),
    Rebuild(RebuildReason),
    Skip(SkipReason),
}

impl LaneReason {
    pub fn lane(self) -> &'static str {
        match self {
            Self::Raw(_) => "raw",
            Self::Rebuild(_) => "rebuild",
            Self::Skip(_) => "skip",
        }
    }

    pub fn reason(self) -> &'static str {
        match self {
            Self::Raw(RawReason::Whole) => "whole",
            Self::Raw(RawReason::TargetRecompresses) => "target-recompresses",
            Self::Raw(RawReason::TimestampsReplaced) => "timestamps-replaced",
            Self::Raw(RawReason::AppendTimesDropped) => "append-times-dropped",
            Self::Rebuild(RebuildReason::StartsInside) => "starts-inside",
            Self::Rebuild(RebuildReason::DeleteHorizon) => "delete-horizon",
            Self::Rebuild(RebuildReason::Holes) => "holes",
            Self::Rebuild(RebuildReason::LogAppendTime) => "log-append-time",
            Self::Rebuild(RebuildReason::CodecNotTaken) => "codec-not-taken",
            Self::Rebuild(RebuildReason::TooLarge) => "too-large",
            Self::Rebuild(RebuildReason::Small) => "small",
            Self::Skip(SkipReason::Control) => "control",
            Self::Skip(SkipReason::BeforePosition) => "before-position",
            Self::Skip(SkipReason::Empty) => "empty",
            Self::Skip(SkipReason::Aborted) => "aborted",
        }
    }
}

impl fmt::Display for LaneReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.lane(), self.reason())
    }
}

/// Source batches, whole; records as the header counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub batches: u64,
    pub records: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneCounts(BTreeMap<LaneReason, Count>);

impl LaneCounts {
    pub fn add_batch(&mut self, reason: LaneReason, batch: &BatchView) {
        let count = self.0.entry(reason).or_default();
        count.batches += 1;
        count.records += u64::try_from(batch.header().records_count).unwrap_or(0);
        count.bytes += batch.bytes().len() as u64;
    }

    pub fn add_all(&mut self, other: &Self) {
        for (reason, more) in &other.0 {
            let count = self.0.entry(*reason).or_default();
            count.batches += more.batches;
            count.records += more.records;
            count.bytes += more.bytes;
        }
    }

    pub fn get(&self, reason: LaneReason) -> Count {
        self.0.get(&reason).copied().unwrap_or_default()
    }

    pub fn iter(&self) -> impl Iterator<Item = (LaneReason, Count)> {
        self.0.iter().map(|(reason, count)| (*reason, *count))
    }
}
