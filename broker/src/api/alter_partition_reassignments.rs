//! AlterPartitionReassignments (45), versions 0–1 (KIP-455): other replicas for partitions, or the
//! end of moves that are under way. Each partition has a verdict of its own.
//!
//! Versions: 1 lets the number of replicas stay as it is (KIP-860).

use super::{Call, Reply, Serve};
use isthmus_broker_core::controller::{ControllerEvent, ControllerReply, check_reassigned};
use isthmus_broker_core::metadata::{
    MetadataImage, PartitionImage, RackPlacement, Sufficiency, too_few_racks,
};
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use isthmus_wire::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use isthmus_wire::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
};
use isthmus_wire::{ErrorCode, Uuid, VersionRange};
use std::collections::VecDeque;
use std::time::Duration;

const DENIED: &str = "Cluster authorization failed.";

pub(super) struct AlterPartitionReassignments;

/// Kafka tells no words where they would be the code's own.
type Verdict = Result<(), (ErrorCode, Option<String>)>;

impl Serve for AlterPartitionReassignments {
    type Request = AlterPartitionReassignmentsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 1 };

    async fn serve(
        call: Call<'_>,
        request: AlterPartitionReassignmentsRequest,
    ) -> Reply<AlterPartitionReassignmentsResponse> {
        if let Err(code) = call.access().cluster(Operation::Alter) {
            return Reply::Now(refused(&request, code, DENIED));
        }
        let image = call.broker.image();
        let mut events = Vec::new();
        let mut checks = VecDeque::new();
        for (topic, partition) in each(&request) {
            let check = check(&image, &request, topic, partition);
            if let Ok(topic_id) = &check {
                events.push(ControllerEvent::Reassign {
                    topic_id: *topic_id,
                    partition: partition.partition_index,
                    replicas: partition.replicas.clone(),
                });
            }
            checks.push_back(check);
        }
        let timeout = u64::try_from(request.timeout_ms).unwrap_or(0);
        let limit = Duration::from_millis(timeout).min(call.broker.settings.request_timeout);
        Reply::Now(match call.broker.controller.events(limit, events).await {
            Ok(replies) => {
                let placement = call.broker.settings.topic_defaults.rack_placement;
                answer((&call.broker.image(), placement), &request, checks, replies)
            }
            Err(failure) => refused(&request, failure.code(), &failure.to_string()),
        })
    }
}

fn each(
    request: &AlterPartitionReassignmentsRequest,
) -> impl Iterator<Item = (&ReassignableTopic, &ReassignablePartition)> {
    let topics = request.topics.iter();
    topics.flat_map(|topic| topic.partitions.iter().map(move |it| (topic, it)))
}

/// What can be said before the controller decides, in Kafka's words; the topic's id otherwise.
fn check(
    image: &MetadataImage,
    request: &AlterPartitionReassignmentsRequest,
    topic: &ReassignableTopic,
    asked: &ReassignablePartition,
) -> Result<Uuid, (ErrorCode, String)> {
    let unknown = |words: String| (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, words);
    let name = &topic.name;
    let known = image.topic(name);
    let known = known.ok_or_else(|| unknown(format!("Unable to find a topic named {name}.")))?;
    let index = asked.partition_index;
    let at = usize::try_from(index).unwrap_or(usize::MAX);
    let partition = known.partitions.get(at);
    let partition =
        partition.ok_or_else(|| unknown(format!("Unable to find partition {name}:{index}.")))?;
    if let Some(replicas) = &asked.replicas {
        let (from, to) = (wanted_replicas(partition), replicas.len());
        if !request.allow_replication_factor_change && from != to {
            let words = format!("The replication factor is changed from {from} to {to}");
            return Err((ErrorCode::INVALID_REPLICATION_FACTOR, words));
        }
        check_replicas(image, replicas)
            .and_then(|()| few_racks(image, (name, index), replicas).map_or(Ok(()), Err))
            .map_err(|words| (ErrorCode::INVALID_REPLICA_ASSIGNMENT, words))?;
    }
    Ok(known.id)
}

/// Rule 21.
fn few_racks(image: &MetadataImage, of: (&str, i32), replicas: &[i32]) -> Option<String> {
    let racks = Sufficiency::of_topic(image, of.0, 1).min_insync_racks;
    too_few_racks(image, of, replicas, racks)
}

