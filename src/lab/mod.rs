//! `isthmus lab`: deployments and drills on them, load with a fixed schedule, and what is concluded from
//! the ledgers it writes.

mod drill;
mod gaps;
mod leaders;
mod list;
mod load;
mod programs;
mod recompute;
mod recovery;
mod splits;
mod strikes;
mod up;
mod upgrade;

use clap::{Args, Subcommand};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Args)]
pub(crate) struct LabOptions {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The shipped models and what a drill does to them.
    List(list::ListOptions),
    /// Start a model's programs, and end them all on a signal.
    Up(up::UpOptions),
    /// Kill a cluster of a model under load, switch its clients, and measure the loss.
    Drill(drill::DrillOptions),
    /// The same drills on Isthmus and on Apache Kafka with MirrorMaker 2, in one report.
    Compare(drill::CompareOptions),
    /// Kill, freeze and stop nodes of a cluster of three under load, then read everything back.
    Strikes(strikes::StrikesOptions),
    /// Kill leaders in a cluster of three, and measure how long producers wait.
    Gaps(gaps::GapsOptions),
    /// Kill nodes that lead thousands of partitions, and measure how long these have no leader.
    Leaders(leaders::LeadersOptions),
    /// Change the build of a cluster of three under load, node by node, back, and for good.
    Upgrade(upgrade::UpgradeOptions),
    /// Destroy two nodes of a cluster of three under load, and recover it from the one that is left.
    Recovery(recovery::RecoveryOptions),
    /// Cut a cluster in two under load, and compare what both sides hear with what they should.
    Splits(splits::SplitsOptions),
    /// Run one client, which writes down what it meant to do and what became of it.
    Load(Box<load::LoadOptions>),
    /// Judge the ledgers of a drill again.
    Recompute(recompute::RecomputeOptions),
}

pub(crate) fn run(options: &LabOptions) -> ExitCode {
    match &options.what {
        What::List(options) => list::run(options),
        What::Up(options) => up::run(options),
        What::Drill(options) => drill::run_drill(options),
        What::Compare(options) => drill::run_compare(options),
        What::Strikes(options) => strikes::run(options),
        What::Gaps(options) => gaps::run(options),
        What::Leaders(options) => leaders::run(options),
        What::Upgrade(options) => upgrade::run(options),
        What::Recovery(options) => recovery::run(options),
        What::Splits(options) => splits::run(options),
        What::Load(options) => load::run(options),
        What::Recompute(options) => recompute::run(options),
    }
}

/// Runs what may take long. None if a signal came first: what runs is then dropped, which ends all
/// processes.
fn until_signal<T>(work: impl Future<Output = T>) -> Result<Option<T>, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("could not start threads: {error}"))?;
    let outcome = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            done = work => Ok(Some(done)),
            _ = terminate.recv() => Ok(None),
            _ = interrupt.recv() => Ok(None),
        }
    });
    // A thread that still writes first records is nobody's to wait for.
    runtime.shutdown_background();
    outcome.map_err(|error: std::io::Error| format!("could not listen to signals: {error}"))
}
