//! The ports of the gateway: all bound before anything is accepted, then served until the stop.

use super::connection::{Ended, Line, Notes, carry};
use super::head::Asked;
use super::metrics::GatewayMetrics;
use super::refused::RefusedLines;
use super::settings::{GatewayLimits, GatewayListener};
use super::upstream::{Reached, Upstream};
use crate::byte_pool::BytePool;
use crate::net::{TcpListener, TcpStream, end_after_silence};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// After `accept` itself failed (out of file descriptors): wait before the next try, since the
/// error would come back at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Most brokers without a port that are remembered, so that each is told once.
const UNMAPPED_MAX: usize = 1_000;

/// What all connections share.
pub(super) struct Shared {
    pub(super) limits: GatewayLimits,
    pub(super) upstream: Upstream,
    pub(super) metrics: Arc<GatewayMetrics>,
    pub(super) pool: BytePool,
    /// One for each connection that may be open.
    places: Arc<Semaphore>,
    is_full: Mutex<bool>,
    refused: RefusedLines,
    unmapped: Mutex<BTreeSet<i32>>,
    pub(super) stop: CancellationToken,
}

/// Whom a port leads to.
#[derive(Debug, Clone, Copy)]
enum Goal {
    AnyBroker,
    /// By its place in the file.
    Broker(usize),
}

/// A port that is bound and does not accept yet.
pub(super) struct BoundPort {
    socket: TcpListener,
    goal: Goal,
    listener: Arc<GatewayListener>,
}

impl Shared {
    pub(super) fn new(
        limits: GatewayLimits,
        upstream: Upstream,
        metrics: Arc<GatewayMetrics>,
    ) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.connections_max)),
            limits,
            upstream,
            metrics,
            // The least it takes: answers are small, and wait for each other at the bound.
            pool: BytePool::new(0),
            is_full: Mutex::new(false),
            refused: RefusedLines::default(),
            unmapped: Mutex::new(BTreeSet::new()),
            stop: CancellationToken::new(),
        }
    }

    /// A place for a newcomer; told when there is none, and when there is one again.
    fn place(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        let is_full = place.is_none();
        let was_full = std::mem::replace(&mut *self.is_full.lock(), is_full);
        match (was_full, is_full) {
            (false, true) => tracing::warn!(
                event = "gateway_full",
                max_connections = self.limits.connections_max,
                "newcomers are closed at once; raise gateway.max_connections, or add a gateway"
            ),
            (true, false) => tracing::info!(event = "gateway_no_longer_full"),
            (true, true) | (false, false) => {}
        }
        if is_full {
            self.metrics.turned_away.inc();
        }
        place
    }
}

impl Notes for Shared {
    fn rewritten(&self, asked: &Asked, unmapped: &[i32]) {
        self.metrics.rewritten(asked.key.name());
        if unmapped.is_empty() {
            return;
        }
        let mut known = self.unmapped.lock();
        for &broker in unmapped {
            if known.len() < UNMAPPED_MAX && known.insert(broker) {
                tracing::warn!(
                    event = "gateway_broker_unmapped",
                    broker,
                    "the cluster names it and the file does not: clients do not see it; add it to [[brokers]]"
                );
            }
        }
        let count = i64::try_from(known.len()).unwrap_or(i64::MAX);
        self.metrics.unmapped.set(count);
    }
}

/// Binds the bootstrap port of a listener and one for each broker.
pub(super) async fn bind(
    listener: &GatewayListener,
    upstream: &Upstream,
) -> Result<Vec<BoundPort>, (SocketAddr, io::Error)> {
    let listener = Arc::new(listener.clone());
    let brokers = upstream.brokers.iter().enumerate();
    let of_brokers = brokers.filter_map(|(at, broker)| {
        let port = listener.front.port(broker.id)?;
        Some((port, Goal::Broker(at)))
    });
    let mut bound = Vec::new();
    for (port, goal) in
        std::iter::once((listener.bootstrap_port, Goal::AnyBroker)).chain(of_brokers)
    {
        let address = SocketAddr::new(listener.bind, port);
        let socket = TcpListener::bind(address).await;
        bound.push(BoundPort {
            socket: socket.map_err(|error| (address, error))?,
            goal,
            listener: Arc::clone(&listener),
        });
    }
    Ok(bound)
}

impl BoundPort {
    /// Accepts until the stop.
    pub(super) async fn serve(self, shared: Arc<Shared>, tasks: TaskTracker) {
        loop {
            let accepted = tokio::select! {
                () = shared.stop.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(event = "accept_failed", listener = %self.listener.name, %error);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if let Some(place) = shared.place() {
                let newcomer = Newcomer {
                    stream,
                    peer,
                    goal: self.goal,
                    listener: Arc::clone(&self.listener),
                };
                tasks.spawn(serve_one(newcomer, Arc::clone(&shared), place));
            }
        }
    }
}

struct Newcomer {
    stream: TcpStream,
    peer: SocketAddr,
    goal: Goal,
    listener: Arc<GatewayListener>,
}

async fn serve_one(newcomer: Newcomer, shared: Arc<Shared>, place: OwnedSemaphorePermit) {
    let Newcomer {
        stream,
        peer,
        goal,
        listener,
    } = newcomer;
    let open = shared.metrics.came(&listener.name);
    let reached = tokio::select! {
        () = shared.stop.cancelled() => None,
        reached = shared.reach(goal) => reached,
    };
    if let Some(reached) = reached {
        shared.carry(stream, peer, reached, &listener).await;
    }
    drop((open, place));
}

impl Shared {
    async fn reach(&self, goal: Goal) -> Option<Reached> {
        match goal {
            Goal::AnyBroker => self.upstream.connect_any().await,
            Goal::Broker(at) => self.upstream.connect(at).await,
        }
    }

    async fn carry(
        &self,
        client: TcpStream,
        peer: SocketAddr,
        Reached { at, stream }: Reached,
        listener: &GatewayListener,
    ) {
        let broker = self.upstream.brokers[at].id;
        let prepared = client
            .set_nodelay(true)
            .and_then(|()| end_after_silence(&client, self.limits.client_silence));
        if let Err(error) = prepared {
            // It has gone again.
            tracing::debug!(event = "gateway_client_gone", listener = %listener.name, %peer, %error);
            return;
        }
        let line = Line {
            front: &listener.front,
            metrics: self.metrics.line(&listener.name, broker),
            notes: self,
            pool: &self.pool,
            idle_timeout: self.limits.idle_timeout,
            drain_timeout: self.limits.drain_timeout,
            request_bytes_max: self.limits.request_bytes_max,
            stop: &self.stop,
        };
        let ended = carry(client.into_split(), stream.into_split(), &line).await;
        let name = &listener.name;
        match ended {
            Ended::Refused(refused) => {
                self.refused
                    .note(&self.metrics, name, peer, broker, &refused);
            }
            // Peers go as they please; what they do next is theirs.
            Ended::Broken(error) => {
                tracing::debug!(event = "gateway_connection_broken", listener = name, %peer, broker, %error);
            }
            Ended::ClientLeft | Ended::BrokerLeft | Ended::Idle | Ended::Stopped => {
                tracing::debug!(event = "gateway_connection_ended", listener = name, %peer, broker, ?ended);
            }
        }
    }
}
