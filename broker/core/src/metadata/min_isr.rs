//! A changed `min.insync.replicas` or `min.insync.racks`: which ISR suffices is looked at again in that
//! very change.
//!
//! | | Then |
//! |---|---|
//! | another `min.insync.replicas` | nobody is eligible to lead any more: who was by the old number need not have everything by the new one (rule 14, KIP-966) |
//! | another `min.insync.racks`, and the ISR suffices now | nobody is eligible: the high watermark moves on without them (rule 21) |
//! | another `min.insync.racks`, and it does not | who is eligible stays so: nothing was committed without them |
//! | either, at a partition whose ISR is to have other members or racks than before | its partition epoch rises |
//!
//! The last row is not Kafka's. A leader that has not heard of the new number could else still have a
//! smaller ISR accepted, hear that before the number, and acknowledge by the old one what those lack who
//! are eligible by the new one. So whoever has not heard is refused (INVALID_UPDATE_VERSION, rule 6) until
//! the metadata has come.

use super::sufficiency::{MIN_INSYNC_RACKS, MIN_INSYNC_REPLICAS, Sufficiency};
use super::{ConfigResource, MetadataDelta, MetadataImage, MetadataRecord, TopicImage};
use crate::rules::{Rule, Rules};
use isthmus_wire::messages::PartitionChangeRecord;

/// What goes with those records of one resource, in the same change. `min_insync_replicas` counts where
/// metadata has no value.
pub(super) fn recounted(
    image: &MetadataImage,
    resource: &ConfigResource,
    records: &[MetadataRecord],
    min_insync_replicas: usize,
    rules: Rules,
) -> Vec<MetadataRecord> {
    let changes = |key: &str| {
        let is_of_key = |record: &MetadataRecord| match record {
            MetadataRecord::Config(change) => change.name == key,
            _ => false,
        };
        records.iter().any(is_of_key)
    };
    let other_replicas = changes(MIN_INSYNC_REPLICAS);
    if !other_replicas && !changes(MIN_INSYNC_RACKS) {
        return Vec::new();
    }
    let mut after = image.clone();
    for record in records {
        after.apply(after.offset + 1, record, &mut MetadataDelta::default());
    }
    let is_default = *resource == ConfigResource::broker("");
    let is_meant =
        |topic: &TopicImage| is_default || *resource == ConfigResource::topic(&topic.name);
    let topics = image.topics().filter(|topic| is_meant(topic));
    let recount = |topic: &TopicImage| {
        let of =
            |image: &MetadataImage| Sufficiency::of_topic(image, &topic.name, min_insync_replicas);
        let change = Change {
            other_replicas,
            asked: of(&after),
            is_other: of(image) != of(&after),
            rules,
        };
        change.records(&after, topic)
    };
    topics.flat_map(|topic| recount(topic)).collect()
}

struct Change {
    other_replicas: bool,
    asked: Sufficiency,
    /// It asks for something else than before.
    is_other: bool,
    rules: Rules,
}

impl Change {
    fn records(&self, after: &MetadataImage, topic: &TopicImage) -> Vec<MetadataRecord> {
        let partitions = (0..).zip(&topic.partitions);
        let changed = partitions.filter_map(|(partition_id, it)| {
            let members = self.asked.has_members(it.isr.len(), it.replicas.len());
            let suffices = members && self.asked.has_racks_of(after, &it.isr);
            let recounts = suffices && self.rules.obeys(Rule::RacksRecounted);
            let clears =
                !it.eligible_leader_replicas.is_empty() && (self.other_replicas || recounts);
            let raises = self.is_other && self.rules.obeys(Rule::RacksHeardOf);
            (clears || raises).then(|| PartitionChangeRecord {
                topic_id: topic.id,
                partition_id,
                eligible_leader_replicas: clears.then(Vec::new),
                ..PartitionChangeRecord::default()
            })
        });
        changed.map(MetadataRecord::from).collect()
    }
}
