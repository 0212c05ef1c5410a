//! A model of the quorum behind `MetadataLog`: what it may do to a controller, not how.
//!
//! - One voter leads a term, and only with a majority; the others learn of it late, or not at all
//!   while they are cut off: a *zombie* goes on deciding on its old image.
//! - What a leader proposed is committed after a while, or lost when another term begins; of what
//!   was under way then, any first part is committed in the new term's beginning.
//! - A lost proposal may even come back behind the new controller's first record, as a request that
//!   a library forwards would: it is a no-op then (design, decision 6).
//! - Each voter sees what is committed at its own pace.

use crate::random::Random;
use crate::scenario::{MS, Micros};
use isthmus_broker_core::metadata::MetadataChange;

#[derive(Debug, Clone)]
pub(crate) struct Proposal {
    pub(crate) number: u64,
    pub(crate) by: i32,
    pub(crate) term: u64,
    pub(crate) change: MetadataChange,
    pub(crate) due: Micros,
}

#[derive(Debug, Default)]
pub(crate) struct MetadataLog {
    pub(crate) committed: Vec<MetadataChange>,
    pub(crate) term: u64,
    pub(crate) leader: Option<i32>,
    /// Proposed, and neither committed nor lost; in order.
    in_flight: Vec<Proposal>,
    /// Lost, but not forgotten.
    strays: Vec<MetadataChange>,
    numbers: u64,
}

impl MetadataLog {
    /// A controller of `term` proposes; a number to know it by.
    pub(crate) fn propose(
        &mut self,
        random: &mut Random,
        now: Micros,
        (by, term): (i32, u64),
        change: MetadataChange,
    ) -> u64 {
        self.numbers += 1;
        let slow = random.one_in(12);
        let takes = if slow {
            random.between(50 * MS, 500 * MS)
        } else {
            random.between(MS, 8 * MS)
        };
        let due = now + takes;
        // What a zombie says never reaches a majority.
        if term == self.term {
            self.in_flight.push(Proposal {
                number: self.numbers,
                by,
                term,
                change,
                due,
            });
        }
        self.numbers
    }

    /// When the next proposal could be committed.
    pub(crate) fn next_due(&self) -> Option<Micros> {
        self.in_flight.first().map(|it| it.due)
    }

    /// The next proposal whose time has come. Its leader has a majority, or it waits on.
    pub(crate) fn take_due(&mut self, now: Micros, has_majority: bool) -> Option<Proposal> {
        let due = self.in_flight.first().is_some_and(|it| it.due <= now);
        if due && !has_majority {
            for proposal in &mut self.in_flight {
                proposal.due = proposal.due.max(now + 20 * MS);
            }
        }
        (due && has_majority).then(|| self.in_flight.remove(0))
    }

    /// Another term begins. Returns what of the old one is committed first.
    pub(crate) fn begin_term(&mut self, random: &mut Random, leader: i32) -> Vec<Proposal> {
        self.term += 1;
        self.leader = Some(leader);
        let kept = random.below(self.in_flight.len() + 1);
        let lost = self.in_flight.split_off(kept);
        self.strays.extend(lost.into_iter().map(|it| it.change));
        std::mem::take(&mut self.in_flight)
    }

    pub(crate) fn take_stray(&mut self, random: &mut Random) -> Option<MetadataChange> {
        if self.strays.is_empty() {
            return None;
        }
        let at = random.below(self.strays.len());
        Some(self.strays.swap_remove(at))
    }
}
