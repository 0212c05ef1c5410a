//! FindCoordinator (10), versions 0–6.
//!
//! Looking for a group's coordinator creates `__consumer_offsets` when it is not there yet. The
//! empty name has a coordinator too: offsets may be committed under it, though nobody can join.
//! Coordinators of transactions and share groups do not exist in this build: asking for one is
//! refused, not retried.
//!
//! Versions: 1 the key's type and an error message, which names even the absence of an error; 4 many
//! keys at once (KIP-699), whose messages are empty without one; 6 share groups.

use super::{Call, Reply, Serve};
use crate::authorization::Access;
use crate::endpoints;
use crate::groups::OFFSETS_TOPIC;
use isthmus_broker_core::groups::partition_for;
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::find_coordinator_response::Coordinator;
use isthmus_wire::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use isthmus_wire::{ErrorCode, VersionRange};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

/// Kafka's words for INVALID_REQUEST.
const INVALID_REQUEST: &str = "This most likely occurs because of a request being malformed by the \
    client library or the message was sent to an incompatible broker. See the broker logs for more \
    details.";

pub(super) struct FindCoordinator;

impl Serve for FindCoordinator {
    type Request = FindCoordinatorRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 6 };

    async fn serve(
        call: Call<'_>,
        request: FindCoordinatorRequest,
    ) -> Reply<FindCoordinatorResponse> {
        let batched = call.version() >= 4;
        let keys = if batched {
            request.coordinator_keys
        } else {
            vec![request.key]
        };
        let access = call.access();
        let mut coordinators = Vec::with_capacity(keys.len());
        for key in keys {
            let found = match may_look_for(&access, batched, request.key_type, &key) {
                Ok(()) => locate(call, request.key_type, &key).await,
                Err(refusal) => Err(refusal),
            };
            coordinators.push(match found {
                Ok(found) => Coordinator {
                    error_message: Some(if batched { "" } else { "NONE" }.to_owned()),
                    ..found
                },
                Err((error_code, message)) => Coordinator {
                    key,
                    node_id: -1,
                    port: -1,
                    error_code,
                    error_message: Some(message.to_owned()),
                    ..Coordinator::default()
                },
            });
        }
        Reply::Now(if batched {
            many(coordinators)
        } else {
            one(coordinators)
        })
    }
}

fn many(coordinators: Vec<Coordinator>) -> FindCoordinatorResponse {
    FindCoordinatorResponse {
        coordinators,
        error_message: None,
        ..Default::default()
    }
}

fn one(coordinators: Vec<Coordinator>) -> FindCoordinatorResponse {
    let found = coordinators.into_iter().next().unwrap_or_default();
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..Default::default()
    }
}

fn may_look_for(
    access: &Access,
    batched: bool,
    key_type: i8,
    key: &str,
) -> Result<(), (ErrorCode, &'static str)> {
    let (allowed, message) = match key_type {
        TRANSACTION => (
            access.transactional_id(Operation::Describe, key),
            "Transactional Id authorization failed.",
        ),
        SHARE => (
            access.cluster(Operation::ClusterAction),
            "Cluster authorization failed.",
        ),
        GROUP => (
            access.group(Operation::Describe, key),
            "Group authorization failed.",
        ),
        _ => return Ok(()),
    };
    allowed.map_err(|code| (code, if batched { "" } else { message }))
}

async fn locate(
    call: Call<'_>,
    key_type: i8,
    key: &str,
) -> Result<Coordinator, (ErrorCode, &'static str)> {
    match key_type {
        GROUP => {}
        TRANSACTION | SHARE => {
            let message = "This broker coordinates consumer groups only.";
            return Err((ErrorCode::INVALID_REQUEST, message));
        }
        _ => return Err((ErrorCode::INVALID_REQUEST, INVALID_REQUEST)),
    }
    let broker = call.broker;
    if broker.image().topic(OFFSETS_TOPIC).is_none() {
        broker
            .create_offsets_topic()
            .await
            .map_err(|code| (code, "The offsets topic is not there."))?;
    }
    let image = broker.image();
    let not_available = (
        ErrorCode::COORDINATOR_NOT_AVAILABLE,
        "The coordinator is not available.",
    );
    let topic = image.topic(OFFSETS_TOPIC).ok_or(not_available)?;
    let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
    let index = usize::try_from(partition_for(key, count)).unwrap_or(usize::MAX);
    let leader = topic
        .partitions
        .get(index)
        .map(|partition| partition.leader);
    let reachable = endpoints::reachable(&image, &call.caller.listener.name)
        .find(|reachable| Some(reachable.id) == leader)
        .ok_or(not_available)?;
    Ok(Coordinator {
        key: key.to_owned(),
        node_id: reachable.id,
        host: reachable.host.to_owned(),
        port: i32::from(reachable.port),
        error_code: ErrorCode::NONE,
        // Kafka's words: one by one it says the code's name, of many it says nothing.
        error_message: Some(if call.version() >= 4 { "" } else { "NONE" }.to_owned()),
    })
}
