//! What a seed decides before anything runs: the cluster, its topic, and how rough it gets.

use crate::random::Random;
use isthmus_broker_core::metadata::{MetadataImage, PartitionImage, Sufficiency};
use isthmus_broker_core::rules::{Rule, Rules};
use isthmus_wire::Uuid;
use std::collections::BTreeMap;

/// Microseconds since the run began.
pub(crate) type Micros = u64;
pub(crate) const MS: Micros = 1_000;
pub(crate) const SECOND: Micros = 1_000 * MS;

pub(crate) const TOPIC: Uuid = Uuid([0x70; 16]);
pub(crate) const TOPIC_NAME: &str = "t";
pub(crate) const FIRST_CONTROLLER: i32 = 100;
pub(crate) const FIRST_CLIENT: i32 = 200;
/// The operator's tools are a client too.
pub(crate) const OPERATOR: i32 = FIRST_CLIENT;

/// A rule that does not hold in a run. Those of the cores have names there; the others are obeyed
/// by whoever runs the cores, as the simulator does here and the broker elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    Core(Rule),
    /// Rule 7: a leader stamps its records with its own epoch.
    OldEpoch,
    /// Design, decision 6: a change that was decided on another image is a no-op.
    ZombieApplies,
    /// Rule 24: a flush that fails ends the process.
    TrustsFailedFlush,
    /// KIP-455: a replica is deleted only once metadata says that it is none.
    DeletesEarly,
    /// Rule 20: without a lease nothing is appended.
    AppendsWithoutLease,
    /// Rule 20: the lease is looked at again before the answer.
    AnswersWithoutLease,
    /// Rule 20: a controller confirms heartbeats with a majority.
    NoMajority,
}

impl Mutation {
    const OF_SHELLS: [Self; 7] = [
        Self::OldEpoch,
        Self::ZombieApplies,
        Self::TrustsFailedFlush,
        Self::DeletesEarly,
        Self::AppendsWithoutLease,
        Self::AnswersWithoutLease,
        Self::NoMajority,
    ];
}

impl Mutation {
    pub fn all() -> Vec<Self> {
        let cores = Rule::ALL.iter().map(|rule| Self::Core(*rule));
        cores.chain(Self::OF_SHELLS).collect()
    }

    pub fn id(self) -> &'static str {
        match self {
            Self::Core(rule) => rule.id(),
            Self::OldEpoch => "7",
            Self::ZombieApplies => "D6",
            Self::TrustsFailedFlush => "24-failed",
            Self::DeletesEarly => "455-delete",
            Self::AppendsWithoutLease => "20-append",
            Self::AnswersWithoutLease => "20-reply",
            Self::NoMajority => "20-majority",
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Core(rule) => rule.words(),
            Self::OldEpoch => "a leader's records carry its own epoch",
            Self::ZombieApplies => "a change decided on another image is a no-op",
            Self::TrustsFailedFlush => {
                "a flush that failed has flushed nothing, and ends the process"
            }
            Self::DeletesEarly => "a replica is deleted once metadata says that it is none",
            Self::AppendsWithoutLease => "without a lease nothing is appended",
            Self::AnswersWithoutLease => "the lease is looked at again before a write is answered",
            Self::NoMajority => {
                "a heartbeat gives a lease once a majority has confirmed the controller"
            }
        }
    }

    pub fn named(id: &str) -> Option<Self> {
        Self::all().into_iter().find(|it| it.id() == id)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) brokers: Vec<i32>,
    pub(crate) controllers: Vec<i32>,
    pub(crate) clients: Vec<i32>,
    /// The first replicas of each partition of the one topic, the preferred leader first.
    pub(crate) partitions: Vec<Vec<i32>>,
    pub(crate) min_insync_replicas: usize,
    /// Where brokers stand that are in a rack (rule 21); nobody is in most runs.
    pub(crate) racks: BTreeMap<i32, &'static str>,
    /// `min.insync.racks` as the run begins.
    pub(crate) min_insync_racks: usize,
    /// Between two things that happen to racks, on average.
    pub(crate) racks_every: Option<Micros>,
    pub(crate) unclean_leader_election: bool,
    /// Requests that a follower has out (design, decision 5); 1 is Kafka.
    pub(crate) credits: usize,
    /// How long faults go on.
    pub(crate) faults_until: Micros,
    /// Between two faults, on average.
    pub(crate) fault_every: Micros,
    /// Messages lost, in 1000.
    pub(crate) loss: usize,
    /// One in so many acknowledged writes asks for acks=1.
    pub(crate) acks_one_in: usize,
    /// `flush.policy=group`: disks are all that need survive.
    pub(crate) flush_group: bool,
    /// `lease.fencing` (rule 20).
    pub(crate) lease_fencing: bool,
    /// Between two troubles (disks, the controller cut off with a broker), on average; none in most runs.
    pub(crate) trouble_every: Option<Micros>,
    /// Between two acts of the operator, on average; none in most runs.
    pub(crate) operator_every: Option<Micros>,
    pub(crate) rules: Rules,
    pub(crate) mutation: Option<Mutation>,
}

