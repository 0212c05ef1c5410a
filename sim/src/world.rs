//! The run: machines, the events between them, and the order in which they happen.

use crate::broker::BrokerNode;
use crate::clocks::Clocks;
use crate::controller::ControllerNode;
use crate::disk::Log;
use crate::heal::Residue;
use crate::judge::Judge;
use crate::message::{Acks, Message};
use crate::metadata_log::MetadataLog;
use crate::net::Net;
use crate::operator::Operator;
use crate::random::Random;
use crate::scenario::{
    FIRST_CLIENT, FIRST_CONTROLLER, MS, Micros, Mutation, Scenario, TOPIC, TOPIC_NAME,
};
use crate::trace::Trace;
use crate::troubles::{DiskOperation, DiskTrouble};
use isthmus_broker_core::controller::{ControllerEvent, ControllerReply};
use isthmus_broker_core::metadata::{
    ChangeVerdict, ConfigResource, METADATA_LEVEL, MIN_INSYNC_RACKS, MetadataChange, MetadataDelta,
    MetadataImage, MetadataRecord, RACKS_LEVEL,
};
use isthmus_wire::messages::{ConfigRecord, FeatureLevelRecord, PartitionRecord, TopicRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Machines do what time asks of them so often.
const TICK: Micros = 100 * MS;
const RAFT_TICK: Micros = 50 * MS;
/// How long the end of a connection is under way.
const HANG_UP: Micros = MS;
/// Every so many ticks a broker that lives opens its connections anew.
const RENEWED_EVERY: Micros = 97;

/// Makes dice of their own out of a seed: runs without flushes stay what they were.
const FLUSHES: u64 = 0x0066_6c75_7368_6573;
const LEASES: u64 = 0x006c_6561_7365_7321;
const TROUBLES: u64 = 0x7472_6f75_626c_6573;
const RACKS: u64 = 0x0000_0072_6163_6b73;

/// What a node is given with every event, and what it gives back.
pub(crate) struct Context<'a> {
    pub(crate) id: i32,
    pub(crate) now: Micros,
    pub(crate) boot: Duration,
    pub(crate) mono: Duration,
    pub(crate) random: &'a mut Random,
    pub(crate) judge: &'a mut Judge,
    pub(crate) scenario: &'a Scenario,
    /// The machine's disk, and the dice of what becomes of it.
    pub(crate) disk: &'a mut DiskTrouble,
    pub(crate) disk_dice: &'a mut Random,
    /// What the disk did not do: the process ends by it.
    pub(crate) disk_failed: Option<DiskOperation>,
    /// Whether this voter leads with a majority behind it.
    pub(crate) leads_voters: bool,
    committed: &'a [MetadataChange],
    out: Vec<(i32, Message)>,
    /// The broker was told that it may stop.
    pub(crate) stops: bool,
    /// A round of the broker's group commit begins.
    pub(crate) begins_round: bool,
    /// Brokers that a controller lets stop, with the offset of the image it decided on.
    grants: Vec<(i32, MetadataImage)>,
}

impl Context<'_> {
    pub(crate) fn send(&mut self, to: i32, message: Message) {
        self.out.push((to, message));
    }

    pub(crate) fn apply(&self, image: &mut MetadataImage, index: usize) {
        let change = &self.committed[index];
        applier(self.scenario)(image, change, &mut MetadataDelta::default());
    }

    pub(crate) fn note_grant(
        &mut self,
        image: &MetadataImage,
        event: &ControllerEvent,
        reply: &ControllerReply,
    ) {
        if let (ControllerEvent::Heartbeat(beat), ControllerReply::Heartbeat(reply)) =
            (event, reply)
            && reply.should_shut_down
            && image.broker(beat.broker_id).is_some_and(|it| !it.fenced)
        {
            self.grants.push((beat.broker_id, image.clone()));
        }
    }
}

type Apply = fn(&mut MetadataImage, &MetadataChange, &mut MetadataDelta) -> ChangeVerdict;

fn applier(scenario: &Scenario) -> Apply {
    if scenario.is(Mutation::ZombieApplies) {
        apply_anyway
    } else {
        MetadataImage::apply_change
    }
}

