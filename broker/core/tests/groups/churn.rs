//! Seeded churn: members come, work, crash and claim each other's names while appends fail or
//! hang and the coordinator moves. After every step:
//!
//! - no partition is held by two members of one generation;
//! - what was committed and acknowledged is there, or something committed later;
//! - generations do not go back, within a coordinator, or of what is handed out at all;
//! - every request is answered at most once, and what the coordinator holds stays small;
//! - [`Shard::check`](isthmus_broker_core::groups::Shard::check) holds.
//!
//! Then the faults stop, and a healthy group must come to rest: every request answered, all members
//! in one generation, all partitions held, and a coordinator made from the log alone must agree.

use crate::bench::{Bench, Output, Record};
use crate::clients::{GROUP, Member, PARTITIONS, Phase};
use crate::print;
use crate::random::Random;
use crate::seen::Seen;
use isthmus_broker_core::groups::{GroupConfig, GroupEvent, Reply, Request, Token};
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use std::collections::{BTreeMap, BTreeSet};

/// At most; small groups are stable, and empty, more often.
const MEMBERS_MAX: usize = 20;
const STEPS: usize = 5_000;
const SEEDS: u64 = 40;

/// Says how to see it again when a run fails.
struct Seed(u64);

impl Drop for Seed {
    #[expect(clippy::print_stdout, reason = "a failing test's own output")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "seed {0}; again: ISTHMUS_SEED={0} cargo test -p isthmus-broker-core --test groups churn",
                self.0
            );
        }
    }
}

struct Churn {
    bench: Bench,
    random: Random,
    members: Vec<Member>,
    /// Whom a reply is for; none for tools.
    asked: BTreeMap<Token, Option<usize>>,
    forgotten: BTreeSet<Token>,
    /// Offsets asked for and acknowledged, by partition; values only grow.
    value: i64,
    sent: BTreeMap<Token, Option<(i32, i64)>>,
    acknowledged: BTreeMap<i32, i64>,
    /// Times that the group was deleted: generations start anew.
    life: u64,
    held: BTreeMap<(u64, i32, i32), String>,
    generation_joined: i32,
    generation_held: (u64, i32),
    digest: u64,
    seen: Seen,
}

