//! What goes wrong: machines that crash, lose power, freeze or are suspended, links that are cut
//! one way or both, voters that are replaced, and brokers that stop in good order.

use crate::broker::BrokerNode;
use crate::controller::ControllerNode;
use crate::net::{Stuck, StuckPart};
use crate::scenario::{MS, Micros, SECOND};
use crate::world::{Event, Process, World};
use std::time::Duration;

impl World {
    pub(crate) fn fault(&mut self) {
        if self.healing {
            return;
        }
        let every = self.scenario.fault_every;
        let next = self.random.between(every / 2, every * 3 / 2);
        self.at(next, Event::Fault);
        if self.now < self.quiet_until {
            return;
        }
        if self.scenario.flush_group && self.random.one_in(10) {
            return self.black_out();
        }
        let kind = self.random.below(100);
        let (now, broker) = (self.now, self.any_broker());
        self.trace
            .note(now, || format!("fault {kind}, broker {broker}"));
        match kind {
            0..14 => self.crash_unless_last(broker, false),
            14..26 => self.crash_unless_last(broker, true),
            26..36 => self.freeze(broker),
            36..50 => self.cut_one_way(),
            50..62 => self.isolate(broker),
            62..68 => self.split(),
            68..73 => self.crash_controller(),
            73..79 => {
                let voter = self.any_controller();
                self.freeze(voter);
            }
            79..86 => self.elect_voter(self.log.leader),
            86..90 => {
                let until = self.now + self.random.between(200 * MS, 1_500 * MS);
                self.net.slow_down(until);
            }
            90..94 => self.want_stop(broker),
            94 => self.jump_wall(broker),
            95..97 => self.zombie_voter(),
            97 if self.random.one_in(2) => self.stuck_leader(),
            97 => self.late_attempt(),
            _ => self.net.mend_all(),
        }
    }

    fn any_broker(&mut self) -> i32 {
        self.random.pick(&self.scenario.brokers).unwrap_or(1)
    }

    fn any_controller(&mut self) -> i32 {
        self.random.pick(&self.scenario.controllers).unwrap_or(0)
    }

    /// Mostly such crashes as leave the promise standing: beyond it there is little to see.
    fn crash_unless_last(&mut self, broker: i32, power: bool) {
        if self.judge.can_spare(&[broker]) || self.random.one_in(8) {
            self.crash(broker, power);
            self.restart_later(broker);
        }
    }

    /// Every broker loses power at once, and with it what it had not synced.
    fn black_out(&mut self) {
        let now = self.now;
        self.trace.note(now, || "all brokers lose power".to_owned());
        self.judge.counts.blackouts += 1;
        for broker in self.scenario.brokers.clone() {
            self.crash(broker, true);
            self.restart_later(broker);
        }
    }

    /// kill -9, or a loss of power, which takes what was not synced.
    pub(crate) fn crash(&mut self, broker: i32, power: bool) {
        let Some(machine) = self.machines.get_mut(&broker) else {
            return;
        };
        match machine.take_process() {
            Process::Broker(node) => {
                let (mut logs, deleted) = node.into_logs();
                if power {
                    // A deletion that was not synced may be undone.
                    for (partition, log) in deleted {
                        if self.random.one_in(2) {
                            logs.entry(partition).or_insert(log);
                        }
                    }
                }
                for log in logs.values_mut() {
                    log.crash();
                    if power {
                        log.lose_power(&mut self.random);
                    }
                }
                machine.process = Process::StoppedBroker { logs, marker: -1 };
                machine.frozen = false;
                // Whoever meant to start an earlier process again does not start this one.
                machine.life += 1;
                self.judge.crashed(broker);
                self.held(broker);
                // Without power nobody is there to end connections.
                if !power {
                    self.hang_up(broker);
                }
            }
            other @ (Process::Controller(_)
            | Process::StoppedBroker { .. }
            | Process::StoppedController(_)) => machine.process = other,
        }
    }

    /// Controlled shutdown: all is synced, the marker is written.
    pub(crate) fn stop_cleanly(&mut self, broker: i32) {
        let Some(machine) = self.machines.get_mut(&broker) else {
            return;
        };
        match machine.take_process() {
            Process::Broker(node) => {
                let marker = node.life.marker();
                let checkpoints: Vec<i64> = node
                    .replicas
                    .values()
                    .map(|it| it.high_watermark())
                    .collect();
                let (mut logs, _) = node.into_logs();
                for (log, high_watermark) in logs.values_mut().zip(checkpoints) {
                    log.high_watermark_checkpoint = high_watermark;
                    log.sync();
                }
                machine.process = Process::StoppedBroker { logs, marker };
            }
            other @ (Process::Controller(_)
            | Process::StoppedBroker { .. }
            | Process::StoppedController(_)) => machine.process = other,
        }
        self.restart_later(broker);
    }

