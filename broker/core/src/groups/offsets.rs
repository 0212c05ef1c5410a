//! The committed offsets of a shard.
//!
//! They change by replay alone, live as at start. Invariant: no empty inner map stays behind, so
//! that a group without offsets costs nothing here.

use isthmus_wire::Uuid;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommittedOffset {
    pub(super) offset: i64,
    pub(super) leader_epoch: Option<i32>,
    pub(super) metadata: String,
    pub(super) commit_timestamp_ms: i64,
    /// Set by a client that asked for a retention of its own (OffsetCommit v2-v4).
    pub(super) expire_timestamp_ms: Option<i64>,
    /// Zero where the client did not commit by id.
    pub(super) topic_id: Uuid,
}

type Partitions = BTreeMap<i32, CommittedOffset>;
type Topics = BTreeMap<String, Partitions>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Offsets {
    by_group: BTreeMap<Arc<str>, Topics>,
}

impl Offsets {
    pub(super) fn put(
        &mut self,
        group: &Arc<str>,
        topic: &str,
        partition: i32,
        to: CommittedOffset,
    ) {
        let topics = self.by_group.entry(Arc::clone(group)).or_default();
        match topics.get_mut(topic) {
            Some(partitions) => {
                partitions.insert(partition, to);
            }
            None => {
                topics.insert(topic.to_owned(), BTreeMap::from([(partition, to)]));
            }
        }
    }

    pub(super) fn remove(&mut self, group: &str, topic: &str, partition: i32) {
        let Some(topics) = self.by_group.get_mut(group) else {
            return;
        };
        if let Some(partitions) = topics.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                topics.remove(topic);
            }
        }
        if topics.is_empty() {
            self.by_group.remove(group);
        }
    }

    pub(super) fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.by_group.get(group)?.get(topic)?.get(&partition)
    }

    pub(super) fn has_group(&self, group: &str) -> bool {
        self.by_group.contains_key(group)
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_group.keys()
    }

    /// Topics of a group, each with its offsets by partition.
    pub(super) fn topics_of(&self, group: &str) -> impl Iterator<Item = (&String, &Partitions)> {
        self.by_group.get(group).into_iter().flatten()
    }

    pub(super) fn partitions_of(&self, group: &str, topic: &str) -> impl Iterator<Item = i32> {
        let partitions = self.by_group.get(group).and_then(|it| it.get(topic));
        partitions.into_iter().flat_map(|it| it.keys().copied())
    }

    pub(super) fn clear(&mut self) {
        self.by_group.clear();
    }

    pub(super) fn check(&self) {
        for (group, topics) in &self.by_group {
            assert!(
                !topics.is_empty(),
                "group {group} has an empty map of topics"
            );
            for (topic, partitions) in topics {
                assert!(
                    !partitions.is_empty(),
                    "group {group}: topic {topic} is empty"
                );
            }
        }
    }
}
