//! The interop ratchet: the same client scripts against Apache Kafka 4.2 and Isthmus, answers
//! normalised and compared.
//!
//! `scripts` holds what is asked, `differences.txt` where the answers differ on purpose and why,
//! `counts.txt` how many exchanges per request there must be at least. Kafka is the oracle: a
//! script says only what kind of answer it is about, never the answer itself. Scripts may hold
//! requests this broker does not serve yet; they count from the day it does.
//!
//! `ISTHMUS_RATCHET_ONLY=groups,topics` runs some scripts only, for whoever is at work on one.

#![expect(
    clippy::unwrap_used,
    reason = "a failure here fails the test, with its place"
)]

mod codec;
mod differences;
mod kafka;
mod normal;
mod notation;
mod peer;
mod records;
mod run;
mod schema;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test binary uses its part of what is shared")]
mod support;
mod tally;

use differences::{Differences, Place};
use isthmus_wire::{ApiKey, VersionRange};
use notation::Script;
use peer::Peer;
use run::Run;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;
use support::broker::DevBroker;
use support::peers::peers;
use support::say::say;
use tally::Tally;

/// What the suite must hold (the issue's own numbers); `counts.txt` asks for more.
const EXCHANGES_MIN: usize = 250;
const ERRORS_MIN: usize = 80;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/ratchet")
}

/// All scripts, in the order of their names.
fn scripts() -> Vec<Script> {
    let files = fs::read_dir(folder().join("scripts")).unwrap();
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy();
        notation::parse(&name, &fs::read_to_string(path).unwrap())
    };
    paths.iter().map(read).collect()
}

/// Names of the scripts to run; all when nobody chose.
fn chosen() -> Option<Vec<String>> {
    let only = std::env::var("ISTHMUS_RATCHET_ONLY").ok()?;
    Some(only.split(',').map(str::to_owned).collect())
}

#[test]
fn kafka_and_isthmus_answer_alike() {
    let Some(peers) = peers("ratchet") else {
        return;
    };
    let began = Instant::now();
    let dir = tempfile::tempdir().unwrap();
    let kafka = kafka::start(&peers, dir.path(), "");
    let broker = DevBroker::on(&dir.path().join("isthmus")).start();
    say(&format!(
        "both brokers answer after {:.1?}",
        began.elapsed()
    ));
    let text = fs::read_to_string(folder().join("differences.txt")).unwrap();
    let known = Differences::read(&text);
    let (mut tally, mut failures, mut waiting) = Default::default();
    let mut run = Run::new(
        Peer::new("Apache Kafka", kafka.address),
        Peer::new("Isthmus", broker.address()),
        &known,
        &mut tally,
        &mut failures,
        &mut waiting,
    );
    let advertised = run.advertised();
    let chosen = chosen();
    let is_chosen = |name: &str| {
        chosen
            .as_ref()
            .is_none_or(|all| all.iter().any(|it| it == name))
    };
    for script in scripts().iter().filter(|script| is_chosen(&script.name)) {
        let began = Instant::now();
        run.script(script);
        say(&format!("{}: {:.1?}", script.name, began.elapsed()));
    }
    broker.stop().succeeded();
    failures.extend(advertised_faults(&advertised, &known));
    failures.extend(known.unused(is_chosen));
    if chosen.is_none() {
        failures.extend(coverage_faults(&advertised[1], &tally));
        failures.extend(count_faults(&tally));
    }
    report(&tally, &waiting, began);
    assert!(
        failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn report(tally: &Tally, waiting: &BTreeMap<String, usize>, began: Instant) {
    say(&tally.table());
    for (name, steps) in waiting {
        say(&format!("not served yet: {name}: {steps} steps wait"));
    }
    say(&format!("the ratchet took {:.0?}", began.elapsed()));
}

/// Every key and range of Kafka's that we do not show alike must be in the list.
fn advertised_faults(
    [theirs, ours]: &[BTreeMap<i16, VersionRange>; 2],
    known: &Differences,
) -> Vec<String> {
    let name = |key: i16| {
        ApiKey::try_from(key).map_or_else(|_| key.to_string(), |key| key.name().to_owned())
    };
    let mut faults = Vec::new();
    for key in theirs
        .keys()
        .chain(ours.keys().filter(|key| !theirs.contains_key(key)))
    {
        let show = |table: &BTreeMap<i16, VersionRange>| {
            table
                .get(key)
                .map_or("nothing".to_owned(), ToString::to_string)
        };
        let (theirs, ours) = (show(theirs), show(ours));
        let path = if ours == "nothing" {
            "absent"
        } else {
            "versions"
        };
        let place = Place {
            script: "advertised",
            title: "versions",
            request: &name(*key),
            path,
        };
        if theirs != ours && !known.allow(&place) {
            faults.push(format!(
                "advertised: {}: Kafka {theirs}, we {ours}",
                name(*key)
            ));
        }
    }
    faults
}

/// Every version that we advertise and serve must have been tried.
fn coverage_faults(advertised: &BTreeMap<i16, VersionRange>, tally: &Tally) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, range) in advertised {
        let key = ApiKey::try_from(*number).unwrap();
        let served = range.intersection(key.versions()).unwrap();
        let missing = served
            .iter()
            .filter(|version| !tally.has(*number, key.name(), *version));
        let missing: Vec<String> = missing.map(|version| version.to_string()).collect();
        if !missing.is_empty() {
            faults.push(format!(
                "no exchange of {key}, versions {}",
                missing.join(" ")
            ));
        }
    }
    faults
}

fn count_faults(tally: &Tally) -> Vec<String> {
    let path = folder().join("counts.txt");
    let mut committed = tally::read(&fs::read_to_string(&path).unwrap_or_default());
    let now = tally.counts();
    if std::env::var("ISTHMUS_RATCHET_RAISE").is_ok_and(|value| value == "1") {
        committed = tally::raised(&committed, &now);
        fs::write(&path, tally::write(&committed)).unwrap();
    }
    let mut faults = tally::judge(&committed, &now);
    let (exchanges, errors) = tally.total();
    if exchanges < EXCHANGES_MIN || errors < ERRORS_MIN {
        faults.push(format!(
            "{exchanges} exchanges and {errors} errors are not enough"
        ));
    }
    faults
}
