//! `isthmus lab recovery`: two of three nodes are destroyed under load, the quorum is recovered from the one
//! that is left, and everything is read back.

use super::drill::{check_empty, say_step};
use super::programs::{ClientName, TargetName, Three, look_for_three};
use super::until_signal;
use crate::options::{ANSWER_IS_NO, INTERRUPTED, fail, refuse};
use clap::Args;
use isthmus_lab::recovery::{Options, Outcome, REPORT_FILE, recovery};
use isthmus_lab::report::PAGE_FILE;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Of the lines that tell a step.
const SCHEMA: &str = "isthmus.lab-recovery/1";

#[derive(Args)]
pub(crate) struct RecoveryOptions {
    /// The node that survives [default: the first that is not the active controller].
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i32).range(1..=3))]
    survivor: Option<i32>,
    /// The producer's library.
    #[arg(long, value_enum, default_value = "librdkafka")]
    client: ClientName,
    /// Records per second.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// How long the load goes on before the fault, and after all is well again.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(..=3_600))]
    hold: u32,
    /// Ledgers and reports go there; it must be empty or missing.
    #[arg(long, value_name = "DIR", default_value = "isthmus-lab")]
    out: PathBuf,
    /// Folder of Apache Kafka's jars: for its dump tool, which compares the replicas, and for --client
    /// java [default: the variable ISTHMUS_TEST_KAFKA_LIBS].
    #[arg(long, value_name = "DIR")]
    libs: Option<PathBuf>,
    /// Leave data and logs of all programs beside the ledgers.
    #[arg(long)]
    keep: bool,
    /// Print a JSON document per step; the last one is the outcome.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &RecoveryOptions) -> ExitCode {
    let prepared = match prepare(options) {
        Ok(prepared) => prepared,
        Err(problems) => return refuse(&problems),
    };
    let (began, json) = (Instant::now(), options.json);
    let tell = move |text: &str| say_step(SCHEMA, text, began, json);
    match until_signal(recovery(&prepared, &tell)) {
        Ok(Some(Ok(outcome))) => end(&outcome, options),
        Ok(Some(Err(error))) => {
            let hint = match options.keep {
                true => "",
                false => "\nwith --keep the logs of all programs stay in the folder of --out",
            };
            fail(&format!("could not {error}{hint}"))
        }
        Ok(None) => ExitCode::from(INTERRUPTED),
        Err(error) => fail(&error),
    }
}

fn prepare(options: &RecoveryOptions) -> Result<Options, String> {
    let java = options.client == ClientName::Java;
    let found = look_for_three(TargetName::Isthmus, java, options.libs.as_deref());
    match (found, check_empty(&options.out)) {
        (Ok(Three { lab, jars, .. }), Ok(())) => Ok(Options {
            program: lab,
            jars,
            library: options.client.library(),
            records_per_second: options.rate,
            survivor: options.survivor,
            hold: Duration::from_secs(u64::from(options.hold)),
            out: options.out.clone(),
            keep: options.keep,
        }),
        (found, empty) => {
            let problems = [found.err(), empty.err()];
            let problems: Vec<String> = problems.into_iter().flatten().collect();
            Err(problems.join("\n"))
        }
    }
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command's answer, and where the rest of it is"
)]
fn end(outcome: &Outcome, options: &RecoveryOptions) -> ExitCode {
    match options.json {
        true => println!("{}", outcome.to_json()),
        false => print!("{outcome}"),
    }
    let out = options.out.display();
    eprintln!("wrote {out}/{REPORT_FILE} and {out}/{PAGE_FILE}");
    match outcome.is_clean() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(ANSWER_IS_NO),
    }
}
