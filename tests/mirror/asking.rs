//! A replicator at work, and those who ask it: status, pause, resume, and whether both sides are the
//! same.

use crate::content::{batch, fill, wait_for};
use crate::support::broker::{Broker, DevBroker, isthmus};
use crate::support::http;
use crate::support::process::{Finished, Program, run};
use crate::support::random::{Random, seed};
use crate::support::wire::Connection;
use isthmus_wire::ErrorCode;
use rustix::process::Signal;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

const RECORDS: usize = 300;

/// Two brokers, a file, and the flow a-to-b of the topic orders.
struct Sides {
    folder: tempfile::TempDir,
    source: Broker,
    target: Broker,
}

struct Running {
    program: Program,
    control: SocketAddr,
}

impl Sides {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = DevBroker::on(&folder.path().join("a")).start();
        let target = DevBroker::on(&folder.path().join("b")).start();
        let text = format!(
            "[daemon]\nname = 'asked'\ncontrol = '127.0.0.1:0'\n[clusters.a]\nbootstrap = '{}'\n\
             [clusters.b]\nbootstrap = '{}'\n[[flows]]\nsource = 'a'\ntarget = 'b'\ntopics = 'orders'\n",
            source.address(),
            target.address()
        );
        std::fs::write(folder.path().join("r.toml"), text).unwrap();
        Self {
            folder,
            source,
            target,
        }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("r.toml")
    }

    fn start(&self) -> Running {
        let mut command = isthmus();
        command.args(["replicator", "-c"]).arg(self.file());
        let mut program = Program::start(&mut command);
        let line = program.line_where(LIMIT, |line| line.starts_with("ready "));
        let Some(line) = line else {
            panic!("the replicator did not start: {:?}", program.kill())
        };
        let mut words = line.split(' ');
        let control = words.find_map(|word| word.strip_prefix("control="));
        let control = control.unwrap().parse().unwrap();
        Running { program, control }
    }

    fn verify(&self) -> Finished {
        verify(&self.file(), &["a-to-b"])
    }
}

fn verify(file: &Path, words: &[&str]) -> Finished {
    let mut command = isthmus();
    command.arg("verify").args(words).arg("-c").arg(file);
    run(&mut command, LIMIT)
}

impl Running {
    fn flow(&self) -> Value {
        let answer = http::request(self.control, "GET", "/status?flow=a-to-b");
        assert_eq!(answer.status, 200, "{answer:?}");
        let document: Value = serde_json::from_str(&answer.body).unwrap();
        document["flows"][0].clone()
    }

    /// Until the snapshot, renewed each second, says so.
    fn wait_for(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let flow = self.flow();
            if is_so(&flow) {
                return flow;
            }
            assert!(Instant::now() < deadline, "never {what}: {flow:#}");
        }
    }

    fn act(&self, act: &str, part: &str) -> Finished {
        let url = format!("http://{}", self.control);
        run(
            isthmus().args(["flow", act, part, "--control", &url]),
            LIMIT,
        )
    }
}

fn state(flow: &Value, partition: usize) -> &str {
    flow["partitions"][partition]["state"]
        .as_str()
        .unwrap_or("")
}

