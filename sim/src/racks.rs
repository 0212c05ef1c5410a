//! What happens to racks (rule 21): the topic asks for more of them or for fewer, and now and then all
//! brokers of one lose power.
//!
//! It rolls dice of its own, so that a run without racks is the same as if there were none.

use crate::message::Message;
use crate::scenario::OPERATOR;
use crate::world::{Event, World};
use std::collections::BTreeSet;

impl World {
    pub(crate) fn racks_event(&mut self) {
        let Some(every) = self.scenario.racks_every.filter(|_| !self.healing) else {
            return;
        };
        if self.now >= self.quiet_until && self.racks.one_in(5) {
            self.lose_rack();
        } else {
            let racks = self.scenario.racks_asked(&mut self.racks);
            self.ask_for_racks(racks);
        }
        let hasty = self.racks.one_in(4);
        let pause = if hasty { every / 20 } else { every };
        let pause = self.racks.between(pause / 2, pause * 3 / 2);
        self.at(pause, Event::Racks);
    }

    fn ask_for_racks(&mut self, racks: usize) {
        let to = self.racks.pick(&self.scenario.controllers);
        let to = self.log.leader.or(to);
        if let Some(to) = to {
            self.judge.counts.racks_asked += 1;
            self.send(OPERATOR, to, Message::MinInsyncRacks { call: 0, racks });
        }
    }

    /// All of one rack at once. Mostly where the promise stands it: it does while the ISR is in two.
    fn lose_rack(&mut self) {
        let racks: BTreeSet<&str> = self.scenario.racks.values().copied().collect();
        let racks: Vec<&str> = racks.into_iter().collect();
        let Some(lost) = self.racks.pick(&racks) else {
            return;
        };
        let of_rack = |(id, rack): (&i32, &&str)| (*rack == lost).then_some(*id);
        let brokers: Vec<i32> = self.scenario.racks.iter().filter_map(of_rack).collect();
        if !self.judge.can_spare(&brokers) && !self.racks.one_in(8) {
            return;
        }
        let now = self.now;
        self.trace.note(now, || format!("rack {lost} loses power"));
        self.judge.counts.racks_lost += 1;
        for broker in brokers {
            self.crash(broker, true);
            self.restart_later(broker);
        }
    }
}
