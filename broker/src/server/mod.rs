//! Sockets: accepting connections, reading frames, writing answers in the order of the requests.
//!
//! Knows frames and the table of APIs, nothing of what a request means.

mod connection;
mod frame;
mod writer;

use crate::broker::Broker;
use crate::settings::Listener;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Most open connections of one listener; beyond it new ones wait in the kernel's backlog.
/// A connection costs about 20 kB, so the bound is also one on memory.
const CONNECTIONS_MAX: usize = 20_000;

/// After `accept` itself failed (out of file descriptors): wait before the next try, since the
/// error would come back at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that is bound but does not accept yet.
pub(crate) struct BoundListener {
    pub(crate) listener: Arc<Listener>,
    socket: TcpListener,
}

impl BoundListener {
    pub(crate) async fn bind(listener: Arc<Listener>) -> io::Result<Self> {
        let socket = TcpListener::bind(listener.bind).await?;
        Ok(Self { listener, socket })
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
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.accept(&room) => accepted,
            };
            let Some((stream, peer, permit)) = accepted else {
                continue;
            };
            let broker = Arc::clone(&broker);
            let listener = Arc::clone(&self.listener);
            let stop = stop.clone();
            tasks.spawn(async move {
                connection::serve(stream, peer, listener, broker, stop).await;
                drop(permit);
            });
        }
    }

    async fn accept(
        &self,
        room: &Arc<Semaphore>,
    ) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
        let permit = Arc::clone(room).acquire_owned().await.ok()?;
        match self.socket.accept().await {
            Ok((stream, peer)) => {
                // Answers are small and awaited: none may wait for the one before to be acknowledged.
                stream.set_nodelay(true).ok()?;
                Some((stream, peer, permit))
            }
            Err(error) => {
                tracing::warn!(event = "accept_failed", listener = %self.listener.name, %error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }
}
