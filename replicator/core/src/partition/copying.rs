//! Copying: fetch, produce, and each way in which one of them may fail.

use isthmus_wire::ErrorCode;

use super::errors::{FetchFault, ProduceFault, fetch_fault, produce_fault};
use super::machine::{Partition, Phase, Then, drop_batches};
use super::{Action, Batch, BatchId, Failure, Held, OnForeign, Quarantine, Side};
use crate::lane::{Refusal, Refused};
use crate::names::{SourceOffset, TargetOffset};

/// A damaged batch may be damage on the way: it is fetched again before it counts.
const DAMAGED_TRIES: u32 = 3;

impl Partition {
    pub(super) fn fetch(&mut self, out: &mut Vec<Action>) {
        let is_free = self.fetching.is_none() && self.source.until_ms().is_none();
        if is_free && self.then.is_none() && self.inspecting.is_none() && self.window.has_room() {
            self.fetching = Some(self.fetch_next);
            out.push(Action::Fetch {
                from: self.fetch_next,
            });
        }
    }

    pub(super) fn fetched(
        &mut self,
        now_ms: i64,
        from: SourceOffset,
        batches: Vec<Batch>,
        next: SourceOffset,
        refused: Option<Refused>,
        out: &mut Vec<Action>,
    ) {
        // An answer to a question that is no longer ours.
        if self.phase != Phase::Copying || self.fetching != Some(from) {
            let ids = batches.iter().map(|batch| batch.id).collect();
            return drop_batches(ids, out);
        }
        self.fetching = None;
        self.source.succeed();
        assert!(next >= from, "fetched from {from} and came to {next}");
        self.fetch_next = next;
        for batch in batches {
            self.window.push(batch);
        }
        if !self.window.extend(next) {
            self.skip_to(next);
        }
        if let Some(refused) = refused {
            self.refuse(now_ms, refused);
        }
    }

    pub(super) fn fetch_failed(
        &mut self,
        now_ms: i64,
        from: SourceOffset,
        failure: Failure,
        out: &mut Vec<Action>,
    ) {
        if self.phase != Phase::Copying || self.fetching != Some(from) {
            return;
        }
        self.fetching = None;
        if fetch_fault(failure) == FetchFault::OutOfRange {
            // What was fetched before is right, and may be all that is left of it.
            self.then = Some(Then::Seek);
        } else {
            self.wait_for(now_ms, Side::Source, failure, out);
        }
    }

    /// Nothing to copy up to there: what was skipped is done with.
    fn skip_to(&mut self, next: SourceOffset) {
        if let Some(place) = &mut self.place {
            place.source_next = place.source_next.max(next);
        }
    }

    fn refuse(&mut self, now_ms: i64, refused: Refused) {
        if matches!(refused.refusal, Refusal::Damaged(_)) && self.damaged_tries < DAMAGED_TRIES {
            self.damaged_tries += 1;
            let cause = Failure::Code(ErrorCode::CORRUPT_MESSAGE);
            self.source.fail(now_ms, cause);
        } else {
            self.then = Some(Then::Quarantine(refused));
        }
    }

    pub(super) fn produce(&mut self, out: &mut Vec<Action>) {
        let is_free = !self.must_save && !self.needs_producer && self.inspecting.is_none();
        if is_free && self.target.until_ms().is_none() {
            let sent = self.window.send().into_iter();
            out.extend(sent.map(|(id, producer)| Action::Produce { id, producer }));
        }
    }

    pub(super) fn acked(&mut self, id: BatchId, base_offset: i64, out: &mut Vec<Action>) {
        if !self.window.acked(id, base_offset) {
            return;
        }
        self.target.succeed();
        drop_batches(self.window.drop_orphans(), out);
        while let Some(acked) = self.window.pop_acked() {
            let (batch, base_offset) = (acked.batch, acked.base_offset);
            let Some(place) = &mut self.place else {
                unreachable!("a batch without a place");
            };
            drop_batches(vec![batch.id], out);
            if (0..place.target_next.0).contains(&base_offset) {
                place.cut(base_offset);
                return self.go_back(&batch, base_offset, out);
            }
            let at = place.target_next;
            let (runs, between) = place.acked(&batch, base_offset);
            out.push(Action::Map(runs));
            self.limits_asked_at = None;
            self.damaged_tries = 0;
            let cleared = if between == 0 && acked.was_in_doubt {
                i64::from(batch.count)
            } else {
                0
            };
            self.judge_between(at, between, cleared, out);
        }
    }

