//! The voters' ways to each other: one connection per voter and lane, opened when it is needed.
//!
//! Bound: one request per link is under way. Each ends by its own deadline, also when nobody waits
//! for its answer any more. A connection that is being opened has a deadline of its own, and is kept when
//! the request that it was opened for is over.

use super::NodeAddress;
use super::connection::NodeConnection;
use super::connector::{CONNECT_MAX, Connector};
use crate::metadata_log::{Lane, QuorumTransport, TransportError, Voter};
use isthmus_wire::codec::Request;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

/// Version of the voters' messages this build speaks; there is one.
const VERSION: i16 = 0;

/// One request at a time uses a link.
type Link = Arc<tokio::sync::Mutex<Option<NodeConnection>>>;

/// All links; clones share them. There are no more than voters were ever called, times lanes.
#[derive(Clone)]
pub(crate) struct Links {
    connector: Connector,
    addresses: Arc<BTreeMap<i32, NodeAddress>>,
    open: Arc<Mutex<BTreeMap<(i32, Lane), Link>>>,
}

impl Links {
    pub(crate) fn new(connector: Connector, controllers: &[NodeAddress]) -> Self {
        let addresses = controllers.iter().map(|it| (it.node_id, it.clone()));
        Self {
            connector,
            addresses: Arc::new(addresses.collect()),
            open: Arc::default(),
        }
    }

    /// Sends over the link, which is opened if need be, and keeps it for the next request. One that was
    /// used before may have ended unnoticed, as when the other node was started again: then the request
    /// is sent once more over a new one. It may be: whatever voters ask of each other, and brokers of
    /// voters, does nothing more when it comes twice.
    async fn ask<R: Request>(
        self,
        mut link: OwnedMutexGuard<Option<NodeConnection>>,
        to: NodeAddress,
        request: R,
        deadline: Instant,
    ) -> Result<R::Response, TransportError> {
        loop {
            let (mut connection, is_new) = match link.take() {
                Some(connection) => (connection, false),
                None => (self.connect(&to).await?, true),
            };
            if Instant::now() >= deadline {
                *link = Some(connection);
                return Err(unreachable(&"it took too long to connect"));
            }
            // After a failure it is not used again: a late answer would be taken for the next one's.
            match connection.call(&request, VERSION, deadline).await {
                Ok(answer) => {
                    *link = Some(connection);
                    return Ok(answer);
                }
                Err(error) if is_new || !error.is_of_the_connection() => {
                    return Err(unreachable(&error));
                }
                Err(_ended) => {}
            }
        }
    }

    async fn connect(&self, to: &NodeAddress) -> Result<NodeConnection, TransportError> {
        let deadline = Instant::now() + CONNECT_MAX;
        let connected = self.connector.connect(to, deadline).await;
        connected.map_err(|error| unreachable(&error))
    }
}

fn unreachable(error: &dyn std::fmt::Display) -> TransportError {
    TransportError::Unreachable(error.to_string())
}