fn apply_anyway(
    image: &mut MetadataImage,
    change: &MetadataChange,
    delta: &mut MetadataDelta,
) -> ChangeVerdict {
    for record in &change.records {
        image.apply(image.offset + 1, record, delta);
    }
    ChangeVerdict::Applied
}

#[derive(Debug, Clone)]
pub(crate) enum Event {
    Deliver {
        from: i32,
        to: i32,
        /// The receiver's process that the connection belongs to.
        life: u32,
        message: Message,
    },
    Tick {
        node: i32,
        life: u32,
    },
    /// The last connection between them has ended.
    HungUp {
        broker: i32,
        controller: i32,
    },
    /// A round of a broker's group commit: everything in it is on disk.
    RoundOver {
        node: i32,
        life: u32,
    },
    RaftTick,
    CommitDue,
    Stray,
    Client,
    Fault,
    Trouble,
    /// A slow disk is done with what that message asks of it.
    DiskDone {
        from: i32,
        to: i32,
        life: u32,
        message: Message,
    },
    /// A disk that was slow is no more.
    DiskRecovers {
        broker: i32,
    },
    /// A controller has been cut off for long enough that another was elected.
    ZombieDue {
        voter: i32,
    },
    Operator,
    /// The topic asks for other racks, or one loses power.
    Racks,
    Mend,
    /// The cuts alone; what is stuck stays so.
    MendLinks,
    /// A part of a story that a fault began.
    Crash {
        broker: i32,
        power: bool,
        /// It comes back without a link to that one.
        cut_off: Option<i32>,
    },
    /// No controller reaches that broker any more, nor it them.
    CutOff {
        broker: i32,
    },
    Restart {
        node: i32,
        life: u32,
    },
    Thaw {
        node: i32,
        suspended: Micros,
    },
}

/// One machine: what outlives its process, and the process.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) life: u32,
    pub(crate) clocks: Clocks,
    pub(crate) frozen: bool,
    pub(crate) disk: DiskTrouble,
    /// What came while it was frozen.
    held: Vec<Event>,
    pub(crate) process: Process,
}

#[derive(Debug)]
pub(crate) enum Process {
    Broker(Box<BrokerNode>),
    Controller(Box<ControllerNode>),
    StoppedBroker {
        /// Of the partitions that it has a replica of.
        logs: BTreeMap<usize, Log>,
        /// What the clean-shutdown marker says.
        marker: i64,
    },
    StoppedController(Box<ControllerNode>),
}

impl Machine {
    /// What runs on it, or is stopped there; the caller puts something back.
    pub(crate) fn take_process(&mut self) -> Process {
        let nothing = Process::StoppedBroker {
            logs: BTreeMap::new(),
            marker: -1,
        };
        std::mem::replace(&mut self.process, nothing)
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.process, Process::Broker(_) | Process::Controller(_))
    }

    pub(crate) fn works(&self) -> bool {
        self.is_up() && !self.frozen
    }
}

pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) random: Random,
    pub(crate) troubles: Random,
    pub(crate) racks: Random,
    pub(crate) now: Micros,
    queue: BTreeMap<(Micros, u64), Event>,
    sequence: u64,
    pub(crate) net: Net,
    pub(crate) log: MetadataLog,
    pub(crate) judge: Judge,
    pub(crate) machines: BTreeMap<i32, Machine>,
    /// Since when no voter leads with a majority.
    pub(crate) leaderless_since: Option<Micros>,
    /// While a story of several faults runs, no other fault begins.
    pub(crate) quiet_until: Micros,
    /// When the next commit is looked at.
    commit_at: Option<Micros>,
    next_id: u64,
    pub(crate) healing: bool,
    /// Once it heals: what stays broken, and since when.
    pub(crate) residue: (Residue, Micros),
    pub(crate) operator: Operator,
    /// Partitions whose last write is acknowledged, and those writes.
    pub(crate) proven: BTreeSet<usize>,
    probes: BTreeMap<u64, usize>,
    pub(crate) trace: Trace,
    pub(crate) events: u64,
    founded: MetadataImage,
}

