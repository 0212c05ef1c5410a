//! The command line as scripts meet it: what it prints, its exit codes, and what it leaves alone
//! (docs/cli.md).

#![expect(
    clippy::unwrap_used,
    reason = "a failure here fails the test, with its place"
)]

mod cluster;
mod config;
mod config_command;
mod directory;
mod gateway;
#[cfg(feature = "lab")]
mod lab;
mod level;
mod life;
mod node_tls;
mod plan;
mod quorum;
mod rack;
mod recover;
mod replicator;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test binary uses its part of what is shared")]
mod support;
mod unclean;

use std::time::Duration;

/// A command that does not start a broker is done long before this.
const LIMIT: Duration = Duration::from_secs(60);
