//! Which ISR is sufficient: one answer for leaders (rules 1, 2 and 4), for controllers (rule 14) and for
//! whoever counts partitions (rule 21).
//!
//! | | needed |
//! |---|---|
//! | members | min(`min.insync.replicas`, replicas), as in Kafka |
//! | racks in which members are registered | `min.insync.racks`; 1 asks for nothing, a member without a rack is in none |
//!
//! The racks needed are not bounded by those of the replicas: where an assignment has fewer, as it may
//! after a broker came back in another rack, nothing suffices until an operator says what is meant.
//! Whoever asks for more racks than an assignment has is refused: [`too_few_racks`].

use super::{ConfigResource, MetadataImage, PartitionImage};
use std::collections::BTreeSet;

/// Ours, of topics alone.
pub const MIN_INSYNC_RACKS: &str = "min.insync.racks";
pub(super) const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// What a topic asks of the ISRs of its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sufficiency {
    pub min_insync_replicas: usize,
    pub min_insync_racks: usize,
}

impl Sufficiency {
    /// As Kafka has it: any rack will do.
    pub fn of_replicas(min_insync_replicas: usize) -> Self {
        Self {
            min_insync_replicas,
            min_insync_racks: 1,
        }
    }

    /// As of that image. `min_insync_replicas` counts where neither the topic nor the cluster has a value.
    pub fn of_topic(image: &MetadataImage, topic: &str, min_insync_replicas: usize) -> Self {
        let topic = ConfigResource::topic(topic);
        let of = |resource: &ConfigResource, key: &str| -> Option<usize> {
            image.config(resource)?.get(key)?.trim().parse().ok()
        };
        let replicas = of(&topic, MIN_INSYNC_REPLICAS)
            .or_else(|| of(&ConfigResource::broker(""), MIN_INSYNC_REPLICAS));
        Self {
            min_insync_replicas: replicas.unwrap_or(min_insync_replicas),
            min_insync_racks: of(&topic, MIN_INSYNC_RACKS).unwrap_or(1),
        }
    }

    /// Whether so many members are enough of so many replicas.
    pub fn has_members(self, members: usize, replicas: usize) -> bool {
        members >= self.min_insync_replicas.min(replicas)
    }

    /// Whether members in so many racks are enough.
    pub fn has_racks(self, racks: usize) -> bool {
        racks >= self.min_insync_racks || !self.asks_for_racks()
    }

    /// Whether those brokers are in enough racks.
    pub fn has_racks_of(self, image: &MetadataImage, brokers: &[i32]) -> bool {
        !self.asks_for_racks() || self.has_racks(racks_of(image, brokers).len())
    }

    pub fn asks_for_racks(self) -> bool {
        self.min_insync_racks > 1
    }
}

/// The racks in which those brokers are registered.
pub fn racks_of<'a>(image: &'a MetadataImage, brokers: &[i32]) -> BTreeSet<&'a str> {
    let registered = brokers.iter().filter_map(|id| image.broker(*id));
    registered.filter_map(|it| it.rack()).collect()
}

/// Why those replicas cannot meet `min.insync.racks`, with the remedy.
pub fn too_few_racks(
    image: &MetadataImage,
    (topic, index): (&str, i32),
    replicas: &[i32],
    min_insync_racks: usize,
) -> Option<String> {
    let asked = Sufficiency {
        min_insync_replicas: 1,
        min_insync_racks,
    };
    if asked.has_racks_of(image, replicas) {
        return None;
    }
    let racks = racks_of(image, replicas);
    let replicas: Vec<String> = replicas.iter().map(i32::to_string).collect();
    let (replicas, count) = (replicas.join(", "), racks.len());
    let named: Vec<&str> = racks.into_iter().collect();
    let named = match named.join(", ") {
        none if none.is_empty() => none,
        some => format!(" ({some})"),
    };
    Some(format!(
        "{MIN_INSYNC_RACKS}={min_insync_racks} cannot be met: partition {index} of topic '{topic}' has its \
         replicas on brokers {replicas}, which are in {count} rack(s){named}. Ask for fewer racks, or place \
         the replicas on brokers whose broker.rack differs; a broker without one counts for none."
    ))
}

