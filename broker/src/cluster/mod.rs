//! This node among the others: how it reaches them, and how they know each other.
//!
//! [`Cluster`] is the one way to other nodes. It finds the active controller, knows where brokers
//! listen for each other, and opens connections whose two ends have proved who they are
//! (design, decision 20).
//!
//! Owns: addresses of controllers, connections this node opens. Must not know: what is said over
//! them, and what becomes of partitions.
//!
//! Reading order: this file, `connector` (a connection begins), `connection` (it carries requests),
//! `controllers` (the active one is found), `voices` (which of them answer), `links` (the voters' ways to each other).
//!
//! Bounds: every call has a deadline; [`TO_CONTROLLER_MAX`] requests at a time are under way to the active
//! controller, and one more for changes of ISRs.

mod connection;
mod connector;
mod controllers;
mod links;
mod voices;

#[cfg(test)]
pub(crate) use connection::ReadHalf;
pub(crate) use connection::{CallError, NodeAnswer, NodeConnection, NodeReceiver, NodeSender};
pub(crate) use connector::{CONNECT_MAX, ConnectError, Connector, LinkSecurity, ids_of};
pub(crate) use controllers::{ControllerAnswer, Deadlines, ToControllerError};
pub(crate) use links::Links;
pub(crate) use voices::Voices;

use arc_swap::ArcSwap;
use controllers::Controllers;
use isthmus_broker_core::metadata::MetadataImage;
use isthmus_wire::codec::Request;
use isthmus_wire::messages::{AlterPartitionRequest, AlterPartitionResponse};
use std::fmt;
use std::sync::Arc;
use tokio::time::Instant;

/// Requests under way from one node to the active controller. One may hang on a voter that does not come
/// up; a second change of voters is refused meanwhile, so that the others remain.
pub(crate) const TO_CONTROLLER_MAX: usize = 4;

/// Where a node listens for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeAddress {
    pub(crate) node_id: i32,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node_id,
            host,
            port,
        } = self;
        if host.contains(':') {
            write!(f, "{node_id}@[{host}]:{port}")
        } else {
            write!(f, "{node_id}@{host}:{port}")
        }
    }
}

/// Why a broker cannot be reached by another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoEndpoint {
    #[error("broker {0} is not registered")]
    NotRegistered(i32),
    #[error("broker {broker} has no listener {listener}")]
    NoListener { broker: i32, listener: String },
}

/// The other nodes; clones share connections.
#[derive(Clone)]
pub(crate) struct Cluster {
    image: Arc<ArcSwap<MetadataImage>>,
    /// Name of the listener by which brokers reach each other.
    broker_listener: Arc<str>,
    /// How connections to brokers begin; those to controllers have their own.
    to_brokers: Connector,
    controllers: Arc<Controllers>,
    /// For changes of ISRs: they must not wait behind what clients ask for.
    controllers_for_isrs: Arc<Controllers>,
    voices: Arc<Voices>,
}

impl Cluster {
    pub(crate) fn new(
        image: Arc<ArcSwap<MetadataImage>>,
        broker_listener: &str,
        to_brokers: Connector,
        to_controllers: &Connector,
        controllers: &[NodeAddress],
        voices: Voices,
    ) -> Self {
        let voices = Arc::new(voices);
        let way = |channels| {
            let (connector, addresses) = (to_controllers.clone(), controllers.to_vec());
            let voices = Arc::clone(&voices);
            Arc::new(Controllers::new(connector, addresses, voices, channels))
        };
        Self {
            image,
            broker_listener: broker_listener.into(),
            to_brokers,
            controllers_for_isrs: way(1),
            controllers: way(TO_CONTROLLER_MAX),
            voices,
        }
    }

    /// To be told who answers heartbeats.
    pub(crate) fn voices(&self) -> &Arc<Voices> {
        &self.voices
    }

    /// Asks the active controller, where that is another node. Looks for it as long as nobody has
    /// taken the request up; once it was sent and no answer came it is
    /// [`ToControllerError::Unanswered`], because it may yet be carried out, and only the caller knows
    /// what that means.
    pub(crate) async fn to_controller<R>(
        &self,
        request: &R,
        version: i16,
        deadlines: Deadlines,
    ) -> Result<R::Response, ToControllerError>
    where
        R: Request,
        R::Response: ControllerAnswer,
    {
        self.controllers.ask(request, version, deadlines).await
    }

    /// The same for changes of ISRs, by a connection of their own.
    pub(crate) async fn change_isrs(
        &self,
        request: &AlterPartitionRequest,
        version: i16,
        deadlines: Deadlines,
    ) -> Result<AlterPartitionResponse, ToControllerError> {
        self.controllers_for_isrs
            .ask(request, version, deadlines)
            .await
    }

    /// Where other brokers reach that one, as it registered itself.
    pub(crate) fn broker_address(&self, broker: i32) -> Result<NodeAddress, NoEndpoint> {
        let image = self.image.load();
        let registered = image.broker(broker);
        let registered = registered.ok_or(NoEndpoint::NotRegistered(broker))?;
        let endpoint = registered.endpoints.get(&*self.broker_listener);
        let endpoint = endpoint.ok_or_else(|| NoEndpoint::NoListener {
            broker,
            listener: self.broker_listener.to_string(),
        })?;
        Ok(NodeAddress {
            node_id: broker,
            host: endpoint.host.clone(),
            port: endpoint.port,
        })
    }

    /// Opens a connection to another broker's inter-broker listener, the handshake done.
    pub(crate) async fn connect(
        &self,
        to: &NodeAddress,
        deadline: Instant,
    ) -> Result<NodeConnection, ConnectError> {
        self.to_brokers.connect(to, deadline).await
    }
}
