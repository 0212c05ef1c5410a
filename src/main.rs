//! The isthmus binary: one file per subcommand.
//!
//! Exit codes (docs/cli.md): 0 done, 1 tried and failed, 2 usage or configuration with nothing
//! touched, 130 interrupted.

#[cfg(feature = "lab")]
mod bench;
mod broker;
mod config;
mod format;
mod logging;
mod options;

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
    /// Give a data directory its identity, once, before the first start.
    Format(format::FormatOptions),
    /// Look at a configuration: check, explain, sample, schema.
    Config(config::ConfigOptions),
    /// Measure the same load on Isthmus and on its peers.
    #[cfg(feature = "lab")]
    Bench(bench::BenchOptions),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.logging.start();
    match cli.command {
        Command::Broker(options) => broker::run(&options),
        Command::Format(options) => format::run(&options),
        Command::Config(options) => config::run(&options),
        #[cfg(feature = "lab")]
        Command::Bench(options) => bench::run(&options),
    }
}
