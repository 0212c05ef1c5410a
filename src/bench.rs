//! `isthmus bench`: the same load on Isthmus and on its peers, and how they compare.
//!
//! Everything is started by the lab as a program, Isthmus too: by default the running binary
//! itself.

use crate::options::{INTERRUPTED, fail, refuse};
use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use isthmus_lab::bench::figures::{Codec, RecordSize};
use isthmus_lab::bench::mirror::LATENCY_RECORDS_FULL;
use isthmus_lab::bench::{
    BrokerBench, ClusterBench, GatewayBench, GatewayOptions, GatewayReport, Kcat, Load,
    MirrorBench, MirrorOptions, Options, Report,
};
use isthmus_lab::targets::{IsthmusProgram, KafkaJars};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

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
    Broker(BrokerBenchOptions),
    /// Three nodes with three replicas beside Apache Kafka: producing, and what replication costs.
    Cluster(ClusterBenchOptions),
    /// The replicator beside MirrorMaker 2, between two Apache Kafkas: rate, CPU time, memory, first
    /// record, latency.
    Mirror(MirrorBenchOptions),
    /// What the gateway adds to a request: the same requests to one broker, directly and through it.
    Gateway(GatewayBenchOptions),
}

/// Who Isthmus is compared with.
#[derive(Clone, Copy, ValueEnum)]
enum BrokerPeer {
    /// Apache Kafka, as shipped and tuned.
    Kafka,
}

/// Who three nodes of Isthmus are compared with.
#[derive(Clone, Copy, ValueEnum)]
enum ClusterPeer {
    /// Apache Kafka, three nodes in KRaft combined mode, tuned.
    Kafka,
}

/// Who Isthmus's replicator is compared with.
#[derive(Clone, Copy, ValueEnum)]
enum MirrorPeer {
    /// MirrorMaker 2 as a process of its own, tuned.
    Mm2,
}

#[derive(Args)]
struct BrokerBenchOptions {
    /// Compare with whom.
    #[arg(long, value_enum)]
    against: BrokerPeer,
    #[command(flatten)]
    runs: RunOptions,
}

#[derive(Args)]
struct ClusterBenchOptions {
    /// Compare with whom.
    #[arg(long, value_enum)]
    against: ClusterPeer,
    #[command(flatten)]
    runs: RunOptions,
}

#[derive(Args)]
struct MirrorBenchOptions {
    /// Compare with whom.
    #[arg(long, value_enum)]
    against: MirrorPeer,
    /// Records whose latency is measured, sent at 500 a second.
    #[arg(long, value_name = "N", default_value_t = LATENCY_RECORDS_FULL, value_parser = clap::value_parser!(u64).range(1..))]
    records_latency: u64,
    #[command(flatten)]
    runs: RunOptions,
}

#[derive(Args)]
struct GatewayBenchOptions {
    /// Rounds; in each, both ways are measured twice.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Requests of each kind, per run; one is under way at a time.
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    requests: u32,
    /// The isthmus binary to measure [default: this one].
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Print one JSON document instead of tables.
    #[arg(long)]
    json: bool,
    /// Leave data and logs in the folder for temporary files.
    #[arg(long)]
    keep: bool,
}

