//! `cargo xtask demo`: what the project exists for, and with `--broker` the broker by itself.
//!
//! Invariant: every claim that is printed was checked, and a wrong count ends the demo with exit code 1.

mod broker;
mod clients;
mod lost_cluster;
mod one_broker;

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::Flags;
use crate::workspace::{cargo, target_dir};

pub(crate) fn run(flags: Flags) -> Result<()> {
    match flags.broker {
        true => one_broker::run(flags.install),
        false => lost_cluster::run(flags.install),
    }
}

fn build() -> Result<PathBuf> {
    println!("building the release binary (minutes the first time)");
    let status = cargo(["build", "--release", "--locked", "--package", "isthmus"]).status()?;
    if !status.success() {
        bail!("could not build: {status}");
    }
    Ok(target_dir().join("release/isthmus"))
}
