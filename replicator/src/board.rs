//! Where the parts of the daemon put up what they show, and from where it is read as one.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::budget::Budget;
use crate::clock::wall_ms;
use crate::status::{ClusterStatus, FlowStatus, MemoryStatus, ReplicatorStatus};

#[derive(Debug, Default)]
pub(crate) struct Board {
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    clusters: BTreeMap<String, ClusterStatus>,
    /// By their place in the file, and when each was put up.
    flows: Vec<(i64, FlowStatus)>,
    /// Targets whose saved state is not read yet, and why.
    not_joined: BTreeMap<String, Option<String>>,
}

impl Board {
    /// Flows as they are before anything is known of them.
    pub(crate) fn new(flows: Vec<FlowStatus>) -> Self {
        let mut notes = Notes::default();
        for flow in &flows {
            for name in [&flow.source, &flow.target] {
                let cluster = notes.clusters.entry(name.clone()).or_default();
                cluster.name.clone_from(name);
            }
            notes.not_joined.insert(flow.target.clone(), None);
        }
        let now_ms = wall_ms();
        notes.flows = flows.into_iter().map(|flow| (now_ms, flow)).collect();
        Self {
            notes: Mutex::new(notes),
        }
    }

    pub(crate) fn show(&self, flow: FlowStatus) {
        let mut notes = self.notes.lock();
        let known = notes.flows.iter_mut().find(|it| it.1.name == flow.name);
        if let Some(known) = known {
            *known = (wall_ms(), flow);
        }
    }

    pub(crate) fn cluster(&self, name: &str, id: Option<&str>, error: Option<String>) {
        if let Some(cluster) = self.notes.lock().clusters.get_mut(name) {
            cluster.last_error = error;
            if let Some(id) = id {
                cluster.cluster_id = Some(id.to_owned());
            }
        }
    }

    /// Why the work at a target does not begin yet.
    pub(crate) fn waiting(&self, target: &str, reason: &str) {
        let mut notes = self.notes.lock();
        let reason = Some(reason.to_owned());
        if let Some(cluster) = notes.clusters.get_mut(target) {
            cluster.last_error.clone_from(&reason);
        }
        notes.not_joined.insert(target.to_owned(), reason);
    }

    pub(crate) fn joined(&self, target: &str) {
        let mut notes = self.notes.lock();
        notes.not_joined.remove(target);
        if let Some(cluster) = notes.clusters.get_mut(target) {
            cluster.last_error = None;
        }
    }

    /// Why a flow as a whole cannot go on.
    pub(crate) fn flow_error(&self, flow: &str, error: &str) {
        let mut notes = self.notes.lock();
        let flow = notes.flows.iter_mut().find(|it| it.1.name == flow);
        if let Some((_, flow)) = flow {
            flow.error = Some(error.to_owned());
        }
    }

    pub(crate) fn read(&self, daemon: &str, budget: &Budget) -> ReplicatorStatus {
        let memory = budget.read();
        let notes = self.notes.lock();
        let now_ms = wall_ms();
        // A flow that puts up nothing for a while must not look better for it.
        let flows = notes.flows.iter();
        let flows = flows.map(|(at_ms, flow)| flow.clone().aged(now_ms - at_ms));
        ReplicatorStatus {
            daemon: daemon.to_owned(),
            at_ms: now_ms,
            joined: notes.not_joined.is_empty(),
            clusters: notes.clusters.values().cloned().collect(),
            flows: flows.collect(),
            memory: MemoryStatus {
                budget_bytes: memory.total,
                used_bytes: memory.used,
                overdrawn_bytes: memory.overdrawn,
            },
        }
    }
}
