//! What the records of the state topic add up to, in their order. One path: the records read at
//! the start and those just written go through [`StateImage::apply`] alike.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    Gap, OffsetMapChunk, Progress, SavedCluster, SavedEndSamples, SavedGroupOffset, SavedRole,
    SavedTopic, StateError, StateKey, offset_map_of,
};
use crate::offset_map::OffsetMap;
use crate::pauses::Pauses;
use crate::roles::RoleLog;

/// A partition of a source topic in a flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartitionKey {
    pub flow: String,
    pub topic: String,
    pub partition: i32,
}

/// All that is saved of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedPartition {
    pub progress: Option<Progress>,
    /// By their first target offset; [`Self::offset_map`] makes the map.
    pub offset_map: BTreeMap<i64, OffsetMapChunk>,
    pub gaps: BTreeMap<i64, Gap>,
    pub end_samples: Option<SavedEndSamples>,
    /// How fast the source grew at most between two samples, as far as the topic still tells: what
    /// may have come since the last one.
    pub fastest_per_second: i64,
    pub groups: BTreeMap<String, SavedGroupOffset>,
}

impl SavedPartition {
    /// The map that was saved, up to where the progress stands: a run beyond it is of a save that
    /// was not whole, and the target may have lost it since.
    pub fn offset_map(&self) -> Result<OffsetMap, StateError> {
        let mut map = offset_map_of(self.offset_map.values())?;
        match &self.progress {
            Some(progress) => map.truncate_to(progress.target_next),
            None => map = OffsetMap::default(),
        }
        Ok(map)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateImage {
    pub partitions: BTreeMap<PartitionKey, SavedPartition>,
    /// By flow and source topic.
    pub topics: BTreeMap<(String, String), SavedTopic>,
    pub clusters: BTreeMap<String, SavedCluster>,
    /// By flow.
    pub pauses: BTreeMap<String, Pauses>,
    /// By flow; a flow on which nobody acted has none.
    pub roles: BTreeMap<String, RoleLog>,
}

impl StateImage {
    /// A record of the topic; without a value it removes. A record of an owner that has been
    /// replaced changes nothing.
    pub fn apply(&mut self, key: &Bytes, value: Option<&Bytes>) -> Result<(), StateError> {
        match StateKey::decode(key)? {
            StateKey::Progress(key) => {
                let new = value.map(Progress::decode).transpose()?;
                let saved = &mut self.partition(key).progress;
                if newer(saved.as_ref(), new.as_ref(), |it| it.owner_generation) {
                    *saved = new;
                }
            }
            StateKey::OffsetMap {
                partition,
                first_target,
            } => {
                let new = value.map(OffsetMapChunk::decode).transpose()?;
                let chunks = &mut self.partition(partition).offset_map;
                if newer(chunks.get(&first_target), new.as_ref(), |it| {
                    it.owner_generation
                }) {
                    put(chunks, first_target, new);
                }
            }
            StateKey::Gap {
                partition,
                first_missing,
            } => {
                let new = value.map(Gap::decode).transpose()?;
                put(&mut self.partition(partition).gaps, first_missing, new);
            }
            StateKey::EndSamples(key) => {
                let new = value.map(SavedEndSamples::decode).transpose()?;
                let of = self.partition(key);
                if newer(of.end_samples.as_ref(), new.as_ref(), |it| {
                    it.owner_generation
                }) {
                    let before = of.end_samples.as_ref();
                    of.fastest_per_second = match &new {
                        Some(new) => of.fastest_per_second.max(new.fastest_since(before)),
                        None => 0,
                    };
                    of.end_samples = new;
                }
            }
            StateKey::GroupOffset { partition, group } => {
                let new = value.map(SavedGroupOffset::decode).transpose()?;
                put(&mut self.partition(partition).groups, group, new);
            }
            StateKey::Topic { flow, topic } => {
                let new = value.map(SavedTopic::decode).transpose()?;
                put(&mut self.topics, (flow, topic), new);
            }
            StateKey::Cluster { name } => {
                let new = value.map(SavedCluster::decode).transpose()?;
                put(&mut self.clusters, name, new);
            }
            StateKey::Pauses { flow } => {
                let new = value.map(Pauses::decode).transpose()?;
                put(&mut self.pauses, flow, new);
            }
            StateKey::Role { flow, epoch, act } => {
                let new = value.map(SavedRole::decode).transpose()?;
                let log = self.roles.entry(flow).or_default();
                log.apply(epoch, act, new);
            }
        }
        Ok(())
    }

    fn partition(&mut self, key: PartitionKey) -> &mut SavedPartition {
        self.partitions.entry(key).or_default()
    }
}

/// A removal always holds: only an operator's act writes one.
fn newer<T>(saved: Option<&T>, new: Option<&T>, generation: impl Fn(&T) -> i64) -> bool {
    match (saved, new) {
        (Some(saved), Some(new)) => generation(new) >= generation(saved),
        (None, _) | (_, None) => true,
    }
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}
