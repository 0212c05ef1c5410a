//! `isthmus bench` as a user calls it, with real brokers.
//!
//! It needs the binary (`ISTHMUS_TEST_BINARY`), Apache Kafka's jars (`ISTHMUS_TEST_KAFKA_LIBS`)
//! with a Java to run them, and kcat (`ISTHMUS_TEST_KCAT`, or from the path). Without the variables
//! a test says that it was not run; with `ISTHMUS_TEST_REQUIRE=1` it fails then. No figure is
//! judged here: the machine may be busy.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests, outside the test functions themselves"
)]

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const BINARY: &str = "ISTHMUS_TEST_BINARY";
const KAFKA_LIBS: &str = "ISTHMUS_TEST_KAFKA_LIBS";
const REQUIRE: &str = "ISTHMUS_TEST_REQUIRE";

/// A variable that the test cannot do without.
fn needed(name: &str) -> Option<OsString> {
    let value = env::var_os(name).filter(|value| !value.is_empty());
    if value.is_none() {
        let required = env::var_os(REQUIRE).is_some_and(|value| value == "1");
        assert!(!required, "{name} is not set, and {REQUIRE}=1");
        println!("not run: {name} is not set");
    }
    value
}

/// The comparison with small loads, and all its files in a folder.
fn small_bench(binary: &OsString, libs: &OsString, folder: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .args(["bench", "broker", "--against", "kafka", "--rounds", "1"])
        .args(["--records-100", "20000", "--records-1000", "3000", "--libs"])
        .arg(libs)
        .env("TMPDIR", folder)
        .env_remove("ISTHMUS_LOG")
        .stdin(Stdio::null());
    command
}

#[test]
fn a_comparison_has_every_figure_of_every_column_and_leaves_nothing() {
    let (Some(binary), Some(libs)) = (needed(BINARY), needed(KAFKA_LIBS)) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut command = small_bench(&binary, &libs, folder.path());
    let output = command.arg("--json").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");

    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["schema"], "isthmus.bench/1");
    assert_eq!(document["full"], false);
    assert_eq!(document["runs"].as_array().unwrap().len(), 5);
    let figures = document["figures"].as_array().unwrap();
    for figure in figures {
        let name = &figure["name"];
        for column in ["kafka-shipped", "kafka-tuned", "isthmus"] {
            let median = figure["columns"][column]["median"].as_f64();
            assert!(
                median.is_some_and(|it| it >= 0.0),
                "{name}: {column}: {median:?}"
            );
        }
    }
    let is_judged = |figure: &&Value| figure["budget"].is_object();
    assert!(figures.iter().filter(is_judged).count() >= 9, "{figures:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn an_interrupted_comparison_leaves_no_process_and_no_file() {
    let (Some(binary), Some(libs)) = (needed(BINARY), needed(KAFKA_LIBS)) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut command = small_bench(&binary, &libs, folder.path());
    interrupt(&mut command, folder.path(), "bench_target_answers");
}

/// Starts it, and interrupts it once it has logged the event.
fn interrupt(command: &mut Command, folder: &Path, event: &str) {
    let mut bench = command.stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(bench.stderr.take().unwrap());
    let mut lines = said.lines().map(Result::unwrap);
    let logged = lines.find(|line| line.contains(event));
    assert!(logged.is_some(), "it ended before {event}");
    assert!(!processes_of(folder).is_empty());

    let pid = Pid::from_child(&bench);
    kill_process(pid, Signal::INT).unwrap();
    // Its stderr ends with it.
    let rest: Vec<String> = lines.collect();
    assert_eq!(bench.wait().unwrap().code(), Some(130), "{rest:?}");
    assert_eq!(processes_of(folder), Vec::<String>::new());
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
}

/// A whole comparison of mirrors takes minutes, most of them for MirrorMaker's starts. Here it gets as
/// far as the first run: the source is filled, and every topic of it has been read by then.
#[test]
fn an_interrupted_comparison_of_mirrors_leaves_no_process_and_no_file() {
    let (Some(binary), Some(libs)) = (needed(BINARY), needed(KAFKA_LIBS)) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(&binary);
    command
        .args(["bench", "mirror", "--against", "mm2", "--rounds", "1"])
        .args(["--records-100", "2000", "--records-1000", "500", "--libs"])
        .arg(&libs)
        .env("TMPDIR", folder.path())
        .env_remove("ISTHMUS_LOG")
        .stdin(Stdio::null());
    interrupt(&mut command, folder.path(), "bench_run_begins");
}

#[test]
fn all_that_is_missing_is_told_at_once_and_nothing_is_touched() {
    let Some(binary) = needed(BINARY) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let mut command = small_bench(&binary, &empty.into_os_string(), folder.path());
    command.args(["--kcat", "/nowhere/kcat", "--binary", "/nowhere/isthmus"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for words in ["has no kafka_2.13-*.jar", "install kcat", "--binary"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Command lines of running processes that name the folder. A process that has ended and waits to
/// be reaped has an empty one.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy();
    let entries = fs::read_dir("/proc").unwrap().map(Result::unwrap);
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&*folder)).collect()
}
