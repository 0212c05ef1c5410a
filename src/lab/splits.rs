//! `isthmus lab splits`: a cluster is cut in two, and both sides go on being written to.

use super::drill::{check_empty, say_step};
use super::programs::{TargetName, Three, look_for_three};
use super::until_signal;
use crate::options::{ANSWER_IS_NO, INTERRUPTED, fail, refuse};
use clap::{Args, ValueEnum};
use isthmus_lab::fabric;
use isthmus_lab::splits::table::{Lease, ROWS, Row};
use isthmus_lab::splits::{
    self, Options, Outcome, PAGE_FILE, REPORT_FILE, SplitsError, become_operator, splits,
};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Of the lines that tell a step.
const SCHEMA: &str = "isthmus.lab-splits/1";

#[derive(Args)]
pub(crate) struct SplitsOptions {
    /// The nodes.
    #[arg(long, value_enum, default_value = "isthmus")]
    target: TargetName,
    /// Rows of the table, D-01 to D-10 [default: all].
    #[arg(long, value_name = "ROW,…", value_delimiter = ',', value_parser = row)]
    rows: Vec<Row>,
    /// Whether leaders that are cut off stop by themselves (lease.fencing), with Isthmus; each row runs
    /// with each of them [default: on].
    #[arg(long, value_enum, value_delimiter = ',')]
    lease: Vec<LeaseName>,
    /// Ledgers and reports go there; it must be empty or missing.
    #[arg(long, value_name = "DIR", default_value = "isthmus-lab")]
    out: PathBuf,
    /// Folder of Apache Kafka's jars, for --target apache-kafka [default: the variable
    /// ISTHMUS_TEST_KAFKA_LIBS].
    #[arg(long, value_name = "DIR")]
    libs: Option<PathBuf>,
    /// Leave data and logs of all programs beside the ledgers.
    #[arg(long)]
    keep: bool,
    /// Print a JSON document per step; the last one is the outcome.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LeaseName {
    On,
    Off,
}

fn row(name: &str) -> Result<Row, String> {
    Row::find(name).ok_or_else(|| {
        let names: Vec<&str> = ROWS.iter().map(|it| it.id).collect();
        format!("there is no such row; there are {}", names.join(", "))
    })
}

pub(crate) fn run(options: &SplitsOptions) -> ExitCode {
    let prepared = match prepare(options) {
        Ok(prepared) => prepared,
        Err(problems) => return refuse(&problems),
    };
    // Made under the eye of a signal, and entered before the threads are there that run the rows: a thread
    // is where the one was that started it.
    let fabric = match until_signal(async { splits::fabric() }) {
        Ok(Some(Ok(fabric))) => fabric,
        Ok(Some(Err(error))) => return fail(&format!("could not {error}")),
        Ok(None) => return ExitCode::from(INTERRUPTED),
        Err(error) => return fail(&error),
    };
    if let Err(error) = become_operator(&fabric) {
        return fail(&format!("could not {error}"));
    }
    let (began, json) = (Instant::now(), options.json);
    let tell = move |text: &str| say_step(SCHEMA, text, began, json);
    let done = until_signal(splits(&prepared, &fabric, &tell));
    drop(fabric);
    end(done, options)
}

fn prepare(options: &SplitsOptions) -> Result<Options, String> {
    let found = look_for_three(options.target, false, options.libs.as_deref());
    let empty = check_empty(&options.out);
    let root = fabric::check().map_err(|error| format!("could not {error}"));
    let no_lease = match (options.target, options.lease.is_empty()) {
        (TargetName::ApacheKafka, false) => {
            Err("--lease: Apache Kafka has none; leave it out, or use --target isthmus".to_owned())
        }
        (TargetName::ApacheKafka | TargetName::Isthmus, _) => Ok(()),
    };
    let Three { lab, software, .. } = match (found, &empty, &root, &no_lease) {
        (Ok(found), Ok(()), Ok(()), Ok(())) => found,
        (found, ..) => {
            let problems = [found.err(), empty.err(), root.err(), no_lease.err()];
            return Err(problems
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("\n"));
        }
    };
    let mut leases: Vec<Option<Lease>> = options.lease.iter().map(|it| Some(it.lease())).collect();
    leases.dedup();
    if leases.is_empty() {
        leases.push(match options.target {
            TargetName::Isthmus => Some(Lease::On),
            TargetName::ApacheKafka => None,
        });
    }
    let rows = match options.rows.is_empty() {
        true => ROWS.to_vec(),
        false => options.rows.clone(),
    };
    Ok(Options {
        software,
        lab,
        rows,
        leases,
        out: options.out.clone(),
        keep: options.keep,
    })
}

impl LeaseName {
    fn lease(self) -> Lease {
        match self {
            Self::On => Lease::On,
            Self::Off => Lease::Off,
        }
    }
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command's answer, and where the rest of it is"
)]
fn end(
    done: Result<Option<Result<Outcome, SplitsError>>, String>,
    options: &SplitsOptions,
) -> ExitCode {
    let outcome = match done {
        Ok(Some(Ok(outcome))) => outcome,
        Ok(Some(Err(error))) => {
            let hint = match options.keep {
                true => "",
                false => "\nwith --keep the logs of all programs stay in the folder of --out",
            };
            return fail(&format!("could not {error}{hint}"));
        }
        Ok(None) => return ExitCode::from(INTERRUPTED),
        Err(error) => return fail(&error),
    };
    match options.json {
        true => println!("{}", outcome.to_json()),
        false => print!("{outcome}"),
    }
    let out = options.out.display();
    eprintln!("wrote {out}/{REPORT_FILE} and {out}/{PAGE_FILE}");
    match outcome.is_as_expected() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(ANSWER_IS_NO),
    }
}
