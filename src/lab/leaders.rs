//! `isthmus lab leaders`: a node that leads thousands of partitions is killed.

use super::drill::{check_empty, say_step};
use super::programs::{TargetName, look_for_three};
use super::until_signal;
use crate::options::{INTERRUPTED, fail, refuse};
use clap::Args;
use isthmus_lab::leaders::{Options, Outcome, REPORT_FILE, leaders, raise_open_files};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Of the lines that tell a step.
const SCHEMA: &str = "isthmus.lab-leaders/1";

#[derive(Args)]
pub(crate) struct LeadersOptions {
    /// The nodes.
    #[arg(long, value_enum, default_value = "isthmus")]
    target: TargetName,
    /// Partitions of the cluster, each with three replicas.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(3..=1_000_000))]
    partitions: u32,
    /// Nodes that are killed, one after the other.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    kills: u32,
    /// The report goes there; it must be empty or missing.
    #[arg(long, value_name = "DIR", default_value = "isthmus-lab")]
    out: PathBuf,
    /// Folder of Apache Kafka's jars, for --target apache-kafka [default: the variable
    /// ISTHMUS_TEST_KAFKA_LIBS].
    #[arg(long, value_name = "DIR")]
    libs: Option<PathBuf>,
    /// Leave data and logs of all programs there.
    #[arg(long)]
    keep: bool,
    /// Print a JSON document per step; the last one is the outcome.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &LeadersOptions) -> ExitCode {
    let prepared = match prepare(options) {
        Ok(prepared) => prepared,
        Err(problems) => return refuse(&problems),
    };
    let (began, json) = (Instant::now(), options.json);
    let tell = move |text: &str| say_step(SCHEMA, text, began, json);
    match until_signal(leaders(&prepared, &tell)) {
        Ok(Some(Ok(outcome))) => end(&outcome, options),
        Ok(Some(Err(error))) => fail(&format!("could not {error}")),
        Ok(None) => ExitCode::from(INTERRUPTED),
        Err(error) => fail(&error),
    }
}

fn prepare(options: &LeadersOptions) -> Result<Options, String> {
    let found = look_for_three(options.target, false, options.libs.as_deref());
    let empty = check_empty(&options.out);
    let files = raise_open_files(options.partitions).map_err(|few| few.to_string());
    match (found, empty, files) {
        (Ok(found), Ok(()), Ok(())) => Ok(Options {
            software: found.software,
            partitions: options.partitions,
            kills: options.kills,
            out: options.out.clone(),
            keep: options.keep,
        }),
        (found, empty, files) => {
            let problems = [found.err(), empty.err(), files.err()];
            let problems = problems.into_iter().flatten();
            Err(problems.collect::<Vec<_>>().join("\n"))
        }
    }
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command's answer, and where the rest of it is"
)]
fn end(outcome: &Outcome, options: &LeadersOptions) -> ExitCode {
    match options.json {
        true => println!("{}", outcome.to_json()),
        false => print!("{outcome}"),
    }
    eprintln!("wrote {}/{REPORT_FILE}", options.out.display());
    ExitCode::SUCCESS
}
