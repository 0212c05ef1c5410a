//! What is concluded about a cell.
//!
//! Fields are added, never changed: this is part of `report.json`.

use serde::Serialize;

use super::{LATENESS_P99_MAX_US, LATENESS_P99_VOID_US};

/// Ids that a finding names, so that a reader can look them up in the ledgers.
pub(super) const EXAMPLES: usize = 5;

/// Everything about one run of one cell. Times are milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Why no number of this cell is to be believed; empty when all are.
    pub void: Vec<String>,
    pub outcomes: Outcomes,
    /// RPO: acknowledged, and in no final audit.
    pub lost: Loss,
    /// Temporary RPO: acknowledged before the switch, not readable at the switch, there at the end.
    /// None without an audit at the switch.
    pub lost_for_a_time: Option<Loss>,
    /// Acknowledged before the switch and not readable at it, whatever became of them.
    pub unreadable_at_switch: Option<Loss>,
    pub uncertain: Vec<Uncertain>,
    /// Further copies of a record on one cluster, in whichever topics.
    pub duplicates: Found,
    /// Records behind a later one of their producer in one partition; a record's first copy counts.
    pub out_of_order: Found,
    /// Keys whose records are in more than one partition of a topic.
    pub keys_moved: Found,
    /// Dirty reads: read by somebody, and in no final audit.
    pub read_then_gone: Found,
    /// Dirty reads: read, though its producer was told that it was not taken.
    pub refused_yet_read: Found,
    /// Known to be on a cluster, absent from an audit of it, present in a later one.
    pub resurrected: Found,
    /// Read, and never intended.
    pub phantom: Found,
    /// Rows about records that no producer of a drill wrote, such as heartbeats.
    pub not_ours: u64,
    pub consumers: Vec<ConsumerCount>,
    /// RTO, per fault, client and direction.
    pub outages: Vec<Outage>,
    pub latency: Option<Latency>,
    /// Why the latency is not to be believed; empty when it is.
    pub latency_void: Vec<String>,
    pub lateness: Vec<Lateness>,
    /// Ledgers whose client was killed.
    pub torn: Vec<String>,
    pub timeline: Timeline,
}

impl Verdict {
    /// Why not even loss, copies and order are to be believed. A late generator leaves these as they
    /// are, and makes doubtful only what is a time.
    pub fn void_beyond_times(&self) -> Vec<&str> {
        let late: Vec<String> = self.lateness.iter().filter_map(Lateness::voids).collect();
        let void = self.void.iter().filter(|why| !late.contains(why));
        void.map(String::as_str).collect()
    }
}

/// Records by what their producers were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    pub intended: u64,
    pub acked: u64,
    pub refused: u64,
    pub expired: u64,
    pub unknown: u64,
    /// Of the unknown ones: those whose producer died before it could write their row.
    pub died: u64,
}

/// Acknowledged records that were not there.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Loss {
    pub records: u64,
    /// From the acknowledgement of the first of them to the fault that followed, or to the
    /// acknowledgement of the last of them if that was later.
    pub seconds: f64,
    pub examples: Vec<String>,
}

/// Records of which their producer cannot know, by what it was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Uncertain {
    pub told: &'static str,
    pub present: u64,
    pub absent: u64,
}

/// How often something was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    pub count: u64,
    pub examples: Vec<String>,
}

impl Found {
    pub(super) fn add(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }
}

/// What one consumer was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConsumerCount {
    pub client: String,
    pub records: u64,
    /// Records given again, by the same cluster or by another one after a switch.
    pub redelivered: u64,
}

/// The longest time without success of one client, from a fault to the next.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outage {
    pub client: String,
    pub kind: OutageKind,
    /// None where there was no fault: then it is the longest pause of the whole run.
    pub fault: Option<String>,
    /// From the last success before to the first one after.
    pub seconds: f64,
    /// Whether there was one after.
    pub recovered: bool,
    pub from_us: u64,
    pub to_us: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OutageKind {
    Produce,
    Fetch,
}

/// From intended to acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    pub samples: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

/// From intended to offered to the client library, for records that were due while it ran.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lateness {
    pub client: String,
    pub samples: u64,
    pub p99_ms: f64,
}

impl Lateness {
    pub(super) fn voids(&self) -> Option<String> {
        self.above(LATENESS_P99_VOID_US)
    }

    pub(super) fn voids_latency(&self) -> Option<String> {
        self.above(LATENESS_P99_MAX_US)
    }

    fn above(&self, max_us: u64) -> Option<String> {
        let max_ms = max_us as f64 / 1_000.0;
        (self.p99_ms > max_ms).then(|| {
            format!(
                "the generator of {} was late: p99 {:.3} ms, at most {max_ms} ms is allowed",
                self.client, self.p99_ms
            )
        })
    }
}

/// The run in steps of equal length. All lists are of the same length.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Timeline {
    pub from_us: u64,
    pub step_ms: u64,
    /// Acknowledged in this step.
    pub acked: Vec<u64>,
    /// Read by consumers in this step.
    pub read: Vec<u64>,
    /// Intended in this step and not acknowledged.
    pub failed: Vec<u64>,
    /// Of the acknowledged records that were intended in this step; none where there are none.
    pub latency_p50_ms: Vec<Option<f64>>,
    pub latency_max_ms: Vec<Option<f64>>,
}
