//! Records of `__consumer_offsets`: Kafka 4.2's own bytes.
//!
//! | record | key | value, absent in a tombstone |
//! |---|---|---|
//! | offset | int16 1, OffsetCommitKey v0 | int16 4, OffsetCommitValue v4 |
//! | offset with its own expiry (OffsetCommit v2-v4) | the same | int16 1, OffsetCommitValue v1: no leader epoch, no topic id |
//! | group | int16 2, GroupMetadataKey v0 | int16 3, GroupMetadataValue v3 |
//!
//! Read are all versions of these, the older key 0 of offsets, and no others: what newer groups
//! (KIP-848, KIP-932, KIP-1071) leave there is told and passed over.

use super::offsets::CommittedOffset;
use bytes::Bytes;
use isthmus_wire::Uuid;
use isthmus_wire::codec::{DecodeError, Decoder, EncodeError, Message};
use isthmus_wire::messages::{
    GroupMetadataKey, GroupMetadataValue, LegacyOffsetCommitKey, LegacyOffsetCommitValue,
    OffsetCommitKey, OffsetCommitValue,
};
use isthmus_wire::prefixed::{decode_key, decode_versioned, encode_key, encode_versioned};
use isthmus_wire::record_kind::GroupRecordKind;
use std::sync::Arc;

const OFFSET_VALUE_VERSION: i16 = 4;
/// The only version with an expiry of its own.
const EXPIRING_OFFSET_VALUE_VERSION: i16 = 1;
const GROUP_VALUE_VERSION: i16 = 3;

/// Stands in a record for "none".
const NONE_I32: i32 = -1;
const NONE_I64: i64 = -1;

/// A record this coordinator writes and replays; a tombstone has no value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum GroupRecord {
    Offset {
        group: Arc<str>,
        topic: String,
        partition: i32,
        value: Option<CommittedOffset>,
    },
    Group {
        group: Arc<str>,
        value: Option<GroupMetadataValue>,
    },
}

/// What became of a record at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    Applied,
    /// Of a kind that this coordinator does not have.
    Ignored {
        kind: i16,
    },
}

/// Why a record cannot be replayed; the partition stays without a coordinator.
#[derive(Debug, thiserror::Error)]
pub enum NotReplayable {
    #[error("unreadable key of a group record: {0}")]
    Key(#[source] DecodeError),
    #[error("unreadable value of a group record of kind {kind}: {source}")]
    Value { kind: i16, source: DecodeError },
    #[error("group {group} has the instance id {instance_id} twice")]
    InstanceTwice { group: String, instance_id: String },
}

impl GroupRecord {
    /// Fails for texts that Kafka's older form cannot hold (32 767 bytes).
    pub(super) fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        match self {
            Self::Offset {
                group,
                topic,
                partition,
                value,
            } => {
                let key = OffsetCommitKey {
                    group: group.to_string(),
                    topic: topic.clone(),
                    partition: *partition,
                };
                let value = value.as_ref().map(encode_offset).transpose()?;
                Ok((encode_key(GroupRecordKind::OffsetCommit.id(), &key)?, value))
            }
            Self::Group { group, value } => {
                let key = GroupMetadataKey {
                    group: group.to_string(),
                };
                let value = value
                    .as_ref()
                    .map(|value| encode_versioned(value, GROUP_VALUE_VERSION))
                    .transpose()?;
                Ok((
                    encode_key(GroupRecordKind::GroupMetadata.id(), &key)?,
                    value,
                ))
            }
        }
    }

