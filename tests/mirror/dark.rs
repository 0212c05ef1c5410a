//! The source made dark under load: what the daemon says of the loss, against the true one.
//!
//! A flow that may copy but a few kilobytes a second falls behind while a producer is acknowledged.
//! Then the source is stopped (SIGSTOP: its connections stand, and nothing answers). The true loss is
//! what was acknowledged and is not in the copy; it began when the first such record was. The
//! recovery point must reach as far back, grow, and survive the daemon's own death, as must the
//! headroom. When the light is back, all that was acknowledged arrives.

use crate::content::wait_for;
use crate::replicator::{Daemon, Running};
use crate::support::broker::{Broker, DevBroker, isthmus};
use crate::support::http;
use crate::support::process::run;
use crate::support::records::{batch, now_ms};
use crate::support::say::say;
use crate::support::wire::{Connection, LATEST};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::BatchParams;
use rustix::process::Signal;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);

const RETENTION_SECONDS: f64 = 3_600.0;

const VALUE_BYTES: usize = 2_000;
const RECORDS_PER_BATCH: usize = 10;

/// Ten batches are well above what the flow may copy in a second.
const SLOW: &str = "max_bytes_per_second = '50kB'";

/// How far it must be behind before the light goes out: several samples.
const BEHIND_SECONDS: f64 = 2.5;

struct Sides {
    folder: tempfile::TempDir,
    source: Broker,
    target: Broker,
    load: Arc<Load>,
}

/// What is written while the source is light.
struct Load {
    to: SocketAddr,
    is_dark: AtomicBool,
    /// By the record's offset: when it was acknowledged.
    acked_ms: Mutex<Vec<i64>>,
}

/// What the daemon says at one moment.
#[derive(Debug)]
struct Said {
    at_ms: i64,
    rpo: f64,
    headroom: f64,
    lag_known: bool,
    is_floor: bool,
    /// How old the oldest record was that is acknowledged and not copied.
    truth: f64,
}

#[test]
fn a_dark_source_is_known_for_what_it_took_along() {
    let sides = Sides::new();
    let running = sides.daemon(SLOW).start();
    // What was there before the first sample is only known to be older than that.
    running.wait_for(LIMIT, "a-to-b", "seeing its source", |flow| {
        flow["summary"]["lag_known"] == true && flow["summary"]["states"]["copying"] == 1
    });
    let load = Arc::clone(&sides.load);
    let load = std::thread::spawn(move || load.run());
    running.wait_for(LIMIT, "a-to-b", "behind, with something copied", |flow| {
        let summary = &flow["summary"];
        summary["lag_known"] == true
            && summary["rpo_seconds"].as_f64() > Some(BEHIND_SECONDS)
            && summary["totals"]["records"].as_i64() > Some(0)
    });
    sides.source.signal(Signal::STOP);
    sides.load.is_dark.store(true, Ordering::Relaxed);
    let dark = |flow: &Value| flow["summary"]["lag_known"] == false;
    running.wait_for(LIMIT, "a-to-b", "dark", dark);
    let (first, _) = sides.judge(&running);
    sides.metrics_say_so(&running);
    let grown = |flow: &Value| flow["summary"]["rpo_seconds"].as_f64() > Some(first.rpo);
    running.wait_for(LIMIT, "a-to-b", "further behind", grown);
    let (later, _) = sides.judge(&running);
    assert!(later.headroom < first.headroom, "{first:?}, {later:?}");
    running.kill();
    let copied = sides.after_a_restart(&later);
    sides.source.signal(Signal::CONT);
    load.join().unwrap();
    let acked = sides.load.acked_ms.lock().unwrap().len();
    let fast = sides.daemon("").start();
    let mut to = Connection::open(sides.target.address()).unwrap();
    wait_for(&mut to, "a.orders", 0, acked);
    fast.stop().succeeded();
    say(&format!(
        "mirror: source dark with {} of {acked} acknowledged records not copied, the oldest {:.1} s \
         old; rpo said {:.1} s, headroom {:.0} s; all arrived afterwards",
        acked - copied,
        first.truth,
        first.rpo,
        first.headroom,
    ));
}

