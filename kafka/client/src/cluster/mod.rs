//! A cluster as one thing: its metadata, a connection to any of its brokers, requests that find
//! their way and are tried again until their deadline.
//!
//! Owns: the metadata snapshot, which topics are watched, the pool of connections, the coordinators
//! found. Must not know: what is in a request. There is no background task: metadata is fetched when
//! somebody needs it, by one caller at a time, while the others wait for the same answer.
//!
//! Invariant: only one cluster is ever talked to; its id is configured or learned from the first
//! answer, and checked on every connection before its first use.

mod coordinators;
mod error;
mod leaders;
mod metadata;
mod pool;
mod refresh;
mod route;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::{ClientConfig, ConfigError};
use crate::connection::{ConnectError, Connection, Connector};
use crate::deadline::Deadline;
use crate::net::{Address, Dial, TcpDialer};
pub use coordinators::CoordinatorKind;
pub use error::{Refusal, RequestError};
pub(crate) use leaders::{LeaderCall, LeaderItem};
pub use metadata::{Broker, Leader, Metadata, NO_EPOCH, NewLeader, Partition, Topic};
pub use pool::Lane;
use pool::{Node, Pool};
pub use route::{Destination, Verdict};

/// A client of one cluster; cheap to clone.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    config: ClientConfig,
    bootstrap: Vec<Address>,
    pool: Pool,
    metadata: watch::Sender<Arc<Metadata>>,
    wanted: Mutex<Wanted>,
    /// Held by the one caller that fetches metadata; when it last did.
    refreshing: tokio::sync::Mutex<Option<Instant>>,
    fetched_at: Mutex<Option<Instant>>,
    cluster_id: OnceLock<String>,
    coordinators: Mutex<HashMap<(CoordinatorKind, String), Broker>>,
}

/// Which topics metadata is fetched for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    All,
    /// Those that were asked for and exist.
    Named(BTreeSet<Arc<str>>),
}

impl Cluster {
    /// Checks the configuration; connects to nobody yet.
    pub fn new(config: ClientConfig) -> Result<Self, ConfigError> {
        Self::with_dialer(config, Arc::new(TcpDialer))
    }

    /// As `new`, over another kind of network.
    pub fn with_dialer(config: ClientConfig, dialer: Arc<dyn Dial>) -> Result<Self, ConfigError> {
        let bootstrap = config.check()?;
        let connector = Connector::with_dialer(&config, dialer);
        let cluster_id = OnceLock::new();
        if let Some(expected) = &config.expect_cluster_id {
            cluster_id.get_or_init(|| expected.clone());
        }
        Ok(Self(Arc::new(Inner {
            pool: Pool::new(&config, connector),
            config,
            bootstrap,
            metadata: watch::Sender::new(Arc::new(Metadata::default())),
            wanted: Mutex::new(Wanted::Named(BTreeSet::new())),
            refreshing: tokio::sync::Mutex::new(None),
            fetched_at: Mutex::new(None),
            cluster_id,
            coordinators: Mutex::new(HashMap::new()),
        })))
    }

    pub fn config(&self) -> &ClientConfig {
        &self.0.config
    }

    /// The deadline of an operation that starts now, as configured.
    pub fn operation_deadline(&self) -> Deadline {
        Deadline::after(self.0.config.operation_timeout)
    }

    /// The id of the only cluster talked to, once it is known.
    pub fn cluster_id(&self) -> Option<&str> {
        self.0.cluster_id.get().map(String::as_str)
    }

    /// The metadata as last fetched.
    pub fn metadata(&self) -> Arc<Metadata> {
        Arc::clone(&self.0.metadata.borrow())
    }

    /// Tells of every change of the metadata.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Metadata>> {
        self.0.metadata.subscribe()
    }

    /// The connection to a broker for a purpose, opened if need be.
    pub async fn connection(
        &self,
        broker: i32,
        lane: Lane,
        deadline: Deadline,
    ) -> Result<Connection, RequestError> {
        let address = match self.address(broker) {
            Some(address) => address,
            None => {
                self.refresh(deadline).await?;
                self.address(broker)
                    .ok_or(ConnectError::UnknownBroker { broker })?
            }
        };
        Ok(self
            .open(Node::Broker(broker), lane, &address, deadline)
            .await?)
    }

    /// A connection to whichever broker can be reached, for metadata and admin calls.
    pub async fn any_connection(&self, deadline: Deadline) -> Result<Connection, RequestError> {
        let mut last = ConnectError::NoBroker;
        for (node, address) in self.candidates() {
            match self.open(node, Lane::Control, &address, deadline).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
            if deadline.has_passed() {
                break;
            }
        }
        Err(last.into())
    }

    /// The connection to the broker that takes controller requests.
    pub async fn controller_connection(
        &self,
        deadline: Deadline,
    ) -> Result<Connection, RequestError> {
        let known = self.metadata().controller;
        let controller = match known {
            Some(controller) => Some(controller),
            None => self.refresh(deadline).await?.controller,
        };
        match controller {
            Some(controller) => self.connection(controller, Lane::Control, deadline).await,
            None => self.any_connection(deadline).await,
        }
    }

    fn address(&self, broker: i32) -> Option<Address> {
        self.metadata()
            .brokers
            .get(&broker)
            .map(|broker| broker.address.clone())
    }

    async fn open(
        &self,
        node: Node,
        lane: Lane,
        address: &Address,
        deadline: Deadline,
    ) -> Result<Connection, ConnectError> {
        self.0
            .pool
            .get(node, lane, address, self.cluster_id(), deadline)
            .await
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Cluster");
        shown
            .field("bootstrap", &self.0.bootstrap)
            .field("cluster_id", &self.cluster_id());
        shown.finish_non_exhaustive()
    }
}
