//! `isthmus lab drill` and `lab up` as a user calls them: whole models as real processes.
//!
//! They need the binary (`ISTHMUS_TEST_BINARY`) and, for Kafka and MirrorMaker 2, Apache Kafka's jars
//! (`ISTHMUS_TEST_KAFKA_LIBS`). Without the variables a test says that it was not run; with
//! `ISTHMUS_TEST_REQUIRE=1` it fails then. No time is judged here: the machine may be busy, so a
//! cell may be void for its generator's lateness, and for nothing else.
//!
//! With `ISTHMUS_TEST_LAB_OUT` ledgers, logs and report stay in that folder, to be looked at.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests, outside the test functions themselves"
)]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use isthmus_config::model::SHIPPED;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const BINARY: &str = "ISTHMUS_TEST_BINARY";
const KAFKA_LIBS: &str = "ISTHMUS_TEST_KAFKA_LIBS";
const REQUIRE: &str = "ISTHMUS_TEST_REQUIRE";
const OUT: &str = "ISTHMUS_TEST_LAB_OUT";

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

/// A folder for one test, gone after it unless it should stay.
fn room(name: &str) -> (PathBuf, Option<tempfile::TempDir>) {
    match env::var_os(OUT) {
        Some(out) => {
            let path = Path::new(&out).join(name);
            fs::create_dir_all(&path).unwrap();
            (path, None)
        }
        None => {
            let folder = tempfile::tempdir().unwrap();
            (folder.path().to_owned(), Some(folder))
        }
    }
}

/// A shipped model with times that a test can wait for, as a file of the user's own.
fn short_model(name: &str, folder: &Path) -> PathBuf {
    let (_, text) = SHIPPED.iter().find(|it| it.0 == name).unwrap();
    let (before, _) = text.split_once("\n[load]\n").unwrap();
    let (_, cells) = text.split_once("\n[[cells]]").unwrap();
    let (cells, _) = cells.split_once("\n[[claims]]").unwrap();
    let load = "run = \"8s\"\nfault_after = \"3s\"\nswitch_after = \"1s\"\n";
    let path = folder.join(format!("{name}.toml"));
    fs::write(
        &path,
        format!("{before}\n[load]\n{load}\n[[cells]]{cells}\n"),
    )
    .unwrap();
    path
}

fn lab(binary: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command
        .arg("lab")
        .args(words)
        .env_remove("ISTHMUS_LOG")
        .stdin(Stdio::null());
    command
}

/// Command lines of running processes that name the folder. A process that has ended and waits to
/// be reaped has an empty one.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.canonicalize().unwrap();
    let folder = folder.to_string_lossy();
    let entries = fs::read_dir("/proc").unwrap().map(Result::unwrap);
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&*folder)).collect()
}

fn end(mut child: Child, signal: Signal) -> Option<i32> {
    kill_process(Pid::from_child(&child), signal).unwrap();
    child.wait().unwrap().code()
}

fn cell<'a>(report: &'a Value, name: &str) -> &'a Value {
    let cells = report["models"][0]["cells"].as_array().unwrap();
    let found = cells.iter().find(|cell| cell["name"] == name);
    found.unwrap_or_else(|| panic!("no cell {name}: {cells:?}"))
}

/// The only run of a cell, sound but for the machine's own lateness.
fn verdict(cell: &Value) -> &Value {
    let runs = cell["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1, "{runs:?}");
    let verdict = &runs[0]["verdict"];
    for why in verdict["void"].as_array().unwrap() {
        let why = why.as_str().unwrap();
        assert!(why.contains(" was late: "), "{why}");
    }
    verdict
}

fn count(verdict: &Value, pointer: &str) -> u64 {
    verdict
        .pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("{pointer}: {verdict}"))
}

/// Nothing that a fault of this kind could excuse.
fn assert_nothing_strange(verdict: &Value) {
    for finding in ["refused_yet_read", "resurrected", "phantom"] {
        assert_eq!(verdict[finding]["count"], 0, "{finding}: {verdict}");
    }
}

