//! `isthmus rack`: where a cluster's replicas stand, by rack.

mod seen;
mod verify;

use clap::{Args, Subcommand};
use std::process::ExitCode;

#[derive(Args)]
pub(crate) struct RackOptions {
    #[command(subcommand)]
    command: RackCommand,
}

#[derive(Subcommand)]
enum RackCommand {
    /// Check that the replicas of every partition are spread over the racks.
    Verify(verify::VerifyOptions),
}

pub(crate) fn run(options: &RackOptions) -> ExitCode {
    match &options.command {
        RackCommand::Verify(options) => verify::run(options),
    }
}
