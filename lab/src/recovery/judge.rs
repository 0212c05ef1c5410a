//! What a recovery says: how long each step took, when clients were answered again, and what must not be.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::operator::Plan;
use super::run::unwritten;
use super::step::{Act, Done};
use super::{Options, RecoveryError};
use crate::clock::Micros;
use crate::trio::clients::{Acks, Library};
use crate::trio::counts::{self, Counts, Judged};
use crate::trio::replicas::{self, Comparison};
use crate::trio::silence::{Acknowledged, Silence};

/// The outcome's file, beside the report of the ledgers.
pub const REPORT_FILE: &str = "recovery.json";

/// Fields are added, never changed.
const SCHEMA: &str = "isthmus.lab-recovery/1";

/// What a run found, beside its ledgers.
pub(super) struct Found {
    pub(super) survivor: i32,
    pub(super) plan: Plan,
    pub(super) replicas: Option<Comparison>,
    pub(super) done: Vec<Done>,
    pub(super) acknowledged: Acknowledged,
}

#[derive(Clone, Debug, Serialize)]
struct Step {
    #[serde(flatten)]
    done: Done,
    seconds: f64,
}

/// Everything about one run.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    schema: &'static str,
    version: String,
    client: Library,
    records_per_second: u32,
    survivor: i32,
    /// What `isthmus quorum recover --dry-run` said.
    plan: Plan,
    steps: Vec<Step>,
    /// From the fault to the first record that was acknowledged after the survivor's stop, which is the
    /// first that the recovered cluster acknowledged. None if there was none.
    first_acknowledged_seconds: Option<f64>,
    /// The longest silence of acknowledgements in any partition, begun with the fault.
    worst_gap: Option<Silence>,
    counts: Counts,
    /// Acknowledged, and never given to the reader.
    missed: u64,
    /// None without Kafka's jars.
    replicas: Option<Comparison>,
    /// What must not be and was found.
    wrong: Vec<String>,
    /// What of it is not to be believed, and why.
    doubts: Vec<String>,
}

/// Judges the ledgers, and writes both reports.
pub(super) fn judge(options: &Options, found: Found, out: &Path) -> Result<Outcome, RecoveryError> {
    let Judged {
        counts,
        readers,
        doubts,
    } = counts::judge(out)?;
    let read: u64 = readers.iter().map(|it| it.records - it.redelivered).sum();
    let missed = counts.acked.saturating_sub(read);
    let Found {
        survivor,
        plan,
        replicas,
        done,
        acknowledged,
    } = found;
    let (first, worst_gap) = answered_again(&done, &acknowledged);
    let steps = done.into_iter().map(|done| Step {
        seconds: done.seconds(),
        done,
    });
    let outcome = Outcome {
        schema: SCHEMA,
        version: options.program.version().to_owned(),
        client: options.library,
        records_per_second: options.records_per_second,
        survivor,
        steps: steps.collect(),
        wrong: wrong(&counts, missed, &plan, first, replicas.as_ref()),
        plan,
        first_acknowledged_seconds: first,
        worst_gap,
        counts,
        missed,
        replicas,
        doubts,
    };
    let path = out.join(REPORT_FILE);
    let wrote = fs::write(&path, outcome.to_json() + "\n");
    wrote.map_err(|cause| unwritten(&path, cause))?;
    Ok(outcome)
}

/// Seconds from the fault to the first answer of the recovered cluster, and the longest silence.
fn answered_again(done: &[Done], acknowledged: &Acknowledged) -> (Option<f64>, Option<Silence>) {
    let fault = done.iter().find(|it| matches!(it.act, Act::Destroy { .. }));
    let stop = done.iter().find(|it| matches!(it.act, Act::Stop { .. }));
    let (Some(fault), Some(stop), Some(last)) = (fault, stop, done.last()) else {
        return (None, None);
    };
    let first = acknowledged.first_since(stop.to_us);
    let seconds = |at: Micros| (at - fault.from_us) as f64 / 1e6;
    let gap = acknowledged.longest_silence(fault.from_us, last.to_us);
    (first.map(seconds), gap)
}

/// The survivor was in sync with everything, and so nothing may be lost, neither by what the recovery said
/// beforehand nor by what is there.
fn wrong(
    counts: &Counts,
    missed: u64,
    plan: &Plan,
    first: Option<f64>,
    replicas: Option<&Comparison>,
) -> Vec<String> {
    let mut found = counts.wrong(Acks::All, replicas);
    if first.is_none() {
        found.push("nothing was acknowledged after the recovery".to_owned());
    }
    if missed > 0 {
        found.push(format!("{missed} acknowledged and not read by the reader"));
    }
    if !plan.partitions_lost.is_empty() {
        let count = plan.partitions_lost.len();
        found.push(format!(
            "the recovery gave {count} partitions up, of which the survivor has everything"
        ));
    }
    found
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
        writeln!(
            f,
            "Isthmus {}, {}, acks=all, {} records/s; node {} survived",
            self.version,
            self.client.name(),
            self.records_per_second,
            self.survivor
        )?;
        for step in &self.steps {
            writeln!(f, "{}: {:.2} s", step.done.act.text(), step.seconds)?;
        }
        match self.first_acknowledged_seconds {
            Some(first) => write!(f, "first acknowledged {first:.2} s after the fault")?,
            None => write!(f, "nothing acknowledged after the fault")?,
        }
        match self.worst_gap {
            Some(gap) => writeln!(f, ", longest silence of a partition {:.2} s", gap.seconds)?,
            None => writeln!(f)?,
        }
        write!(f, "{}", self.counts)?;
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

#[cfg(test)]
mod tests {
    use super::super::operator::Partition;
    use super::*;

    fn good() -> Counts {
        Counts {
            intended: 10,
            acked: 10,
            ..Counts::default()
        }
    }

    #[test]
    fn a_survivor_that_was_in_sync_loses_nothing() {
        let plan = Plan::default();
        assert!(wrong(&good(), 0, &plan, Some(9.0), None).is_empty());
        let lost = Counts { lost: 2, ..good() };
        assert_eq!(wrong(&lost, 0, &plan, Some(9.0), None), ["2 lost"]);
        let missed = wrong(&good(), 3, &plan, Some(9.0), None);
        assert_eq!(missed, ["3 acknowledged and not read by the reader"]);
    }

    #[test]
    fn what_the_recovery_gives_up_is_wrong_even_if_nobody_misses_it() {
        let plan = Plan {
            partitions_lost: vec![Partition {
                topic: "t".to_owned(),
                partition: 0,
            }],
            ..Plan::default()
        };
        let found = wrong(&good(), 0, &plan, Some(9.0), None);
        let expected = "the recovery gave 1 partitions up, of which the survivor has everything";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn a_cluster_that_acknowledges_nothing_is_not_recovered() {
        let found = wrong(&good(), 0, &Plan::default(), None, None);
        assert_eq!(found, ["nothing was acknowledged after the recovery"]);
    }
}
