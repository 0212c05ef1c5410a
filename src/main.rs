//! The isthmus binary: one file per subcommand.
//!
//! Exit codes (docs/cli.md): 0 done, 1 tried and failed, 2 usage or configuration with nothing
//! touched, 3 the answer is no, 4 nobody could be reached, 5 the outcome is not known, 130
//! interrupted.

#[cfg(feature = "lab")]
mod bench;
mod broker;
mod cluster;
mod config;
#[cfg(feature = "replicator")]
mod daemon;
mod elect;
#[cfg(feature = "replicator")]
mod failover;
#[cfg(feature = "replicator")]
mod flow;
mod format;
mod gateway;
#[cfg(feature = "lab")]
mod lab;
mod level;
mod logging;
mod options;
mod plan;
mod quorum;
mod rack;
#[cfg(feature = "replicator")]
mod replicator;
#[cfg(feature = "replicator")]
mod status;
#[cfg(feature = "replicator")]
mod verify;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Join Kafka clusters, or stretch one over several sites.
#[derive(Parser)]
#[command(name = "isthmus", version, about)]
struct Cli {
    #[command(flatten)]
    logging: logging::LoggingOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a broker.
    Broker(broker::BrokerOptions),
    /// Run a replicator: mirror topics between clusters.
    #[cfg(feature = "replicator")]
    Replicator(replicator::ReplicatorOptions),
    /// Run a gateway: one stable address for a cluster, with one port per broker.
    Gateway(gateway::GatewayOptions),
    /// Show how far a running replicator's flows are.
    #[cfg(feature = "replicator")]
    Status(status::StatusOptions),
    /// Pause or resume flows of a running replicator, or let one mirror again after a failover.
    #[cfg(feature = "replicator")]
    Flow(flow::FlowOptions),
    /// Take the targets of flows for good: their source is lost, or given up.
    #[cfg(feature = "replicator")]
    Failover(failover::FailoverOptions),
    /// Compare what a flow copied with what it was copied from.
    #[cfg(feature = "replicator")]
    Verify(verify::VerifyOptions),
    /// Give a data directory its identity, once, before the first start.
    Format(format::FormatOptions),
    /// Look at a configuration: check, explain, sample, schema.
    Config(config::ConfigOptions),
    /// The metadata level of a cluster: show it, raise it.
    Level(level::LevelOptions),
    /// The metadata quorum of a cluster: show it, take voters in and out.
    Quorum(quorum::QuorumOptions),
    /// Where a cluster's replicas stand, by rack: verify it.
    Rack(rack::RackOptions),
    /// Have partitions led by their preferred leaders.
    Elect(elect::ElectOptions),
    /// Write what the machines of a deployment model need.
    Plan(plan::PlanOptions),
    /// Measure the same load on Isthmus and on its peers.
    #[cfg(feature = "lab")]
    Bench(bench::BenchOptions),
    /// Load, ledgers and verdicts: what a deployment loses and how long it is away.
    #[cfg(feature = "lab")]
    Lab(lab::LabOptions),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.logging.start();
    match cli.command {
        Command::Broker(options) => broker::run(&options),
        #[cfg(feature = "replicator")]
        Command::Replicator(options) => replicator::run(&options),
        Command::Gateway(options) => gateway::run(&options),
        #[cfg(feature = "replicator")]
        Command::Status(options) => status::run(&options),
        #[cfg(feature = "replicator")]
        Command::Flow(options) => flow::run(&options),
        #[cfg(feature = "replicator")]
        Command::Failover(options) => failover::run(&options),
        #[cfg(feature = "replicator")]
        Command::Verify(options) => verify::run(&options),
        Command::Format(options) => format::run(&options),
        Command::Config(options) => config::run(&options),
        Command::Level(options) => level::run(&options),
        Command::Quorum(options) => quorum::run(&options),
        Command::Rack(options) => rack::run(&options),
        Command::Elect(options) => elect::run(&options),
        Command::Plan(options) => plan::run(&options),
        #[cfg(feature = "lab")]
        Command::Bench(options) => bench::run(&options),
        #[cfg(feature = "lab")]
        Command::Lab(options) => lab::run(&options),
    }
}
