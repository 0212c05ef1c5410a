//! Calls of `ip`, of iproute2. It asks the kernel and ends; nothing here waits for anybody else.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Output, Stdio};

use super::FabricError;
use super::namespace::Namespace;
use crate::process::program;

/// One call; what it printed.
pub(super) fn run<S: AsRef<OsStr>>(
    what: &str,
    words: impl IntoIterator<Item = S>,
) -> Result<String, FabricError> {
    let output = program("ip").args(words).output();
    told(what, &output.map_err(FabricError::NoIp)?)
}

/// Lines of commands in one call within a namespace; the first one that fails is the last.
pub(super) fn batch(what: &str, within: &Namespace, lines: &str) -> Result<(), FabricError> {
    batch_with(what, &["-n", within.name(), "-batch", "-"], lines)
}

/// The same, and what can be done is done.
pub(super) fn batch_to_its_end(
    what: &str,
    within: &Namespace,
    lines: &str,
) -> Result<(), FabricError> {
    batch_with(what, &["-n", within.name(), "-force", "-batch", "-"], lines)
}

fn batch_with(what: &str, words: &[&str], lines: &str) -> Result<(), FabricError> {
    let mut command = program("ip");
    command
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(FabricError::NoIp)?;
    let input = child.stdin.take();
    let wrote = input.map_or(Ok(()), |mut input| input.write_all(lines.as_bytes()));
    let system = |cause| FabricError::System {
        what: what.to_owned(),
        cause,
    };
    let output = child.wait_with_output().map_err(system)?;
    // It says why it did not read to the end.
    told(what, &output)?;
    wrote.map_err(system)
}

fn told(what: &str, output: &Output) -> Result<String, FabricError> {
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(FabricError::Refused {
            what: what.to_owned(),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }),
    }
}
