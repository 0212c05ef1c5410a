//! The operator: moves partitions to other replicas, changes its mind, and moves them back.
//!
//! It rolls dice of its own, so that a run without it is the same as if there were none. While the
//! cluster heals it does one thing only: it ends the moves that cannot end by themselves.

use crate::message::Message;
use crate::random::Random;
use crate::scenario::{MS, Micros, OPERATOR, SECOND, TOPIC};
use crate::world::{Event, World};
use isthmus_broker_core::controller::{ControllerEvent, is_reassigning};

/// How long a move that cannot end is watched, and how often its end is asked for then.
const PATIENCE: Micros = 8 * SECOND;
const REPEAT: Micros = 500 * MS;

#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) random: Random,
    /// What each partition's replicas were when it was last touched.
    before: Vec<(usize, Vec<i32>)>,
    calls: u64,
}

impl Operator {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed ^ 0x6f70_6572_6174_6f72),
            before: Vec::new(),
            calls: 0,
        }
    }
}

impl World {
    pub(crate) fn operate(&mut self) {
        let Some(every) = self.scenario.operator_every else {
            return;
        };
        if self.healing {
            self.end_what_is_stuck();
            return self.at(REPEAT, Event::Operator);
        }
        let partitions = self.scenario.partitions.len();
        let random = &mut self.operator.random;
        let partition = random.below(partitions);
        match random.below(10) {
            0..2 => self.ask_to_move(partition, None),
            2..5 => {
                let back = self.operator.before.iter().rev();
                let back = back.clone().find(|(it, _)| *it == partition);
                let wanted = back.map(|(_, replicas)| replicas.clone());
                self.ask_to_move(partition, wanted);
            }
            _ => {
                let wanted = self.any_replicas();
                self.ask_to_move(partition, Some(wanted));
            }
        }
        let random = &mut self.operator.random;
        let hasty = random.one_in(4);
        let pause = if hasty {
            random.between(5 * MS, 60 * MS)
        } else {
            random.between(every / 2, every * 3 / 2)
        };
        self.at(pause, Event::Operator);
    }

    /// Mostly two or three of the brokers, in any order.
    fn any_replicas(&mut self) -> Vec<i32> {
        let mut brokers = self.scenario.brokers.clone();
        let random = &mut self.operator.random;
        for at in (1..brokers.len()).rev() {
            brokers.swap(at, random.below(at + 1));
        }
        let wanted = random.pick(&[1, 2, 2, 3, 3, 3, 4]);
        brokers.truncate(wanted.unwrap_or(3));
        brokers
    }

    /// `wanted`: the replicas to be; nothing ends the present move.
    fn ask_to_move(&mut self, partition: usize, wanted: Option<Vec<i32>>) {
        let before = self.judge.partition(partition).replicas.clone();
        self.operator.before.push((partition, before));
        self.ask_controller(ControllerEvent::Reassign {
            topic_id: TOPIC,
            partition: i32::try_from(partition).unwrap_or(-1),
            replicas: wanted,
        });
    }

    /// Mostly of the one that leads.
    fn ask_controller(&mut self, event: ControllerEvent) {
        let random = &mut self.operator.random;
        let any = random.pick(&self.scenario.controllers);
        let asks_leader = random.percent(85);
        let leader = self.log.leader.filter(|_| asks_leader);
        self.operator.calls += 1;
        let call = self.operator.calls;
        if let Some(to) = leader.or(any) {
            self.send(OPERATOR, to, Message::ToController { call, event });
        }
    }

    fn end_what_is_stuck(&mut self) {
        let (residue, since) = self.residue;
        if self.now < since + PATIENCE {
            return;
        }
        for partition in 0..self.scenario.partitions.len() {
            let image = self.judge.partition(partition);
            if is_reassigning(image) && residue.blocks_move(image) {
                self.ask_to_move(partition, None);
            }
        }
    }
}
