//! The machine: what it remembers, where each event goes, and what follows after any of them. The
//! table of its states is in the head of [`super`]; the roles are in [`super::seeking`],
//! [`super::copying`] and [`super::acts`].

use super::place::Place;
use super::wait::Waits;
use super::window::{Dropped, Window};
use super::{
    Action, BatchId, Event, Held, PartitionRules, QUARANTINE_RETRY_MS, Quarantine, Side, State,
};
use crate::lane::Refused;
use crate::names::SourceOffset;
use crate::state::{Gap, Progress, Totals};

/// What the partition is about. Shown as [`State`], with *away* added from the failures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    /// `asked`: an answer is on its way.
    Seeking {
        asked: bool,
    },
    Copying,
    Paused,
    Held(Held),
    Quarantined {
        why: Quarantine,
        again_ms: i64,
    },
    Gap(Gap),
    Ended,
}

/// What comes once all that is fetched is acknowledged. Nothing is fetched until then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Seek,
    Quarantine(Refused),
}

#[derive(Clone, Debug)]
pub struct Partition {
    pub(super) rules: PartitionRules,
    pub(super) phase: Phase,
    pub(super) shown: State,
    pub(super) source: Waits,
    pub(super) target: Waits,
    pub(super) window: Window,
    /// `None` until it is known where to begin.
    pub(super) place: Option<Place>,
    pub(super) fetching: Option<SourceOffset>,
    pub(super) fetch_next: SourceOffset,
    pub(super) then: Option<Then>,
    /// The batch that the target refused, while the record is looked for.
    pub(super) inspecting: Option<(BatchId, isthmus_wire::ErrorCode)>,
    pub(super) damaged_tries: u32,
    /// Where limits were asked anew; a second time there it is the record's fault.
    pub(super) limits_asked_at: Option<SourceOffset>,
    /// Records that may have been written without our knowing; `None`: of an earlier life.
    pub(super) in_doubt: Option<i64>,
    /// The target acknowledged below its end: the next look says where to go on. Until then the
    /// place does not say the same on both sides, and is not saved.
    pub(super) goes_back: bool,
    pub(super) needs_producer: bool,
    pub(super) saving: bool,
    /// Nothing is sent before the place is saved: at first, and after the target lost its end. A
    /// crash would else leave a saved place that the target contradicts without showing it.
    pub(super) must_save: bool,
    /// The save under way is of after that.
    pub(super) save_suffices: bool,
    pub(super) saved_next: Option<SourceOffset>,
    pub(super) save_at_ms: i64,
    pub(super) is_paused: bool,
    pub(super) is_topic_held: bool,
}

impl Partition {
    pub fn new(rules: PartitionRules) -> Self {
        Self {
            rules,
            phase: Phase::Starting,
            shown: State::Starting,
            source: Waits::default(),
            target: Waits::default(),
            window: Window::default(),
            place: None,
            fetching: None,
            fetch_next: SourceOffset(0),
            then: None,
            inspecting: None,
            damaged_tries: 0,
            limits_asked_at: None,
            in_doubt: None,
            goes_back: false,
            needs_producer: true,
            saving: false,
            must_save: false,
            save_suffices: false,
            saved_next: None,
            save_at_ms: i64::MIN,
            is_paused: false,
            is_topic_held: false,
        }
    }

    /// The one entry. Actions are to be done in their order.
    pub fn on_event(&mut self, now_ms: i64, event: Event) -> Vec<Action> {
        let mut out = vec![];
        if self.phase != Phase::Ended {
            self.step(now_ms, event, &mut out);
            self.go_on(now_ms, &mut out);
            self.show(&mut out);
        }
        out
    }

    /// When to call with [`Event::Tick`], if nothing else happens.
    pub fn deadline(&self) -> Option<i64> {
        let save = (self.is_save_due() && !self.saving).then_some(self.save_at_ms);
        let again = match &self.phase {
            Phase::Quarantined { again_ms, .. } => Some(*again_ms),
            Phase::Starting
            | Phase::Seeking { .. }
            | Phase::Copying
            | Phase::Paused
            | Phase::Held(_)
            | Phase::Gap(_) => None,
            Phase::Ended => return None,
        };
        let waits = [self.source.until_ms(), self.target.until_ms()];
        waits.into_iter().chain([save, again]).flatten().min()
    }

