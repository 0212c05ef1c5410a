//! The broker's metrics: name, unit, help and labels of each in this one place; those of replicas in
//! `replicas`, those of flushes in `group_commit`, those of the controller in `controller`, those of the
//! process in `life`.

#[cfg(test)]
mod boards;
mod controller;
mod group_commit;
mod life;
mod replicas;

pub(crate) use controller::ControllerMetrics;
pub(crate) use group_commit::GroupCommitMetrics;
pub(crate) use life::LifeMetrics;
pub(crate) use replicas::ReplicaMetrics;

use crate::clocks;
use crate::metadata_log::QuorumWatch;
use isthmus_broker_core::quotas::QuotaKey;
use isthmus_broker_core::security::{Operation, ResourceType};
use isthmus_wire::ApiKey;
use prometheus::{
    CounterVec, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder, process_collector::ProcessCollector,
};
use std::sync::Arc;

/// From an fsync of a fast disk to one that is about to fail, in seconds.
const APPEND_BUCKETS: [f64; 10] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0,
];

pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) connections: IntGauge,
    requests: IntCounterVec,
    denials: IntCounterVec,
    quotas: QuotaMetrics,
    listeners: ListenerVecs,
    pub(crate) bad_requests: IntCounter,
    pub(crate) refused_nodes: IntCounter,
    pub(crate) bytes_in: IntCounter,
    pub(crate) bytes_out: IntCounter,
    pub(crate) follower_bytes_out: IntCounter,
    pub(crate) partitions: PartitionMetrics,
    pub(crate) pool_bytes_in_use: IntGauge,
    pub(crate) pool_bytes_max: IntGauge,
    pub(crate) metadata_offset: IntGauge,
    pub(crate) room: RoomMetrics,
    controller_epoch: IntGauge,
    quorum_term: IntGauge,
    snapshot_bytes: IntGauge,
    snapshot_age_seconds: IntGauge,
    pub(crate) metadata_append_seconds: Histogram,
    pub(crate) retention_clock_in_doubt: IntGauge,
    pub(crate) cleaner: CleanerMetrics,
    pub(crate) group_commit: GroupCommitMetrics,
    pub(crate) controller: ControllerMetrics,
    pub(crate) replicas: Arc<ReplicaMetrics>,
    pub(crate) life: LifeMetrics,
}

/// Of the file system that the data directory is in.
#[derive(Clone)]
pub(crate) struct RoomMetrics {
    pub(crate) free_bytes: IntGauge,
    pub(crate) bytes: IntGauge,
}

/// Of client quotas, by their keys.
#[derive(Clone)]
pub(crate) struct QuotaMetrics {
    throttled: IntCounterVec,
    seconds: CounterVec,
    tracked: IntGaugeVec,
}

impl QuotaMetrics {
    fn new(registry: &Registry) -> Self {
        let throttled = Opts::new(
            "isthmus_broker_quota_throttled_total",
            "Times that a client was told to wait, by the quota it was over.",
        );
        let throttled = IntCounterVec::new(throttled, &["quota"]);
        let seconds = Opts::new(
            "isthmus_broker_quota_throttle_seconds_total",
            "Time that clients were told to wait, by the quota they were over.",
        );
        let seconds = CounterVec::new(seconds, &["quota"]);
        let tracked = Opts::new(
            "isthmus_broker_quota_clients",
            "Clients whose use is measured, by the quota, at the last look.",
        );
        let tracked = IntGaugeVec::new(tracked, &["quota"]);
        Self {
            throttled: register(registry, throttled.expect("names are literals")),
            seconds: register(registry, seconds.expect("names are literals")),
            tracked: register(registry, tracked.expect("names are literals")),
        }
    }

    /// Nothing is counted for whoever need not wait.
    pub(crate) fn throttled(&self, key: QuotaKey, throttle_ms: i32) {
        if throttle_ms > 0 {
            let seconds = f64::from(throttle_ms) / 1_000.0;
            self.throttled.with_label_values(&[key.name()]).inc();
            self.seconds
                .with_label_values(&[key.name()])
                .inc_by(seconds);
        }
    }

