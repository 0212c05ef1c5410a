//! Drills: a deployment under load, a cluster killed, clients switched, the loss measured.
//!
//! Owns: the order of a drill's steps and their times. Must not know: how a program is started
//! ([`crate::deployment`]), and what the ledgers say ([`crate::checker`]).
//!
//! | Step | When |
//! |---|---|
//! | nodes, topics, mirrors; first records mirrored | before the load |
//! | consumers, then producers | the load begins |
//! | fault: SIGKILL to every node of a cluster | `fault_after` |
//! | failover: `isthmus failover` of the flows out of the cluster, where the target has it | `switch_after` later |
//! | switch: audits of what can be read; clients of the lost cluster are started again with the other bootstrap | at once; with a failover, producers when it holds and consumers when it has ended |
//! | return: the killed nodes are started again, if the cell says so | `returns_after` the fault |
//! | end: producers end by themselves, consumers when they have read all, final audits | after `run` |
//!
//! A placebo stands beside the cells of a cluster: the same, the switch too, but nothing is killed, nothing is
//! failed over and nothing has to return. What it shows is what the procedure costs by itself.
//!
//! Reading order: [`cells`], [`run`], [`clients`], [`failover`], [`outside`].

pub mod cells;
mod clients;
mod failover;
pub mod outside;
mod run;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use isthmus_config::model::Model;

use crate::checker::CheckError;
use crate::deployment::DeployError;
use crate::folder::Folder;
use crate::ledger::find_cells;
use crate::load::LoadError;
use crate::report::{Report, WriteError};
use crate::targets::{IsthmusProgram, Software, StartError};
use cells::{Cell, cells};

/// What is drilled, on what, how often.
#[derive(Clone, Debug)]
pub struct Options {
    pub models: Vec<Model>,
    /// Each cell is run on all of them in turn, so that they meet the same machine.
    pub software: Vec<Software>,
    /// Whose load clients are used, on every target.
    pub lab: IsthmusProgram,
    pub runs: u32,
    /// Ledgers and the report go there.
    pub out: PathBuf,
    /// Leave data and logs of the programs there as well.
    pub keep: bool,
}

/// The lab itself failed, and nothing is known about the target. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    #[error(transparent)]
    Deploy(#[from] DeployError),
    #[error(transparent)]
    Client(#[from] StartError),
    #[error("keep {name} running: it ended by itself; its last lines:\n{log}")]
    ClientFallen { name: String, log: String },
    #[error("end {name}: {cause}")]
    End { name: String, cause: io::Error },
    #[error("watch the clients: {0}")]
    Watch(#[from] LoadError),
    #[error("write {}: {cause}", path.display())]
    Write { path: PathBuf, cause: io::Error },
    #[error("read the clock: {0}")]
    Clock(io::Error),
    #[error(transparent)]
    Judge(#[from] CheckError),
    #[error(transparent)]
    Report(#[from] WriteError),
}

/// Runs all cells, and writes the report beside the ledgers.
pub async fn drill(options: &Options, tell: &dyn Fn(&str)) -> Result<Report, DrillError> {
    for number in 1..=options.runs {
        for model in &options.models {
            for cell in cells(model) {
                for software in &options.software {
                    one_run(options, model, &cell, software, number, tell).await?;
                }
            }
        }
    }
    let judged = find_cells(&options.out).map_err(CheckError::from)?;
    let report = Report::of(&judged, &options.out)?;
    report.write(&options.out)?;
    Ok(report)
}

async fn one_run(
    options: &Options,
    model: &Model,
    cell: &Cell,
    software: &Software,
    number: u32,
    tell: &dyn Fn(&str),
) -> Result<(), DrillError> {
    let place = Path::new(&model.model.name)
        .join(software.name())
        .join(&cell.name)
        .join(format!("run-{number}"));
    let folder = options.out.join(&place);
    let failed = |cause| DrillError::Write {
        path: folder.clone(),
        cause,
    };
    // Clients run in a folder of their own, and are told where to write.
    let made = fs::create_dir_all(&folder).and_then(|()| folder.canonicalize());
    let folder = made.map_err(failed)?;
    let programs = Folder::of_programs(&folder, options.keep);
    let programs = programs.map_err(failed)?;
    let tell = |text: &str| tell(&format!("{}: {text}", place.display()));
    let run = run::Run {
        model,
        cell,
        software,
        lab: &options.lab,
        number,
        programs: programs.path(),
        ledgers: &folder.join("ledgers"),
        tell: &tell,
    };
    run.run().await
}
