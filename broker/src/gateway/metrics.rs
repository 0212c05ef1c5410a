//! The gateway's metrics: name, unit, help and labels of each in this one place.
//!
//! Labels are names of listeners and ids of brokers from the file, and words of this program: what
//! peers send never becomes one.

use prometheus::{
    IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
    process_collector::ProcessCollector,
};

pub(super) struct GatewayMetrics {
    registry: Registry,
    connections: IntGaugeVec,
    accepted: IntCounterVec,
    pub(super) turned_away: IntCounter,
    bytes: IntCounterVec,
    reachable: IntGaugeVec,
    connects_failed: IntCounterVec,
    refused: IntCounterVec,
    rewritten: IntCounterVec,
    pub(super) unmapped: IntGauge,
}

/// Of the connections of one listener to one broker.
#[derive(Clone)]
pub(super) struct LineMetrics {
    /// From clients.
    pub(super) bytes_in: IntCounter,
    /// To clients.
    pub(super) bytes_out: IntCounter,
}

impl GatewayMetrics {
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        // Memory and file descriptors of this process, where the system tells.
        registry
            .register(Box::new(ProcessCollector::for_self()))
            .expect("each name is registered once");
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels);
            register(&registry, vec.expect("names are literals"))
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntGaugeVec::new(Opts::new(name, help), labels);
            register(&registry, vec.expect("names are literals"))
        };
        Self {
            connections: gauges(
                "isthmus_gateway_connections",
                "Open connections of clients.",
                &["listener"],
            ),
            accepted: counters(
                "isthmus_gateway_connections_accepted_total",
                "Connections of clients that came.",
                &["listener"],
            ),
            turned_away: register(
                &registry,
                IntCounter::new(
                    "isthmus_gateway_connections_turned_away_total",
                    "Connections of clients closed at once because there were too many.",
                )
                .expect("names are literals"),
            ),
            bytes: counters(
                "isthmus_gateway_bytes_total",
                "Bytes carried: in, from clients to brokers, and out, from brokers to clients.",
                &["listener", "broker", "direction"],
            ),
            reachable: gauges(
                "isthmus_gateway_broker_reachable",
                "Whether the last connection to the broker could be made.",
                &["broker"],
            ),
            connects_failed: counters(
                "isthmus_gateway_broker_connects_failed_total",
                "Connections to the broker that could not be made.",
                &["broker"],
            ),
            refused: counters(
                "isthmus_gateway_refused_total",
                "Connections ended because of what came over them, by the reason.",
                &["reason"],
            ),
            rewritten: counters(
                "isthmus_gateway_rewritten_total",
                "Answers written anew because they carry addresses or versions, by API.",
                &["api"],
            ),
            unmapped: register(
                &registry,
                IntGauge::new(
                    "isthmus_gateway_unmapped_brokers",
                    "Brokers that the cluster names and the gateway's file does not.",
                )
                .expect("names are literals"),
            ),
            registry,
        }
    }

    pub(super) fn line(&self, listener: &str, broker: i32) -> LineMetrics {
        let broker = broker.to_string();
        let bytes = |direction| {
            self.bytes
                .with_label_values(&[listener, &broker, direction])
        };
        LineMetrics {
            bytes_in: bytes("in"),
            bytes_out: bytes("out"),
        }
    }

    /// A connection that came; the gauge falls when the guard is dropped.
    pub(super) fn came(&self, listener: &str) -> OpenConnection {
        self.accepted.with_label_values(&[listener]).inc();
        let gauge = self.connections.with_label_values(&[listener]);
        gauge.inc();
        OpenConnection(gauge)
    }

    pub(super) fn reached(&self, broker: i32) {
        let broker = broker.to_string();
        self.reachable.with_label_values(&[&broker]).set(1);
    }

    pub(super) fn not_reached(&self, broker: i32) {
        let broker = broker.to_string();
        self.reachable.with_label_values(&[&broker]).set(0);
        self.connects_failed.with_label_values(&[&broker]).inc();
    }

    pub(super) fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    pub(super) fn rewritten(&self, api: &str) {
        self.rewritten.with_label_values(&[api]).inc();
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let families = self.registry.gather();
        // Writing into a string cannot fail.
        TextEncoder::new().encode_utf8(&families, &mut text).ok();
        text
    }
}

/// One connection in the gauge.
pub(super) struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn register<C: prometheus::core::Collector + Clone + 'static>(registry: &Registry, metric: C) -> C {
    registry
        .register(Box::new(metric.clone()))
        .expect("each name is registered once");
    metric
}
