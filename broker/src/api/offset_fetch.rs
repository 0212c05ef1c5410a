//! OffsetFetch (9), versions 1–10.
//!
//! Versions: 2 all topics of a group, and a top-level error; 5 leader epochs (KIP-320); 7 waits
//! for transactions by `require_stable`; 8 several groups at once (KIP-709); 9 members of the new
//! group protocol; 10 topics by their ids alone: an unknown one is UNKNOWN_TOPIC_ID before any right is
//! asked, and where all are asked for, topics that are gone are left out.

use super::{Call, Reply, Serve};
use isthmus_broker_core::groups::{
    Reply as GroupReply, Request, offset_fetch_groups, offset_fetch_refusal, offset_fetch_response,
};
use isthmus_broker_core::metadata::MetadataImage;
use isthmus_broker_core::security::{Operation, ResourceType};
use isthmus_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use isthmus_wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use isthmus_wire::messages::{OffsetFetchRequest, OffsetFetchResponse};
use isthmus_wire::{ErrorCode, Uuid, VersionRange};

pub(super) struct OffsetFetch;

impl Serve for OffsetFetch {
    type Request = OffsetFetchRequest;
    const VERSIONS: VersionRange = VersionRange { min: 1, max: 10 };

    async fn serve(call: Call<'_>, request: OffsetFetchRequest) -> Reply<OffsetFetchResponse> {
        let version = call.version();
        let require_stable = request.require_stable;
        let mut answers = Vec::new();
        for group in offset_fetch_groups(request, version) {
            answers.push(fetch_allowed(call, group, require_stable).await);
        }
        Reply::Now(offset_fetch_response(answers, version))
    }
}

/// Topics that may not be described are refused where they are named, and left out where all are
/// asked for.
async fn fetch_allowed(
    call: Call<'_>,
    mut group: OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let access = call.access();
    if let Err(code) = access.group(Operation::Describe, &group.group_id) {
        return offset_fetch_refusal(&group, code, call.version());
    }
    let by_id = call.version() >= TOPIC_IDS_SINCE;
    let image = call.broker.image();
    let mut unknown = Vec::new();
    let mut denied = Vec::new();
    if let Some(topics) = &mut group.topics {
        if by_id {
            unknown = take_unknown(topics, &image);
        }
        denied = topics
            .extract_if(.., |topic| {
                access.topic(Operation::Describe, &topic.name).is_err()
            })
            .collect();
    }
    let mut answer = fetch(call, group, require_stable).await;
    if !answer.error_code.is_error() {
        answer.topics.retain(|topic| {
            access.may_quietly(Operation::Describe, ResourceType::Topic, &topic.name)
        });
        if by_id {
            answer.topics.retain_mut(|topic| has_id(topic, &image));
        }
        let unknown = unknown.into_iter();
        let denied = denied.into_iter();
        answer
            .topics
            .extend(unknown.map(|topic| refused(topic, ErrorCode::UNKNOWN_TOPIC_ID)));
        answer
            .topics
            .extend(denied.map(|topic| refused(topic, ErrorCode::TOPIC_AUTHORIZATION_FAILED)));
    }
    answer
}

/// First version that names topics by id.
const TOPIC_IDS_SINCE: i16 = 10;

/// Gives topics the names that their ids stand for, and takes those out that nobody knows.
fn take_unknown(
    topics: &mut Vec<OffsetFetchRequestTopics>,
    image: &MetadataImage,
) -> Vec<OffsetFetchRequestTopics> {
    let unknown = topics.extract_if(.., |topic| {
        let known = image.topic_by_id(topic.topic_id);
        topic.name = known.map_or_else(String::new, |known| known.name.to_string());
        known.is_none()
    });
    unknown.collect()
}

/// Whether a topic of an answer has an id to be named by; one that was asked for has it already.
fn has_id(topic: &mut OffsetFetchResponseTopics, image: &MetadataImage) -> bool {
    if topic.topic_id == Uuid::ZERO
        && let Some(known) = image.topic(&topic.name)
    {
        topic.topic_id = known.id;
    }
    topic.topic_id != Uuid::ZERO
}

fn refused(topic: OffsetFetchRequestTopics, error_code: ErrorCode) -> OffsetFetchResponseTopics {
    let partition = |partition_index| OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        metadata: Some(String::new()),
        error_code,
        ..Default::default()
    };
    OffsetFetchResponseTopics {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic.partition_indexes.into_iter().map(partition).collect(),
    }
}

async fn fetch(
    call: Call<'_>,
    group: OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let version = call.version();
    let asked = Request::OffsetFetch {
        group: group.clone(),
        require_stable,
        version,
    };
    let answer = match call.broker.ask_group(&group.group_id, asked) {
        Ok(answer) => answer.await,
        Err(code) => Err(code),
    };
    match answer {
        Ok(GroupReply::OffsetFetch(answer)) => answer,
        Ok(_) => offset_fetch_refusal(&group, ErrorCode::UNKNOWN_SERVER_ERROR, version),
        Err(code) => offset_fetch_refusal(&group, code, version),
    }
}
