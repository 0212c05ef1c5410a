//! Metadata (3), versions 0–13.
//!
//! With `allow_auto_topic_creation` and `auto.create.topics.enable` a topic that is asked for by
//! name and does not exist is created, and shown in this very answer.
//!
//! Versions: 1 null topics asks for all (in 0 an empty list does), and shows racks and the
//! controller; 2 the cluster id; 4 auto-creation by wish; 5 offline replicas; 7 leader epochs;
//! 8–10 the cluster's authorised operations; 10 topic ids, 12 asking by them; 13 a top-level error.
//!
//! A topic that may not be described is refused where it is named, whether it exists or not, and
//! left out where all are asked for. Creating one by asking for it needs the right to create it.

use super::create_topics::may_create_quietly;
use super::{Call, Reply, Serve};
use crate::authorization::Access;
use crate::endpoints;
use isthmus_broker_core::metadata::CreateTopic;
use isthmus_broker_core::metadata::{MetadataImage, PartitionImage, TopicImage};
use isthmus_broker_core::quotas::Enforcement;
use isthmus_broker_core::security::{Operation, ResourceType};
use isthmus_broker_core::topic_name;
use isthmus_wire::messages::metadata_request::MetadataRequestTopic;
use isthmus_wire::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use isthmus_wire::messages::{MetadataRequest, MetadataResponse};
use isthmus_wire::{ErrorCode, Uuid, VersionRange};
use std::collections::BTreeMap;

pub(super) struct Metadata;

impl Serve for Metadata {
    type Request = MetadataRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 13 };

    async fn serve(call: Call<'_>, request: MetadataRequest) -> Reply<MetadataResponse> {
        let version = call.version();
        if (10..12).contains(&version) && asks_by_id(&request) {
            return Reply::Now(refused(&request));
        }
        let wanted = match request.topics {
            Some(topics) if !(version == 0 && topics.is_empty()) => Some(topics),
            _ => None,
        };
        let access = call.access();
        let allowed = (version < 4 || request.allow_auto_topic_creation)
            && call.broker.settings.auto_create_topics_enable;
        let refused = match &wanted {
            Some(topics) if allowed => create_missing(call, &access, topics).await,
            _ => BTreeMap::new(),
        };
        let image = call.broker.image();
        let shown = match &wanted {
            None => image
                .topics()
                .filter(|topic| visible(&access, &topic.name))
                .map(|topic| show(&image, topic))
                .collect(),
            Some(topics) => topics
                .iter()
                .map(|topic| find(&image, &access, version, topic, &refused))
                .collect(),
        };
        let mut response = MetadataResponse {
            brokers: brokers(call, &image),
            cluster_id: Some(call.broker.cluster_id.clone()),
            controller_id: call.broker.node_id,
            topics: shown,
            ..MetadataResponse::default()
        };
        if request.include_cluster_authorized_operations {
            response.cluster_authorized_operations = access.cluster_operations();
        }
        if request.include_topic_authorized_operations {
            let known = response
                .topics
                .iter_mut()
                .filter(|topic| !topic.error_code.is_error());
            known.for_each(|topic| {
                let name = topic.name.as_deref().unwrap_or_default();
                topic.topic_authorized_operations = access.operations(ResourceType::Topic, name);
            });
        }
        Reply::Now(response)
    }
}

fn asks_by_id(request: &MetadataRequest) -> bool {
    let mut topics = request.topics.iter().flatten();
    topics.any(|topic| !topic.topic_id.is_zero())
}

/// Versions 10 and 11 have the field and do not serve it: Kafka refuses the request as a whole.
fn refused(request: &MetadataRequest) -> MetadataResponse {
    let topics = request.topics.iter().flatten();
    let topics = topics.map(|topic| MetadataResponseTopic {
        error_code: ErrorCode::INVALID_REQUEST,
        name: Some(topic.name.clone().unwrap_or_default()),
        topic_id: topic.topic_id,
        ..MetadataResponseTopic::default()
    });
    MetadataResponse {
        topics: topics.collect(),
        ..MetadataResponse::default()
    }
}

