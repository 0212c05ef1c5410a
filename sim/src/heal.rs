//! After the faults: everything is mended but for one thing that may stay broken, and then the
//! cluster must come to rest by itself. Every broker that lives is unfenced, every partition that
//! can have a leader has one, everyone who can be in sync is, a write with acks=all to each of them
//! is acknowledged, and all who are in sync hold the same.

use crate::broker::{BrokerNode, Role};
use crate::disk::Record;
use crate::judge::Violation;
use crate::scenario::{MS, Micros, SECOND};
use crate::troubles::DiskTrouble;
use crate::world::{Process, World};
use isthmus_broker_core::controller::is_reassigning;
use isthmus_broker_core::metadata::PartitionImage;
use std::collections::BTreeSet;

const LOOK_EVERY: Micros = 250 * MS;
const HEALING_MAX: Micros = 40 * SECOND;

/// What stays broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Residue {
    Nothing,
    Down(i32),
    /// These brokers cannot reach each other; both reach all others.
    Cut(i32, i32),
}

impl Residue {
    /// Whether the replicas that the partition is to have may never be in sync together.
    pub(crate) fn blocks_move(self, partition: &PartitionImage) -> bool {
        let is_to_stay =
            |id| partition.replicas.contains(&id) && !partition.removing_replicas.contains(&id);
        let away = match self {
            Self::Nothing => false,
            Self::Down(broker) => is_to_stay(broker),
            Self::Cut(a, b) => is_to_stay(a) || is_to_stay(b),
        };
        away || partition.leader == -1
    }
}

impl World {
    /// Runs the seed: faults first, then the return to health.
    pub(crate) fn run(&mut self) -> Option<Violation> {
        while self.judge.violation().is_none() && self.step(self.scenario.faults_until) {}
        if self.judge.violation().is_none() {
            self.now = self.scenario.faults_until;
            let residue = self.heal();
            self.come_to_rest(residue);
        }
        self.judge.violation().cloned()
    }

    fn heal(&mut self) -> Residue {
        self.healing = true;
        self.net.mend_all();
        self.net.lose_nothing();
        let nodes: Vec<i32> = self.machines.keys().copied().collect();
        for node in nodes {
            self.thaw(node, 0);
            if let Some(machine) = self.machines.get_mut(&node) {
                machine.disk = DiskTrouble::default();
            }
            // Who is about to stop would be away at the end.
            let stopping = matches!(
                self.machines.get(&node).map(|it| &it.process),
                Some(Process::Broker(broker)) if broker.life.is_stopping()
            );
            if stopping {
                self.crash(node, false);
            }
            let life = self.machines.get(&node).map_or(0, |it| it.life);
            self.restart(node, life);
        }
        let residue = self.residue();
        match residue {
            Residue::Nothing => {}
            Residue::Down(broker) => self.crash(broker, false),
            Residue::Cut(a, b) => self.net.cut_both(a, b),
        }
        let now = self.now;
        self.trace
            .note(now, || format!("healing; what stays: {residue:?}"));
        self.residue = (residue, now);
        residue
    }

    fn residue(&mut self) -> Residue {
        let brokers = self.scenario.brokers.clone();
        let a = self.random.pick(&brokers).unwrap_or(1);
        let b = self.random.pick(&brokers).unwrap_or(1);
        match self.random.below(10) {
            0..3 => Residue::Down(a),
            3..6 if a != b => Residue::Cut(a, b),
            _ => Residue::Nothing,
        }
    }

    fn come_to_rest(&mut self, residue: Residue) {
        let end = self.now + HEALING_MAX;
        while self.now < end {
            let look = self.now + LOOK_EVERY;
            while self.judge.violation().is_none() && self.step(look) {}
            if self.judge.violation().is_some() || self.unrest(residue).is_none() {
                return;
            }
            self.now = look;
        }
        let unrest = self.unrest(residue);
        self.judge.accuse(|| {
            let why = unrest.unwrap_or_default();
            format!("the cluster does not come to rest ({residue:?} stays): {why}")
        });
    }

