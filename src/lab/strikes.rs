//! `isthmus lab strikes`: nodes of a cluster of three are struck under load, and everything is read
//! back.

use super::drill::{check_empty, say_step};
use super::programs::{AcksName, ClientName, TargetName, Three, look_for_three};
use super::until_signal;
use crate::options::{ANSWER_IS_NO, INTERRUPTED, fail, refuse};
use clap::Args;
use isthmus_lab::report::PAGE_FILE;
use isthmus_lab::strikes::{Options, Outcome, REPORT_FILE, strikes};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Of the lines that tell a step.
const SCHEMA: &str = "isthmus.lab-strikes/1";

#[derive(Args)]
pub(crate) struct StrikesOptions {
    /// How long records are due, and faults are dealt.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Deals the same faults in the same order [default: another one each time, which is printed].
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Who must have a record before it is acknowledged.
    #[arg(long, value_enum, default_value = "all")]
    acks: AcksName,
    /// The producer's library.
    #[arg(long, value_enum, default_value = "librdkafka")]
    client: ClientName,
    /// Records per second.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// The nodes.
    #[arg(long, value_enum, default_value = "isthmus")]
    target: TargetName,
    /// Ledgers and reports go there; it must be empty or missing.
    #[arg(long, value_name = "DIR", default_value = "isthmus-lab")]
    out: PathBuf,
    /// Folder of Apache Kafka's jars: for its dump tool, which compares the replicas, for --client java
    /// and --target apache-kafka [default: the variable ISTHMUS_TEST_KAFKA_LIBS].
    #[arg(long, value_name = "DIR")]
    libs: Option<PathBuf>,
    /// Leave data and logs of all programs beside the ledgers.
    #[arg(long)]
    keep: bool,
    /// Print a JSON document per step; the last one is the outcome.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &StrikesOptions) -> ExitCode {
    let prepared = match prepare(options) {
        Ok(prepared) => prepared,
        Err(problems) => return refuse(&problems),
    };
    let (began, json) = (Instant::now(), options.json);
    let tell = move |text: &str| say_step(SCHEMA, text, began, json);
    tell(&format!("seed {}", prepared.seed));
    match until_signal(strikes(&prepared, &tell)) {
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

fn prepare(options: &StrikesOptions) -> Result<Options, String> {
    let java = options.client == ClientName::Java;
    let found = look_for_three(options.target, java, options.libs.as_deref());
    let empty = check_empty(&options.out);
    let Three {
        lab,
        software,
        jars,
    } = match (found, empty) {
        (Ok(found), Ok(())) => found,
        (found, empty) => {
            let problems = [found.err(), empty.err()].into_iter().flatten();
            return Err(problems.collect::<Vec<_>>().join("\n"));
        }
    };
    Ok(Options {
        software,
        lab,
        jars,
        length: Duration::from_secs(u64::from(options.seconds)),
        records_per_second: options.rate,
        seed: options.seed.unwrap_or_else(any_seed),
        acks: options.acks.acks(),
        library: options.client.library(),
        out: options.out.clone(),
        keep: options.keep,
    })
}

/// Short enough to be typed again.
fn any_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::from(now.subsec_micros()))
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command's answer, and where the rest of it is"
)]
fn end(outcome: &Outcome, options: &StrikesOptions) -> ExitCode {
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
