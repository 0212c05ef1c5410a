//! DescribeQuorum (55), versions 0–2 (KIP-595, KIP-836, KIP-853).
//!
//! The only thing that can be asked after is partition 0 of `__cluster_metadata`. The leader epoch
//! is the quorum's term, offsets count metadata records. Only the leader knows how far the others
//! are: a broker passes the request on to it, and a voter that is asked by itself sends on.
//!
//! The voters' addresses (version 2) are those of their listeners for controllers, or, where a node
//! is alone, of the listener that the client came through.

use super::{Call, Reply, Serve};
use crate::clocks;
use crate::endpoints;
use crate::metadata_log::{QuorumWatch, VoterState};
use isthmus_broker_core::security::Operation;
use isthmus_broker_core::topic_name::CLUSTER_METADATA_TOPIC;
use isthmus_wire::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use isthmus_wire::messages::{DescribeQuorumRequest, DescribeQuorumResponse};
use isthmus_wire::{ErrorCode, Uuid, VersionRange};

/// What the listeners of controllers are called towards clients, who never come by their names.
const CONTROLLERS: &str = "CONTROLLER";
const DENIED: &str = "Cluster authorization failed.";
const NOT_LEADER: &str = "This node does not lead the metadata quorum.";
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
        if !asks_after_the_quorum(&request) {
            return Reply::Now(unknown(&request));
        }
        Reply::Now(match call.broker.quorum.as_ref() {
            Some(quorum) if call.broker.controller.is_active() => described(call, quorum),
            Some(_) | None => DescribeQuorumResponse {
                error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER,
                error_message: Some(NOT_LEADER.to_owned()),
                ..DescribeQuorumResponse::default()
            },
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

fn described(call: Call<'_>, quorum: &QuorumWatch) -> DescribeQuorumResponse {
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
        observers: observers(call, quorum, now_ms, is_v2),
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

/// Those on their way into the quorum, and the brokers that only follow it: what they said in their
/// latest heartbeat takes the place of a fetch.
fn observers(
    call: Call<'_>,
    quorum: &QuorumWatch,
    now_ms: i64,
    has_directory: bool,
) -> Vec<ReplicaState> {
    let (voters, learners) = (quorum.voters(), quorum.learners());
    let joining = learners
        .iter()
        .map(|learner| replica(learner, now_ms, has_directory));
    let mut observers: Vec<ReplicaState> = joining.collect();
    let image = call.broker.image();
    for (id, (ago, offset)) in call.broker.controller.sightings(&image) {
        let directories = image.broker(id).map(|it| &it.directories[..]);
        let directory = directories.and_then(<[Uuid]>::first).copied();
        let directory = directory.unwrap_or(Uuid::ZERO);
        let is_known = |it: &VoterState| {
            it.voter.node_id == id && (directory.is_zero() || it.voter.directory_id == directory)
        };
        if voters.iter().chain(&learners).any(is_known) {
            continue;
        }
        let ago_ms = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        let timestamp = now_ms.saturating_sub(ago_ms);
        observers.push(ReplicaState {
            replica_id: id,
            replica_directory_id: if has_directory { directory } else { Uuid::ZERO },
            log_end_offset: offset.saturating_add(1),
            last_fetch_timestamp: timestamp,
            last_caught_up_timestamp: timestamp,
        });
    }
    observers
}

/// The leader has always just fetched from itself, as in Kafka. The others are pushed to here: when
/// they last acknowledged anything takes the place of when they last fetched.
fn replica(state: &VoterState, now_ms: i64, has_directory: bool) -> ReplicaState {
    let ago = state
        .heard
        .map(|heard| i64::try_from(heard.as_millis()).unwrap_or(i64::MAX));
    let timestamp = match ago {
        _ if state.is_leader => now_ms,
        Some(ago) => now_ms.saturating_sub(ago),
        None => -1,
    };
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
    let controllers = &call.broker.settings.cluster.controllers;
    let is_voter = |id: i32| voters.iter().any(|state| state.voter.node_id == id);
    if !call.broker.settings.cluster.is_alone() {
        let named = controllers.iter().filter(|it| is_voter(it.node_id));
        return named
            .map(|it| node(it.node_id, CONTROLLERS, &it.host, it.port))
            .collect();
    }
    let image = call.broker.image();
    let listener = &call.caller.listener.name;
    endpoints::registered(&image, listener)
        .filter(|broker| is_voter(broker.id))
        .map(|broker| node(broker.id, listener, broker.host, broker.port))
        .collect()
}

fn node(node_id: i32, listener: &str, host: &str, port: u16) -> Node {
    Node {
        node_id,
        listeners: vec![Listener {
            name: listener.to_owned(),
            host: host.to_owned(),
            port,
        }],
    }
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
