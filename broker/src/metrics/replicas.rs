//! Metrics of replicas and of the cluster: counted from the metadata when they are asked for.
//!
//! What is said of partitions is said by their leaders, so that a sum over all brokers counts each
//! once. What is said of the cluster is said by the active controller; the others show 0.

use super::register;
use crate::partitions::Partition;
use crate::settings::Settings;
use isthmus_broker_core::metadata::{ConfigResource, MetadataDelta, MetadataImage, PartitionImage};
use prometheus::{IntCounter, IntGauge, IntGaugeVec, Opts, Registry};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) struct ReplicaMetrics {
    led: IntGauge,
    under_replicated: IntGauge,
    at_min_isr: IntGauge,
    under_min_isr: IntGauge,
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
            let own = image.config(&ConfigResource::topic(&topic.name));
            let min_isr = settings.topic_config(own).min_insync_replicas;
            let min_isr = usize::try_from(min_isr).unwrap_or(1);
            of_topic.for_each(|partition| led.add(partition, min_isr));
        }
        self.led.set(led.all);
        self.under_replicated.set(led.under_replicated);
        self.at_min_isr.set(led.at_min_isr);
        self.under_min_isr.set(led.under_min_isr);
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
    fn add(&mut self, partition: &PartitionImage, min_isr: usize) {
        let in_sync = partition.isr.len();
        // More than there are replicas counts as all of them, as in Kafka.
        let min_isr = min_isr.min(partition.replicas.len());
        self.all += 1;
        self.under_replicated += i64::from(in_sync < partition.replicas.len());
        self.at_min_isr += i64::from(in_sync == min_isr);
        self.under_min_isr += i64::from(in_sync < min_isr);
        let moves =
            !partition.adding_replicas.is_empty() || !partition.removing_replicas.is_empty();
        self.reassigning += i64::from(moves);
    }
}
