//! What is done to the nodes, in its order, and how long it took.

use serde::Serialize;

use crate::clock::Micros;

/// One thing that happens, or that the operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub(super) enum Act {
    /// Two nodes are killed, and their directories removed.
    Destroy {
        nodes: [i32; 2],
    },
    /// The survivor, in order: it has no quorum to tell.
    Stop {
        node: i32,
    },
    /// What would be done, and what may be lost.
    DryRun,
    Recover,
    Start {
        node: i32,
    },
    /// Formatted anew, started, and added to the quorum.
    Rebuild {
        node: i32,
    },
    /// Until all replicas are in sync, a topic is made, and every partition has taken a record.
    Well,
}

impl Act {
    pub(super) fn text(self) -> String {
        match self {
            Self::Destroy {
                nodes: [one, other],
            } => {
                format!("nodes {one} and {other} destroyed")
            }
            Self::Stop { node } => format!("survivor {node} stopped"),
            Self::DryRun => "recovery tried without doing it".to_owned(),
            Self::Recover => "quorum recovered".to_owned(),
            Self::Start { node } => format!("survivor {node} started"),
            Self::Rebuild { node } => format!("node {node} formatted, started and added"),
            Self::Well => "all in sync, a topic made, every partition written".to_owned(),
        }
    }
}

/// One that was done.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Done {
    #[serde(flatten)]
    pub(super) act: Act,
    #[serde(skip)]
    pub(super) from_us: Micros,
    #[serde(skip)]
    pub(super) to_us: Micros,
}

impl Done {
    pub(super) fn seconds(&self) -> f64 {
        (self.to_us - self.from_us) as f64 / 1e6
    }
}
