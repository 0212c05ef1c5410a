//! The checker: from the rows of a cell's ledgers to what was lost, doubled, reordered and late.
//!
//! Owns: every number of a drill's verdict; there is no second place that computes one. Must not
//! know: clocks, files, processes. Rows go in, in any order of the ledgers; a [`Verdict`] comes out.
//!
//! The rules (design decision 15):
//! - Only acknowledged records can be lost. What was refused, has expired or is unknown may be
//!   there or not; it is counted apart and is neither loss nor duplicate.
//! - A record is there if an audit read it, under whatever topic name and on whatever cluster: ids
//!   identify records, so mirrored copies on other clusters are no duplicates.
//! - Latency runs from when a record was intended, so a full queue or a client that was down
//!   counts.
//! - A generator that ran late measured itself: its cell has no latency to be believed. One that was
//!   so late that outages are not to be believed either makes its cell void
//!   (docs/decisions/2026-11-23-late-generators.md).
//!
//! Reading order: [`verdict`], [`intake`], [`presence`], [`loss`], [`copies`], [`dirty`],
//! [`outages`], [`timing`], [`timeline`].

mod copies;
mod dirty;
mod intake;
mod loss;
mod outages;
mod presence;
mod timeline;
mod timing;
mod verdict;

#[cfg(test)]
mod planted;
#[cfg(test)]
mod story;

use crate::ledger::cell::Fault;
use crate::ledger::read::Tail;
use crate::ledger::{Cell, CellError, Header, LedgerError, Phase, Row, read_file};
use intake::Intake;
pub use intake::Source;
pub(crate) use intake::may_be_there;
use presence::Presence;
pub use verdict::{
    ConsumerCount, Found, Latency, Lateness, Loss, Outage, OutageKind, Outcomes, Timeline,
    Uncertain, Verdict,
};

/// With a generator whose 99th percentile of lateness is above this, no latency is to be believed.
pub const LATENESS_P99_MAX_US: u64 = 2_000;

/// Above this outages, which are told in hundredths of a second, are not to be believed either.
pub const LATENESS_P99_VOID_US: u64 = 50_000;

/// Takes the rows of one cell.
#[derive(Debug, Default)]
pub struct Checker {
    intake: Intake,
    faults: Vec<Fault>,
}

impl Checker {
    pub fn new(faults: Vec<Fault>) -> Self {
        Self {
            intake: Intake::default(),
            faults,
        }
    }

    /// A client's ledger begins. None if it is not a client's.
    pub fn open(&mut self, header: &Header) -> Option<Source> {
        self.intake.open(header)
    }

    pub fn row(&mut self, source: Source, row: &Row) {
        self.intake.row(source, row);
    }

    pub fn close(&mut self, source: Source, tail: Tail) {
        self.intake.close(source, tail);
    }

    /// What is concluded.
    pub fn verdict(mut self) -> Verdict {
        self.intake.settle();
        let intake = &self.intake;
        let at_end = Presence::of(intake, |phase| phase == Phase::Final);
        let at_switch = Presence::of(intake, |phase| phase == Phase::Switch);
        let reads = Presence::of_all_reads(intake);
        let lateness = timing::lateness(intake);
        let mut void = intake.void();
        void.extend(lateness.iter().filter_map(Lateness::voids));
        if at_end.audits == 0 {
            void.push("there is no final audit, so nothing can be called lost".to_owned());
        }
        Verdict {
            outcomes: intake.outcomes(),
            lost: loss::lost(intake, &at_end, &self.faults),
            lost_for_a_time: loss::lost_for_a_time(intake, &at_switch, &at_end, &self.faults),
            unreadable_at_switch: loss::unreadable(intake, &at_switch, &self.faults),
            uncertain: loss::uncertain(intake, &at_end),
            duplicates: copies::duplicates(intake),
            out_of_order: copies::out_of_order(intake),
            keys_moved: copies::keys_moved(intake),
            read_then_gone: dirty::read_then_gone(intake, &at_end),
            refused_yet_read: dirty::refused_yet_read(intake, &reads),
            resurrected: dirty::resurrected(intake),
            phantom: dirty::phantom(intake, &reads),
            not_ours: intake.not_ours(),
            consumers: copies::consumers(intake),
            outages: outages::outages(intake, &self.faults),
            latency: timing::latency(intake),
            latency_void: lateness
                .iter()
                .filter_map(Lateness::voids_latency)
                .collect(),
            lateness,
            torn: intake.torn(),
            timeline: timeline::timeline(intake),
            void,
        }
    }
}

/// Why a cell cannot be judged. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Cell(#[from] CellError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Reads the ledgers of a cell and judges them.
pub fn check(cell: &Cell) -> Result<Verdict, CheckError> {
    let mut checker = Checker::new(cell.faults.clone());
    for path in &cell.clients {
        let mut ledger = read_file(path)?;
        cell.admit(ledger.name(), &ledger.header)?;
        let Some(source) = checker.open(&ledger.header) else {
            continue;
        };
        while let Some(row) = ledger.next_row()? {
            checker.row(source, &row);
        }
        checker.close(source, ledger.tail());
    }
    Ok(checker.verdict())
}
