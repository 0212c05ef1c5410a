//! A changed `min.insync.replicas`: who was eligible to lead by the old one need not have everything
//! by the new one, so nobody is any more (rule 14, KIP-966).

use super::{ConfigResource, MetadataImage, MetadataRecord, TopicImage};
use isthmus_wire::messages::PartitionChangeRecord;

const KEY: &str = "min.insync.replicas";

/// What goes with those records of one resource, in the same change.
pub(super) fn clear_eligible(
    image: &MetadataImage,
    resource: &ConfigResource,
    records: &[MetadataRecord],
) -> Vec<MetadataRecord> {
    let changes = |record: &MetadataRecord| match record {
        MetadataRecord::Config(change) => change.name == KEY,
        _ => false,
    };
    if !records.iter().any(changes) {
        return Vec::new();
    }
    let is_default = *resource == ConfigResource::broker("");
    let is_meant =
        |topic: &TopicImage| is_default || *resource == ConfigResource::topic(&topic.name);
    let topics = image.topics().filter(|topic| is_meant(topic));
    topics.flat_map(|topic| cleared(topic)).collect()
}

fn cleared(topic: &TopicImage) -> impl Iterator<Item = MetadataRecord> {
    let partitions = (0..).zip(&topic.partitions);
    let eligible = partitions.filter(|(_, it)| !it.eligible_leader_replicas.is_empty());
    eligible.map(|(partition_id, _)| {
        let record = PartitionChangeRecord {
            topic_id: topic.id,
            partition_id,
            eligible_leader_replicas: Some(Vec::new()),
            ..PartitionChangeRecord::default()
        };
        record.into()
    })
}
