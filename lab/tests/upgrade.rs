//! `isthmus lab upgrade` as a user calls it: three nodes change from an earlier build to this one, back,
//! and for good.
//!
//! It needs the binary (`ISTHMUS_TEST_BINARY`), an earlier build's (`ISTHMUS_TEST_OLD_BINARY`) and Kafka's
//! dump tool (`ISTHMUS_TEST_KAFKA_LIBS`). Without the variables a test says that it was not run; with
//! `ISTHMUS_TEST_REQUIRE=1` it fails then. No time is judged here.
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

use serde_json::Value;

const BINARY: &str = "ISTHMUS_TEST_BINARY";
const OLD_BINARY: &str = "ISTHMUS_TEST_OLD_BINARY";
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
        Some(out) => (Path::new(&out).join(name), None),
        None => {
            let folder = tempfile::tempdir().unwrap();
            (folder.path().join(name), Some(folder))
        }
    }
}

fn upgrade(binary: &Path, from: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .args(["lab", "upgrade", "--from"])
        .arg(from)
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
fn nodes_change_their_build_there_and_back_and_nothing_is_lost() {
    let (Some(binary), Some(old), Some(libs)) =
        (needed(BINARY), needed(OLD_BINARY), needed(KAFKA_LIBS))
    else {
        return;
    };
    let (out, _room) = room("upgrade");
    let mut command = upgrade(&binary, &old);
    command.args(["--hold", "0", "--rate", "300", "--json"]);
    command.arg("--libs").arg(&libs).arg("--out").arg(&out);
    if env::var_os(OUT).is_some() {
        command.arg("--keep");
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let lines = String::from_utf8_lossy(&output.stdout);
    let outcome: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(outcome["schema"], "isthmus.lab-upgrade/1");
    assert_ne!(outcome["from"]["sha256"], outcome["to"]["sha256"]);

    let steps = outcome["steps"].as_array().unwrap();
    let text = |step: &Value| {
        let pass = step["pass"].as_str().unwrap_or_default();
        format!("{} {pass}", step["what"].as_str().unwrap())
    };
    let texts: Vec<String> = steps.iter().map(text).collect();
    let rolls = ["forward", "back", "again"].map(|pass| format!("roll {pass}"));
    let (rolled, last) = texts.split_at(9);
    for (three, expected) in rolled.chunks(3).zip(&rolls) {
        assert!(three.iter().all(|it| it == expected), "{texts:?}");
    }
    assert_eq!(last, ["raise ", "refuse "]);
    for step in steps {
        assert!(
            step["worst_gap"]["seconds"].as_f64().unwrap() > 0.0,
            "{step}"
        );
    }

    assert_eq!(outcome["levels"]["before"], 1, "{outcome}");
    assert_eq!(outcome["levels"]["after"], 3, "{outcome}");
    let refusal = &outcome["refusal"];
    assert_eq!(refusal["exit_code"], 2, "{outcome}");
    assert_eq!(refusal["touched"].as_array().unwrap().len(), 0, "{outcome}");
    let told = refusal["said"].as_str().unwrap();
    assert!(told.contains("metadata level 3"), "{told}");

    let counts = &outcome["counts"];
    assert!(counts["acked"].as_u64().unwrap() > 0, "{outcome}");
    assert_eq!(counts["acked"], counts["intended"], "{outcome}");
    for what in ["unsettled", "lost", "doubled", "out_of_order", "phantom"] {
        assert_eq!(counts[what], 0, "{what}: {outcome}");
    }
    let readers = outcome["readers"].as_array().unwrap();
    let readers = readers.iter().map(|it| (&it["name"], &it["records"]));
    let expected = [&Value::from("reader"), &Value::from("team")];
    let expected = expected.map(|name| (name, &counts["acked"]));
    assert_eq!(readers.collect::<Vec<_>>(), expected, "{outcome}");
    assert_eq!(outcome["replicas"]["replicas"], 18, "{outcome}");
    assert_eq!(outcome["replicas"]["differences"], 0, "{outcome}");
    let written = fs::read_to_string(out.join("upgrade.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), outcome);
    assert_eq!(processes_of(&out), Vec::<String>::new());
}

#[test]
fn what_is_missing_is_said_before_anything_starts() {
    let Some(binary) = needed(BINARY) else {
        return;
    };
    let (out, _room) = room("refused");
    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("something"), "").unwrap();
    let mut command = upgrade(&binary, Path::new("/nowhere/isthmus"));
    command.args(["--to", "/bin/true", "--client", "java", "--out"]);
    let refused = command.arg(&out).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = said(&refused);
    let lines: Vec<&str> = said.lines().collect();
    let expected = [
        "give the folder of Apache Kafka's jars with --libs DIR",
        "--from: /nowhere/isthmus: is not the isthmus binary (",
        "--to: /bin/true: is not the isthmus binary (",
        "--out: ",
    ];
    assert_eq!(lines.len(), expected.len(), "{said}");
    for (line, begin) in lines.iter().zip(expected) {
        assert!(line.starts_with(begin), "{line}");
    }
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
}
