//! Where the copy stands on both sides, what was counted, and what is saved of it.

use isthmus_wire::Uuid;

use super::{Batch, Found, Held, PartitionRules, Side};
use crate::lane::Producer;
use crate::names::{SourceOffset, TargetOffset};
use crate::offset_map::Run;
use crate::state::{Progress, Totals};

/// Invariant: `source_next` and `target_next` say the same on both sides, and only what was
/// acknowledged moves them forward.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) source_topic_id: Uuid,
    pub(super) target_topic_id: Uuid,
    /// Where the first copy began: the way back if the offset map knows none.
    pub(super) source_began: SourceOffset,
    pub(super) source_next: SourceOffset,
    pub(super) target_next: TargetOffset,
    pub(super) totals: Totals,
    /// Records of others that stand between ours.
    pub(super) foreign: i64,
    /// Records that the target lost after it had acknowledged them, copied again.
    pub(super) lost_by_target: i64,
}

/// What the target's end says about what was written without our knowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TargetEnd {
    AsExpected,
    /// More than was acknowledged: our own unknown batches, or others'.
    Beyond {
        records: i64,
    },
    Short {
        records: i64,
    },
}

impl Place {
    pub(super) fn of(progress: &Progress) -> Self {
        Self {
            source_topic_id: progress.source_topic_id,
            target_topic_id: progress.target_topic_id,
            source_began: progress.source_began,
            source_next: progress.source_next,
            target_next: progress.target_next,
            totals: progress.totals,
            ..Self::default()
        }
    }

    pub(super) fn begin(found: &Found, at: SourceOffset) -> Self {
        Self {
            source_topic_id: found.source_topic_id,
            target_topic_id: found.target_topic_id,
            source_began: at,
            source_next: at,
            target_next: found.target_end,
            ..Self::default()
        }
    }

    /// A topic that was created again is another one, whatever its offsets say.
    pub(super) fn check_ids(&mut self, found: &Found) -> Result<(), Held> {
        for (side, was, now) in [
            (
                Side::Source,
                &mut self.source_topic_id,
                found.source_topic_id,
            ),
            (
                Side::Target,
                &mut self.target_topic_id,
                found.target_topic_id,
            ),
        ] {
            if !was.is_zero() && !now.is_zero() && *was != now {
                return Err(Held::Recreated {
                    side,
                    was: *was,
                    now,
                });
            }
            // A side that has learned ids since.
            if was.is_zero() {
                *was = now;
            }
        }
        Ok(())
    }

    pub(super) fn compare(&self, target_end: TargetOffset) -> TargetEnd {
        match target_end.0 - self.target_next.0 {
            0 => TargetEnd::AsExpected,
            records if records > 0 => TargetEnd::Beyond { records },
            records => TargetEnd::Short { records: -records },
        }
    }

    /// The target lost acknowledged records: they are copied again, from where the map says, or
    /// from the beginning if it lost all that the map knew.
    pub(super) fn go_back(&mut self, found: &Found) {
        let source = found.source_of_target_end.unwrap_or(self.source_began);
        self.source_next = self.source_next.min(source);
    }

    /// The target acknowledged at `base` what should have come behind more: that much is gone.
    pub(super) fn cut(&mut self, base: i64) {
        self.lost_by_target += self.target_next.0 - base;
        self.target_next = TargetOffset(base);
    }

    /// Takes an acknowledged batch in: its runs, and how many records that were not acknowledged
    /// stand in front of it.
    pub(super) fn acked(&mut self, batch: &Batch, base_offset: i64) -> (Vec<Run>, i64) {
        let expected = self.target_next.0;
        // A repeated batch whose place the broker forgot stands where we expect it at the earliest.
        let base = if base_offset < 0 {
            expected
        } else {
            base_offset
        };
        let between = (base - expected).max(0);
        let mut at = base;
        let runs = batch.runs.iter().map(|run| {
            let run = Run {
                source: run.source,
                target: TargetOffset(at),
                count: run.count,
            };
            at += run.count;
            run
        });
        let runs = runs.collect();
        self.target_next = TargetOffset(base + i64::from(batch.count));
        self.source_next = batch.next;
        self.totals.records += i64::from(batch.count);
        self.totals.bytes += i64::try_from(batch.bytes).unwrap_or(i64::MAX);
        (runs, between)
    }

    pub(super) fn progress(
        &self,
        now_ms: i64,
        rules: &PartitionRules,
        producer: Producer,
    ) -> Progress {
        Progress {
            owner_generation: rules.owner_generation,
            source_topic_id: self.source_topic_id,
            target_topic_id: self.target_topic_id,
            source_began: self.source_began,
            source_next: self.source_next,
            target_next: self.target_next,
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            next_sequence: producer.base_sequence,
            saved_at_ms: now_ms,
            totals: self.totals,
        }
    }
}
