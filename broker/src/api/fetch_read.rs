//! What a fetch reads: one look at all its partitions, in the order of the request.
//!
//! Whole batches only, and the first one found even when it is larger than asked for (KIP-74), so
//! that a consumer always gets on. Empty is an empty byte string, never null: librdkafka takes null
//! for a broken answer (pitfall 14).

use super::Call;
use super::current_leader::{current_leader, nodes};
use crate::broker::Broker;
use crate::endpoints::ClientPlace;
use crate::partitions::{Isolation, Partition, ReadRequest, ServedBy};
use crate::settings::Listener;
use bytes::Bytes;
use isthmus_broker_core::metadata::MetadataImage;
use isthmus_broker_core::replica::ReplicaSelector;
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::fetch_request::FetchPartition;
use isthmus_wire::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint,
    PartitionData,
};
use isthmus_wire::messages::{FetchRequest, FetchResponse};
use isthmus_wire::{ErrorCode, Records, Uuid};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The first version that names the new leader.
const LEADERS_FROM: i16 = 16;

/// The first version whose clients may read from followers (KIP-392).
const FOLLOWERS_FROM: i16 = 11;

pub(super) struct FetchPlan {
    topics: Vec<PlannedTopic>,
    min_bytes: usize,
    max_bytes: usize,
    isolation: Isolation,
    served_by: ServedBy,
    /// In which the client stands, where that counts.
    rack: Option<String>,
    version: i16,
    broker: Arc<Broker>,
    listener: Arc<Listener>,
}

struct PlannedTopic {
    name: String,
    id: Uuid,
    partitions: Vec<(FetchPartition, Result<Arc<Partition>, ErrorCode>)>,
}

/// The outcome of one look.
pub(super) struct Progress {
    response: FetchResponse,
    bytes: usize,
    failed: bool,
    /// Of some partition the client is to ask another replica.
    redirected: bool,
}

impl Progress {
    pub(super) fn into_response(self) -> FetchResponse {
        self.response
    }
}

impl FetchPlan {
    pub(super) fn new(call: Call<'_>, request: &FetchRequest) -> Self {
        let (broker, access, version) = (call.broker, call.access(), call.version());
        let replica = request.replica_id.max(request.replica_state.replica_id);
        let topics = request.topics.iter().map(|topic| {
            let id = (version >= 13).then_some(topic.topic_id);
            let allowed = if replica >= 0 {
                Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED)
            } else {
                access.topic_or_id(Operation::Read, &topic.topic, id)
            };
            let partitions = topic.partitions.iter().map(|asked| {
                let found = if let Err(code) = allowed {
                    Err(code)
                } else if version >= 13 {
                    broker.partition_by_id(topic.topic_id, asked.partition)
                } else {
                    broker.partition(&topic.topic, asked.partition)
                };
                (asked.clone(), found)
            });
            PlannedTopic {
                name: topic.topic.clone(),
                id: topic.topic_id,
                partitions: partitions.collect(),
            }
        });
        let asked_max = usize::try_from(request.max_bytes).unwrap_or(0);
        let max_bytes = asked_max
            .min(broker.settings.fetch_max_bytes)
            .min(call.metered.fetch_bytes_max());
        Self {
            topics: topics.collect(),
            min_bytes: usize::try_from(request.min_bytes)
                .unwrap_or(0)
                .min(max_bytes),
            max_bytes,
            isolation: Isolation::from_wire(request.isolation_level),
            served_by: if version >= FOLLOWERS_FROM {
                ServedBy::AnyReplica
            } else {
                ServedBy::Leader
            },
            rack: (broker.settings.replica_selector == ReplicaSelector::RackAware
                && version >= FOLLOWERS_FROM
                && !request.rack_id.is_empty())
            .then(|| request.rack_id.to_string()),
            version,
            broker: Arc::clone(broker),
            listener: Arc::clone(&call.caller.listener),
        }
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = &Arc<Partition>> {
        let all = self.topics.iter().flat_map(|topic| &topic.partitions);
        all.filter_map(|(_, found)| found.as_ref().ok())
    }

    /// A fetch of nothing has nothing to wait for.
    pub(super) fn is_enough(&self, progress: &Progress) -> bool {
        progress.failed
            || progress.redirected
            || progress.bytes >= self.min_bytes
            || self.topics.iter().all(|topic| topic.partitions.is_empty())
    }

