//! `isthmus lab recovery` as a user calls it: two of three nodes are destroyed, and the cluster comes back
//! from the third.
//!
//! It needs the binary (`ISTHMUS_TEST_BINARY`) and Kafka's dump tool (`ISTHMUS_TEST_KAFKA_LIBS`). Without the
//! variables a test says that it was not run; with `ISTHMUS_TEST_REQUIRE=1` it fails then. No time is judged
//! here.
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
use std::process::{Command, Stdio};

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
        Some(out) => (Path::new(&out).join(name), None),
        None => {
            let folder = tempfile::tempdir().unwrap();
            (folder.path().join(name), Some(folder))
        }
    }
}

#[test]
fn two_of_three_are_destroyed_and_nothing_that_was_acknowledged_is_lost() {
    let (Some(binary), Some(libs)) = (needed(BINARY), needed(KAFKA_LIBS)) else {
        return;
    };
    let (out, _room) = room("recovery");
    let mut command = Command::new(binary);
    command
        .args(["lab", "recovery", "--hold", "1", "--rate", "300", "--json"])
        .arg("--libs")
        .arg(&libs)
        .arg("--out")
        .arg(&out)
        .env_remove("ISTHMUS_LOG")
        .stdin(Stdio::null());
    if env::var_os(OUT).is_some() {
        command.arg("--keep");
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let lines = String::from_utf8_lossy(&output.stdout);
    let outcome: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(outcome["schema"], "isthmus.lab-recovery/1");

    let steps = outcome["steps"].as_array().unwrap();
    let steps: Vec<&str> = steps
        .iter()
        .map(|it| it["what"].as_str().unwrap())
        .collect();
    let expected = [
        "destroy", "stop", "dry-run", "recover", "start", "rebuild", "rebuild", "well",
    ];
    assert_eq!(steps, expected);
    assert!(outcome["first_acknowledged_seconds"].as_f64().unwrap() > 0.0);

    let plan = &outcome["plan"];
    assert_eq!(plan["brokers_given_up"].as_array().unwrap().len(), 2);
    assert_eq!(plan["partitions_lost"].as_array().unwrap().len(), 0);
    let survivor = outcome["survivor"].as_i64().unwrap();
    let given_up = plan["brokers_given_up"].as_array().unwrap().iter();
    assert!(given_up.into_iter().all(|it| it.as_i64() != Some(survivor)));

    let counts = &outcome["counts"];
    assert!(counts["acked"].as_u64().unwrap() > 600, "{outcome}");
    for what in ["lost", "doubled", "out_of_order", "phantom"] {
        assert_eq!(counts[what], 0, "{what}: {outcome}");
    }
    assert_eq!(outcome["missed"], 0, "{outcome}");
    assert_eq!(outcome["replicas"]["replicas"], 18, "{outcome}");
    assert_eq!(outcome["replicas"]["differences"], 0, "{outcome}");
    let written = fs::read_to_string(out.join("recovery.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), outcome);
}
