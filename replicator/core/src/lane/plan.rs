//! What becomes of one Fetch answer: its batches in order, cut into units that travel one way.

use bytes::Bytes;
use isthmus_wire::batch::{BatchError, BatchView, split_batches};

use super::{
    AbortedTransaction, AbortedTransactions, Isolation, Lane, LaneCounts, LaneReason, LaneRules,
    Outgoing, RawReason, RebuildReason, Rebuilt, Refusal, TargetLimits, choose, rebuild,
};
use crate::names::SourceOffset;

/// Raw batches below this are merged with small neighbours: a Produce request takes one batch per
/// partition, so single small ones starve throughput (mirror.md 5.3).
pub const MERGE_BELOW_BYTES: usize = 4 * 1024;

/// Stored bytes that are merged into one batch at most.
pub const MERGED_BYTES_MAX: usize = 64 * 1024;

/// The record that stops a partition, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub offset: SourceOffset,
    pub refusal: Refusal,
}

impl Refused {
    pub(super) fn at(offset: i64, refusal: Refusal) -> Self {
        Self {
            offset: SourceOffset(offset),
            refusal,
        }
    }
}

/// Neighbouring batches that travel together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    pub lane: LaneReason,
    batches: Vec<BatchView>,
    position: SourceOffset,
    /// Where the copy stands once all of it is acknowledged; behind what was skipped, too.
    pub next: SourceOffset,
}

impl Unit {
    /// The batches for the target. Rebuilding happens here, so that it can happen on a thread for
    /// work.
    pub fn outgoing(&self, limits: &TargetLimits, rules: &LaneRules) -> Rebuilt {
        match self.lane {
            LaneReason::Raw(_) => self.raw(),
            LaneReason::Rebuild(_) => rebuild(&self.batches, self.position, limits, rules),
            LaneReason::Skip(_) => unreachable!("a skipped batch is in no unit"),
        }
    }

    /// The same records one by one, from `from` on, to find the one that a target refused without
    /// naming it. What stands before `from` may be acknowledged already.
    pub fn rebuilt(&self, from: SourceOffset, limits: &TargetLimits, rules: &LaneRules) -> Rebuilt {
        rebuild(&self.batches, self.position.max(from), limits, rules)
    }

    /// Where the copy stands once each of the batches is acknowledged: behind its own records, and
    /// the last one behind all of the unit.
    pub fn nexts(&self, rebuilt: &Rebuilt) -> Vec<SourceOffset> {
        let ends = rebuilt.batches.iter().map(Outgoing::source_end);
        let mut nexts: Vec<SourceOffset> = ends.collect();
        if let (Some(last), None) = (nexts.last_mut(), &rebuilt.refused) {
            *last = self.next;
        }
        nexts
    }

    pub fn size_in_bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.bytes().len()).sum()
    }

    fn raw(&self) -> Rebuilt {
        let mut rebuilt = Rebuilt::default();
        for batch in &self.batches {
            match Outgoing::raw(batch) {
                Ok(outgoing) => rebuilt.batches.push(outgoing),
                Err(error) => {
                    let refusal = Refusal::Damaged(error.to_string());
                    rebuilt.refused = Some(Refused::at(batch.header().base_offset, refusal));
                    break;
                }
            }
        }
        rebuilt
    }

    /// Whether a small raw batch of the same kind may join.
    fn takes(&self, batch: &BatchView, reason: RawReason, limits: &TargetLimits) -> bool {
        let mergeable = match self.lane {
            LaneReason::Raw(own) => own == reason,
            LaneReason::Rebuild(own) => own == RebuildReason::Small && reason == RawReason::Whole,
            LaneReason::Skip(_) => false,
        };
        let is_small = |batch: &BatchView| batch.bytes().len() < MERGE_BELOW_BYTES;
        let size = self.size_in_bytes() + batch.bytes().len();
        let last = self.batches.last();
        mergeable
            && reason == RawReason::Whole
            && last.is_some_and(|last| {
                is_small(last)
                    && last.header().attributes.codec_id() == batch.header().attributes.codec_id()
            })
            && is_small(batch)
            && size <= MERGED_BYTES_MAX.min(limits.max_message_bytes)
    }
}

