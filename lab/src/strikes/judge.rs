//! What a run of strikes says: the faults, what was lost, doubled or reordered, and the replicas.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::kinds::Kind;
use super::{Options, StrikesError};
use crate::targets::Description;
use crate::trio::clients::{Acks, Library};
use crate::trio::counts::{self, Counts, Judged};
use crate::trio::replicas::{self, Comparison};

/// The outcome's file, beside the report of the ledgers.
pub const REPORT_FILE: &str = "strikes.json";

/// Fields are added, never changed.
const SCHEMA: &str = "isthmus.lab-strikes/1";

/// A fault that was dealt.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Struck {
    pub(super) kind: Kind,
    /// The one that was drawn; a fault of several is told by its text.
    pub(super) node: i32,
    pub(super) text: String,
    /// By the ledgers' clock.
    pub(super) at_us: u64,
    /// When it was over, and who had been ended was ready again.
    pub(super) ended_us: u64,
    /// How often a node had to be started again that ended by itself: its disk was full.
    pub(super) restarts: u32,
    /// How long the node was down, frozen, cut off; a stop's own time comes before it.
    pub(super) down_ms: u64,
    /// From the fault's begin to three replicas in sync, as every node says.
    pub(super) well_after_seconds: f64,
    /// From then to a new record committed in every partition. None where that was not waited for, or the
    /// load was over.
    pub(super) flowing_after_seconds: Option<f64>,
    /// The partition in which nothing was committed any more. It ended the run.
    pub(super) stopped: Option<String>,
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
    kinds: Vec<Kind>,
    /// The rule that the nodes left out, if any.
    without_rule: Option<String>,
    faults: Vec<Struck>,
    counts: Counts,
    /// None without Kafka's jars.
    replicas: Option<Comparison>,
    /// What must not be and was found.
    wrong: Vec<String>,
    /// What of it is not to be believed, and why.
    doubts: Vec<String>,
}

/// Judges the ledgers, and writes both reports.
pub(super) fn judge(
    options: &Options,
    target: Description,
    faults: Vec<Struck>,
    replicas: Option<Comparison>,
    out: &Path,
) -> Result<Outcome, StrikesError> {
    let Judged { counts, doubts, .. } = counts::judge(out)?;
    let outcome = Outcome {
        schema: SCHEMA,
        target,
        client: options.library,
        acks: options.acks,
        seconds: options.length.as_secs(),
        records_per_second: options.records_per_second,
        seed: options.seed,
        kinds: options.faults.clone(),
        without_rule: options.without_rule.clone(),
        wrong: wrong(&counts, options.acks, replicas.as_ref(), &faults),
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

/// What the counts and the replicas say, and what stopped for good.
fn wrong(
    counts: &Counts,
    acks: Acks,
    replicas: Option<&Comparison>,
    faults: &[Struck],
) -> Vec<String> {
    let stopped = faults.iter().filter_map(|it| {
        let (partition, text) = (it.stopped.as_ref()?, &it.text);
        Some(format!(
            "{partition} commits nothing any more after: {text}"
        ))
    });
    let found = counts.wrong(acks, replicas);
    found.into_iter().chain(stopped).collect()
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
        if let Some(rule) = &self.without_rule {
            writeln!(f, "without rule {rule} of replication")?;
        }
        writeln!(f, "faults: {}{}", self.faults.len(), kinds(&self.faults))?;
        write!(f, "{counts}")?;
        writeln!(f, "replicas: {}", replicas::told(self.replicas.as_ref()))?;
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

    fn struck(kind: Kind, seconds: f64) -> Struck {
        Struck {
            kind,
            node: 1,
            text: String::new(),
            at_us: 0,
            ended_us: 0,
            restarts: 0,
            down_ms: 0,
            well_after_seconds: seconds,
            flowing_after_seconds: None,
            stopped: None,
        }
    }

    #[test]
    fn a_partition_that_stops_for_good_is_wrong() {
        let stopped = Struck {
            text: "kill -9 of node 1 for 5 ms".to_owned(),
            stopped: Some("t-2".to_owned()),
            ..struck(Kind::Kill, 1.0)
        };
        let found = wrong(&Counts::default(), Acks::One, None, &[stopped]);
        let expected = "t-2 commits nothing any more after: kill -9 of node 1 for 5 ms";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn faults_are_told_by_their_kinds() {
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
