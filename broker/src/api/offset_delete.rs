//! OffsetDelete (47), version 0 (KIP-496): forgets committed offsets of a group that does not
//! read the topic. Topics the client may not read and partitions that do not exist are
//! refused here; the group's shard judges the rest.

use super::group_answer::{GroupAnswer, later};
use super::{Call, Reply, Serve};
use isthmus_broker_core::groups::{Reply as GroupReply, Request};
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::offset_delete_request::OffsetDeleteRequestPartition;
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
        let (group, image) = (request.group_id.clone(), call.broker.image());
        let access = call.access();
        let mut refused = Vec::new();
        for topic in &mut request.topics {
            if let Err(code) = access.topic(Operation::Read, &topic.name) {
                let all = std::mem::take(&mut topic.partitions);
                refused.push(refusals(topic.name.clone(), &all, code));
                continue;
            }
            let count = image
                .topic(&topic.name)
                .map_or(0, |topic| topic.partitions.len());
            let exists = |index: i32| usize::try_from(index).is_ok_and(|index| index < count);
            let (kept, gone): (_, Vec<_>) = std::mem::take(&mut topic.partitions)
                .into_iter()
                .partition(|partition| exists(partition.partition_index));
            topic.partitions = kept;
            let code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
            refused.push(refusals(topic.name.clone(), &gone, code));
        }
        request.topics.retain(|topic| !topic.partitions.is_empty());
        refused.retain(|topic| !topic.partitions.is_empty());
        let request = Request::OffsetDelete(request);
        let reply: Reply<OffsetDeleteResponse> = later(call, Operation::Delete, &group, request);
        reply.map(move |mut response| {
            if !response.error_code.is_error() {
                merge(&mut response.topics, refused);
            }
            response
        })
    }
}

fn refusals(
    name: String,
    partitions: &[OffsetDeleteRequestPartition],
    error_code: ErrorCode,
) -> OffsetDeleteResponseTopic {
    let partitions = partitions
        .iter()
        .map(|partition| OffsetDeleteResponsePartition {
            partition_index: partition.partition_index,
            error_code,
        });
    OffsetDeleteResponseTopic {
        name,
        partitions: partitions.collect(),
    }
}

/// Each topic stands once, with what was judged and what was not.
fn merge(topics: &mut Vec<OffsetDeleteResponseTopic>, others: Vec<OffsetDeleteResponseTopic>) {
    for mut refused in others {
        match topics.iter_mut().find(|topic| topic.name == refused.name) {
            Some(topic) => topic.partitions.append(&mut refused.partitions),
            None => topics.push(refused),
        }
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