    /// The target had lost its end when it took this batch, which now stands in the place of others.
    fn go_back(&mut self, batch: &Batch, base_offset: i64, out: &mut Vec<Action>) {
        out.push(Action::CutMap {
            target_end: TargetOffset(base_offset),
        });
        let count = i64::from(batch.count);
        self.in_doubt = self.in_doubt.map(|before| before + count);
        self.goes_back = true;
        self.seek(out);
    }

    /// Records between the expected end and ours: late batches of our own, or another writer's.
    /// `cleared` were in doubt and are where they should be.
    fn judge_between(
        &mut self,
        at: TargetOffset,
        between: i64,
        cleared: i64,
        out: &mut Vec<Action>,
    ) {
        let Some(place) = &mut self.place else {
            return;
        };
        let ours = between.min(self.in_doubt.unwrap_or(0));
        self.in_doubt = self.in_doubt.map(|doubt| (doubt - ours - cleared).max(0));
        place.totals.duplicates += ours;
        let records = between - ours;
        place.foreign += records;
        if records > 0 && self.rules.on_foreign == OnForeign::Stop {
            self.stop(Phase::Held(Held::ForeignWriter { at, records }), out);
        }
    }

    pub(super) fn produce_failed(
        &mut self,
        now_ms: i64,
        id: BatchId,
        failure: Failure,
        out: &mut Vec<Action>,
    ) {
        let is_front = self.window.is_front(id);
        // An orphan's failure says nothing new.
        let is_orphan = self.window.is_orphan(id);
        if !self.window.failed(id) || is_orphan {
            return;
        }
        match produce_fault(failure) {
            ProduceFault::Retry { refresh } => {
                self.target.fail(now_ms, failure);
                out.extend(refresh.then_some(Action::RefreshMetadata(Side::Target)));
            }
            ProduceFault::NoRight => self.target.no_right(now_ms, failure),
            ProduceFault::Unknown => self.unknown(now_ms, id, failure, out),
            // It failed for a batch in front of it, or is judged when it is the front itself.
            ProduceFault::SequenceLost | ProduceFault::TooLarge | ProduceFault::Refused
                if !is_front => {}
            ProduceFault::SequenceLost => {
                self.target.fail(now_ms, failure);
                self.renew_producer(out);
                self.seek(out);
            }
            // It is there, and its place is not told: look.
            ProduceFault::Landed => self.seek(out),
            ProduceFault::TooLarge => self.too_large(now_ms, id, failure, out),
            ProduceFault::Refused => self.inspect(id, failure, out),
        }
    }

    fn unknown(&mut self, now_ms: i64, id: BatchId, failure: Failure, out: &mut Vec<Action>) {
        let in_doubt = self.window.doubt(id);
        self.in_doubt = self.in_doubt.map(|before| before + in_doubt);
        self.target.fail(now_ms, failure);
        out.push(Action::RefreshMetadata(Side::Target));
        // With a sequence the same again is known for what it is.
        if !self.window.is_idempotent() {
            self.seek(out);
        }
    }

    /// The limits may have changed since they were read; asked once per position.
    fn too_large(&mut self, now_ms: i64, id: BatchId, failure: Failure, out: &mut Vec<Action>) {
        let position = self.position();
        if self.limits_asked_at == position {
            return self.inspect(id, failure, out);
        }
        self.limits_asked_at = position;
        out.push(Action::RefreshLimits);
        self.target.fail(now_ms, failure);
        self.seek(out);
    }

    fn inspect(&mut self, id: BatchId, failure: Failure, out: &mut Vec<Action>) {
        let code = match failure {
            Failure::Code(code) => code,
            Failure::NoAnswer => ErrorCode::UNKNOWN_SERVER_ERROR,
        };
        if self.phase == Phase::Copying && self.inspecting.is_none() {
            self.inspecting = Some((id, code));
            out.push(Action::Inspect { id });
        }
    }

    /// The records in front of the refused one are copied; then it is quarantined.
    pub(super) fn inspected(
        &mut self,
        now_ms: i64,
        id: BatchId,
        batches: Vec<Batch>,
        refused: Option<Refused>,
        out: &mut Vec<Action>,
    ) {
        let ids = batches.iter().map(|batch| batch.id).collect();
        let Some((_, code)) = self.inspecting.take_if(|inspecting| inspecting.0 == id) else {
            return drop_batches(ids, out);
        };
        match refused {
            Some(refused) => {
                self.drop_unsent(out);
                for batch in batches {
                    self.window.push(batch);
                }
                self.then = Some(Then::Quarantine(refused));
            }
            None => {
                drop_batches(ids, out);
                let offset = self.position().unwrap_or_default();
                self.quarantine(now_ms, Quarantine::ByTarget { offset, code }, out);
            }
        }
    }
}
