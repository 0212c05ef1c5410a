//! `isthmus lab`: load with a fixed schedule, and what is concluded from the ledgers it writes.

mod load;
mod recompute;

use clap::{Args, Subcommand};
use std::process::ExitCode;

#[derive(Args)]
pub(crate) struct LabOptions {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Run one client, which writes down what it meant to do and what became of it.
    Load(Box<load::LoadOptions>),
    /// Judge the ledgers of a drill again.
    Recompute(recompute::RecomputeOptions),
}

pub(crate) fn run(options: &LabOptions) -> ExitCode {
    match &options.what {
        What::Load(options) => load::run(options),
        What::Recompute(options) => recompute::run(options),
    }
}
