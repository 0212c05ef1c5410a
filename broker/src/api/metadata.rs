//! Metadata (3), versions 0–13.
//!
//! With `allow_auto_topic_creation` and `auto.create.topics.enable` a topic that is asked for by
//! name and does not exist is created, and shown in this very answer.
//!
//! Versions: 1 null topics asks for all (in 0 an empty list does), and shows racks and the
//! controller; 2 the cluster id; 4 auto-creation by wish; 5 offline replicas; 7 leader epochs;
//! 8–10 the cluster's authorised operations; 10 topic ids, 12 asking by them; 13 a top-level error.
//! Without an authorizer the operations asked for are all those that the resource knows.

use super::{Call, Reply, Serve};
use crate::endpoints;
use isthmus_broker_core::metadata::CreateTopic;
use isthmus_broker_core::metadata::{MetadataImage, PartitionImage, TopicImage};
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
        let wanted = match request.topics {
            Some(topics) if !(version == 0 && topics.is_empty()) => Some(topics),
            _ => None,
        };
        let allowed = (version < 4 || request.allow_auto_topic_creation)
            && call.broker.settings.auto_create_topics_enable;
        let refused = match &wanted {
            Some(topics) if allowed => create_missing(call, topics).await,
            _ => BTreeMap::new(),
        };
        let image = call.broker.image();
        let shown = match &wanted {
            None => image.topics().map(|topic| show(&image, topic)).collect(),
            Some(topics) => topics
                .iter()
                .map(|topic| find(&image, version, topic, &refused))
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
            response.cluster_authorized_operations = crate::operations::ON_CLUSTER;
        }
        if request.include_topic_authorized_operations {
            let known = response
                .topics
                .iter_mut()
                .filter(|topic| !topic.error_code.is_error());
            known.for_each(|topic| topic.topic_authorized_operations = crate::operations::ON_TOPIC);
        }
        Reply::Now(response)
    }
}

/// Creates what does not exist; returns the refusals by name.
async fn create_missing(
    call: Call<'_>,
    topics: &[MetadataRequestTopic],
) -> BTreeMap<String, ErrorCode> {
    let image = call.broker.image();
    let missing: Vec<CreateTopic> = topics
        .iter()
        .filter(|topic| topic.topic_id.is_zero())
        .filter_map(|topic| topic.name.as_deref())
        .filter(|name| image.topic(name).is_none() && topic_name::validate(name).is_ok())
        .map(CreateTopic::with_defaults)
        .collect();
    if missing.is_empty() {
        return BTreeMap::new();
    }
    let names: Vec<String> = missing.iter().map(|wish| wish.name.clone()).collect();
    match call
        .broker
        .controller
        .create_topics(missing, call.broker.settings.request_timeout)
        .await
    {
        Ok(verdicts) => {
            let refused = names.into_iter().zip(verdicts);
            refused
                .filter_map(|(name, verdict)| Some((name, verdict.err()?.code)))
                .collect()
        }
        Err(failure) => names
            .into_iter()
            .map(|name| (name, failure.code()))
            .collect(),
    }
}

fn brokers(call: Call<'_>, image: &MetadataImage) -> Vec<MetadataResponseBroker> {
    endpoints::reachable(image, &call.caller.listener.name)
        .map(|reachable| MetadataResponseBroker {
            node_id: reachable.id,
            host: reachable.host.to_owned(),
            port: i32::from(reachable.port),
            rack: reachable.rack.map(str::to_owned),
        })
        .collect()
}

fn find(
    image: &MetadataImage,
    version: i16,
    wanted: &MetadataRequestTopic,
    refused: &BTreeMap<String, ErrorCode>,
) -> MetadataResponseTopic {
    // An id decides whatever the name: the Java client sends an empty one beside it.
    let Some(name) = wanted.name.as_deref().filter(|_| wanted.topic_id.is_zero()) else {
        return match image.topic_by_id(wanted.topic_id) {
            Some(topic) => show(image, topic),
            None => unknown(version, None, wanted.topic_id, ErrorCode::UNKNOWN_TOPIC_ID),
        };
    };
    if let Some(topic) = image.topic(name) {
        return show(image, topic);
    }
    let code = if topic_name::validate(name).is_err() {
        ErrorCode::INVALID_TOPIC_EXCEPTION
    } else {
        match refused.get(name) {
            None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            // Somebody else created and deleted it meanwhile: the client asks again.
            Some(&ErrorCode::TOPIC_ALREADY_EXISTS) => ErrorCode::LEADER_NOT_AVAILABLE,
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
