//! ElectLeaders (43), versions 0–2 (KIP-183, KIP-460): partitions are to be led by their preferred
//! replica, or by any that lives where there is no leader. Without a list all partitions are meant,
//! and those that need nothing are left out of the answer.
//!
//! Versions: 1 the kind of election, and an error of the whole; 2 is the flexible one.

use super::{Call, Reply, Serve};
use isthmus_broker_core::controller::{ControllerEvent, ControllerReply, ElectionType};
use isthmus_broker_core::metadata::MetadataImage;
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use isthmus_wire::messages::{ElectLeadersRequest, ElectLeadersResponse};
use isthmus_wire::{ErrorCode, Uuid, VersionRange};
use std::collections::VecDeque;
use std::time::Duration;

const DENIED: &str = "Cluster authorization failed.";

pub(super) struct ElectLeaders;

/// A topic as it was named, and what is meant of it.
struct Asked {
    topic: String,
    id: Option<Uuid>,
    partitions: Vec<i32>,
}

impl Serve for ElectLeaders {
    type Request = ElectLeadersRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 2 };

    async fn serve(call: Call<'_>, request: ElectLeadersRequest) -> Reply<ElectLeadersResponse> {
        Reply::Now(match elect(call, &request).await {
            Ok(response) => response,
            Err((code, words)) => refused(&request, call.version(), code, &words),
        })
    }
}

/// `Err`: nothing was tried.
async fn elect(
    call: Call<'_>,
    request: &ElectLeadersRequest,
) -> Result<ElectLeadersResponse, (ErrorCode, String)> {
    let access = call.access().cluster(Operation::Alter);
    access.map_err(|code| (code, DENIED.to_owned()))?;
    let election = match request.election_type {
        0 => ElectionType::Preferred,
        1 => ElectionType::Unclean,
        other => {
            let unknown = format!("Unknown election type {other}");
            return Err((ErrorCode::INVALID_REQUEST, unknown));
        }
    };
    let asked = asked(&call.broker.image(), request);
    let events = events(&asked, election);
    let timeout = u64::try_from(request.timeout_ms).unwrap_or(0);
    let limit = Duration::from_millis(timeout).min(call.broker.settings.request_timeout);
    let replies = call.broker.controller.events(limit, events).await;
    let replies = replies.map_err(|failure| (failure.code(), failure.to_string()))?;
    let leaves_out = request.topic_partitions.is_none();
    Ok(answer(asked, replies, leaves_out))
}

fn asked(image: &MetadataImage, request: &ElectLeadersRequest) -> Vec<Asked> {
    let Some(topics) = &request.topic_partitions else {
        let all = image.topics().map(|topic| Asked {
            topic: topic.name.to_string(),
            id: Some(topic.id),
            partitions: (0..).take(topic.partitions.len()).collect(),
        });
        return all.collect();
    };
    let named = topics.iter().map(|topic| Asked {
        topic: topic.topic.clone(),
        id: image.topic(&topic.topic).map(|known| known.id),
        partitions: topic.partitions.clone(),
    });
    named.collect()
}

fn events(asked: &[Asked], election: ElectionType) -> Vec<ControllerEvent> {
    let mut events = Vec::new();
    for topic in asked {
        let Some(topic_id) = topic.id else { continue };
        events.extend(
            topic
                .partitions
                .iter()
                .map(|partition| ControllerEvent::ElectLeader {
                    election,
                    topic_id,
                    partition: *partition,
                }),
        );
    }
    events
}

fn answer(
    asked: Vec<Asked>,
    replies: Vec<ControllerReply>,
    leaves_out: bool,
) -> ElectLeadersResponse {
    let mut replies = VecDeque::from(replies);
    let topics = asked.into_iter().map(|topic| {
        let mut results = Vec::with_capacity(topic.partitions.len());
        for partition_id in topic.partitions {
            let code = match topic.id.and_then(|_| replies.pop_front()) {
                Some(ControllerReply::Refused(code)) => code,
                Some(_) => ErrorCode::NONE,
                None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            };
            if leaves_out && code == ErrorCode::ELECTION_NOT_NEEDED {
                continue;
            }
            results.push(PartitionResult {
                partition_id,
                error_code: code,
                error_message: message(code, &topic.topic, topic.id, partition_id),
            });
        }
        ReplicaElectionResult {
            topic: topic.topic,
            partition_result: results,
        }
    });
    ElectLeadersResponse {
        replica_election_results: topics.collect(),
        ..ElectLeadersResponse::default()
    }
}

/// In Kafka's words.
fn message(code: ErrorCode, topic: &str, id: Option<Uuid>, partition: i32) -> Option<String> {
    let words = match code {
        ErrorCode::NONE => return None,
        ErrorCode::ELECTION_NOT_NEEDED => "Leader election not needed for topic partition.",
        ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE => "The preferred leader was not available.",
        ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE => {
            "Eligible topic partition leaders are not available."
        }
        _ if id.is_none() => return Some(format!("No such topic as {topic}")),
        _ => return Some(format!("No such partition as {topic}-{partition}")),
    };
    Some(words.to_owned())
}

fn refused(
    request: &ElectLeadersRequest,
    version: i16,
    code: ErrorCode,
    words: &str,
) -> ElectLeadersResponse {
    let topics = request.topic_partitions.iter().flatten();
    let results = topics.map(|topic| {
        let result = |&partition_id: &i32| PartitionResult {
            partition_id,
            error_code: code,
            error_message: Some(words.to_owned()),
        };
        ReplicaElectionResult {
            topic: topic.topic.clone(),
            partition_result: topic.partitions.iter().map(result).collect(),
        }
    });
    ElectLeadersResponse {
        error_code: if version >= 1 { code } else { ErrorCode::NONE },
        replica_election_results: results.collect(),
        ..ElectLeadersResponse::default()
    }
}
