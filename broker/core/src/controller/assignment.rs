//! Which replicas a partition has, and while it moves, which it is to have (Kafka's
//! `PartitionReassignmentReplicas`).
//!
//! | State | replicas | adding | removing |
//! |---|---|---|---|
//! | settled | as wanted | none | none |
//! | moving | as wanted, then those that go | wanted, and not there before | there before, and not wanted |

use crate::metadata::PartitionImage;
use crate::rules::{Rule, Rules};
use isthmus_wire::Uuid;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) replicas: Vec<i32>,
    pub(super) adding: Vec<i32>,
    pub(super) removing: Vec<i32>,
    /// Of each replica; none at all where they were never given.
    pub(super) directories: Vec<Uuid>,
}

impl Assignment {
    /// As the controller last decided it.
    pub(super) fn of(partition: &PartitionImage) -> Self {
        Self {
            replicas: partition.replicas.clone(),
            adding: partition.adding_replicas.clone(),
            removing: partition.removing_replicas.clone(),
            directories: partition.directories.clone(),
        }
    }

    pub(super) fn is_moving(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// As if the present move had never begun.
    pub(super) fn reverted(&self) -> Self {
        let gone = self.adding.clone();
        let mut before = self.without(&gone);
        before.adding = Vec::new();
        before.removing = Vec::new();
        before
    }

    /// Where that replica is kept, if that was ever said.
    pub(super) fn directory(&self, id: i32) -> Option<Uuid> {
        let at = self.replicas.iter().position(|it| *it == id)?;
        self.directories.get(at).copied()
    }

    /// The same with that replica in another directory.
    pub(super) fn with_directory(mut self, id: i32, directory: Uuid) -> Self {
        let at = self.replicas.iter().position(|it| *it == id);
        if let Some(place) = at.and_then(|at| self.directories.get_mut(at)) {
            *place = directory;
        }
        self
    }

    /// From a settled assignment on the way to another one.
    pub(super) fn towards(&self, wanted: &[i32], directory: impl Fn(i32) -> Uuid) -> Self {
        let missing = |of: &[i32], from: &[i32]| {
            let mut ids: Vec<i32> = of.iter().copied().filter(|id| !from.contains(id)).collect();
            ids.sort_unstable();
            ids
        };
        let removing = missing(&self.replicas, wanted);
        let replicas: Vec<i32> = wanted.iter().chain(&removing).copied().collect();
        let directories = replicas
            .iter()
            .map(|id| self.directory(*id).unwrap_or_else(|| directory(*id)));
        Self {
            adding: missing(wanted, &self.replicas),
            directories: directories.collect(),
            replicas,
            removing,
        }
    }

    /// Settled, with the ISR that it then has, once that has all who are added and somebody who stays.
    pub(super) fn completed(&self, isr: &[i32], rules: Rules) -> Option<(Self, Vec<i32>)> {
        let isr = staying(isr, &self.removing, rules);
        let has_all = self.adding.iter().all(|id| isr.contains(id));
        let lacks_some = !has_all && rules.obeys(Rule::MoveAddsAll);
        let lacks_all = isr.is_empty() && rules.obeys(Rule::MoveKeepsOne);
        if !self.is_moving() || lacks_some || lacks_all {
            return None;
        }
        let gone = self.removing.clone();
        let mut settled = self.without(&gone);
        settled.adding = Vec::new();
        settled.removing = Vec::new();
        Some((settled, isr))
    }

    fn without(&self, gone: &[i32]) -> Self {
        let kept = |at: &usize| !gone.contains(&self.replicas[*at]);
        let kept: Vec<usize> = (0..self.replicas.len()).filter(kept).collect();
        let directories = kept.iter().filter_map(|at| self.directories.get(*at));
        Self {
            replicas: kept.iter().map(|at| self.replicas[*at]).collect(),
            adding: self.adding.clone(),
            removing: self.removing.clone(),
            directories: directories.copied().collect(),
        }
    }
}

/// Where metadata has that replica of a partition, if it says so.
pub(super) fn directory_of(partition: &PartitionImage, id: i32) -> Option<Uuid> {
    let at = partition.replicas.iter().position(|it| *it == id)?;
    partition.directories.get(at).copied()
}

/// The ISR without those who go.
pub(super) fn staying(isr: &[i32], gone: &[i32], rules: Rules) -> Vec<i32> {
    let stays = |id: &i32| !gone.contains(id) || !rules.obeys(Rule::GoneFromIsr);
    isr.iter().copied().filter(stays).collect()
}
