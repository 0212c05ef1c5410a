//! How other brokers are reached.

use crate::cluster::{Cluster, ConnectError, NoEndpoint, NodeConnection};
use futures::future::BoxFuture;
use tokio::time::Instant;

/// Why a broker was not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerFailure {
    #[error(transparent)]
    NoEndpoint(#[from] NoEndpoint),
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

/// Connects to other brokers where they are registered.
pub(crate) trait Peers: Send + Sync + 'static {
    /// A connection on which both know who the other is; requests may follow at once. The socket's
    /// buffers are the operating system's business: a fixed size would cap long links.
    fn reach(
        &self,
        broker_id: i32,
        deadline: Instant,
    ) -> BoxFuture<'static, Result<NodeConnection, PeerFailure>>;
}

impl Peers for Cluster {
    fn reach(
        &self,
        broker_id: i32,
        deadline: Instant,
    ) -> BoxFuture<'static, Result<NodeConnection, PeerFailure>> {
        let cluster = self.clone();
        Box::pin(async move {
            let to = cluster.broker_address(broker_id)?;
            Ok(cluster.connect(&to, deadline).await?)
        })
    }
}
