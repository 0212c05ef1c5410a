//! What an upgrade says: the steps, how long the writer stood still in each, and what must not be.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::level::Levels;
use super::refusal::{Refusal, digest};
use super::run::unwritten;
use super::step::Done;
use super::{Options, UpgradeError};
use crate::checker::ConsumerCount;
use crate::targets::IsthmusProgram;
use crate::trio::clients::{Acks, Library};
use crate::trio::counts::{self, Counts, Judged};
use crate::trio::replicas::{self, Comparison};
use crate::trio::silence::{Acknowledged, Silence};

/// The outcome's file, beside the report of the ledgers.
pub const REPORT_FILE: &str = "upgrade.json";

/// Fields are added, never changed.
const SCHEMA: &str = "isthmus.lab-upgrade/1";

/// What a run found, beside its ledgers.
pub(super) struct Found {
    pub(super) levels: Levels,
    pub(super) refusal: Option<Refusal>,
    pub(super) replicas: Option<Comparison>,
    pub(super) done: Vec<Done>,
    pub(super) acknowledged: Acknowledged,
}

/// A build: two of one version are told apart by their bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct BuildReport {
    version: String,
    sha256: String,
}

#[derive(Clone, Debug, Serialize)]
struct Step {
    #[serde(flatten)]
    done: Done,
    /// From its begin to three replicas in sync and all preferred leaders, as every node says, and an
    /// acknowledgement in every partition.
    seconds: f64,
    /// The longest silence of acknowledgements in any partition meanwhile.
    worst_gap: Option<Silence>,
}

/// What a reader was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Reader {
    name: String,
    /// Each counts once.
    records: u64,
    /// Given again, as a group's may be that its member had not committed.
    redelivered: u64,
    /// Acknowledged, and never given.
    missed: u64,
}

/// Everything about one run.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    schema: &'static str,
    from: BuildReport,
    to: BuildReport,
    client: Library,
    records_per_second: u32,
    hold_seconds: u64,
    levels: Levels,
    steps: Vec<Step>,
    /// None where there was no level to raise.
    refusal: Option<Refusal>,
    counts: Counts,
    /// That of all partitions, and the one in a group.
    readers: Vec<Reader>,
    /// None without Kafka's jars.
    replicas: Option<Comparison>,
    /// What must not be and was found.
    wrong: Vec<String>,
    /// What of it is not to be believed, and why.
    doubts: Vec<String>,
}

/// Judges the ledgers, and writes both reports.
pub(super) fn judge(options: &Options, found: Found, out: &Path) -> Result<Outcome, UpgradeError> {
    let Judged {
        counts,
        readers,
        doubts,
    } = counts::judge(out)?;
    let readers: Vec<Reader> = readers.into_iter().map(|it| reader(it, &counts)).collect();
    let Found {
        levels,
        refusal,
        replicas,
        done,
        acknowledged,
    } = found;
    let mut wrong = wrong(&counts, &readers, replicas.as_ref(), refusal.as_ref());
    wrong.extend(done.iter().filter_map(stood_still));
    let steps = done.into_iter().map(|done| Step {
        seconds: done.seconds(),
        worst_gap: acknowledged.longest_silence(done.from_us, done.to_us),
        done,
    });
    let outcome = Outcome {
        schema: SCHEMA,
        from: build(&options.from)?,
        to: build(&options.to)?,
        client: options.library,
        records_per_second: options.records_per_second,
        hold_seconds: options.hold.as_secs(),
        levels,
        steps: steps.collect(),
        wrong,
        refusal,
        counts,
        readers,
        replicas,
        doubts,
    };
    let path = out.join(REPORT_FILE);
    let wrote = fs::write(&path, outcome.to_json() + "\n");
    wrote.map_err(|cause| unwritten(&path, cause))?;
    Ok(outcome)
}

