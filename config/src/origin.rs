//! Where a value came from.

use std::fmt;

use serde::{Serialize, Serializer};

/// The layer a value came from, and the place in it. Layers rank in the order given here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The key's own default.
    Default,
    /// A value that a mode of the program puts in, such as `--dev`.
    Preset(String),
    /// A line of a file; no line when the file as a whole is meant.
    File { name: String, line: Option<usize> },
    /// A variable of the environment.
    Env(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Preset(flag) => write!(f, "preset of {flag}"),
            Self::File {
                name,
                line: Some(line),
            } => write!(f, "{name}:{line}"),
            Self::File { name, line: None } => f.write_str(name),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
