//! Two clusters that mirror each other, clients on both. One is killed, its flows are failed over, its
//! clients switched, and every record is counted.
//!
//! The drill is `isthmus lab drill`, as anybody runs it. It ends its own processes, also at Ctrl-C; what
//! stays are the ledgers and the report.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::build;
use crate::setup;
use crate::steps::show;
use crate::workspace::{line_of, target_dir};

const MODEL: &str = "active-active";
const CELL: &str = "east-killed";
const PLACEBO: &str = "east-killed-placebo";

const INTRO: &str = "
Two clusters, east and west, each with producers and consumers of its own; a replicator each way.
First the placebo: clients of east are switched to west, and nothing is broken. Then the same with
every node of east killed by kill -9: the flows out of it are failed over, its clients are started
again with the other bootstrap, and what was acknowledged is looked for, record by record.
";

pub(crate) fn run(install: bool) -> Result<()> {
    setup::ensure_programs(setup::Purpose::Drill, install)?;
    let program = build()?;
    let out = target_dir().join("demo");
    match fs::remove_dir_all(&out) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("could not remove {}", out.display()));
        }
        Ok(()) | Err(_) => {}
    }
    println!("{INTRO}");
    let began = Instant::now();
    drill(&program, &out)?;
    let report = fs::read(out.join("report.json")).context("could not read the report")?;
    let report = serde_json::from_slice(&report).context("could not read the report")?;
    println!("\nVerdict: {}", verdict(&report)?);
    println!(
        "It took {}. The report, with a timeline: {}",
        show(began.elapsed()),
        out.join("report.html").display()
    );
    println!("{NEXT}");
    Ok(())
}

const NEXT: &str = "
Try next:
  target/release/isthmus lab compare active-active --libs DIR   the same on Apache Kafka with MirrorMaker 2
  target/release/isthmus lab up active-active                   the same clusters, left to you
  target/release/isthmus lab list                               the other models
  cargo xtask demo --broker                                     one broker, with Kafka's own clients
  cargo xtask test                                              every test and check";

fn drill(program: &Path, out: &Path) -> Result<()> {
    let mut command = Command::new(program);
    command
        .args(["lab", "drill", MODEL, "--quick", "--out"])
        .arg(out);
    println!("$ {}", line_of(&command));
    let status = command.status().context("could not start the lab")?;
    match status.code() {
        Some(0) => Ok(()),
        Some(3) => bail!("the drill found what should not be; it is told above"),
        Some(_) | None => bail!("the drill failed: {status}"),
    }
}

/// In a sentence, what the run of the cell came to. The placebo must have lost nothing, which the drill
/// has checked, and is told because it is what the numbers are compared with.
fn verdict(report: &Value) -> Result<String> {
    let killed = cell(report, CELL)?;
    let run = &killed["runs"][0];
    let acked = number(&run["verdict"]["outcomes"]["acked"])?;
    let lost = number(&run["verdict"]["lost"]["records"])?;
    let away = number(&killed["summary"]["produce_outage_seconds"]["median"])?;
    let still = number(&cell(report, PLACEBO)?["summary"]["produce_outage_seconds"]["median"])?;
    let said = &run["said_lost"];
    let least = number(&said["at_least"])?;
    let most = match &said["at_most"] {
        Value::Null => "an unknown number".to_owned(),
        most => format!("{:.0}", number(most)?),
    };
    Ok(format!(
        "of {acked:.0} acknowledged records {lost:.0} were lost with cluster east; the failover had \
         said {least:.0} to {most}.\nProducers were away for {away:.1} s at most, {still:.1} s when \
         nothing was broken. Without a fault nothing was lost or doubled."
    ))
}

fn cell<'a>(report: &'a Value, name: &str) -> Result<&'a Value> {
    let cells = report["models"][0]["cells"].as_array();
    let mut cells = cells.into_iter().flatten();
    let cell = cells.find(|cell| cell["name"] == name);
    cell.with_context(|| format!("the report has no cell {name}"))
}

fn number(value: &Value) -> Result<f64> {
    value
        .as_f64()
        .with_context(|| format!("the report has {value} where a number should be"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_verdict_is_in_the_report_or_there_is_none() {
        let summary = |away: f64| json!({"produce_outage_seconds": {"median": away}});
        let run = |most: Value| {
            json!({
                "said_lost": {"at_least": 2, "at_most": most},
                "verdict": {"outcomes": {"acked": 9000}, "lost": {"records": 3}},
            })
        };
        let report = |most: Value| {
            let killed = json!({"name": CELL, "summary": summary(6.25), "runs": [run(most)]});
            let placebo = json!({"name": PLACEBO, "summary": summary(1.0), "runs": []});
            json!({"models": [{"cells": [placebo, killed]}]})
        };
        let told = verdict(&report(json!(40))).unwrap();
        assert!(
            told.starts_with("of 9000 acknowledged records 3 were lost"),
            "{told}"
        );
        assert!(told.contains("said 2 to 40."), "{told}");
        let told = verdict(&report(Value::Null)).unwrap();
        assert!(told.contains("said 2 to an unknown number."), "{told}");
        let error = verdict(&json!({"models": []})).unwrap_err().to_string();
        assert_eq!(error, "the report has no cell east-killed");
    }
}