#[test]
fn a_flow_is_watched_paused_and_compared() {
    let sides = Sides::new();
    let mut from = Connection::open(sides.source.address()).unwrap();
    let mut to = Connection::open(sides.target.address()).unwrap();
    let mut random = Random::new(seed());
    let mut number = 0;
    let created = from.create_topic("orders", 2, &[("retention.ms", "-1")]);
    assert_eq!(created.unwrap(), ErrorCode::NONE);
    for partition in 0..2 {
        fill(
            &mut from,
            "orders",
            partition,
            &mut random,
            &mut number,
            RECORDS,
        );
    }
    let running = sides.start();
    let caught_up = |flow: &Value| {
        let summary = &flow["summary"];
        summary["lag_known"] == true
            && summary["lag_records"] == 0
            && summary["states"]["copying"] == 2
    };
    let flow = running.wait_for("caught up", |flow| {
        caught_up(flow) && flow["summary"]["totals"]["records"] == 2 * RECORDS
    });
    assert!(
        flow["summary"]["rpo_seconds"].as_f64().unwrap() < 30.0,
        "{flow:#}"
    );
    let url = format!("http://{}", running.control);
    let status = run(
        isthmus().args(["status", "a-to-b", "--control", &url]),
        LIMIT,
    )
    .succeeded();
    assert!(status.stdout.contains("2 copying"), "{status:?}");
    let metrics = http::request(running.control, "GET", "/metrics").body;
    let copied = "kafka_connect_mirror_mirrorsourceconnector_record_count{partition=\"0\",source=\"a\",target=\"b\",topic=\"a.orders\"} 300";
    assert!(metrics.lines().any(|line| line == copied), "{metrics}");
    // One partition stands still, the other goes on.
    let paused = running.act("pause", "a-to-b/orders/1").succeeded();
    assert_eq!(paused.stdout, "a-to-b/orders/1 paused partitions=1\n");
    running.wait_for("paused", |flow| state(flow, 1) == "paused");
    // What was ordered outlives the process.
    running.program.signal(Signal::TERM);
    running.program.wait(LIMIT).succeeded();
    let running = sides.start();
    running.wait_for("paused as before", |flow| {
        (state(flow, 0), state(flow, 1)) == ("copying", "paused")
    });
    for partition in 0..2 {
        fill(&mut from, "orders", partition, &mut random, &mut number, 50);
    }
    wait_for(&mut to, "a.orders", 0, RECORDS + 50);
    let flow = running.wait_for("seen behind", |flow| flow["summary"]["lag_records"] == 50);
    assert_eq!(
        (state(&flow, 0), state(&flow, 1)),
        ("copying", "paused"),
        "{flow:#}"
    );
    running.act("resume", "a-to-b").succeeded();
    wait_for(&mut to, "a.orders", 1, RECORDS + 50);
    running.wait_for("caught up again", caught_up);
    let unknown = running.act("pause", "a-to-b/payments");
    assert_eq!(unknown.code(), Some(2), "{unknown:?}");
    running.program.signal(Signal::TERM);
    running.program.wait(LIMIT).succeeded();

    let same = sides.verify().succeeded();
    assert_eq!(
        same.stdout, "a-to-b: 2 partitions, 700 records compared\nboth sides are the same\n",
        "{same:?}"
    );
    let one = verify(&sides.file(), &["a-to-b", "orders", "--json"]).succeeded();
    let document: Value = serde_json::from_str(&one.stdout).unwrap();
    assert_eq!(document["schema"], "isthmus.verify/1");
    assert_eq!(
        (&document["same"], &document["total"]["compared"]),
        (&true.into(), &700.into())
    );
    for words in [&["b-to-a"][..], &["a-to-b", "payments"]] {
        let refused = verify(&sides.file(), words);
        assert_eq!(refused.code(), Some(2), "{refused:?}");
    }
    // Another topic under the copy's name.
    let deleted = to.delete_topics(&["a.orders".to_owned()]).unwrap();
    assert_eq!(deleted, [ErrorCode::NONE]);
    assert_eq!(
        to.create_topic("a.orders", 2, &[]).unwrap(),
        ErrorCode::NONE
    );
    let (code, _) = to
        .produce("a.orders", 1, batch(&mut random, &mut number, 3))
        .unwrap();
    assert_eq!(code, ErrorCode::NONE);
    let differs = sides.verify();
    assert_eq!(differs.code(), Some(3), "{differs:?}");
    for part in [
        "differences, the first:\norders-0 at 0 is a.orders-0 at -: copied, and not at the target\n",
        "the sides differ\n",
    ] {
        assert!(differs.stdout.contains(part), "no {part} in {differs:?}");
    }
}