impl QuorumTransport for Links {
    async fn call<R: Request>(
        &self,
        to: Voter,
        lane: Lane,
        request: R,
        limit: Duration,
    ) -> Result<R::Response, TransportError> {
        let address = self.addresses.get(&to.node_id).ok_or_else(|| {
            let what = format!("no address of voter {} in cluster.controllers", to.node_id);
            TransportError::Unreachable(what)
        })?;
        let link = {
            let mut open = self.open.lock();
            Arc::clone(open.entry((to.node_id, lane)).or_default())
        };
        let deadline = Instant::now() + limit;
        let asked = async {
            let link = link.lock_owned().await;
            // The quorum waits for a heartbeat no longer than until the next one is due. One that takes
            // longer is still answered, and a connection that is being opened is still opened: begun anew
            // each time, over a long line neither would ever come about.
            let ask = self.clone().ask(link, address.clone(), request, deadline);
            let asked = tokio::spawn(ask).await;
            asked.unwrap_or_else(|panic| Err(TransportError::Unreachable(panic.to_string())))
        };
        let answer = tokio::time::timeout_at(deadline, asked).await;
        answer.unwrap_or(Err(TransportError::TimedOut(limit)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::LinkSecurity;
    use super::*;
    use crate::byte_pool::BytePool;
    use crate::metadata_log::QuorumBond;
    use crate::net::{OwnedReadHalf, OwnedWriteHalf, TcpListener, TcpStream};
    use crate::server::FrameReader;
    use bytes::Bytes;
    use isthmus_broker_core::metadata::Incarnations;
    use isthmus_broker_core::security::NodeIdentity;
    use isthmus_wire::Uuid;
    use isthmus_wire::codec::{Encoder, Message};
    use isthmus_wire::messages::{NodeHandshakeResponse, QuorumVoteRequest, QuorumVoteResponse};
    use std::sync::atomic::AtomicI64;
    use tokio::io::AsyncWriteExt;

    /// Nothing in a story takes that long.
    const LONG: Duration = Duration::from_secs(30);

    const OTHER: Voter = Voter {
        node_id: 2,
        directory_id: Uuid([2; 16]),
    };

    const PORT: u16 = 9_093;

    /// On a network of its own, whose clock moves when nothing else does.
    fn story(told: impl Future<Output = ()> + 'static) {
        let mut network = turmoil::Builder::new()
            .simulation_duration(2 * LONG)
            .build();
        network.client("node", async {
            told.await;
            Ok(())
        });
        network.run().unwrap();
    }

    /// The other end of a link.
    struct Peer {
        source: FrameReader<OwnedReadHalf>,
        sink: OwnedWriteHalf,
    }

    impl Peer {
        fn new(stream: TcpStream) -> Self {
            let (source, sink) = stream.into_split();
            let source = FrameReader::new(source, BytePool::new(1 << 20), 1 << 20);
            Self { source, sink }
        }

        /// The correlation id of the next request; none when the connection ended.
        async fn asked(&mut self) -> Option<Bytes> {
            let frame = self.source.next(LONG).await.ok()??;
            Some(frame.bytes.slice(4..8))
        }

        async fn answer<M: Message>(&mut self, id: &Bytes, message: &M) {
            let mut body = Encoder::new();
            message.encode(&mut body, 0).unwrap();
            let body = body.into_bytes();
            // The header of such an answer: the id, and no tags.
            let len = i32::try_from(id.len() + 1 + body.len()).unwrap();
            let frame = [&len.to_be_bytes(), &id[..], &[0], &body[..]].concat();
            self.sink.write_all(&frame).await.unwrap();
        }

        async fn shake_hands(&mut self) {
            self.shake_hands_as("").await;
        }

        /// As a node of that quorum.
        async fn shake_hands_as(&mut self, quorum: &str) {
            let id = self.asked().await.unwrap();
            let done = NodeHandshakeResponse {
                is_done: true,
                incarnations: incarnations(quorum).ids().to_vec(),
                ..NodeHandshakeResponse::default()
            };
            self.answer(&id, &done).await;
        }

        async fn vote(&mut self, word: &str) {
            let id = self.asked().await.unwrap();
            let error_message = Some(word.to_owned());
            let answer = QuorumVoteResponse {
                error_message,
                ..QuorumVoteResponse::default()
            };
            self.answer(&id, &answer).await;
        }
    }

    /// Recoveries by a letter each.
    fn incarnations(text: &str) -> Incarnations {
        text.bytes().map(|byte| Uuid([byte; 16])).collect()
    }

    async fn peer() -> (TcpListener, Links) {
        peer_of(QuorumBond::new(Voter::default())).await
    }

    /// The links of a node that knows itself by that bond.
    async fn peer_of(bond: QuorumBond) -> (TcpListener, Links) {
        let listener = TcpListener::bind(("127.0.0.1", PORT)).await.unwrap();
        let identity = NodeIdentity {
            cluster_id: "c".to_owned(),
            node_id: 1,
            directory_id: Uuid([1; 16]),
        };
        let epoch = Arc::new(AtomicI64::new(-1));
        let pool = BytePool::new(1 << 20);
        let connector = Connector::new(identity, epoch, LinkSecurity::default(), pool, bond);
        let address = NodeAddress {
            node_id: OTHER.node_id,
            host: "127.0.0.1".to_owned(),
            port: PORT,
        };
        (listener, Links::new(connector, &[address]))
    }

    async fn accepted(listener: &TcpListener) -> Peer {
        let accepted = tokio::time::timeout(LONG, listener.accept()).await;
        Peer::new(accepted.unwrap().unwrap().0)
    }

    async fn ask(links: &Links, limit: Duration) -> Result<Option<String>, TransportError> {
        let request = QuorumVoteRequest::default();
        let answer = links.call(OTHER, Lane::Log, request, limit).await;
        answer.map(|answer| answer.error_message)
    }

    #[test]
    fn a_connection_outlives_the_request_that_it_was_opened_for() {
        story(slow_connection());
    }

    async fn slow_connection() {
        let (listener, links) = peer().await;
        let limit = Duration::from_millis(20);
        let (early, mut peer) = tokio::join!(ask(&links, limit), accepted(&listener));
        assert_eq!(early, Err(TransportError::TimedOut(limit)));
        // Only now does the other side say who it is.
        let there = async {
            peer.shake_hands().await;
            peer.vote("7").await;
        };
        let (answer, ()) = tokio::join!(ask(&links, LONG), there);
        assert_eq!(answer, Ok(Some("7".to_owned())));
    }

    #[test]
    fn a_request_is_sent_again_where_an_old_connection_had_ended() {
        story(ended_connection());
    }

    async fn ended_connection() {
        let (listener, links) = peer().await;
        let first = async {
            let mut peer = accepted(&listener).await;
            peer.shake_hands().await;
            peer.vote("1").await;
            peer
        };
        let (answer, mut peer) = tokio::join!(ask(&links, LONG), first);
        assert_eq!(answer, Ok(Some("1".to_owned())));
        let second = async {
            // It gets the request, and ends.
            peer.asked().await.unwrap();
            drop(peer);
            let mut peer = accepted(&listener).await;
            peer.shake_hands().await;
            peer.vote("2").await;
            peer
        };
        let (answer, mut peer) = tokio::join!(ask(&links, LONG), second);
        assert_eq!(answer, Ok(Some("2".to_owned())));
        // Once: if the new one ends as well, something is wrong over there.
        let ended = async {
            peer.asked().await.unwrap();
            drop(peer);
            let mut peer = accepted(&listener).await;
            peer.shake_hands().await;
            peer.asked().await.unwrap();
        };
        let (answer, ()) = tokio::join!(ask(&links, LONG), ended);
        assert!(
            matches!(answer, Err(TransportError::Unreachable(_))),
            "{answer:?}"
        );
    }

    #[test]
    fn a_node_of_the_quorum_before_its_recovery_is_not_heard() {
        story(old_quorum());
    }

    async fn old_quorum() {
        let bond = QuorumBond::new(Voter::default());
        bond.says(incarnations("a"), false);
        let (listener, links) = peer_of(bond.clone()).await;
        let same = async {
            let mut peer = accepted(&listener).await;
            peer.shake_hands_as("a").await;
            peer.vote("1").await;
            peer
        };
        let (answer, _kept) = tokio::join!(ask(&links, LONG), same);
        assert_eq!(answer, Ok(Some("1".to_owned())));
        // This node goes on to another incarnation: by the connection that is open it said something else.
        bond.says(incarnations("ab"), false);
        let old = async {
            let mut peer = accepted(&listener).await;
            peer.shake_hands_as("a").await;
            peer
        };
        let (answer, _kept) = tokio::join!(ask(&links, LONG), old);
        assert!(
            matches!(&answer, Err(TransportError::Unreachable(why)) if why.contains("before it was recovered")),
            "{answer:?}"
        );
        // A voter brings the log to whoever is being added.
        let links = Links {
            connector: links.connector.clone().reaching_older(),
            ..links
        };
        let behind = async {
            let mut peer = accepted(&listener).await;
            peer.shake_hands_as("a").await;
            peer.vote("2").await;
        };
        let (answer, ()) = tokio::join!(ask(&links, LONG), behind);
        assert_eq!(answer, Ok(Some("2".to_owned())));
    }
}
