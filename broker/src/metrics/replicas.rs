//! Metrics of replicas and of the cluster: counted from the metadata when they are asked for.
//!
//! What is said of partitions is said by their leaders, so that a sum over all brokers counts each
//! once. What is said of the cluster is said by the active controller; the others show 0.

use super::register;
use crate::partitions::Partition;
use crate::settings::Settings;
use isthmus_broker_core::metadata::{
    MetadataDelta, MetadataImage, PartitionImage, Sufficiency, racks_of,
};
use prometheus::{IntCounter, IntGauge, IntGaugeVec, Opts, Registry};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) struct ReplicaMetrics {
    led: IntGauge,
    under_replicated: IntGauge,
    at_min_isr: IntGauge,
    under_min_isr: IntGauge,
    insufficient_racks: IntGauge,
    single_rack_isr: IntGauge,
    reassigning: IntGauge,
    pub(super) lag_records: IntGaugeVec,
    isr_shrinks: IntCounter,
    isr_expands: IntCounter,
    active_controller: IntGauge,
    brokers: IntGauge,
    fenced_brokers: IntGauge,
}

#[derive(Default)]
struct Led {
    all: i64,
    under_replicated: i64,
    at_min_isr: i64,
    under_min_isr: i64,
    insufficient_racks: i64,
    single_rack_isr: i64,
    reassigning: i64,
}

impl ReplicaMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let gauge = |name: &str, help: &str| -> IntGauge {
            let gauge = IntGauge::new(name, help);
            register(registry, gauge.expect("names are literals"))
        };
        let counter = |name: &str, help: &str| -> IntCounter {
            let counter = IntCounter::new(name, help);
            register(registry, counter.expect("names are literals"))
        };
        Self {
            led: gauge(
                "isthmus_broker_led_partitions",
                "Partitions this broker leads.",
            ),
            under_replicated: gauge(
                "isthmus_broker_under_replicated_partitions",
                "Partitions led here that have a replica out of sync.",
            ),
            at_min_isr: gauge(
                "isthmus_broker_at_min_isr_partitions",
                "Partitions led here that take acks=all, but would not with one replica less in sync.",
            ),
            under_min_isr: gauge(
                "isthmus_broker_under_min_isr_partitions",
                "Partitions led here that refuse acks=all: fewer than min.insync.replicas are in sync.",
            ),
            insufficient_racks: gauge(
                "isthmus_broker_insufficient_racks_partitions",
                "Partitions led here that refuse acks=all: those in sync are in fewer racks than min.insync.racks.",
            ),
            single_rack_isr: gauge(
                "isthmus_broker_single_rack_isr_partitions",
                "Partitions led here whose replicas are in several racks, and those in sync in one.",
            ),
            reassigning: gauge(
                "isthmus_broker_reassigning_partitions",
                "Partitions led here that are on their way to other replicas.",
            ),
            lag_records: register(
                registry,
                IntGaugeVec::new(
                    Opts::new(
                        "isthmus_broker_replica_lag_records",
                        "Most records of one partition led here that the replica on that broker lacks.",
                    ),
                    &["replica"],
                )
                .expect("names are literals"),
            ),
            isr_shrinks: counter(
                "isthmus_broker_isr_shrinks_total",
                "Times that a partition led here lost replicas in sync.",
            ),
            isr_expands: counter(
                "isthmus_broker_isr_expands_total",
                "Times that a partition led here gained replicas in sync.",
            ),
            active_controller: gauge(
                "isthmus_broker_active_controller",
                "1 at the controller that makes changes.",
            ),
            brokers: gauge(
                "isthmus_broker_registered_brokers",
                "Brokers of the cluster, by the active controller.",
            ),
            fenced_brokers: gauge(
                "isthmus_broker_fenced_brokers",
                "Brokers that serve nobody, because they are silent or not yet caught up, by the active controller.",
            ),
        }
    }

    /// Of the partitions that this broker leads.
    pub(crate) fn count(&self, settings: &Settings, image: &MetadataImage) {
        let mut led = Led::default();
        for topic in image.topics() {
            let mut of_topic = (topic.partitions.iter())
                .filter(|it| it.leader == settings.node_id)
                .peekable();
            if of_topic.peek().is_none() {
                continue;
            }
            let asked = settings.sufficiency(image, &topic.name);
            of_topic.for_each(|partition| led.add(image, partition, asked));
        }
        self.led.set(led.all);
        self.under_replicated.set(led.under_replicated);
        self.at_min_isr.set(led.at_min_isr);
        self.under_min_isr.set(led.under_min_isr);
        self.insufficient_racks.set(led.insufficient_racks);
        self.single_rack_isr.set(led.single_rack_isr);
        self.reassigning.set(led.reassigning);
    }

    /// How far the followers of what is led here are behind: of each broker the worst. There are no
    /// more labels than brokers.
    pub(crate) fn lag(&self, partitions: &[Arc<Partition>]) {
        let mut worst: BTreeMap<i32, i64> = BTreeMap::new();
        for (replica, records) in partitions.iter().flat_map(|it| it.lags()) {
            let known = worst.entry(replica).or_default();
            *known = records.max(*known);
        }
        // Who follows nothing any more is not behind.
        self.lag_records.reset();
        for (replica, records) in worst {
            let gauge = self.lag_records.with_label_values(&[&replica.to_string()]);
            gauge.set(records);
        }
    }

    /// Of the cluster, as the active controller knows it.
    pub(crate) fn cluster(&self, is_active_controller: bool, image: &MetadataImage) {
        let shown = |count: usize| match is_active_controller {
            true => i64::try_from(count).unwrap_or(i64::MAX),
            false => 0,
        };
        let fenced = image.brokers().filter(|it| it.fenced).count();
        self.active_controller.set(i64::from(is_active_controller));
        self.brokers.set(shown(image.brokers().count()));
        self.fenced_brokers.set(shown(fenced));
    }

    /// Counts the ISRs that a change made smaller or larger, where this broker led before and after.
    pub(crate) fn changed(
        &self,
        node_id: i32,
        (before, after): (&MetadataImage, &MetadataImage),
        delta: &MetadataDelta,
    ) {
        for id in &delta.topics_changed {
            let (Some(before), Some(after)) = (before.topic_by_id(*id), after.topic_by_id(*id))
            else {
                continue;
            };
            for (before, after) in before.partitions.iter().zip(&after.partitions) {
                if before.leader != node_id || after.leader != node_id {
                    continue;
                }
                if after.isr.len() < before.isr.len() {
                    self.isr_shrinks.inc();
                }
                if after.isr.len() > before.isr.len() {
                    self.isr_expands.inc();
                }
            }
        }
    }
}

