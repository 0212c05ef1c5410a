//! Strikes: nodes of a cluster of three are killed, frozen, stopped, cut off and more in a loop under load,
//! and then everything is read back.
//!
//! Owns: which fault comes when, and what a fault needs of the machine. Must not know: how a node is ended and
//! replicas are compared ([`crate::trio`]), how a cut is made ([`crate::fabric`]), and what the ledgers say
//! ([`crate::checker`]).
//!
//! | Step | |
//! |---|---|
//! | three nodes, one topic of six partitions, three replicas, two of which must be in sync | before the load |
//! | a reader of all partitions, then the producer | the load begins |
//! | a fault, which ends by itself after a time that was drawn ([`kinds`]) | in a loop |
//! | every node says that every partition has three replicas in sync again | before the next fault |
//! | the producer ends with its last answer, the reader when nothing new comes, an audit reads all | the end |
//! | all nodes are ended, and Kafka's dump tool reads their logs | last |
//!
//! Faults never overlap, and no fault takes a node's disk away: whoever keeps acknowledged records on two of
//! three nodes loses none. By default two of them are always well.
//!
//! Reading order: [`kinds`], [`draw`], [`ground`], [`act`], [`flow`], [`run`], [`judge`].

mod act;
mod clocks;
mod disks;
mod draw;
mod flow;
mod ground;
mod judge;
pub mod kinds;
mod run;

use std::path::PathBuf;
use std::time::Duration;

use crate::fabric::{Fabric, FabricError};
use crate::load::LoadError;
use crate::targets::{IsthmusProgram, KafkaJars, Software};
use crate::trio::TrioError;
use crate::trio::clients::{Acks, Library};
use crate::trio::counts::JudgeError;
use crate::trio::diary::DiaryError;
use crate::trio::replicas::ReplicasError;
pub use ground::{check, enter, make};
pub use judge::{Outcome, REPORT_FILE};
use kinds::Kind;

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
    /// What may come; in any order.
    pub faults: Vec<Kind>,
    /// The same faults in the same order for the same seed and the same kinds.
    pub seed: u64,
    /// A rule of replication, by its id, that the nodes leave out: what is found then shows what the lab
    /// would see. Their program must have been built with fault points.
    pub without_rule: Option<String>,
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
    #[error(transparent)]
    Fabric(#[from] FabricError),
    #[error("enter the operator's namespace, and have mounts of its own: {0}")]
    Enter(std::io::Error),
    #[error(
        "set the clocks of nodes: libfaketime is not here; install it (Debian: libfaketime), or leave \
             the fault clock out"
    )]
    NoFakeTime,
    #[error("set the clock of node {id}: {cause}")]
    NoClock { id: i32, cause: String },
    #[error("{what} the disk of node {id}: {cause}")]
    Disk {
        what: &'static str,
        id: i32,
        cause: std::io::Error,
    },
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

/// Runs it all, and writes the reports. The fabric is what [`make`] made for the faults of the options, and
/// the threads that this runs on were started after [`enter`].
pub async fn strikes(
    options: &Options,
    fabric: Option<&Fabric>,
    tell: &dyn Fn(&str),
) -> Result<Outcome, StrikesError> {
    run::run(options, fabric, tell).await
}
