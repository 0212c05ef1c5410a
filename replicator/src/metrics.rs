//! The replicator's metrics: name, unit, help and labels of each in this one place.
//!
//! All are made anew from the snapshot for each scrape, so that what is gone from the snapshot is
//! gone here, and a number has one source. What is not known has no series; that it is not known
//! has one (`flow_lag_known`). Copied records carry the names that a JMX exporter gives to
//! MirrorMaker 2's own (`kafka.connect.mirror`, type MirrorSourceConnector), topics by their target
//! name as there.

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::status::{
    FlowStatus, FlowSummary, PartitionState, PartitionStatus, ReplicatorStatus, RoleWord,
};

const FLOW: [&str; 3] = ["flow", "source", "target"];
const PARTITION: [&str; 3] = ["flow", "topic", "partition"];
const MIRROR_MAKER: [&str; 4] = ["source", "target", "topic", "partition"];

/// All metrics in Prometheus' text format.
pub fn text(status: &ReplicatorStatus) -> String {
    let registry = Registry::new();
    let page = Page { registry };
    page.daemon(status);
    Flows::new(&page).fill(status);
    Partitions::new(&page).fill(status);
    page.register(ProcessCollector::for_self());
    TextEncoder::new()
        .encode_to_string(&page.registry.gather())
        .unwrap_or_default()
}

/// One scrape.
struct Page {
    registry: Registry,
}

impl Page {
    fn register(&self, collector: impl Collector + 'static) {
        let outcome = self.registry.register(Box::new(collector));
        outcome.expect("each name is registered once");
    }

    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        let gauge = GaugeVec::new(Opts::new(name, help), labels).expect("names are literals");
        self.register(gauge.clone());
        gauge
    }

    fn integer(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        let gauge = IntGaugeVec::new(Opts::new(name, help), labels).expect("names are literals");
        self.register(gauge.clone());
        gauge
    }

    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        let counter =
            IntCounterVec::new(Opts::new(name, help), labels).expect("names are literals");
        self.register(counter.clone());
        counter
    }

    fn daemon(&self, status: &ReplicatorStatus) {
        let set = |name: &str, help: &str, value: i64| {
            self.integer(name, help, &[])
                .with_label_values::<&str>(&[])
                .set(value);
        };
        set(
            "isthmus_replicator_ready",
            "1 while this instance has read the saved state and does the work.",
            i64::from(status.joined),
        );
        set(
            "isthmus_replicator_memory_budget_bytes",
            "Bound on the records under way.",
            signed(status.memory.budget_bytes),
        );
        set(
            "isthmus_replicator_memory_used_bytes",
            "Records under way.",
            signed(status.memory.used_bytes),
        );
        let overdrawn = self.counter(
            "isthmus_replicator_memory_overdrawn_bytes_total",
            "Bytes of fetch answers beyond what was granted: a first batch comes whole.",
            &[],
        );
        let overdrawn = overdrawn.with_label_values::<&str>(&[]);
        overdrawn.inc_by(status.memory.overdrawn_bytes);
        self.clusters(status);
    }

    fn clusters(&self, status: &ReplicatorStatus) {
        let reachable = self.integer(
            "isthmus_replicator_cluster_usable",
            "1 while nothing keeps us from using the cluster.",
            &["cluster"],
        );
        let days = self.integer(
            "isthmus_replicator_tls_certificate_days",
            "Whole days until the certificate that is shown to the cluster ends; negative when it has.",
            &["cluster"],
        );
        for cluster in &status.clusters {
            let name = [cluster.name.as_str()];
            let is_usable = cluster.last_error.is_none() && cluster.cluster_id.is_some();
            reachable.with_label_values(&name).set(i64::from(is_usable));
            if let Some(left) = cluster.certificate_days {
                days.with_label_values(&name).set(left);
            }
        }
    }
}

/// What each flow has.
struct Flows {
    rpo: GaugeVec,
    rpo_target: GaugeVec,
    lag_known: IntGaugeVec,
    lag_records: IntGaugeVec,
    lag_bytes: IntGaugeVec,
    source_seen_age: GaugeVec,
    headroom: GaugeVec,
    partitions: IntGaugeVec,
    paused: IntGaugeVec,
    failed: IntGaugeVec,
    role: IntGaugeVec,
    held: IntGaugeVec,
    role_confirmed: IntGaugeVec,
    topics_held: IntGaugeVec,
    groups_held: IntGaugeVec,
    groups_age: GaugeVec,
    throttled_ms: GaugeVec,
    counted: [Counted; 5],
    lanes: [IntCounterVec; 3],
}

/// A counter, and the number of a flow that it follows.
type Counted = (IntCounterVec, fn(&FlowSummary) -> i64);

