//! OffsetCommit (8), versions 2–10.
//!
//! Offsets for partitions that do not exist are refused here; the group's shard judges the rest.
//!
//! Versions: 5 no retention time any more (KIP-211); 6 leader epochs (KIP-320); 7 static members;
//! 10 topics by their ids alone, of which an unknown one is UNKNOWN_TOPIC_ID before any right is asked.

use super::group_answer::{GroupAnswer, ask};
use super::{Call, Reply, Serve};
use isthmus_broker_core::groups::{Reply as GroupReply, Request};
use isthmus_broker_core::metadata::MetadataImage;
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use isthmus_wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use isthmus_wire::messages::{OffsetCommitRequest, OffsetCommitResponse};
use isthmus_wire::{ErrorCode, VersionRange};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) struct OffsetCommit;

impl Serve for OffsetCommit {
    type Request = OffsetCommitRequest;
    const VERSIONS: VersionRange = VersionRange { min: 2, max: 10 };

    async fn serve(
        call: Call<'_>,
        mut request: OffsetCommitRequest,
    ) -> Reply<OffsetCommitResponse> {
        let version = call.version();
        let image = call.broker.image();
        let access = call.access();
        let by_id = version >= TOPIC_IDS_SINCE;
        if by_id {
            name_topics(&mut request.topics, &image);
        }
        let shape = request.topics.clone();
        if let Err(code) = access.group(Operation::Read, &request.group_id) {
            return Reply::Now(all(&shape, code));
        }
        let may_not = |topic: &&OffsetCommitRequestTopic| {
            let unknown = by_id && topic.name.is_empty();
            !unknown && access.topic(Operation::Read, &topic.name).is_err()
        };
        let denied = shape.iter().filter(may_not);
        let refusals = Refusals {
            by_id,
            denied: denied.map(|topic| topic.name.clone()).collect(),
        };
        let mut known = 0;
        for topic in &mut request.topics {
            let partitions = image
                .topic(&topic.name)
                .filter(|known| !refusals.denied.contains(&*known.name))
                .map_or(0, |topic| topic.partitions.len());
            topic
                .partitions
                .retain(|partition| exists(partition, partitions));
            known += topic.partitions.len();
        }
        request.topics.retain(|topic| !topic.partitions.is_empty());
        if known == 0 && shape.iter().any(|topic| !topic.partitions.is_empty()) {
            return Reply::Now(merge(
                &shape,
                &image,
                &refusals,
                &OffsetCommitResponse::default(),
            ));
        }
        let (broker, group) = (Arc::clone(call.broker), request.group_id.clone());
        let request = Request::OffsetCommit { request, version };
        let judged: OffsetCommitResponse =
            ask_with(&broker, version, &group, request, &shape).await;
        Reply::Now(merge(&shape, &image, &refusals, &judged))
    }
}

/// First version that names topics by id.
const TOPIC_IDS_SINCE: i16 = 10;

/// Gives topics the names that their ids stand for; an unknown one stays without a name.
fn name_topics(topics: &mut [OffsetCommitRequestTopic], image: &MetadataImage) {
    for topic in topics {
        let known = image.topic_by_id(topic.topic_id);
        topic.name = known.map_or_else(String::new, |known| known.name.to_string());
    }
}

/// What is refused before the shard is asked.
struct Refusals {
    /// Topics were named by ids, and a topic without a name has an id that nobody knows.
    by_id: bool,
    /// Names of topics that may not be read.
    denied: BTreeSet<String>,
}

impl Refusals {
    fn code(&self, topic: &OffsetCommitRequestTopic) -> Option<ErrorCode> {
        if self.by_id && topic.name.is_empty() {
            return Some(ErrorCode::UNKNOWN_TOPIC_ID);
        }
        let is_denied = self.denied.contains(&topic.name);
        is_denied.then_some(ErrorCode::TOPIC_AUTHORIZATION_FAILED)
    }
}

async fn ask_with(
    broker: &Arc<crate::broker::Broker>,
    version: i16,
    group: &str,
    request: Request,
    shape: &[OffsetCommitRequestTopic],
) -> OffsetCommitResponse {
    let answer: Judged = ask(broker, version, group, request).await;
    match answer {
        Judged::Each(response) => response,
        Judged::All(code) => all(shape, code),
    }
}

/// A shard's verdict on each partition, or one for all when no shard could be asked.
enum Judged {
    Each(OffsetCommitResponse),
    All(ErrorCode),
}

impl GroupAnswer for Judged {
    fn from_reply(reply: GroupReply) -> Option<Self> {
        match reply {
            GroupReply::OffsetCommit(response) => Some(Self::Each(response)),
            _ => None,
        }
    }

    fn refused(error_code: ErrorCode, _version: i16) -> Self {
        Self::All(error_code)
    }
}

fn exists(partition: &OffsetCommitRequestPartition, partitions: usize) -> bool {
    usize::try_from(partition.partition_index).is_ok_and(|index| index < partitions)
}

fn all(shape: &[OffsetCommitRequestTopic], code: ErrorCode) -> OffsetCommitResponse {
    let topics = shape.iter().map(|topic| answer(topic, |_| code));
    OffsetCommitResponse {
        topics: topics.collect(),
        ..Default::default()
    }
}

/// The request's own shape, with the verdicts of the shard where it was asked.
fn merge(
    shape: &[OffsetCommitRequestTopic],
    image: &MetadataImage,
    refusals: &Refusals,
    judged: &OffsetCommitResponse,
) -> OffsetCommitResponse {
    let topics = shape.iter().map(|topic| {
        let partitions = image
            .topic(&topic.name)
            .map_or(0, |topic| topic.partitions.len());
        let verdicts = judged
            .topics
            .iter()
            .filter(|judged| judged.name == topic.name);
        let verdicts: Vec<_> = verdicts.flat_map(|judged| &judged.partitions).collect();
        answer(topic, |partition| {
            if let Some(code) = refusals.code(topic) {
                return code;
            }
            if !exists(partition, partitions) {
                return ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
            }
            let index = partition.partition_index;
            let verdict = verdicts
                .iter()
                .find(|verdict| verdict.partition_index == index);
            verdict.map_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, |verdict| {
                verdict.error_code
            })
        })
    });
    OffsetCommitResponse {
        topics: topics.collect(),
        ..Default::default()
    }
}

fn answer(
    topic: &OffsetCommitRequestTopic,
    code: impl Fn(&OffsetCommitRequestPartition) -> ErrorCode,
) -> OffsetCommitResponseTopic {
    let partitions = topic
        .partitions
        .iter()
        .map(|partition| OffsetCommitResponsePartition {
            partition_index: partition.partition_index,
            error_code: code(partition),
        });
    OffsetCommitResponseTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
    }
}
