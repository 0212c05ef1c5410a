//! `isthmus bench`: the same load on Isthmus and on its peers, and how they compare.
//!
//! Everything is started by the lab as a program, Isthmus too: by default the running binary
//! itself.

use crate::options::{fail, refuse};
use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use isthmus_lab::bench::figures::RecordSize;
use isthmus_lab::bench::{BrokerBench, Kcat, Load, Options, Report};
use isthmus_lab::targets::{IsthmusProgram, KafkaJars};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Stopped by a signal, with everything cleaned up.
const INTERRUPTED: u8 = 130;

/// Where the jars are, if no flag says it; the tests' own variable.
const LIBS_VARIABLE: &str = "ISTHMUS_TEST_KAFKA_LIBS";

/// Where kcat is, likewise.
const KCAT_VARIABLE: &str = "ISTHMUS_TEST_KCAT";

#[derive(Args)]
pub(crate) struct BenchOptions {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// One broker beside Apache Kafka: start, memory, producing and consuming.
    Broker(BrokerOptions),
}

/// Who Isthmus is compared with.
#[derive(Clone, Copy, ValueEnum)]
enum Peer {
    /// Apache Kafka, as shipped and tuned.
    Kafka,
}

#[derive(Args)]
struct BrokerOptions {
    /// Compare with whom.
    #[arg(long, value_enum)]
    against: Peer,
    /// Rounds; in each, Kafka as shipped is measured once, tuned Kafka and Isthmus twice.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Records of 100 bytes per run [default: 5000000, for which the budgets are made].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    records_100: Option<u64>,
    /// Records of 1000 bytes per run [default: 1000000, for which the budgets are made].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    records_1000: Option<u64>,
    /// Folder of Apache Kafka's jars [default: the variable ISTHMUS_TEST_KAFKA_LIBS].
    #[arg(long, value_name = "DIR")]
    libs: Option<PathBuf>,
    /// kcat, which reads the records [default: the variable ISTHMUS_TEST_KCAT, or kcat].
    #[arg(long, value_name = "PROGRAM")]
    kcat: Option<PathBuf>,
    /// The isthmus binary to measure [default: this one].
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Print one JSON document instead of tables.
    #[arg(long)]
    json: bool,
    /// Leave data and logs of every run in the folder for temporary files.
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(options: &BenchOptions) -> ExitCode {
    match &options.what {
        What::Broker(options) => run_broker(options),
    }
}

fn run_broker(options: &BrokerOptions) -> ExitCode {
    let found = match find(options) {
        Ok(found) => found,
        Err(problems) => return refuse(&problems),
    };
    match measure(found) {
        Ok(Some(report)) => say(&report, options.json),
        Ok(None) => ExitCode::from(INTERRUPTED),
        Err(error) => fail(&format!("{error:#}")),
    }
}

/// None if it was interrupted.
fn measure(options: Options) -> anyhow::Result<Option<Report>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("could not start threads")?;
    let outcome = runtime.block_on(until_interrupted(options));
    // What may still run is a sync of the disks, which is nobody's to wait for.
    runtime.shutdown_background();
    outcome
}

/// Looks for everything that is needed before anything is started; all that is missing, at once.
fn find(options: &BrokerOptions) -> Result<Options, String> {
    match options.against {
        Peer::Kafka => {}
    }
    let jars = options.libs.clone().or_else(|| variable(LIBS_VARIABLE));
    let jars = jars.ok_or_else(no_libs);
    let jars = jars.and_then(|libs| KafkaJars::find(&libs).map_err(|error| error.to_string()));
    let kcat = options.kcat.clone().or_else(|| variable(KCAT_VARIABLE));
    let kcat = kcat.unwrap_or_else(|| PathBuf::from("kcat"));
    let kcat = Kcat::find(&kcat).map_err(|error| error.to_string());
    let binary = match &options.binary {
        Some(binary) => Ok(binary.clone()),
        None => std::env::current_exe().map_err(|error| format!("where is this program? {error}")),
    };
    let isthmus =
        binary.and_then(|path| IsthmusProgram::find(&path).map_err(|error| error.to_string()));
    match (jars, kcat, isthmus) {
        (Ok(jars), Ok(kcat), Ok(isthmus)) => Ok(Options {
            jars,
            kcat,
            isthmus,
            rounds: options.rounds,
            loads: loads(options),
            keep: options.keep,
        }),
        (jars, kcat, isthmus) => {
            let problems = [jars.err(), kcat.err(), isthmus.err()];
            Err(problems
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("\n"))
        }
    }
}

fn no_libs() -> String {
    format!(
        "give the folder of Apache Kafka's jars with --libs DIR or {LIBS_VARIABLE}; \
         `cargo xtask test` fetches them into target/peers"
    )
}

fn variable(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name)?;
    (!value.is_empty()).then(|| PathBuf::from(value))
}

fn loads(options: &BrokerOptions) -> Vec<Load> {
    let load = |size, records: Option<u64>| {
        let full = Load::full(size);
        Load {
            records: records.unwrap_or(full.records),
            ..full
        }
    };
    vec![
        load(RecordSize::B100, options.records_100),
        load(RecordSize::B1000, options.records_1000),
    ]
}

/// None if a signal came first. What runs is then dropped, which ends all processes and removes
/// all files.
async fn until_interrupted(options: Options) -> anyhow::Result<Option<Report>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let measured = async {
        let bench = BrokerBench::new(options)?;
        tracing::info!(event = "bench_begins", folder = %bench.folder().display());
        bench.run().await
    };
    tokio::select! {
        report = measured => Ok(Some(report.context("could not finish the comparison")?)),
        _ = terminate.recv() => Ok(None),
        _ = interrupt.recv() => Ok(None),
    }
}

#[expect(clippy::print_stdout, reason = "the report is this command's answer")]
fn say(report: &Report, json: bool) -> ExitCode {
    if json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    ExitCode::SUCCESS
}
