//! What people, plans and other instances do to a partition.

use super::machine::{Partition, Phase, drop_batches};
use super::{Action, Held};
use crate::names::SourceOffset;
use crate::state::GapCause;

impl Partition {
    pub(super) fn set_paused(&mut self, is_paused: bool, out: &mut Vec<Action>) {
        self.is_paused = is_paused;
        match self.phase {
            Phase::Seeking { .. } | Phase::Copying if is_paused => self.stop(Phase::Paused, out),
            Phase::Paused if !is_paused => self.phase = self.next_phase(),
            // They take it into account when they end.
            Phase::Starting
            | Phase::Seeking { .. }
            | Phase::Copying
            | Phase::Paused
            | Phase::Held(_)
            | Phase::Quarantined { .. }
            | Phase::Gap(_)
            | Phase::Ended => {}
        }
    }

    pub(super) fn set_topic_held(&mut self, is_topic_held: bool, out: &mut Vec<Action>) {
        self.is_topic_held = is_topic_held;
        match self.phase {
            Phase::Seeking { .. } | Phase::Copying | Phase::Paused if is_topic_held => {
                self.stop(Phase::Held(Held::Topic), out);
            }
            Phase::Held(Held::Topic) if !is_topic_held => self.phase = self.next_phase(),
            Phase::Starting
            | Phase::Seeking { .. }
            | Phase::Copying
            | Phase::Paused
            | Phase::Held(_)
            | Phase::Quarantined { .. }
            | Phase::Gap(_)
            | Phase::Ended => {}
        }
    }

    /// Goes on behind what stopped it. Foreign records and a source's lost end are taken as they
    /// are; the topic's own hold and another topic are not for this act.
    pub(super) fn release(&mut self, now_ms: i64, to: SourceOffset, out: &mut Vec<Action>) {
        match &self.phase {
            Phase::Quarantined { .. } => self.pass(now_ms, to, GapCause::Released, out),
            Phase::Gap(_) => self.pass(now_ms, to, GapCause::Retention, out),
            Phase::Held(Held::ForeignWriter { .. }) => self.phase = self.next_phase(),
            Phase::Held(Held::SourceLostEnd { .. }) => self.go_on_from(to),
            Phase::Held(Held::Topic | Held::Recreated { .. })
            | Phase::Starting
            | Phase::Seeking { .. }
            | Phase::Copying
            | Phase::Paused
            | Phase::Ended => {}
        }
    }

    fn go_on_from(&mut self, to: SourceOffset) {
        if let Some(place) = &mut self.place {
            place.source_next = to;
        }
        self.phase = self.next_phase();
    }

    fn pass(&mut self, now_ms: i64, to: SourceOffset, cause: GapCause, out: &mut Vec<Action>) {
        if let Some(gap) = self.gap(now_ms, to, cause) {
            self.pass_gap(gap, out);
            self.phase = self.next_phase();
        }
    }

    /// Another instance owns it from now on. What is acknowledged is saved; it will see that its
    /// generation is the older one if it comes too late.
    pub(super) fn revoked(&mut self, now_ms: i64, out: &mut Vec<Action>) {
        drop_batches(self.window.drop_all(), out);
        if self.is_save_due() {
            self.save(now_ms, out);
        }
        self.phase = Phase::Ended;
    }
}
