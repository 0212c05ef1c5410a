//! `isthmus lab upgrade`: the nodes of a cluster of three change from one build to another under load,
//! back, and for good, and everything is read back.

use super::drill::{check_empty, say_step};
use super::programs::{ClientName, TargetName, Three, look_for_three};
use super::until_signal;
use crate::options::{ANSWER_IS_NO, INTERRUPTED, fail, refuse};
use clap::Args;
use isthmus_lab::report::PAGE_FILE;
use isthmus_lab::targets::IsthmusProgram;
use isthmus_lab::upgrade::{Options, Outcome, REPORT_FILE, upgrade};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Of the lines that tell a step.
const SCHEMA: &str = "isthmus.lab-upgrade/1";

#[derive(Args)]
pub(crate) struct UpgradeOptions {
    /// The old build's binary.
    #[arg(long, value_name = "BINARY")]
    from: PathBuf,
    /// The new build's binary [default: this program].
    #[arg(long, value_name = "BINARY")]
    to: Option<PathBuf>,
    /// The producer's library.
    #[arg(long, value_enum, default_value = "librdkafka")]
    client: ClientName,
    /// Records per second.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// How long the load goes on after each step before the next.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(..=3_600))]
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

pub(crate) fn run(options: &UpgradeOptions) -> ExitCode {
    let prepared = match prepare(options) {
        Ok(prepared) => prepared,
        Err(problems) => return refuse(&problems),
    };
    let (began, json) = (Instant::now(), options.json);
    let tell = move |text: &str| say_step(SCHEMA, text, began, json);
    match until_signal(upgrade(&prepared, &tell)) {
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

fn prepare(options: &UpgradeOptions) -> Result<Options, String> {
    let java = options.client == ClientName::Java;
    let found = look_for_three(TargetName::Isthmus, java, options.libs.as_deref());
    let from = find("--from", &options.from);
    let to = options.to.as_deref().map(|path| find("--to", path));
    let to = to.transpose();
    let empty = check_empty(&options.out);
    match (found, from, to, empty) {
        (Ok(Three { lab, jars, .. }), Ok(from), Ok(to), Ok(())) => Ok(Options {
            from,
            to: to.unwrap_or_else(|| lab.clone()),
            lab,
            jars,
            library: options.client.library(),
            records_per_second: options.rate,
            hold: Duration::from_secs(u64::from(options.hold)),
            out: options.out.clone(),
            keep: options.keep,
        }),
        (found, from, to, empty) => {
            let problems = [found.err(), from.err(), to.err(), empty.err()];
            let problems: Vec<String> = problems.into_iter().flatten().collect();
            Err(problems.join("\n"))
        }
    }
}

fn find(flag: &str, path: &Path) -> Result<IsthmusProgram, String> {
    IsthmusProgram::find(path).map_err(|error| format!("{flag}: {error}"))
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command's answer, and where the rest of it is"
)]
fn end(outcome: &Outcome, options: &UpgradeOptions) -> ExitCode {
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
