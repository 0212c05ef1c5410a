//! The broker's end of one connection, moved by hand.

use bytes::Bytes;
use isthmus_client::config::ClientConfig;
use isthmus_client::net::Stream;
use isthmus_client::{Connection, Connector, Deadline};
use isthmus_wire::ApiKey;
use isthmus_wire::codec::{Decoder, Message, Part, Request};
use isthmus_wire::header::{decode_request_header, encode_response};
use isthmus_wire::messages::api_versions_response::ApiVersion;
use isthmus_wire::messages::{ApiVersionsResponse, RequestHeader};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::net::{FakeNet, Listener};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    pub(crate) header: RequestHeader,
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    body: Bytes,
}

impl Incoming {
    pub(crate) fn parse(frame: Bytes) -> Self {
        let mut decoder = Decoder::new(frame);
        let header = decode_request_header(&mut decoder).unwrap();
        let key = ApiKey::try_from(header.request_api_key).unwrap();
        let version = header.request_api_version;
        Self {
            header,
            key,
            version,
            body: decoder.into_rest(),
        }
    }

    pub(crate) fn read<R: Request>(&self) -> R {
        assert_eq!(self.key, R::KEY);
        let mut decoder = Decoder::new(self.body.clone());
        let request = R::decode(&mut decoder, self.version).unwrap();
        decoder.expect_end().unwrap();
        request
    }

    /// The frame that answers it.
    pub(crate) fn answer<M: Message>(&self, message: &M) -> Vec<u8> {
        self.answer_as(message, self.version)
    }

    /// The same in another version than was asked.
    pub(crate) fn answer_as<M: Message>(&self, message: &M, version: i16) -> Vec<u8> {
        let parts = encode_response(self.header.correlation_id, self.key, version, message);
        flat(&parts.unwrap())
    }
}

pub(crate) fn flat(parts: &[Part]) -> Vec<u8> {
    let bytes = parts.iter().map(|part| match part {
        Part::Bytes(bytes) => bytes.to_vec(),
        Part::File(region) => panic!("{region:?}"),
    });
    bytes.collect::<Vec<_>>().concat()
}

/// One connection, seen from the broker.
pub(crate) struct Peer {
    stream: Box<dyn Stream>,
}

impl Peer {
    pub(crate) fn new(stream: impl Stream) -> Self {
        Self {
            stream: Box::new(stream),
        }
    }

    pub(crate) async fn accept(listener: &mut Listener) -> Self {
        Self::new(listener.recv().await.expect("somebody dials"))
    }

    /// The next request; `None` when the client closed.
    pub(crate) async fn next(&mut self) -> Option<Incoming> {
        let size = self.stream.read_u32().await.ok()?;
        let mut frame = vec![0; size as usize];
        self.stream.read_exact(&mut frame).await.ok()?;
        Some(Incoming::parse(frame.into()))
    }

    /// The next request, which must be of this kind.
    pub(crate) async fn expect(&mut self, key: ApiKey) -> Incoming {
        let incoming = self.next().await.expect("a request");
        assert_eq!(incoming.key, key);
        incoming
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn answer<M: Message>(&mut self, to: &Incoming, message: &M) {
        self.send(&to.answer(message)).await;
    }

    /// Answers ApiVersions with everything that the client knows.
    pub(crate) async fn greet(&mut self) {
        let hello = self.expect(ApiKey::ApiVersions).await;
        self.answer(&hello, &all_versions()).await;
    }
}

/// The client's own versions.
pub(crate) fn all_versions() -> ApiVersionsResponse {
    versions(|_| i16::MAX)
}

/// The client's own versions, none above what `highest` says.
pub(crate) fn versions(highest: impl Fn(ApiKey) -> i16) -> ApiVersionsResponse {
    let row = |key: &ApiKey| ApiVersion {
        api_key: (*key).into(),
        min_version: key.versions().min,
        max_version: key.versions().max.min(highest(*key)),
    };
    let keys = ApiKey::ALL.iter().map(row);
    let api_keys = keys
        .filter(|row| row.min_version <= row.max_version)
        .collect();
    ApiVersionsResponse {
        api_keys,
        ..Default::default()
    }
}

/// The address that single connections go to.
pub(crate) const ADDRESS: &str = "broker:9092";

pub(crate) fn config() -> ClientConfig {
    ClientConfig::new([ADDRESS])
}

pub(crate) fn seconds(count: u64) -> Deadline {
    Deadline::after(Duration::from_secs(count))
}

/// A client's connection and its other end, handshakes done.
pub(crate) async fn connected(config: &ClientConfig) -> (Connection, Peer) {
    let net = FakeNet::default();
    let mut listener = net.listen(ADDRESS);
    let connector = Connector::with_dialer(config, Arc::new(net));
    let address = ADDRESS.parse().unwrap();
    let broker = async {
        let mut peer = Peer::accept(&mut listener).await;
        peer.greet().await;
        peer
    };
    let (connection, peer) = tokio::join!(connector.connect(&address, seconds(10)), broker);
    (connection.unwrap(), peer)
}
