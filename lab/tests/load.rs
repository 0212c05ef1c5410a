//! `isthmus lab load` and `lab recompute` as a drill calls them: real clients, real brokers, real
//! kills, on Isthmus and on Apache Kafka.
//!
//! They need the binary (`ISTHMUS_TEST_BINARY`) and, for Kafka and the Java clients, Apache Kafka's
//! jars (`ISTHMUS_TEST_KAFKA_LIBS`). Without the variables a test says that it was not run; with
//! `ISTHMUS_TEST_REQUIRE=1` it fails then. No time is judged here: the machine may be busy, so a
//! cell may be void for its generator's lateness, and for nothing else.
//!
//! With `ISTHMUS_TEST_LAB_OUT` the ledgers and the report stay in that folder, to be looked at.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests, outside the test functions themselves"
)]

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use isthmus_client::admin::NewTopic;
use isthmus_client::{ClientConfig, Cluster};
use isthmus_lab::clock::{Clock, Micros, now};
use isthmus_lab::ledger::header::{Drill, Header, Target as TargetName};
use isthmus_lab::ledger::{DRILL_FILE, LedgerWriter, Row, SCHEMA};
use isthmus_lab::targets::{
    ApacheKafka, Isthmus, IsthmusProgram, KafkaJars, KafkaSettings, Target,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const BINARY: &str = "ISTHMUS_TEST_BINARY";
const KAFKA_LIBS: &str = "ISTHMUS_TEST_KAFKA_LIBS";
const REQUIRE: &str = "ISTHMUS_TEST_REQUIRE";
const OUT: &str = "ISTHMUS_TEST_LAB_OUT";

/// Nothing here takes longer on a machine that works, however busy.
const LIMIT: Duration = Duration::from_secs(120);

/// Records per second of each producer.
const RATE: u64 = 300;

/// A variable that the test cannot do without.
fn needed(name: &str) -> Option<PathBuf> {
    let value = env::var_os(name).filter(|value| !value.is_empty());
    if value.is_none() {
        let required = env::var_os(REQUIRE).is_some_and(|value| value == "1");
        assert!(!required, "{name} is not set, and {REQUIRE}=1");
        println!("not run: {name} is not set");
    }
    value.map(PathBuf::from)
}

/// A folder for one cell, gone after the test unless it should stay.
struct Room {
    path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Room {
    fn new(name: &str) -> Self {
        match env::var_os(OUT) {
            Some(out) => {
                let path = Path::new(&out).join(name);
                std::fs::create_dir_all(&path).unwrap();
                Self {
                    path,
                    _temporary: None,
                }
            }
            None => {
                let temporary = tempfile::tempdir().unwrap();
                Self {
                    path: temporary.path().to_owned(),
                    _temporary: Some(temporary),
                }
            }
        }
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }
}

/// A load client as a process; killed when the test ends early.
struct LoadClient {
    name: String,
    child: Child,
}

impl LoadClient {
    fn start(cell: &CellFolder, what: &str, name: &str, cluster: &Broker, more: &[&str]) -> Self {
        let mut command = Command::new(&cell.binary);
        command
            .args(["lab", "load", what, "--name", name, "--drill", "test"])
            .args(["--cluster", cluster.name, "--site", cluster.name])
            .args(["--bootstrap", &cluster.address.to_string(), "--out"])
            .arg(&cell.path)
            .args(more)
            .env_remove("ISTHMUS_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Self {
            name: name.to_owned(),
            child: command.spawn().unwrap(),
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end, which must be in order.
    fn finish(mut self) {
        let name = self.name.clone();
        wait_until(&format!("the end of {name}"), || {
            self.child.try_wait().unwrap().is_some()
        });
        let status = self.child.wait().unwrap();
        // Java ends by the signal's own number when it is asked to end.
        let ended = status.success() || status.code() == Some(143);
        assert!(ended, "{name} ended with {status}");
    }

    fn stop(self) {
        self.signal(Signal::TERM);
        self.finish();
    }

    fn kill(mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }
}

impl Drop for LoadClient {
    fn drop(&mut self) {
        // One that has ended is none the worse for it.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A broker that was started.
struct Broker {
    name: &'static str,
    address: SocketAddr,
    target: Box<dyn Target>,
}

impl Broker {
    async fn start(name: &'static str, mut target: Box<dyn Target>) -> Self {
        let started = target.start().await.unwrap();
        let broker = Self {
            name,
            address: started.address,
            target,
        };
        broker.make_topic("orders").await;
        broker
    }

    async fn make_topic(&self, topic: &str) {
        let cluster = Cluster::new(ClientConfig::new([self.address.to_string()])).unwrap();
        let wanted = [NewTopic::new(topic, 3, 1)];
        let outcomes = cluster.admin().create_topics(&wanted, false).await.unwrap();
        for (topic, outcome) in outcomes {
            outcome.unwrap_or_else(|refusal| panic!("{topic}: {refusal}"));
        }
    }
}

/// Where the ledgers of one cell are.
struct CellFolder {
    binary: PathBuf,
    path: PathBuf,
    faults: Vec<(Micros, Option<Micros>, String)>,
}

impl CellFolder {
    fn new(binary: &Path, path: PathBuf) -> Self {
        Self {
            binary: binary.to_owned(),
            path,
            faults: Vec::new(),
        }
    }

    /// Rows of a kind in a client's ledger so far.
    fn rows(&self, ledger: &str, kind: &str) -> usize {
        let text = std::fs::read_to_string(self.path.join(ledger)).unwrap_or_default();
        text.lines().filter(|line| line.starts_with(kind)).count()
    }

    /// Records of a start that were acknowledged so far.
    fn acked(&self, ledger: &str) -> usize {
        let text = std::fs::read_to_string(self.path.join(ledger)).unwrap_or_default();
        let is_acked = |line: &&str| line.starts_with("i,") && line.contains(",acked,");
        text.lines().filter(is_acked).count()
    }

    fn wait_for_rows(&self, ledger: &str, kind: &str, count: usize) {
        wait_until(&format!("{count} rows {kind:?} in {ledger}"), || {
            self.rows(ledger, kind) >= count
        });
    }

    fn audit(&self, broker: &Broker, name: &str, phase: &str) {
        LoadClient::start(self, "audit", name, broker, &["--phase", phase]).finish();
    }

    /// Writes the drill's own ledger, as a drill does, and has the cell judged.
    fn judge(&self, cell: &str, target: &dyn Target) -> Value {
        let described = target.describe();
        let header = Header {
            schema: SCHEMA.to_owned(),
            drill: "test".to_owned(),
            clock: Clock::read().unwrap(),
            began_us: now(),
            client: None,
            cell: Some(Drill {
                model: "single-site".to_owned(),
                target: TargetName {
                    program: described.program,
                    version: described.version,
                    settings: described.settings,
                },
                cell: cell.to_owned(),
                placebo: self.faults.is_empty(),
                run: 1,
                claims: Vec::new(),
                network: Vec::new(),
                clusters: vec!["a".to_owned()],
            }),
        };
        let mut ledger = LedgerWriter::create(&self.path.join(DRILL_FILE), &header).unwrap();
        for (from_us, to_us, text) in &self.faults {
            ledger
                .row(&Row::Fault {
                    from_us: *from_us,
                    to_us: *to_us,
                    text: text.clone(),
                })
                .unwrap();
        }
        ledger.end(now()).unwrap();
        self.recompute()
    }

    /// The verdict of the only run, which is sound but for the machine's own lateness.
    fn recompute(&self) -> Value {
        let report = self.path.join("report");
        let mut command = Command::new(&self.binary);
        command.args(["lab", "recompute", "--json"]).arg(&self.path);
        let output = command.arg("--out").arg(&report).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code();
        assert!(code == Some(0) || code == Some(3), "{code:?}: {said}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["schema"], "isthmus.lab-recompute/1");
        let page = std::fs::read_to_string(report.join("report.html")).unwrap();
        assert!(!page.contains("http"), "the page must work offline");
        let run = &document["report"]["models"][0]["cells"][0]["runs"][0];
        for why in run["verdict"]["void"].as_array().unwrap() {
            let why = why.as_str().unwrap();
            assert!(why.contains(" was late: "), "{why}");
        }
        run["verdict"].clone()
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "waited for {what} in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Everything that must be zero when only a process died and came back.
fn assert_nothing_wrong(verdict: &Value) {
    assert_eq!(verdict["lost"]["records"], 0, "{verdict}");
    for finding in [
        "duplicates",
        "out_of_order",
        "keys_moved",
        "read_then_gone",
        "refused_yet_read",
        "resurrected",
        "phantom",
    ] {
        assert_eq!(verdict[finding]["count"], 0, "{finding}: {verdict}");
    }
}

fn count(verdict: &Value, pointer: &str) -> u64 {
    verdict
        .pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("{pointer}: {verdict}"))
}

fn isthmus(binary: &Path, folder: PathBuf) -> Box<dyn Target> {
    Box::new(Isthmus::new(IsthmusProgram::find(binary).unwrap(), folder))
}

fn seconds(count: u64) -> String {
    count.to_string()
}

/// A producer, a consumer in a group, a broker that is killed under load and started again.
async fn kill_and_restart(binary: &Path, room: &Room, target: Box<dyn Target>) {
    let mut broker = Broker::start("a", target).await;
    let mut cell = CellFolder::new(binary, room.folder("ledgers"));
    let rate = RATE.to_string();
    // It goes on until it is stopped, so that the fault hits it however slow the machine is.
    let load = ["--topic", "orders", "--rate", &rate];
    let reading = ["--topic", "orders", "--group", "readers"];
    let consumer = LoadClient::start(&cell, "consume", "reader", &broker, &reading);
    let producer = LoadClient::start(&cell, "produce", "writer", &broker, &load);
    cell.wait_for_rows("writer-1.ledger", "i,", 500);
    cell.wait_for_rows("reader-1.ledger", "r,", 300);

    let from = now();
    broker.target.kill().await.unwrap();
    broker.target.start().await.unwrap();
    let text = "kill -9 of the broker, and start".to_owned();
    cell.faults.push((from, Some(now()), text));
    let before = cell.acked("writer-1.ledger");
    wait_until("acknowledgements after the fault", || {
        cell.acked("writer-1.ledger") >= before + 300
    });
    producer.stop();
    cell.audit(&broker, "audit", "final");
    let acked = cell.acked("writer-1.ledger");
    cell.wait_for_rows("reader-1.ledger", "r,", acked);
    consumer.stop();

    let verdict = cell.judge("broker killed", &*broker.target);
    assert_nothing_wrong(&verdict);
    let acked = acked as u64;
    assert_eq!(count(&verdict, "/outcomes/acked"), acked);
    assert_eq!(count(&verdict, "/latency/samples"), acked);
    // What a slow machine had not answered when the producer was stopped.
    let unknown = count(&verdict, "/outcomes/unknown");
    assert_eq!(count(&verdict, "/outcomes/intended"), acked + unknown);
    let outages = verdict["outages"].as_array().unwrap();
    let clients: Vec<_> = outages.iter().map(|it| &it["client"]).collect();
    assert_eq!(clients, ["reader", "writer"], "{verdict}");
    for outage in outages {
        assert_eq!(outage["recovered"], true, "{outage}");
        let told = (&outage["from_us"], &outage["to_us"]);
        let (began, ended) = (told.0.as_u64().unwrap(), told.1.as_u64().unwrap());
        assert!(ended > from && began < now(), "{outage}");
    }
    broker.target.stop().await.unwrap();
}

#[tokio::test]
async fn isthmus_is_killed_and_comes_back() {
    let Some(binary) = needed(BINARY) else {
        return;
    };
    let room = Room::new("isthmus-killed");
    let target = isthmus(&binary, room.folder("broker"));
    kill_and_restart(&binary, &room, target).await;
}

#[tokio::test]
async fn apache_kafka_is_killed_and_comes_back() {
    let (Some(binary), Some(libs)) = (needed(BINARY), needed(KAFKA_LIBS)) else {
        return;
    };
    let room = Room::new("kafka-killed");
    let jars = KafkaJars::find(&libs).unwrap();
    let settings = KafkaSettings::tuned(2);
    let target = Box::new(ApacheKafka::new(jars, settings, room.folder("broker")));
    kill_and_restart(&binary, &room, target).await;
}

/// Without a mirror everything that the dead cluster acknowledged is lost, and exactly that.
#[tokio::test]
async fn a_cluster_is_lost_for_good_and_the_producer_is_switched() {
    let Some(binary) = needed(BINARY) else {
        return;
    };
    let room = Room::new("switched");
    let mut cell = CellFolder::new(&binary, room.folder("ledgers"));
    let mut dead = Broker::start("a", isthmus(&binary, room.folder("a"))).await;
    let mut alive = Broker::start("b", isthmus(&binary, room.folder("b"))).await;
    let rate = RATE.to_string();
    let load = ["--topic", "orders", "--rate", &rate, "--seconds", "6"];
    let producer = LoadClient::start(&cell, "produce", "writer", &dead, &load);
    cell.wait_for_rows("writer-1.ledger", "i,", 400);
    let from = now();
    dead.target.kill().await.unwrap();
    cell.faults
        .push((from, None, "kill -9 of cluster a".to_owned()));
    producer.stop();
    cell.audit(&alive, "at-switch", "switch");
    LoadClient::start(&cell, "produce", "writer", &alive, &load).finish();
    cell.audit(&alive, "at-end", "final");

    let acked_by_a = cell.rows("writer-1.ledger", "i,");
    let verdict = cell.judge("cluster lost", &*alive.target);
    assert_eq!(count(&verdict, "/outcomes/intended"), RATE * 6);
    let lost = count(&verdict, "/lost/records");
    let unknown = count(&verdict, "/outcomes/unknown");
    // What was on its way when the cluster died has a row, and its outcome is unknown.
    assert_eq!(lost + unknown, acked_by_a as u64, "{verdict}");
    assert_eq!(count(&verdict, "/unreadable_at_switch/records"), lost);
    assert_eq!(count(&verdict, "/lost_for_a_time/records"), 0);
    assert_eq!(count(&verdict, "/phantom/count"), 0);
    assert_eq!(count(&verdict, "/duplicates/count"), 0);
    alive.target.stop().await.unwrap();
}

/// The client itself is killed: it goes on where its marks end, and nothing is taken for a phantom.
#[tokio::test]
async fn a_producer_is_killed_and_goes_on() {
    let Some(binary) = needed(BINARY) else {
        return;
    };
    let room = Room::new("producer-killed");
    let mut cell = CellFolder::new(&binary, room.folder("ledgers"));
    let mut broker = Broker::start("a", isthmus(&binary, room.folder("broker"))).await;
    let rate = RATE.to_string();
    let load = ["--topic", "orders", "--rate", &rate];
    let producer = LoadClient::start(&cell, "produce", "writer", &broker, &load);
    cell.wait_for_rows("writer-1.ledger", "i,", 400);
    producer.kill();
    cell.faults
        .push((now(), None, "kill -9 of the producer".to_owned()));
    let other_rate = ["--topic", "orders", "--rate", "7", "--seconds", "5"];
    let mut refused = LoadClient::start(&cell, "produce", "writer", &broker, &other_rate);
    assert_eq!(refused.child.wait().unwrap().code(), Some(2));
    let again = LoadClient::start(&cell, "produce", "writer", &broker, &load);
    cell.wait_for_rows("writer-2.ledger", "i,", 400);
    again.stop();
    cell.audit(&broker, "audit", "final");

    let verdict = cell.judge("producer killed", &*broker.target);
    assert_nothing_wrong(&verdict);
    // Those that died are unknown too, as is what was not answered at the stop.
    let [intended, acked, unknown, died] = ["intended", "acked", "unknown", "died"]
        .map(|outcome| count(&verdict, &format!("/outcomes/{outcome}")));
    assert_eq!(intended, acked + unknown, "{verdict}");
    assert!(acked >= 400 && died > 0 && died <= unknown, "{verdict}");
    assert_eq!(verdict["torn"].as_array().unwrap().len(), 1, "{verdict}");
    broker.target.stop().await.unwrap();
}

/// Kafka's own library writes the same ledgers, and the same is found.
#[tokio::test]
async fn the_java_clients_agree() {
    let (Some(binary), Some(_)) = (needed(BINARY), needed(KAFKA_LIBS)) else {
        return;
    };
    let room = Room::new("java");
    let cell = CellFolder::new(&binary, room.folder("ledgers"));
    let mut broker = Broker::start("a", isthmus(&binary, room.folder("broker"))).await;
    let rate = RATE.to_string();
    let all = usize::try_from(RATE * 10).unwrap();
    let length = seconds(10);
    let load = ["--topic", "orders", "--rate", &rate, "--seconds", &length];
    let with_java = [&load[..], &["--client", "java"]].concat();
    let reading = ["--topic", "orders", "--group", "java", "--client", "java"];
    let consumer = LoadClient::start(&cell, "consume", "java-reader", &broker, &reading);
    let other = LoadClient::start(&cell, "produce", "librdkafka", &broker, &load);
    LoadClient::start(&cell, "produce", "java", &broker, &with_java).finish();
    other.finish();
    cell.audit(&broker, "audit", "final");
    cell.wait_for_rows("java-reader-1.ledger", "r,", 2 * all);
    consumer.stop();

    let verdict = cell.judge("no fault", &*broker.target);
    assert_nothing_wrong(&verdict);
    assert_eq!(count(&verdict, "/outcomes/acked"), 2 * RATE * 10);
    assert_eq!(count(&verdict, "/consumers/0/records"), 2 * RATE * 10);
    assert_eq!(verdict["torn"].as_array().unwrap().len(), 0, "{verdict}");
    broker.target.stop().await.unwrap();
}