    pub(crate) fn restart_later(&mut self, node: i32) {
        let life = self.machines.get(&node).map_or(0, |it| it.life);
        let pause = self.random.between(50 * MS, 3 * SECOND);
        self.at(pause, Event::Restart { node, life });
    }

    /// Starts the next process of a machine whose process ended.
    pub(crate) fn restart(&mut self, node: i32, life: u32) {
        let founded = self.founded();
        let Some(machine) = self.machines.get_mut(&node) else {
            return;
        };
        if machine.life != life || machine.is_up() {
            return;
        }
        machine.life += 1;
        let life = machine.life;
        machine.process = match machine.take_process() {
            Process::StoppedBroker { logs, marker } => Process::Broker(Box::new(
                BrokerNode::start(node, life, marker, &self.scenario, &founded, logs),
            )),
            Process::StoppedController(old) => {
                let mut new = ControllerNode::new(node, &self.scenario, &old.image);
                new.index = old.index;
                Process::Controller(Box::new(new))
            }
            running @ (Process::Broker(_) | Process::Controller(_)) => running,
        };
        self.at(0, Event::Tick { node, life });
    }

    /// SIGSTOP, or a suspended machine, whose monotonic clock stands too.
    fn freeze(&mut self, node: i32) {
        let takes = self.random.between(200 * MS, 3_500 * MS);
        let suspended = if self.random.one_in(4) { takes } else { 0 };
        if let Some(machine) = self.machines.get_mut(&node)
            && machine.works()
        {
            machine.frozen = true;
            self.at(takes, Event::Thaw { node, suspended });
        }
    }

    pub(crate) fn thaw(&mut self, node: i32, suspended: Micros) {
        if let Some(machine) = self.machines.get_mut(&node) {
            machine.frozen = false;
            machine.clocks.suspended_for(suspended);
        }
        for event in self.held(node) {
            self.at(0, event);
        }
    }

    fn crash_controller(&mut self) {
        let node = self.any_controller();
        if let Some(machine) = self.machines.get_mut(&node)
            && let Process::Controller(controller) = &machine.process
        {
            let stopped = ControllerNode::stopped(controller);
            machine.process = Process::StoppedController(Box::new(stopped));
            machine.frozen = false;
            self.held(node);
            // A voter that restarts leads nothing.
            if self.log.leader == Some(node) {
                self.log.leader = None;
            }
            self.restart_later(node);
        }
    }

    /// The leading voter loses the others, and all brokers still reach it: it decides on and on, on
    /// the image it has.
    fn zombie_voter(&mut self) {
        let Some(voter) = self.log.leader else {
            return;
        };
        for other in self.scenario.controllers.clone() {
            if other != voter {
                self.net.cut_both(voter, other);
            }
        }
        self.mend_later();
    }

    /// A story: the requests by which a leader lets a follower in are held up. The follower is fenced
    /// meanwhile, and a later attempt is refused for it. Then it is unfenced, the leader does not
    /// hear of it, and the first attempts arrive (rule 6).
    fn late_attempt(&mut self) {
        let (leader, followers) = self.one_partition();
        let Some(follower) = self.random.pick(&followers) else {
            return;
        };
        self.begin_story(9 * SECOND);
        self.crash_in_story(follower, false, None);
        let begins = self.now;
        let held_up = |what, from: Micros, until: Micros, arrives: Micros| Stuck {
            broker: leader,
            from: begins + from * MS,
            until: begins + until * MS,
            arrives: begins + arrives * MS,
            what,
        };
        self.net
            .stick(held_up(StuckPart::Requests, 0, 4_600, 7_000));
        self.net
            .stick(held_up(StuckPart::Answers, 5_200, 8_500, 8_500));
        let early = self.random.between(2_100 * MS, 2_900 * MS);
        self.at(early, Event::CutOff { broker: follower });
        self.at(5_300 * MS, Event::MendLinks);
    }

