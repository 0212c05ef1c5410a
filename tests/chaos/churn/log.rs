//! What `__consumer_offsets` says of the groups: the oracle for all kinds of members.

use super::{Group, OFFSETS_PARTITIONS, PARTITIONS, TOPIC};
use crate::support::wire::{Connection, LATEST, batches};
use bytes::Bytes;
use isthmus_wire::ErrorCode;
use isthmus_wire::codec::Decoder;
use isthmus_wire::messages::offset_fetch_request::OffsetFetchRequestTopic;
use isthmus_wire::messages::{
    ConsumerProtocolAssignment, GroupMetadataKey, GroupMetadataValue, OffsetCommitKey,
    OffsetCommitValue, OffsetFetchRequest,
};
use isthmus_wire::prefixed::{decode_key, decode_versioned};
use std::collections::BTreeMap;

const OFFSETS: &str = "__consumer_offsets";
const OFFSET_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;

/// Parts of a UUID between dashes.
const UUID_PARTS: usize = 5;

/// Partition → committed offset, where there is one.
pub(super) type Committed = BTreeMap<i32, i64>;

#[derive(Debug, Default)]
pub(super) struct History {
    /// Group, generation and partition → all members that it was ever written to belong to.
    owners: BTreeMap<(Group, i32, i32), Vec<String>>,
    /// Group and partition → every committed offset, in order.
    offsets: BTreeMap<(Group, i32), Vec<i64>>,
    generations: BTreeMap<Group, usize>,
}

/// Reads the whole log.
pub(super) fn read(connection: &mut Connection) -> History {
    let mut history = History::default();
    for partition in 0..OFFSETS_PARTITIONS {
        let end = connection.offset(OFFSETS, partition, LATEST).unwrap();
        let mut offset = 0;
        while offset < end {
            let data = connection
                .fetch(OFFSETS, partition, offset, 1 << 20)
                .unwrap();
            assert_eq!(data.error_code, ErrorCode::NONE);
            for batch in batches(&data) {
                offset = batch.header().next_offset();
                for record in batch.records(1 << 24).unwrap() {
                    let record = record.unwrap();
                    history.take(record.key.unwrap(), record.value);
                }
            }
        }
    }
    history
}

/// What a fetch of a group's offsets gives.
pub(super) fn committed(connection: &mut Connection, group: Group) -> Committed {
    let request = OffsetFetchRequest {
        group_id: group.name().to_owned(),
        topics: Some(vec![OffsetFetchRequestTopic {
            name: TOPIC.to_owned(),
            partition_indexes: (0..PARTITIONS).collect(),
        }]),
        ..Default::default()
    };
    let response = connection.call(&request, 5).unwrap();
    assert_eq!(response.error_code, ErrorCode::NONE);
    let partitions = response
        .topics
        .into_iter()
        .flat_map(|topic| topic.partitions);
    partitions
        .filter(|partition| partition.committed_offset >= 0)
        .map(|partition| (partition.partition_index, partition.committed_offset))
        .collect()
}

/// The partitions of an assignment in Kafka's consumer protocol.
pub(super) fn partitions_of(assignment: &Bytes) -> Vec<i32> {
    if assignment.is_empty() {
        return Vec::new();
    }
    let mut decoder = Decoder::new(assignment.clone());
    let (assignment, _): (ConsumerProtocolAssignment, _) = decode_versioned(&mut decoder).unwrap();
    let topics = assignment.assigned_partitions.into_iter();
    topics.flat_map(|topic| topic.partitions).collect()
}

/// Whether two ids are of one member. A static one that comes back in the same generation has a new
/// id and its old partitions (KIP-345); its id is the instance id and a UUID.
pub(super) fn is_same_member(one: &str, other: &str) -> bool {
    let instance = |id: &str| {
        let instance = id.rsplitn(UUID_PARTS + 1, '-').nth(UUID_PARTS);
        instance
            .filter(|id| id.starts_with("static-"))
            .map(str::to_owned)
    };
    one == other || instance(one).is_some_and(|id| Some(id) == instance(other))
}

fn group_of(name: &str) -> Group {
    let found = Group::ALL.into_iter().find(|group| group.name() == name);
    found.unwrap_or_else(|| panic!("no group {name}"))
}

impl History {
    fn take(&mut self, key: Bytes, value: Option<Bytes>) {
        let mut key = Decoder::new(key);
        let kind = key.get_i16().unwrap();
        let Some(value) = value else {
            return;
        };
        let mut value = Decoder::new(value);
        match kind {
            OFFSET_KEY => {
                let key: OffsetCommitKey = decode_key(&mut key).unwrap();
                let (value, _): (OffsetCommitValue, _) = decode_versioned(&mut value).unwrap();
                let of = (group_of(&key.group), key.partition);
                self.offsets.entry(of).or_default().push(value.offset);
            }
            GROUP_KEY => {
                let key: GroupMetadataKey = decode_key(&mut key).unwrap();
                let (value, _): (GroupMetadataValue, _) = decode_versioned(&mut value).unwrap();
                self.take_generation(group_of(&key.group), &value);
            }
            other => panic!("a record of kind {other}"),
        }
    }

    fn take_generation(&mut self, group: Group, value: &GroupMetadataValue) {
        *self.generations.entry(group).or_default() += 1;
        for member in &value.members {
            for partition in partitions_of(&member.assignment) {
                let of = (group, value.generation, partition);
                let owners = self.owners.entry(of).or_default();
                if !owners.contains(&member.member_id) {
                    owners.push(member.member_id.clone());
                }
            }
        }
    }

    /// One owner per partition and generation; offsets that never go back. A static member that
    /// came back in the same generation has another id and the same partitions (KIP-345).
    pub(super) fn check(&self) {
        for ((group, generation, partition), owners) in &self.owners {
            let is_one = owners.iter().all(|owner| is_same_member(owner, &owners[0]));
            assert!(
                is_one,
                "{group:?} generation {generation}: partition {partition} of {owners:?}"
            );
        }
        for ((group, partition), offsets) in &self.offsets {
            assert!(
                offsets.is_sorted(),
                "{group:?}: the offsets of partition {partition} went back: {offsets:?}"
            );
        }
    }

    pub(super) fn is_owner(&self, group: Group, generation: i32, partition: i32, id: &str) -> bool {
        let owners = self.owners.get(&(group, generation, partition));
        owners.is_some_and(|owners| owners.iter().any(|owner| owner == id))
    }

    pub(super) fn last_offset(&self, group: Group, partition: i32) -> Option<i64> {
        self.offsets.get(&(group, partition))?.last().copied()
    }

    pub(super) fn generations(&self, group: Group) -> usize {
        self.generations.get(&group).copied().unwrap_or(0)
    }

    pub(super) fn report(&self) -> String {
        let commits: usize = self.offsets.values().map(Vec::len).sum();
        let generations = Group::ALL.map(|group| self.generations(group));
        format!("{generations:?} generations and {commits} commits in the log")
    }
}
