//! Metrics of the rounds in which logs of `flush.policy = group` are flushed together.

use super::{APPEND_BUCKETS, register};
use prometheus::{Histogram, HistogramOpts, IntGauge, Registry};
use std::time::Duration;

/// From a single writer to more partitions than a second of any disk takes.
const PARTITIONS_BUCKETS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1_024.0];

#[derive(Clone)]
pub(crate) struct GroupCommitMetrics {
    seconds: Histogram,
    partitions: Histogram,
    pub(crate) waiting_bytes: IntGauge,
}

impl GroupCommitMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let histogram = |name: &str, help: &str, buckets: &[f64]| -> Histogram {
            let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let histogram = Histogram::with_opts(opts);
            register(registry, histogram.expect("names are literals"))
        };
        let waiting_bytes = IntGauge::new(
            "isthmus_broker_group_commit_waiting_bytes",
            "Bytes written and not known to be on disk, of topics with flush.policy=group.",
        );
        Self {
            seconds: histogram(
                "isthmus_broker_group_commit_round_seconds",
                "Time in which the partitions of one round of the group commit were synced.",
                &APPEND_BUCKETS,
            ),
            partitions: histogram(
                "isthmus_broker_group_commit_round_partitions",
                "Partitions synced in one round of the group commit.",
                &PARTITIONS_BUCKETS,
            ),
            waiting_bytes: register(registry, waiting_bytes.expect("names are literals")),
        }
    }

    /// A round is over.
    pub(crate) fn round(&self, partitions: usize, took: Duration) {
        let partitions = u32::try_from(partitions).unwrap_or(u32::MAX);
        self.partitions.observe(f64::from(partitions));
        self.seconds.observe(took.as_secs_f64());
    }
}
