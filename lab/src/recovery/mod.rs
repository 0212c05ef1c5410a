//! Recovery: in a cluster of three under load two nodes are destroyed, the active controller's among
//! them, and an operator brings the cluster back from the one that is left.
//!
//! Owns: what the operator does and when, and the verdict. Must not know: how a node is started and ended
//! ([`crate::trio`]), and what the ledgers say ([`crate::checker`]).
//!
//! | Step | |
//! |---|---|
//! | three nodes, one topic of six partitions, three replicas, two of which must be in sync | before the load |
//! | a reader of all partitions, then the producer (idempotent, acks=all) | the load begins |
//! | two nodes are killed at once and their directories removed | the fault |
//! | the survivor is stopped, since its directory is about to be changed | |
//! | `isthmus quorum recover --dry-run`, then the same with `--yes` | |
//! | the survivor is started | |
//! | one after the other: formatted anew, started, added to the quorum | |
//! | all replicas in sync, a topic is made, an answer in every partition | |
//! | the load ends, an audit reads all, the nodes are ended, Kafka's dump tool reads their logs | the end |
//!
//! Nothing is waited for between the steps: what the times say is what the commands take, and an operator
//! adds their own.
//!
//! Reading order: [`step`], [`operator`], [`run`], [`judge`].

mod judge;
mod operator;
mod run;
mod step;

use std::path::PathBuf;
use std::time::Duration;

use crate::ledger::LedgerError;
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

/// Who survives, under which load.
#[derive(Clone, Debug)]
pub struct Options {
    pub program: IsthmusProgram,
    /// For Java clients and for the dump tool; without them the replicas are not compared.
    pub jars: Option<KafkaJars>,
    pub library: Library,
    pub records_per_second: u32,
    /// The one node that is left; none for the first that is not the active controller.
    pub survivor: Option<i32>,
    /// How long the load goes on before the fault, and after all is well again.
    pub hold: Duration,
    /// Ledgers and reports go there.
    pub out: PathBuf,
    /// Leave data and logs of the programs there as well.
    pub keep: bool,
}

/// The lab itself failed, or the cluster did not come back. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error(transparent)]
    Trio(#[from] TrioError),
    #[error(transparent)]
    Diary(#[from] DiaryError),
    #[error("write {}: {cause}", path.display())]
    Write {
        path: PathBuf,
        cause: std::io::Error,
    },
    #[error("get an answer in every partition within {seconds} s")]
    Unanswered { seconds: u64 },
    #[error("run {command}: {cause}")]
    Command {
        command: &'static str,
        cause: ToolError,
    },
    #[error("understand what {command} printed: {cause}")]
    Answer {
        command: &'static str,
        cause: String,
    },
    #[error("watch the clients: {0}")]
    Watch(#[from] LoadError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Replicas(#[from] ReplicasError),
    #[error(transparent)]
    Judge(#[from] JudgeError),
}

/// Runs it all, and writes the reports.
pub async fn recovery(options: &Options, tell: &dyn Fn(&str)) -> Result<Outcome, RecoveryError> {
    run::run(options, tell).await
}
