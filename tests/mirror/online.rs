//! `isthmus config check FILE --online`: what is missing is told with the command that gives it,
//! nothing is written, and with what the commands give, the daemon works.

use crate::content::fill;
use crate::kafka::Kafka;
use crate::secured;
use crate::support::broker::{Broker, isthmus};
use crate::support::peers::peers;
use crate::support::process::{Finished, Program, run};
use crate::support::random::{Random, seed};
use crate::support::say::say;
use crate::support::wire::{Connection, LATEST};
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::create_acls_request::AclCreation;
use isthmus_wire::messages::join_group_request::JoinGroupRequestProtocol;
use isthmus_wire::messages::leave_group_request::LeaveGroupRequest;
use isthmus_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use isthmus_wire::messages::{
    CreateAclsRequest, FindCoordinatorRequest, JoinGroupRequest, ListOffsetsRequest,
};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(90);

/// A cluster with an authorizer: open to who may do anything, and guarded, where `pat` logs in.
struct Side {
    open: SocketAddr,
    guarded: SocketAddr,
}

impl Side {
    fn of_isthmus(broker: &Broker) -> Self {
        Self {
            open: broker.ready.listeners[0],
            guarded: broker.ready.listeners[1],
        }
    }

    fn of_kafka(kafka: &Kafka, guarded: SocketAddr) -> Self {
        Self {
            open: kafka.address,
            guarded,
        }
    }

    fn connect(&self) -> Connection {
        Connection::open(self.open).unwrap()
    }
}

/// An operation on a resource, by Kafka's numbers.
struct Allow<'a> {
    operation: i8,
    kind: i8,
    name: &'a str,
    pattern: i8,
}

const READ: i8 = 3;
const WRITE: i8 = 4;
const CREATE: i8 = 5;
const ALTER: i8 = 7;
const DESCRIBE: i8 = 8;
const DESCRIBE_CONFIGS: i8 = 10;
const ALTER_CONFIGS: i8 = 11;

const LITERAL: i8 = 3;
const PREFIXED: i8 = 4;

fn topic(operation: i8, name: &str) -> Allow<'_> {
    Allow {
        operation,
        kind: 2,
        name,
        pattern: LITERAL,
    }
}

fn copies(operation: i8) -> Allow<'static> {
    Allow {
        pattern: PREFIXED,
        ..topic(operation, "a.")
    }
}

/// Gives `pat` rights.
fn allow(at: &mut Connection, rights: &[Allow<'_>]) {
    let creation = |it: &Allow<'_>| AclCreation {
        resource_type: it.kind,
        resource_name: it.name.to_owned(),
        resource_pattern_type: it.pattern,
        principal: "User:pat".to_owned(),
        host: "*".to_owned(),
        operation: it.operation,
        permission_type: 3,
    };
    let request = CreateAclsRequest {
        creations: rights.iter().map(creation).collect(),
    };
    for result in at.call(&request, 3).unwrap().results {
        assert_eq!(result.error_code, ErrorCode::NONE, "{result:?}");
    }
}

/// All that is there: the end of every partition of every topic.
fn snapshot(at: &Side) -> BTreeMap<(String, i32), i64> {
    let mut connection = at.connect();
    let mut all = BTreeMap::new();
    for topic in connection.metadata().unwrap().topics {
        let name = topic.name.unwrap();
        for partition in topic.partitions {
            let at = partition.partition_index;
            let end = end_of(&mut connection, &name, at);
            all.insert((name.clone(), at), end);
        }
    }
    all
}

