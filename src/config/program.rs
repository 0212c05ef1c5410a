//! Which program a configuration file is for, and what that program makes of it.

use clap::ValueEnum;
use isthmus_config::{ConfigFile, ConfigProblem, ConfigProblems, Layers, Schema};
use std::path::Path;

/// A program with a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Program {
    Broker,
    #[cfg(feature = "replicator")]
    Replicator,
}

impl Program {
    /// Reads a file and tells by its tables whose it is; a broker's if nothing speaks against it.
    #[cfg(feature = "replicator")]
    pub(super) fn read(path: &Path) -> Result<(Self, ConfigFile), ConfigProblems> {
        let file = isthmus_broker::read_config(path)?;
        let names = file.table_names();
        let knows = |program: Self| names.iter().any(|it| program.schema().table(it).is_some());
        if knows(Self::Replicator) && !knows(Self::Broker) {
            return Ok((Self::Replicator, file));
        }
        Ok((Self::Broker, file))
    }

    #[cfg(not(feature = "replicator"))]
    pub(super) fn read(path: &Path) -> Result<(Self, ConfigFile), ConfigProblems> {
        Ok((Self::Broker, isthmus_broker::read_config(path)?))
    }

    pub(super) fn schema(self) -> &'static Schema {
        match self {
            Self::Broker => isthmus_broker::schema(),
            #[cfg(feature = "replicator")]
            Self::Replicator => isthmus_replicator::settings::schema(),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            #[cfg(feature = "replicator")]
            Self::Replicator => "replicator",
        }
    }

    /// What a person should look at, though the program would start.
    pub(super) fn warnings(self, layers: &Layers) -> Result<Vec<ConfigProblem>, ConfigProblems> {
        match self {
            Self::Broker => {
                let settings = isthmus_broker::Settings::load(layers, None)?;
                let notices = settings.notices().iter().cloned();
                Ok(notices.chain(settings.idle()).collect())
            }
            #[cfg(feature = "replicator")]
            Self::Replicator => {
                let settings = isthmus_replicator::settings::Settings::load(layers)?;
                Ok(settings.notices().to_vec())
            }
        }
    }
}
