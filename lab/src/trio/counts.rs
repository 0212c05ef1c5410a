//! What became of the records of a run: the checker's numbers, and which of them must be zero.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::clients::Acks;
use super::replicas::Comparison;
use crate::checker::{CheckError, ConsumerCount, Verdict};
use crate::ledger::{CellError, find_cells};
use crate::report::{Report, WriteError};

/// The checker's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub intended: u64,
    pub acked: u64,
    /// Refused, expired or unknown: there or not, and nobody was promised anything.
    pub unsettled: u64,
    pub lost: u64,
    pub doubled: u64,
    pub out_of_order: u64,
    pub keys_moved: u64,
    pub read_then_gone: u64,
    pub refused_yet_read: u64,
    pub resurrected: u64,
    pub phantom: u64,
}

/// What the ledgers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) counts: Counts,
    /// What each reader was given.
    pub(crate) readers: Vec<ConsumerCount>,
    /// Why the numbers are not to be believed.
    pub(crate) doubts: Vec<String>,
}

/// The ledgers could not be judged. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    #[error(transparent)]
    Ledgers(#[from] CellError),
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error(transparent)]
    Report(#[from] WriteError),
}

/// Judges the ledgers of the one run below a folder, and writes their report there.
pub(crate) fn judge(out: &Path) -> Result<Judged, JudgeError> {
    let cells = find_cells(out)?;
    let report = Report::of(&cells, out)?;
    report.write(out)?;
    let runs = report.models.iter().flat_map(|it| &it.cells);
    let mut verdicts = runs.flat_map(|it| &it.runs).map(|run| &run.verdict);
    let verdict = verdicts.next().expect("a cell that was found has a run");
    let doubts = verdict.void_beyond_times();
    Ok(Judged {
        counts: Counts::of(verdict),
        readers: verdict.consumers.clone(),
        doubts: doubts.into_iter().map(str::to_owned).collect(),
    })
}

impl Counts {
    fn of(verdict: &Verdict) -> Self {
        let outcomes = verdict.outcomes;
        Self {
            intended: outcomes.intended,
            acked: outcomes.acked,
            unsettled: outcomes.refused + outcomes.expired + outcomes.unknown,
            lost: verdict.lost.records,
            doubled: verdict.duplicates.count,
            out_of_order: verdict.out_of_order.count,
            keys_moved: verdict.keys_moved.count,
            read_then_gone: verdict.read_then_gone.count,
            refused_yet_read: verdict.refused_yet_read.count,
            resurrected: verdict.resurrected.count,
            phantom: verdict.phantom.count,
        }
    }

    /// What must not be and was found. With acks=1 the leader alone has promised, and nobody is
    /// idempotent: loss, copies and order are told and are nobody's fault. Everything else must be zero
    /// in any case, since consumers read only what stays.
    pub(crate) fn wrong(&self, acks: Acks, replicas: Option<&Comparison>) -> Vec<String> {
        let promised = [
            ("lost", self.lost),
            ("doubled", self.doubled),
            ("out of order", self.out_of_order),
        ];
        let always = [
            ("in another partition than their key", self.keys_moved),
            ("read and then gone", self.read_then_gone),
            ("refused and yet read", self.refused_yet_read),
            ("gone and back", self.resurrected),
            ("read and never sent", self.phantom),
        ];
        let promised = promised.into_iter().filter(|_| acks == Acks::All);
        let found = promised.chain(always).filter(|(_, count)| *count > 0);
        let found = found.map(|(what, count)| format!("{count} {what}"));
        let differ = replicas.filter(|it| it.differences > 0).map(|it| {
            let (count, told) = (it.differences, it.told.join("; "));
            format!("{count} differences between replicas: {told}")
        });
        found.chain(differ).collect()
    }
}

/// Two lines, for people.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "records: {} intended, {} acknowledged, {} never settled",
            self.intended, self.acked, self.unsettled
        )?;
        writeln!(
            f,
            "lost {}, doubled {}, out of order {}",
            self.lost, self.doubled, self.out_of_order
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaders_promise_alone_excuses_loss_and_nothing_else() {
        let lost = Counts {
            lost: 3,
            doubled: 1,
            out_of_order: 2,
            ..Counts::default()
        };
        let found = lost.wrong(Acks::All, None);
        assert_eq!(found, ["3 lost", "1 doubled", "2 out of order"]);
        assert!(lost.wrong(Acks::One, None).is_empty());
        let gone = Counts {
            read_then_gone: 1,
            ..lost
        };
        assert_eq!(gone.wrong(Acks::One, None), ["1 read and then gone"]);
    }

    #[test]
    fn replicas_that_differ_are_wrong_whatever_was_promised() {
        let mut found = Comparison {
            replicas: 18,
            batches: 100,
            ..Comparison::default()
        };
        let none = Counts::default();
        assert!(none.wrong(Acks::All, Some(&found)).is_empty());
        found.differences = 1;
        found.told = vec!["t-0 differs".to_owned()];
        let expected = ["1 differences between replicas: t-0 differs"];
        assert_eq!(none.wrong(Acks::One, Some(&found)), expected);
    }
}
