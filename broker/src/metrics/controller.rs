//! Metrics of the controller: only the active one counts, so that a sum over all nodes is the cluster's.

use super::register;
use isthmus_broker_core::controller::{Offline, UncleanElection, UncleanKind};
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGaugeVec, Opts, Registry};
use std::time::Duration;

/// From a broker whose connections ended to several sessions, in seconds.
const ELECTION_BUCKETS: [f64; 9] = [0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0];

#[derive(Clone)]
pub(crate) struct ControllerMetrics {
    unclean_elections: IntCounterVec,
    leader_election_seconds: Histogram,
    takeover_seconds: Histogram,
    offline: IntGaugeVec,
}

impl ControllerMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let seconds = |name: &str, help: &str| {
            let opts = HistogramOpts::new(name, help).buckets(ELECTION_BUCKETS.to_vec());
            let histogram = Histogram::with_opts(opts);
            register(registry, histogram.expect("names are literals"))
        };
        let offline = Opts::new(
            "isthmus_broker_offline_partitions",
            "Partitions of the cluster that nobody leads, by the active controller; or by any that has no quorum.",
        );
        let offline = IntGaugeVec::new(offline, &["reason"]);
        let opts = Opts::new(
            "isthmus_controller_unclean_elections_total",
            "Leaders made by this controller that may lack acknowledged records: who led alone before and stopped uncleanly, or the first replica that lived.",
        );
        let vec = IntCounterVec::new(opts, &["kind"]).expect("names are literals");
        // From 0 on, so that the first one is an increase.
        for kind in UncleanKind::ALL {
            vec.with_label_values(&[kind.name()]);
        }
        Self {
            unclean_elections: register(registry, vec),
            leader_election_seconds: seconds(
                "isthmus_controller_leader_election_seconds",
                "From when a broker was last heard from until its partitions had other leaders, by brokers that were fenced.",
            ),
            takeover_seconds: seconds(
                "isthmus_controller_takeover_seconds",
                "From when this voter knew of no leader of the quorum until it was the active controller.",
            ),
            offline: register(registry, offline.expect("names are literals")),
        }
    }

    /// Elections that are committed.
    pub(crate) fn elected(&self, elections: &[UncleanElection<'_>]) {
        for it in elections {
            let kind = it.kind.name();
            self.unclean_elections.with_label_values(&[kind]).inc();
        }
    }

    /// The leaders of a broker are replaced that was last heard from so long ago.
    pub(crate) fn replaced(&self, silence: Duration) {
        self.leader_election_seconds.observe(silence.as_secs_f64());
    }

    /// This controller is active, so long after there was none.
    pub(crate) fn took_over(&self, without: Duration) {
        self.takeover_seconds.observe(without.as_secs_f64());
    }

    pub(crate) fn offline(&self, offline: Offline) {
        let Offline {
            brokers_gone,
            no_in_sync_replica,
            no_quorum,
        } = offline;
        for (reason, count) in [
            ("brokers_gone", brokers_gone),
            ("no_in_sync_replica", no_in_sync_replica),
            ("no_quorum", no_quorum),
        ] {
            let gauge = self.offline.with_label_values(&[reason]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}
