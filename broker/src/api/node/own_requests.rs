//! What a broker asks the active controller for by itself: topics that it needs, or that a client
//! named. Made like a client's request, and sent in an envelope without a principal.

use super::envelope::{Forwarded, enveloped, opened_data};
use crate::broker::Broker;
use crate::controller::ControllerFailure;
use bytes::{Bytes, BytesMut};
use isthmus_broker_core::metadata::{CreateTopic, TopicError};
use isthmus_wire::codec::{Decoder, EncodeError, Message, Part};
use isthmus_wire::header::{self, FRAME_SIZE_LEN};
use isthmus_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use isthmus_wire::messages::{CreateTopicsRequest, CreateTopicsResponse};
use isthmus_wire::{ApiKey, ErrorCode};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Version of the inner request: the first that knows all refusals.
const CREATE_TOPICS_VERSION: i16 = 7;

/// Has topics created, wherever the active controller is. Their partitions and configurations are
/// those given; assignments a broker never wishes for.
pub(crate) async fn create_topics(
    broker: &Broker,
    topics: Vec<CreateTopic>,
    limit: Duration,
) -> Result<Vec<Result<(), TopicError>>, ControllerFailure> {
    let failed = |error: &dyn std::fmt::Display| {
        tracing::debug!(event = "topics_not_created", %error);
        ControllerFailure::NotController
    };
    let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
    let request = CreateTopicsRequest {
        topics: topics.into_iter().map(wished).collect(),
        timeout_ms: i32::try_from(limit.as_millis()).unwrap_or(i32::MAX),
        validate_only: false,
    };
    let data = encoded(&request).map_err(|error| failed(&error))?;
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let envelope = enveloped(Forwarded::Node, host, data).map_err(|error| failed(&error))?;
    let asked = broker.ask_controller(&envelope, super::super::ENVELOPE_VERSION, limit);
    let response = asked.await?;
    let data = opened_data(response).map_err(|_| ControllerFailure::NotController)?;
    let answer = decoded(data).map_err(|error| failed(&error))?;
    Ok(verdicts(&names, &answer))
}

fn wished(topic: CreateTopic) -> CreatableTopic {
    let configs = topic.configs.into_iter();
    let configs = configs.map(|(name, value)| CreatableTopicConfig { name, value });
    CreatableTopic {
        name: topic.name,
        num_partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        configs: configs.collect(),
        ..CreatableTopic::default()
    }
}

/// Header and body, without the size in front.
fn encoded(request: &CreateTopicsRequest) -> Result<Bytes, EncodeError> {
    let mut data = BytesMut::new();
    for part in header::encode_request(0, None, CREATE_TOPICS_VERSION, request)? {
        match part {
            Part::Bytes(bytes) => data.extend_from_slice(&bytes),
            Part::File(region) => unreachable!("a request that lies in memory, not in {region:?}"),
        }
    }
    let mut data = data.freeze();
    Ok(data.split_off(FRAME_SIZE_LEN))
}

fn decoded(data: Bytes) -> Result<CreateTopicsResponse, isthmus_wire::codec::DecodeError> {
    let mut body = Decoder::new(data);
    header::decode_response_header(&mut body, ApiKey::CreateTopics, CREATE_TOPICS_VERSION)?;
    CreateTopicsResponse::decode(&mut body, CREATE_TOPICS_VERSION)
}

/// In the order of the names; a topic that the answer does not name was not made.
fn verdicts(names: &[String], answer: &CreateTopicsResponse) -> Vec<Result<(), TopicError>> {
    let verdict = |name: &String| {
        let found = answer.topics.iter().find(|topic| topic.name == *name);
        match found.map(|topic| (topic.error_code, topic.error_message.clone())) {
            Some((ErrorCode::NONE, _)) => Ok(()),
            Some((code, message)) => Err(TopicError {
                code,
                message: message.unwrap_or_default(),
            }),
            None => Err(TopicError {
                code: ErrorCode::UNKNOWN_SERVER_ERROR,
                message: "the controller said nothing of it".to_owned(),
            }),
        }
    };
    names.iter().map(verdict).collect()
}
