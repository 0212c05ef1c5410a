//! The JSON document of `/status` and `isthmus status --json`.

use serde::{Deserialize, Serialize};

use super::{ClusterStatus, FlowStatus, FlowSummary, MemoryStatus, ReplicatorStatus};

/// The document's form and version: fields are added, never renamed, without a new number.
pub const SCHEMA: &str = "isthmus.status/1";

/// The snapshot with what it comes to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusDocument {
    pub schema: String,
    pub daemon: String,
    pub at_ms: i64,
    pub ready: bool,
    pub clusters: Vec<ClusterStatus>,
    pub memory: MemoryStatus,
    pub flows: Vec<FlowDocument>,
}

/// One flow: what it comes to, then its parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowDocument {
    pub summary: FlowSummary,
    #[serde(flatten)]
    pub status: FlowStatus,
}

impl StatusDocument {
    pub fn new(status: &ReplicatorStatus) -> Self {
        let flows = status.flows.iter().map(|flow| FlowDocument {
            summary: flow.summary(status.at_ms),
            status: flow.clone(),
        });
        Self {
            schema: SCHEMA.to_owned(),
            daemon: status.daemon.clone(),
            at_ms: status.at_ms,
            ready: status.joined,
            clusters: status.clusters.clone(),
            memory: status.memory,
            flows: flows.collect(),
        }
    }

    /// Of one flow only; without clusters that it does not join.
    pub fn only(mut self, flow: &str) -> Option<Self> {
        self.flows.retain(|it| it.status.name == flow);
        let found = self.flows.first()?.status.clone();
        self.clusters
            .retain(|it| it.name == found.source || it.name == found.target);
        Some(self)
    }

    /// Whether somebody should look: a flow is further behind than its target allows, is not seen,
    /// or has something that waits for a person.
    pub fn is_healthy(&self) -> bool {
        let is_well = |flow: &FlowDocument| {
            let FlowDocument { summary, status } = flow;
            status.error.is_none()
                && status.role.held.is_none()
                && summary.lag_known
                && summary.rpo_ms <= status.rpo_target_ms
                && summary.topics_held == 0
                && summary.waiting_for_somebody() == 0
        };
        self.ready && self.flows.iter().all(is_well)
    }
}
