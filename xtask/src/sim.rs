//! `cargo xtask sim`: builds the simulator as fast code and runs it. Its flags are its own.

use anyhow::{Result, bail};

use crate::workspace::cargo;

pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut command = cargo(["run", "--locked", "--release", "--quiet"]);
    command.args(["--package", "isthmus-sim", "--"]).args(args);
    let status = command.status()?;
    if !status.success() {
        bail!("the simulator found something, or could not run: {status}");
    }
    Ok(())
}
