//! What is told of a failover: the steps as they are done, and the verdict, `isthmus.failover/1`.

use isthmus_replicator_core::failover::Loss;
use serde::Serialize;

pub(super) const SCHEMA: &str = "isthmus.failover/1";

/// One line per step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepDocument {
    pub schema: &'static str,
    pub step: Step,
    /// `None`: of all flows together.
    pub flow: Option<String>,
    pub at_ms: i64,
    /// For people.
    pub told: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The role stands in the log.
    Promoted,
    /// Offsets of groups are where they can be.
    GroupOffsets,
    /// No daemon writes by the old role any more.
    Settled,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    WouldPromote,
    Promoted,
    NotReady,
    AboveMaxLoss,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FailoverDocument {
    pub schema: &'static str,
    pub verdict: Verdict,
    pub flows: Vec<FlowDocument>,
    #[serde(flatten)]
    pub loss: LossDocument,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlowDocument {
    pub flow: String,
    pub source: String,
    pub target: String,
    /// As it is now.
    pub role: &'static str,
    pub role_epoch: i32,
    pub role_since_ms: Option<i64>,
    pub role_by: Option<String>,
    /// Where acts are recorded.
    pub recorded_in: String,
    #[serde(flatten)]
    pub loss: LossDocument,
    pub source_answers: bool,
    /// Empty: it is ready.
    pub not_ready: Vec<String>,
    pub partitions: Vec<PartitionDocument>,
    pub groups: Vec<GroupDocument>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartitionDocument {
    /// In source naming.
    pub topic: String,
    pub target_topic: String,
    pub partition: i32,
    #[serde(flatten)]
    pub loss: LossDocument,
}

/// In records and seconds; null is not known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LossDocument {
    pub lost_at_least: i64,
    pub lost_at_most: Option<i64>,
    pub lost_at_most_seconds: Option<f64>,
    pub source_seen_seconds_ago: Option<f64>,
}

/// A group's offset in one partition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupDocument {
    pub group: String,
    /// In source naming.
    pub topic: String,
    pub partition: i32,
    pub ready: bool,
    /// Whether the target's value is the very record; null where none is, or none can be written.
    pub exact: Option<bool>,
    /// As it is known: of the source if it answers, else of the last time that it was carried.
    pub source_offset: i64,
    /// Where the group stands at the target.
    pub target_offset: Option<i64>,
    /// Where the failover puts it.
    pub to_be_written: Option<i64>,
    pub reason: Option<String>,
}

/// `isthmus.flow-release/1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReleaseDocument {
    pub schema: &'static str,
    /// `released`, `unchanged` or `would-release`.
    pub verdict: &'static str,
    pub flow: String,
    pub target: String,
    pub role: &'static str,
    pub role_epoch: i32,
    pub recorded_in: String,
}

impl From<Loss> for LossDocument {
    fn from(loss: Loss) -> Self {
        let seconds = |ms: i64| ms as f64 / 1_000.0;
        Self {
            lost_at_least: loss.at_least,
            lost_at_most: loss.at_most,
            lost_at_most_seconds: loss.at_most_ms.map(seconds),
            source_seen_seconds_ago: loss.seen_age_ms.map(seconds),
        }
    }
}

impl FailoverDocument {
    pub(super) fn new(verdict: Verdict, flows: Vec<FlowDocument>, loss: Loss) -> Self {
        Self {
            schema: SCHEMA,
            verdict,
            flows,
            loss: loss.into(),
        }
    }
}