impl World {
    pub(crate) fn new(seed: u64, mutation: Option<Mutation>, trace: Trace) -> Self {
        let mut random = Random::new(seed);
        let mut operator = Operator::new(seed);
        let scenario = Scenario::of(&mut random, mutation)
            .with_operator(&mut operator.random)
            .with_flushes(&mut Random::new(seed ^ FLUSHES))
            .with_leases(&mut Random::new(seed ^ LEASES));
        let mut troubles = Random::new(seed ^ TROUBLES);
        let mut racks = Random::new(seed ^ RACKS);
        let scenario = scenario.with_troubles(&mut troubles).with_racks(&mut racks);
        let founded = founded(&scenario);
        let mut world = Self {
            judge: Judge::new(&scenario, founded.clone()),
            random,
            troubles,
            racks,
            now: 0,
            queue: BTreeMap::new(),
            sequence: 0,
            net: Net::default(),
            log: MetadataLog::default(),
            machines: BTreeMap::new(),
            leaderless_since: None,
            quiet_until: 0,
            commit_at: None,
            next_id: 0,
            healing: false,
            residue: (Residue::Nothing, 0),
            operator,
            proven: BTreeSet::new(),
            probes: BTreeMap::new(),
            trace,
            events: 0,
            founded: MetadataImage::default(),
            scenario,
        };
        world.start_machines(&founded);
        world.founded = founded;
        world
    }

    /// The image that every node starts from.
    pub(crate) fn founded(&self) -> MetadataImage {
        self.founded.clone()
    }

    fn start_machines(&mut self, founded: &MetadataImage) {
        let scenario = self.scenario.clone();
        for &id in &scenario.controllers {
            let node = ControllerNode::new(id, &scenario, founded);
            self.add(id, Process::Controller(Box::new(node)));
        }
        for &id in &scenario.brokers {
            let founding = scenario.partitions.iter().enumerate();
            let founding = founding.filter(|(_, replicas)| replicas.contains(&id));
            let logs = founding.map(|(partition, _)| (partition, Log::default()));
            let node = BrokerNode::start(id, 1, -1, &scenario, founded, logs.collect());
            self.add(id, Process::Broker(Box::new(node)));
        }
        self.at(0, Event::RaftTick);
        self.at(300 * MS, Event::Client);
        self.at(1_500 * MS, Event::Fault);
        if scenario.trouble_every.is_some() {
            self.at(2_000 * MS, Event::Trouble);
        }
        if scenario.operator_every.is_some() {
            self.at(1_000 * MS, Event::Operator);
        }
        if scenario.racks_every.is_some() {
            self.at(1_200 * MS, Event::Racks);
        }
    }

    fn add(&mut self, id: i32, process: Process) {
        let machine = Machine {
            life: 1,
            clocks: Clocks::new(&mut self.random),
            frozen: false,
            disk: DiskTrouble::default(),
            held: Vec::new(),
            process,
        };
        self.machines.insert(id, machine);
        let first = self.random.between(0, TICK);
        self.at(first, Event::Tick { node: id, life: 1 });
    }

