//! What single replicas have: DescribeTopicPartitions 0 for who they are, with the eligible leader
//! replicas (KIP-966), and ListOffsets 1-11 and OffsetForLeaderEpoch 3-4 asked of one broker about its own
//! log, whoever leads.
//!
//! Kafka's brokers tell where their logs begin and end (its debugging replica); high watermarks and
//! epochs of a replica that does not lead are told by Isthmus alone.

use std::collections::BTreeMap;

use isthmus_wire::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use isthmus_wire::messages::describe_topic_partitions_response::DescribeTopicPartitionsResponsePartition;
use isthmus_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use isthmus_wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use isthmus_wire::messages::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, ListOffsetsRequest,
    ListOffsetsResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};

use super::{Admin, EpochEnd};
use crate::cluster::{Destination, Refusal, RequestError, Verdict};

/// Kafka's `DEBUGGING_REPLICA_ID`: a replica answers of its own log.
const DEBUGGING_REPLICA: i32 = -2;
/// The same for epochs, at Isthmus.
const THIS_REPLICA: i32 = -3;
/// Partitions in one page of an answer.
const PAGE: i32 = 2_000;
/// First version of OffsetForLeaderEpoch that says who asks.
const REPLICA_FROM: i16 = 3;

/// Which offset of a replica's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaOffset {
    LogStart,
    LogEnd,
    /// What the replica knows as committed (Isthmus only).
    HighWatermark,
}

impl ReplicaOffset {
    fn timestamp(self) -> i64 {
        match self {
            Self::LogStart => -2,
            Self::LogEnd => -1,
            Self::HighWatermark => -100,
        }
    }
}

/// An offset, and the epoch that the replica gives with it: at the end of the log the newest it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetAndEpoch {
    pub offset: i64,
    pub leader_epoch: Option<i32>,
}

/// A partition with those that may lead it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    pub partition: i32,
    pub leader: Option<i32>,
    pub leader_epoch: i32,
    /// In the order of the assignment.
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
    pub eligible_leader_replicas: Vec<i32>,
    pub last_known_elr: Vec<i32>,
    pub offline_replicas: Vec<i32>,
}

/// By topic and partition.
pub type OfPartitions<T> = BTreeMap<(String, i32), Result<T, Refusal>>;

impl Admin {
    /// The partitions of these topics, of all that may be seen where none is named; a topic that
    /// cannot be described is an outcome of its own.
    pub async fn describe_topic_partitions(
        &self,
        topics: &[String],
    ) -> Result<BTreeMap<String, Result<Vec<PartitionDescription>, Refusal>>, RequestError> {
        let mut described: BTreeMap<String, Result<Vec<PartitionDescription>, Refusal>> =
            BTreeMap::new();
        let mut cursor: Option<Cursor> = None;
        loop {
            let page = self.page(topics, cursor.as_ref()).await?;
            for topic in page.topics {
                let name = topic.name.unwrap_or_default();
                let partitions = topic.partitions.into_iter().map(described_partition);
                let known = Refusal::unless_ok(topic.error_code, None, || partitions.collect());
                let entry = described.entry(name).or_insert_with(|| Ok(Vec::new()));
                match (entry, known) {
                    (Ok(all), Ok(more)) => {
                        let more: Vec<PartitionDescription> = more;
                        all.extend(more);
                    }
                    (entry, refused) => *entry = refused,
                }
            }
            let next = page.next_cursor.map(|next| Cursor {
                topic_name: next.topic_name,
                partition_index: next.partition_index,
            });
            let place = |it: &Cursor| (it.topic_name.clone(), it.partition_index);
            // A page that leads back would never end.
            if next.as_ref().map(place) <= cursor.as_ref().map(place) {
                return Ok(described);
            }
            cursor = next;
        }
    }

    async fn page(
        &self,
        topics: &[String],
        cursor: Option<&Cursor>,
    ) -> Result<DescribeTopicPartitionsResponse, RequestError> {
        let topic = |name: &String| TopicRequest { name: name.clone() };
        let build = |_version| DescribeTopicPartitionsRequest {
            topics: topics.iter().map(topic).collect(),
            response_partition_limit: PAGE,
            cursor: cursor.cloned(),
        };
        let judge = |_: &DescribeTopicPartitionsResponse| Verdict::DONE;
        let to = Destination::Any;
        self.cluster
            .request(to, i16::MAX, self.deadline(), build, judge)
            .await
    }

