//! Upgrade: the nodes of a cluster of three change from one build to another and back under load, one
//! after the other, and then everything is read back.
//!
//! Owns: which node gets which build when, the raise of the metadata level, the try to take a directory
//! back after it, and the verdict. Must not know: how a node is started and ended ([`crate::trio`]), and
//! what the ledgers say ([`crate::checker`]).
//!
//! | Step | |
//! |---|---|
//! | three nodes of the old build, one topic of six partitions, three replicas, two of which must be in sync | before the load |
//! | a reader of all partitions and one in a group, then the producer (idempotent, acks=all) | the load begins |
//! | node by node: stopped in order, started with the other build on its directory, all in sync, preferred leaders lead, a topic is made | forward, back, forward again |
//! | `isthmus level raise` of the new build, until every node says the new level | |
//! | one node is tried with the old build, which must end by itself, say why, and change nothing; it comes back with the new one | only if the level was raised |
//! | the load ends, an audit reads all, the nodes are ended, Kafka's dump tool reads their logs | the end |
//!
//! A topic is made after every step so that either build has to follow what the other one writes as the
//! controller.
//!
//! Reading order: [`step`], [`run`], [`level`], [`refusal`], [`judge`].

mod judge;
mod level;
mod refusal;
mod run;
mod step;

use std::path::PathBuf;
use std::time::Duration;

use crate::load::LoadError;
use crate::process::ToolError;
use crate::targets::{IsthmusProgram, KafkaJars};
use crate::trio::TrioError;
use crate::trio::clients::Library;
use crate::trio::counts::JudgeError;
use crate::trio::diary::DiaryError;
use crate::trio::replicas::ReplicasError;
pub use judge::{Outcome, REPORT_FILE};

/// Partitions of the topic: every node leads two of them.
const PARTITIONS: i32 = 6;

/// From which build to which, under which load.
#[derive(Clone, Debug)]
pub struct Options {
    pub from: IsthmusProgram,
    pub to: IsthmusProgram,
    /// Whose load clients are used.
    pub lab: IsthmusProgram,
    /// For Java clients and for the dump tool; without them the replicas are not compared.
    pub jars: Option<KafkaJars>,
    pub library: Library,
    pub records_per_second: u32,
    /// How long the load goes on after each step before the next.
    pub hold: Duration,
    /// Ledgers and reports go there.
    pub out: PathBuf,
    /// Leave data and logs of the programs there as well.
    pub keep: bool,
}

/// The lab itself failed, or the nodes did not come together. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    #[error(transparent)]
    Trio(#[from] TrioError),
    #[error(transparent)]
    Diary(#[from] DiaryError),
    #[error("write {}: {cause}", path.display())]
    Write {
        path: PathBuf,
        cause: std::io::Error,
    },
    #[error("read {}: {cause}", path.display())]
    Read {
        path: PathBuf,
        cause: std::io::Error,
    },
    #[error("get an answer in every partition within {seconds} s")]
    Unanswered { seconds: u64 },
    #[error("raise the level: {0}")]
    Raise(ToolError),
    #[error("understand what the raise of the level printed: {0}")]
    Raised(String),
    #[error("watch the clients: {0}")]
    Watch(#[from] LoadError),
    #[error(transparent)]
    Ledger(#[from] crate::ledger::LedgerError),
    #[error(transparent)]
    Replicas(#[from] ReplicasError),
    #[error(transparent)]
    Judge(#[from] JudgeError),
}

/// Runs it all, and writes the reports.
pub async fn upgrade(options: &Options, tell: &dyn Fn(&str)) -> Result<Outcome, UpgradeError> {
    run::run(options, tell).await
}
