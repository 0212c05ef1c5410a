//! The connections of one client: one per broker and lane, opened when first needed.
//!
//! Owns: which connection serves whom, single-flight opening, back-off after failures. Must not
//! know: topics. Bounded by brokers × lanes; slots of brokers that left are dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::config::ClientConfig;
use crate::connection::{ConnectError, Connection, Connector};
use crate::deadline::Deadline;
use crate::net::Address;
use crate::retry::Backoff;

/// What a connection is for. Answers come in order, so a fetch that waits for records must not
/// stand before a produce or a metadata request; and one connection's window limits its rate, so
/// there may be several for one purpose, with partitions pinned to one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Metadata and admin calls.
    Control,
    Fetch(u16),
    Produce(u16),
}

/// Whom a connection leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    Broker(i32),
    /// A bootstrap address, by its place in the configuration.
    Bootstrap(usize),
}

/// One place in the pool.
struct Slot {
    current: Mutex<Option<Connection>>,
    /// Held while a connection is opened, so that all who need it wait for one.
    opening: tokio::sync::Mutex<Opening>,
}

struct Opening {
    backoff: Backoff,
    not_before: Option<Instant>,
    last_failure: Option<String>,
}

pub(super) struct Pool {
    connector: Connector,
    slots: Mutex<HashMap<(Node, Lane), Arc<Slot>>>,
    backoff_min: Duration,
    backoff_max: Duration,
}

impl Pool {
    pub(super) fn new(config: &ClientConfig, connector: Connector) -> Self {
        Self {
            connector,
            slots: Mutex::new(HashMap::new()),
            backoff_min: config.reconnect_backoff_min,
            backoff_max: config.reconnect_backoff_max,
        }
    }

    /// The connection for this purpose if there is one and it lives.
    pub(super) fn open_now(&self, node: Node, lane: Lane) -> Option<Connection> {
        let slot = self.slots.lock().get(&(node, lane)).map(Arc::clone)?;
        slot.living(None)
    }

    /// The connection for this purpose; a new one if there is none, if it ended, or if the broker
    /// has another address now.
    pub(super) async fn get(
        &self,
        node: Node,
        lane: Lane,
        address: &Address,
        cluster_id: Option<&str>,
        deadline: Deadline,
    ) -> Result<Connection, ConnectError> {
        let slot = self.slot(node, lane);
        if let Some(connection) = slot.living(Some(address)) {
            return Ok(connection);
        }
        let timed_out = |elapsed| ConnectError::TimedOut {
            address: address.clone(),
            elapsed,
        };
        let mut opening = deadline.run(slot.opening.lock()).await.map_err(timed_out)?;
        if let Some(connection) = slot.living(Some(address)) {
            return Ok(connection);
        }
        opening.wait(address, deadline).await?;
        let outcome = self
            .connector
            .connect_to(address, cluster_id, deadline)
            .await;
        opening.note(outcome.as_ref().err());
        let connection = outcome?;
        *slot.current.lock() = Some(connection.clone());
        Ok(connection)
    }

    fn slot(&self, node: Node, lane: Lane) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        let slot = slots.entry((node, lane)).or_insert_with(|| {
            let backoff = Backoff::new(self.backoff_min, self.backoff_max);
            Arc::new(Slot {
                current: Mutex::new(None),
                opening: tokio::sync::Mutex::new(Opening {
                    backoff,
                    not_before: None,
                    last_failure: None,
                }),
            })
        });
        Arc::clone(slot)
    }

    /// Forgets the connections that nobody needs any more; those in use live until they are let go.
    pub(super) fn keep(&self, needed: impl Fn(Node) -> bool) {
        self.slots.lock().retain(|&(node, _), _| needed(node));
    }
}

impl Slot {
    fn living(&self, address: Option<&Address>) -> Option<Connection> {
        let mut current = self.current.lock();
        let lives = current.as_ref().is_some_and(|connection| {
            connection.lost().is_none()
                && address.is_none_or(|address| connection.address() == address)
        });
        if !lives {
            *current = None;
        }
        current.clone()
    }
}

impl Opening {
    async fn wait(&self, address: &Address, deadline: Deadline) -> Result<(), ConnectError> {
        let Some(not_before) = self.not_before else {
            return Ok(());
        };
        let wait = not_before.saturating_duration_since(Instant::now());
        let no_time = |_| ConnectError::BackingOff {
            address: address.clone(),
            last: self.last_failure.clone(),
        };
        deadline.sleep(wait).await.map_err(no_time)
    }

    /// Also after a success some time passes before the next try: a broker that accepts and closes
    /// at once must not be dialled without pause.
    fn note(&mut self, failure: Option<&ConnectError>) {
        if failure.is_none() {
            self.backoff.reset();
        }
        let mut backoff = self.backoff.clone();
        self.not_before = Some(Instant::now() + backoff.next_wait());
        if failure.is_some() {
            self.backoff = backoff;
        }
        self.last_failure = failure.map(ToString::to_string);
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("slots", &self.slots.lock().len())
            .finish_non_exhaustive()
    }
}
