//! Splits: a cluster is cut in two, and both sides go on being written to (table D).
//!
//! Owns: the rows of the table and what must be seen in each, the cluster of each row, and the verdict.
//! Must not know: how a cut is made ([`crate::fabric`]), and how a client writes its ledger
//! ([`crate::load`]).
//!
//! | Step | |
//! |---|---|
//! | three controllers and the row's brokers start, one topic of one partition is made, its first replica leads | before the load |
//! | where the row wants only the leader's side in sync: the others stop, and come back where no record reaches them | before the load |
//! | a producer and a reader on each side | the load begins |
//! | the leader's side, its clients too, is cut off from the quorum, both directions | [`HOLD`] |
//! | the leader's log is looked at, everything is healed, all replicas are in sync again | |
//! | the load ends, an audit reads all, the leader's log is looked at again | the end |
//!
//! Reading order: [`table`], [`files`], [`cluster`], [`clients`], [`run`], [`sides`], [`segments`],
//! [`judge`], [`report`].

mod clients;
mod cluster;
mod files;
mod judge;
mod report;
mod run;
mod segments;
mod sides;
pub mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::checker::CheckError;
use crate::fabric::{Fabric, FabricError};
use crate::ledger::{CellError, LedgerError};
use crate::report::WriteError;
use crate::targets::{IsthmusProgram, Software};
use crate::trio::TrioError;
pub use cluster::fabric;
pub use report::{Outcome, PAGE_FILE, REPORT_FILE};
use table::{Lease, Row};

/// How long a cut lasts: seven sessions, and each side has settled well before.
pub const HOLD: Duration = Duration::from_secs(15);

/// Between two looks at the brokers.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Which rows, on what.
#[derive(Clone, Debug)]
pub struct Options {
    pub software: Software,
    /// Whose load clients are used, on either target.
    pub lab: IsthmusProgram,
    pub rows: Vec<Row>,
    /// Each row runs with each of them. None for a target that has no such thing.
    pub leases: Vec<Option<Lease>>,
    /// Ledgers and reports go there.
    pub out: PathBuf,
    /// Leave data and logs of the programs there as well.
    pub keep: bool,
}

/// The lab itself failed, or the target did not come back. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum SplitsError {
    #[error(transparent)]
    Fabric(#[from] FabricError),
    #[error(transparent)]
    Trio(#[from] TrioError),
    #[error("write {}: {cause}", path.display())]
    Write {
        path: PathBuf,
        cause: std::io::Error,
    },
    #[error("read the clock: {0}")]
    Clock(std::io::Error),
    #[error("look into the log in {}: {cause}", path.display())]
    Segments {
        path: PathBuf,
        cause: std::io::Error,
    },
    #[error("begin the cut of {row} as the table wants it: {state}")]
    NotReady { row: &'static str, state: String },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Ledgers(#[from] CellError),
    #[error(transparent)]
    Judge(#[from] CheckError),
    #[error(transparent)]
    Report(#[from] WriteError),
}

fn unwritten(path: &Path, cause: std::io::Error) -> SplitsError {
    SplitsError::Write {
        path: path.to_owned(),
        cause,
    }
}

/// Moves this thread to where the operator is, who reaches both sides: [`splits`] runs there, on threads
/// that are started afterwards.
pub fn become_operator(fabric: &Fabric) -> Result<(), FabricError> {
    let place = fabric.place(cluster::OPERATOR);
    place
        .namespace()
        .enter()
        .map_err(|cause| FabricError::System {
            what: "enter the operator's namespace".to_owned(),
            cause,
        })
}

/// Runs the rows one after the other, and writes the reports.
pub async fn splits(
    options: &Options,
    fabric: &Fabric,
    tell: &dyn Fn(&str),
) -> Result<Outcome, SplitsError> {
    let mut judged = Vec::new();
    for &row in &options.rows {
        for &lease in &options.leases {
            let found = run::run(options, fabric, row, lease, tell).await?;
            tell(&found.line());
            judged.push(found);
        }
    }
    report::write(options, judged)
}
