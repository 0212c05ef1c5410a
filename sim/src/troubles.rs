//! What goes wrong by dice of its own, in one run of four: disks that fail, fill up or get slow, and the
//! story of a controller that is cut off with a broker (S0-20). Runs without it are what they were.
//!
//! | Trouble | What becomes of the broker |
//! |---|---|
//! | a disk fails once: an append, a flush, a checkpoint, a cut or a read | its process ends at that very point, with none or some of it done; after a flush, what was not synced is gone or there. It comes back with that disk, soon or late |
//! | a disk is full | the same, and again at the first write of each process until there is room |
//! | a disk is slow | appends, flushes and reads take from 100 ms to seconds, in their order; heartbeats and metadata do not |
//!
//! A voter whose disk fails ends too; its log is what it was, so that is the crash of a controller
//! ([`crate::faults`]).

use crate::message::Message;
use crate::random::Random;
use crate::scenario::{FIRST_CONTROLLER, MS, Micros, SECOND};
use crate::world::{Context, Event, Process, World};

/// What a broker asks of its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskOperation {
    Append,
    Flush,
    Checkpoint,
    Truncate,
    Read,
}

impl DiskOperation {
    const ALL: [Self; 5] = [
        Self::Append,
        Self::Flush,
        Self::Checkpoint,
        Self::Truncate,
        Self::Read,
    ];

    fn needs_room(self) -> bool {
        match self {
            Self::Append | Self::Flush | Self::Checkpoint => true,
            Self::Truncate | Self::Read => false,
        }
    }
}

/// What is wrong with a machine's disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct DiskTrouble {
    /// The next of these fails.
    fails: Option<DiskOperation>,
    full_until: Micros,
    /// Whether a process of this machine has ended by that already.
    was_full: bool,
    slow_until: Micros,
    /// What one operation takes at most while it is slow.
    slowest: Micros,
    /// When all that was asked of it is done: it keeps the order.
    done_at: Micros,
}

impl Context<'_> {
    /// Whether the disk does that; the process ends where it does not. Mostly such failures as leave the
    /// promise standing.
    pub(crate) fn disk_does(&mut self, operation: DiskOperation) -> bool {
        if self.disk_failed.is_some() {
            return false;
        }
        let is_full = self.now < self.disk.full_until && operation.needs_room();
        if self.disk.fails != Some(operation) && !is_full {
            return true;
        }
        self.disk.fails = None;
        if !self.judge.can_spare(&[self.id]) && !self.disk_dice.one_in(8) {
            self.disk.full_until = 0;
            return true;
        }
        self.judge.counts.disk_failures += 1;
        self.judge.counts.still_full += u64::from(is_full && self.disk.was_full);
        self.disk.was_full = is_full;
        self.disk_failed = Some(operation);
        false
    }
}

impl World {
    pub(crate) fn trouble(&mut self) {
        let Some(every) = self.scenario.trouble_every else {
            return;
        };
        if self.healing {
            return;
        }
        let next = self.troubles.between(every / 2, every * 3 / 2);
        self.at(next, Event::Trouble);
        if self.now < self.quiet_until {
            return;
        }
        let broker = self.troubles.pick(&self.scenario.brokers).unwrap_or(1);
        let kind = self.troubles.below(10);
        let now = self.now;
        self.trace
            .note(now, || format!("trouble {kind}, broker {broker}"));
        match kind {
            0..4 => {
                let operation = self.troubles.pick(&DiskOperation::ALL);
                self.disk_of(broker, |disk, _, _| disk.fails = operation);
            }
            4..6 => self.disk_of(broker, |disk, dice, now| {
                disk.full_until = now + dice.between(SECOND, 5 * SECOND);
                disk.was_full = false;
            }),
            6..9 => self.slow_disk(broker),
            _ => self.zombie_controller(),
        }
    }

    fn disk_of(&mut self, broker: i32, act: impl FnOnce(&mut DiskTrouble, &mut Random, Micros)) {
        if let Some(machine) = self.machines.get_mut(&broker) {
            act(&mut machine.disk, &mut self.troubles, self.now);
        }
    }

    fn slow_disk(&mut self, broker: i32) {
        let takes = self.troubles.between(2 * SECOND, 7 * SECOND);
        self.disk_of(broker, |disk, dice, now| {
            disk.slow_until = now + takes;
            disk.slowest = dice.between(300 * MS, 4 * SECOND);
        });
        self.judge.counts.slow_disks += 1;
        self.at(takes, Event::DiskRecovers { broker });
    }