#[test]
fn a_cluster_is_killed_under_load_and_its_clients_are_switched() {
    let Some(binary) = needed(BINARY) else {
        return;
    };
    let (folder, _room) = room("active-active");
    let model = short_model("active-active", &folder);
    let out = folder.join("out");
    let words = ["drill", model.to_str().unwrap(), "--json", "--out"];
    // As people name folders: from where they stand.
    let mut command = lab(&binary, &words);
    let output = command.arg("out").current_dir(&folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code();
    assert!(code == Some(0) || code == Some(3), "{code:?}: {said}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let answer: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(answer["schema"], "isthmus.lab-drill/1");
    let report = &answer["report"];

    let placebo = verdict(cell(report, "east-killed-placebo"));
    assert_nothing_strange(placebo);
    assert_eq!(count(placebo, "/lost/records"), 0, "{placebo}");
    assert_eq!(count(placebo, "/unreadable_at_switch/records"), 0);
    assert_eq!(count(placebo, "/duplicates/count"), 0, "{placebo}");
    assert_eq!(count(placebo, "/outcomes/intended"), 2 * 300 * 8);
    assert_eq!(count(placebo, "/outcomes/acked"), 2 * 300 * 8);

    let killed = cell(report, "east-killed");
    let killed = verdict(killed);
    assert_nothing_strange(killed);
    assert_eq!(count(killed, "/outcomes/intended"), 2 * 300 * 8);
    // What the dead cluster had acknowledged for three seconds is at the survivor, but for the
    // mirror's lag; what was sent afterwards was acknowledged by the survivor.
    assert!(count(killed, "/outcomes/acked") > 2 * 300 * 4, "{killed}");
    assert!(count(killed, "/lost/records") < 300 * 3, "{killed}");
    // Nobody acknowledged what was due between the fault and the switch.
    assert!(count(killed, "/outcomes/unknown") > 0, "{killed}");
    let outages = killed["outages"].as_array().unwrap();
    let clients: Vec<_> = outages
        .iter()
        .map(|it| it["client"].as_str().unwrap())
        .collect();
    let all = ["east-reader", "east-writer", "west-reader", "west-writer"];
    assert_eq!(clients, all, "{killed}");
    for outage in outages {
        assert_eq!(outage["recovered"], true, "{outage}");
    }
    assert_eq!(processes_of(&folder), Vec::<String>::new());
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("kill -9 of every node of cluster east"));
    let again = lab(&binary, &["recompute", "--json"])
        .arg(&out)
        .output()
        .unwrap();
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(&again["report"]["models"], &report["models"]);
}

#[test]
fn an_interrupted_drill_leaves_no_process_and_no_program() {
    let Some(binary) = needed(BINARY) else {
        return;
    };
    let (folder, _room) = room("interrupted");
    let out = folder.join("out");
    let mut command = lab(&binary, &["drill", "active-passive", "--out"]);
    let mut drill = command.arg(&out).stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(drill.stderr.take().unwrap());
    let mut lines = said.lines().map(Result::unwrap);
    let clients = lines.find(|line| line.contains("starting the clients"));
    assert!(clients.is_some(), "it ended before any client was started");
    assert!(!processes_of(&folder).is_empty());
    assert_eq!(end(drill, Signal::INT), Some(130));
    assert_eq!(processes_of(&folder), Vec::<String>::new());
    let run = out.join("active-passive/isthmus/active-killed-placebo/run-1");
    let left: Vec<_> = fs::read_dir(&run)
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    assert!(left.iter().all(|name| name == "ledgers"), "{left:?}");
}

/// Up to the first records that MirrorMaker 2 has mirrored.
#[test]
fn apache_kafka_and_mirrormaker_2_come_up_and_go_on_a_signal() {
    let (Some(binary), Some(libs)) = (needed(BINARY), needed(KAFKA_LIBS)) else {
        return;
    };
    let (folder, _room) = room("kafka-up");
    let words = ["up", "active-passive", "--target", "apache-kafka", "--json"];
    let mut command = lab(&binary, &words);
    command.arg("--libs").arg(&libs).env("TMPDIR", &folder);
    let mut up = command.stdout(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(up.stdout.take().unwrap());
    let mut told = Vec::new();
    for line in said.lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let is_last = line["ready"] == "active-passive";
        told.push(line);
        if is_last {
            break;
        }
    }
    let names: Vec<_> = told
        .iter()
        .filter_map(|line| line["name"].as_str())
        .collect();
    assert_eq!(names, ["east-1", "west-1", "mirror-west-1"], "{told:?}");
    let sites: Vec<_> = told
        .iter()
        .filter_map(|line| line["bootstrap"].as_str())
        .collect();
    assert_eq!(sites.len(), 2, "{told:?}");
    assert_eq!(told.last().unwrap()["target"], "apache-kafka");
    assert!(!processes_of(&folder).is_empty());
    assert_eq!(end(up, Signal::TERM), Some(0));
    assert_eq!(processes_of(&folder), Vec::<String>::new());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_run_is_refused_by_name_before_anything_is_touched() {
    let Some(binary) = needed(BINARY) else {
        return;
    };
    let (folder, _room) = room("refused");
    let out = folder.join("out");
    let text = fs::read_to_string(short_model("single-site", &folder)).unwrap();
    let second = "\n[[nodes]]\nid = 2\ncluster = \"home\"\nsite = \"home\"\nport = 9192\n";
    let model = folder.join("two-nodes.toml");
    fs::write(&model, text + second).unwrap();
    let refused = |words: &[&str], expected: &str| {
        let output = lab(&binary, words).arg("--out").arg(&out).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{expected}: {said}");
        assert!(!out.exists());
    };
    refused(
        &["drill", model.to_str().unwrap()],
        "single-site: cluster home has 2 nodes, and a drill runs one node of Isthmus per cluster so far",
    );
    refused(
        &["drill", "no-such-model"],
        "no-such-model: is no model and no file",
    );
    let other = ["drill", "single-site", "--target", "external"];
    refused(&other, "invalid value 'external'");
    let compare = ["compare", "single-site", "--libs", "/nowhere"];
    refused(&compare, "/nowhere: cannot be read");
}