    pub fn state(&self) -> &State {
        &self.shown
    }

    /// The oldest source offset that is not acknowledged; what lag is counted from.
    pub fn position(&self) -> Option<SourceOffset> {
        self.place.as_ref().map(|place| place.source_next)
    }

    pub fn totals(&self) -> Totals {
        let totals = self.place.as_ref().map(|place| place.totals);
        totals.unwrap_or_default()
    }

    /// Records of others seen between ours.
    pub fn foreign_records(&self) -> i64 {
        self.place.as_ref().map_or(0, |place| place.foreign)
    }

    /// Records that the target lost after acknowledging them.
    pub fn lost_by_target(&self) -> i64 {
        self.place.as_ref().map_or(0, |place| place.lost_by_target)
    }

    /// No request to the target is without an answer: a pause is complete, and a revocation leaves
    /// nothing behind that would be copied twice.
    pub fn is_settled(&self) -> bool {
        self.window.is_settled() && !self.saving
    }

    fn step(&mut self, now_ms: i64, event: Event, out: &mut Vec<Action>) {
        match event {
            Event::Loaded(progress) => self.loaded(progress.as_ref(), out),
            Event::ProducerReady(id) => {
                self.window.set_producer(id);
                self.needs_producer = false;
            }
            Event::Found(found) => self.found(now_ms, &found, out),
            Event::SeekFailed(side, failure) => self.seek_failed(now_ms, side, failure, out),
            Event::Fetched {
                from,
                batches,
                next,
                refused,
            } => self.fetched(now_ms, from, batches, next, refused, out),
            Event::FetchFailed { from, failure } => self.fetch_failed(now_ms, from, failure, out),
            Event::Acked { id, base_offset } => self.acked(id, base_offset, out),
            Event::ProduceFailed { id, failure } => self.produce_failed(now_ms, id, failure, out),
            Event::Inspected {
                id,
                batches,
                refused,
            } => self.inspected(now_ms, id, batches, refused, out),
            Event::Saved { source_next } => {
                self.saving = false;
                self.saved_next = Some(source_next);
                self.must_save &= !self.save_suffices;
            }
            Event::SaveFailed => self.saving = false,
            Event::TopicHeld => self.set_topic_held(true, out),
            Event::TopicFree => self.set_topic_held(false, out),
            Event::Pause => self.set_paused(true, out),
            Event::Resume => self.set_paused(false, out),
            Event::Release { to } => self.release(now_ms, to, out),
            Event::Tick => self.tick(now_ms),
            Event::Revoked => self.revoked(now_ms, out),
        }
    }

    fn loaded(&mut self, progress: Option<&Progress>, out: &mut Vec<Action>) {
        assert_eq!(self.phase, Phase::Starting, "progress is loaded once");
        self.place = progress.map(Place::of);
        self.saved_next = progress.map(|progress| progress.source_next);
        self.phase = self.next_phase();
        out.push(Action::NewProducer);
    }

    fn tick(&mut self, now_ms: i64) {
        self.source.tick(now_ms);
        self.target.tick(now_ms);
        if let Phase::Quarantined { again_ms, .. } = &self.phase
            && *again_ms <= now_ms
        {
            self.phase = self.next_phase();
        }
    }

    /// What it is about when nothing stands in the way.
    pub(super) fn next_phase(&self) -> Phase {
        if self.is_topic_held {
            Phase::Held(Held::Topic)
        } else if self.is_paused {
            Phase::Paused
        } else {
            Phase::Seeking { asked: false }
        }
    }

    /// Leaves copying; what was sent is still waited for.
    pub(super) fn stop(&mut self, phase: Phase, out: &mut Vec<Action>) {
        self.drop_unsent(out);
        self.fetching = None;
        self.then = None;
        self.inspecting = None;
        self.phase = phase;
    }