impl Flows {
    fn new(page: &Page) -> Self {
        let counter = |name: &str, help: &str| page.counter(name, help, &FLOW);
        let lane = |name: &str, help: &str| page.counter(name, help, &["flow", "lane", "reason"]);
        Self {
            rpo: page.gauge(
                "isthmus_replicator_flow_rpo_seconds",
                "How much of the past would be missing if the source were lost now; at least the age of the last sight of it.",
                &FLOW,
            ),
            rpo_target: page.gauge(
                "isthmus_replicator_flow_rpo_target_seconds",
                "rpo_target of the flow.",
                &FLOW,
            ),
            lag_known: page.integer(
                "isthmus_replicator_flow_lag_known",
                "1 while every partition of the source was seen within five seconds by this process.",
                &FLOW,
            ),
            lag_records: page.integer(
                "isthmus_replicator_flow_lag_records",
                "Source offsets that are not acknowledged by the target, as of the last sight.",
                &FLOW,
            ),
            lag_bytes: page.integer(
                "isthmus_replicator_flow_lag_bytes",
                "The same in bytes, from the mean size of what was copied; absent before anything was.",
                &FLOW,
            ),
            source_seen_age: page.gauge(
                "isthmus_replicator_flow_source_seen_age_seconds",
                "Age of the last sight of the source partition that was not seen for longest.",
                &FLOW,
            ),
            headroom: page.gauge(
                "isthmus_replicator_flow_headroom_seconds",
                "Time until the source's retention passes the position of the first partition; absent where it reaches none.",
                &FLOW,
            ),
            partitions: page.integer(
                "isthmus_replicator_flow_partitions",
                "Partitions by state.",
                &["flow", "source", "target", "state"],
            ),
            paused: page.integer(
                "isthmus_replicator_flow_paused",
                "1 while an operator has paused the flow as a whole.",
                &FLOW,
            ),
            failed: page.integer(
                "isthmus_replicator_flow_failed",
                "1 while the flow as a whole cannot go on; status says why.",
                &FLOW,
            ),
            role: page.integer(
                "isthmus_replicator_flow_role",
                "1 for the role that the flow has at its target, 0 for the others; absent while it is not confirmed.",
                &["flow", "source", "target", "role"],
            ),
            held: page.integer(
                "isthmus_replicator_flow_held",
                "1 while the role does not allow all that the file asks for; status says what, and since when.",
                &FLOW,
            ),
            role_confirmed: page.integer(
                "isthmus_replicator_flow_role_confirmed",
                "1 while the role was looked at lately; without that nothing is written.",
                &FLOW,
            ),
            topics_held: page.integer(
                "isthmus_replicator_flow_topics_held",
                "Selected topics that are not copied until somebody decides; status says why.",
                &FLOW,
            ),
            groups_held: page.integer(
                "isthmus_replicator_flow_group_offsets_held",
                "Offsets of groups that are not carried along; status says why.",
                &FLOW,
            ),
            groups_age: page.gauge(
                "isthmus_replicator_flow_group_offsets_age_seconds",
                "Time since both sides were last asked for the group offset that waited longest; absent without groups.",
                &FLOW,
            ),
            throttled_ms: page.gauge(
                "isthmus_replicator_flow_throttled_seconds",
                "Time that brokers have asked this flow to wait, since the start.",
                &FLOW,
            ),
            counted: [
                (
                    counter(
                        "isthmus_replicator_flow_duplicate_records_total",
                        "Records copied twice, after a restart.",
                    ),
                    |summary| summary.totals.duplicates,
                ),
                (
                    counter(
                        "isthmus_replicator_flow_missing_offsets_total",
                        "Source offsets that were gone before they were copied, or released by an operator.",
                    ),
                    |summary| summary.totals.missing,
                ),
                (
                    counter(
                        "isthmus_replicator_flow_gaps_total",
                        "Gaps found since the start.",
                    ),
                    |summary| i64::try_from(summary.totals.gaps).unwrap_or(i64::MAX),
                ),
                (
                    counter(
                        "isthmus_replicator_flow_foreign_records_total",
                        "Records of others found between ours at the target.",
                    ),
                    |summary| summary.totals.foreign,
                ),
                (
                    counter(
                        "isthmus_replicator_flow_lost_by_target_records_total",
                        "Records that the target acknowledged and then lost; copied again.",
                    ),
                    |summary| summary.totals.lost_by_target,
                ),
            ],
            lanes: [
                lane(
                    "isthmus_replicator_lane_bytes_total",
                    "Bytes of source batches, by the way they took and why.",
                ),
                lane(
                    "isthmus_replicator_lane_batches_total",
                    "Source batches, by the way they took and why.",
                ),
                lane(
                    "isthmus_replicator_lane_records_total",
                    "Records of source batches, by the way they took and why.",
                ),
            ],
        }
    }

    fn fill(&self, status: &ReplicatorStatus) {
        for flow in &status.flows {
            self.flow(flow, &flow.summary(status.at_ms));
        }
    }

