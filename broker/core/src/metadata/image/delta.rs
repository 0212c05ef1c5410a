//! What differs between two images, for whoever gets a whole image in place of the changes that led
//! to it: a snapshot that came from another node.

use super::{ConfigResource, MetadataDelta, MetadataImage, TopicImage};
use std::collections::BTreeSet;
use std::sync::Arc;

impl MetadataDelta {
    /// What one who holds `before` must be told to hold `after`. A topic that was deleted and made
    /// again under its name is another topic: it goes and comes.
    pub fn between(before: &MetadataImage, after: &MetadataImage) -> Self {
        let is_changed = |topic: &&Arc<TopicImage>| before.topic_by_id(topic.id) != Some(*topic);
        let changed = after.topics().filter(is_changed);
        let gone = before
            .topics()
            .filter(|topic| after.topic_by_id(topic.id).is_none());
        Self {
            topics_changed: changed.map(|topic| topic.id).collect(),
            topics_removed: gone
                .map(|topic| (topic.id, Arc::clone(&topic.name)))
                .collect(),
            configs_changed: configs_between(before, after),
            brokers_changed: before.brokers != after.brokers,
            client_quotas_changed: before.client_quotas != after.client_quotas,
        }
    }
}

fn configs_between(before: &MetadataImage, after: &MetadataImage) -> BTreeSet<ConfigResource> {
    let named = before.configured().chain(after.configured());
    named
        .filter(|resource| before.config(resource) != after.config(resource))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::MetadataRecord;
    use isthmus_wire::Uuid;
    use isthmus_wire::messages::{
        ConfigRecord, PartitionRecord, RegisterBrokerRecord, RemoveTopicRecord, TopicRecord,
    };

    fn id(byte: u8) -> Uuid {
        Uuid([byte; 16])
    }

    fn topic(byte: u8, name: &str) -> MetadataRecord {
        let record = TopicRecord {
            name: name.to_owned(),
            topic_id: id(byte),
        };
        record.into()
    }

    fn removed(byte: u8) -> MetadataRecord {
        RemoveTopicRecord { topic_id: id(byte) }.into()
    }

    fn config(name: &str, value: &str) -> MetadataRecord {
        let record = ConfigRecord {
            resource_type: ConfigResource::TOPIC,
            resource_name: name.to_owned(),
            name: "retention.ms".to_owned(),
            value: Some(value.to_owned()),
        };
        record.into()
    }

    /// Applies records; gives the image and what the live path says of them.
    fn follow(image: &MetadataImage, records: &[MetadataRecord]) -> (MetadataImage, MetadataDelta) {
        let (mut image, mut delta) = (image.clone(), MetadataDelta::default());
        for record in records {
            image.apply(image.offset + 1, record, &mut delta);
        }
        (image, delta)
    }

    #[test]
    fn the_difference_is_what_the_changes_said() {
        let first = [
            topic(1, "a"),
            topic(2, "b"),
            config("a", "1"),
            config("b", "1"),
        ];
        let (before, _) = follow(&MetadataImage::default(), &first);
        let partition = PartitionRecord {
            topic_id: id(2),
            partition_id: 0,
            replicas: vec![1],
            leader_epoch: 0,
            partition_epoch: 0,
            isr: vec![1],
            leader: 1,
            ..PartitionRecord::default()
        };
        let broker = RegisterBrokerRecord {
            broker_id: 7,
            ..RegisterBrokerRecord::default()
        };
        let changes = [
            partition.into(),
            config("b", "2"),
            topic(3, "c"),
            broker.into(),
        ];
        let (after, said) = follow(&before, &changes);
        assert_eq!(MetadataDelta::between(&before, &after), said);
        let nothing = MetadataDelta::default();
        assert_eq!(MetadataDelta::between(&after, &after.clone()), nothing);
    }

    #[test]
    fn a_topic_that_was_made_again_goes_and_comes() {
        let (before, _) = follow(&MetadataImage::default(), &[topic(1, "a")]);
        let (after, _) = follow(&before, &[removed(1), topic(2, "a")]);
        let delta = MetadataDelta::between(&before, &after);
        assert_eq!(delta.topics_changed, BTreeSet::from([id(2)]));
        let gone: Vec<&str> = delta.topics_removed.values().map(|name| &**name).collect();
        assert_eq!(gone, ["a"]);
        assert!(delta.topics_removed.contains_key(&id(1)));
    }
}