    /// Looks where both sides are, as soon as nothing is without an answer.
    pub(super) fn seek(&mut self, out: &mut Vec<Action>) {
        let phase = self.next_phase();
        self.stop(phase, out);
    }

    pub(super) fn quarantine(&mut self, now_ms: i64, why: Quarantine, out: &mut Vec<Action>) {
        let again_ms = now_ms.saturating_add(QUARANTINE_RETRY_MS);
        self.stop(Phase::Quarantined { why, again_ms }, out);
    }

    pub(super) fn drop_unsent(&mut self, out: &mut Vec<Action>) {
        let Dropped {
            ids,
            in_doubt,
            lost_sequence,
        } = self.window.drop_unsent();
        drop_batches(ids, out);
        self.in_doubt = self.in_doubt.map(|before| before + in_doubt);
        // What comes next would be out of order for the broker.
        if lost_sequence && self.window.is_idempotent() {
            self.renew_producer(out);
        }
    }

    pub(super) fn renew_producer(&mut self, out: &mut Vec<Action>) {
        if !self.needs_producer {
            self.needs_producer = true;
            out.push(Action::NewProducer);
        }
    }

    pub(super) fn save(&mut self, now_ms: i64, out: &mut Vec<Action>) {
        if let Some(place) = &self.place {
            let progress = place.progress(now_ms, &self.rules, self.window.producer());
            self.saving = true;
            self.save_suffices = self.must_save;
            self.save_at_ms = now_ms.saturating_add(self.rules.save_every_ms);
            out.push(Action::Save(progress));
        }
    }

    pub(super) fn is_save_due(&self) -> bool {
        self.place.is_some()
            && !self.goes_back
            && (self.must_save || self.saved_next != self.position())
    }

    /// Whatever is on its way to be saved does not suffice.
    pub(super) fn save_first(&mut self, now_ms: i64) {
        self.must_save = true;
        self.save_suffices = false;
        self.save_at_ms = now_ms;
    }

    fn go_on(&mut self, now_ms: i64, out: &mut Vec<Action>) {
        drop_batches(self.window.drop_orphans(), out);
        if self.phase == Phase::Copying && self.window.is_empty() {
            match self.then.take() {
                Some(Then::Seek) => self.seek(out),
                Some(Then::Quarantine(refused)) => {
                    self.quarantine(now_ms, Quarantine::Here(refused), out);
                }
                None => {}
            }
        }
        match self.phase {
            Phase::Seeking { asked: false } => self.ask(out),
            Phase::Copying => {
                self.produce(out);
                self.fetch(out);
            }
            Phase::Starting
            | Phase::Seeking { asked: true }
            | Phase::Paused
            | Phase::Held(_)
            | Phase::Quarantined { .. }
            | Phase::Gap(_)
            | Phase::Ended => {}
        }
        if self.is_save_due() && !self.saving && now_ms >= self.save_at_ms {
            self.save(now_ms, out);
        }
    }

    fn show(&mut self, out: &mut Vec<Action>) {
        let away = |side: Side, waits: &Waits| waits.away().map(|cause| (side, cause));
        let source = away(Side::Source, &self.source);
        let state = match (&self.phase, source.or(away(Side::Target, &self.target))) {
            (Phase::Seeking { .. } | Phase::Copying, Some((side, cause))) => {
                State::Away { side, cause }
            }
            (Phase::Starting, _) => State::Starting,
            (Phase::Seeking { .. }, None) => State::Seeking,
            (Phase::Copying, None) => State::Copying,
            (Phase::Paused, _) => State::Paused,
            (Phase::Held(held), _) => State::Held(held.clone()),
            (Phase::Quarantined { why, .. }, _) => State::Quarantined(why.clone()),
            (Phase::Gap(gap), _) => State::Gap(*gap),
            (Phase::Ended, _) => State::Ended,
        };
        if state != self.shown {
            self.shown = state.clone();
            out.push(Action::StateChanged(state));
        }
    }
}

pub(super) fn drop_batches(ids: Vec<BatchId>, out: &mut Vec<Action>) {
    if !ids.is_empty() {
        out.push(Action::Drop(ids));
    }
}
