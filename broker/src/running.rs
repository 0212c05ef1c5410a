//! A broker that serves, and how it stops.

use crate::broker::Broker;
use crate::lifecycle::{Lifecycle, Standing};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a graceful stop waits for connections before it closes the logs.
const STOP_MAX: Duration = Duration::from_secs(10);

/// The same after a failure: refusals are out by then, and what waits for more will not get it here.
const FAILED_STOP_MAX: Duration = Duration::from_millis(500);

/// A broker that serves.
pub struct Running {
    pub(crate) broker: Arc<Broker>,
    pub(crate) listeners: Vec<(String, SocketAddr)>,
    pub(crate) observe: Option<SocketAddr>,
    pub(crate) tasks: TaskTracker,
    /// Among other nodes.
    pub(crate) life: Option<Arc<Lifecycle>>,
    /// Cancelled when there is nothing to be told to other nodes any more.
    pub(crate) life_stop: CancellationToken,
}

/// Why it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    Asked,
    /// The disk failed, or a part of the node that it cannot do without ([`crate::vital`]). Whoever
    /// starts it again finds everything that was synced.
    Failed,
}

/// Controlled shutdown (rule 17): the partitions led here find other leaders first. The core bounds
/// how long that may take.
async fn leave(life: &Lifecycle, failed: &CancellationToken) {
    if failed.is_cancelled() {
        return;
    }
    life.wants_to_stop();
    let mut standing = life.standing();
    let ends = |it: &Standing| matches!(it, Standing::MayStop | Standing::GaveUp(_));
    tokio::select! {
        _ = standing.wait_for(ends) => {}
        () = failed.cancelled() => {}
    }
}

impl Running {
    pub fn node_id(&self) -> i32 {
        self.broker.node_id
    }

    pub fn cluster_id(&self) -> &str {
        &self.broker.cluster_id
    }

    /// Listener names and the addresses they are bound to.
    pub fn listeners(&self) -> &[(String, SocketAddr)] {
        &self.listeners
    }

    pub fn observe(&self) -> Option<SocketAddr> {
        self.observe
    }

    /// Until the broker cannot go on.
    pub async fn failed(&self) {
        self.broker.failed.cancelled().await;
    }

    /// Stops accepting, lets answers out, flushes and closes the logs, and marks the directory as
    /// cleanly closed. After a failure of the disk nothing is flushed or marked, and others are not kept
    /// waiting.
    pub async fn stop(mut self) -> StopReason {
        self.broker.ready.store(false, Ordering::Release);
        if let Some(life) = &self.life {
            leave(life, &self.broker.failed).await;
        }
        self.life_stop.cancel();
        // With it go the connections by which this broker was heard: by their end others know.
        drop(self.life.take());
        self.broker.stop.cancel();
        self.tasks.close();
        let has_failed = self.broker.failed.is_cancelled();
        let patience = if has_failed {
            FAILED_STOP_MAX
        } else {
            STOP_MAX
        };
        let ended = tokio::time::timeout(patience, self.tasks.wait()).await;
        if ended.is_err() && !has_failed {
            tracing::warn!(
                event = "stop_slow",
                "connections did not end within {STOP_MAX:?}"
            );
        }
        if self.broker.failed.is_cancelled() {
            return StopReason::Failed;
        }
        let broker = Arc::clone(&self.broker);
        let closed = async {
            // Whatever becomes of the metadata's log, the partitions are flushed and marked.
            let controller = broker.controller.close().await;
            let partitions = Arc::clone(&broker.partitions);
            let epoch = broker.epoch();
            let closed = tokio::task::spawn_blocking(move || partitions.close(epoch)).await;
            let closed = closed.map_err(|panic| panic.to_string());
            closed.and_then(|closed| closed.map_err(|error| error.to_string()))?;
            controller
        };
        match closed.await {
            Ok(()) => StopReason::Asked,
            Err(error) => {
                tracing::error!(event = "close_failed", error);
                StopReason::Failed
            }
        }
    }
}
