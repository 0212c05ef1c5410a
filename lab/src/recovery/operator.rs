//! The operator's commands, and what they say.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::RecoveryError;
use crate::process::{Process, ToolError};
use crate::targets::IsthmusProgram;
use crate::trio::Trio;

/// For one command; a voter that is added gets the whole log first.
const COMMAND_MAX: Duration = Duration::from_secs(120);

const RECOVER: &str = "isthmus quorum recover";
const ADD: &str = "isthmus quorum add";

/// What the recovery said of itself beforehand: the part of `isthmus.quorum.recover/1` that is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Plan {
    /// The last record of metadata that is kept.
    pub(super) kept_offset: i64,
    /// Brokers whose directories are gone, and who are registered no more.
    pub(super) brokers_given_up: Vec<i32>,
    /// Those of which all who were in sync are gone.
    pub(super) partitions_lost: Vec<Partition>,
}

/// Of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Partition {
    pub(super) topic: String,
    pub(super) partition: i32,
}

/// Says what would be done from this survivor, and does nothing.
pub(super) async fn dry_run(
    program: &IsthmusProgram,
    trio: &Trio,
    survivor: i32,
) -> Result<Plan, RecoveryError> {
    recover_with(program, trio, survivor, "--dry-run").await
}

/// Does it, and says what it did.
pub(super) async fn recover(
    program: &IsthmusProgram,
    trio: &Trio,
    survivor: i32,
) -> Result<Plan, RecoveryError> {
    recover_with(program, trio, survivor, "--yes").await
}

async fn recover_with(
    program: &IsthmusProgram,
    trio: &Trio,
    survivor: i32,
    flag: &str,
) -> Result<Plan, RecoveryError> {
    let mut command = program.command();
    command.args(["quorum", "recover", "--json", flag, "-c"]);
    command.arg(trio.file(survivor));
    read(&run(RECOVER, command, trio.logs()).await?)
}

/// A node that becomes a voter.
pub(super) struct Addition {
    node: i32,
    directory: String,
    /// Whom to ask.
    bootstrap: String,
    logs: PathBuf,
}

impl Addition {
    pub(super) fn new(trio: &Trio, node: i32, directory: String, survivor: i32) -> Self {
        Self {
            node,
            directory,
            bootstrap: trio.address(survivor).to_string(),
            logs: trio.logs().to_owned(),
        }
    }

    /// Returns when it votes; until it has started the quorum waits for it.
    pub(super) async fn run(&self, program: &IsthmusProgram) -> Result<(), RecoveryError> {
        let mut command = program.command();
        command
            .args(["quorum", "add", &self.node.to_string(), "--yes"])
            .args(["--directory", &self.directory])
            .args(["--bootstrap", &self.bootstrap]);
        run(ADD, command, &self.logs).await.map(drop)
    }
}

/// What it printed.
async fn run(name: &'static str, command: Command, logs: &Path) -> Result<String, RecoveryError> {
    let failed = |cause: ToolError| RecoveryError::Command {
        command: name,
        cause,
    };
    let file = name.replace(' ', "-");
    let spawned = Process::spawn(&file, command, logs);
    let mut process = spawned.map_err(|error| failed(error.into()))?;
    process.finish(COMMAND_MAX).await.map_err(failed)?;
    process.stdout().map_err(|cause| RecoveryError::Answer {
        command: name,
        cause: cause.to_string(),
    })
}

fn read(said: &str) -> Result<Plan, RecoveryError> {
    serde_json::from_str(said).map_err(|cause| RecoveryError::Answer {
        command: RECOVER,
        cause: format!("{cause} in {said:?}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_recovery_says_is_read() {
        let said = r#"{"schema":"isthmus.quorum.recover/1","verdict":"would-recover","kept_offset":7,
            "brokers_given_up":[2],"partitions_lost":[{"topic":"t","partition":3}]}"#;
        let plan = read(said).unwrap();
        assert_eq!((plan.kept_offset, plan.brokers_given_up), (7, vec![2]));
        let lost = [Partition {
            topic: "t".to_owned(),
            partition: 3,
        }];
        assert_eq!(plan.partitions_lost, lost);
        let error = read("{}").unwrap_err().to_string();
        assert!(error.contains("missing field `kept_offset`"), "{error}");
    }
}
