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
    Gateway,
}

/// Tables that no other program has.
const OF_GATEWAYS: [&str; 2] = ["gateway", "brokers"];

impl Program {
    /// Reads a file and tells by its tables whose it is; a broker's if nothing speaks against it.
    pub(super) fn read(path: &Path) -> Result<(Self, ConfigFile), ConfigProblems> {
        let file = isthmus_broker::read_config(path)?;
        let names = file.table_names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok((Self::of_tables(&names), file))
    }

    fn of_tables(names: &[&str]) -> Self {
        let is_gateway = names.iter().any(|name| OF_GATEWAYS.contains(name));
        if is_gateway && !names.contains(&"node") {
            return Self::Gateway;
        }
        #[cfg(feature = "replicator")]
        {
            let knows = |program: Self| names.iter().any(|it| program.schema().table(it).is_some());
            if knows(Self::Replicator) && !knows(Self::Broker) {
                return Self::Replicator;
            }
        }
        Self::Broker
    }

    pub(super) fn schema(self) -> &'static Schema {
        match self {
            Self::Broker => isthmus_broker::schema(),
            #[cfg(feature = "replicator")]
            Self::Replicator => isthmus_replicator::settings::schema(),
            Self::Gateway => isthmus_broker::gateway::schema(),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            #[cfg(feature = "replicator")]
            Self::Replicator => "replicator",
            Self::Gateway => "gateway",
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
            Self::Gateway => {
                let settings = isthmus_broker::gateway::GatewaySettings::load(layers)?;
                Ok(settings.notices().to_vec())
            }
        }
    }
}
