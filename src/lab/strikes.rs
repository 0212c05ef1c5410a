//! `isthmus lab strikes`: nodes of a cluster of three are struck under load, and everything is read
//! back.

use super::drill::{check_empty, say_step};
use super::programs::{AcksName, ClientName, TargetName, Three, look_for_three};
use super::until_signal;
use crate::options::{ANSWER_IS_NO, INTERRUPTED, fail, refuse};
use clap::Args;
use isthmus_lab::report::PAGE_FILE;
use isthmus_lab::strikes::kinds::Kind;
use isthmus_lab::strikes::{self, Options, Outcome, REPORT_FILE};
use std::fmt;
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
    /// What may come: kill, freeze and stop of one node; majority-kill, all-kill; and what needs root:
    /// cut, mute, deaf, split, cut-kill, majority-cut, clock (with libfaketime), disk-full. all is all of
    /// them.
    #[arg(long, value_name = "FAULT,…", value_delimiter = ',', default_values_t = Kind::DEFAULT.map(Faults::One), value_parser = faults)]
    faults: Vec<Faults>,
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
    /// Nodes leave out this rule of replication, by its id in broker/core/src/rules.rs: what is found then
    /// shows what this command would see.
    #[cfg(feature = "fault-points")]
    #[arg(long, value_name = "ID")]
    without_rule: Option<String>,
    /// Print a JSON document per step; the last one is the outcome.
    #[arg(long)]
    json: bool,
}

/// A fault by its name, or all of them.
#[derive(Clone, Copy, Debug)]
enum Faults {
    All,
    One(Kind),
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::One(kind) => kind.fmt(f),
        }
    }
}

fn faults(name: &str) -> Result<Faults, String> {
    match (name, Kind::find(name)) {
        ("all", _) => Ok(Faults::All),
        (_, Some(kind)) => Ok(Faults::One(kind)),
        (_, None) => Err(format!(
            "there is no such fault; there are {}, and all",
            Kind::ALL.map(Kind::name).join(", ")
        )),
    }
}

/// Each once, in the order of their list.
fn kinds(chosen: &[Faults]) -> Vec<Kind> {
    let is_chosen = |kind: &Kind| {
        chosen.iter().any(|it| match it {
            Faults::All => true,
            Faults::One(one) => one == kind,
        })
    };
    Kind::ALL.into_iter().filter(is_chosen).collect()
}

pub(crate) fn run(options: &StrikesOptions) -> ExitCode {
    let prepared = match prepare(options) {
        Ok(prepared) => prepared,
        Err(problems) => return refuse(&problems),
    };
    // Made under the eye of a signal, and entered before the threads are there that run it all: a thread is
    // where the one was that started it.
    let fabric = match until_signal(async { strikes::make(&prepared.faults) }) {
        Ok(Some(Ok(fabric))) => fabric,
        Ok(Some(Err(error))) => return fail(&format!("could not {error}")),
        Ok(None) => return ExitCode::from(INTERRUPTED),
        Err(error) => return fail(&error),
    };
    if let Some(Err(error)) = fabric.as_ref().map(strikes::enter) {
        return fail(&format!("could not {error}"));
    }
    let (began, json) = (Instant::now(), options.json);
    let tell = move |text: &str| say_step(SCHEMA, text, began, json);
    tell(&format!("seed {}", prepared.seed));
    let done = until_signal(strikes::strikes(&prepared, fabric.as_ref(), &tell));
    drop(fabric);
    match done {
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
    let faults = kinds(&options.faults);
    let able = can_strike(options.target, &faults);
    let Three {
        lab,
        software,
        jars,
    } = match (found, empty, able) {
        (Ok(found), Ok(()), Ok(())) => found,
        (found, empty, able) => {
            let problems = [found.err(), empty.err(), able.err()].into_iter().flatten();
            return Err(problems.collect::<Vec<_>>().join("\n"));
        }
    };
    Ok(Options {
        software,
        lab,
        jars,
        length: Duration::from_secs(u64::from(options.seconds)),
        records_per_second: options.rate,
        faults,
        without_rule: without_rule(options),
        seed: options.seed.unwrap_or_else(any_seed),
        acks: options.acks.acks(),
        library: options.client.library(),
        out: options.out.clone(),
        keep: options.keep,
    })
}

/// Java asks for the time so often that it gets to nothing else where each answer is read from a file.
fn can_strike(target: TargetName, faults: &[Kind]) -> Result<(), String> {
    match target {
        TargetName::ApacheKafka if faults.contains(&Kind::Clock) => Err(
            "--faults clock: Apache Kafka does not start with libfaketime in time; name all faults but this one"
                .to_owned(),
        ),
        TargetName::ApacheKafka | TargetName::Isthmus => {
            strikes::check(faults).map_err(|error| format!("could not {error}"))
        }
    }
}

#[cfg(feature = "fault-points")]
fn without_rule(options: &StrikesOptions) -> Option<String> {
    options.without_rule.clone()
}

#[cfg(not(feature = "fault-points"))]
fn without_rule(_: &StrikesOptions) -> Option<String> {
    None
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
