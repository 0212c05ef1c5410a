//! Failover: the source is gone, its flows' targets are taken, and an old daemon writes nothing more.
//!
//! Whether an old daemon writes nothing is seen by what it does write: a flow of the same daemon to the
//! same target, on which nobody acted, carries new records and new group offsets; by then those of the
//! others would have come, too. The state topic is read as it stands.

use crate::content::{fill, wait_for};
use crate::copies::copy_of;
use crate::groups::{commit, committed, coordinate, wait_for_offset};
use crate::kafka::{self, Kafka};
use crate::replicator::{Daemon, Running};
use crate::support::broker::{Broker, DevBroker, isthmus};
use crate::support::peers::peers;
use crate::support::process::{Finished, Program, run};
use crate::support::random::{Random, number_from_env, seed};
use crate::support::records::UNPACKED_MAX;
use crate::support::say::say;
use crate::support::wire::{Connection, LATEST, batches};
use isthmus_wire::ErrorCode;
use rustix::process::Signal;
use serde_json::Value;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);

/// Rounds when nobody says otherwise: one with the old daemon killed before, one with it alive.
const FAILOVERS: u64 = 2;

const RECORDS: usize = 200;

const SIGKILL: i32 = 9;

/// The daemon's name is that of the state topic.
const STATE_TOPIC: &str = "__isthmus_replicator.dr";

/// Who is taken.
enum Target {
    Isthmus(Broker),
    Apache(Kafka),
}

impl Target {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Isthmus(broker) => broker.address(),
            Self::Apache(kafka) => kafka.address,
        }
    }
}

struct Sides {
    folder: tempfile::TempDir,
    source: Broker,
    target: Target,
    from: Connection,
    to: Connection,
    random: Random,
    number: u64,
}

impl Sides {
    fn new() -> Self {
        Self::towards(|folder| Target::Isthmus(DevBroker::on(folder).start()))
    }

    fn towards(target: impl FnOnce(&Path) -> Target) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = DevBroker::on(&folder.path().join("a")).start();
        let target = target(&folder.path().join("b"));
        Self {
            from: Connection::open(source.address()).unwrap(),
            to: Connection::open(target.address()).unwrap(),
            random: Random::new(seed()),
            number: 0,
            folder,
            source,
            target,
        }
    }

    /// From a to b; `flows` are tables without their ends.
    fn daemon(&self, flows: &[&str]) -> Daemon {
        let flows = flows
            .iter()
            .map(|it| format!("[[flows]]\nsource = 'a'\ntarget = 'b'\n{it}\n"));
        let text = format!(
            "[daemon]\nname = 'dr'\ncontrol = '127.0.0.1:0'\n[clusters.a]\nbootstrap = '{}'\n\
             [clusters.b]\nbootstrap = '{}'\n{}",
            self.source.address(),
            self.target.address(),
            flows.collect::<String>()
        );
        Daemon::of(self.folder.path(), &text)
    }

    fn create(&mut self, topic: &str) {
        let created = self.from.create_topic(topic, 1, &[]).unwrap();
        assert_eq!(created, ErrorCode::NONE);
    }

    fn fill_source(&mut self, topic: &str, records: usize) {
        let (random, number) = (&mut self.random, &mut self.number);
        fill(&mut self.from, topic, 0, random, number, records);
    }

    fn fill_target(&mut self, topic: &str, records: usize) {
        let (random, number) = (&mut self.random, &mut self.number);
        fill(&mut self.to, topic, 0, random, number, records);
    }

    fn end_at_target(&mut self, topic: &str) -> i64 {
        self.to.offset(topic, 0, LATEST).unwrap()
    }
}

/// `isthmus failover`, with these words and the file.
fn failover(file: &Path, words: &[&str]) -> Finished {
    let mut command = isthmus();
    command.arg("failover").args(words).arg("-c").arg(file);
    run(&mut command, LIMIT)
}

/// The document: the last line.
fn document(finished: &Finished) -> Value {
    let last = finished.stdout.lines().last();
    let last = last.unwrap_or_else(|| panic!("no document: {finished:?}"));
    serde_json::from_str(last).unwrap()
}