    /// Schedules an event.
    pub(crate) fn at(&mut self, delay: Micros, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now + delay, self.sequence), event);
    }

    /// The next event; `false` when there is none before `until`.
    pub(crate) fn step(&mut self, until: Micros) -> bool {
        let Some(entry) = self.queue.first_entry() else {
            return false;
        };
        if entry.key().0 > until {
            self.now = until;
            return false;
        }
        let ((now, _), event) = entry.remove_entry();
        self.now = now;
        self.events += 1;
        self.trace.event(now, &event);
        self.happen(event);
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver {
                from,
                to,
                life,
                message,
            } => {
                if !self.waits_for_disk(from, to, life, &message) {
                    self.deliver(from, to, life, message);
                }
            }
            Event::DiskDone {
                from,
                to,
                life,
                message,
            } => self.deliver(from, to, life, message),
            Event::Tick { node, life } => self.tick(node, life),
            Event::HungUp { broker, controller } => self.hung_up(broker, controller),
            Event::RoundOver { node, life } => self.round_over(node, life),
            Event::RaftTick => {
                self.raft_tick();
                self.at(RAFT_TICK, Event::RaftTick);
            }
            Event::CommitDue => {
                self.commit_at = None;
                self.commit_due();
            }
            Event::Stray => self.commit_stray(),
            Event::Client => self.client(),
            Event::Fault => self.fault(),
            Event::Trouble => self.trouble(),
            Event::DiskRecovers { broker } => self.disk_recovers(broker),
            Event::ZombieDue { voter } => self.zombie_due(voter),
            Event::Operator => self.operate(),
            Event::Racks => self.racks_event(),
            // What stays broken while the cluster heals is not mended by chance.
            Event::Mend | Event::MendLinks if self.healing => {}
            Event::Mend => self.net.mend_all(),
            Event::MendLinks => self.net.mend_links(),
            Event::Crash { .. } if self.healing => {}
            Event::Crash {
                broker,
                power,
                cut_off,
            } => self.crash_in_story(broker, power, cut_off),
            Event::CutOff { .. } if self.healing => {}
            Event::CutOff { broker } => self.cut_off(broker),
            Event::Restart { node, life } => self.restart(node, life),
            Event::Thaw { node, suspended } => self.thaw(node, suspended),
        }
    }

    fn deliver(&mut self, from: i32, to: i32, life: u32, message: Message) {
        if to >= FIRST_CLIENT {
            self.client_hears(&message);
            return;
        }
        let Some(machine) = self.machines.get_mut(&to) else {
            return;
        };
        if machine.life != life || !machine.is_up() {
            return;
        }
        if machine.frozen {
            machine.held.push(Event::Deliver {
                from,
                to,
                life,
                message,
            });
            return;
        }
        self.with(to, |process, context| match process {
            Process::Broker(broker) => broker.receive(context, from, message),
            Process::Controller(controller) => controller.receive(context, from, message),
            Process::StoppedBroker { .. } | Process::StoppedController(_) => {}
        });
    }

    fn tick(&mut self, node: i32, life: u32) {
        let Some(machine) = self.machines.get_mut(&node) else {
            return;
        };
        if machine.life != life || !machine.is_up() {
            return;
        }
        if machine.frozen {
            machine.held.push(Event::Tick { node, life });
            return;
        }
        if node < FIRST_CONTROLLER && (self.now / TICK).is_multiple_of(RENEWED_EVERY) {
            self.hang_up(node);
        }
        self.with(node, |process, context| match process {
            Process::Broker(broker) => broker.tick(context),
            Process::Controller(controller) => controller.tick(context),
            Process::StoppedBroker { .. } | Process::StoppedController(_) => {}
        });
        self.at(TICK, Event::Tick { node, life });
    }

    /// All connections of a broker end: at once where its process has, and where nothing was wrong now
    /// and then. No dice: it is the same in every run.
    pub(crate) fn hang_up(&mut self, broker: i32) {
        for controller in self.scenario.controllers.clone() {
            if self.net.connected(broker, controller) {
                self.at(HANG_UP, Event::HungUp { broker, controller });
            }
        }
    }

    fn hung_up(&mut self, broker: i32, controller: i32) {
        let Some(machine) = self.machines.get_mut(&controller) else {
            return;
        };
        if machine.frozen {
            machine.held.push(Event::HungUp { broker, controller });
            return;
        }
        self.with(controller, |process, context| match process {
            Process::Controller(controller) => controller.hung_up(context, broker),
            Process::Broker(_) | Process::StoppedBroker { .. } | Process::StoppedController(_) => {}
        });
    }

    fn round_over(&mut self, node: i32, life: u32) {
        let Some(machine) = self.machines.get_mut(&node) else {
            return;
        };
        if machine.life != life || !machine.is_up() {
            return;
        }
        if machine.frozen {
            machine.held.push(Event::RoundOver { node, life });
            return;
        }
        self.with(node, |process, context| match process {
            Process::Broker(broker) => broker.round_over(context),
            Process::Controller(_)
            | Process::StoppedBroker { .. }
            | Process::StoppedController(_) => {}
        });
    }

    /// Mostly that of a good disk; now and then it has a bad moment.
    fn sync_time(&mut self) -> Micros {
        if self.random.one_in(20) {
            self.random.between(100 * MS, 900 * MS)
        } else {
            self.random.between(MS / 10, 20 * MS)
        }
    }

    /// Lets a machine's process do something, and carries out what comes of it.
    pub(crate) fn with(&mut self, id: i32, act: impl FnOnce(&mut Process, &mut Context<'_>)) {
        let leads_voters = self.log.leader == Some(id) && self.has_majority(id);
        let Some(machine) = self.machines.get_mut(&id) else {
            return;
        };
        let mut context = Context {
            id,
            now: self.now,
            boot: machine.clocks.boot(self.now),
            mono: machine.clocks.mono(self.now),
            random: &mut self.random,
            judge: &mut self.judge,
            scenario: &self.scenario,
            disk: &mut machine.disk,
            disk_dice: &mut self.troubles,
            disk_failed: None,
            leads_voters,
            committed: &self.log.committed,
            out: Vec::new(),
            stops: false,
            begins_round: false,
            grants: Vec::new(),
        };
        act(&mut machine.process, &mut context);
        let proposed = match &mut machine.process {
            Process::Controller(controller) => controller.decide(&mut context),
            Process::Broker(_) | Process::StoppedBroker { .. } | Process::StoppedController(_) => {
                None
            }
        };
        let Context {
            out,
            stops,
            begins_round,
            grants,
            disk_failed,
            ..
        } = context;
        let life = machine.life;
        if let Some(proposed) = proposed {
            let by = (id, proposed.term);
            let number = self
                .log
                .propose(&mut self.random, self.now, by, proposed.change);
            if let Process::Controller(controller) = &mut machine.process {
                controller.proposed(number);
            }
            self.await_commit();
        }
        for (to, message) in out {
            self.send(id, to, message);
        }
        for (broker, image) in grants {
            self.check_grant(broker, &image);
        }
        if begins_round {
            let takes = self.sync_time() + self.slowness(id);
            self.at(takes, Event::RoundOver { node: id, life });
        }
        if let Some(operation) = disk_failed {
            self.disk_failed(id, operation);
        } else if stops {
            self.stop_cleanly(id);
        }
    }

    pub(crate) fn await_commit(&mut self) {
        let Some(due) = self.log.next_due() else {
            return;
        };
        if self.commit_at.is_none_or(|at| due < at) {
            self.commit_at = Some(due);
            self.at(due.saturating_sub(self.now), Event::CommitDue);
        }
    }

    pub(crate) fn send(&mut self, from: i32, to: i32, message: Message) {
        let life = self.machines.get(&to).map_or(0, |it| it.life);
        let (random, scenario) = (&mut self.random, &self.scenario);
        let delay = (self.net).delay(random, scenario, self.now, (from, to), &message);
        if let Some(delay) = delay {
            let event = Event::Deliver {
                from,
                to,
                life,
                message,
            };
            self.at(delay, event);
        }
    }

    pub(crate) fn applier(&self) -> Apply {
        applier(&self.scenario)
    }

    /// Rule 17: the controller lets a broker stop, so nobody who serves takes it for a leader.
    fn check_grant(&mut self, stopping: i32, image: &MetadataImage) {
        let life = image.broker(stopping).map_or(-1, |it| it.epoch);
        for (id, machine) in &self.machines {
            let Process::Broker(broker) = &machine.process else {
                continue;
            };
            let serves = image.broker(*id).is_some_and(|it| {
                !it.fenced && !it.in_controlled_shutdown && broker.life.epoch() == Some(it.epoch)
            });
            let seen = broker.image.broker(stopping);
            let knows = seen.is_none_or(|it| it.in_controlled_shutdown || it.epoch > life);
            if serves && !knows && *id != stopping {
                let offset = broker.image.offset;
                self.judge.accuse(|| {
                    format!("broker {stopping} may stop, and {id} at offset {offset} does not know")
                });
            }
        }
    }

    fn client(&mut self) {
        let pause = if self.healing { 60 * MS } else { 25 * MS };
        let pause = self.random.between(pause / 2, pause * 2);
        self.at(pause, Event::Client);
        let partition = self.random.below(self.scenario.partitions.len());
        if self.healing && self.proven.contains(&partition) {
            return;
        }
        let leader = self.judge.partition(partition).leader;
        let replicas = &self.judge.partition(partition).replicas;
        let guess = self.random.pick(replicas).unwrap_or(leader);
        let to = if leader != -1 && self.random.percent(80) {
            leader
        } else {
            guess
        };
        let acks = if self.healing || !self.random.one_in(self.scenario.acks_one_in) {
            Acks::All
        } else if self.random.one_in(8) {
            Acks::None
        } else {
            Acks::Leader
        };
        self.next_id += 1;
        if self.healing {
            self.probes.insert(self.next_id, partition);
        }
        let client = self
            .random
            .pick(&self.scenario.clients)
            .unwrap_or(FIRST_CLIENT);
        let message = Message::Produce {
            id: self.next_id,
            partition,
            acks,
        };
        self.send(client, to, message);
    }

    fn client_hears(&mut self, message: &Message) {
        let (id, result) = match message {
            Message::Produced { id, result } => (id, result),
            // The operator looks at what became of it, not at what it is told.
            Message::FromController { .. } => return,
            other => unreachable!("a client is not sent {other:?}"),
        };
        self.judge.counts.refused += u64::from(result.is_err());
        if let Some(partition) = self.probes.remove(id).filter(|_| result.is_ok()) {
            self.proven.insert(partition);
        }
    }

    /// The controllers' machines.
    pub(crate) fn voters(&self) -> impl Iterator<Item = (i32, &Machine)> {
        let voters = self.machines.range(FIRST_CONTROLLER..FIRST_CLIENT);
        voters.map(|(id, machine)| (*id, machine))
    }

    pub(crate) fn held(&mut self, id: i32) -> Vec<Event> {
        let machine = self.machines.get_mut(&id);
        machine
            .map(|it| std::mem::take(&mut it.held))
            .unwrap_or_default()
    }
}