    /// `Err(kind)` within `Ok` is a record of another coordinator.
    pub(super) fn decode(
        key: &Bytes,
        value: Option<&Bytes>,
    ) -> Result<Result<Self, i16>, NotReplayable> {
        let mut d = Decoder::new(key.clone());
        let kind = d.get_i16().map_err(NotReplayable::Key)?;
        let record = match GroupRecordKind::try_from(kind) {
            Ok(GroupRecordKind::OffsetCommit) => {
                let key: OffsetCommitKey = key_of(&mut d)?;
                Self::Offset {
                    group: key.group.into(),
                    topic: key.topic,
                    partition: key.partition,
                    value: value_of(kind, value)?.map(offset_of),
                }
            }
            Ok(GroupRecordKind::LegacyOffsetCommit) => {
                let key: LegacyOffsetCommitKey = key_of(&mut d)?;
                Self::Offset {
                    group: key.group.into(),
                    topic: key.topic,
                    partition: key.partition,
                    value: value_of(kind, value)?.map(legacy_offset_of),
                }
            }
            Ok(GroupRecordKind::GroupMetadata) => {
                let key: GroupMetadataKey = key_of(&mut d)?;
                Self::Group {
                    group: key.group.into(),
                    value: value_of(kind, value)?,
                }
            }
            Ok(_) | Err(_) => return Ok(Err(kind)),
        };
        Ok(Ok(record))
    }
}

fn encode_offset(value: &CommittedOffset) -> Result<Bytes, EncodeError> {
    let version = match value.expire_timestamp_ms {
        Some(_) => EXPIRING_OFFSET_VALUE_VERSION,
        None => OFFSET_VALUE_VERSION,
    };
    let message = OffsetCommitValue {
        offset: value.offset,
        leader_epoch: value.leader_epoch.unwrap_or(NONE_I32),
        metadata: value.metadata.clone(),
        commit_timestamp: value.commit_timestamp_ms,
        expire_timestamp: value.expire_timestamp_ms.unwrap_or(NONE_I64),
        topic_id: value.topic_id,
    };
    encode_versioned(&message, version)
}

fn key_of<M: Message>(d: &mut Decoder) -> Result<M, NotReplayable> {
    decode_key(d).map_err(NotReplayable::Key)
}

fn value_of<M: Message>(kind: i16, value: Option<&Bytes>) -> Result<Option<M>, NotReplayable> {
    let decoded = value.map(|bytes| decode_versioned(&mut Decoder::new(bytes.clone())));
    match decoded.transpose() {
        Ok(decoded) => Ok(decoded.map(|(message, _)| message)),
        Err(source) => Err(NotReplayable::Value { kind, source }),
    }
}

fn offset_of(value: OffsetCommitValue) -> CommittedOffset {
    CommittedOffset {
        offset: value.offset,
        leader_epoch: (value.leader_epoch != NONE_I32).then_some(value.leader_epoch),
        metadata: value.metadata,
        commit_timestamp_ms: value.commit_timestamp,
        expire_timestamp_ms: (value.expire_timestamp != NONE_I64).then_some(value.expire_timestamp),
        topic_id: value.topic_id,
    }
}