/// How many replicas there will be once a move that is under way is over.
fn wanted_replicas(partition: &PartitionImage) -> usize {
    let stays = |id: &&i32| !partition.removing_replicas.contains(id);
    partition.replicas.iter().filter(stays).count()
}

fn check_replicas(image: &MetadataImage, replicas: &[i32]) -> Result<(), String> {
    if replicas.is_empty() {
        return Err("The manual partition assignment includes an empty replica list.".to_owned());
    }
    let mut sorted = replicas.to_vec();
    sorted.sort_unstable();
    if let Some(twice) = sorted.windows(2).find(|two| two[0] == two[1]) {
        return Err(format!(
            "The manual partition assignment includes the broker {} more than once.",
            twice[0]
        ));
    }
    match replicas.iter().find(|id| image.broker(**id).is_none()) {
        None => Ok(()),
        Some(id) => Err(format!(
            "The manual partition assignment includes broker {id}, but no such broker is registered."
        )),
    }
}

fn answer(
    decided_on: (&MetadataImage, RackPlacement),
    request: &AlterPartitionReassignmentsRequest,
    mut checks: VecDeque<Result<Uuid, (ErrorCode, String)>>,
    replies: Vec<ControllerReply>,
) -> AlterPartitionReassignmentsResponse {
    let mut replies = VecDeque::from(replies);
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let verdict = match checks.pop_front() {
                Some(Err((code, words))) => Err((code, Some(words))),
                Some(Ok(_)) | None => {
                    decided(decided_on, topic, asked, replies.pop_front().as_ref())
                }
            };
            partition_answer(asked.partition_index, verdict)
        });
        ReassignableTopicResponse {
            name: topic.name.clone(),
            partitions: partitions.collect(),
        }
    });
    AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        responses: topics.collect(),
        // Empty where nothing was asked for, null elsewhere, as in Kafka.
        error_message: request.topics.is_empty().then(String::new),
        ..AlterPartitionReassignmentsResponse::default()
    }
}

/// What the controller said.
fn decided(
    (image, placement): (&MetadataImage, RackPlacement),
    topic: &ReassignableTopic,
    asked: &ReassignablePartition,
    reply: Option<&ControllerReply>,
) -> Verdict {
    let code = match reply {
        Some(ControllerReply::Refused(code)) => *code,
        Some(_) => return Ok(()),
        None => ErrorCode::UNKNOWN_SERVER_ERROR,
    };
    let (name, index) = (&topic.name, asked.partition_index);
    let few = (asked.replicas.as_ref()).and_then(|it| few_racks(image, (name, index), it));
    let words = match code {
        // Somebody asked for more racks since it was looked at.
        ErrorCode::INVALID_REPLICA_ASSIGNMENT if few.is_some() => few,
        ErrorCode::INVALID_REPLICA_ASSIGNMENT if image.topic(name).is_some() => Some(format!(
            "Unable to revert partition assignment for {name}:{index} because it would require an \
             unclean leader election."
        )),
        ErrorCode::POLICY_VIOLATION => asked.replicas.as_ref().and_then(|wanted| {
            let refused = check_reassigned(image, name, wanted, placement).err();
            refused.map(|why| why.to_string())
        }),
        _ => None,
    };
    Err((code, words))
}

fn partition_answer(partition_index: i32, verdict: Verdict) -> ReassignablePartitionResponse {
    let (error_code, error_message) = match verdict {
        Ok(()) => (ErrorCode::NONE, None),
        Err((code, words)) => (code, words),
    };
    ReassignablePartitionResponse {
        partition_index,
        error_code,
        error_message,
    }
}

fn refused(
    request: &AlterPartitionReassignmentsRequest,
    code: ErrorCode,
    words: &str,
) -> AlterPartitionReassignmentsResponse {
    let topics = request.topics.iter().map(|topic| {
        let refuse = |asked: &ReassignablePartition| {
            partition_answer(asked.partition_index, Err((code, Some(words.to_owned()))))
        };
        ReassignableTopicResponse {
            name: topic.name.clone(),
            partitions: topic.partitions.iter().map(refuse).collect(),
        }
    });
    AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        error_code: code,
        error_message: Some(words.to_owned()),
        responses: topics.collect(),
        ..AlterPartitionReassignmentsResponse::default()
    }
}
