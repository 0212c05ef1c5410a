//! Faults planted in the program itself, which the lab must see: a rule of replication is left out.
//!
//! It needs root, `ip`, and a binary that was built with fault points (`ISTHMUS_TEST_BINARY`,
//! `--features fault-points`). Without them a test says that it was not run; with
//! `ISTHMUS_TEST_REQUIRE=1` it fails then. No time is judged here.
//!
//! With `ISTHMUS_TEST_LAB_OUT` ledgers, logs and reports stay in that folder, to be looked at.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests, outside the test functions themselves"
)]

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use isthmus_lab::strikes::check;
use isthmus_lab::strikes::kinds::Kind;
use serde_json::Value;

const BINARY: &str = "ISTHMUS_TEST_BINARY";
const REQUIRE: &str = "ISTHMUS_TEST_REQUIRE";
const OUT: &str = "ISTHMUS_TEST_LAB_OUT";

/// A short cut, in which the load gets going, and then a split of 4 s: others lead before it is over.
const SEED: &str = "403";
const SECONDS: &str = "8";
const RATE: &str = "300";

/// A binary that can leave out a rule, where networks can be made.
fn binary() -> Option<PathBuf> {
    let missing = |what: &str| {
        let required = env::var_os(REQUIRE).is_some_and(|value| value == "1");
        assert!(!required, "{what}, and {REQUIRE}=1");
        println!("not run: {what}");
    };
    let Some(binary) = env::var_os(BINARY).filter(|value| !value.is_empty()) else {
        missing(&format!("{BINARY} is not set"));
        return None;
    };
    if let Err(error) = check(&[Kind::Split]) {
        missing(&format!("could not {error}"));
        return None;
    }
    let help = Command::new(&binary)
        .args(["lab", "strikes", "--help"])
        .output()
        .unwrap();
    if !String::from_utf8_lossy(&help.stdout).contains("--without-rule") {
        missing("the binary was built without fault points");
        return None;
    }
    Some(PathBuf::from(binary))
}

/// The outcome of a run without a rule, and the code it ended with.
fn run(binary: &Path, rule: &str, out: &Path) -> (Option<i32>, Value) {
    let mut command = Command::new(binary);
    command
        .args([
            "lab",
            "strikes",
            "--without-rule",
            rule,
            "--faults",
            "cut,split",
        ])
        .args([
            "--seed",
            SEED,
            "--seconds",
            SECONDS,
            "--rate",
            RATE,
            "--json",
            "--out",
        ])
        .arg(out)
        .env_remove("ISTHMUS_LOG")
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    let lines = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    let last = lines.lines().last().unwrap_or_else(|| panic!("{said}"));
    (output.status.code(), serde_json::from_str(last).unwrap())
}

#[test]
fn a_leader_that_acknowledges_before_others_have_a_record_is_seen() {
    let Some(binary) = binary() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let out = env::var_os(OUT).map_or_else(|| folder.path().to_owned(), PathBuf::from);
    let (code, outcome) = run(&binary, "2", &out.join("planted"));
    assert_eq!(code, Some(3), "{outcome}");
    assert_eq!(outcome["without_rule"], "2");
    assert!(outcome["counts"]["lost"].as_u64().unwrap() > 0, "{outcome}");
    let wrong = outcome["wrong"][0].as_str().unwrap();
    assert!(wrong.ends_with(" lost"), "{outcome}");
}