    pub(crate) fn tracked(&self, key: QuotaKey, count: usize) {
        let gauge = self.tracked.with_label_values(&[key.name()]);
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// Of the replicas on this broker's disk.
#[derive(Clone)]
pub(crate) struct PartitionMetrics {
    pub(crate) count: IntGauge,
    pub(crate) lease_refusals: IntCounter,
    pub(crate) truncated_records: IntCounter,
    pub(crate) truncated_bytes: IntCounter,
}

/// Of the compaction of logs.
#[derive(Clone)]
pub(crate) struct CleanerMetrics {
    pub(crate) bytes_read: IntCounter,
    pub(crate) bytes_written: IntCounter,
    pub(crate) dirty_ratio_max: Gauge,
    pub(crate) uncleanable_partitions: IntGauge,
    pub(crate) last_run_seconds: IntGauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str| -> IntGauge {
            register(
                &registry,
                IntGauge::new(name, help).expect("names are literals"),
            )
        };
        let counter = |name: &str, help: &str| -> IntCounter {
            register(
                &registry,
                IntCounter::new(name, help).expect("names are literals"),
            )
        };
        let requests = Opts::new(
            "isthmus_broker_requests_total",
            "Requests taken up, by API.",
        );
        let requests = IntCounterVec::new(requests, &["api"]).expect("names are literals");
        let denials = Opts::new(
            "isthmus_broker_authorization_denials_total",
            "Times that ACLs refused something, by kind of resource and operation.",
        );
        let denials = IntCounterVec::new(denials, &["resource", "operation"]);
        let denials = denials.expect("names are literals");
        let append_seconds = HistogramOpts::new(
            "isthmus_broker_metadata_append_seconds",
            "Time from the proposal of a metadata change until it is committed and applied.",
        )
        .buckets(APPEND_BUCKETS.to_vec());
        let append_seconds = Histogram::with_opts(append_seconds).expect("names are literals");
        let metrics = Self {
            connections: gauge("isthmus_broker_connections", "Open client connections."),
            requests: register(&registry, requests),
            denials: register(&registry, denials),
            quotas: QuotaMetrics::new(&registry),
            listeners: ListenerVecs::new(&registry),
            bad_requests: counter(
                "isthmus_broker_bad_requests_total",
                "Connections ended because of what the peer sent.",
            ),
            refused_nodes: counter(
                "isthmus_broker_refused_nodes_total",
                "Connections ended because whoever came as a node of the cluster, or asked what only nodes may, was not let in.",
            ),
            bytes_in: counter(
                "isthmus_broker_records_in_bytes_total",
                "Bytes of record batches appended for producers.",
            ),
            bytes_out: counter(
                "isthmus_broker_records_out_bytes_total",
                "Bytes of record batches put into fetch answers.",
            ),
            follower_bytes_out: counter(
                "isthmus_broker_follower_records_out_bytes_total",
                "Bytes of record batches put into fetch answers from partitions that another broker leads.",
            ),
            partitions: PartitionMetrics {
                count: gauge("isthmus_broker_partitions", "Partitions this broker holds."),
                lease_refusals: counter(
                    "isthmus_broker_lease_refusals_total",
                    "Writes to a partition that were not taken because its leader here had no lease.",
                ),
                truncated_records: counter(
                    "isthmus_broker_truncated_records_total",
                    "Records cut off replicas here because their leaders do not have them.",
                ),
                truncated_bytes: counter(
                    "isthmus_broker_truncated_bytes_total",
                    "Bytes of record batches cut off replicas here because their leaders do not have them.",
                ),
            },
            pool_bytes_in_use: gauge(
                "isthmus_broker_request_pool_used_bytes",
                "Bytes of requests being read or handled.",
            ),
            pool_bytes_max: gauge(
                "isthmus_broker_request_pool_max_bytes",
                "Bound on the bytes of requests being read or handled.",
            ),
            room: RoomMetrics {
                free_bytes: gauge(
                    "isthmus_broker_data_directory_free_bytes",
                    "What can still be written into the file system of the data directory, at the last look.",
                ),
                bytes: gauge(
                    "isthmus_broker_data_directory_filesystem_bytes",
                    "Size of the file system of the data directory, at the last look.",
                ),
            },
            metadata_offset: gauge(
                "isthmus_broker_metadata_offset",
                "Offset of the last metadata record applied.",
            ),
            controller_epoch: gauge(
                "isthmus_broker_controller_epoch",
                "Offset of the record by which the present controller began.",
            ),
            quorum_term: gauge(
                "isthmus_broker_metadata_quorum_term",
                "Term of the metadata quorum.",
            ),
            snapshot_bytes: gauge(
                "isthmus_broker_metadata_snapshot_bytes",
                "Size of the latest metadata snapshot; 0 while there is none.",
            ),
            snapshot_age_seconds: gauge(
                "isthmus_broker_metadata_snapshot_age_seconds",
                "Time since the latest metadata snapshot was made; 0 while there is none.",
            ),
            metadata_append_seconds: register(&registry, append_seconds),
            retention_clock_in_doubt: gauge(
                "isthmus_broker_retention_clock_in_doubt",
                "1 while the wall clock stands more than an hour from what retention believes.",
            ),
            cleaner: CleanerMetrics {
                bytes_read: counter(
                    "isthmus_broker_cleaner_read_bytes_total",
                    "Bytes of logs read to compact them.",
                ),
                bytes_written: counter(
                    "isthmus_broker_cleaner_written_bytes_total",
                    "Bytes of logs written by compacting them.",
                ),
                dirty_ratio_max: register(
                    &registry,
                    Gauge::new(
                        "isthmus_broker_cleaner_dirty_ratio_max",
                        "Largest share of uncompacted bytes among the compacted logs, at the last look.",
                    )
                    .expect("names are literals"),
                ),
                uncleanable_partitions: gauge(
                    "isthmus_broker_cleaner_uncleanable_partitions",
                    "Partitions left uncompacted because of a damaged batch or too small a table of keys.",
                ),
                last_run_seconds: gauge(
                    "isthmus_broker_cleaner_last_run_timestamp_seconds",
                    "When a cleaner last looked for a log to compact, in seconds since 1970.",
                ),
            },
            group_commit: GroupCommitMetrics::new(&registry),
            controller: ControllerMetrics::new(&registry),
            replicas: Arc::new(ReplicaMetrics::new(&registry)),
            life: LifeMetrics::new(&registry),
            registry,
        };
        metrics
            .registry
            .register(Box::new(ProcessCollector::for_self()))
            .ok();
        metrics
    }

    pub(crate) fn requests(&self, api: ApiKey) -> IntCounter {
        self.requests.with_label_values(&[api.name()])
    }

    pub(crate) fn denials(&self, resource: ResourceType, operation: Operation) -> IntCounter {
        self.denials
            .with_label_values(&[resource.name(), operation.name()])
    }

    pub(crate) fn quotas(&self) -> QuotaMetrics {
        self.quotas.clone()
    }

    /// Those of one listener.
    pub(crate) fn listener(&self, name: &str) -> ListenerMetrics {
        let vecs = &self.listeners;
        ListenerMetrics {
            connections: vecs.connections.with_label_values(&[name]),
            lobby: vecs.lobby.with_label_values(&[name]),
            shown_out: vecs.shown_out.with_label_values(&[name]),
            refused: vecs.refused.with_label_values(&[name]),
            throttled: vecs.throttled.with_label_values(&[name]),
            came_in: vecs.authentications.with_label_values(&[name, "success"]),
            sent_away: vecs.authentications.with_label_values(&[name, "failure"]),
            certificate_days: vecs.certificate_days.clone(),
            files_broken: vecs.files_broken.with_label_values(&[name]),
            name: name.to_owned(),
        }
    }

    /// What the quorum tells when it is asked.
    pub(crate) fn quorum(&self, quorum: &QuorumWatch) {
        let bounded = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.controller_epoch.set(quorum.controller_epoch());
        self.quorum_term.set(bounded(quorum.term()));
        if let Some(snapshot) = quorum.snapshot() {
            let age_ms = clocks::wall_ms().saturating_sub(snapshot.made_ms).max(0);
            self.snapshot_bytes.set(bounded(snapshot.len_bytes));
            self.snapshot_age_seconds.set(age_ms / 1_000);
        }
    }

    /// All of them in Prometheus' text format.
    pub(crate) fn text(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }
}

/// The metrics that every listener has; their names come from the configuration and are few.
struct ListenerVecs {
    connections: IntGaugeVec,
    lobby: IntGaugeVec,
    shown_out: IntGaugeVec,
    refused: IntCounterVec,
    throttled: IntCounterVec,
    authentications: IntCounterVec,
    certificate_days: IntGaugeVec,
    files_broken: IntGaugeVec,
}

impl ListenerVecs {
    fn new(registry: &Registry) -> Self {
        let gauge = |name: &str, help: &str| -> IntGaugeVec {
            let vec = IntGaugeVec::new(Opts::new(name, help), &["listener"]);
            register(registry, vec.expect("names are literals"))
        };
        let counter = |name: &str, help: &str, labels: &[&str]| -> IntCounterVec {
            let vec = IntCounterVec::new(Opts::new(name, help), labels);
            register(registry, vec.expect("names are literals"))
        };
        Self {
            connections: gauge(
                "isthmus_broker_listener_connections",
                "Open connections of a listener.",
            ),
            lobby: gauge(
                "isthmus_broker_listener_lobby",
                "Connections that have not yet shown who they are.",
            ),
            shown_out: gauge(
                "isthmus_broker_listener_lobby_shown_out",
                "Connections closed to make room in a full lobby, since the start.",
            ),
            refused: counter(
                "isthmus_broker_listener_refused_total",
                "Connections closed at once because their address had too many.",
                &["listener"],
            ),
            throttled: counter(
                "isthmus_broker_listener_throttled_total",
                "Connections not let in because their address came too often by its quota.",
                &["listener"],
            ),
            authentications: counter(
                "isthmus_broker_authentications_total",
                "Logins by TLS or SASL, by their outcome.",
                &["listener", "outcome"],
            ),
            certificate_days: gauge(
                "isthmus_broker_tls_certificate_days",
                "Whole days until the certificate that is shown ends; negative when it has.",
            ),
            files_broken: gauge(
                "isthmus_broker_listener_files_broken",
                "1 while a listener's certificate, key or users cannot be used as they stand in the files.",
            ),
        }
    }
}

/// The metrics of one listener.
pub(crate) struct ListenerMetrics {
    name: String,
    pub(crate) connections: IntGauge,
    lobby: IntGauge,
    shown_out: IntGauge,
    pub(crate) refused: IntCounter,
    pub(crate) throttled: IntCounter,
    came_in: IntCounter,
    sent_away: IntCounter,
    certificate_days: IntGaugeVec,
    files_broken: IntGauge,
}

impl ListenerMetrics {
    pub(crate) fn came_in(&self) {
        self.came_in.inc();
    }

    pub(crate) fn sent_away(&self) {
        self.sent_away.inc();
    }

    pub(crate) fn lobby(&self, count: usize, shown_out: u64) {
        self.lobby.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.shown_out
            .set(i64::try_from(shown_out).unwrap_or(i64::MAX));
    }

    /// Only of listeners with TLS: a gauge that nobody sets would say the certificate ends today.
    pub(crate) fn certificate_days(&self, days: i64) {
        let gauge = self.certificate_days.with_label_values(&[&self.name]);
        gauge.set(days);
    }

    pub(crate) fn files_broken(&self, broken: bool) {
        self.files_broken.set(i64::from(broken));
    }
}

fn register<C: prometheus::core::Collector + Clone + 'static>(registry: &Registry, metric: C) -> C {
    registry
        .register(Box::new(metric.clone()))
        .expect("each name is registered once");
    metric
}
