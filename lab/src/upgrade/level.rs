//! The metadata level: raised as an operator does it, by the command of the new build.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::UpgradeError;
use crate::process::{Process, ToolError};
use crate::targets::IsthmusProgram;
use crate::trio::Trio;

/// For the command.
const RAISE_MAX: Duration = Duration::from_secs(60);

/// What was before and after. The same where the new build knows no higher level than the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Levels {
    pub(super) before: i16,
    pub(super) after: i16,
}

impl Levels {
    pub(super) fn were_raised(self) -> bool {
        self.after > self.before
    }
}

/// What of `isthmus.level.raise/1` is needed.
#[derive(Deserialize)]
struct Raised {
    from: i16,
    to: i16,
}

/// `isthmus level raise` of that build.
pub(super) async fn raise(trio: &Trio, build: &IsthmusProgram) -> Result<Levels, UpgradeError> {
    let mut command = build.command();
    command
        .args(["level", "raise", "--yes", "--json", "--bootstrap"])
        .arg(trio.bootstrap());
    let spawned = Process::spawn("level-raise", command, trio.logs());
    let mut process = spawned.map_err(|error| UpgradeError::Raise(ToolError::from(error)))?;
    let finished = process.finish(RAISE_MAX).await;
    finished.map_err(UpgradeError::Raise)?;
    let said = process.stdout();
    read(&said.map_err(|cause| UpgradeError::Raised(cause.to_string()))?)
}

fn read(said: &str) -> Result<Levels, UpgradeError> {
    let raised: Raised = serde_json::from_str(said)
        .map_err(|cause| UpgradeError::Raised(format!("{cause} in {said:?}")))?;
    Ok(Levels {
        before: raised.from,
        after: raised.to,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_the_command_is_read() {
        let said =
            r#"{"schema":"isthmus.level.raise/1","level":1,"verdict":"raised","from":1,"to":2}"#;
        let levels = read(said).unwrap();
        assert_eq!((levels.before, levels.after), (1, 2));
        assert!(levels.were_raised());
        let error = read("nothing to do").unwrap_err().to_string();
        assert!(error.ends_with("in \"nothing to do\""), "{error}");
    }
}