    pub(super) fn read(&self) -> Progress {
        let mut bytes = 0;
        let mut failed = false;
        let mut redirected = false;
        let image = self.rack.as_ref().map(|_| self.broker.image());
        let mut responses = Vec::with_capacity(self.topics.len());
        for topic in &self.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for (asked, found) in &topic.partitions {
                let data = self.read_partition(asked, found, bytes, image.as_deref());
                bytes += data.records.as_ref().map_or(0, Records::len);
                failed |= data.error_code.is_error();
                redirected |= data.preferred_read_replica >= 0;
                partitions.push(data);
            }
            responses.push(FetchableTopicResponse {
                topic: topic.name.clone(),
                topic_id: topic.id,
                partitions,
            });
        }
        let mut response = FetchResponse {
            responses,
            ..FetchResponse::default()
        };
        if failed && self.version >= LEADERS_FROM {
            self.name_leaders(&mut response);
        }
        Progress {
            response,
            bytes,
            failed,
            redirected,
        }
    }

    fn name_leaders(&self, response: &mut FetchResponse) {
        let image = self.broker.image();
        let mut named = BTreeSet::new();
        for topic in &mut response.responses {
            let known = image.topic_by_id(topic.topic_id);
            for data in &mut topic.partitions {
                let is_elsewhere = matches!(
                    data.error_code,
                    ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::FENCED_LEADER_EPOCH
                );
                let leader = current_leader(known, data.partition_index);
                if let Some((leader_id, leader_epoch)) = leader.filter(|_| is_elsewhere) {
                    data.current_leader = LeaderIdAndEpoch {
                        leader_id,
                        leader_epoch,
                    };
                    named.insert(leader_id);
                }
            }
        }
        let nodes = nodes(&image, &self.listener.name, &named);
        let endpoints = nodes.map(|node| NodeEndpoint {
            node_id: node.id,
            host: node.host.to_owned(),
            port: node.port.into(),
            rack: node.rack.map(str::to_owned),
        });
        response.node_endpoints = endpoints.collect();
    }

    fn place<'a>(&'a self, image: Option<&'a MetadataImage>) -> Option<ClientPlace<'a>> {
        Some(ClientPlace {
            image: image?,
            listener: &self.listener.name,
            rack: self.rack.as_deref()?,
        })
    }

    fn read_partition(
        &self,
        asked: &FetchPartition,
        found: &Result<Arc<Partition>, ErrorCode>,
        bytes_so_far: usize,
        image: Option<&MetadataImage>,
    ) -> PartitionData {
        let partition = match found {
            Ok(partition) => partition,
            Err(code) => return refused(asked.partition, *code),
        };
        let room = self.max_bytes.saturating_sub(bytes_so_far);
        let request = ReadRequest {
            offset: asked.fetch_offset,
            max_bytes: usize::try_from(asked.partition_max_bytes)
                .unwrap_or(0)
                .min(room),
            at_least_one_batch: bytes_so_far == 0,
            isolation: self.isolation,
            served_by: self.served_by,
            current_leader_epoch: asked.current_leader_epoch,
            last_fetched_epoch: asked.last_fetched_epoch,
            place: self.place(image),
        };
        match partition.read(&request) {
            Ok(read) => PartitionData {
                partition_index: asked.partition,
                error_code: ErrorCode::NONE,
                high_watermark: read.high_watermark,
                last_stable_offset: read.last_stable_offset,
                log_start_offset: read.log_start_offset,
                diverging_epoch: read
                    .diverging
                    .map_or_else(EpochEndOffset::default, |(epoch, end_offset)| {
                        EpochEndOffset { epoch, end_offset }
                    }),
                aborted_transactions: read.aborted.map(|aborted| {
                    let entry = |(producer_id, first_offset)| AbortedTransaction {
                        producer_id,
                        first_offset,
                    };
                    aborted.into_iter().map(entry).collect()
                }),
                records: Some(read.records),
                preferred_read_replica: read.preferred_read_replica.unwrap_or(-1),
                ..PartitionData::default()
            },
            // Kafka shows a partition that was looked at by the absence of a list.
            Err(failure) => PartitionData {
                aborted_transactions: None,
                ..refused(asked.partition, failure.code())
            },
        }
    }
}

fn refused(partition_index: i32, error_code: ErrorCode) -> PartitionData {
    PartitionData {
        partition_index,
        error_code,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        aborted_transactions: Some(Vec::new()),
        records: Some(Records::from(Bytes::new())),
        ..PartitionData::default()
    }
}