/// A topic may be known before its leader serves it.
fn end_of(at: &mut Connection, topic: &str, partition: i32) -> i64 {
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: topic.to_owned(),
            partitions: vec![ListOffsetsPartition {
                partition_index: partition,
                timestamp: LATEST,
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = at.call(&request, 7).unwrap();
        let found = &answer.topics[0].partitions[0];
        if found.error_code == ErrorCode::NONE {
            return found.offset;
        }
        assert!(Instant::now() < deadline, "{topic}: {}", found.error_code);
    }
}

/// A new topic with so many records in each partition.
fn filled(
    at: &mut Connection,
    topic: &str,
    partitions: i32,
    config: &[(&str, &str)],
    records: usize,
) {
    let created = at.create_topic(topic, partitions, config).unwrap();
    assert_eq!(created, ErrorCode::NONE);
    let (mut random, mut number) = (Random::new(seed()), 0);
    for partition in 0..partitions {
        assert_eq!(end_of(at, topic, partition), 0);
        fill(at, topic, partition, &mut random, &mut number, records);
    }
}

/// A flow from `a` to `b`, whose user is pat on both sides.
struct File(PathBuf);

impl File {
    fn new(folder: &Path, source: &Side, target: &Side, topics: &[&str]) -> Self {
        std::fs::write(folder.join("pat"), "pat-pw\n").unwrap();
        let password = folder.join("pat").display().to_string();
        let cluster = |name: &str, side: &Side| {
            format!(
                "[clusters.{name}]\nbootstrap = '{}'\nsasl = {{ mechanism = 'PLAIN', username = 'pat', \
                 password_file = '{password}' }}\n",
                side.guarded
            )
        };
        let text = format!(
            "[daemon]\nname = 'online'\n{}{}[[flows]]\nsource = 'a'\ntarget = 'b'\ntopics = {topics:?}\n\
             groups = []\nmax_bytes_per_second = '1MB'\n",
            cluster("a", source),
            cluster("b", target)
        );
        let path = folder.join("r.toml");
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn check(&self, words: &[&str]) -> Finished {
        let mut command = isthmus();
        command.args(["config", "check"]).arg(&self.0);
        run(command.arg("--online").args(words), LIMIT)
    }
}

/// The check, which must leave both sides as they were.
fn checked(file: &File, sides: [&Side; 2], words: &[&str]) -> Finished {
    let before = sides.map(snapshot);
    let finished = file.check(words);
    assert_eq!(sides.map(snapshot), before, "{finished:?}");
    finished
}

/// Joins the group that MirrorMaker 2 would be in.
fn join_as_mirror_maker(at: &mut Connection) -> String {
    let deadline = Instant::now() + LIMIT;
    let find = FindCoordinatorRequest {
        key_type: 0,
        coordinator_keys: vec!["a-mm2".to_owned()],
        ..Default::default()
    };
    let join = JoinGroupRequest {
        group_id: "a-mm2".to_owned(),
        session_timeout_ms: 60_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "connect".to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "sessioned".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    };
    loop {
        let found = at.call(&find, 4).unwrap().coordinators[0].error_code;
        let joined = at.call(&join, 3).unwrap();
        if found == ErrorCode::NONE && joined.error_code == ErrorCode::NONE {
            return joined.member_id;
        }
        assert!(Instant::now() < deadline, "{found} {}", joined.error_code);
    }
}

fn leave(at: &mut Connection, member_id: String) {
    let request = LeaveGroupRequest {
        group_id: "a-mm2".to_owned(),
        member_id,
        ..Default::default()
    };
    assert_eq!(at.call(&request, 2).unwrap().error_code, ErrorCode::NONE);
}

/// Whether each of these lines, or pairs of lines, was printed.
fn has(finished: &Finished, expected: &[String]) {
    for words in expected {
        assert!(
            finished.stdout.contains(&format!("{words}\n")),
            "no {words:?} in {}\n{}",
            finished.stdout,
            finished.stderr
        );
    }
}

fn missing(right: &str, side: &str, at: SocketAddr, words: &str) -> String {
    format!(
        "fault: flow a-to-b: a right is missing: {right} for User:pat at the {side}\n  kafka-acls.sh \
         --bootstrap-server {at} --add --allow-principal 'User:pat' --operation {words}"
    )
}

fn scenario(folder: &Path, source: &Side, target: &Side, mark: &str) {
    let names = ["orders", "bills", "hidden"].map(|name| format!("{name}{mark}"));
    let [orders, bills, hidden] = names.each_ref().map(String::as_str);
    let foreign = format!("a.{bills}");
    let mut from = source.connect();
    let mut to = target.connect();
    for (name, partitions) in [(orders, 2), (bills, 1), (hidden, 1)] {
        filled(&mut from, name, partitions, &[], 50);
    }
    let short = [("max.message.bytes", "900000")];
    filled(&mut to, &foreign, 1, &short, 7);
    allow(
        &mut from,
        &[
            topic(READ, orders),
            topic(READ, bills),
            topic(DESCRIBE_CONFIGS, bills),
            Allow {
                kind: 4,
                ..topic(DESCRIBE, "kafka-cluster")
            },
        ],
    );
    let mm2 = Allow {
        kind: 3,
        ..topic(DESCRIBE, "a-mm2")
    };
    allow(
        &mut to,
        &[copies(READ), copies(CREATE), copies(DESCRIBE_CONFIGS), mm2],
    );
    let member = join_as_mirror_maker(&mut to);
    let file = File::new(folder, source, target, &[orders, bills, hidden]);
    let sides = [source, target];

    let told = checked(&file, sides, &[]);
    assert_eq!(told.code(), Some(3), "{told:?}");
    let (a, b) = (source.guarded, target.guarded);
    has(
        &told,
        &[
            missing(
                &format!("DescribeConfigs on topic {orders}"),
                "source",
                a,
                &format!("DescribeConfigs --topic '{orders}'"),
            ),
            missing(
                &format!("Read on topic {hidden}"),
                "source",
                a,
                &format!("Read --topic '{hidden}'"),
            ),
            missing(
                "Write on topics a.*",
                "target",
                b,
                "Write --topic 'a.' --resource-pattern-type prefixed",
            ),
            missing(
                "Create on topic __isthmus_replicator.online",
                "target",
                b,
                "Create --topic '__isthmus_replicator.online'",
            ),
            format!("warning: flow a-to-b: the pattern \"{hidden}\" matches no topic"),
            "fault: flow a-to-b: MirrorMaker 2 is at work between these clusters (group a-mm2 has \
             members): both would write the same topics\n  stop MirrorMaker 2 first"
                .to_owned(),
            format!(
                "fault: flow a-to-b: topic {bills} would be held: the target's topic holds 7 records \
                 in 1 partitions that are not from this flow; set existing = \"append\" or \"mm2\", or \
                 choose another name"
            ),
            "the flows would not do what the file says".to_owned(),
        ],
    );
    assert!(
        told.stdout
            .contains("\nflow a-to-b, a to b: 2 topics, 3 partitions, "),
        "{told:?}"
    );
    for right in ["Read on topics", "Read on topic orders", "Create on topics"] {
        assert!(
            !told.stdout.contains(&format!("missing: {right}")),
            "{told:?}"
        );
    }
    leave(&mut to, member);
    works(&file, sides, [orders, bills, hidden], &foreign);
    say(&format!(
        "mirror: checked online, {} rights were missing",
        told.stdout.matches("a right is missing").count()
    ));
}

/// With what was missing, and without the foreign records, the check holds, and the daemon works with
/// no more than that.
fn works(file: &File, sides: [&Side; 2], topics: [&str; 3], foreign: &str) {
    let [mut from, mut to] = sides.map(Side::connect);
    let [orders, bills, hidden] = topics;
    let state = "__isthmus_replicator.online";
    allow(
        &mut from,
        &[
            topic(DESCRIBE_CONFIGS, orders),
            topic(READ, hidden),
            topic(DESCRIBE_CONFIGS, hidden),
        ],
    );
    allow(
        &mut to,
        &[
            copies(WRITE),
            copies(ALTER),
            copies(ALTER_CONFIGS),
            topic(CREATE, state),
            topic(READ, state),
            topic(WRITE, state),
        ],
    );
    let deleted = to.delete_topics(&[foreign.to_owned()]).unwrap();
    assert_eq!(deleted, [ErrorCode::NONE]);
    let deadline = Instant::now() + LIMIT;
    let holds = loop {
        let holds = checked(file, sides, &["--json"]);
        // What was allowed or deleted a moment ago may not have reached the broker that was asked.
        if holds.code() == Some(0) {
            break holds;
        }
        assert!(Instant::now() < deadline, "{holds:?}");
    };
    let document: Value = serde_json::from_str(&holds.stdout).unwrap();
    assert_eq!(document["schema"], "isthmus.config.check/1");
    let flow = &document["online"]["flows"][0];
    assert_eq!(
        (&flow["topics"], &flow["partitions"]),
        (&3.into(), &4.into())
    );
    assert!(flow["bytes"].as_u64().unwrap() > 1_000, "{document:#}");
    assert_eq!(flow["seconds"], 1, "{document:#}");

    let mut command = isthmus();
    command.args(["replicator", "-c"]).arg(&file.0);
    let program = Program::start(&mut command);
    // Until nothing is left to copy; the check may be asked while the daemon works.
    let deadline = Instant::now() + LIMIT;
    loop {
        let after = file.check(&["--json"]).succeeded();
        let document: Value = serde_json::from_str(&after.stdout).unwrap();
        if document["online"]["flows"][0]["bytes"] == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "{document:#}");
    }
    program.signal(Signal::TERM);
    program.wait(LIMIT).succeeded();
    let copies = snapshot(sides[1]);
    for (topic, partition) in [(orders, 0), (orders, 1), (bills, 0), (hidden, 0)] {
        let copy = (format!("a.{topic}"), partition);
        assert_eq!(copies.get(&copy), Some(&50), "{copy:?} in {copies:?}");
    }
}

#[test]
fn what_is_missing_is_told_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let source = secured::start_isthmus(&folder.path().join("a"));
    let target = secured::start_isthmus(&folder.path().join("b"));
    let sides = [&source, &target].map(Side::of_isthmus);
    scenario(folder.path(), &sides[0], &sides[1], "");
}