impl Led {
    fn add(&mut self, image: &MetadataImage, partition: &PartitionImage, asked: Sufficiency) {
        let (in_sync, replicas) = (partition.isr.len(), partition.replicas.len());
        let has_members = |members| asked.has_members(members, replicas);
        let racks = racks_of(image, &partition.isr).len();
        let is_enough = has_members(in_sync) && asked.has_racks(racks);
        let is_last_of_rack = |gone: &i32| {
            let rest: Vec<i32> = (partition.isr.iter().copied())
                .filter(|id| id != gone)
                .collect();
            !asked.has_racks_of(image, &rest)
        };
        let last_members = !has_members(in_sync.saturating_sub(1));
        let last_racks = asked.asks_for_racks() && partition.isr.iter().any(is_last_of_rack);
        let is_at_minimum = is_enough && (last_members || last_racks);
        self.all += 1;
        self.under_replicated += i64::from(in_sync < replicas);
        self.at_min_isr += i64::from(is_at_minimum);
        self.under_min_isr += i64::from(!has_members(in_sync));
        self.insufficient_racks += i64::from(!asked.has_racks(racks));
        let is_spread = racks_of(image, &partition.replicas).len() > 1;
        self.single_rack_isr += i64::from(is_spread && racks <= 1);
        let moves =
            !partition.adding_replicas.is_empty() || !partition.removing_replicas.is_empty();
        self.reassigning += i64::from(moves);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_broker_core::metadata::MetadataRecord;
    use isthmus_wire::messages::RegisterBrokerRecord;

    /// Brokers 1 and 2 in rack a, 3 in b, 4 in none.
    fn image() -> MetadataImage {
        let mut image = MetadataImage::default();
        for (broker_id, rack) in [(1, Some("a")), (2, Some("a")), (3, Some("b")), (4, None)] {
            let record = MetadataRecord::from(RegisterBrokerRecord {
                broker_id,
                rack: rack.map(str::to_owned),
                ..RegisterBrokerRecord::default()
            });
            image.apply(image.offset + 1, &record, &mut MetadataDelta::default());
        }
        image
    }

    /// At the minimum, under it, in too few racks, in one rack.
    fn counted(replicas: &[i32], isr: &[i32], members: usize, racks: usize) -> [i64; 4] {
        let partition = PartitionImage {
            replicas: replicas.to_vec(),
            isr: isr.to_vec(),
            ..PartitionImage::default()
        };
        let asked = Sufficiency {
            min_insync_replicas: members,
            min_insync_racks: racks,
        };
        let mut led = Led::default();
        led.add(&image(), &partition, asked);
        let Led {
            at_min_isr,
            under_min_isr,
            insufficient_racks,
            single_rack_isr,
            ..
        } = led;
        [
            at_min_isr,
            under_min_isr,
            insufficient_racks,
            single_rack_isr,
        ]
    }

    #[test]
    fn members_and_racks_are_counted_apart() {
        let all = &[1, 2, 3];
        for (isr, members, racks, expected) in [
            (&[1, 2, 3][..], 1, 1, [0, 0, 0, 0]),
            (&[1, 2], 2, 1, [1, 0, 0, 1]),
            (&[1, 2], 2, 2, [0, 0, 1, 1]),
            (&[1], 2, 2, [0, 1, 1, 1]),
            (&[1, 3], 1, 2, [1, 0, 0, 0]),
            // Without 3 it would be in one rack.
            (&[1, 2, 3], 1, 2, [1, 0, 0, 0]),
        ] {
            let found = counted(all, isr, members, racks);
            assert_eq!(found, expected, "{isr:?} of {members} in {racks}");
        }
        // Nobody is to be in several racks.
        assert_eq!(counted(&[1, 2], &[1], 1, 1), [1, 0, 0, 0]);
        assert_eq!(counted(&[4], &[4], 1, 1), [1, 0, 0, 0]);
        // Who is in no rack is in none, and not in another one.
        assert_eq!(counted(&[1, 3, 4], &[1, 4], 1, 2), [0, 0, 1, 1]);
    }
}
