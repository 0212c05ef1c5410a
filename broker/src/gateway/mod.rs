//! The gateway: one stable address for a cluster, with one port per broker (requirements S0-01, S0-05).
//!
//! Owns: ports, and the carrying of connections from them to the brokers. Answers that carry addresses
//! are written anew, so that a client never sees another address than the gateway's; the rest streams
//! through. Must not know: what a broker of this crate holds; any Kafka cluster may stand behind it.
//! Invariants: no state outlives a connection, so two gateways with the same file are interchangeable;
//! no frame is held whole but answers to be rewritten, and those in bounded memory.
//!
//! Reading order: `keys` (what passes), `front` (which address a broker has), `head`, `pending`, `rewrite`
//! and `choice`, all without IO; then `pipe`, `connection`, `upstream`, `listen`; `settings` and `schema`.

mod choice;
mod connection;
mod front;
mod head;
mod keys;
mod listen;
mod metrics;
mod observe;
mod pending;
mod pipe;
mod refused;
mod rewrite;
mod schema;
mod settings;
mod upstream;

pub use schema::schema;
pub use settings::GatewaySettings;

use listen::{BoundPort, Shared};
use metrics::GatewayMetrics;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use upstream::Upstream;

/// Beyond the time that connections have for their last answers.
const STOP_MARGIN: Duration = Duration::from_secs(1);

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error(
        "could not listen at {address}: {error}; is another gateway or program there, and is it an address of this machine?"
    )]
    Bind {
        address: SocketAddr,
        error: io::Error,
    },
}

/// A gateway that runs.
pub struct RunningGateway {
    observe: Option<SocketAddr>,
    bootstrap: Vec<SocketAddr>,
    brokers: usize,
    drain_timeout: Duration,
    stop: CancellationToken,
    observed: CancellationToken,
    tasks: TaskTracker,
}

/// Binds all ports, then serves them. Brokers may be away.
///
/// It is async because it spawns tasks: it must be called within a runtime.
pub async fn start_gateway(settings: &GatewaySettings) -> Result<RunningGateway, GatewayError> {
    let metrics = Arc::new(GatewayMetrics::new());
    let limits = settings.limits.clone();
    let upstream = Upstream::new(&settings.brokers, &limits, Arc::clone(&metrics));
    let shared = Arc::new(Shared::new(limits, upstream, metrics));
    let observe = match settings.observe {
        Some(address) => {
            let socket = TcpListener::bind(address).await;
            Some(socket.map_err(|error| GatewayError::Bind { address, error })?)
        }
        None => None,
    };
    let mut ports: Vec<BoundPort> = Vec::new();
    for listener in &settings.listeners {
        let bound = listen::bind(listener, &shared.upstream).await;
        ports.extend(bound.map_err(|(address, error)| GatewayError::Bind { address, error })?);
    }
    let running = RunningGateway {
        observe: observe.as_ref().and_then(|socket| socket.local_addr().ok()),
        bootstrap: settings
            .listeners
            .iter()
            .map(|it| SocketAddr::new(it.bind, it.bootstrap_port))
            .collect(),
        brokers: settings.brokers.len(),
        drain_timeout: settings.limits.drain_timeout,
        stop: shared.stop.clone(),
        observed: CancellationToken::new(),
        tasks: TaskTracker::new(),
    };
    for port in ports {
        let serving = port.serve(Arc::clone(&shared), running.tasks.clone());
        running.tasks.spawn(serving);
    }
    let watching = Arc::clone(&shared);
    running
        .tasks
        .spawn(async move { watching.upstream.watch(&watching.stop).await });
    if let Some(socket) = observe {
        let observed = observe::serve(socket, shared, running.observed.clone());
        tokio::spawn(async move {
            if let Err(error) = observed.await {
                tracing::error!(event = "http_listener_ended", listener = "observe", %error);
            }
        });
    }
    Ok(running)
}

impl RunningGateway {
    /// Where observers are answered.
    pub fn observe(&self) -> Option<SocketAddr> {
        self.observe
    }

    /// The bootstrap port of each listener, in the order of the file.
    pub fn bootstrap(&self) -> &[SocketAddr] {
        &self.bootstrap
    }

    /// How many brokers the file names.
    pub fn brokers(&self) -> usize {
        self.brokers
    }

    /// Accepts nobody any more, lets requests under way get their answers, and closes the rest.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        let drained = tokio::time::timeout(self.drain_timeout + STOP_MARGIN, self.tasks.wait());
        if drained.await.is_err() {
            tracing::warn!(
                event = "gateway_not_drained",
                connections = self.tasks.len()
            );
        }
        self.observed.cancel();
    }
}