impl Scenario {
    pub(crate) fn of(random: &mut Random, mutation: Option<Mutation>) -> Self {
        let brokers: Vec<i32> = (1..=3 + i32::from(random.percent(40))).collect();
        let factor = match random.below(10) {
            0 => 2,
            1 => brokers.len(),
            _ => 3,
        };
        let partitions = (0..1 + random.below(2)).map(|_| {
            let mut replicas = brokers.clone();
            let first = random.below(replicas.len());
            replicas.rotate_left(first);
            replicas.truncate(factor);
            replicas
        });
        let partitions = partitions.collect();
        let min_insync_replicas = match random.below(10) {
            0..3 => 1,
            3..9 => 2,
            _ => factor,
        };
        Self {
            brokers,
            controllers: (FIRST_CONTROLLER + 1..=FIRST_CONTROLLER + 3).collect(),
            clients: vec![FIRST_CLIENT + 1, FIRST_CLIENT + 2],
            partitions,
            min_insync_replicas,
            racks: BTreeMap::new(),
            min_insync_racks: 1,
            racks_every: None,
            unclean_leader_election: random.percent(15),
            credits: if random.one_in(2) {
                1
            } else {
                2 + random.below(3)
            },
            faults_until: SECOND * random.between(6, 16),
            fault_every: MS * random.between(150, 900),
            loss: random.pick(&[0, 0, 2, 10, 40]).unwrap_or(0),
            acks_one_in: 2 + random.below(4),
            flush_group: false,
            lease_fencing: false,
            trouble_every: None,
            operator_every: None,
            rules: match mutation {
                Some(Mutation::Core(rule)) => Rules::without(rule),
                Some(_) | None => Rules::ALL,
            },
            mutation,
        }
    }

    /// In one run of three an operator is at work, with a broker to spare in every other of them.
    pub(crate) fn with_operator(mut self, operator: &mut Random) -> Self {
        if operator.one_in(3) {
            self.operator_every = Some(MS * operator.between(100, 1_500));
            if operator.one_in(2) {
                self.brokers.extend(self.brokers.last().map(|id| id + 1));
            }
        }
        self
    }

    /// In one run of four the topic is flushed before anything of it counts.
    pub(crate) fn with_flushes(mut self, random: &mut Random) -> Self {
        self.flush_group = random.one_in(4);
        self
    }

    /// In three runs of four leaders acknowledge nothing without a lease.
    pub(crate) fn with_leases(mut self, random: &mut Random) -> Self {
        self.lease_fencing = !random.one_in(4);
        self
    }

    /// In one run of three brokers stand in racks, mostly in two, and the topic asks for some of them.
    pub(crate) fn with_racks(mut self, random: &mut Random) -> Self {
        if !random.one_in(3) {
            return self;
        }
        for id in &self.brokers {
            if !random.one_in(12) {
                let rack = random.pick(&["a", "a", "b", "b", "c"]);
                self.racks.extend(rack.map(|rack| (*id, rack)));
            }
        }
        self.min_insync_racks = self.racks_asked(random);
        self.racks_every = Some(MS * random.between(300, 2_500));
        self
    }

    /// Mostly two.
    pub(crate) fn racks_asked(&self, random: &mut Random) -> usize {
        random.pick(&[1, 2, 2, 2, 3]).unwrap_or(1)
    }

    /// Where a broker is in that life of it: now and then it comes back elsewhere.
    pub(crate) fn rack(&self, broker: i32, life: u32) -> Option<&'static str> {
        let home = self.racks.get(&broker).copied();
        let moves = life > 1 && (u32::try_from(broker).unwrap_or(0) + life).is_multiple_of(7);
        match home {
            Some("a") if moves => Some("b"),
            Some(_) if moves => Some("a"),
            other => other,
        }
    }

    /// What the topic asks of an ISR, by that image.
    pub(crate) fn sufficiency(&self, image: &MetadataImage) -> Sufficiency {
        Sufficiency::of_topic(image, TOPIC_NAME, self.min_insync_replicas)
    }

    /// In one run of four disks fail, fill up and get slow.
    pub(crate) fn with_troubles(mut self, random: &mut Random) -> Self {
        if random.one_in(4) {
            self.trouble_every = Some(MS * random.between(600, 2_500));
        }
        self
    }

    pub(crate) fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// What acks=all asks for.
    pub(crate) fn needed(&self, partition: &PartitionImage) -> usize {
        self.min_insync_replicas.min(partition.replicas.len())
    }
}
