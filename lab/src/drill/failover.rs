//! The failover of flows, as an operator does it: by the command, from the mirrors' files.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::DrillError;
use crate::ledger::said_path;
use crate::process::Process;
use crate::targets::StartError;

/// Its own waiting for the dead source ends after a few seconds.
const FAILOVER_MAX: Duration = Duration::from_secs(120);

/// Runs the commands, each under the name of its mirror, and keeps what they said of the loss beside
/// the ledgers.
pub(super) async fn fail_over(
    failovers: Vec<(String, Command)>,
    logs: &Path,
    ledgers: &Path,
) -> Result<(), DrillError> {
    for (name, command) in failovers {
        let process = Process::spawn(&format!("{name}-failover"), command, logs);
        let mut process = process.map_err(StartError::from)?;
        let finished = process.finish(FAILOVER_MAX).await;
        finished.map_err(|error| DrillError::Client(error.into()))?;
        let path = said_path(ledgers, &name);
        let said = process.stdout();
        // A line per step; the last one is the verdict.
        let said = said.map(|text| text.lines().last().unwrap_or_default().to_owned());
        let kept = said.and_then(|line| fs::write(&path, line + "\n"));
        kept.map_err(|cause| DrillError::Write { path, cause })?;
    }
    Ok(())
}