    /// One offset of each of that broker's own replicas. Nothing is asked twice for what a partition
    /// says.
    pub async fn replica_offsets(
        &self,
        broker: i32,
        which: ReplicaOffset,
        partitions: &[(String, i32)],
    ) -> Result<OfPartitions<OffsetAndEpoch>, RequestError> {
        let asked = by_topic(partitions.iter().map(|(topic, index)| {
            let asked = ListOffsetsPartition {
                partition_index: *index,
                current_leader_epoch: -1,
                timestamp: which.timestamp(),
            };
            (&**topic, asked)
        }));
        let topic = |(name, partitions): (&&str, &Vec<ListOffsetsPartition>)| ListOffsetsTopic {
            name: (*name).to_owned(),
            partitions: partitions.clone(),
        };
        let build = |_version| ListOffsetsRequest {
            replica_id: DEBUGGING_REPLICA,
            isolation_level: 0,
            topics: asked.iter().map(topic).collect(),
            timeout_ms: self.broker_timeout_ms(),
        };
        let judge = |_: &ListOffsetsResponse| Verdict::DONE;
        let to = Destination::Broker(broker);
        let response = self
            .cluster
            .request(to, i16::MAX, self.deadline(), build, judge)
            .await?;
        let mut found = BTreeMap::new();
        for topic in response.topics {
            for it in topic.partitions {
                let offset = OffsetAndEpoch {
                    offset: it.offset,
                    leader_epoch: (it.leader_epoch >= 0).then_some(it.leader_epoch),
                };
                let outcome = Refusal::unless_ok(it.error_code, None, || offset);
                found.insert((topic.name.clone(), it.partition_index), outcome);
            }
        }
        Ok(found)
    }

    /// Where an epoch ends in each of that broker's own replicas (Isthmus only: at Kafka none but
    /// leaders say).
    pub async fn replica_epoch_ends(
        &self,
        broker: i32,
        partitions: &[(String, i32, i32)],
    ) -> Result<OfPartitions<EpochEnd>, RequestError> {
        let asked = by_topic(partitions.iter().map(|(topic, index, epoch)| {
            let asked = OffsetForLeaderPartition {
                partition: *index,
                current_leader_epoch: -1,
                leader_epoch: *epoch,
            };
            (&**topic, asked)
        }));
        let topic =
            |(name, partitions): (&&str, &Vec<OffsetForLeaderPartition>)| OffsetForLeaderTopic {
                topic: (*name).to_owned(),
                partitions: partitions.clone(),
            };
        let build = |version| OffsetForLeaderEpochRequest {
            // Below, the field is not sent; the default is left in its place.
            replica_id: if version >= REPLICA_FROM {
                THIS_REPLICA
            } else {
                OffsetForLeaderEpochRequest::default().replica_id
            },
            topics: asked.iter().map(topic).collect(),
        };
        let judge = |_: &OffsetForLeaderEpochResponse| Verdict::DONE;
        let to = Destination::Broker(broker);
        let response = self
            .cluster
            .request(to, i16::MAX, self.deadline(), build, judge)
            .await?;
        let mut found = BTreeMap::new();
        for topic in response.topics {
            for it in topic.partitions {
                let end = EpochEnd {
                    leader_epoch: (it.leader_epoch >= 0).then_some(it.leader_epoch),
                    end_offset: (it.end_offset >= 0).then_some(it.end_offset),
                };
                let outcome = Refusal::unless_ok(it.error_code, None, || end);
                found.insert((topic.topic.clone(), it.partition), outcome);
            }
        }
        Ok(found)
    }
}

fn by_topic<'a, T>(items: impl Iterator<Item = (&'a str, T)>) -> BTreeMap<&'a str, Vec<T>> {
    let mut topics: BTreeMap<&str, Vec<T>> = BTreeMap::new();
    for (topic, item) in items {
        topics.entry(topic).or_default().push(item);
    }
    topics
}

fn described_partition(it: DescribeTopicPartitionsResponsePartition) -> PartitionDescription {
    PartitionDescription {
        partition: it.partition_index,
        leader: (it.leader_id >= 0).then_some(it.leader_id),
        leader_epoch: it.leader_epoch,
        replicas: it.replica_nodes,
        isr: it.isr_nodes,
        eligible_leader_replicas: it.eligible_leader_replicas.unwrap_or_default(),
        last_known_elr: it.last_known_elr.unwrap_or_default(),
        offline_replicas: it.offline_replicas,
    }
}
