//! The ledgers of one cell: a folder with the lab's own ledger and one per client's start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::header::{Drill, Header};
use super::read::{LedgerError, read_file};
use super::row::Row;
use super::said::{SaidLost, read_said};
use super::{DRILL_FILE, ENDING};
use crate::clock::Micros;

/// Folders below the one that is asked for: model, target, cell, run, and some to spare.
const DEPTH_MAX: usize = 8;

/// A cell on disk. The clients' ledgers were not read yet.
#[derive(Clone, Debug)]
pub struct Cell {
    pub folder: PathBuf,
    pub header: Header,
    pub drill: Drill,
    pub faults: Vec<Fault>,
    pub phases: Vec<(Micros, String)>,
    /// Sorted by name.
    pub clients: Vec<PathBuf>,
    /// By the failovers, if there were any.
    pub said_lost: Option<SaidLost>,
}

/// What was done to the cell on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub from_us: Micros,
    pub to_us: Option<Micros>,
    pub text: String,
}

/// Why a folder is no set of ledgers. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum CellError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("look into {}: {cause}", folder.display())]
    Folder { folder: PathBuf, cause: io::Error },
    #[error("find a {DRILL_FILE} in {}; name the folder that a drill wrote with --out", .0.display())]
    None(PathBuf),
    #[error("read what a failover said: {0}")]
    Said(io::Error),
    #[error("take {} for a drill's own ledger: its header has no \"cell\"", .0.display())]
    NoDrill(PathBuf),
    #[error(
        "put {name} beside its drill: its {what} is {found}, the drill's is {expected}; keep the ledgers of each run in a folder of their own"
    )]
    Stranger {
        name: String,
        what: &'static str,
        found: String,
        expected: String,
    },
}

/// All cells in a folder and below it, sorted by path.
pub fn find_cells(folder: &Path) -> Result<Vec<Cell>, CellError> {
    let mut found = Vec::new();
    look(folder, DEPTH_MAX, &mut found)?;
    if found.is_empty() {
        return Err(CellError::None(folder.to_owned()));
    }
    found.sort();
    found.into_iter().map(Cell::open).collect()
}

fn look(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), CellError> {
    for path in entries(folder)? {
        if path.file_name().is_some_and(|name| name == DRILL_FILE) {
            found.push(folder.to_owned());
        } else if depth > 0 && path.is_dir() && !path.is_symlink() {
            look(&path, depth - 1, found)?;
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, CellError> {
    let failed = |cause| CellError::Folder {
        folder: folder.to_owned(),
        cause,
    };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    paths.sort();
    Ok(paths)
}

impl Cell {
    /// Reads the drill's own ledger, and lists the others.
    pub fn open(folder: PathBuf) -> Result<Self, CellError> {
        let path = folder.join(DRILL_FILE);
        let mut ledger = read_file(&path)?;
        let drill = ledger.header.cell.clone();
        let drill = drill.ok_or(CellError::NoDrill(path))?;
        let (mut faults, mut phases) = (Vec::new(), Vec::new());
        while let Some(row) = ledger.next_row()? {
            match row {
                Row::Fault {
                    from_us,
                    to_us,
                    text,
                } => end_or_add(&mut faults, from_us, to_us, text),
                Row::Phase { at_us, text } => phases.push((at_us, text)),
                Row::Mark { .. }
                | Row::Intended(_)
                | Row::Read(_)
                | Row::NotOurs { .. }
                | Row::Whole { .. }
                | Row::Complaint { .. }
                | Row::End { .. } => {}
            }
        }
        let is_client = |path: &PathBuf| {
            path.extension().is_some_and(|ending| ending == ENDING)
                && path.file_name().is_some_and(|name| name != DRILL_FILE)
        };
        let entries = entries(&folder)?;
        let said_lost = read_said(&entries).map_err(CellError::Said)?;
        let clients = entries.into_iter().filter(is_client).collect();
        Ok(Self {
            said_lost,
            header: ledger.header,
            folder,
            drill,
            faults,
            phases,
            clients,
        })
    }

    /// A ledger of another drill, or by another clock, would make nonsense of every number.
    pub fn admit(&self, name: &str, header: &Header) -> Result<(), CellError> {
        let pairs = [
            ("drill", &header.drill, &self.header.drill),
            ("clock", &header.clock.boot, &self.header.clock.boot),
        ];
        for (what, found, expected) in pairs {
            if found != expected {
                return Err(CellError::Stranger {
                    name: name.to_owned(),
                    what,
                    found: found.clone(),
                    expected: expected.clone(),
                });
            }
        }
        Ok(())
    }
}

/// A fault is written when it begins, and again, with its end, when it is over.
fn end_or_add(faults: &mut Vec<Fault>, from_us: Micros, to_us: Option<Micros>, text: String) {
    let open = faults
        .iter_mut()
        .find(|fault| fault.from_us == from_us && fault.to_us.is_none() && fault.text == text);
    match open {
        Some(fault) => fault.to_us = to_us,
        None => faults.push(Fault {
            from_us,
            to_us,
            text,
        }),
    }
}