fn legacy_offset_of(value: LegacyOffsetCommitValue) -> CommittedOffset {
    CommittedOffset {
        offset: value.offset,
        leader_epoch: None,
        metadata: value.metadata,
        commit_timestamp_ms: value.commit_timestamp,
        expire_timestamp_ms: None,
        topic_id: Uuid::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_wire::messages::group_metadata_value::MemberMetadata;

    const AT: i64 = 1_700_000_000_000;

    fn offset(change: impl FnOnce(&mut CommittedOffset)) -> GroupRecord {
        let mut value = CommittedOffset {
            offset: 42,
            leader_epoch: Some(7),
            metadata: "note".to_owned(),
            commit_timestamp_ms: AT,
            expire_timestamp_ms: None,
            topic_id: Uuid::ZERO,
        };
        change(&mut value);
        offset_record(Some(value))
    }

    fn offset_record(value: Option<CommittedOffset>) -> GroupRecord {
        GroupRecord::Offset {
            group: "g1".into(),
            topic: "topic".to_owned(),
            partition: 3,
            value,
        }
    }

    fn group(generation: i32, member: Option<(&str, Option<&str>, &[u8])>) -> GroupRecord {
        let members = member.map(|(id, instance, assignment)| MemberMetadata {
            member_id: id.to_owned(),
            group_instance_id: instance.map(ToOwned::to_owned),
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            rebalance_timeout: 60_000,
            session_timeout: 10_000,
            subscription: Bytes::from_static(&[1, 2, 3]),
            assignment: Bytes::copy_from_slice(assignment),
        });
        let value = GroupMetadataValue {
            protocol_type: "consumer".to_owned(),
            generation,
            protocol: member.map(|_| "range".to_owned()),
            leader: member.map(|(id, ..)| id.to_owned()),
            current_state_timestamp: AT,
            members: members.into_iter().collect(),
        };
        GroupRecord::Group {
            group: "g1".into(),
            value: Some(value),
        }
    }

    /// The records of `testdata/group_records.txt`, by the names they have there.
    fn named(name: &str) -> GroupRecord {
        match name {
            "offset" => offset(|_| ()),
            "offset-no-epoch" => offset(|it| {
                it.leader_epoch = None;
                it.metadata.clear();
            }),
            "offset-topic-id" => offset(|it| it.topic_id = Uuid((1_u128 << 64 | 2).to_be_bytes())),
            "offset-expiring" => offset(|it| {
                it.expire_timestamp_ms = Some(AT + 60_000);
                it.leader_epoch = None;
            }),
            "offset-tombstone" => offset_record(None),
            "group-tombstone" => GroupRecord::Group {
                group: "g1".into(),
                value: None,
            },
            "group-dynamic" => group(5, Some(("m1", None, &[9, 8]))),
            "group-static" => group(6, Some(("i1-x", Some("i1"), &[]))),
            "group-empty" => group(7, None),
            _ => panic!("no record {name}"),
        }
    }

    fn bytes(hex: &str) -> Option<Bytes> {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (hex != "-").then(|| (0..hex.len()).step_by(2).map(digit).collect())
    }

    #[test]
    fn bytes_are_those_of_kafka() {
        let mut seen = 0;
        for line in include_str!("../../testdata/group_records.txt").lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [name, key, value] = words[..] else {
                continue;
            };
            let (key, value) = (bytes(key).unwrap(), bytes(value));
            let record = named(name);
            assert_eq!(
                record.encode().unwrap(),
                (key.clone(), value.clone()),
                "{name}"
            );
            let read = GroupRecord::decode(&key, value.as_ref()).unwrap();
            assert_eq!(read, Ok(record), "{name}");
            seen += 1;
        }
        assert_eq!(seen, 9);
    }

    #[test]
    fn old_records_are_read_and_foreign_ones_passed_over() {
        let key = encode_key(
            GroupRecordKind::LegacyOffsetCommit.id(),
            &LegacyOffsetCommitKey {
                group: "g1".to_owned(),
                topic: "topic".to_owned(),
                partition: 3,
            },
        );
        let value = encode_versioned(
            &LegacyOffsetCommitValue {
                offset: 42,
                metadata: "note".to_owned(),
                commit_timestamp: AT,
            },
            0,
        );
        let read = GroupRecord::decode(&key.unwrap(), Some(&value.unwrap())).unwrap();
        assert_eq!(read, Ok(offset(|it| it.leader_epoch = None)));

        let foreign = Bytes::from_static(&[0, 3, 0, 0]);
        assert_eq!(GroupRecord::decode(&foreign, None).unwrap(), Err(3));
        let unknown = Bytes::from_static(&[0, 99]);
        assert_eq!(GroupRecord::decode(&unknown, None).unwrap(), Err(99));
    }

    #[test]
    fn damaged_records_are_refused() {
        let cut = Bytes::from_static(&[0, 1, 0, 9, b'g']);
        assert!(matches!(
            GroupRecord::decode(&cut, None),
            Err(NotReplayable::Key(_))
        ));
        let (key, _) = offset_record(None).encode().unwrap();
        let future = Bytes::from_static(&[0, 77]);
        assert!(matches!(
            GroupRecord::decode(&key, Some(&future)),
            Err(NotReplayable::Value { kind: 1, .. })
        ));
    }
}
