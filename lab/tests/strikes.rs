//! `isthmus lab strikes`, `gaps` and `leaders` as a user calls them: three nodes as real processes, and
//! a few faults.
//!
//! It needs the binary (`ISTHMUS_TEST_BINARY`) and Kafka's dump tool (`ISTHMUS_TEST_KAFKA_LIBS`).
//! Without the variables a test says that it was not run; with `ISTHMUS_TEST_REQUIRE=1` it fails then.
//! No time is judged here.
//!
//! With `ISTHMUS_TEST_LAB_OUT` ledgers, logs and reports stay in that folder, to be looked at.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests, outside the test functions themselves"
)]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use isthmus_lab::strikes::kinds::Kind;
use serde_json::Value;

const BINARY: &str = "ISTHMUS_TEST_BINARY";
const KAFKA_LIBS: &str = "ISTHMUS_TEST_KAFKA_LIBS";
const REQUIRE: &str = "ISTHMUS_TEST_REQUIRE";
const OUT: &str = "ISTHMUS_TEST_LAB_OUT";

/// Long enough for a fault of every kind, with this seed and on a slow machine.
const SECONDS: u64 = 12;
const SEED: u64 = 53;
const RATE: u64 = 300;

/// Long enough for the first three faults of this seed, which are a clock, a disk and a split.
const ROTATION_SECONDS: u64 = 16;
const ROTATION_SEED: u64 = 238;

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
        Some(out) => (Path::new(&out).join(name), None),
        None => {
            let folder = tempfile::tempdir().unwrap();
            (folder.path().join(name), Some(folder))
        }
    }
}

fn lab(binary: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command
        .arg("lab")
        .args(words)
        .env_remove("ISTHMUS_LOG")
        .env_remove(KAFKA_LIBS)
        .stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Command lines of running processes that name the folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.canonicalize().unwrap();
    let folder = folder.to_string_lossy();
    let entries = fs::read_dir("/proc").unwrap().map(Result::unwrap);
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&*folder)).collect()
}