fn build(program: &IsthmusProgram) -> Result<BuildReport, UpgradeError> {
    let digest = digest(program.path()).map_err(|cause| UpgradeError::Read {
        path: program.path().to_owned(),
        cause,
    })?;
    Ok(BuildReport {
        version: program.version().to_owned(),
        sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

fn reader(count: ConsumerCount, counts: &Counts) -> Reader {
    let ConsumerCount {
        client,
        records,
        redelivered,
    } = count;
    let records = records - redelivered;
    Reader {
        name: client,
        records,
        redelivered,
        missed: counts.acked.saturating_sub(records),
    }
}

/// In an upgrade nobody dies: besides what always holds, every record must be taken.
fn wrong(
    counts: &Counts,
    readers: &[Reader],
    replicas: Option<&Comparison>,
    refusal: Option<&Refusal>,
) -> Vec<String> {
    let mut found = counts.wrong(Acks::All, replicas);
    let none = (counts.acked == 0).then(|| "nothing was acknowledged".to_owned());
    let unsettled = (counts.unsettled > 0).then(|| {
        format!(
            "{} records failed beyond what the client tries again",
            counts.unsettled
        )
    });
    found.extend(none.into_iter().chain(unsettled));
    let behind = readers.iter().filter(|it| it.missed > 0);
    found
        .extend(behind.map(|it| format!("{} acknowledged and not read by {}", it.missed, it.name)));
    found.extend(refusal.into_iter().flat_map(Refusal::wrong));
    found
}

/// A cluster that is well and takes no records has something against them.
fn stood_still(done: &Done) -> Option<String> {
    let text = done.act.text();
    (!done.answered).then(|| format!("{text}: not every partition could be written then"))
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

impl fmt::Display for BuildReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, sha256 } = self;
        write!(f, "{version} ({})", sha256.get(..12).unwrap_or(sha256))
    }
}

/// For people.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Isthmus {} → {}, {}, acks=all, {} records/s",
            self.from,
            self.to,
            self.client.name(),
            self.records_per_second
        )?;
        if self.from == self.to {
            writeln!(f, "both builds are the same, byte by byte")?;
        }
        for step in &self.steps {
            let (text, seconds) = (step.done.act.text(), step.seconds);
            let gap = step.worst_gap.map_or("no gap seen".to_owned(), |it| {
                format!("worst gap {:.2} s", it.seconds)
            });
            writeln!(f, "{text}: {seconds:.2} s, {gap}")?;
        }
        let Levels { before, after } = self.levels;
        match &self.refusal {
            Some(it) => writeln!(
                f,
                "level {before} → {after}; then the old build ended with {:?} and touched {} files",
                it.exit_code,
                it.touched.len()
            )?,
            None => writeln!(f, "level {before} → {after}")?,
        }
        write!(f, "{}", self.counts)?;
        for Reader {
            name,
            records,
            redelivered,
            missed,
        } in &self.readers
        {
            writeln!(
                f,
                "{name}: read {records}, {redelivered} of them again, missed {missed}"
            )?;
        }
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
    use super::*;
    use crate::upgrade::step::Act;

    #[test]
    fn nobody_dies_and_so_every_record_is_taken() {
        let good = Counts {
            intended: 10,
            acked: 10,
            ..Counts::default()
        };
        assert!(wrong(&good, &[], None, None).is_empty());
        let refused = Counts {
            acked: 7,
            unsettled: 3,
            ..good
        };
        let expected = ["3 records failed beyond what the client tries again"];
        assert_eq!(wrong(&refused, &[], None, None), expected);
        let none = wrong(&Counts::default(), &[], None, None);
        assert_eq!(none, ["nothing was acknowledged"]);
    }

    #[test]
    fn a_reader_may_read_twice_and_must_not_miss_anything() {
        let counts = Counts {
            intended: 10,
            acked: 10,
            ..Counts::default()
        };
        let count = |records, redelivered| ConsumerCount {
            client: "team".to_owned(),
            records,
            redelivered,
        };
        let twice = reader(count(15, 5), &counts);
        assert_eq!((twice.records, twice.missed), (10, 0));
        assert!(wrong(&counts, &[twice], None, None).is_empty());
        let behind = reader(count(12, 5), &counts);
        let expected = ["3 acknowledged and not read by team"];
        assert_eq!(wrong(&counts, &[behind], None, None), expected);
    }

    #[test]
    fn a_cluster_that_is_well_takes_records() {
        let done = Done {
            act: Act::Raise,
            with_controller: false,
            from_us: 1,
            to_us: 2,
            answered: true,
        };
        assert_eq!(stood_still(&done), None);
        let still = stood_still(&Done {
            answered: false,
            ..done
        });
        let expected = "the metadata level raised: not every partition could be written then";
        assert_eq!(still.as_deref(), Some(expected));
    }

    #[test]
    fn a_directory_that_was_taken_back_is_wrong() {
        let good = Counts {
            acked: 1,
            ..Counts::default()
        };
        let taken = Refusal {
            node: 1,
            ..Refusal::default()
        };
        let expected = ["node 1 took the directory with the old build"];
        assert_eq!(wrong(&good, &[], None, Some(&taken)), expected);
    }
}