/// Creates what does not exist; returns the refusals by name.
async fn create_missing(
    call: Call<'_>,
    access: &Access,
    topics: &[MetadataRequestTopic],
) -> BTreeMap<String, ErrorCode> {
    let image = call.broker.image();
    let (missing, denied): (Vec<&str>, Vec<&str>) = topics
        .iter()
        .filter(|topic| topic.topic_id.is_zero())
        .filter_map(|topic| topic.name.as_deref())
        .filter(|name| image.topic(name).is_none() && visible(access, name))
        .partition(|name| may_create_quietly(access, name));
    let denied = denied.into_iter().map(|name| {
        let code = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
        (name.to_owned(), code)
    });
    let mut refused: BTreeMap<String, ErrorCode> = denied.collect();
    let missing: Vec<CreateTopic> = missing
        .into_iter()
        .filter(|name| topic_name::validate(name).is_ok())
        .map(CreateTopic::with_defaults)
        .collect();
    if missing.is_empty() {
        return refused;
    }
    let names: Vec<String> = missing.iter().map(|wish| wish.name.clone()).collect();
    let mutations = Some(call.metered.mutations(Enforcement::Strict));
    match call.broker.create_topics(missing, mutations).await {
        Ok(verdicts) => refused.extend(
            names
                .into_iter()
                .zip(verdicts)
                .filter_map(|(name, verdict)| Some((name, verdict.err()?.code))),
        ),
        Err(failure) => {
            refused.extend(names.into_iter().map(|name| (name, failure.code())));
        }
    }
    refused
}

fn brokers(call: Call<'_>, image: &MetadataImage) -> Vec<MetadataResponseBroker> {
    endpoints::listed(image, &call.caller.listener.name, call.broker.node_id)
        .map(|reachable| MetadataResponseBroker {
            node_id: reachable.id,
            host: reachable.host.to_owned(),
            port: i32::from(reachable.port),
            rack: reachable.rack.map(str::to_owned),
        })
        .collect()
}

fn visible(access: &Access, name: &str) -> bool {
    access.may_quietly(Operation::Describe, ResourceType::Topic, name)
}

fn find(
    image: &MetadataImage,
    access: &Access,
    version: i16,
    wanted: &MetadataRequestTopic,
    refused: &BTreeMap<String, ErrorCode>,
) -> MetadataResponseTopic {
    // An id decides whatever the name: the Java client sends an empty one beside it.
    let Some(name) = wanted.name.as_deref().filter(|_| wanted.topic_id.is_zero()) else {
        return match image.topic_by_id(wanted.topic_id) {
            Some(topic) => match access.topic(Operation::Describe, &topic.name) {
                Ok(()) => show(image, topic),
                Err(code) => unknown(version, None, wanted.topic_id, code),
            },
            None => unknown(version, None, wanted.topic_id, ErrorCode::UNKNOWN_TOPIC_ID),
        };
    };
    if let Err(error_code) = access.topic(Operation::Describe, name) {
        return MetadataResponseTopic {
            error_code,
            name: Some(name.to_owned()),
            ..MetadataResponseTopic::default()
        };
    }
    if let Some(topic) = image.topic(name) {
        return show(image, topic);
    }
    let valid = topic_name::validate(name).is_ok();
    let code = {
        match refused.get(name) {
            None if !valid => ErrorCode::INVALID_TOPIC_EXCEPTION,
            None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            // Somebody else created and deleted it meanwhile: the client asks again.
            Some(&ErrorCode::TOPIC_ALREADY_EXISTS) => ErrorCode::LEADER_NOT_AVAILABLE,
            // Over its quota of changes (KIP-599): the topic is not there yet, as it tells in Kafka.
            Some(&ErrorCode::THROTTLING_QUOTA_EXCEEDED) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            Some(&code) => code,
        }
    };
    unknown(version, Some(name), Uuid::ZERO, code)
}

fn unknown(version: i16, name: Option<&str>, id: Uuid, code: ErrorCode) -> MetadataResponseTopic {
    // Before version 12 a name cannot be null on the wire.
    let name = if version >= 12 {
        name
    } else {
        Some(name.unwrap_or_default())
    };
    MetadataResponseTopic {
        error_code: code,
        name: name.map(str::to_owned),
        topic_id: id,
        is_internal: name.is_some_and(topic_name::is_internal),
        partitions: Vec::new(),
        ..MetadataResponseTopic::default()
    }
}

fn show(image: &MetadataImage, topic: &TopicImage) -> MetadataResponseTopic {
    let partitions = (0..).zip(&topic.partitions);
    MetadataResponseTopic {
        error_code: ErrorCode::NONE,
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: topic_name::is_internal(&topic.name),
        partitions: partitions
            .map(|(index, partition)| show_partition(image, index, partition))
            .collect(),
        ..MetadataResponseTopic::default()
    }
}

fn show_partition(
    image: &MetadataImage,
    index: i32,
    partition: &PartitionImage,
) -> MetadataResponsePartition {
    let leaderless = partition.leader < 0;
    let error_code = if leaderless {
        ErrorCode::LEADER_NOT_AVAILABLE
    } else {
        ErrorCode::NONE
    };
    MetadataResponsePartition {
        error_code,
        partition_index: index,
        leader_id: partition.leader,
        leader_epoch: partition.leader_epoch,
        replica_nodes: partition.replicas.clone(),
        isr_nodes: partition.isr.clone(),
        offline_replicas: endpoints::offline(image, &partition.replicas),
    }
}