/// The topic is there before anyone looks, and all its replicas may lead, since they are empty.
fn founded(scenario: &Scenario) -> MetadataImage {
    let topic = TopicRecord {
        name: TOPIC_NAME.to_owned(),
        topic_id: TOPIC,
    };
    let partitions = (0..).zip(&scenario.partitions);
    let partitions = partitions.map(|(partition_id, replicas)| {
        let record = PartitionRecord {
            partition_id,
            topic_id: TOPIC,
            replicas: replicas.clone(),
            isr: Vec::new(),
            eligible_leader_replicas: Some(replicas.clone()),
            leader: -1,
            leader_epoch: 0,
            partition_epoch: 0,
            ..PartitionRecord::default()
        };
        MetadataRecord::from(record)
    });
    let mut image = MetadataImage::default();
    let racks = racks_asked(scenario);
    let topic = std::iter::once(MetadataRecord::from(topic));
    for record in topic.chain(partitions).chain(racks) {
        image.apply(image.offset + 1, &record, &mut MetadataDelta::default());
    }
    image
}

/// Where brokers stand in racks, the topic asks for some (rule 21).
fn racks_asked(scenario: &Scenario) -> Vec<MetadataRecord> {
    if scenario.racks.is_empty() {
        return Vec::new();
    }
    let level = FeatureLevelRecord {
        name: METADATA_LEVEL.to_owned(),
        feature_level: RACKS_LEVEL,
    };
    let resource = ConfigResource::topic(TOPIC_NAME);
    let asked = ConfigRecord {
        resource_type: resource.kind,
        resource_name: resource.name,
        name: MIN_INSYNC_RACKS.to_owned(),
        value: Some(scenario.min_insync_racks.to_string()),
    };
    vec![level.into(), asked.into()]
}