/// The plan for one partition of a Fetch answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchPlan {
    pub units: Vec<Unit>,
    /// Where the next fetch begins.
    pub next: SourceOffset,
    /// Stops the plan in front of it.
    pub refused: Option<Refused>,
    pub counts: LaneCounts,
}

/// What came back from a fetch at `position`.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    pub position: SourceOffset,
    pub records: &'a Bytes,
    pub aborted: &'a [AbortedTransaction],
    pub now_ms: i64,
}

impl FetchPlan {
    pub fn of(answer: &Answer<'_>, limits: &TargetLimits, rules: &LaneRules) -> Self {
        let mut plan = Self {
            next: answer.position,
            ..Self::default()
        };
        let mut aborted = AbortedTransactions::new(answer.aborted.iter().copied());
        for batch in split_batches(answer.records) {
            let lane = plan.judge(answer, batch, &mut aborted, limits, rules);
            if let Err(refused) = lane {
                plan.refused = Some(refused);
                break;
            }
        }
        plan.count_units();
        plan
    }

    fn judge(
        &mut self,
        answer: &Answer<'_>,
        batch: Result<BatchView, BatchError>,
        aborted: &mut AbortedTransactions,
        limits: &TargetLimits,
        rules: &LaneRules,
    ) -> Result<(), Refused> {
        let batch = batch.map_err(|error| self.unreadable(&error))?;
        batch
            .verify_crc()
            .map_err(|error| self.unreadable(&error))?;
        let is_aborted = match rules.isolation {
            Isolation::ReadCommitted => aborted.judge(&batch),
            Isolation::ReadUncommitted => false,
        };
        let header = batch.header();
        let lane = choose(
            header,
            answer.position,
            answer.now_ms,
            is_aborted,
            limits,
            rules,
        );
        let offset = header.base_offset.max(answer.position.0);
        let next = SourceOffset(header.next_offset()).max(self.next);
        match lane {
            Lane::Refuse(refusal) => return Err(Refused::at(offset, refusal)),
            Lane::Skip(reason) => self.skip(&batch, LaneReason::Skip(reason), next),
            Lane::Raw(reason) => self.take_raw(batch, reason, answer.position, next, limits),
            Lane::Rebuild(reason) => {
                self.push(batch, LaneReason::Rebuild(reason), answer.position, next);
            }
        }
        self.next = next;
        Ok(())
    }

    fn take_raw(
        &mut self,
        batch: BatchView,
        reason: RawReason,
        position: SourceOffset,
        next: SourceOffset,
        limits: &TargetLimits,
    ) {
        let lane = LaneReason::Raw(reason);
        match self.units.last_mut() {
            Some(unit) if unit.takes(&batch, reason, limits) => {
                unit.lane = LaneReason::Rebuild(RebuildReason::Small);
                unit.next = next;
                unit.batches.push(batch);
            }
            _ => self.push(batch, lane, position, next),
        }
    }

    fn push(
        &mut self,
        batch: BatchView,
        lane: LaneReason,
        position: SourceOffset,
        next: SourceOffset,
    ) {
        self.units.push(Unit {
            lane,
            batches: vec![batch],
            position,
            next,
        });
    }

    /// A skipped batch is done with when all in front of it is.
    fn skip(&mut self, batch: &BatchView, reason: LaneReason, next: SourceOffset) {
        self.counts.add_batch(reason, batch);
        if let Some(unit) = self.units.last_mut() {
            unit.next = next;
        }
    }

    /// At the end: a raw batch becomes a rebuilt one when a neighbour joins it.
    fn count_units(&mut self) {
        for unit in &self.units {
            for batch in &unit.batches {
                self.counts.add_batch(unit.lane, batch);
            }
        }
    }

    fn unreadable(&self, error: &BatchError) -> Refused {
        let refusal = match error {
            BatchError::UnsupportedMagic(magic @ 0..=1) => Refusal::OldFormat(*magic),
            other => Refusal::Damaged(other.to_string()),
        };
        Refused {
            offset: self.next,
            refusal,
        }
    }
}
