//! Gaps: how long producers wait for an answer when the leader of a partition is killed.
//!
//! Owns: which node is killed when, and the gap of each kill. Must not know: how a node is ended
//! ([`crate::trio`]), and how a client writes its ledger ([`crate::load`]).
//!
//! Every client has a topic of its own with three partitions, of which each node leads one. All clients
//! run at once and see the same kills. Before each kill three replicas are in sync, preferred leaders
//! lead, every client is answered, and nothing happens for a while; so whichever node is killed leads a partition of every
//! client. Some kills take the active controller, and all others do not.
//!
//! The gap of a kill is the longest silence of acknowledgements in any partition of a client, begun
//! before the node is started again. It counts from the last acknowledgement before, so it is never
//! shorter than what a caller of the client waits.
//!
//! Reading order: [`run`], [`report`].

mod report;
mod run;

use std::path::PathBuf;

use crate::ledger::LedgerError;
use crate::targets::{IsthmusProgram, KafkaJars, Software};
use crate::trio::TrioError;
use crate::trio::clients::{Acks, Library};
pub use report::{Outcome, REPORT_FILE};

/// What is killed how often, under whose load.
#[derive(Clone, Debug)]
pub struct Options {
    pub software: Software,
    /// Whose load clients are used, on either target.
    pub lab: IsthmusProgram,
    /// For Java clients.
    pub jars: Option<KafkaJars>,
    /// A client for each pair.
    pub libraries: Vec<Library>,
    pub acks: Vec<Acks>,
    pub kills: u32,
    /// So many of them take the active controller; at most `kills`.
    pub with_controller: u32,
    /// Ledgers and the report go there.
    pub out: PathBuf,
    /// Leave data and logs of the programs there as well.
    pub keep: bool,
}

/// Nothing was measured. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum GapsError {
    #[error(transparent)]
    Trio(#[from] TrioError),
    #[error("write {}: {cause}", path.display())]
    Write {
        path: PathBuf,
        cause: std::io::Error,
    },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("hear an answer to {client} in every partition within {seconds} s")]
    Unanswered { client: String, seconds: u64 },
}

/// Runs it all, and writes the report.
pub async fn gaps(options: &Options, tell: &dyn Fn(&str)) -> Result<Outcome, GapsError> {
    run::run(options, tell).await
}
