//! The network: every message takes its time, may be overtaken, lost, or meet a cut. A cut has a
//! direction.

use crate::message::Message;
use crate::random::Random;
use crate::scenario::{MS, Micros, Scenario};
use isthmus_broker_core::controller::{ControllerEvent, ControllerReply};
use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub(crate) struct Net {
    cuts: BTreeSet<(i32, i32)>,
    /// Until when everything takes long.
    slow_until: Micros,
    /// Connections for metadata and AlterPartition that are stuck for a while.
    /// Heartbeats have their own (design, decision 7).
    stuck: Vec<Stuck>,
    lossless: bool,
}

/// What is held up: sent between `from` and `until`, it arrives at `arrives`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stuck {
    pub(crate) broker: i32,
    pub(crate) from: Micros,
    pub(crate) until: Micros,
    pub(crate) arrives: Micros,
    pub(crate) what: StuckPart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StuckPart {
    /// AlterPartition requests do not get out.
    Requests,
    /// Their answers, and metadata, do not get in.
    Answers,
}

impl Net {
    pub(crate) fn cut(&mut self, from: i32, to: i32) {
        self.cuts.insert((from, to));
    }

    pub(crate) fn cut_both(&mut self, a: i32, b: i32) {
        self.cut(a, b);
        self.cut(b, a);
    }

    pub(crate) fn mend_all(&mut self) {
        self.cuts.clear();
        self.slow_until = 0;
        self.stuck.clear();
    }

    pub(crate) fn mend_links(&mut self) {
        self.cuts.clear();
    }

    pub(crate) fn stick(&mut self, stuck: Stuck) {
        self.stuck.push(stuck);
    }

    pub(crate) fn slow_down(&mut self, until: Micros) {
        self.slow_until = until;
    }

    pub(crate) fn lose_nothing(&mut self) {
        self.lossless = true;
    }

    pub(crate) fn passes(&self, from: i32, to: i32) -> bool {
        from == to || !self.cuts.contains(&(from, to))
    }

    pub(crate) fn connected(&self, a: i32, b: i32) -> bool {
        self.passes(a, b) && self.passes(b, a)
    }

    /// How long a message takes; `None` when it never arrives.
    pub(crate) fn delay(
        &self,
        random: &mut Random,
        scenario: &Scenario,
        now: Micros,
        (from, to): (i32, i32),
        message: &Message,
    ) -> Option<Micros> {
        let lost = random.below(1_000) < scenario.loss && !self.lossless;
        if lost || !self.passes(from, to) {
            return None;
        }
        if let Some(arrives) = self.arrives_late(now, from, to, message)
            && random.percent(97)
        {
            return Some(arrives - now + random.between(0, 50 * MS));
        }
        let late = random.one_in(60) && !self.lossless;
        Some(match (late, now < self.slow_until) {
            (true, _) => random.between(50 * MS, 1_500 * MS),
            (false, true) => random.between(20 * MS, 300 * MS),
            (false, false) => random.between(MS / 5, 6 * MS),
        })
    }

    fn arrives_late(&self, now: Micros, from: i32, to: i32, message: &Message) -> Option<Micros> {
        let (broker, what) = match message {
            Message::ToController {
                event: ControllerEvent::AlterPartition(_),
                ..
            } => (from, StuckPart::Requests),
            Message::FromController {
                reply: ControllerReply::AlterPartition(_),
                ..
            }
            | Message::Metadata { .. } => (to, StuckPart::Answers),
            Message::ToController { .. }
            | Message::FromController { .. }
            | Message::FetchMetadata { .. }
            | Message::Fetch { .. }
            | Message::Fetched { .. }
            | Message::Produce { .. }
            | Message::Produced { .. }
            | Message::MinInsyncRacks { .. } => return None,
        };
        let mut stuck = self.stuck.iter().filter(|_| !self.lossless);
        let now_stuck = stuck
            .find(|it| it.broker == broker && it.what == what && it.from <= now && now < it.until);
        now_stuck.map(|it| it.arrives)
    }
}
