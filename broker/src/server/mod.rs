//! Sockets: accepting connections, the way in, reading frames, writing answers in the order of the
//! requests.
//!
//! Knows frames and the table of APIs, nothing of what a request means; only a login is taken up
//! here (`dialog`), because it decides who asks.

mod acceptor;
mod connection;
mod dialog;
mod frame;
mod handshake;
mod limits;
mod lobby;
mod mute;
mod transport;
mod writer;

pub(crate) use acceptor::Gate;
pub(crate) use frame::{FrameError, FrameReader};
pub(crate) use limits::Limits;

use crate::broker::Broker;
use crate::net::{TcpListener, TcpStream, end_in_silence};
use crate::security::ListenerSecurity;
use crate::settings::{Listener, ListenerKind};
use acceptor::Acceptor;
use limits::{Counted, ListenerLimits, TurnedAway};
use lobby::{Lobby, Place};
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

/// A listener that is bound but does not accept yet.
pub(crate) struct BoundListener {
    pub(crate) listener: Arc<Listener>,
    pub(crate) security: Arc<ListenerSecurity>,
    socket: TcpListener,
}

/// Most connections that are held, unread, because their address came too often; beyond it they are
/// closed at once.
const HELD_MAX: usize = 1_000;

/// A connection that has come.
enum Newcomer {
    MayStay(Accepted),
    /// To be closed after that time.
    TooSoon(TcpStream, Duration),
}

/// A connection that has come and may stay.
struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    counted: Counted,
    place: Option<Place>,
}

impl BoundListener {
    pub(crate) async fn bind(
        listener: Arc<Listener>,
        security: Arc<ListenerSecurity>,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(listener.bind).await?;
        Ok(Self {
            listener,
            security,
            socket,
        })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts until `stop` is cancelled.
    pub(crate) async fn serve(
        self,
        broker: Arc<Broker>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) {
        let acceptor = Arc::new(Acceptor {
            limits: ListenerLimits::new(&self.listener),
            metrics: broker.metrics.listener(&self.listener.name),
            nodes_only: !broker.settings.takes_clients(&self.listener),
            listener: self.listener,
            security: self.security,
            lobby: Lobby::default(),
            gate: Arc::clone(&broker.gate),
        });
        let places = Arc::new(Semaphore::new(HELD_MAX));
        loop {
            let newcomer = tokio::select! {
                () = stop.cancelled() => return,
                newcomer = accept(&self.socket, &acceptor) => newcomer,
            };
            match newcomer {
                None => {}
                Some(Newcomer::MayStay(accepted)) => {
                    let (broker, acceptor) = (Arc::clone(&broker), Arc::clone(&acceptor));
                    tasks.spawn(serve_one(accepted, acceptor, broker, stop.clone()));
                }
                Some(Newcomer::TooSoon(stream, time)) => {
                    if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                        tasks.spawn(hold(stream, time, place, stop.clone()));
                    }
                }
            }
        }
    }
}

async fn serve_one(
    accepted: Accepted,
    acceptor: Arc<Acceptor>,
    broker: Arc<Broker>,
    stop: CancellationToken,
) {
    let Accepted {
        stream,
        peer,
        counted,
        place,
    } = accepted;
    broker.metrics.connections.inc();
    acceptor.metrics.connections.inc();
    let (shared, all) = (Arc::clone(&acceptor), Arc::clone(&broker));
    connection::serve(stream, peer, place, shared, all, stop).await;
    acceptor.metrics.connections.dec();
    broker.metrics.connections.dec();
    drop(counted);
}

/// Keeps a connection without reading from it, then closes it.
async fn hold(
    stream: TcpStream,
    time: Duration,
    place: OwnedSemaphorePermit,
    stop: CancellationToken,
) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = stop.cancelled() => {}
    }
    drop((stream, place));
}

async fn accept(socket: &TcpListener, acceptor: &Acceptor) -> Option<Newcomer> {
    let (stream, peer) = match socket.accept().await {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::warn!(event = "accept_failed", listener = %acceptor.listener.name, %error);
            tokio::time::sleep(ACCEPT_PAUSE).await;
            return None;
        }
    };
    let admitted = acceptor.gate.limits.admit(&acceptor.limits, peer.ip());
    let counted = match admitted.await {
        Ok(counted) => counted,
        Err(TurnedAway::TooMany) => {
            acceptor.metrics.refused.inc();
            tracing::debug!(event = "connection_refused", listener = %acceptor.listener.name, %peer);
            return None;
        }
        Err(TurnedAway::TooSoon(time)) => {
            acceptor.metrics.throttled.inc();
            tracing::debug!(event = "connection_throttled", listener = %acceptor.listener.name, %peer);
            return Some(Newcomer::TooSoon(stream, time));
        }
    };
    // Answers are small and awaited: none may wait for the one before to be acknowledged.
    stream.set_nodelay(true).ok()?;
    if acceptor.listener.kind != ListenerKind::Client {
        end_in_silence(&stream).ok()?;
    }
    let place = acceptor.place(peer).await;
    Some(Newcomer::MayStay(Accepted {
        stream,
        peer,
        counted,
        place,
    }))
}
