//! DescribeQuorum (55), versions 0–2 (KIP-595, KIP-836, KIP-853).
//!
//! The only thing that can be asked after is partition 0 of `__cluster_metadata`. The leader epoch
//! is the quorum's term, offsets count metadata records. The voters' addresses (version 2) are
//! those of the listener that the client came through: there are no listeners for controllers yet.

use super::{Call, Reply, Serve};
use crate::clocks;
use crate::endpoints;
use crate::metadata_log::VoterState;
use isthmus_broker_core::security::Operation;
use isthmus_broker_core::topic_name::CLUSTER_METADATA_TOPIC;
use isthmus_wire::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use isthmus_wire::messages::{DescribeQuorumRequest, DescribeQuorumResponse};
use isthmus_wire::{ErrorCode, Uuid, VersionRange};

const DENIED: &str = "Cluster authorization failed.";
const UNKNOWN: &str = "This server does not host this topic-partition.";

pub(super) struct DescribeQuorum;

impl Serve for DescribeQuorum {
    type Request = DescribeQuorumRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 2 };

    async fn serve(
        call: Call<'_>,
        request: DescribeQuorumRequest,
    ) -> Reply<DescribeQuorumResponse> {
        if let Err(error_code) = call.access().cluster(Operation::Describe) {
            return Reply::Now(DescribeQuorumResponse {
                error_code,
                error_message: Some(DENIED.to_owned()),
                ..DescribeQuorumResponse::default()
            });
        }
        Reply::Now(if asks_after_the_quorum(&request) {
            described(call)
        } else {
            unknown(&request)
        })
    }
}

fn asks_after_the_quorum(request: &DescribeQuorumRequest) -> bool {
    match &request.topics[..] {
        [topic] if topic.topic_name == CLUSTER_METADATA_TOPIC => {
            matches!(&topic.partitions[..], [partition] if partition.partition_index == 0)
        }
        _ => false,
    }
}

fn described(call: Call<'_>) -> DescribeQuorumResponse {
    let quorum = &call.broker.quorum;
    let now_ms = clocks::wall_ms();
    let voters = quorum.voters();
    // Older versions have no place for directories and addresses.
    let is_v2 = call.version() >= 2;
    let partition = PartitionData {
        leader_id: quorum.leader().unwrap_or(-1),
        leader_epoch: i32::try_from(quorum.term()).unwrap_or(i32::MAX),
        high_watermark: quorum.high_watermark(),
        current_voters: voters
            .iter()
            .map(|voter| replica(voter, now_ms, is_v2))
            .collect(),
        ..PartitionData::default()
    };
    DescribeQuorumResponse {
        topics: vec![TopicData {
            topic_name: CLUSTER_METADATA_TOPIC.to_owned(),
            partitions: vec![partition],
        }],
        nodes: if is_v2 {
            nodes(call, &voters)
        } else {
            Vec::new()
        },
        ..DescribeQuorumResponse::default()
    }
}

/// The leader has always just fetched from itself, as in Kafka.
fn replica(state: &VoterState, now_ms: i64, has_directory: bool) -> ReplicaState {
    let timestamp = if state.is_leader { now_ms } else { -1 };
    let directory_id = state.voter.directory_id;
    ReplicaState {
        replica_id: state.voter.node_id,
        replica_directory_id: if has_directory {
            directory_id
        } else {
            Uuid::ZERO
        },
        log_end_offset: state.log_end_offset,
        last_fetch_timestamp: timestamp,
        last_caught_up_timestamp: timestamp,
    }
}

fn nodes(call: Call<'_>, voters: &[VoterState]) -> Vec<Node> {
    let image = call.broker.image();
    let listener = &call.caller.listener.name;
    let is_voter = |id: i32| voters.iter().any(|state| state.voter.node_id == id);
    endpoints::registered(&image, listener)
        .filter(|broker| is_voter(broker.id))
        .map(|broker| Node {
            node_id: broker.id,
            listeners: vec![Listener {
                name: listener.clone(),
                host: broker.host.to_owned(),
                port: broker.port,
            }],
        })
        .collect()
}

/// Every partition that was asked after is unknown, the right one among them too.
fn unknown(request: &DescribeQuorumRequest) -> DescribeQuorumResponse {
    let topics = request.topics.iter().map(|topic| TopicData {
        topic_name: topic.topic_name.clone(),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| PartitionData {
                partition_index: partition.partition_index,
                error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                error_message: Some(UNKNOWN.to_owned()),
                ..PartitionData::default()
            })
            .collect(),
    });
    DescribeQuorumResponse {
        topics: topics.collect(),
        ..DescribeQuorumResponse::default()
    }
}
