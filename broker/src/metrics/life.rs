//! Metrics of how well the process itself gets along: its lease, and how long it stood still.

use super::register;
use prometheus::{Gauge, GaugeVec, Opts, Registry};
use std::time::Duration;

pub(crate) struct LifeMetrics {
    lease_remaining: Gauge,
    longest_stall: GaugeVec,
}

impl LifeMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let lease = Gauge::new(
            "isthmus_broker_lease_remaining_seconds",
            "How long this broker may go on to acknowledge writes without an answer to a heartbeat.",
        );
        let stall = Opts::new(
            "isthmus_broker_longest_stall_seconds",
            "Longest time of the last minute or two in which nothing ran that should have, by threads.",
        );
        let stall = GaugeVec::new(stall, &["threads"]);
        Self {
            lease_remaining: register(registry, lease.expect("names are literals")),
            longest_stall: register(registry, stall.expect("names are literals")),
        }
    }

    pub(crate) fn lease(&self, remaining: Duration) {
        self.lease_remaining.set(remaining.as_secs_f64());
    }

    /// Of the threads that bear that name.
    pub(crate) fn longest_stall(&self, threads: &str) -> Gauge {
        self.longest_stall.with_label_values(&[threads])
    }
}
