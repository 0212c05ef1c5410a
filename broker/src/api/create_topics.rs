//! CreateTopics (19), versions 2–7.
//!
//! One verdict per topic: some may be created while others are refused. Partitions count against the
//! client's quota of changes, also where nothing is to be created in earnest (KIP-599).
//!
//! Versions: 6 knows that a topic is refused for the quota; before, the client just waits. 4 takes -1 for the broker's default partitions and factor (KIP-464); 5 shows the
//! topic's configuration; 7 its id.

use super::describe_configs::topic_entries;
use super::{Call, Reply, Serve};
use crate::authorization::Access;
use isthmus_broker_core::metadata::{CreateTopic, CreatedTopic, TopicError};
use isthmus_broker_core::security::{Operation, ResourceType};
use isthmus_broker_core::topic_name::CLUSTER_METADATA_TOPIC;
use isthmus_wire::messages::create_topics_request::CreatableTopic;
use isthmus_wire::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use isthmus_wire::messages::{CreateTopicsRequest, CreateTopicsResponse};
use isthmus_wire::{ErrorCode, VersionRange};
use std::time::Duration;

/// The first version whose clients know THROTTLING_QUOTA_EXCEEDED.
const STRICT_FROM: i16 = 6;

pub(super) struct CreateTopics;

impl Serve for CreateTopics {
    type Request = CreateTopicsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 2, max: 7 };

    async fn serve(call: Call<'_>, request: CreateTopicsRequest) -> Reply<CreateTopicsResponse> {
        let access = call.access();
        let (allowed, denied): (Vec<CreatableTopic>, Vec<CreatableTopic>) = request
            .topics
            .into_iter()
            .partition(|topic| is_nobodys(&topic.name) || may_create(&access, &topic.name));
        let wishes: Vec<CreateTopic> = allowed.into_iter().map(wish).collect();
        let names: Vec<String> = wishes.iter().map(|wish| wish.name.clone()).collect();
        let mutations = call.mutations(STRICT_FROM);
        let controller = &call.broker.controller;
        let verdicts = if request.validate_only {
            Ok(controller.check_topics(&wishes, &mutations))
        } else {
            let (mutations, timeout) = (Some(mutations.clone()), timeout(request.timeout_ms));
            controller.create_topics(wishes, mutations, timeout).await
        };
        let mut topics: Vec<CreatableTopicResult> = match verdicts {
            Ok(verdicts) => names
                .into_iter()
                .zip(verdicts)
                .map(|(name, verdict)| match verdict {
                    Ok(created) => created_answer(call, &access, name, &created),
                    Err(error) => refused(name, error),
                })
                .collect::<Vec<_>>(),
            Err(failure) => {
                let error = TopicError {
                    code: failure.code(),
                    message: failure.to_string(),
                };
                names
                    .into_iter()
                    .map(|name| refused(name, error.clone()))
                    .collect()
            }
        };
        topics.extend(denied.into_iter().map(|topic| CreatableTopicResult {
            name: topic.name,
            error_code: ErrorCode::TOPIC_AUTHORIZATION_FAILED,
            error_message: Some("Authorization failed.".to_owned()),
            ..CreatableTopicResult::default()
        }));
        Reply::Now(CreateTopicsResponse {
            throttle_time_ms: mutations.throttle_ms(),
            topics: super::once::<CreatableTopicResult>(topics, |topic| &topic.name),
        })
    }
}

/// Refused as such before anyone asks for rights, as in Kafka.
fn is_nobodys(name: &str) -> bool {
    name == CLUSTER_METADATA_TOPIC
}

/// Creating on the cluster allows every name.
fn may_create(access: &Access, name: &str) -> bool {
    access.may_on_cluster_quietly(Operation::Create)
        || access.may(Operation::Create, ResourceType::Topic, name)
}

/// As [`may_create`], for a client that did not ask in so many words.
pub(super) fn may_create_quietly(access: &Access, name: &str) -> bool {
    access.may_on_cluster_quietly(Operation::Create)
        || access.may_quietly(Operation::Create, ResourceType::Topic, name)
}

/// A client's time-out; none, zero or less is no time to do anything in, as in Kafka.
pub(super) fn timeout(timeout_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
}

fn wish(topic: CreatableTopic) -> CreateTopic {
    CreateTopic {
        name: topic.name,
        num_partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic
            .assignments
            .into_iter()
            .map(|assignment| (assignment.partition_index, assignment.broker_ids))
            .collect(),
        configs: topic
            .configs
            .into_iter()
            .map(|config| (config.name, config.value))
            .collect(),
    }
}

fn created_answer(
    call: Call<'_>,
    access: &Access,
    name: String,
    created: &CreatedTopic,
) -> CreatableTopicResult {
    if let Err(topic_config_error_code) = access.topic(Operation::DescribeConfigs, &name) {
        return CreatableTopicResult {
            name,
            topic_id: created.id,
            topic_config_error_code,
            num_partitions: -1,
            replication_factor: -1,
            configs: Some(Vec::new()),
            error_message: None,
            ..CreatableTopicResult::default()
        };
    }
    let configs =
        topic_entries(call.broker, Some(&created.configs)).map(|entry| CreatableTopicConfigs {
            name: entry.key.name.to_owned(),
            config_source: entry.source() as i8,
            value: Some(entry.value),
            read_only: false,
            is_sensitive: false,
        });
    CreatableTopicResult {
        name,
        topic_id: created.id,
        error_code: ErrorCode::NONE,
        error_message: None,
        num_partitions: created.num_partitions,
        replication_factor: created.replication_factor,
        configs: Some(configs.collect()),
        ..CreatableTopicResult::default()
    }
}

fn refused(name: String, error: TopicError) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code: error.code,
        error_message: error.told(),
        ..CreatableTopicResult::default()
    }
}
