//! Seeking: where both sides are, and whether the copy may go on from where it stood.

use super::errors::{FetchFault, fetch_fault};
use super::machine::{Partition, Phase};
use super::place::{Place, TargetEnd};
use super::{Action, Failure, Found, Held, OnForeign, OnGap, Side};
use crate::names::SourceOffset;
use crate::state::{Gap, GapCause};

impl Partition {
    pub(super) fn ask(&mut self, out: &mut Vec<Action>) {
        let is_waiting = self.source.until_ms().or(self.target.until_ms()).is_some();
        if is_waiting || !self.window.is_settled() {
            return;
        }
        // What failed while it was paused or held is fetched again.
        self.drop_unsent(out);
        self.phase = Phase::Seeking { asked: true };
        out.push(Action::Seek {
            start: self.place.is_none().then_some(self.rules.start),
        });
    }

    pub(super) fn found(&mut self, now_ms: i64, found: &Found, out: &mut Vec<Action>) {
        if self.phase != (Phase::Seeking { asked: true }) {
            return;
        }
        self.source.succeed();
        self.target.succeed();
        if self.place.is_none() {
            return self.begin(now_ms, found);
        }
        let settled = self
            .check_ids(found)
            .and_then(|()| self.settle_target(now_ms, found, out));
        match settled {
            Ok(()) => self.settle_source(now_ms, found, out),
            Err(held) => self.phase = Phase::Held(held),
        }
    }

    pub(super) fn seek_failed(
        &mut self,
        now_ms: i64,
        side: Side,
        failure: Failure,
        out: &mut Vec<Action>,
    ) {
        if self.phase == (Phase::Seeking { asked: true }) {
            self.phase = Phase::Seeking { asked: false };
            self.wait_for(now_ms, side, failure, out);
        }
    }

    /// ListOffsets and Metadata fail as Fetch does, on both sides.
    pub(super) fn wait_for(
        &mut self,
        now_ms: i64,
        side: Side,
        failure: Failure,
        out: &mut Vec<Action>,
    ) {
        let waits = match side {
            Side::Source => &mut self.source,
            Side::Target => &mut self.target,
        };
        match fetch_fault(failure) {
            FetchFault::NoRight => waits.no_right(now_ms, failure),
            FetchFault::TopicUnknown => {
                waits.fail(now_ms, failure);
                out.push(Action::RefreshMetadata(side));
                out.extend((side == Side::Source).then_some(Action::DescribeSource));
            }
            FetchFault::Retry { refresh } => {
                waits.fail(now_ms, failure);
                out.extend(refresh.then_some(Action::RefreshMetadata(side)));
            }
            FetchFault::OutOfRange => waits.fail(now_ms, failure),
        }
    }

    /// Counted and written to the ledger; never silent (pain 4).
    pub(super) fn pass_gap(&mut self, gap: Gap, out: &mut Vec<Action>) {
        if let Some(place) = &mut self.place {
            place.totals.missing += gap.offsets();
            place.source_next = gap.first_after;
        }
        out.push(Action::RecordGap(gap));
    }

    pub(super) fn gap(&self, now_ms: i64, to: SourceOffset, cause: GapCause) -> Option<Gap> {
        let position = self.position().filter(|position| *position < to)?;
        Some(Gap {
            owner_generation: self.rules.owner_generation,
            first_missing: position,
            first_after: to,
            found_at_ms: now_ms,
            cause,
        })
    }

    /// The first look at a partition that has no progress.
    fn begin(&mut self, now_ms: i64, found: &Found) {
        let at = found.start_at.unwrap_or(found.source_start);
        self.place = Some(Place::begin(found, at));
        self.in_doubt = Some(0);
        self.copy_from(at);
        self.save_first(now_ms);
    }

    fn check_ids(&mut self, found: &Found) -> Result<(), Held> {
        let place = self.place.as_mut();
        place.map_or(Ok(()), |place| place.check_ids(found))
    }

    fn settle_target(
        &mut self,
        now_ms: i64,
        found: &Found,
        out: &mut Vec<Action>,
    ) -> Result<(), Held> {
        let Some(place) = &mut self.place else {
            return Ok(());
        };
        let before = place.target_next;
        let is_back = std::mem::take(&mut self.goes_back);
        if is_back {
            place.go_back(found);
        }
        match place.compare(found.target_end) {
            TargetEnd::AsExpected => {}
            TargetEnd::Beyond { records } => self.settle_beyond(found, records)?,
            // Nothing of ours is there yet to be lost.
            TargetEnd::Short { .. } if place.totals.records == 0 => {
                place.target_next = found.target_end;
            }
            TargetEnd::Short { records } => {
                place.go_back(found);
                place.lost_by_target += records;
                place.target_next = found.target_end;
                out.push(Action::CutMap {
                    target_end: found.target_end,
                });
            }
        }
        if is_back || found.target_end < before {
            self.save_first(now_ms);
        }
        Ok(())
    }

    /// More than was acknowledged: what was under way when its outcome was lost, or foreign.
    fn settle_beyond(&mut self, found: &Found, records: i64) -> Result<(), Held> {
        let Some(place) = &mut self.place else {
            return Ok(());
        };
        // After a restart nobody knows what was under way: all counts as ours.
        let ours = records.min(self.in_doubt.unwrap_or(records));
        // What is still in doubt may yet land, from a request that nobody answered.
        self.in_doubt = Some(self.in_doubt.unwrap_or(0).saturating_sub(ours).max(0));
        let at = place.target_next;
        let foreign = records - ours;
        place.totals.duplicates += ours;
        place.foreign += foreign;
        place.target_next = found.target_end;
        if foreign > 0 && self.rules.on_foreign == OnForeign::Stop {
            return Err(Held::ForeignWriter {
                at,
                records: foreign,
            });
        }
        Ok(())
    }

    fn settle_source(&mut self, now_ms: i64, found: &Found, out: &mut Vec<Action>) {
        let Some(position) = self.position() else {
            return;
        };
        // From here on only our own doubts count.
        self.in_doubt = self.in_doubt.or(Some(0));
        if position > found.source_end {
            self.phase = Phase::Held(Held::SourceLostEnd {
                position,
                end: found.source_end,
            });
            return;
        }
        match (
            self.gap(now_ms, found.source_start, GapCause::Retention),
            self.rules.on_gap,
        ) {
            (None, _) => self.copy_from(position),
            (Some(gap), OnGap::Continue) => {
                self.pass_gap(gap, out);
                self.copy_from(gap.first_after);
            }
            (Some(gap), OnGap::Stop) => self.phase = Phase::Gap(gap),
        }
    }

    fn copy_from(&mut self, position: SourceOffset) {
        self.phase = Phase::Copying;
        self.fetch_next = position;
        self.fetching = None;
    }
}
