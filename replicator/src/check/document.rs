//! What was found out, as the command prints it.

use isthmus_replicator_core::config_check::{Finding, FlowFacts, FlowSummary, Severity};
use serde::Serialize;

/// All flows of a file.
#[derive(Clone, Debug, Serialize)]
pub struct OnlineDocument {
    pub flows: Vec<OnlineFlow>,
    pub findings: Vec<OnlineFinding>,
    /// The flows would do what the file says.
    pub works: bool,
}

/// The size of one flow's work.
#[derive(Clone, Debug, Serialize)]
pub struct OnlineFlow {
    pub flow: String,
    pub source: String,
    pub target: String,
    pub topics: usize,
    pub partitions: i64,
    /// To copy, as far as the source tells.
    pub bytes: u64,
    /// Topics of which the source tells no size.
    pub topics_without_size: usize,
    pub bytes_per_second_max: Option<u64>,
    /// At the configured rate; none without one.
    pub seconds: Option<u64>,
    /// Of all replicas at the target.
    pub target_bytes: u64,
    /// None where the target does not tell.
    pub target_bytes_free: Option<u64>,
}

/// One thing that a person should know.
#[derive(Clone, Debug, Serialize)]
pub struct OnlineFinding {
    pub level: &'static str,
    pub flow: String,
    pub what: String,
    /// A command to run, or a key to set.
    pub remedy: Option<String>,
}

impl OnlineDocument {
    pub(super) fn new<'a>(
        flows: impl Iterator<Item = (&'a FlowFacts, FlowSummary)>,
        findings: Vec<Finding>,
    ) -> Self {
        let works = findings.iter().all(|it| it.severity != Severity::Fault);
        Self {
            flows: flows.map(|(facts, sum)| flow(facts, sum)).collect(),
            findings: findings.into_iter().map(finding).collect(),
            works,
        }
    }
}

fn flow(facts: &FlowFacts, sum: FlowSummary) -> OnlineFlow {
    OnlineFlow {
        flow: facts.flow.to_string(),
        source: facts.source.to_string(),
        target: facts.target.to_string(),
        topics: sum.topics,
        partitions: sum.partitions,
        bytes: sum.bytes,
        topics_without_size: sum.topics_without_size,
        bytes_per_second_max: facts.bytes_per_second_max,
        seconds: sum.seconds,
        target_bytes: sum.target_bytes,
        target_bytes_free: facts.target_bytes_free,
    }
}

fn finding(finding: Finding) -> OnlineFinding {
    OnlineFinding {
        level: match finding.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Fault => "fault",
        },
        flow: finding.flow.to_string(),
        what: finding.text,
        remedy: finding.remedy,
    }
}
