//! DeleteTopics (20), versions 1–6.
//!
//! The topic leaves the metadata at once; its files are renamed at once and removed after
//! `file.delete.delay.ms`.
//!
//! Versions: 3 has a code of its own for a broker that allows no deletion; 5 the message, and that
//! a topic is refused for the client's quota of changes (KIP-599); 6 names
//! topics by name or by id (KIP-516).

use super::create_topics::timeout;
use super::{Call, Reply, Serve};
use crate::authorization::Access;
use crate::quotas::Mutations;
use isthmus_broker_core::metadata::{MetadataImage, TopicError, TopicKey};
use isthmus_broker_core::security::{Operation, ResourceType};
use isthmus_wire::messages::delete_topics_request::DeleteTopicState;
use isthmus_wire::messages::delete_topics_response::DeletableTopicResult;
use isthmus_wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use isthmus_wire::{ErrorCode, Uuid, VersionRange};
use std::collections::BTreeSet;

/// The first version whose clients know THROTTLING_QUOTA_EXCEEDED.
const STRICT_FROM: i16 = 5;

pub(super) struct DeleteTopics;

impl Serve for DeleteTopics {
    type Request = DeleteTopicsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 1, max: 6 };

    async fn serve(call: Call<'_>, request: DeleteTopicsRequest) -> Reply<DeleteTopicsResponse> {
        let by_name = request
            .topic_names
            .into_iter()
            .map(|name| DeleteTopicState {
                name: Some(name),
                topic_id: Uuid::ZERO,
            });
        let asked: Vec<DeleteTopicState> = by_name.chain(request.topics).collect();
        let mutations = call.mutations(STRICT_FROM);
        let responses = if call.broker.settings.delete_topic_enable {
            delete(call, asked, &mutations, request.timeout_ms).await
        } else {
            let code = if call.version() < 3 {
                ErrorCode::INVALID_REQUEST
            } else {
                ErrorCode::TOPIC_DELETION_DISABLED
            };
            asked
                .into_iter()
                .map(|topic| answer(topic.name, topic.topic_id, code, None))
                .collect()
        };
        Reply::Now(DeleteTopicsResponse {
            throttle_time_ms: mutations.throttle_ms(),
            responses,
        })
    }
}

async fn delete(
    call: Call<'_>,
    mut asked: Vec<DeleteTopicState>,
    mutations: &Mutations,
    timeout_ms: i32,
) -> Vec<DeletableTopicResult> {
    let access = call.access();
    let image = call.broker.image();
    let keys: Vec<Result<TopicKey, TopicError>> = asked
        .iter_mut()
        .map(|topic| allowed(&access, &image, topic, key(topic)?))
        .collect();
    let good: Vec<TopicKey> = keys
        .iter()
        .filter_map(|key| key.as_ref().ok().cloned())
        .collect();
    let mut verdicts = match call
        .broker
        .controller
        .delete_topics(good, mutations.clone(), timeout(timeout_ms))
        .await
    {
        Ok(verdicts) => verdicts.into_iter(),
        Err(failure) => {
            let (code, told) = (failure.code(), failure.to_string());
            let all = asked.into_iter();
            return all
                .map(|topic| answer(topic.name, topic.topic_id, code, Some(told.clone())))
                .collect();
        }
    };
    let settled = asked.into_iter().zip(keys).map(|(topic, key)| {
        let verdict = key.and_then(|_| {
            verdicts
                .next()
                .expect("the controller gives one verdict per key")
        });
        match verdict {
            Ok((name, id)) => answer(Some(name), id, ErrorCode::NONE, None),
            Err(error) if error.code == ErrorCode::THROTTLING_QUOTA_EXCEEDED => {
                let (name, id) = both_names(&image, topic);
                answer(name, id, error.code, error.told())
            }
            Err(error) => answer(topic.name, topic.topic_id, error.code, error.told()),
        }
    });
    let mut told = BTreeSet::new();
    settled
        .filter(|answer| told.insert((answer.name.clone(), answer.topic_id.0)))
        .collect()
}

/// A topic that was found, and may be deleted, is shown by name and id even where it stays.
fn both_names(image: &MetadataImage, topic: DeleteTopicState) -> (Option<String>, Uuid) {
    let by_name = topic.name.as_deref().and_then(|name| image.topic(name));
    match by_name.or_else(|| image.topic_by_id(topic.topic_id)) {
        Some(found) => (Some(found.name.to_string()), found.id),
        None => (topic.name, topic.topic_id),
    }
}

/// Who names a topic by id learns its name from a refusal only if the topic may be described.
fn allowed(
    access: &Access,
    image: &MetadataImage,
    topic: &mut DeleteTopicState,
    key: TopicKey,
) -> Result<TopicKey, TopicError> {
    let found = match &key {
        TopicKey::Name(name) => Some(name.clone()),
        TopicKey::Id(id) => image.topic_by_id(*id).map(|found| found.name.to_string()),
    };
    // An id that is not known says nothing about any topic.
    let Some(name) = found else {
        return Ok(key);
    };
    if access.may_on_cluster_quietly(Operation::Delete)
        || access.may(Operation::Delete, ResourceType::Topic, &name)
    {
        return Ok(key);
    }
    if access.may_quietly(Operation::Describe, ResourceType::Topic, &name) {
        if image.topic(&name).is_none() {
            return Ok(key);
        }
        topic.name = Some(name);
    }
    Err(TopicError {
        code: ErrorCode::TOPIC_AUTHORIZATION_FAILED,
        message: "Topic authorization failed.".to_owned(),
    })
}

fn key(topic: &DeleteTopicState) -> Result<TopicKey, TopicError> {
    let invalid = |message: &str| TopicError {
        code: ErrorCode::INVALID_REQUEST,
        message: message.to_owned(),
    };
    match (&topic.name, topic.topic_id.is_zero()) {
        (Some(_), false) => Err(invalid("You may not specify both topic name and topic id.")),
        (None, true) => Err(invalid("Neither topic name nor id were specified.")),
        (Some(name), true) => Ok(TopicKey::Name(name.clone())),
        (None, false) => Ok(TopicKey::Id(topic.topic_id)),
    }
}

fn answer(
    name: Option<String>,
    topic_id: Uuid,
    error_code: ErrorCode,
    error_message: Option<String>,
) -> DeletableTopicResult {
    DeletableTopicResult {
        name,
        topic_id,
        error_code,
        error_message,
    }
}
