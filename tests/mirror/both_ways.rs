//! Active-active: two clusters, each a source and a target of the other, loaded on both sides.
//!
//! Nothing may circulate: what is written on one side is on the other once, and nowhere else. Each
//! policy that is meant for it is run between two Isthmus brokers and between Isthmus and Apache
//! Kafka, with flows that take every topic. Same names both ways are refused.
//!
//! `ISTHMUS_TEST_MIRROR_SECONDS` says how long each policy is loaded, usually 10.

use crate::kafka;
use crate::replicator::{Daemon, Running};
use crate::support::broker::{DevBroker, isthmus};
use crate::support::peers::peers;
use crate::support::process::run;
use crate::support::random::{Random, number_from_env, seed};
use crate::support::records::{UNPACKED_MAX, batch, now_ms};
use crate::support::say::say;
use crate::support::wire::{Connection, LATEST, batches};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::{BatchParams, Compression};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(120);

/// A topic is found within five seconds, and created a moment later.
const TOPICS_FOUND: Duration = Duration::from_secs(8);

/// Watched after the load, for what might still come: several looks at both clusters long.
const AFTERWARDS: Duration = Duration::from_secs(5);

const PARTITIONS: i32 = 2;
const RECORDS_PER_BATCH: u64 = 20;

/// Records that a side writes beyond what the other has seen: the load goes as fast as the copy.
const AHEAD_MAX: i64 = 400;

const NAMES: [&str; 2] = ["east", "west"];

/// A policy, and what each side's own topic is called at home and at the other side.
struct Policy {
    name: &'static str,
    own: [&'static str; 2],
    copies: [&'static str; 2],
}

const POLICIES: [Policy; 2] = [
    Policy {
        name: "source-prefix",
        own: ["orders", "orders"],
        copies: ["east.orders", "west.orders"],
    },
    Policy {
        name: "owner-prefix",
        own: ["east.bills", "west.bills"],
        copies: ["east.bills", "west.bills"],
    },
];

#[test]
fn two_isthmus_clusters_feed_each_other_and_nothing_circulates() {
    let folder = tempfile::tempdir().unwrap();
    let east = DevBroker::on(&folder.path().join("east")).start();
    let west = DevBroker::on(&folder.path().join("west")).start();
    let sides = [east.address(), west.address()];
    POLICIES
        .iter()
        .for_each(|it| check("Isthmus", folder.path(), sides, it));
}

#[test]
fn isthmus_and_apache_kafka_feed_each_other_and_nothing_circulates() {
    let Some(peers) = peers("active-active with Apache Kafka") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let east = DevBroker::on(&folder.path().join("east")).start();
    let west = kafka::start(&peers, &folder.path().join("west"), "");
    let sides = [east.address(), west.address];
    POLICIES
        .iter()
        .for_each(|it| check("Apache Kafka", folder.path(), sides, it));
}

#[test]
fn the_same_names_both_ways_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let brokers = NAMES.map(|name| DevBroker::on(&folder.path().join(name)).start());
    let sides = [brokers[0].address(), brokers[1].address()];
    let daemon = Daemon::of(folder.path(), &file(sides, "identity"));
    let mut command = isthmus();
    command.args(["replicator", "-c"]).arg(daemon.file());
    let refused = run(&mut command, LIMIT);
    assert_eq!(refused.code(), Some(2), "{refused:?}");
    let path = "east -> west (east-to-west, identity) -> east (west-to-east, identity)";
    assert!(refused.stderr.contains(path), "{refused:?}");
    for side in sides {
        let topics = Connection::open(side).unwrap().topic_names().unwrap();
        assert!(topics.is_empty(), "something was written: {topics:?}");
    }
}

/// A side under load.
struct Side {
    address: SocketAddr,
    other: SocketAddr,
    own: &'static str,
    /// What its own topic is called at the other side.
    copy: &'static str,
}

fn check(other: &str, folder: &Path, sides: [SocketAddr; 2], policy: &Policy) {
    let length = number_from_env("ISTHMUS_TEST_MIRROR_SECONDS", 10);
    let sides = [0, 1].map(|at| Side {
        address: sides[at],
        other: sides[1 - at],
        own: policy.own[at],
        copy: policy.copies[at],
    });
    let before = sides.each_ref().map(|side| topics(side.address));
    for side in &sides {
        let mut at = Connection::open(side.address).unwrap();
        let created = at.create_topic(side.own, PARTITIONS, &[("retention.ms", "-1")]);
        assert_eq!(created.unwrap(), ErrorCode::NONE);
    }
    let addresses = sides.each_ref().map(|side| side.address);
    let running = Daemon::of(folder, &file(addresses, policy.name)).start();
    let until = Instant::now() + Duration::from_secs(length);
    let written = std::thread::scope(|scope| {
        let load = sides
            .each_ref()
            .map(|side| scope.spawn(|| side.load(until)));
        let began = Instant::now();
        while Instant::now() < until {
            for (at, side) in sides.iter().enumerate() {
                let there = topics(side.address);
                let expected = expected(&before[at], &sides, at);
                assert!(there.is_subset(&expected), "{}: {there:?}", policy.name);
                let is_due = began.elapsed() > TOPICS_FOUND;
                assert!(!is_due || there == expected, "{}: {there:?}", policy.name);
            }
        }
        load.map(|load| load.join().unwrap())
    });
    for (side, written) in sides.iter().zip(written) {
        side.wait_for_copy(written);
    }
    let until = Instant::now() + AFTERWARDS;
    while Instant::now() < until {
        for (at, side) in sides.iter().enumerate() {
            assert_eq!(topics(side.address), expected(&before[at], &sides, at));
            assert_eq!(side.count_own(), written[at], "{} grew by itself", side.own);
            assert_eq!(
                side.count_copy(),
                written[at],
                "more copies than {}",
                side.own
            );
        }
    }
    is_quiet(&running);
    running.stop().succeeded();
    sides.iter().for_each(Side::compare);
    say(&format!(
        "mirror: {} both ways between Isthmus and {other} for {length} s: {} and {} records in, as \
         many out and all the same, {} topics on each side throughout",
        policy.name,
        written[0],
        written[1],
        expected(&before[0], &sides, 0).len() - before[0].len(),
    ));
}

/// Every topic, both ways.
fn file(sides: [SocketAddr; 2], policy: &str) -> String {
    let [east, west] = NAMES;
    let mut text = format!("[daemon]\nname = '{policy}'\ncontrol = '127.0.0.1:0'\n");
    for (name, address) in NAMES.iter().zip(sides) {
        text += &format!("[clusters.{name}]\nbootstrap = '{address}'\n");
    }
    for (source, target) in [(east, west), (west, east)] {
        text += &format!(
            "[[flows]]\nsource = '{source}'\ntarget = '{target}'\ntopics = '.*'\n\
             naming = '{policy}'\n"
        );
    }
    text
}

/// Those that people made.
fn topics(at: SocketAddr) -> BTreeSet<String> {
    let names = Connection::open(at).unwrap().topic_names().unwrap();
    names
        .into_iter()
        .filter(|name| !name.starts_with("__"))
        .collect()
}

/// What was there, the side's own topic, and the other's copy.
fn expected(before: &BTreeSet<String>, sides: &[Side; 2], at: usize) -> BTreeSet<String> {
    let new = [sides[at].own.to_owned(), sides[1 - at].copy.to_owned()];
    before.iter().cloned().chain(new).collect()
}

/// No partition of any flow saw records of somebody else, or made one twice.
fn is_quiet(running: &Running) {
    for flow in ["east-to-west", "west-to-east"] {
        let flow = running.flow(flow);
        let totals = &flow["summary"]["totals"];
        assert_eq!(
            (&totals["duplicates"], &totals["foreign"]),
            (&0.into(), &0.into()),
            "{flow:#}"
        );
    }
}

impl Side {
    /// Writes until the time has come; how many records.
    fn load(&self, until: Instant) -> i64 {
        let mut to = Connection::open(self.address).unwrap();
        let mut copy = Connection::open(self.other).unwrap();
        let mut random = Random::new(seed());
        let (mut number, mut copied) = (0, 0);
        while Instant::now() < until {
            let written = i64::try_from(number).unwrap();
            // Before the copy's topic is found there is nothing to compare with.
            if copied == 0 || written - copied >= AHEAD_MAX {
                copied = count(&mut copy, self.copy);
            }
            if written - copied >= AHEAD_MAX {
                continue;
            }
            let mark = random.next();
            let values = (number..number + RECORDS_PER_BATCH)
                .map(|it| format!("{} {it} {mark}", self.own).into_bytes());
            let params = BatchParams {
                compression: Compression::Lz4,
                ..BatchParams::default()
            };
            let partition = i32::try_from(random.below(2)).unwrap();
            let batch = batch(params, now_ms(), &values.collect::<Vec<_>>());
            let (code, _) = to.produce(self.own, partition, batch).unwrap();
            assert_eq!(code, ErrorCode::NONE);
            number += RECORDS_PER_BATCH;
        }
        i64::try_from(number).unwrap()
    }

