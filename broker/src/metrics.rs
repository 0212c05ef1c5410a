//! The broker's metrics: name, unit, help and labels of each in this one place.

use isthmus_wire::ApiKey;
use prometheus::{
    IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
    process_collector::ProcessCollector,
};

pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) connections: IntGauge,
    requests: IntCounterVec,
    pub(crate) bad_requests: IntCounter,
    pub(crate) bytes_in: IntCounter,
    pub(crate) bytes_out: IntCounter,
    pub(crate) partitions: IntGauge,
    pub(crate) pool_bytes_in_use: IntGauge,
    pub(crate) pool_bytes_max: IntGauge,
    pub(crate) metadata_offset: IntGauge,
    pub(crate) retention_clock_in_doubt: IntGauge,
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
        let metrics = Self {
            connections: gauge("isthmus_broker_connections", "Open client connections."),
            requests: register(&registry, requests),
            bad_requests: counter(
                "isthmus_broker_bad_requests_total",
                "Connections ended because of what the peer sent.",
            ),
            bytes_in: counter(
                "isthmus_broker_records_in_bytes_total",
                "Bytes of record batches appended for producers.",
            ),
            bytes_out: counter(
                "isthmus_broker_records_out_bytes_total",
                "Bytes of record batches put into fetch answers.",
            ),
            partitions: gauge("isthmus_broker_partitions", "Partitions this broker holds."),
            pool_bytes_in_use: gauge(
                "isthmus_broker_request_pool_used_bytes",
                "Bytes of requests being read or handled.",
            ),
            pool_bytes_max: gauge(
                "isthmus_broker_request_pool_max_bytes",
                "Bound on the bytes of requests being read or handled.",
            ),
            metadata_offset: gauge(
                "isthmus_broker_metadata_offset",
                "Offset of the last metadata record applied.",
            ),
            retention_clock_in_doubt: gauge(
                "isthmus_broker_retention_clock_in_doubt",
                "1 while the wall clock stands more than an hour from what retention believes.",
            ),
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

    /// All of them in Prometheus' text format.
    pub(crate) fn text(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }
}

fn register<C: prometheus::core::Collector + Clone + 'static>(registry: &Registry, metric: C) -> C {
    registry
        .register(Box::new(metric.clone()))
        .expect("each name is registered once");
    metric
}