#[test]
fn a_lost_source_is_failed_over_without_a_daemon() {
    a_source_is_lost(Sides::new());
    say("mirror: a dead source was failed over without a daemon, cut short and gone on with");
}

/// Roles stand in a topic as any other, so the target may be anybody's.
#[test]
fn a_lost_source_is_failed_over_on_apache_kafka() {
    let Some(peers) = peers("a failover on Apache Kafka") else {
        return;
    };
    a_source_is_lost(Sides::towards(|folder| {
        Target::Apache(kafka::start(&peers, folder, ""))
    }));
    say("mirror: a dead source was failed over on Apache Kafka, cut short and gone on with");
}

fn a_source_is_lost(mut sides: Sides) {
    sides.create("orders");
    sides.fill_source("orders", RECORDS);
    for group in ["billing", "own"] {
        coordinate(&mut sides.from, group);
        coordinate(&mut sides.to, group);
        commit(&mut sides.from, group, "orders", 150);
    }
    let daemon = sides.daemon(&["topics = 'orders'"]);
    let running = daemon.start();
    let copy = copy_of("orders");
    wait_for(&mut sides.to, &copy, 0, RECORDS);
    for group in ["billing", "own"] {
        wait_for_offset(&mut sides.to, group, &copy, 150);
    }
    let saved = |flow: &Value| flow["partitions"][0]["source_next"] == RECORDS;
    running.wait_for(LIMIT, "a-to-b", "whole", saved);
    let file = daemon.file().to_owned();
    // The source is alive: nothing is to be failed over yet.
    let alive = failover(&file, &["a-to-b", "--dry-run", "--json"]);
    assert_eq!(alive.code(), Some(3), "{alive:?}");
    let seen = document(&alive);
    assert_eq!(seen["verdict"], "not-ready", "{seen:#}");
    assert_eq!(seen["flows"][0]["source_answers"], true, "{seen:#}");
    running.stop().succeeded();
    sides.source.kill_now();
    let end = sides.end_at_target(STATE_TOPIC);
    refusals(&file);
    dry_run(&file);
    assert_eq!(
        sides.end_at_target(STATE_TOPIC),
        end,
        "something was written"
    );
    let promoted = act(&file);
    assert_eq!(promoted["verdict"], "promoted", "{promoted:#}");
    let flow = &promoted["flows"][0];
    assert_eq!(flow["role"], "promoted", "{promoted:#}");
    assert_eq!(flow["role_epoch"], 1, "{promoted:#}");
    assert_eq!(flow["role_by"], "ops@here", "{promoted:#}");
    // Once more does no harm, and is no other act.
    let again = failover(&file, &["--cluster", "a", "--yes", "--json", "--by", "me"]);
    assert_eq!(again.code(), Some(0), "{again:?}");
    assert_eq!(document(&again)["flows"][0]["role_by"], "ops@here");
    assert_eq!(committed(&mut sides.to, "billing", &copy), 150);
    released(&file);
}

#[test]
fn a_target_that_goes_away_midway_is_told_with_what_to_do() {
    let mut sides = Sides::new();
    sides.create("orders");
    sides.fill_source("orders", RECORDS);
    let daemon = sides.daemon(&["topics = 'orders'"]);
    let running = daemon.start();
    let saved = |flow: &Value| flow["partitions"][0]["source_next"] == RECORDS;
    running.wait_for(LIMIT, "a-to-b", "whole", saved);
    running.stop().succeeded();
    sides.source.kill_now();
    let mut command = isthmus();
    command.args(["failover", "a-to-b", "--yes", "--json", "-c"]);
    let mut acting = Program::start(command.arg(daemon.file()));
    // The role is taken; seconds follow in which offsets of groups are carried.
    let promoted = acting.line_where(LIMIT, |line| line.contains("\"promoted\""));
    assert!(promoted.is_some(), "{:?}", acting.wait(LIMIT));
    let Target::Isthmus(target) = sides.target else {
        unreachable!("both sides are ours");
    };
    target.kill_now();
    let cut = acting.wait(LIMIT);
    assert_eq!(cut.code(), Some(5), "{cut:?}");
    assert!(cut.stderr.contains("--resume"), "{cut:?}");
}

