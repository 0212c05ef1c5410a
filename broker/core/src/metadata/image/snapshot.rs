//! The image as records again: what a snapshot holds.
//!
//! [`MetadataImage::records`] and [`MetadataImage::restore`] are each other's inverse. What is
//! restored goes through the same application as what is replayed, so that a snapshot can say
//! nothing that the log could not have said.

use super::{
    BrokerRegistration, ConfigResource, MetadataDelta, MetadataImage, PartitionImage, TopicImage,
};
use crate::metadata::{MetadataRecord, QuorumRecovery};
use isthmus_wire::Uuid;
use isthmus_wire::messages::register_broker_record::{BrokerEndpoint, BrokerFeature};
use isthmus_wire::messages::{
    ConfigRecord, FeatureLevelRecord, PartitionRecord, ProducerIdsRecord, RegisterBrokerRecord,
    TopicRecord,
};
use std::collections::BTreeMap;

impl MetadataImage {
    /// The records that make this image out of an empty one. Offset and controller epoch are not
    /// among them: they are places in the log, and [`Self::restore`] takes them beside.
    pub fn records(&self) -> Vec<MetadataRecord> {
        // No `..`: what joins the image must join its snapshots.
        let Self {
            offset: _,
            controller_epoch: _,
            brokers,
            topics_by_name,
            topic_names: _,
            configs,
            features,
            scram_users,
            acls,
            client_quotas,
            next_producer_id,
            recoveries,
        } = self;
        let mut records: Vec<MetadataRecord> = Vec::new();
        records.extend(recoveries.iter().map(QuorumRecovery::record));
        records.extend(features.iter().map(feature_level));
        records.extend(brokers.values().map(|broker| registration(broker)));
        records.extend(scram_users.records());
        records.extend(acls.records());
        records.extend(client_quotas.records());
        for topic in topics_by_name.values() {
            records.extend(topic_records(topic));
        }
        for (resource, values) in configs.iter() {
            records.extend(config_records(resource, values));
        }
        records.extend(next_producer_id.map(producer_ids));
        records
    }

    /// The image that those records make, as of `offset`.
    pub fn restore<'a>(
        offset: i64,
        controller_epoch: i64,
        records: impl IntoIterator<Item = &'a MetadataRecord>,
    ) -> (Self, MetadataDelta) {
        let (mut image, mut delta) = (Self::default(), MetadataDelta::default());
        for record in records {
            image.apply_record(record, &mut delta);
        }
        image.offset = offset;
        image.controller_epoch = controller_epoch;
        (image, delta)
    }
}

fn feature_level((name, level): (&String, &i16)) -> MetadataRecord {
    let record = FeatureLevelRecord {
        name: name.clone(),
        feature_level: *level,
    };
    record.into()
}

fn registration(broker: &BrokerRegistration) -> MetadataRecord {
    let BrokerRegistration {
        id,
        epoch,
        incarnation,
        rack,
        endpoints,
        fenced,
        in_controlled_shutdown,
        directories,
        features,
    } = broker;
    let end_points = endpoints.iter().map(|(name, endpoint)| BrokerEndpoint {
        name: name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        security_protocol: endpoint.security_protocol,
    });
    let features = features.iter().map(|(name, (min, max))| BrokerFeature {
        name: name.clone(),
        min_supported_version: *min,
        max_supported_version: *max,
    });
    let record = RegisterBrokerRecord {
        broker_id: *id,
        broker_epoch: *epoch,
        incarnation_id: *incarnation,
        end_points: end_points.collect(),
        features: features.collect(),
        rack: rack.clone(),
        fenced: *fenced,
        in_controlled_shutdown: *in_controlled_shutdown,
        log_dirs: directories.clone(),
        ..RegisterBrokerRecord::default()
    };
    record.into()
}

fn topic_records(topic: &TopicImage) -> impl Iterator<Item = MetadataRecord> {
    let head = TopicRecord {
        name: topic.name.to_string(),
        topic_id: topic.id,
    };
    let partitions = (0..)
        .zip(&topic.partitions)
        .map(|(index, partition)| partition_record(topic.id, index, partition));
    std::iter::once(head.into()).chain(partitions)
}

fn partition_record(topic: Uuid, index: i32, partition: &PartitionImage) -> MetadataRecord {
    let PartitionImage {
        replicas,
        isr,
        eligible_leader_replicas,
        last_known_elr,
        leader,
        leader_recovery_state,
        leader_epoch,
        partition_epoch,
        directories,
        observers,
        adding_replicas,
        removing_replicas,
    } = partition;
    let some = |ids: &Vec<i32>| Some(ids.clone()).filter(|ids| !ids.is_empty());
    let record = PartitionRecord {
        partition_id: index,
        topic_id: topic,
        replicas: replicas.clone(),
        isr: isr.clone(),
        eligible_leader_replicas: some(eligible_leader_replicas),
        last_known_elr: some(last_known_elr),
        leader: *leader,
        leader_recovery_state: *leader_recovery_state,
        leader_epoch: *leader_epoch,
        partition_epoch: *partition_epoch,
        directories: directories.clone(),
        observers: observers.clone(),
        adding_replicas: adding_replicas.clone(),
        removing_replicas: removing_replicas.clone(),
    };
    record.into()
}

fn config_records(
    resource: &ConfigResource,
    values: &BTreeMap<String, String>,
) -> impl Iterator<Item = MetadataRecord> {
    values.iter().map(|(name, value)| {
        let record = ConfigRecord {
            resource_type: resource.kind,
            resource_name: resource.name.clone(),
            name: name.clone(),
            value: Some(value.clone()),
        };
        record.into()
    })
}

/// Who took the last block is of no account any more.
fn producer_ids(next_producer_id: i64) -> MetadataRecord {
    let record = ProducerIdsRecord {
        broker_id: -1,
        broker_epoch: -1,
        next_producer_id,
    };
    record.into()
}
