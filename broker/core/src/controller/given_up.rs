//! What becomes of brokers that are given up for good together with most voters (`isthmus quorum recover`).
//!
//! Nobody could fence them while there was no quorum, so that metadata has them in sync still. Whoever
//! registers first with the quorum that was recovered would be taken out of ISRs that only the dead are in
//! then, and a partition of which that broker has everything would be nobody's. So they go first.

use super::{Controller, ControllerConfig, ControllerEvent, ControllerReply};
use crate::metadata::{MetadataDelta, MetadataImage, MetadataRecord};
use crate::rules::Rules;
use isthmus_wire::Uuid;
use std::collections::BTreeSet;
use std::time::Duration;

/// What giving up brokers comes to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GivenUp {
    /// Those of them that are registered with the directories that are lost.
    pub brokers: Vec<i32>,
    /// Topic and number of each partition that nobody is left of who was in sync.
    pub lost: Vec<(String, i32)>,
    pub records: Vec<MetadataRecord>,
}

/// Takes brokers out of everything that were registered with one of these directories: they stopped
/// uncleanly, and are registered no more, as if an operator had said so of each.
pub fn give_up_brokers(
    config: ControllerConfig,
    image: &MetadataImage,
    directories: &[Uuid],
) -> GivenUp {
    let mut controller = Controller::new(config, Rules::ALL);
    let mut image = image.clone();
    let before = known(&image);
    let gone = image.brokers().filter(|broker| {
        let mut held = broker.directories.iter();
        held.any(|it| directories.contains(it))
    });
    let brokers: Vec<i32> = gone.map(|it| it.id).collect();
    let mut given_up = GivenUp {
        brokers,
        ..GivenUp::default()
    };
    for &broker_id in &given_up.brokers {
        let event = ControllerEvent::Unregister { broker_id };
        let (reply, records) = controller.on_event(Duration::ZERO, &image, &event);
        debug_assert_eq!(reply, ControllerReply::Unregistered);
        for record in &records {
            let offset = image.offset + 1;
            image.apply(offset, record, &mut MetadataDelta::default());
        }
        given_up.records.extend(records);
    }
    given_up.lost = before.difference(&known(&image)).cloned().collect();
    given_up
}

/// Partitions of which somebody is known who has all that was acknowledged.
fn known(image: &MetadataImage) -> BTreeSet<(String, i32)> {
    let all = image.topics().flat_map(|topic| {
        let numbered = (0..).zip(&topic.partitions);
        numbered.map(|(number, partition)| (topic.name.to_string(), number, partition))
    });
    let known = all.filter(|(_, _, partition)| {
        !partition.isr.is_empty() || !partition.eligible_leader_replicas.is_empty()
    });
    known.map(|(topic, number, _)| (topic, number)).collect()
}