#[test]
fn nodes_are_struck_and_nothing_is_lost() {
    let (Some(binary), Some(libs)) = (needed(BINARY), needed(KAFKA_LIBS)) else {
        return;
    };
    let (out, _room) = room("strikes");
    let (seconds, seed, rate) = (SECONDS.to_string(), SEED.to_string(), RATE.to_string());
    let words = [
        "strikes",
        "--seconds",
        &seconds,
        "--seed",
        &seed,
        "--rate",
        &rate,
    ];
    let mut command = lab(&binary, &words);
    command.arg("--json").arg("--libs").arg(&libs);
    command.arg("--out").arg(&out);
    if env::var_os(OUT).is_some() {
        command.arg("--keep");
    }
    let outcome = outcome(&command.output().unwrap());
    assert_eq!(outcome["schema"], "isthmus.lab-strikes/1");
    let counts = &outcome["counts"];
    assert_eq!(counts["acked"], SECONDS * RATE, "{outcome}");
    for what in [
        "lost",
        "doubled",
        "out_of_order",
        "read_then_gone",
        "phantom",
    ] {
        assert_eq!(counts[what], 0, "{what}: {outcome}");
    }
    let faults = outcome["faults"].as_array().unwrap();
    assert!(faults.len() >= 2, "{outcome}");
    assert_eq!(outcome["replicas"]["replicas"], 18, "{outcome}");
    assert_eq!(outcome["replicas"]["differences"], 0, "{outcome}");
    let batches = outcome["replicas"]["batches"].as_u64().unwrap();
    assert!(batches > 18, "{outcome}");

    let written = fs::read_to_string(out.join("strikes.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), outcome);
    // The ledgers say the same without the lab that wrote them.
    let again = lab(&binary, &["recompute", "--json"])
        .arg(&out)
        .output()
        .unwrap();
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    let run = &again["report"]["models"][0]["cells"][0]["runs"][0];
    assert_eq!(run["verdict"]["outcomes"]["acked"], SECONDS * RATE);
    assert_eq!(run["faults"].as_array().unwrap().len(), faults.len());
    assert_eq!(processes_of(&out), Vec::<String>::new());
}

#[test]
fn nodes_are_cut_off_filled_up_and_set_to_other_times_and_nothing_is_lost() {
    let (Some(binary), Some(libs)) = (needed(BINARY), needed(KAFKA_LIBS)) else {
        return;
    };
    if !can_strike_with_all() {
        return;
    }
    let (out, _room) = room("rotation");
    let faults = "mute,split,cut-kill,all-kill,clock,disk-full";
    let (seconds, seed, rate) = (ROTATION_SECONDS, ROTATION_SEED, RATE.to_string());
    let words = [
        "strikes",
        "--faults",
        faults,
        "--seconds",
        &seconds.to_string(),
        "--seed",
    ];
    let mut command = lab(&binary, &words);
    command
        .arg(seed.to_string())
        .args(["--rate", &rate, "--json"]);
    command.arg("--libs").arg(&libs).arg("--out").arg(&out);
    if env::var_os(OUT).is_some() {
        command.arg("--keep");
    }
    let outcome = outcome(&command.output().unwrap());
    let counts = &outcome["counts"];
    assert_eq!(counts["acked"], ROTATION_SECONDS * RATE, "{outcome}");
    assert_eq!(outcome["wrong"], Value::Array(Vec::new()), "{outcome}");
    let struck = outcome["faults"].as_array().unwrap();
    let dealt: Vec<&str> = struck
        .iter()
        .map(|it| it["kind"].as_str().unwrap())
        .collect();
    let expected = ["clock", "disk-full", "split"];
    assert!(dealt.starts_with(&expected), "{outcome}");
    assert!(struck[1]["restarts"].as_u64().unwrap() > 0, "{outcome}");
    assert_eq!(outcome["replicas"]["differences"], 0, "{outcome}");
    // The page has the row of faults, the document the same.
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    for fault in struck {
        let text = fault["text"].as_str().unwrap();
        assert!(page.contains(text), "{text}");
    }
    assert_eq!(processes_of(&out), Vec::<String>::new());
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let folder = out.canonicalize().unwrap();
    assert!(!mounts.contains(&*folder.to_string_lossy()), "{mounts}");
}

/// Whether networks, mounts and clocks can be made here.
fn can_strike_with_all() -> bool {
    let Err(error) = isthmus_lab::strikes::check(&Kind::ALL) else {
        return true;
    };
    let required = env::var_os(REQUIRE).is_some_and(|value| value == "1");
    assert!(!required, "could not {error}, and {REQUIRE}=1");
    println!("not run: could not {error}");
    false
}

/// What a command printed last.
fn outcome(output: &Output) -> Value {
    let lines = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{lines}{}", said(output));
    serde_json::from_str(lines.lines().last().unwrap()).unwrap()
}

#[test]
fn a_leader_is_killed_and_every_client_waits_for_a_while() {
    let Some(binary) = needed(BINARY) else {
        return;
    };
    let (out, _room) = room("gaps");
    let words = [
        "gaps",
        "--client",
        "librdkafka",
        "--kills",
        "1",
        "--with-controller",
    ];
    let mut command = lab(&binary, &words);
    command.args(["1", "--json", "--out"]).arg(&out);
    let outcome = outcome(&command.output().unwrap());
    assert_eq!(outcome["schema"], "isthmus.lab-gaps/1");
    let kill = &outcome["kills"][0];
    assert_eq!(kill["with_controller"], true, "{outcome}");
    let clients = outcome["clients"].as_array().unwrap();
    assert_eq!(clients.len(), 2, "{outcome}");
    for client in clients {
        let gap = &client["gaps"][0];
        assert_eq!(gap["ended"], true, "{outcome}");
        assert!(gap["seconds"].as_f64().unwrap() > 0.0, "{outcome}");
    }
    let rows = outcome["rows"].as_array().unwrap();
    let kills: Vec<_> = rows.iter().map(|row| &row["kills"]).collect();
    assert_eq!(kills, [1, 1, 1, 1], "{outcome}");
    assert_eq!(processes_of(&out), Vec::<String>::new());
}

#[test]
fn a_node_is_killed_and_its_partitions_get_other_leaders() {
    let Some(binary) = needed(BINARY) else {
        return;
    };
    let (out, _room) = room("leaders");
    let words = [
        "leaders",
        "--partitions",
        "30",
        "--kills",
        "1",
        "--json",
        "--out",
    ];
    let outcome = outcome(&lab(&binary, &words).arg(&out).output().unwrap());
    assert_eq!(outcome["schema"], "isthmus.lab-leaders/1");
    assert_eq!(outcome["partitions"], 30);
    assert_eq!(outcome["kills"][0]["led"], 10, "{outcome}");
    assert!(outcome["seconds"]["max"].as_f64().unwrap() > 0.0);
    assert_eq!(processes_of(&out), Vec::<String>::new());
}

#[test]
fn what_is_missing_is_said_before_anything_starts() {
    let Some(binary) = needed(BINARY) else {
        return;
    };
    let few = lab(
        &binary,
        &["leaders", "--partitions", "1000000", "--out", "/nowhere"],
    );
    let (mut few, files) = (few, "ulimit -n 4096; exec \"$0\" \"$@\"");
    let arguments: Vec<_> = few.get_args().map(ToOwned::to_owned).collect();
    few = Command::new("sh");
    few.args(["-c", files]).arg(&binary).args(arguments);
    let refused = few.output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let told = said(&refused);
    assert!(
        told.contains("the system allows 4096; raise its hard limit"),
        "{told}"
    );

    let refused = lab(
        &binary,
        &["strikes", "--faults", "kill,fire", "--out", "/nowhere"],
    );
    let refused = { refused }.output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let told = said(&refused);
    assert!(
        told.contains("there is no such fault; there are kill, freeze"),
        "{told}"
    );

    let words = ["strikes", "--target", "apache-kafka", "--faults", "all"];
    let refused = lab(&binary, &words).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let told = said(&refused);
    assert!(
        told.contains("--faults clock: Apache Kafka does not start"),
        "{told}"
    );

    let (out, _room) = room("refused");
    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("something"), "").unwrap();
    let words = ["strikes", "--client", "java", "--out"];
    let refused = lab(&binary, &words).arg(&out).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = said(&refused);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].starts_with("give the folder of Apache Kafka's jars with --libs DIR"));
    assert!(
        lines[1].starts_with("--out: ") && lines[1].contains(" is not empty"),
        "{said}"
    );
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
}
