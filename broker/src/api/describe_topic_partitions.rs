//! DescribeTopicPartitions (75), version 0 (KIP-966): partitions page by page, with the eligible
//! leader replicas.
//!
//! Topics come in the order of their names; the cursor says where the next page begins. Without
//! topics in the request all are described.

use super::{Call, Reply, Serve};
use crate::authorization::Access;
use crate::endpoints;
use isthmus_broker_core::metadata::{MetadataImage, PartitionImage, TopicImage};
use isthmus_broker_core::security::{Operation, ResourceType};
use isthmus_broker_core::topic_name;
use isthmus_wire::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use isthmus_wire::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use isthmus_wire::{ErrorCode, Uuid, VersionRange};
use std::collections::BTreeSet;

/// Most partitions in one answer (`max.request.partition.size.limit`).
const PARTITIONS_MAX: usize = 2_000;

pub(super) struct DescribeTopicPartitions;

impl Serve for DescribeTopicPartitions {
    type Request = DescribeTopicPartitionsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 0 };

    async fn serve(
        call: Call<'_>,
        request: DescribeTopicPartitionsRequest,
    ) -> Reply<DescribeTopicPartitionsResponse> {
        let image = call.broker.image();
        let access = call.access();
        if matches!(&request.cursor, Some(cursor) if cursor.partition_index < 0) {
            return Reply::Now(refused(&request));
        }
        let start = request
            .cursor
            .map(|cursor| (cursor.topic_name, cursor.partition_index));
        let (first_topic, first_partition) = start.unwrap_or_default();
        let asked: BTreeSet<String> = request.topics.into_iter().map(|topic| topic.name).collect();
        let names: Vec<String> = if asked.is_empty() {
            image
                .topics_from(&first_topic)
                .filter(|topic| {
                    access.may_quietly(Operation::Describe, ResourceType::Topic, &topic.name)
                })
                .map(|topic| topic.name.to_string())
                .collect()
        } else {
            asked
                .into_iter()
                .filter(|name| *name >= first_topic)
                .collect()
        };
        let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
        let mut page = Page {
            access,
            left: limit.clamp(1, PARTITIONS_MAX),
            topics: Vec::new(),
            next: None,
        };
        for name in names {
            let from = if name == first_topic {
                first_partition
            } else {
                0
            };
            page.add(&image, &name, from);
            if page.next.is_some() {
                break;
            }
        }
        Reply::Now(DescribeTopicPartitionsResponse {
            topics: page.topics,
            next_cursor: page.next,
            ..DescribeTopicPartitionsResponse::default()
        })
    }
}

/// A cursor before the first partition makes the whole request invalid.
fn refused(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.iter();
    let topics = topics.map(|topic| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::INVALID_REQUEST,
        name: Some(topic.name.clone()),
        ..DescribeTopicPartitionsResponseTopic::default()
    });
    DescribeTopicPartitionsResponse {
        topics: topics.collect(),
        ..DescribeTopicPartitionsResponse::default()
    }
}

struct Page {
    access: Access,
    left: usize,
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
    next: Option<Cursor>,
}

impl Page {
    fn add(&mut self, image: &MetadataImage, name: &str, from: i32) {
        // No id, no partitions: whether it exists stays hidden.
        if let Err(error_code) = self.access.topic(Operation::Describe, name) {
            self.topics.push(DescribeTopicPartitionsResponseTopic {
                error_code,
                name: Some(name.to_owned()),
                ..DescribeTopicPartitionsResponseTopic::default()
            });
            return;
        }
        let Some(topic) = image.topic(name) else {
            let operations = self.access.operations(ResourceType::Topic, name);
            self.topics.push(unknown(name, operations));
            return;
        };
        if self.left == 0 {
            self.next = Some(Cursor {
                topic_name: name.to_owned(),
                partition_index: from,
            });
            return;
        }
        let shown: Vec<_> = (0..)
            .zip(&topic.partitions)
            .filter(|(index, _)| *index >= from)
            .take(self.left)
            .map(|(index, partition)| show(image, index, partition))
            .collect();
        self.left -= shown.len();
        let end = shown.last().map_or(from, |last| last.partition_index + 1);
        if usize::try_from(end).is_ok_and(|end| end < topic.partitions.len()) {
            self.next = Some(Cursor {
                topic_name: name.to_owned(),
                partition_index: end,
            });
        }
        let operations = self.access.operations(ResourceType::Topic, name);
        self.topics.push(topic_answer(topic, shown, operations));
    }
}

fn topic_answer(
    topic: &TopicImage,
    partitions: Vec<DescribeTopicPartitionsResponsePartition>,
    topic_authorized_operations: i32,
) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::NONE,
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: topic_name::is_internal(&topic.name),
        partitions,
        topic_authorized_operations,
    }
}

fn unknown(name: &str, topic_authorized_operations: i32) -> DescribeTopicPartitionsResponseTopic {
    let error_code = if topic_name::validate(name).is_ok() {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
    } else {
        ErrorCode::INVALID_TOPIC_EXCEPTION
    };
    DescribeTopicPartitionsResponseTopic {
        error_code,
        name: Some(name.to_owned()),
        topic_id: Uuid::ZERO,
        is_internal: topic_name::is_internal(name),
        topic_authorized_operations,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn show(
    image: &MetadataImage,
    partition_index: i32,
    partition: &PartitionImage,
) -> DescribeTopicPartitionsResponsePartition {
    let leaderless = partition.leader < 0;
    DescribeTopicPartitionsResponsePartition {
        error_code: if leaderless {
            ErrorCode::LEADER_NOT_AVAILABLE
        } else {
            ErrorCode::NONE
        },
        partition_index,
        leader_id: partition.leader,
        leader_epoch: partition.leader_epoch,
        replica_nodes: partition.replicas.clone(),
        isr_nodes: partition.isr.clone(),
        eligible_leader_replicas: Some(partition.eligible_leader_replicas.clone()),
        last_known_elr: Some(partition.last_known_elr.clone()),
        offline_replicas: endpoints::offline(image, &partition.replicas),
    }
}
