//! What a run of strikes says: the faults, what was lost, doubled or reordered, and the replicas.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::draw::Kind;
use super::{Options, StrikesError};
use crate::checker::Verdict;
use crate::ledger::find_cells;
use crate::report::Report;
use crate::targets::Description;
use crate::trio::clients::{Acks, Library};
use crate::trio::replicas::Comparison;

/// The outcome's file, beside the report of the ledgers.
pub const REPORT_FILE: &str = "strikes.json";

/// Fields are added, never changed.
const SCHEMA: &str = "isthmus.lab-strikes/1";

/// A fault that was dealt.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Struck {
    pub(super) kind: Kind,
    pub(super) node: i32,
    /// By the ledgers' clock.
    pub(super) at_us: u64,
    /// How long the node was down or frozen; a stop's own time comes before it.
    pub(super) down_ms: u64,
    /// From the fault's begin to three replicas in sync, as every node says.
    pub(super) well_after_seconds: f64,
}

/// Everything about one run.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    schema: &'static str,
    target: Description,
    client: Library,
    acks: Acks,
    seconds: u64,
    records_per_second: u32,
    seed: u64,
    faults: Vec<Struck>,
    counts: Counts,
    /// None without Kafka's jars.
    replicas: Option<Comparison>,
    /// What must not be and was found.
    wrong: Vec<String>,
    /// What of it is not to be believed, and why.
    doubts: Vec<String>,
}

/// The checker's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Counts {
    intended: u64,
    acked: u64,
    /// Refused, expired or unknown: there or not, and nobody was promised anything.
    unsettled: u64,
    lost: u64,
    doubled: u64,
    out_of_order: u64,
    keys_moved: u64,
    read_then_gone: u64,
    refused_yet_read: u64,
    resurrected: u64,
    phantom: u64,
}

/// Judges the ledgers, and writes both reports.
pub(super) fn judge(
    options: &Options,
    target: Description,
    faults: Vec<Struck>,
    replicas: Option<Comparison>,
    out: &Path,
) -> Result<Outcome, StrikesError> {
    let cells = find_cells(out)?;
    let report = Report::of(&cells, out)?;
    report.write(out)?;
    let runs = report.models.iter().flat_map(|it| &it.cells);
    let mut verdicts = runs.flat_map(|it| &it.runs).map(|run| &run.verdict);
    let verdict = verdicts.next().expect("a cell that was found has a run");
    let counts = Counts::of(verdict);
    let doubts = verdict.void_beyond_times();
    let doubts: Vec<String> = doubts.into_iter().map(str::to_owned).collect();
    let outcome = Outcome {
        schema: SCHEMA,
        target,
        client: options.library,
        acks: options.acks,
        seconds: options.length.as_secs(),
        records_per_second: options.records_per_second,
        seed: options.seed,
        wrong: wrong(&counts, options.acks, replicas.as_ref()),
        faults,
        counts,
        replicas,
        doubts,
    };
    let path = out.join(REPORT_FILE);
    let wrote = fs::write(&path, outcome.to_json() + "\n");
    wrote.map_err(|cause| StrikesError::Write { path, cause })?;
    Ok(outcome)
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
}

/// With acks=1 the leader alone has promised, and nobody is idempotent: loss, copies and order are told
/// and are nobody's fault. Everything else must be zero in any case, since consumers read only what
/// stays.
fn wrong(counts: &Counts, acks: Acks, replicas: Option<&Comparison>) -> Vec<String> {
    let promised = [
        ("lost", counts.lost),
        ("doubled", counts.doubled),
        ("out of order", counts.out_of_order),
    ];
    let always = [
        ("in another partition than their key", counts.keys_moved),
        ("read and then gone", counts.read_then_gone),
        ("refused and yet read", counts.refused_yet_read),
        ("gone and back", counts.resurrected),
        ("read and never sent", counts.phantom),
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

impl Outcome {
    /// Nothing that must not be was found, and the numbers are to be believed.
    pub fn is_clean(&self) -> bool {
        self.wrong.is_empty() && self.doubts.is_empty()
    }

    /// One JSON document on one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an outcome has nothing that JSON cannot say")
    }
}

/// For people.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (target, counts) = (&self.target, &self.counts);
        let (client, acks) = (self.client.name(), self.acks.name());
        writeln!(
            f,
            "{} {}, {client}, acks={acks}, {} s, {} records/s, seed {}",
            target.program, target.version, self.seconds, self.records_per_second, self.seed
        )?;
        writeln!(f, "faults: {}{}", self.faults.len(), kinds(&self.faults))?;
        writeln!(
            f,
            "records: {} intended, {} acknowledged, {} never settled",
            counts.intended, counts.acked, counts.unsettled
        )?;
        writeln!(
            f,
            "lost {}, doubled {}, out of order {}",
            counts.lost, counts.doubled, counts.out_of_order
        )?;
        match &self.replicas {
            Some(it) if it.differences == 0 => {
                writeln!(
                    f,
                    "replicas: {}, equal in {} batches",
                    it.replicas, it.batches
                )?;
            }
            Some(it) => writeln!(f, "replicas: {}, {} differ", it.replicas, it.differences)?,
            None => writeln!(
                f,
                "replicas: not compared; give Kafka's jars with --libs DIR"
            )?,
        }
        for wrong in &self.wrong {
            writeln!(f, "wrong: {wrong}")?;
        }
        for doubt in &self.doubts {
            writeln!(f, "not to be believed: {doubt}")?;
        }
        Ok(())
    }
}

/// How many of each kind, and how long the slowest took.
fn kinds(faults: &[Struck]) -> String {
    let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
    for fault in faults {
        *kinds.entry(fault.kind).or_default() += 1;
    }
    let told = kinds
        .iter()
        .map(|(kind, count)| format!("{count} {}", kind.words()));
    let told: Vec<String> = told.collect();
    let longest = faults
        .iter()
        .map(|it| it.well_after_seconds)
        .max_by(f64::total_cmp);
    match longest {
        Some(longest) => format!(
            " ({}), well again after {longest:.1} s at most",
            told.join(", ")
        ),
        None => String::new(),
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
        let found = wrong(&lost, Acks::All, None);
        assert_eq!(found, ["3 lost", "1 doubled", "2 out of order"]);
        assert!(wrong(&lost, Acks::One, None).is_empty());
        let gone = Counts {
            read_then_gone: 1,
            ..lost
        };
        assert_eq!(wrong(&gone, Acks::One, None), ["1 read and then gone"]);
    }

    #[test]
    fn replicas_that_differ_are_wrong_whatever_was_promised() {
        let mut found = Comparison {
            replicas: 18,
            batches: 100,
            ..Comparison::default()
        };
        let none = Counts::default();
        assert!(wrong(&none, Acks::All, Some(&found)).is_empty());
        found.differences = 1;
        found.told = vec!["t-0 differs".to_owned()];
        let expected = ["1 differences between replicas: t-0 differs"];
        assert_eq!(wrong(&none, Acks::One, Some(&found)), expected);
    }

    #[test]
    fn faults_are_told_by_their_kinds() {
        let struck = |kind, seconds| Struck {
            kind,
            node: 1,
            at_us: 0,
            down_ms: 0,
            well_after_seconds: seconds,
        };
        let faults = [
            struck(Kind::Stop, 1.0),
            struck(Kind::Kill, 2.26),
            struck(Kind::Kill, 0.5),
        ];
        let expected = " (2 kill -9, 1 clean stop), well again after 2.3 s at most";
        assert_eq!(kinds(&faults), expected);
        assert_eq!(kinds(&[]), "");
    }
}