#[test]
fn apache_kafka_is_asked_in_the_same_way() {
    let Some(peers) = peers("checks online with Apache Kafka") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (kafka, guarded) = secured::start_kafka(&peers, &folder.path().join("kafka"));
    let isthmus = secured::start_isthmus(&folder.path().join("isthmus"));
    let kafka_side = Side::of_kafka(&kafka, guarded);
    let isthmus_side = Side::of_isthmus(&isthmus);
    scenario(folder.path(), &kafka_side, &isthmus_side, "");
    scenario(folder.path(), &isthmus_side, &kafka_side, "-2");
}

#[test]
fn a_cluster_that_is_away_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r.toml");
    let text = "[daemon]\nname = 'away'\n[clusters.a]\nbootstrap = '127.0.0.1:1'\n[clusters.b]\n\
                bootstrap = '127.0.0.1:2'\n[[flows]]\nsource = 'a'\ntarget = 'b'\ntopics = '.*'\n";
    std::fs::write(&file, text).unwrap();
    let away = File(file).check(&[]);
    assert_eq!(away.code(), Some(4), "{away:?}");
    assert!(away.stderr.contains("could not reach a: "), "{away:?}");
    let broker = folder.path().join("server.properties");
    std::fs::write(&broker, "node.id=1\n").unwrap();
    let refused = File(broker).check(&[]);
    assert_eq!(refused.code(), Some(2), "{refused:?}");
    assert!(refused.stderr.contains("this is a broker's"), "{refused:?}");
}
