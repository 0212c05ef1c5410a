//! The flow as status and metrics show it.

use isthmus_replicator_core::partition::Side;

use super::mirrored::Mirrored;
use super::{Flow, index_of};
use crate::clock::{millis, wall_ms};
use crate::status::{
    self, FlowStatus, GapStatus, LagStatus, PartitionStatus, PartitionTotals, TopicStatus,
};

impl Flow {
    pub(super) fn show(&self) {
        let settings = &self.ctx.settings;
        let now_ms = wall_ms();
        let topics = self.topics.iter().map(|(name, topic)| TopicStatus {
            source_topic: name.clone(),
            target_topic: topic.target_topic.clone(),
            held: topic.held.clone(),
            reports: topic.reports.clone(),
        });
        let refused = self.refused.iter().map(|(name, reason)| TopicStatus {
            source_topic: name.clone(),
            target_topic: String::new(),
            held: Some(reason.clone()),
            reports: vec![],
        });
        let status = FlowStatus {
            name: settings.name.to_string(),
            source: settings.source.to_string(),
            target: settings.target.to_string(),
            paused: self.pauses.is_flow_paused(),
            rpo_target_ms: millis(settings.rpo_target),
            since_ms: self.since_ms,
            scanned_age_ms: self.scanned_ms.map(|at_ms| (now_ms - at_ms).max(0)),
            topics: topics.chain(refused).collect(),
            partitions: self
                .partitions
                .iter()
                .map(|it| partition(now_ms, it))
                .collect(),
            lanes: status::lanes(&self.counts),
            groups: self.group_statuses(now_ms),
            throttled_ms_total: self.throttled.as_millis().try_into().unwrap_or(u64::MAX),
            error: self.error.clone(),
            role: self.role_status(),
        };
        self.board.show(status);
        for (side, name) in [
            (Side::Source, &settings.source),
            (Side::Target, &settings.target),
        ] {
            let id = self.ctx.cluster(side).cluster_id();
            let error = self.side_errors[index_of(side)].clone();
            self.board.cluster(name.as_str(), id, error);
        }
    }
}

fn partition(now_ms: i64, mirrored: &Mirrored) -> PartitionStatus {
    let machine = &mirrored.machine;
    let (state, reason) = status::describe(machine.state());
    let totals = mirrored.totals();
    PartitionStatus {
        topic: mirrored.topic.to_string(),
        target_topic: mirrored.target_topic.to_string(),
        partition: mirrored.partition,
        state,
        reason,
        source_next: mirrored.position().map(|it| it.0),
        target_next: mirrored.map.target_end().map(|it| it.0),
        lag: mirrored.reading(now_ms).map(LagStatus::from),
        totals: PartitionTotals {
            records: totals.records,
            bytes: totals.bytes,
            duplicates: totals.duplicates,
            missing: totals.missing,
            gaps: mirrored.gaps_count,
            foreign: machine.foreign_records(),
            lost_by_target: machine.lost_by_target(),
        },
        record_age_ms: mirrored.record_age_ms,
        gaps: mirrored.ledger.iter().map(GapStatus::from).collect(),
    }
}
