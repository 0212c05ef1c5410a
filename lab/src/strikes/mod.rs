//! Strikes: nodes of a cluster of three are killed, frozen and stopped in a loop under load, and then
//! everything is read back.
//!
//! Owns: which fault comes when. Must not know: how a node is ended and replicas are compared
//! ([`crate::trio`]), and what the ledgers say ([`crate::checker`]).
//!
//! | Step | |
//! |---|---|
//! | three nodes, one topic of six partitions, three replicas, two of which must be in sync | before the load |
//! | a reader of all partitions, then the producer | the load begins |
//! | a fault: a node is killed, frozen for a while or stopped in order, and started again | in a loop |
//! | every node says that every partition has three replicas in sync again | before the next fault |
//! | the producer ends with its last answer, the reader when nothing new comes, an audit reads all | the end |
//! | all nodes are ended, and Kafka's dump tool reads their logs | last |
//!
//! Faults never overlap: two of three nodes are always well, so whoever keeps acknowledged records on
//! two of them loses none.
//!
//! Reading order: [`draw`], [`run`], [`judge`].

mod draw;
mod judge;
mod run;

use std::path::PathBuf;
use std::time::Duration;

use crate::load::LoadError;
use crate::targets::{IsthmusProgram, KafkaJars, Software};
use crate::trio::TrioError;
use crate::trio::clients::{Acks, Library};
use crate::trio::counts::JudgeError;
use crate::trio::diary::DiaryError;
use crate::trio::replicas::ReplicasError;
pub use judge::{Outcome, REPORT_FILE};

/// Partitions of the topic: every node leads two of them.
pub const PARTITIONS: i32 = 6;

/// What is struck, how long, under which load.
#[derive(Clone, Debug)]
pub struct Options {
    pub software: Software,
    /// Whose load clients are used, on either target.
    pub lab: IsthmusProgram,
    /// For Java clients and for the dump tool; without them the replicas are not compared.
    pub jars: Option<KafkaJars>,
    /// How long records are due.
    pub length: Duration,
    pub records_per_second: u32,
    /// The same faults in the same order for the same seed.
    pub seed: u64,
    pub acks: Acks,
    pub library: Library,
    /// Ledgers and reports go there.
    pub out: PathBuf,
    /// Leave data and logs of the programs there as well.
    pub keep: bool,
}

/// The lab itself failed, or the target did not come back. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum StrikesError {
    #[error(transparent)]
    Trio(#[from] TrioError),
    #[error("write {}: {cause}", path.display())]
    Write {
        path: PathBuf,
        cause: std::io::Error,
    },
    #[error(transparent)]
    Diary(#[from] DiaryError),
    #[error("watch the clients: {0}")]
    Watch(#[from] LoadError),
    #[error(transparent)]
    Replicas(#[from] ReplicasError),
    #[error(transparent)]
    Judge(#[from] JudgeError),
}

/// Runs it all, and writes the reports.
pub async fn strikes(options: &Options, tell: &dyn Fn(&str)) -> Result<Outcome, StrikesError> {
    run::run(options, tell).await
}
