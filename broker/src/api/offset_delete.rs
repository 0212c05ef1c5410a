//! OffsetDelete (47), version 0 (KIP-496): forgets committed offsets of a group that does not
//! read the topic.

use super::group_answer::{GroupAnswer, later};
use super::{Call, Reply, Serve};
use isthmus_broker_core::groups::{Reply as GroupReply, Request};
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::offset_delete_request::OffsetDeleteRequestTopic;
use isthmus_wire::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use isthmus_wire::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use isthmus_wire::{ErrorCode, VersionRange};

pub(super) struct OffsetDelete;

impl Serve for OffsetDelete {
    type Request = OffsetDeleteRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 0 };

    async fn serve(
        call: Call<'_>,
        mut request: OffsetDeleteRequest,
    ) -> Reply<OffsetDeleteResponse> {
        let group = request.group_id.clone();
        let access = call.access();
        let denied: Vec<OffsetDeleteRequestTopic> = request
            .topics
            .extract_if(.., |topic| {
                access.topic(Operation::Read, &topic.name).is_err()
            })
            .collect();
        let request = Request::OffsetDelete(request);
        let reply: Reply<OffsetDeleteResponse> = later(call, Operation::Delete, &group, request);
        reply.map(move |mut response| {
            if !response.error_code.is_error() {
                response.topics.extend(denied.into_iter().map(refused));
            }
            response
        })
    }
}

fn refused(topic: OffsetDeleteRequestTopic) -> OffsetDeleteResponseTopic {
    let partitions = topic
        .partitions
        .iter()
        .map(|partition| OffsetDeleteResponsePartition {
            partition_index: partition.partition_index,
            error_code: ErrorCode::TOPIC_AUTHORIZATION_FAILED,
        });
    OffsetDeleteResponseTopic {
        partitions: partitions.collect(),
        name: topic.name,
    }
}

impl GroupAnswer for OffsetDeleteResponse {
    fn from_reply(reply: GroupReply) -> Option<Self> {
        match reply {
            GroupReply::OffsetDelete(response) => Some(response),
            _ => None,
        }
    }

    fn refused(error_code: ErrorCode, _version: i16) -> Self {
        Self {
            error_code,
            ..Self::default()
        }
    }
}
