//! The way to the brokers: connections are made when a client comes, and whoever could not be reached is
//! looked for again until it is there.

use super::choice::Choice;
use super::metrics::GatewayMetrics;
use super::settings::{BrokerPlace, GatewayLimits};
use crate::net::{TcpStream, end_after_silence};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two looks for brokers that could not be reached.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Upstream {
    pub(super) brokers: Vec<BrokerPlace>,
    connect_timeout: Duration,
    silence: Duration,
    choice: Mutex<Choice>,
    metrics: Arc<GatewayMetrics>,
}

/// A connection to a broker, by its place in the file.
pub(super) struct Reached {
    pub(super) at: usize,
    pub(super) stream: TcpStream,
}

impl Upstream {
    pub(super) fn new(
        brokers: &[BrokerPlace],
        limits: &GatewayLimits,
        metrics: Arc<GatewayMetrics>,
    ) -> Self {
        Self {
            choice: Mutex::new(Choice::new(brokers.len())),
            brokers: brokers.to_vec(),
            connect_timeout: limits.connect_timeout,
            silence: limits.broker_silence,
            metrics,
        }
    }

    /// Whether any broker was there when it was last tried.
    pub(super) fn any_reached(&self) -> bool {
        self.choice.lock().any_reached()
    }

    /// To that broker and no other.
    pub(super) async fn connect(&self, at: usize) -> Option<Reached> {
        match self.try_connect(at).await {
            Ok(stream) => {
                self.note_reached(at);
                Some(Reached { at, stream })
            }
            Err(error) => {
                self.note_failed(at, &error);
                None
            }
        }
    }

    /// To any broker, each in turn.
    pub(super) async fn connect_any(&self) -> Option<Reached> {
        let order = self.choice.lock().order();
        for at in order {
            if let Some(reached) = self.connect(at).await {
                return Some(reached);
            }
        }
        None
    }

    /// Looks for those that are in doubt, at the start for all, until `stop`.
    pub(super) async fn watch(&self, stop: &CancellationToken) {
        loop {
            let doubtful = self.choice.lock().doubtful();
            let looks = doubtful.into_iter().map(|at| self.connect(at));
            let pause = async {
                futures::future::join_all(looks).await;
                tokio::time::sleep(LOOK_AGAIN).await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = pause => {}
            }
        }
    }

    async fn try_connect(&self, at: usize) -> io::Result<TcpStream> {
        let BrokerPlace { host, port, .. } = &self.brokers[at];
        let connected = TcpStream::connect((host.as_str(), *port));
        let in_time = tokio::time::timeout(self.connect_timeout, connected).await;
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
        let stream = in_time.map_err(late)??;
        // Frames are passed on as they come: none may wait for the one before to be acknowledged.
        stream.set_nodelay(true)?;
        end_after_silence(&stream, self.silence)?;
        Ok(stream)
    }

    fn note_reached(&self, at: usize) {
        let BrokerPlace { id, host, port } = &self.brokers[at];
        self.metrics.reached(*id);
        let is_news = self.choice.lock().reached(at);
        if is_news {
            tracing::info!(event = "gateway_broker_reached", broker = id, address = %format_args!("{host}:{port}"));
        }
    }

    fn note_failed(&self, at: usize, error: &io::Error) {
        let BrokerPlace { id, host, port } = &self.brokers[at];
        self.metrics.not_reached(*id);
        let is_news = self.choice.lock().failed(at);
        if is_news {
            tracing::warn!(
                event = "gateway_broker_not_reached",
                broker = id,
                address = %format_args!("{host}:{port}"),
                %error,
                "its port closes what comes, and newcomers are taken to others, until it is there again"
            );
        }
    }
}
