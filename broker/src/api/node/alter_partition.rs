//! AlterPartition (56), version 3: a leader asks for other in-sync replicas (rule 6).
//!
//! All partitions of a request are decided one after the other and committed as one change. Version 2
//! has no epochs of the members, without which a replica that was started again could be taken for
//! the one before (KIP-903).

use super::super::{Call, Reply, Serve};
use crate::quotas::Metered;
use isthmus_broker_core::controller::{
    AlterPartitionRequest as Proposal, ControllerEvent, ControllerReply,
};
use isthmus_broker_core::replica::IsrMember;
use isthmus_wire::messages::alter_partition_request as asked;
use isthmus_wire::messages::alter_partition_response::{PartitionData, TopicData};
use isthmus_wire::messages::{AlterPartitionRequest, AlterPartitionResponse};
use isthmus_wire::{ErrorCode, Uuid, VersionRange};
use std::time::Duration;

pub(super) struct AlterPartition;

impl Serve for AlterPartition {
    type Request = AlterPartitionRequest;
    const VERSIONS: VersionRange = VersionRange { min: 3, max: 3 };

    async fn serve(
        call: Call<'_>,
        request: AlterPartitionRequest,
    ) -> Reply<AlterPartitionResponse> {
        let refused = |error_code| {
            Reply::Now(AlterPartitionResponse {
                error_code,
                ..AlterPartitionResponse::default()
            })
        };
        if !call.comes_from(request.broker_id) {
            return refused(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
        }
        let places = places(&request);
        let events = request.topics.iter().flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|partition| event(&request, topic.topic_id, partition))
        });
        let (events, limit) = (events.collect(), call.broker.settings.request_timeout);
        match call.broker.controller.events(limit, events).await {
            Ok(replies) => Reply::Now(answer(&places, replies)),
            Err(failure) => refused(failure.code()),
        }
    }

    /// Nodes are not throttled.
    fn settle(_: &Metered, _: i16, _: &mut AlterPartitionResponse, _: Duration) {}
}

/// The partitions, in the order of the request.
fn places(request: &AlterPartitionRequest) -> Vec<(Uuid, i32)> {
    let topics = request.topics.iter();
    let places = topics.flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|partition| (topic.topic_id, partition.partition_index))
    });
    places.collect()
}

fn event(
    request: &AlterPartitionRequest,
    topic_id: Uuid,
    partition: &asked::PartitionData,
) -> ControllerEvent {
    let isr = partition.new_isr_with_epochs.iter().map(|it| IsrMember {
        broker_id: it.broker_id,
        broker_epoch: it.broker_epoch,
    });
    ControllerEvent::AlterPartition(Proposal {
        broker_id: request.broker_id,
        broker_epoch: request.broker_epoch,
        topic_id,
        partition: partition.partition_index,
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.partition_epoch,
        leader_recovery_state: partition.leader_recovery_state,
        isr: isr.collect(),
    })
}

/// A stale broker epoch refuses the whole request, as in Kafka.
fn answer(places: &[(Uuid, i32)], replies: Vec<ControllerReply>) -> AlterPartitionResponse {
    let stale = ControllerReply::Refused(ErrorCode::STALE_BROKER_EPOCH);
    if replies.contains(&stale) {
        return AlterPartitionResponse {
            error_code: ErrorCode::STALE_BROKER_EPOCH,
            ..AlterPartitionResponse::default()
        };
    }
    let mut topics: Vec<TopicData> = Vec::new();
    for ((topic_id, partition_index), reply) in places.iter().zip(replies) {
        if topics.last().is_none_or(|last| last.topic_id != *topic_id) {
            topics.push(TopicData {
                topic_id: *topic_id,
                partitions: Vec::new(),
            });
        }
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(verdict(*partition_index, reply));
        }
    }
    AlterPartitionResponse {
        topics,
        ..AlterPartitionResponse::default()
    }
}

fn verdict(partition_index: i32, reply: ControllerReply) -> PartitionData {
    let refused = |error_code| PartitionData {
        partition_index,
        error_code,
        ..PartitionData::default()
    };
    match reply {
        ControllerReply::AlterPartition(state) => PartitionData {
            partition_index,
            error_code: ErrorCode::NONE,
            leader_id: state.leader,
            leader_epoch: state.leader_epoch,
            isr: state.isr,
            leader_recovery_state: state.leader_recovery_state,
            partition_epoch: state.partition_epoch,
        },
        ControllerReply::Refused(code) => refused(code),
        ControllerReply::Registered { .. }
        | ControllerReply::Heartbeat(_)
        | ControllerReply::Unregistered
        | ControllerReply::Elected
        | ControllerReply::Reassigned
        | ControllerReply::None => refused(ErrorCode::UNKNOWN_SERVER_ERROR),
    }
}
