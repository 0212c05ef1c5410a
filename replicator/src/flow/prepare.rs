//! From one partition of a fetch answer to batches that are ready to be sent.
//!
//! The plan and the raw lane cost a checksum and a header; they are done where the answer arrived. A
//! batch to be rebuilt is decompressed and compressed again, on a thread for such work.

use std::sync::Arc;

use futures::FutureExt;
use isthmus_client::fetch::FetchedPartition;
use isthmus_replicator_core::lane::{
    AbortedTransaction, Answer, FetchPlan, LaneCounts, LaneReason, LaneRules, Outgoing, Rebuilt,
    Refused, TargetLimits, Unit,
};
use isthmus_replicator_core::names::SourceOffset;
use isthmus_replicator_core::partition::{Batch, BatchId, Event};
use isthmus_wire::batch::BatchHeader;

use super::mirrored::{At, Kept};
use super::{Done, Flow, outcome_of};
use crate::budget::Hold;

/// Rebuilding less than this is quicker than handing it to another thread.
const REBUILD_HERE_BYTES: usize = 16 * 1024;

/// By what a partition's batches are judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) limits: TargetLimits,
    pub(super) lane: LaneRules,
}

/// Batches that have no number yet.
pub(super) struct Prepared {
    batches: Vec<PreparedBatch>,
    next: SourceOffset,
    refused: Option<Refused>,
    counts: LaneCounts,
    hold: Arc<Hold>,
}

struct PreparedBatch {
    outgoing: Outgoing,
    unit: Arc<Unit>,
    next: SourceOffset,
    newest_ms: i64,
}

/// The records of a batch that the target refused, one by one.
pub(super) struct Inspected {
    at: At,
    id: BatchId,
    prepared: Prepared,
}

pub(super) async fn prepare(
    now_ms: i64,
    from: SourceOffset,
    answer: FetchedPartition,
    rules: Rules,
    hold: Arc<Hold>,
) -> Prepared {
    let aborted = answer.aborted.iter().map(|it| AbortedTransaction {
        producer_id: it.producer_id,
        first_offset: it.first_offset,
    });
    let aborted: Vec<AbortedTransaction> = aborted.collect();
    let answer = Answer {
        position: from,
        records: &answer.records,
        aborted: &aborted,
        now_ms,
    };
    let plan = FetchPlan::of(&answer, &rules.limits, &rules.lane);
    let is_heavy = |unit: &Unit| {
        matches!(unit.lane, LaneReason::Rebuild(_)) && unit.size_in_bytes() > REBUILD_HERE_BYTES
    };
    if !plan.units.iter().any(is_heavy) {
        return build(plan, rules, hold);
    }
    outcome_of(tokio::task::spawn_blocking(move || {
        build(plan, rules, hold)
    }))
    .await
}

fn build(plan: FetchPlan, rules: Rules, hold: Arc<Hold>) -> Prepared {
    let mut prepared = Prepared {
        batches: vec![],
        next: plan.next,
        refused: plan.refused,
        counts: plan.counts,
        hold,
    };
    for unit in plan.units {
        let unit = Arc::new(unit);
        let rebuilt = unit.outgoing(&rules.limits, &rules.lane);
        if prepared.add(&unit, rebuilt) {
            break;
        }
    }
    prepared
}

impl Prepared {
    /// Whether the unit ends in front of a record that cannot be copied: so does the answer.
    fn add(&mut self, unit: &Arc<Unit>, rebuilt: Rebuilt) -> bool {
        let nexts = unit.nexts(&rebuilt);
        for (outgoing, next) in rebuilt.batches.into_iter().zip(nexts) {
            let header = BatchHeader::parse(outgoing.header());
            self.batches.push(PreparedBatch {
                newest_ms: header.map_or(-1, |header| header.max_timestamp),
                outgoing,
                unit: Arc::clone(unit),
                next,
            });
        }
        let Some(refused) = rebuilt.refused else {
            return false;
        };
        self.next = refused.offset;
        self.refused = Some(refused);
        true
    }
}

impl Flow {
    /// Numbers the batches and keeps them until the machine drops them.
    pub(super) fn keep(&mut self, at: At, from: SourceOffset, prepared: Prepared) -> Event {
        self.counts.add_all(&prepared.counts);
        let (next, refused) = (prepared.next, prepared.refused.clone());
        Event::Fetched {
            from,
            batches: self.number(at, prepared),
            next,
            refused,
        }
    }

    fn number(&mut self, at: At, prepared: Prepared) -> Vec<Batch> {
        let mut batches = Vec::with_capacity(prepared.batches.len());
        for it in prepared.batches {
            let id = self.next_batch;
            self.next_batch += 1;
            batches.push(Batch {
                id,
                count: it.outgoing.count(),
                bytes: it.outgoing.size_in_bytes() as u64,
                runs: it.outgoing.runs().to_vec(),
                next: it.next,
            });
            let kept = Kept {
                outgoing: it.outgoing,
                unit: it.unit,
                newest_ms: it.newest_ms,
                _hold: Arc::clone(&prepared.hold),
            };
            self.partitions[at].batches.insert(id, kept);
        }
        batches
    }

    /// The target refused a batch and named no record.
    pub(super) fn inspect(&mut self, at: At, id: BatchId) {
        let mirrored = &self.partitions[at];
        let (Some(kept), Some(limits)) = (mirrored.batches.get(&id), mirrored.limits) else {
            return;
        };
        let from = kept.outgoing.runs().first().map(|run| run.source);
        let (unit, hold) = (Arc::clone(&kept.unit), Arc::clone(&kept._hold));
        let lane = self.ctx.lane_rules();
        let rebuild = tokio::task::spawn_blocking(move || {
            let from = from.unwrap_or_default();
            let rebuilt = unit.rebuilt(from, &limits, &lane);
            let mut prepared = Prepared {
                batches: vec![],
                next: from,
                refused: None,
                counts: LaneCounts::default(),
                hold,
            };
            prepared.add(&unit, rebuilt);
            Inspected { at, id, prepared }
        });
        self.work
            .push(outcome_of(rebuild).map(Done::Inspected).boxed());
    }

    pub(super) fn inspected(&mut self, inspected: Inspected) {
        let Inspected { at, id, prepared } = inspected;
        let refused = prepared.refused.clone();
        let batches = self.number(at, prepared);
        self.feed(
            at,
            Event::Inspected {
                id,
                batches,
                refused,
            },
        );
    }
}
