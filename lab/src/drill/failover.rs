//! The failover of flows, as an operator does it: by the command, from the mirrors' files.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::DrillError;
use crate::ledger::said_path;
use crate::process::Process;
use crate::targets::{StartError, probe};

/// Its own waiting for the dead source ends after a few seconds.
const FAILOVER_MAX: Duration = Duration::from_secs(120);

/// How the line begins from which on producers may be switched: the role is taken.
const PROMOTED: &str = r#"{"schema":"isthmus.failover/1","step":"promoted""#;

/// Failovers that hold already, and still carry offsets of groups.
pub(super) struct Failovers(Vec<Failover>);

struct Failover {
    /// Its mirror.
    name: String,
    process: Process,
}

impl Failovers {
    /// Runs the commands, each under the name of its mirror, until all roles are taken.
    pub(super) async fn begin(
        commands: Vec<(String, Command)>,
        logs: &Path,
    ) -> Result<Self, DrillError> {
        let mut begun = Vec::new();
        for (name, command) in commands {
            let process = Process::spawn(&format!("{name}-failover"), command, logs);
            let process = process.map_err(StartError::from)?;
            begun.push(Failover { name, process });
        }
        for failover in &mut begun {
            probe::line(&mut failover.process, PROMOTED, FAILOVER_MAX).await?;
        }
        Ok(Self(begun))
    }

    /// Waits for their ends, and keeps what they said of the loss beside the ledgers.
    pub(super) async fn finish(self, ledgers: &Path) -> Result<(), DrillError> {
        for Failover { name, mut process } in self.0 {
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
}