/// What is not to be done changes nothing.
fn refusals(file: &Path) {
    let refusals: [(&[&str], i32); 6] = [
        (&["a-to-c", "--yes"], 2),
        (&["--cluster", "c", "--yes"], 2),
        (&["a-to-b", "--max-loss", "soon", "--yes"], 2),
        // Nobody sits at a terminal.
        (&["a-to-b"], 2),
        // Some time has passed since the source was seen.
        (&["a-to-b", "--max-loss", "1ms", "--yes"], 3),
        (&["a-to-b", "--resume", "--yes"], 3),
    ];
    for (words, code) in refusals {
        let refused = failover(file, words);
        assert_eq!(refused.code(), Some(code), "{words:?}: {refused:?}");
    }
}

fn dry_run(file: &Path) {
    let seen = failover(file, &["a-to-b", "--dry-run", "--json"]);
    assert_eq!(seen.code(), Some(0), "{seen:?}");
    let seen = document(&seen);
    assert_eq!(seen["verdict"], "would-promote", "{seen:#}");
    let flow = &seen["flows"][0];
    assert_eq!(flow["source_answers"], false, "{seen:#}");
    assert_eq!(flow["lost_at_least"], 0, "{seen:#}");
    assert!(flow["lost_at_most"].is_i64(), "{seen:#}");
    assert!(
        flow["source_seen_seconds_ago"].as_f64() > Some(0.0),
        "{seen:#}"
    );
    let groups = flow["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 2, "{seen:#}");
    assert!(groups.iter().all(|it| it["ready"] == true), "{seen:#}");
    let people = failover(file, &["a-to-b", "--dry-run"]);
    for words in [
        "lost at least 0 records, at most ",
        "source seen ",
        " ago",
        "2 of 2 group",
    ] {
        assert!(people.stdout.contains(words), "{people:?}");
    }
}

/// Cut short once the role is taken, where this build can be; then gone on with.
fn act(file: &Path) -> Value {
    let mut words = vec!["a-to-b", "--yes", "--json", "--by", "ops@here"];
    if cfg!(feature = "fault-points") {
        let mut command = isthmus();
        command.arg("failover").args(&words).arg("-c").arg(file);
        command.env("ISTHMUS_FAULT", "promoted:1");
        let cut = run(&mut command, LIMIT);
        assert_eq!(cut.status.signal(), Some(SIGKILL), "{cut:?}");
        words = vec!["a-to-b", "--yes", "--json", "--by", "another", "--resume"];
    }
    let done = failover(file, &words);
    assert_eq!(done.code(), Some(0), "{done:?}");
    let steps: Vec<Value> = done
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<&str> = steps.iter().filter_map(|it| it["step"].as_str()).collect();
    assert_eq!(names, ["promoted", "settled"], "{steps:?}");
    document(&done)
}

fn released(file: &Path) {
    let release = |words: &[&str]| {
        let mut command = isthmus();
        command.args(["flow", "release", "a-to-b"]).args(words);
        run(command.arg("-c").arg(file), LIMIT)
    };
    assert_eq!(release(&[]).code(), Some(2), "nobody said yes");
    let done = release(&["--yes", "--json"]);
    assert_eq!(done.code(), Some(0), "{done:?}");
    let told = document(&done);
    assert_eq!(
        (&told["verdict"], &told["role"], &told["role_epoch"]),
        (&"released".into(), &"mirroring".into(), &2.into())
    );
    let again = release(&["--yes", "--json"]);
    assert_eq!(document(&again)["verdict"], "unchanged", "{again:?}");
}

#[test]
fn an_old_daemon_writes_nothing_after_a_failover() {
    let mut sides = Sides::new();
    let rounds = number_from_env("ISTHMUS_TEST_FAILOVERS", FAILOVERS);
    for round in 0..rounds {
        let is_alive = round % 2 == 1;
        Round::new(&mut sides, round).play(is_alive);
    }
    say(&format!(
        "mirror: {rounds} failovers, each by two operators at once, the source back and the old \
         daemon with the old file: no record, no offset and no progress written"
    ));
}

/// Three flows of one daemon: two are failed over, the third shows that the daemon works.
struct Round<'a> {
    sides: &'a mut Sides,
    round: u64,
    daemon: Daemon,
}

impl<'a> Round<'a> {
    fn new(sides: &'a mut Sides, round: u64) -> Self {
        let flow = |name: &str, naming: &str| {
            format!(
                "name = '{name}-{round}'\ntopics = '{name}-{round}'\ngroups = 'g-{name}-{round}'\n\
                 naming = '{naming}'"
            )
        };
        let flows = [
            flow("same", "identity"),
            flow("prefixed", "source-prefix"),
            flow("free", "source-prefix"),
        ];
        let daemon = sides.daemon(&flows.each_ref().map(String::as_str));
        Self {
            sides,
            round,
            daemon,
        }
    }

    /// A topic and a flow are called the same.
    fn name(&self, name: &str) -> String {
        format!("{name}-{}", self.round)
    }

    fn group(&self, name: &str) -> String {
        format!("g-{name}-{}", self.round)
    }

    /// Of the copy.
    fn target_name(&self, name: &str) -> String {
        match name {
            "same" => self.name(name),
            _ => copy_of(&self.name(name)),
        }
    }

    fn play(mut self, is_alive: bool) {
        let running = self.mirror();
        let running = match is_alive {
            true => Some(running),
            false => {
                running.kill();
                None
            }
        };
        self.sides.source.signal(Signal::STOP);
        self.fail_over_twice_at_once();
        let after = self.live_at_the_target();
        self.sides.source.signal(Signal::CONT);
        self.live_at_the_source();
        let running = running.unwrap_or_else(|| self.daemon.start());
        self.wait_until_held(&running);
        self.wait_until_it_works();
        self.judge(&after);
        running.stop().succeeded();
        self.judge(&after);
    }

    /// Everything is copied and carried.
    fn mirror(&mut self) -> Running {
        for name in ["same", "prefixed", "free"] {
            let (topic, group) = (self.name(name), self.group(name));
            self.sides.create(&topic);
            self.sides.fill_source(&topic, RECORDS);
            coordinate(&mut self.sides.from, &group);
            coordinate(&mut self.sides.to, &group);
            commit(&mut self.sides.from, &group, &topic, 100);
        }
        let running = self.daemon.start();
        for name in ["same", "prefixed", "free"] {
            let (topic, group) = (self.target_name(name), self.group(name));
            wait_for(&mut self.sides.to, &topic, 0, RECORDS);
            wait_for_offset(&mut self.sides.to, &group, &topic, 100);
        }
        for name in ["same", "prefixed"] {
            let is_whole = |flow: &Value| flow["partitions"][0]["source_next"] == RECORDS;
            running.wait_for(LIMIT, &self.name(name), "whole", is_whole);
        }
        running
    }

    /// Both are told that it is done, and one of them has done it.
    fn fail_over_twice_at_once(&self) {
        let start = |who: &str| {
            let mut command = isthmus();
            command.arg("failover");
            command.args([self.name("same"), self.name("prefixed")]);
            // What was copied last may not have been seen yet, with the daemon killed.
            command.args(["--forced", "--yes", "--json", "--by", who]);
            Program::start(command.arg("-c").arg(self.daemon.file()))
        };
        let operators = ["one", "two"].map(start);
        let documents = operators.map(|it| {
            let done = it.wait(LIMIT);
            assert_eq!(done.code(), Some(0), "{done:?}");
            document(&done)
        });
        for at in 0..2 {
            let [one, two] = documents.each_ref().map(|it| &it["flows"][at]);
            assert_eq!(one["role"], "promoted", "{one:#}");
            assert_eq!(one["role_epoch"], 1, "{one:#}");
            assert_eq!(one["role_epoch"], two["role_epoch"], "{one:#} {two:#}");
            assert_eq!(one["role_by"], two["role_by"], "{one:#} {two:#}");
        }
    }

    /// Clients have come over: they write, and their groups read on.
    fn live_at_the_target(&mut self) -> After {
        let same = self.target_name("same");
        self.sides.fill_target(&same, 30);
        for name in ["same", "prefixed"] {
            let (group, topic) = (self.group(name), self.target_name(name));
            commit(&mut self.sides.to, &group, &topic, 170);
        }
        After {
            same_end: self.sides.end_at_target(&same),
            state_end: self.sides.end_at_target(STATE_TOPIC),
        }
    }

    /// What an old daemon would love to carry.
    fn live_at_the_source(&mut self) {
        for name in ["same", "prefixed", "free"] {
            let (topic, group) = (self.name(name), self.group(name));
            self.sides.fill_source(&topic, 50);
            commit(&mut self.sides.from, &group, &topic, 240);
        }
    }

    fn wait_until_held(&self, running: &Running) {
        for (name, what) in [
            ("same", "nothing is copied"),
            ("prefixed", "group offsets are not carried"),
        ] {
            let is_held = |flow: &Value| {
                let held = flow["role"]["held"].as_str().unwrap_or_default();
                let says_so = held.starts_with("promoted at ") && held.contains(what);
                says_so && flow["role"]["confirmed"] == true
            };
            running.wait_for(LIMIT, &self.name(name), "held", is_held);
        }
        // It stays alive, and sees what it may not copy.
        let sees = |flow: &Value| {
            flow["summary"]["lag_known"] == true && flow["summary"]["lag_records"] == 50
        };
        running.wait_for(LIMIT, &self.name("same"), "seen", sees);
    }

    /// Data of both prefixed flows comes, and the groups of the one on which nobody acted.
    fn wait_until_it_works(&mut self) {
        for name in ["prefixed", "free"] {
            let topic = self.target_name(name);
            wait_for(&mut self.sides.to, &topic, 0, RECORDS + 50);
        }
        let (group, topic) = (self.group("free"), self.target_name("free"));
        wait_for_offset(&mut self.sides.to, &group, &topic, 240);
    }

    fn judge(&mut self, after: &After) {
        let same = self.target_name("same");
        assert_eq!(
            self.sides.end_at_target(&same),
            after.same_end,
            "round {}: a record was written",
            self.round
        );
        for name in ["same", "prefixed"] {
            let (group, topic) = (self.group(name), self.target_name(name));
            let offset = committed(&mut self.sides.to, &group, &topic);
            assert_eq!(offset, 170, "round {}: an offset was written", self.round);
        }
        let flow = self.name("same");
        let written = written_of(&mut self.sides.to, after.state_end, &flow);
        assert_eq!(written, 0, "round {}: progress was written", self.round);
    }
}

/// What stands at the target once clients live there.
struct After {
    same_end: i64,
    state_end: i64,
}

/// Records of a flow in the state topic, from an offset on. Keys begin with a layout, a kind and the
/// flow's name.
fn written_of(at: &mut Connection, from: i64, flow: &str) -> usize {
    let end = at.offset(STATE_TOPIC, 0, LATEST).unwrap();
    let name = [&[0, u8::try_from(flow.len()).unwrap()], flow.as_bytes()].concat();
    let (mut next, mut count) = (from, 0);
    while next < end {
        let data = at.fetch(STATE_TOPIC, 0, next, 1 << 20).unwrap();
        assert_eq!(data.error_code, ErrorCode::NONE);
        for batch in batches(&data) {
            let records = batch.records(UNPACKED_MAX).unwrap().map(Result::unwrap);
            let keys = records
                .filter(|it| it.offset >= from)
                .filter_map(|it| it.key);
            count += keys.filter(|key| key[2..].starts_with(&name)).count();
            next = batch.header().next_offset();
        }
    }
    count
}