#[derive(Args)]
struct RunOptions {
    /// Rounds; in each, the tuned peer and Isthmus are measured twice, and a peer as shipped once.
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

/// Which jars must be there.
#[derive(Clone, Copy)]
enum Jars {
    Broker,
    WithMirrorMaker,
}

/// Programs that a comparison needs.
struct Programs {
    jars: KafkaJars,
    kcat: Kcat,
    isthmus: IsthmusProgram,
}

pub(crate) fn run(options: &BenchOptions) -> ExitCode {
    match &options.what {
        What::Broker(options) => {
            compare(&options.runs, Jars::Broker, |found| brokers(options, found))
        }
        What::Cluster(options) => compare(&options.runs, Jars::Broker, |found| {
            clusters(options, found)
        }),
        What::Mirror(options) => compare(&options.runs, Jars::WithMirrorMaker, |found| {
            mirrors(options, found)
        }),
        What::Gateway(options) => through_the_gateway(options),
    }
}

fn compare<F: Future<Output = anyhow::Result<Report>>>(
    runs: &RunOptions,
    jars: Jars,
    bench: impl FnOnce(Programs) -> F,
) -> ExitCode {
    let found = match find(runs, jars) {
        Ok(found) => found,
        Err(problems) => return refuse(&problems),
    };
    match measure(bench(found)) {
        Ok(Some(report)) => say(&report, runs.json),
        Ok(None) => ExitCode::from(INTERRUPTED),
        Err(error) => fail(&format!("{error:#}")),
    }
}

fn through_the_gateway(options: &GatewayBenchOptions) -> ExitCode {
    let isthmus = match isthmus(options.binary.as_ref()) {
        Ok(isthmus) => isthmus,
        Err(problem) => return refuse(&problem),
    };
    let measured = measure(async {
        let bench = GatewayBench::new(GatewayOptions {
            isthmus,
            rounds: options.rounds,
            requests: options.requests,
            keep: options.keep,
        })?;
        tracing::info!(event = "bench_begins", folder = %bench.folder().display());
        Ok(bench.run().await?)
    });
    match measured {
        Ok(Some(report)) => say_added(&report, options.json),
        Ok(None) => ExitCode::from(INTERRUPTED),
        Err(error) => fail(&format!("{error:#}")),
    }
}

async fn brokers(options: &BrokerBenchOptions, found: Programs) -> anyhow::Result<Report> {
    match options.against {
        BrokerPeer::Kafka => {}
    }
    let bench = BrokerBench::new(broker_options(&options.runs, found))?;
    tracing::info!(event = "bench_begins", folder = %bench.folder().display());
    Ok(bench.run().await?)
}

async fn clusters(options: &ClusterBenchOptions, found: Programs) -> anyhow::Result<Report> {
    match options.against {
        ClusterPeer::Kafka => {}
    }
    let bench = ClusterBench::new(broker_options(&options.runs, found))?;
    tracing::info!(event = "bench_begins", folder = %bench.folder().display());
    Ok(bench.run().await?)
}

fn broker_options(runs: &RunOptions, found: Programs) -> Options {
    Options {
        jars: found.jars,
        kcat: found.kcat,
        isthmus: found.isthmus,
        rounds: runs.rounds,
        loads: loads(runs, Codec::None),
        keep: runs.keep,
    }
}

async fn mirrors(options: &MirrorBenchOptions, found: Programs) -> anyhow::Result<Report> {
    match options.against {
        MirrorPeer::Mm2 => {}
    }
    let of = |codec| loads(&options.runs, codec);
    let bench = MirrorBench::new(MirrorOptions {
        jars: found.jars,
        kcat: found.kcat,
        isthmus: found.isthmus,
        rounds: options.runs.rounds,
        loads: Codec::ALL.into_iter().flat_map(of).collect(),
        latency_records: options.records_latency,
        keep: options.runs.keep,
    })?;
    tracing::info!(event = "bench_begins", folder = %bench.folder().display());
    Ok(bench.run().await?)
}

/// None if it was interrupted.
fn measure<R>(bench: impl Future<Output = anyhow::Result<R>>) -> anyhow::Result<Option<R>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("could not start threads")?;
    let outcome = runtime.block_on(until_interrupted(bench));
    // What may still run is a sync of the disks, which is nobody's to wait for.
    runtime.shutdown_background();
    outcome
}

/// Looks for everything that is needed before anything is started; all that is missing, at once.
fn find(options: &RunOptions, needed: Jars) -> Result<Programs, String> {
    let jars = options.libs.clone().or_else(|| variable(LIBS_VARIABLE));
    let jars = jars.ok_or_else(no_libs);
    let jars = jars.and_then(|libs| {
        let jars = KafkaJars::find(&libs);
        let jars = jars.and_then(|jars| match needed {
            Jars::WithMirrorMaker => jars.check_mirror_maker().map(|()| jars),
            Jars::Broker => Ok(jars),
        });
        jars.map_err(|error| error.to_string())
    });
    let kcat = options.kcat.clone().or_else(|| variable(KCAT_VARIABLE));
    let kcat = kcat.unwrap_or_else(|| PathBuf::from("kcat"));
    let kcat = Kcat::find(&kcat).map_err(|error| error.to_string());
    match (jars, kcat, isthmus(options.binary.as_ref())) {
        (Ok(jars), Ok(kcat), Ok(isthmus)) => Ok(Programs {
            jars,
            kcat,
            isthmus,
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

/// The binary to measure: the one given, or the running one.
fn isthmus(binary: Option<&PathBuf>) -> Result<IsthmusProgram, String> {
    let binary = match binary {
        Some(binary) => binary.clone(),
        None => {
            std::env::current_exe().map_err(|error| format!("where is this program? {error}"))?
        }
    };
    IsthmusProgram::find(&binary).map_err(|error| format!("--binary: {error}"))
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

fn loads(options: &RunOptions, codec: Codec) -> Vec<Load> {
    let load = |size, records: Option<u64>| {
        let full = Load::full(size);
        Load {
            codec,
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
async fn until_interrupted<R>(
    bench: impl Future<Output = anyhow::Result<R>>,
) -> anyhow::Result<Option<R>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        report = bench => Ok(Some(report.context("could not finish the comparison")?)),
        _ = terminate.recv() => Ok(None),
        _ = interrupt.recv() => Ok(None),
    }
}

/// A round that counts for nothing is a failure, and the others are told all the same.
#[expect(clippy::print_stdout, reason = "the report is this command's answer")]
fn say(report: &Report, json: bool) -> ExitCode {
    if json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    match report.has_void_rounds() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// A budget that is missed is said and is no failure.
#[expect(clippy::print_stdout, reason = "the report is this command's answer")]
fn say_added(report: &GatewayReport, json: bool) -> ExitCode {
    if json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    ExitCode::SUCCESS
}
