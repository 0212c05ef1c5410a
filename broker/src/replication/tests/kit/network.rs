//! The network: where everybody is, and who cannot reach whom.

use crate::byte_pool::{BytePool, CAPACITY_MIN};
use crate::cluster::{ConnectError, NoEndpoint, NodeAddress, NodeConnection, ReadHalf};
use crate::replication::{Parked, PeerFailure, Peers, Replication};
use crate::server::FrameReader;
use futures::future::BoxFuture;
use isthmus_wire::codec::{Decoder, Message, Part, Request};
use isthmus_wire::messages::{ReplicaFetchRequest, ReplicaFetchResponse};
use isthmus_wire::{ErrorCode, header};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longer than any test.
const IDLE_MAX: Duration = Duration::from_secs(600);

/// Where everybody is, and who cannot reach whom.
#[derive(Default)]
pub(super) struct Network {
    pub(super) links: Mutex<Links>,
}

#[derive(Default)]
pub(super) struct Links {
    pub(super) addresses: BTreeMap<i32, SocketAddr>,
    pub(super) cut: BTreeSet<(i32, i32)>,
    pub(super) open: BTreeMap<(i32, i32), Vec<std::net::TcpStream>>,
}

impl Network {
    /// Notes a connection, unless it was cut meanwhile.
    fn opened(&self, link: (i32, i32), stream: TcpStream) -> std::io::Result<TcpStream> {
        let stream = stream.into_std()?;
        let mut links = self.links.lock();
        if links.cut.contains(&link) {
            return Err(std::io::ErrorKind::ConnectionAborted.into());
        }
        links
            .open
            .entry(link)
            .or_default()
            .push(stream.try_clone()?);
        TcpStream::from_std(stream)
    }
}

pub(super) struct Neighbours {
    pub(super) id: i32,
    pub(super) network: Arc<Network>,
}

impl Peers for Neighbours {
    fn reach(
        &self,
        broker_id: i32,
        _: Instant,
    ) -> BoxFuture<'static, Result<NodeConnection, PeerFailure>> {
        let (network, link) = (Arc::clone(&self.network), (self.id, broker_id));
        Box::pin(async move {
            let address = network.links.lock().addresses.get(&broker_id).copied();
            let address = address.ok_or(NoEndpoint::NotRegistered(broker_id))?;
            let failed = |source| ConnectError::Io {
                to: NodeAddress {
                    node_id: broker_id,
                    host: address.ip().to_string(),
                    port: address.port(),
                },
                source,
            };
            let stream = TcpStream::connect(address).await.map_err(failed)?;
            stream.set_nodelay(true).ok();
            let stream = network.opened(link, stream).map_err(failed)?;
            let (read, write) = stream.into_split();
            let read: ReadHalf = Box::new(read);
            let source = FrameReader::new(read, BytePool::new(CAPACITY_MIN), 64 << 20);
            Ok(NodeConnection::new(source, Box::new(write)))
        })
    }
}

/// Serves other brokers' requests as `server` does: each is taken up when it comes, answers leave in
/// the order of the requests.
pub(super) async fn serve(
    listener: TcpListener,
    replication: Arc<Replication>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, _) = accepted.unwrap();
        stream.set_nodelay(true).ok();
        let connection = serve_one(stream, Arc::clone(&replication));
        let stop = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = connection => {}
            }
        });
    }
}

async fn serve_one(stream: TcpStream, replication: Arc<Replication>) {
    let (read, write) = stream.into_split();
    let mut reader = FrameReader::new(read, BytePool::new(CAPACITY_MIN), 64 << 20);
    let (answers, waiting) = mpsc::channel(64);
    let receiving = async move {
        while let Ok(Some(frame)) = reader.next(IDLE_MAX).await {
            let mut body = Decoder::new(frame.bytes);
            let head = header::decode_request_header(&mut body).unwrap();
            let request = ReplicaFetchRequest::decode(&mut body, 0).unwrap();
            let taken = replication.serve(&request);
            if answers.send((head.correlation_id, taken)).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = receiving => {}
        () = answer(write, waiting) => {}
    }
}

type Waiting = (i32, Result<Parked, ErrorCode>);

async fn answer(mut write: OwnedWriteHalf, mut waiting: mpsc::Receiver<Waiting>) {
    while let Some((correlation_id, taken)) = waiting.recv().await {
        let response = match taken {
            Ok(parked) => parked.answer().await,
            Err(error_code) => ReplicaFetchResponse {
                error_code,
                ..ReplicaFetchResponse::default()
            },
        };
        let key = ReplicaFetchRequest::KEY;
        let parts = header::encode_response(correlation_id, key, 0, &response).unwrap();
        for part in parts {
            let bytes = match part {
                Part::Bytes(bytes) => bytes.to_vec(),
                Part::File(region) => {
                    let mut bytes = vec![0; region.len];
                    let file = &region.file;
                    if file.read_exact_at(&mut bytes, region.position).is_err() {
                        return;
                    }
                    bytes
                }
            };
            if write.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }
}
