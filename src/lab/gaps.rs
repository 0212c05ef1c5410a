//! `isthmus lab gaps`: the leader of a partition is killed, and producers wait for an answer.

use super::drill::{check_empty, say_step};
use super::programs::{AcksName, ClientName, TargetName, Three, look_for_three};
use super::until_signal;
use crate::options::{INTERRUPTED, fail, refuse};
use clap::Args;
use isthmus_lab::gaps::{Options, Outcome, REPORT_FILE, gaps};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Of the lines that tell a step.
const SCHEMA: &str = "isthmus.lab-gaps/1";

#[derive(Args)]
pub(crate) struct GapsOptions {
    /// The nodes.
    #[arg(long, value_enum, default_value = "isthmus")]
    target: TargetName,
    /// The producers' libraries; each with each of --acks.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "librdkafka,java"
    )]
    client: Vec<ClientName>,
    /// Who must have a record before it is acknowledged.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all,1")]
    acks: Vec<AcksName>,
    /// Leaders that are killed.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    kills: u32,
    /// So many of them lead the quorum, too.
    #[arg(long, value_name = "N", default_value_t = 10)]
    with_controller: u32,
    /// Ledgers and the report go there; it must be empty or missing.
    #[arg(long, value_name = "DIR", default_value = "isthmus-lab")]
    out: PathBuf,
    /// Folder of Apache Kafka's jars, for --client java and --target apache-kafka [default: the
    /// variable ISTHMUS_TEST_KAFKA_LIBS].
    #[arg(long, value_name = "DIR")]
    libs: Option<PathBuf>,
    /// Leave data and logs of all programs beside the ledgers.
    #[arg(long)]
    keep: bool,
    /// Print a JSON document per step; the last one is the outcome.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &GapsOptions) -> ExitCode {
    let prepared = match prepare(options) {
        Ok(prepared) => prepared,
        Err(problems) => return refuse(&problems),
    };
    let (began, json) = (Instant::now(), options.json);
    let tell = move |text: &str| say_step(SCHEMA, text, began, json);
    match until_signal(gaps(&prepared, &tell)) {
        Ok(Some(Ok(outcome))) => end(&outcome, options),
        Ok(Some(Err(error))) => fail(&format!("could not {error}")),
        Ok(None) => ExitCode::from(INTERRUPTED),
        Err(error) => fail(&error),
    }
}

fn prepare(options: &GapsOptions) -> Result<Options, String> {
    let java = options.client.contains(&ClientName::Java);
    let found = look_for_three(options.target, java, options.libs.as_deref());
    let empty = check_empty(&options.out);
    let (kills, with_controller) = (options.kills, options.with_controller);
    let few = match with_controller <= kills {
        true => None,
        false => Some(format!(
            "--with-controller: {with_controller} are more than all {kills} kills; give {kills} at most"
        )),
    };
    let Three {
        lab,
        software,
        jars,
    } = match (found, empty, &few) {
        (Ok(found), Ok(()), None) => found,
        (found, empty, _) => {
            let problems = [found.err(), empty.err(), few].into_iter().flatten();
            return Err(problems.collect::<Vec<_>>().join("\n"));
        }
    };
    let mut libraries: Vec<_> = options.client.iter().map(|it| it.library()).collect();
    let mut acks: Vec<_> = options.acks.iter().map(|it| it.acks()).collect();
    libraries.sort_unstable();
    libraries.dedup();
    acks.sort_unstable();
    acks.dedup();
    Ok(Options {
        software,
        lab,
        jars,
        libraries,
        acks,
        kills,
        with_controller,
        out: options.out.clone(),
        keep: options.keep,
    })
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command's answer, and where the rest of it is"
)]
fn end(outcome: &Outcome, options: &GapsOptions) -> ExitCode {
    match options.json {
        true => println!("{}", outcome.to_json()),
        false => print!("{outcome}"),
    }
    eprintln!("wrote {}/{REPORT_FILE}", options.out.display());
    ExitCode::SUCCESS
}
