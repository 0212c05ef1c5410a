//! The voters' ways to each other: one connection per voter and lane, opened when it is needed.
//!
//! Bound: one request per link is under way. Each ends by its own deadline, also when nobody waits
//! for its answer any more.

use super::NodeAddress;
use super::connection::NodeConnection;
use super::connector::Connector;
use crate::metadata_log::{Lane, QuorumTransport, TransportError, Voter};
use isthmus_wire::codec::Request;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

/// Version of the voters' messages this build speaks; there is one.
const VERSION: i16 = 0;

/// One request at a time uses a link.
type Link = Arc<tokio::sync::Mutex<Option<NodeConnection>>>;

/// All links; clones share them. There are no more than voters were ever called, times lanes.
#[derive(Clone)]
pub(crate) struct Links {
    connector: Connector,
    addresses: Arc<BTreeMap<i32, NodeAddress>>,
    open: Arc<Mutex<BTreeMap<(i32, Lane), Link>>>,
}

impl Links {
    pub(crate) fn new(connector: Connector, controllers: &[NodeAddress]) -> Self {
        let addresses = controllers.iter().map(|it| (it.node_id, it.clone()));
        Self {
            connector,
            addresses: Arc::new(addresses.collect()),
            open: Arc::default(),
        }
    }

    /// Sends over the link, which is opened if need be, and keeps it for the next request.
    async fn ask<R: Request>(
        self,
        mut link: OwnedMutexGuard<Option<NodeConnection>>,
        to: NodeAddress,
        request: R,
        deadline: Instant,
    ) -> Result<R::Response, TransportError> {
        let unreachable =
            |error: &dyn std::fmt::Display| TransportError::Unreachable(error.to_string());
        let mut connection = match link.take() {
            Some(connection) => connection,
            None => {
                let connected = self.connector.connect(&to, deadline).await;
                connected.map_err(|error| unreachable(&error))?
            }
        };
        let answer = connection.call(&request, VERSION, deadline).await;
        // After a failure it is not used again: a late answer would be taken for the next one's.
        let answer = answer.map_err(|error| unreachable(&error))?;
        *link = Some(connection);
        Ok(answer)
    }
}

impl QuorumTransport for Links {
    async fn call<R: Request>(
        &self,
        to: Voter,
        lane: Lane,
        request: R,
        limit: Duration,
    ) -> Result<R::Response, TransportError> {
        let address = self.addresses.get(&to.node_id).ok_or_else(|| {
            let what = format!("no address of voter {} in cluster.controllers", to.node_id);
            TransportError::Unreachable(what)
        })?;
        let link = {
            let mut open = self.open.lock();
            Arc::clone(open.entry((to.node_id, lane)).or_default())
        };
        let deadline = Instant::now() + limit;
        let asked = async {
            let link = link.lock_owned().await;
            // The quorum waits for a heartbeat no longer than until the next one is due. One that takes
            // longer is still answered, and a connection that is being opened is still opened: begun anew
            // each time, over a long line neither would ever come about.
            let ask = self.clone().ask(link, address.clone(), request, deadline);
            let asked = tokio::spawn(ask).await;
            asked.unwrap_or_else(|panic| Err(TransportError::Unreachable(panic.to_string())))
        };
        let answer = tokio::time::timeout_at(deadline, asked).await;
        answer.unwrap_or(Err(TransportError::TimedOut(limit)))
    }
}
