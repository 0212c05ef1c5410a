//! One connection: requests are taken up in the order they come, answers leave in the same order.
//!
//! A request has two stages. The first runs to its end before the next request is read: appends
//! and changes of metadata happen there, so that pipelined requests take effect in order. The
//! second, if there is one, waits for something (the high watermark, more bytes to fetch) and
//! holds back only the answers behind it.
//!
//! Bound: at most [`IN_FLIGHT_MAX`] answers wait; then no further request is read.

use super::frame::{Frame, FrameError, FrameReader};
use super::writer::FrameWriter;
use crate::api::{self, Caller, Outcome, Refusal};
use crate::broker::Broker;
use crate::settings::Listener;
use futures::FutureExt;
use futures::future::FusedFuture;
use isthmus_broker_core::security::Principal;
use isthmus_wire::codec::Part;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Requests of one connection that may wait for their answer. Producers use 5.
const IN_FLIGHT_MAX: usize = 64;

/// How long the last answers may take once no further request is read.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Serves one client until it leaves, misbehaves, or the broker stops.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    listener: Arc<Listener>,
    broker: Arc<Broker>,
    stop: CancellationToken,
) {
    broker.metrics.connections.inc();
    let (read, write) = stream.into_split();
    let (answers, waiting) = mpsc::channel(IN_FLIGHT_MAX);
    let size_max = broker.settings.socket_request_max_bytes;
    let reader = FrameReader::new(read, broker.pool.clone(), size_max);
    let caller = Caller {
        peer,
        listener,
        principal: Principal::anonymous(),
    };
    let mut sending = std::pin::pin!(send(FrameWriter::new(write), waiting).fuse());
    let ended = tokio::select! {
        ended = receive(reader, caller, &broker, answers) => ended,
        () = &mut sending => Ok(()),
        () = stop.cancelled() => Ok(()),
    };
    if let Err(refusal) = ended {
        broker.bad_requests.note(peer, &refusal);
    }
    // No further request is read, but what came before is owed its answers; unless it was the
    // writing that ended.
    if !sending.is_terminated() {
        drop(tokio::time::timeout(DRAIN_MAX, sending).await);
    }
    broker.metrics.connections.dec();
}

async fn receive<R: tokio::io::AsyncRead + Unpin>(
    mut reader: FrameReader<R>,
    caller: Caller,
    broker: &Arc<Broker>,
    answers: mpsc::Sender<Outcome>,
) -> Result<(), Refusal> {
    loop {
        let frame = match reader.next(broker.settings.connections_max_idle).await {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(FrameError::Io(_)) => return Ok(()),
            Err(error) => return Err(Refusal::Frame(error.to_string())),
        };
        let Frame { bytes, pooled } = frame;
        let outcome = api::dispatch(broker, &caller, bytes).await?;
        drop(pooled);
        if answers.send(outcome).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

async fn send(mut writer: FrameWriter, mut waiting: mpsc::Receiver<Outcome>) {
    while let Some(outcome) = waiting.recv().await {
        let parts: Vec<Part> = match outcome {
            Outcome::Answer(parts) => parts,
            Outcome::Later(answer) => match answer.await {
                Ok(parts) => parts,
                Err(_) => return,
            },
            Outcome::NoAnswer => continue,
        };
        if writer.write(&parts).await.is_err() {
            return;
        }
    }
}
