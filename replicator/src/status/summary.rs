//! What the partitions of a flow come to: the worst of each, never an average.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{FlowStatus, GroupState, LagStatus, PartitionState, PartitionTotals, seconds};

/// A scan of topics older than this says nothing about the source any more. The scan comes every
/// few seconds.
const SCAN_STALE_MS: i64 = 30_000;

/// One flow in one row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowSummary {
    /// How many partitions are in which state; states without one are left out.
    pub states: BTreeMap<PartitionState, usize>,
    /// All partitions are known, and were seen lately by this process.
    pub lag_known: bool,
    pub lag_records: i64,
    /// `None` where one partition's is not known.
    pub lag_bytes: Option<i64>,
    /// Of the partition that is furthest behind.
    #[serde(rename = "rpo_seconds", with = "seconds::value")]
    pub rpo_ms: i64,
    pub rpo_is_floor: bool,
    #[serde(rename = "source_seen_age_seconds", with = "seconds::value")]
    pub source_seen_age_ms: i64,
    /// Of the partition with the least; `None`: retention reaches none of them, or is not known.
    #[serde(rename = "headroom_seconds", with = "seconds::option")]
    pub headroom_ms: Option<i64>,
    pub totals: PartitionTotals,
    pub topics_held: usize,
    pub groups_held: usize,
    /// Of the group offset that was not looked at for longest; `None` without groups.
    #[serde(rename = "groups_age_seconds", with = "seconds::option")]
    pub groups_age_ms: Option<i64>,
}

impl FlowStatus {
    /// What its partitions, topics and groups come to, for a snapshot of `now_ms`.
    pub fn summary(&self, now_ms: i64) -> FlowSummary {
        let mut summary = self.scan_alone(now_ms);
        for partition in &self.partitions {
            *summary.states.entry(partition.state).or_default() += 1;
            summary.totals.add(&partition.totals);
            let unseen_ms = now_ms.saturating_sub(self.since_ms);
            let lag = partition.lag.unwrap_or_else(|| never_seen(unseen_ms));
            summary.add(&lag);
        }
        summary.topics_held = self.topics.iter().filter(|it| it.held.is_some()).count();
        let is_held = |state: GroupState| state == GroupState::Held;
        summary.groups_held = self.groups.iter().filter(|it| is_held(it.state)).count();
        summary.groups_age_ms = self.groups.iter().map(|it| it.age_ms).max();
        summary
    }

    /// A flow without a partition: nothing is missing only if somebody looked lately.
    fn scan_alone(&self, now_ms: i64) -> FlowSummary {
        let unseen_ms = now_ms.saturating_sub(self.since_ms);
        let age_ms = self.scanned_age_ms.unwrap_or(unseen_ms).max(0);
        let known = self.scanned_age_ms.is_some() && age_ms <= SCAN_STALE_MS;
        let lag = match (known, self.partitions.is_empty()) {
            (true, _) => LagStatus {
                known: true,
                bytes: Some(0),
                ..LagStatus::default()
            },
            (false, true) => never_seen(age_ms),
            // Partitions speak for themselves, but nobody knows whether they are all.
            (false, false) => LagStatus {
                known: false,
                bytes: Some(0),
                ..LagStatus::default()
            },
        };
        FlowSummary {
            lag_known: lag.known,
            lag_bytes: lag.bytes,
            rpo_ms: lag.rpo_ms,
            rpo_is_floor: lag.rpo_is_floor,
            source_seen_age_ms: lag.source_seen_age_ms,
            ..FlowSummary::default()
        }
    }
}

/// Nothing saved and nothing seen: as long as we are looking, all of it may be missing.
fn never_seen(looking_ms: i64) -> LagStatus {
    LagStatus {
        known: false,
        records: 0,
        bytes: None,
        rpo_ms: looking_ms.max(1),
        rpo_is_floor: true,
        source_seen_age_ms: looking_ms.max(1),
        headroom_ms: None,
    }
}

impl FlowSummary {
    fn add(&mut self, lag: &LagStatus) {
        self.lag_known &= lag.known;
        self.lag_records = self.lag_records.saturating_add(lag.records);
        // A partition that lacks nothing lacks no bytes, whatever its records weigh.
        let bytes = lag.bytes.or((lag.known && lag.records == 0).then_some(0));
        self.lag_bytes = self
            .lag_bytes
            .zip(bytes)
            .map(|(sum, bytes)| sum.saturating_add(bytes));
        if lag.rpo_ms > self.rpo_ms {
            self.rpo_ms = lag.rpo_ms;
            self.rpo_is_floor = lag.rpo_is_floor;
        }
        self.source_seen_age_ms = self.source_seen_age_ms.max(lag.source_seen_age_ms);
        self.headroom_ms = match (self.headroom_ms, lag.headroom_ms) {
            (Some(least), Some(found)) => Some(least.min(found)),
            (least, found) => least.or(found),
        };
    }

    /// Partitions in a state that waits for a person.
    pub fn waiting_for_somebody(&self) -> usize {
        let states = self.states.iter();
        let waiting = states.filter(|(state, _)| state.waits_for_somebody());
        waiting.map(|(_, count)| count).sum()
    }
}

impl PartitionTotals {
    fn add(&mut self, more: &Self) {
        self.records = self.records.saturating_add(more.records);
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.duplicates = self.duplicates.saturating_add(more.duplicates);
        self.missing = self.missing.saturating_add(more.missing);
        self.gaps = self.gaps.saturating_add(more.gaps);
        self.foreign = self.foreign.saturating_add(more.foreign);
        self.lost_by_target = self.lost_by_target.saturating_add(more.lost_by_target);
    }
}