    fn flow(&self, flow: &FlowStatus, summary: &FlowSummary) {
        let labels = [&flow.name, &flow.source, &flow.target];
        let labels = labels.map(String::as_str);
        let of = |gauge: &GaugeVec, ms: i64| gauge.with_label_values(&labels).set(seconds(ms));
        let count = |gauge: &IntGaugeVec, count: i64| gauge.with_label_values(&labels).set(count);
        of(&self.rpo, summary.rpo_ms);
        of(&self.rpo_target, flow.rpo_target_ms);
        of(&self.source_seen_age, summary.source_seen_age_ms);
        if let Some(headroom) = summary.headroom_ms {
            of(&self.headroom, headroom);
        }
        if let Some(age) = summary.groups_age_ms {
            of(&self.groups_age, age);
        }
        of(&self.throttled_ms, signed(flow.throttled_ms_total));
        count(&self.lag_known, i64::from(summary.lag_known));
        count(&self.lag_records, summary.lag_records);
        if let Some(bytes) = summary.lag_bytes {
            count(&self.lag_bytes, bytes);
        }
        count(&self.paused, i64::from(flow.paused));
        count(&self.failed, i64::from(flow.error.is_some()));
        count(&self.held, i64::from(flow.role.held.is_some()));
        count(&self.role_confirmed, i64::from(flow.role.confirmed));
        count(&self.topics_held, length(summary.topics_held));
        count(&self.groups_held, length(summary.groups_held));
        for (counter, value) in &self.counted {
            let value = u64::try_from(value(summary)).unwrap_or(0);
            counter.with_label_values(&labels).inc_by(value);
        }
        self.states_and_lanes(flow, summary, &labels);
    }

    fn states_and_lanes(&self, flow: &FlowStatus, summary: &FlowSummary, labels: &[&str; 3]) {
        let [name, source, target] = *labels;
        for state in PartitionState::ALL {
            let count = summary.states.get(&state).copied().unwrap_or(0);
            let labels = [name, source, target, state.name()];
            let gauge = self.partitions.with_label_values(&labels);
            gauge.set(length(count));
        }
        // Who has not looked does not know.
        let roles = RoleWord::ALL.into_iter();
        for role in roles.filter(|_| flow.role.confirmed) {
            let labels = [name, source, target, role.name()];
            let gauge = self.role.with_label_values(&labels);
            gauge.set(i64::from(flow.role.role == role));
        }
        for it in &flow.lanes {
            let labels = [name, it.lane.as_ref(), it.reason.as_ref()];
            let counts = [it.bytes, it.batches, it.records];
            for (counter, count) in self.lanes.iter().zip(counts) {
                counter.with_label_values(&labels).inc_by(count);
            }
        }
    }
}

/// What each partition has.
struct Partitions {
    rpo: GaugeVec,
    lag_records: IntGaugeVec,
    record_age_ms: IntGaugeVec,
    record_count: IntCounterVec,
    byte_count: IntCounterVec,
}

impl Partitions {
    fn new(page: &Page) -> Self {
        Self {
            rpo: page.gauge(
                "isthmus_replicator_partition_rpo_seconds",
                "How much of the partition's past would be missing if the source were lost now.",
                &PARTITION,
            ),
            lag_records: page.integer(
                "isthmus_replicator_partition_lag_records",
                "Source offsets of the partition that are not acknowledged by the target.",
                &PARTITION,
            ),
            record_age_ms: page.integer(
                "kafka_connect_mirror_mirrorsourceconnector_record_age_ms",
                "Age of the newest record copied when it was acknowledged.",
                &MIRROR_MAKER,
            ),
            record_count: page.counter(
                "kafka_connect_mirror_mirrorsourceconnector_record_count",
                "Records copied.",
                &MIRROR_MAKER,
            ),
            byte_count: page.counter(
                "kafka_connect_mirror_mirrorsourceconnector_byte_count",
                "Bytes copied, as batches: MirrorMaker counts the bytes of values only.",
                &MIRROR_MAKER,
            ),
        }
    }

    fn fill(&self, status: &ReplicatorStatus) {
        for flow in &status.flows {
            for partition in &flow.partitions {
                self.partition(flow, partition);
            }
        }
    }

    fn partition(&self, flow: &FlowStatus, it: &PartitionStatus) {
        let number = it.partition.to_string();
        let ours = [flow.name.as_str(), it.topic.as_str(), number.as_str()];
        if let Some(lag) = &it.lag {
            self.rpo.with_label_values(&ours).set(seconds(lag.rpo_ms));
            let records = self.lag_records.with_label_values(&ours);
            records.set(lag.records);
        }
        let theirs = [&flow.source, &flow.target, &it.target_topic, &number];
        let theirs = theirs.map(String::as_str);
        if let Some(age) = it.record_age_ms {
            self.record_age_ms.with_label_values(&theirs).set(age);
        }
        let counted = |counter: &IntCounterVec, count: i64| {
            let count = u64::try_from(count).unwrap_or(0);
            counter.with_label_values(&theirs).inc_by(count);
        };
        counted(&self.record_count, it.totals.records);
        counted(&self.byte_count, it.totals.bytes);
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