/// The replicas that a partition is to have once its move is over.
pub(super) fn wanted_replicas(partition: &PartitionImage) -> Vec<i32> {
    let goes = |id: &i32| partition.removing_replicas.contains(id);
    let stay = partition.replicas.iter().filter(|id| !goes(id));
    stay.copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{MetadataDelta, MetadataRecord};
    use isthmus_wire::messages::{ConfigRecord, RegisterBrokerRecord};

    fn image(records: impl IntoIterator<Item = MetadataRecord>) -> MetadataImage {
        let mut image = MetadataImage::default();
        for record in records {
            image.apply(image.offset + 1, &record, &mut MetadataDelta::default());
        }
        image
    }

    fn broker((broker_id, rack): (i32, &str)) -> MetadataRecord {
        let record = RegisterBrokerRecord {
            broker_id,
            rack: (rack != "-").then(|| rack.to_owned()),
            ..RegisterBrokerRecord::default()
        };
        record.into()
    }

    fn set(resource: &ConfigResource, name: &str, value: &str) -> MetadataRecord {
        let record = ConfigRecord {
            resource_type: resource.kind,
            resource_name: resource.name.clone(),
            name: name.to_owned(),
            value: Some(value.to_owned()),
        };
        record.into()
    }

    #[test]
    fn members_and_racks_are_both_needed() {
        let asked = Sufficiency {
            min_insync_replicas: 3,
            min_insync_racks: 2,
        };
        assert!(asked.has_members(3, 4) && !asked.has_members(2, 4));
        assert!(
            asked.has_members(2, 2),
            "no more are needed than there are replicas"
        );
        assert!(asked.has_racks(2) && !asked.has_racks(1) && !asked.has_racks(0));
        assert!(
            Sufficiency::of_replicas(3).has_racks(0),
            "1 is Kafka's behaviour: brokers may have no racks at all"
        );
    }

    #[test]
    fn who_has_no_rack_or_is_not_registered_is_in_none() {
        let image = image([(1, "a"), (2, "b"), (3, "b"), (4, "-"), (5, ""), (6, "")].map(broker));
        let count = |ids: &[i32]| racks_of(&image, ids).len();
        assert_eq!((count(&[1, 2, 3]), count(&[2, 3])), (2, 1));
        assert_eq!((count(&[4]), count(&[1, 4, 9])), (0, 1));
        assert_eq!(count(&[5, 6]), 0, "an empty name is no rack");
    }

    #[test]
    fn a_topics_values_come_from_the_image_and_those_of_replicas_from_the_cluster_too() {
        let (topic, all) = (ConfigResource::topic("t"), ConfigResource::broker(""));
        let asked = |records: Vec<MetadataRecord>| {
            let asked = Sufficiency::of_topic(&image(records), "t", 4);
            (asked.min_insync_replicas, asked.min_insync_racks)
        };
        assert_eq!(asked(vec![]), (4, 1));
        let of_all = || set(&all, MIN_INSYNC_REPLICAS, "3");
        assert_eq!(asked(vec![of_all()]), (3, 1));
        let own = set(&topic, MIN_INSYNC_REPLICAS, " 2 ");
        let racks = set(&topic, MIN_INSYNC_RACKS, "2");
        assert_eq!(asked(vec![of_all(), own, racks]), (2, 2));
        assert_eq!(
            asked(vec![set(&all, MIN_INSYNC_RACKS, "2")]),
            (4, 1),
            "the key is of topics alone"
        );
    }

    #[test]
    fn a_refusal_says_what_is_missing_and_what_to_do() {
        let image = image([(1, "a"), (2, "a"), (3, "b"), (4, "-")].map(broker));
        let refusal = |replicas: &[i32], k| too_few_racks(&image, ("t", 0), replicas, k);
        assert_eq!(refusal(&[1, 2, 3], 2), None);
        assert_eq!(refusal(&[4], 1), None);
        assert_eq!(
            refusal(&[1, 2, 3], 3).unwrap(),
            "min.insync.racks=3 cannot be met: partition 0 of topic 't' has its replicas on brokers 1, 2, \
             3, which are in 2 rack(s) (a, b). Ask for fewer racks, or place the replicas on brokers whose \
             broker.rack differs; a broker without one counts for none."
        );
        let none = refusal(&[4], 2).unwrap();
        assert!(none.contains("in 0 rack(s). Ask"), "{none}");
    }
}
