//! What the daemon offers over HTTP.
//!
//! Owns: two listeners. `observe` is GET only and may be public: /metrics, /healthz, /readyz, /status.
//! `control` changes things: it listens on loopback, or asks for a token. Both show what they offer
//! as an OpenAPI document at /openapi.json. Must not know how anything is done: pages show the
//! snapshot, commands go into the queue.

mod client;
mod control;
mod observe;
mod openapi;

pub use client::{DaemonAnswer, DaemonError, get, post};
pub use control::{FlowAnswer, Part, Refusal};
pub use openapi::document as openapi;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::certificate;
use crate::control::ControlHandle;
use crate::settings::{ControlSettings, Settings};
use crate::status::ReplicatorStatus;

/// The data path publishes each second; silent for this long it does not move any more.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Sockets that are bound and not served yet.
#[derive(Debug)]
pub struct Listeners {
    observe: Option<TcpListener>,
    control: Option<(TcpListener, ControlSettings)>,
}

/// What the pages show.
pub(crate) struct Shown {
    status: watch::Receiver<Arc<ReplicatorStatus>>,
    /// When the data path last published, by our own clock.
    heard: Mutex<Instant>,
    /// Clusters to which a certificate is shown.
    certificates: Vec<(String, PathBuf)>,
}

impl Listeners {
    /// Binds both, so that a port in use is told before anything runs.
    pub async fn bind(settings: &Settings) -> io::Result<Self> {
        let observe = match settings.daemon.observe {
            Some(address) => Some(bind("observe", address).await?),
            None => None,
        };
        let control = match &settings.daemon.control {
            Some(control) => Some((bind("control", control.address).await?, control.clone())),
            None => None,
        };
        Ok(Self { observe, control })
    }

    /// Where observers are answered.
    pub fn observe(&self) -> Option<SocketAddr> {
        self.observe.as_ref()?.local_addr().ok()
    }

    /// Where commands are taken.
    pub fn control(&self) -> Option<SocketAddr> {
        self.control.as_ref()?.0.local_addr().ok()
    }

    /// Serves both until `stop`.
    pub async fn serve(
        self,
        settings: &Settings,
        status: watch::Receiver<Arc<ReplicatorStatus>>,
        commands: ControlHandle,
        stop: CancellationToken,
    ) {
        let clusters = settings.clusters.values();
        let certificates = clusters.filter_map(|cluster| {
            let file = cluster.certificate_file()?;
            Some((cluster.name.to_string(), file.to_owned()))
        });
        let shown = Arc::new(Shown {
            status: status.clone(),
            heard: Mutex::new(Instant::now()),
            certificates: certificates.collect(),
        });
        let mut servers = JoinSet::new();
        servers.spawn(listen(Arc::clone(&shown), status, stop.clone()));
        if let Some(socket) = self.observe {
            let pages = observe::pages(Arc::clone(&shown));
            servers.spawn(answer("observe", socket, pages, stop.clone()));
        }
        if let Some((socket, control)) = self.control {
            let pages = control::pages(shown, commands, control.token);
            servers.spawn(answer("control", socket, pages, stop));
        }
        while servers.join_next().await.is_some() {}
    }
}

async fn bind(name: &str, address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let text = format!("could not listen at daemon.{name} = {address}: {error}");
        io::Error::new(error.kind(), text)
    })
}

async fn answer(name: &str, socket: TcpListener, pages: axum::Router, stop: CancellationToken) {
    let served = axum::serve(socket, pages).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(event = "http_listener_ended", listener = name, "{error}");
    }
}

/// Notes each time that the data path publishes.
async fn listen(
    shown: Arc<Shown>,
    mut status: watch::Receiver<Arc<ReplicatorStatus>>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = status.changed() => match changed {
                Ok(()) => *shown.heard.lock() = Instant::now(),
                Err(_) => return,
            },
        }
    }
}

impl Shown {
    /// The newest snapshot, with what is known here alone.
    fn status(&self) -> ReplicatorStatus {
        let mut status = ReplicatorStatus::clone(&self.status.borrow());
        let now_ms = wall_ms();
        for cluster in &mut status.clusters {
            let file = self.certificates.iter().find(|it| it.0 == cluster.name);
            cluster.certificate_days =
                file.and_then(|(_, path)| certificate::days_left(path, now_ms));
        }
        status
    }

    fn is_ready(&self) -> bool {
        self.status.borrow().joined
    }

    /// Whether this process moves; what clusters do is not its health.
    fn is_alive(&self) -> bool {
        self.heard.lock().elapsed() <= SILENCE_MAX
    }
}

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests;