impl Churn {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let config = GroupConfig {
            initial_rebalance_delay_ms: 1_000 * i32::from(random.small(4)),
            max_size: if random.one_in(4) { 12 } else { i32::MAX },
            offsets_retention_check_interval_ms: 60_000,
            ..GroupConfig::default()
        };
        let count = 2 + random.below(MEMBERS_MAX - 1);
        let members = (0..count).map(|name| Member::new(name, &mut random));
        Self {
            members: members.collect(),
            bench: Bench::new(config),
            random,
            asked: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            value: 0,
            sent: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            life: 0,
            held: BTreeMap::new(),
            generation_joined: 0,
            generation_held: (0, 0),
            digest: 0,
            seen: Seen::default(),
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..60 => self.somebody_acts(),
            60..80 => self.log_answers(),
            80..83 => self.append_fails(),
            83..93 => self.time_passes(),
            93 => self.somebody_crashes(),
            94..98 => self.somebody_starts(),
            98 if self.random.one_in(4) => self.coordinator_moves(),
            98 => self.delete_group(),
            _ => self.check_offsets(),
        }
        self.check_bounds();
    }

    fn somebody_acts(&mut self) {
        let at = self.random.below(self.members.len());
        self.act(at);
    }

    fn act(&mut self, at: usize) {
        self.value += 1;
        let request = self.members[at].next_request(&mut self.random, self.value);
        if let Some(request) = request {
            let token = self.send(request, Some(at));
            if self.asked.contains_key(&token) {
                self.members[at].waits_for = Some(token);
            }
        }
    }

    /// Sends, and hears what comes of it; the token may be answered by then.
    fn send(&mut self, request: Request, asker: Option<usize>) -> Token {
        let commit = match &request {
            Request::OffsetCommit { request, .. } => {
                let partition = &request.topics[0].partitions[0];
                Some((partition.partition_index, partition.committed_offset))
            }
            _ => None,
        };
        let (token, outputs) = self.bench.send(request);
        self.asked.insert(token, asker);
        if let Some(commit) = commit {
            self.sent.insert(token, Some(commit));
        }
        self.hear(outputs);
        token
    }

    fn hear(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Append(records) => self.proposed(&records),
                Output::Event(GroupEvent::Stable { .. }) => self.seen.generations += 1,
                Output::Event(_) => {}
                Output::Reply(token, reply) => {
                    self.note(&print::reply(&reply));
                    self.seen.of(&reply);
                    let asker = self.asked.remove(&token);
                    assert!(!self.forgotten.contains(&token), "{token:?} was forgotten");
                    let asker = asker.unwrap_or_else(|| panic!("{token:?} is answered twice"));
                    self.check_reply(token, &reply);
                    if let Some(at) = asker {
                        self.members[at].hear(&reply);
                        self.check_holding(at, &reply);
                    }
                }
            }
        }
    }

    fn note(&mut self, text: &str) {
        for byte in text.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// A deletion of the group may take all offsets that were asked for before it.
    fn proposed(&mut self, records: &[Record]) {
        self.note(&print::append(records));
        if deletes_group(records) {
            self.acknowledged.clear();
            self.sent.values_mut().for_each(|it| *it = None);
        }
    }

    fn check_reply(&mut self, token: Token, reply: &Reply) {
        match reply {
            Reply::Join(it) if it.error_code == ErrorCode::NONE => {
                assert!(
                    it.generation_id >= self.generation_joined,
                    "generation {} after {}",
                    it.generation_id,
                    self.generation_joined
                );
                self.generation_joined = it.generation_id;
            }
            Reply::OffsetCommit(it) => {
                let sent = self.sent.remove(&token).expect("a commit");
                let taken = it.topics[0].partitions[0].error_code == ErrorCode::NONE;
                if let Some((partition, value)) = sent.filter(|_| taken) {
                    let before = self.acknowledged.insert(partition, value);
                    assert!(
                        before < Some(value),
                        "{before:?} was acknowledged before {value}"
                    );
                }
            }
            Reply::OffsetFetch(it) if !it.error_code.is_error() => {
                let partitions = it.topics.iter().flat_map(|topic| &topic.partitions);
                let found = partitions.map(|it| (it.partition_index, it.committed_offset));
                let found: BTreeMap<i32, i64> = found.collect();
                for (partition, value) in &self.acknowledged {
                    let is = found.get(partition).copied();
                    assert!(
                        is >= Some(*value),
                        "partition {partition} has {is:?}, not {value}"
                    );
                }
            }
            _ => {}
        }
    }

    /// A member has just been handed its partitions.
    fn check_holding(&mut self, at: usize, reply: &Reply) {
        let member = &self.members[at];
        if !matches!(reply, Reply::Sync(it) if it.error_code == ErrorCode::NONE) {
            return;
        }
        let now = (self.life, member.generation);
        let before = self.generation_held;
        assert!(
            now >= before,
            "generation {now:?} is handed out after {before:?}"
        );
        self.generation_held = now;
        // Under a new id a static member keeps what it had (KIP-345).
        let holder = member.instance.as_ref().unwrap_or(&member.id);
        for partition in &member.partitions {
            let key = (self.life, member.generation, *partition);
            let other = self.held.insert(key, holder.clone());
            assert!(
                other.is_none() || other.as_ref() == Some(holder),
                "{key:?} is held by {other:?} and {holder}"
            );
        }
    }

    fn log_answers(&mut self) {
        let deletes = self
            .bench
            .in_flight
            .front()
            .is_some_and(|it| deletes_group(&it.1));
        if deletes {
            self.seen.deletions += 1;
            self.life += 1;
            self.generation_joined = 0;
        }
        let outputs = self.bench.commit();
        self.hear(outputs);
    }

    fn append_fails(&mut self) {
        let errors = [
            ErrorCode::NOT_ENOUGH_REPLICAS,
            ErrorCode::NOT_LEADER_OR_FOLLOWER,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ];
        let error = errors[self.random.below(errors.len())];
        let outputs = self.bench.fail(error);
        self.hear(outputs);
    }

    fn time_passes(&mut self) {
        let longest = if self.random.one_in(20) { 15_000 } else { 600 };
        let ms = self.random.below(longest) as i64;
        let outputs = self.bench.advance(ms);
        self.hear(outputs);
    }

    fn somebody_starts(&mut self) {
        let at = self.random.below(self.members.len());
        if self.members[at].phase == Phase::Out {
            self.members[at] = Member::new(at, &mut self.random);
            self.members[at].phase = Phase::ToJoin;
        }
    }

    fn somebody_crashes(&mut self) {
        let at = self.random.below(self.members.len());
        if let Some(token) = self.members[at].waits_for {
            self.asked.remove(&token);
            self.sent.remove(&token);
            if self.random.one_in(2) {
                self.bench.shard.forget(token);
                self.forgotten.insert(token);
                self.seen.forgotten += 1;
            } else {
                // Nobody has noticed yet: the reply goes nowhere.
                self.asked.insert(token, None);
                self.sent.insert(token, None);
            }
        }
        self.members[at].crash();
    }

    /// By a crash or by a resignation; of what is in flight, the older part reached the log.
    fn coordinator_moves(&mut self) {
        self.seen.moves += 1;
        let in_flight = self.bench.in_flight.len();
        let survive = self.random.below(in_flight + 1);
        let kept: Vec<Vec<Record>> = (self.bench.in_flight.iter().take(survive))
            .map(|(_, records)| records.clone())
            .collect();
        if self.random.one_in(2) {
            let outputs = self.bench.unload();
            self.hear(outputs);
        } else {
            self.bench.forget_everything();
            self.connections_break();
        }
        for records in kept {
            if deletes_group(&records) {
                self.life += 1;
            }
            self.bench.log.extend(records);
        }
        self.generation_joined = 0;
        let outputs = self.bench.load();
        self.hear(outputs);
        self.check_offsets();
    }

    /// Clients see their connections end, and try again.
    fn connections_break(&mut self) {
        self.asked.clear();
        self.sent.clear();
        for member in &mut self.members {
            if member.waits_for.take().is_some() {
                member.phase = Phase::ToJoin;
            }
        }
    }

    fn delete_group(&mut self) {
        let groups = vec![GROUP.to_owned()];
        self.send(Request::DeleteGroups { groups }, None);
    }

    fn check_offsets(&mut self) {
        let request = fetch_all(self.random.one_in(2));
        self.send(request, None);
    }

    fn check_bounds(&self) {
        let [waiting, in_flight, timers] = self.bench.shard.load();
        let asked = self.asked.len() + self.forgotten.len();
        assert!(waiting <= asked, "{waiting} requests wait of {asked}");
        assert_eq!(in_flight, self.bench.in_flight.len());
        // Members, and ids given out within the longest session.
        let most = in_flight + 200;
        assert!(timers <= most, "{timers} timers");
    }

    /// No more faults: the group comes to rest.
    fn heal(&mut self) {
        for round in 0..2_000 {
            for at in 0..self.members.len() {
                if self.members[at].phase == Phase::Working && self.members[at].waits_for.is_none()
                {
                    let beat = self.members[at].beat();
                    let token = self.send(beat, Some(at));
                    assert!(!self.asked.contains_key(&token), "a heartbeat waits");
                } else {
                    self.act(at);
                }
            }
            while !self.bench.in_flight.is_empty() {
                self.log_answers();
            }
            let outputs = self.bench.advance(200);
            self.hear(outputs);
            self.check_bounds();
            if round > 500 && self.is_at_rest() {
                return;
            }
        }
        panic!("the group does not come to rest: {:#?}", self.members);
    }

    fn is_at_rest(&self) -> bool {
        let mut here = self.members.iter().filter(|it| it.phase != Phase::Out);
        here.all(|it| it.phase == Phase::Working) && self.asked.is_empty()
    }

    fn check_rest(&mut self) {
        let here: Vec<&Member> = self
            .members
            .iter()
            .filter(|it| it.phase != Phase::Out)
            .collect();
        let generations: BTreeSet<i32> = here.iter().map(|it| it.generation).collect();
        assert!(
            generations.len() <= 1,
            "at rest in generations {generations:?}"
        );
        let mut held: Vec<i32> = here.iter().flat_map(|it| it.partitions.clone()).collect();
        held.sort_unstable();
        if !here.is_empty() {
            assert!(
                held.into_iter().eq(0..PARTITIONS),
                "not all partitions are held once"
            );
        }
        self.check_offsets();
        let live = self.describe();
        self.bench.forget_everything();
        self.bench.load();
        assert_eq!(self.describe(), live, "the log tells another story");
    }

    /// The group and its offsets, as tools see them.
    fn describe(&mut self) -> String {
        let mut text = String::new();
        for request in [
            Request::DescribeGroups {
                groups: vec![GROUP.to_owned()],
                version: 5,
            },
            fetch_all(false),
        ] {
            for output in self.bench.send(request).1 {
                if let Output::Reply(_, reply) = output {
                    text.push_str(&print::reply(&reply));
                    text.push('\n');
                }
            }
        }
        text
    }
}

