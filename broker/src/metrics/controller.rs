//! Metrics of the controller: only the active one counts, so that a sum over all nodes is the cluster's.

use super::register;
use isthmus_broker_core::controller::{UncleanElection, UncleanKind};
use prometheus::{IntCounterVec, Opts, Registry};

#[derive(Clone)]
pub(crate) struct ControllerMetrics {
    unclean_elections: IntCounterVec,
}

impl ControllerMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
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
        }
    }

    /// Elections that are committed.
    pub(crate) fn elected(&self, elections: &[UncleanElection<'_>]) {
        for it in elections {
            let kind = it.kind.name();
            self.unclean_elections.with_label_values(&[kind]).inc();
        }
    }
}