    /// A slow disk is an ordinary one again. Whoever it kept out of an ISR is counted.
    pub(crate) fn disk_recovers(&mut self, broker: i32) {
        let up = (self.machines.get(&broker)).is_some_and(|it| it.works());
        let is_out = |at: usize| {
            let partition = self.judge.partition(at);
            partition.replicas.contains(&broker) && !partition.isr.contains(&broker)
        };
        let out = (0..self.scenario.partitions.len()).any(is_out);
        let is_fenced = (self.judge.truth.broker(broker)).is_none_or(|it| it.fenced);
        self.judge.counts.slow_out += u64::from(up && out && !is_fenced);
    }

    /// What an operation takes longer than on a good disk.
    pub(crate) fn slowness(&mut self, broker: i32) -> Micros {
        let slowest = match self.machines.get(&broker) {
            Some(machine) if self.now < machine.disk.slow_until => machine.disk.slowest,
            Some(_) | None => return 0,
        };
        self.troubles.between(100 * MS, slowest)
    }

    /// What asks something of a slow disk is dealt with once that is done, in the order it came; what
    /// came before the disk was slow no more, keeps its place too.
    pub(crate) fn waits_for_disk(
        &mut self,
        from: i32,
        to: i32,
        life: u32,
        message: &Message,
    ) -> bool {
        let asks_the_disk = match message {
            Message::Produce { .. } | Message::Fetch { .. } => true,
            Message::Fetched { records, .. } => !records.is_empty(),
            Message::ToController { .. }
            | Message::FromController { .. }
            | Message::FetchMetadata { .. }
            | Message::Metadata { .. }
            | Message::Produced { .. }
            | Message::MinInsyncRacks { .. } => false,
        };
        if !asks_the_disk {
            return false;
        }
        let (now, takes) = (self.now, self.slowness(to));
        let Some(machine) = self.machines.get_mut(&to) else {
            return false;
        };
        let done_at = machine.disk.done_at.max(now + takes);
        if done_at == now {
            return false;
        }
        machine.disk.done_at = done_at;
        if let (Process::Broker(broker), Message::Fetched { call, .. }) =
            (&mut machine.process, message)
        {
            broker.has_come(*call);
        }
        let message = message.clone();
        let event = Event::DiskDone {
            from,
            to,
            life,
            message,
        };
        self.at(done_at - now, event);
        true
    }

    /// A process ends by its disk. Its connections end with it; what a flush did not sync is gone or not.
    pub(crate) fn disk_failed(&mut self, broker: i32, operation: DiskOperation) {
        let now = self.now;
        self.trace
            .note(now, || format!("the disk of {broker} fails: {operation:?}"));
        self.crash(broker, operation == DiskOperation::Flush);
        self.hang_up(broker);
        let life = self.machines.get(&broker).map_or(0, |it| it.life);
        let pause = if self.troubles.one_in(4) {
            self.troubles.between(4 * SECOND, 9 * SECOND)
        } else {
            self.troubles.between(50 * MS, 2 * SECOND)
        };
        self.at(pause, Event::Restart { node: broker, life });
    }

    /// A story (S0-20): the active controller and a broker are cut off together, from everyone or only so
    /// that they are not heard. Another controller is elected; the old one goes on deciding, and its
    /// broker goes on asking it. Then they meet again.
    fn zombie_controller(&mut self) {
        let Some(voter) = self.log.leader else {
            return;
        };
        let broker = self.troubles.pick(&self.scenario.brokers).unwrap_or(1);
        let takes = self.troubles.between(2 * SECOND, 5 * SECOND);
        self.begin_story(takes + SECOND);
        let is_one_sided = self.troubles.one_in(3);
        let nodes = self.scenario.brokers.iter();
        let nodes: Vec<i32> = nodes.chain(&self.scenario.controllers).copied().collect();
        for inside in [voter, broker] {
            for outside in nodes.iter().filter(|it| **it != voter && **it != broker) {
                self.net.cut(inside, *outside);
                if !is_one_sided {
                    self.net.cut(*outside, inside);
                }
            }
        }
        self.at(takes / 2, Event::ZombieDue { voter });
        self.at(takes, Event::MendLinks);
    }

    pub(crate) fn zombie_due(&mut self, voter: i32) {
        let claimants = self.claimants();
        let is_one = claimants.len() > 1 && claimants.contains(&voter);
        self.judge.counts.zombies += u64::from(is_one && self.log.leader != Some(voter));
    }

    /// Who takes itself for the active controller.
    pub(crate) fn claimants(&self) -> Vec<i32> {
        let claims = |process: &Process| match process {
            Process::Controller(controller) => controller.active.is_some(),
            Process::Broker(_) | Process::StoppedBroker { .. } | Process::StoppedController(_) => {
                false
            }
        };
        let voters = self.machines.range(FIRST_CONTROLLER..);
        voters
            .filter(|(_, machine)| claims(&machine.process))
            .map(|(id, _)| *id)
            .collect()
    }
}