    /// A story: a leader's requests to the controller are stuck, and so is the one that lets a
    /// follower in. The follower loses its memory and comes back as another incarnation (KIP-903,
    /// rule 5). Then the request arrives, and the leader goes.
    fn stuck_leader(&mut self) {
        let (leader, followers) = self.one_partition();
        let Some(follower) = self.random.pick(&followers) else {
            return;
        };
        let takes = self.random.between(5_200 * MS, 6_500 * MS);
        self.begin_story(takes + 3 * SECOND);
        self.crash_in_story(follower, false, None);
        self.net.stick(Stuck {
            broker: leader,
            from: self.now,
            until: self.now + takes,
            arrives: self.now + takes,
            what: StuckPart::Requests,
        });
        let early = self.random.between(2_200 * MS, 3_000 * MS);
        let loses = Event::Crash {
            broker: follower,
            power: true,
            cut_off: Some(leader),
        };
        self.at(early, loses);
        let late = takes + self.random.between(60 * MS, 400 * MS);
        let goes = Event::Crash {
            broker: leader,
            power: false,
            cut_off: None,
        };
        self.at(late, goes);
    }

    pub(crate) fn cut_off(&mut self, broker: i32) {
        for controller in self.scenario.controllers.clone() {
            self.net.cut_both(broker, controller);
        }
    }

    /// Nothing else goes wrong while a story is told, and nothing is broken as it begins.
    pub(crate) fn begin_story(&mut self, takes: Micros) {
        self.quiet_until = self.now + takes;
        self.net.mend_all();
        self.at(takes, Event::Mend);
    }

    /// The leader of some partition, and its other replicas.
    fn one_partition(&mut self) -> (i32, Vec<i32>) {
        let partition = self.random.below(self.scenario.partitions.len());
        let image = self.judge.partition(partition);
        let others = image.replicas.iter().copied();
        let others = others.filter(|id| *id != image.leader);
        (image.leader, others.collect())
    }

    /// A crash after which the broker is back at once.
    pub(crate) fn crash_in_story(&mut self, broker: i32, power: bool, cut_off: Option<i32>) {
        self.crash_unless_last(broker, power);
        let life = self.machines.get(&broker).map_or(0, |it| it.life);
        self.at(100 * MS, Event::Restart { node: broker, life });
        if let Some(other) = cut_off {
            self.net.cut_both(broker, other);
        }
    }

    fn want_stop(&mut self, broker: i32) {
        self.with(broker, |process, context| {
            if let Process::Broker(broker) = process {
                broker.life.stop(Duration::from_micros(context.now));
            }
        });
    }

    fn jump_wall(&mut self, node: i32) {
        let now = self.now;
        if let Some(machine) = self.machines.get_mut(&node) {
            machine.clocks.jump_wall(&mut self.random);
            let wall = machine.clocks.wall(now);
            self.trace
                .note(now, || format!("the wall clock of {node} says {wall}"));
        }
    }

    fn cut_one_way(&mut self) {
        let nodes = self.everyone();
        let from = self.any_broker();
        if let Some(to) = self.random.pick(&nodes).filter(|to| *to != from) {
            if self.random.one_in(2) {
                self.net.cut(from, to);
            } else {
                self.net.cut(to, from);
            }
            self.mend_later();
        }
    }

    /// One broker, from all others, from the other brokers, or from the controllers.
    fn isolate(&mut self, broker: i32) {
        let scenario = &self.scenario;
        let with_clients = self.random.one_in(2);
        let others: Vec<i32> = match self.random.below(3) {
            0 => self.everyone(),
            1 => scenario.brokers.clone(),
            _ => scenario.controllers.clone(),
        };
        for other in others {
            let client = self.scenario.clients.contains(&other);
            if other != broker && (with_clients || !client) {
                self.net.cut_both(broker, other);
            }
        }
        self.mend_later();
    }

    /// Two sides, each with some of everything.
    fn split(&mut self) {
        let sides: Vec<(i32, bool)> = self
            .everyone()
            .into_iter()
            .map(|id| (id, self.random.one_in(2)))
            .collect();
        for (a, left) in &sides {
            for (b, _) in sides.iter().filter(|(_, other)| other != left) {
                self.net.cut(*a, *b);
            }
        }
        self.mend_later();
    }

    fn mend_later(&mut self) {
        let takes = self.random.between(200 * MS, 4 * SECOND);
        self.at(takes, Event::Mend);
    }

    fn everyone(&self) -> Vec<i32> {
        let all = [
            &self.scenario.brokers,
            &self.scenario.controllers,
            &self.scenario.clients,
        ];
        all.into_iter().flatten().copied().collect()
    }
}
