//! TLS handshakes: only a few at a time on the processor.
//!
//! Waiting for a peer's bytes costs nothing but a place in the lobby. What costs is this broker's
//! signature: it is made only for a peer whose first message is whole, and by a bounded number at a
//! time, so that a crowd of newcomers leaves the other threads to those who are in.

use super::lobby::Place;
use crate::net::TcpStream;
use crate::security::ServerTls;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::Semaphore;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// Who may sign at the same time: half of the threads.
pub(super) struct Signers(Semaphore);

impl Signers {
    pub(super) fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Semaphore::new((threads / 2).max(1)))
    }

    /// The handshake on a new connection. The caller sets the deadline.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        tls: Arc<ServerTls>,
        place: &Place,
    ) -> io::Result<TlsStream<TcpStream>> {
        let first_message = rustls::server::Acceptor::default();
        let begun = LazyConfigAcceptor::new(first_message, stream).await?;
        place.set_busy(true);
        let turn = self.0.acquire().await;
        let mut accept = std::pin::pin!(begun.into_stream(Arc::clone(&tls.config)));
        // The first poll signs and answers; what remains waits for the peer.
        let signed = futures::poll!(&mut accept);
        drop(turn);
        place.set_busy(false);
        match signed {
            Poll::Ready(done) => done,
            Poll::Pending => accept.await,
        }
    }
}