impl Sides {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = DevBroker::on(&folder.path().join("a")).start();
        let target = DevBroker::on(&folder.path().join("b")).start();
        let mut from = Connection::open(source.address()).unwrap();
        let retention = format!("{}", RETENTION_SECONDS * 1_000.0);
        let created = from.create_topic("orders", 1, &[("retention.ms", &retention)]);
        assert_eq!(created.unwrap(), ErrorCode::NONE);
        let load = Load {
            to: source.address(),
            is_dark: AtomicBool::new(false),
            acked_ms: Mutex::default(),
        };
        Self {
            folder,
            source,
            target,
            load: Arc::new(load),
        }
    }

    fn daemon(&self, more: &str) -> Daemon {
        let text = format!(
            "[daemon]\nname = 'dark'\ncontrol = '127.0.0.1:0'\n[clusters.a]\nbootstrap = '{}'\n\
             [clusters.b]\nbootstrap = '{}'\n[[flows]]\nsource = 'a'\ntarget = 'b'\n\
             topics = 'orders'\n{more}\n",
            self.source.address(),
            self.target.address()
        );
        Daemon::of(self.folder.path(), &text)
    }

    /// Records of the copy; with one partition and no transactions, those of the lowest offsets.
    fn copied(&self) -> usize {
        let mut to = Connection::open(self.target.address()).unwrap();
        let end = to.offset("a.orders", 0, LATEST).unwrap();
        usize::try_from(end).unwrap()
    }

    /// What is said is at least the truth, and how many records are copied.
    fn judge(&self, running: &Running) -> (Said, usize) {
        loop {
            let copied = self.copied();
            let mut said = said(running);
            // What was fetched before may still arrive.
            if copied == self.copied() {
                self.compare(&mut said, copied);
                return (said, copied);
            }
        }
    }

    fn compare(&self, said: &mut Said, copied: usize) {
        let acked = self.load.acked_ms.lock().unwrap();
        let oldest = acked
            .get(copied)
            .expect("nothing is lost, so nothing is tested");
        let truth = (said.at_ms - oldest) as f64 / 1_000.0;
        said.truth = truth;
        assert!(!said.lag_known, "{said:?}");
        assert!(said.rpo >= truth, "the loss is {truth} s, and {said:?}");
        let left = RETENTION_SECONDS - truth;
        assert!(
            said.headroom > 0.0 && said.headroom <= left,
            "{left} s left, and {said:?}"
        );
        // It knows how long, and does not only say "at least since I look".
        assert!(!said.is_floor, "{said:?}");
    }

    fn metrics_say_so(&self, running: &Running) {
        let metrics = http::request(running.control(), "GET", "/metrics").body;
        let value = |name: &str| -> f64 {
            let name = format!("isthmus_replicator_flow_{name}{{");
            let line = metrics.lines().find(|line| line.starts_with(&name));
            let line = line.unwrap_or_else(|| panic!("no {name} in {metrics}"));
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        assert_eq!(value("lag_known"), 0.0);
        assert!(value("rpo_seconds") > 0.0 && value("source_seen_age_seconds") > 0.0);
        assert!(value("headroom_seconds") < RETENTION_SECONDS);
        let url = format!("http://{}", running.control());
        let status = run(isthmus().args(["status", "--control", &url]), LIMIT);
        assert_eq!(status.code(), Some(3), "{status:?}");
        assert!(status.stdout.contains("unknown, was "), "{status:?}");
    }

    /// Another daemon, which never saw the source.
    fn after_a_restart(&self, before: &Said) -> usize {
        let running = self.daemon(SLOW).start();
        let knows = |flow: &Value| flow["partitions"][0]["source_next"].is_i64();
        running.wait_for(LIMIT, "a-to-b", "read from the target", knows);
        let (said, copied) = self.judge(&running);
        assert!(
            said.rpo > before.rpo && said.headroom < before.headroom,
            "{before:?}, {said:?}"
        );
        self.metrics_say_so(&running);
        running.stop().succeeded();
        copied
    }
}

impl Load {
    /// Until the source is dark. The last answer comes when it is light again, or the producer has
    /// given up waiting for it: then nothing was acknowledged.
    fn run(&self) {
        let mut to = Connection::open(self.to).unwrap();
        while !self.is_dark.load(Ordering::Relaxed) {
            let values = vec![vec![7; VALUE_BYTES]; RECORDS_PER_BATCH];
            let batch = batch(BatchParams::default(), now_ms(), &values);
            let Ok((code, _)) = to.produce("orders", 0, batch) else {
                return;
            };
            assert_eq!(code, ErrorCode::NONE);
            let now_ms = now_ms();
            let mut acked = self.acked_ms.lock().unwrap();
            acked.extend([now_ms; RECORDS_PER_BATCH]);
        }
    }
}

fn said(running: &Running) -> Said {
    let answer = http::request(running.control(), "GET", "/status?flow=a-to-b");
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    let flow = &document["flows"][0];
    let summary = &flow["summary"];
    let number = |name: &str| summary[name].as_f64().unwrap_or_else(|| panic!("{flow:#}"));
    Said {
        at_ms: document["at_ms"].as_i64().unwrap(),
        rpo: number("rpo_seconds"),
        headroom: number("headroom_seconds"),
        lag_known: summary["lag_known"] == true,
        is_floor: summary["rpo_is_floor"] == true,
        truth: 0.0,
    }
}