    fn count_own(&self) -> i64 {
        count(&mut Connection::open(self.address).unwrap(), self.own)
    }

    fn count_copy(&self) -> i64 {
        count(&mut Connection::open(self.other).unwrap(), self.copy)
    }

    fn wait_for_copy(&self, written: i64) {
        let deadline = Instant::now() + LIMIT;
        while self.count_copy() < written {
            assert!(Instant::now() < deadline, "{} never came over", self.own);
        }
    }

    fn compare(&self) {
        let mut from = Connection::open(self.address).unwrap();
        let mut to = Connection::open(self.other).unwrap();
        for partition in 0..PARTITIONS {
            let (own, copy) = (
                digest(&mut from, self.own, partition),
                digest(&mut to, self.copy, partition),
            );
            assert_eq!(own, copy, "{}-{partition}", self.own);
        }
    }
}

/// Records of a topic; a partition that is not there yet has none.
fn count(at: &mut Connection, topic: &str) -> i64 {
    let known = at.metadata().unwrap().topics;
    let is_led = |it: &&isthmus_wire::messages::metadata_response::MetadataResponseTopic| {
        let led = it.partitions.iter().filter(|it| it.leader_id >= 0);
        it.name.as_deref() == Some(topic) && led.count() == 2
    };
    match known.iter().find(is_led) {
        Some(_) => (0..PARTITIONS)
            .map(|partition| {
                at.try_offset(topic, partition, LATEST)
                    .unwrap()
                    .unwrap_or(0)
            })
            .sum(),
        None => 0,
    }
}

/// How many records a partition has, and a digest of them in their order.
fn digest(from: &mut Connection, topic: &str, partition: i32) -> (u64, u32) {
    let end = from.offset(topic, partition, LATEST).unwrap();
    let (mut count, mut digest, mut at) = (0, 0, 0);
    while at < end {
        let data = from.fetch(topic, partition, at, 4 << 20).unwrap();
        assert_eq!(data.error_code, ErrorCode::NONE);
        for batch in batches(&data) {
            for record in batch.records(UNPACKED_MAX).unwrap().map(Result::unwrap) {
                count += 1;
                digest = crc32c::crc32c_append(digest, &record.timestamp.to_be_bytes());
                digest = crc32c::crc32c_append(digest, &record.value.unwrap());
            }
            at = batch.header().next_offset();
        }
    }
    (count, digest)
}