    /// Why the cluster is not at rest; `None` when it is.
    fn unrest(&self, residue: Residue) -> Option<String> {
        let fenced = self.scenario.brokers.iter().find(|id| {
            let broker = self.judge.truth.broker(**id);
            let is_down = residue == Residue::Down(**id);
            broker.map_or(!is_down, |it| it.fenced != is_down)
        });
        if let Some(id) = fenced {
            return Some(format!(
                "broker {id} is not fenced or unfenced as it should be"
            ));
        }
        // Whoever was replaced has heard of it.
        let claimants = self.claimants();
        if claimants.len() > 1 {
            return Some(format!(
                "{claimants:?} take themselves for the active controller"
            ));
        }
        let mut partitions = 0..self.scenario.partitions.len();
        partitions.find_map(|it| self.partition_unrest(it, residue))
    }

    fn partition_unrest(&self, partition: usize, residue: Residue) -> Option<String> {
        let truth = self.judge.partition(partition);
        if is_reassigning(truth) {
            return Some(format!("partition {partition}: it still moves, {truth:?}"));
        }
        let up: BTreeSet<i32> = (truth.replicas)
            .iter()
            .copied()
            .filter(|id| residue != Residue::Down(*id))
            .collect();
        if truth.leader == -1 {
            return can_be_led(truth, &up, self.scenario.unclean_leader_election)
                .then(|| format!("partition {partition}: no leader, {truth:?}"));
        }
        // Behind a cut a follower lags as soon as there is something to fetch, and not before.
        let cut_off = match residue {
            Residue::Cut(a, b) if truth.leader == a => Some(b),
            Residue::Cut(a, b) if truth.leader == b => Some(a),
            Residue::Nothing | Residue::Down(_) | Residue::Cut(..) => None,
        };
        let reached = |ids: &BTreeSet<i32>| -> BTreeSet<i32> {
            ids.iter()
                .copied()
                .filter(|id| Some(*id) != cut_off)
                .collect()
        };
        let isr: BTreeSet<i32> = truth.isr.iter().copied().collect();
        if reached(&isr) != reached(&up) {
            return Some(format!(
                "partition {partition}: {up:?} should be in sync: {truth:?}"
            ));
        }
        let stray = self.scenario.brokers.iter().copied().find(|id| {
            let holds = |it: &BrokerNode| it.replicas.contains_key(&partition);
            !truth.replicas.contains(id) && self.broker(*id).is_some_and(holds)
        });
        if let Some(id) = stray {
            return Some(format!(
                "partition {partition}: {id} holds a replica that is none, {truth:?}"
            ));
        }
        if !self.judge.suffices(&self.scenario, partition) {
            return None;
        }
        if !self.proven.contains(&partition) {
            return Some(format!(
                "partition {partition}: no write is acknowledged, {truth:?}"
            ));
        }
        let leader = self
            .broker(truth.leader)
            .and_then(|it| it.replicas.get(&partition));
        let Some(leader) = leader else {
            return Some(format!(
                "partition {partition}: its leader is away, {truth:?}"
            ));
        };
        let records = leader.log.records();
        reached(&isr)
            .into_iter()
            .find_map(|id| self.differs(id, partition, records))
    }

    fn differs(&self, id: i32, partition: usize, records: &[Record]) -> Option<String> {
        let replica = self.broker(id).and_then(|it| it.replicas.get(&partition));
        let Some(replica) = replica else {
            return Some(format!("partition {partition}: {id} has no replica"));
        };
        let shows = usize::try_from(replica.high_watermark()).unwrap_or(0);
        let serves = matches!(replica.role, Role::Leader(_) | Role::Follower(_));
        let same = replica.log.records() == records && shows == records.len() && serves;
        (!same).then(|| {
            let has = replica.log.records().len();
            let of = records.len();
            format!("partition {partition}: {id} has {has} and shows {shows} of {of} records")
        })
    }

    fn broker(&self, id: i32) -> Option<&BrokerNode> {
        match self.machines.get(&id).map(|it| &it.process) {
            Some(Process::Broker(broker)) => Some(broker),
            Some(
                Process::Controller(_)
                | Process::StoppedBroker { .. }
                | Process::StoppedController(_),
            )
            | None => None,
        }
    }
}

/// Whether somebody who lives may lead, by rules 14 and 15.
fn can_be_led(partition: &PartitionImage, up: &BTreeSet<i32>, unclean: bool) -> bool {
    let mut known = partition
        .isr
        .iter()
        .chain(&partition.eligible_leader_replicas);
    let nobody_known = known.clone().next().is_none();
    let mut last_known = partition.last_known_elr.iter();
    known.any(|id| up.contains(id))
        || nobody_known && last_known.any(|id| up.contains(id))
        || unclean && !up.is_empty()
}