fn fetch_all(require_stable: bool) -> Request {
    let group = OffsetFetchRequestGroup {
        group_id: GROUP.to_owned(),
        member_id: None,
        member_epoch: -1,
        topics: None,
    };
    Request::OffsetFetch {
        group,
        require_stable,
        version: 9,
    }
}

/// Kind 2 is a group's record, and without value its end.
fn deletes_group(records: &[Record]) -> bool {
    let mut records = records.iter();
    records.any(|(key, value)| key.starts_with(&[0, 2]) && value.is_none())
}

/// Runs a seed; two runs of one seed end with the same digest.
fn run(seed: u64) -> (u64, Seen) {
    let guard = Seed(seed);
    let mut churn = Churn::new(seed);
    for _ in 0..STEPS {
        churn.step();
    }
    churn.heal();
    churn.check_rest();
    drop(guard);
    (churn.digest, churn.seen)
}

#[test]
fn churn() {
    if let Some(seed) = option_env!("ISTHMUS_SEED") {
        run(seed.parse().expect("ISTHMUS_SEED is a number"));
        return;
    }
    let mut seen = Seen::default();
    for seed in 0..SEEDS {
        seen.add(&run(seed).1);
    }
    seen.check(SEEDS);
}

#[test]
fn a_seed_replays_the_same_run() {
    assert_eq!(run(7).0, run(7).0);
    assert_ne!(run(7).0, run(8).0);
}
