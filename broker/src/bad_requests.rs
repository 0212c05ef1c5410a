//! Peers that send what cannot be served: counted, and logged without letting them fill the log.

use crate::api::Refusal;
use parking_lot::Mutex;
use prometheus::IntCounter;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// At most one line in this time; the next line says how many were left out.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct BadRequests {
    counter: IntCounter,
    /// Those of them who came as nodes, or asked what only nodes may.
    of_nodes: IntCounter,
    last_line: Mutex<(Option<Instant>, u64)>,
}

impl BadRequests {
    pub(crate) fn new(counter: IntCounter, of_nodes: IntCounter) -> Self {
        Self {
            counter,
            of_nodes,
            last_line: Mutex::new((None, 0)),
        }
    }

    pub(crate) fn note(&self, peer: SocketAddr, refusal: &Refusal) {
        self.counter.inc();
        if refusal.is_of_a_node() {
            self.of_nodes.inc();
        }
        let mut last_line = self.last_line.lock();
        let (at, left_out) = &mut *last_line;
        let now = Instant::now();
        if at.is_some_and(|at| now.duration_since(at) < LINE_INTERVAL) {
            *left_out += 1;
            return;
        }
        tracing::warn!(event = "bad_request", %peer, %refusal, left_out = *left_out, "connection ended");
        (*at, *left_out) = (Some(now), 0);
    }
}
