//! The ledger of a run on three nodes itself: what it is, and what was done when.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::clock::{Clock, Micros, now};
use crate::ledger::header::{Drill, Header, Target};
use crate::ledger::{DRILL_FILE, LedgerWriter, Row, SCHEMA};
use crate::targets::Description;

/// Written beside the ledgers of the clients.
#[derive(Debug)]
pub(crate) struct Diary {
    path: PathBuf,
    ledger: LedgerWriter,
}

/// It could not be written. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum DiaryError {
    #[error("read the clock: {0}")]
    Clock(io::Error),
    #[error("write {}: {cause}", path.display())]
    Write { path: PathBuf, cause: io::Error },
}

impl Diary {
    /// Begins the ledgers of a run in a folder, which is made.
    pub(crate) fn begin(
        ledgers: &Path,
        drill: &str,
        cell: String,
        target: Description,
    ) -> Result<Self, DiaryError> {
        let Description {
            program,
            version,
            settings,
        } = target;
        let header = Header {
            schema: SCHEMA.to_owned(),
            drill: drill.to_owned(),
            clock: Clock::read().map_err(DiaryError::Clock)?,
            began_us: now(),
            client: None,
            cell: Some(Drill {
                model: "three-nodes".to_owned(),
                target: Target {
                    program,
                    version,
                    settings,
                },
                cell,
                placebo: false,
                run: 1,
                claims: Vec::new(),
                network: Vec::new(),
                clusters: vec!["three".to_owned()],
            }),
        };
        let path = ledgers.join(DRILL_FILE);
        let made = fs::create_dir_all(ledgers);
        let made = made.and_then(|()| LedgerWriter::create(&path, &header));
        match made {
            Ok(ledger) => Ok(Self { path, ledger }),
            Err(cause) => Err(DiaryError::Write { path, cause }),
        }
    }

    pub(crate) fn phase(&mut self, text: &str) -> Result<(), DiaryError> {
        self.row(&Row::Phase {
            at_us: now(),
            text: text.to_owned(),
        })
    }

    /// Something that is done on purpose: once when it begins, and again when it is over.
    pub(crate) fn fault(
        &mut self,
        from_us: Micros,
        to_us: Option<Micros>,
        text: &str,
    ) -> Result<(), DiaryError> {
        self.row(&Row::Fault {
            from_us,
            to_us,
            text: text.to_owned(),
        })
    }

    /// Nothing comes after that time.
    pub(crate) fn end(self, at_us: Micros) -> Result<(), DiaryError> {
        let Self { path, ledger } = self;
        match ledger.end(at_us) {
            Ok(_) => Ok(()),
            Err(cause) => Err(DiaryError::Write { path, cause }),
        }
    }

    /// At once on disk: what happened stays known even if the lab ends here.
    fn row(&mut self, row: &Row) -> Result<(), DiaryError> {
        let wrote = self.ledger.row(row).and_then(|()| self.ledger.flush());
        wrote.map_err(|cause| DiaryError::Write {
            path: self.path.clone(),
            cause,
        })
    }
}
