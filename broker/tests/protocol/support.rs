//! A broker in this process and a client that hides nothing.

use bytes::{Bytes, BytesMut};
use isthmus_broker::{DevListeners, Running, Settings, dev_presets, start};
use isthmus_config::{Layers, Setting};
use isthmus_wire::batch::{BatchBuilder, BatchParams};
use isthmus_wire::codec::{Decoder, Message, Part, Request};
use isthmus_wire::header;
use isthmus_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use isthmus_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use isthmus_wire::messages::fetch_response::PartitionData;
use isthmus_wire::messages::metadata_request::MetadataRequestTopic;
use isthmus_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use isthmus_wire::messages::produce_response::PartitionProduceResponse;
use isthmus_wire::messages::{
    CreateTopicsRequest, FetchRequest, FetchResponse, MetadataRequest, ProduceRequest,
};
use isthmus_wire::{ErrorCode, Records, Uuid};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

pub(crate) struct TestBroker {
    pub(crate) running: Running,
    pub(crate) dir: TempDir,
}

impl TestBroker {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(set: &[(&str, &str)]) -> Self {
        Self::start_on(tempfile::tempdir().unwrap(), set).await
    }

    pub(crate) async fn start_on(dir: TempDir, set: &[(&str, &str)]) -> Self {
        let running = start(settings(dir.path(), set)).await.unwrap();
        Self { running, dir }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.listeners()[0].1
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address()).await
    }

    /// Until the metrics hold this line.
    pub(crate) async fn until_metrics_show(&self, line: &str) {
        let shown = async {
            while !self.metrics().await.lines().any(|found| found == line) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), shown)
            .await
            .expect(line);
    }

    pub(crate) async fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.running.observe().unwrap())
            .await
            .unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        page
    }

    /// Stops cleanly and starts again on the same directory.
    pub(crate) async fn restart(self) -> Self {
        let Self { running, dir } = self;
        running.stop().await;
        let running = start(settings(dir.path(), &[])).await.unwrap();
        Self { running, dir }
    }
}

pub(crate) fn settings(data: &Path, set: &[(&str, &str)]) -> Settings {
    let mut presets = dev_presets();
    presets.push(Setting::new("test", "node.data", data.to_str().unwrap()));
    let flags = set
        .iter()
        .map(|(key, value)| Setting::new("test", key, *value))
        .collect();
    let layers = Layers {
        presets,
        flags,
        ..Layers::default()
    };
    let listeners = DevListeners {
        listen: Some("127.0.0.1:0"),
        ..DevListeners::default()
    };
    Settings::load(&layers, Some(listeners)).unwrap()
}

/// A connection; over TLS in the tests of that.
pub(crate) struct Connection<S = TcpStream> {
    pub(crate) stream: S,
    pub(crate) client_id: &'static str,
    correlation_id: i32,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    /// Connects from another address of the loopback network: ACLs and bounds know hosts.
    pub(crate) async fn open_from(source: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        Self::over(socket.connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self {
            stream,
            client_id: "test",
            correlation_id: 0,
        }
    }

    pub(crate) async fn send<R: Request>(&mut self, request: &R, version: i16) -> i32 {
        self.correlation_id += 1;
        for part in self.encoded(request, version) {
            let Part::Bytes(bytes) = part else {
                panic!("requests lie in memory")
            };
            self.stream.write_all(&bytes).await.unwrap();
        }
        self.stream.flush().await.unwrap();
        self.correlation_id
    }

    fn encoded<R: Request>(&self, request: &R, version: i16) -> Vec<Part> {
        let client_id = Some(self.client_id);
        header::encode_request(self.correlation_id, client_id, version, request).unwrap()
    }

    /// The next answer: correlation id and body.
    pub(crate) async fn receive<R: Request>(&mut self, version: i16) -> (i32, R::Response) {
        let frame = self.frame().await.expect("an answer");
        let mut decoder = Decoder::new(frame);
        let head = header::decode_response_header(&mut decoder, R::KEY, version).unwrap();
        let body = R::Response::decode(&mut decoder, version).unwrap();
        assert_eq!(decoder.remaining(), 0, "nothing behind the answer");
        (head.correlation_id, body)
    }

    pub(crate) async fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        let sent = self.send(request, version).await;
        let (answered, body) = self.receive::<R>(version).await;
        assert_eq!(answered, sent);
        body
    }

    /// The answer; `None` when the broker closes the connection.
    pub(crate) async fn try_call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Option<R::Response> {
        self.correlation_id += 1;
        for part in self.encoded(request, version) {
            let Part::Bytes(bytes) = part else {
                panic!("requests lie in memory")
            };
            self.stream.write_all(&bytes).await.ok()?;
        }
        self.stream.flush().await.ok()?;
        let mut decoder = Decoder::new(self.frame().await?);
        header::decode_response_header(&mut decoder, R::KEY, version).unwrap();
        Some(R::Response::decode(&mut decoder, version).unwrap())
    }

    /// The next frame without its size; `None` when the broker closed the connection.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        let size = self.stream.read_i32().await.ok()?;
        let mut body = BytesMut::zeroed(usize::try_from(size).unwrap());
        self.stream.read_exact(&mut body).await.ok()?;
        Some(body.freeze())
    }

    pub(crate) async fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Uuid {
        let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
        };
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.to_owned(),
                num_partitions: partitions,
                replication_factor: 1,
                configs: configs.iter().map(config).collect(),
                ..Default::default()
            }],
            timeout_ms: 10_000,
            ..Default::default()
        };
        let response = self.call(&request, 7).await;
        assert_eq!(
            response.topics[0].error_code,
            ErrorCode::NONE,
            "{:?}",
            response.topics[0]
        );
        response.topics[0].topic_id
    }

    /// Produces to partition 0 with acks=all.
    pub(crate) async fn produce(
        &mut self,
        topic: &str,
        records: Bytes,
    ) -> PartitionProduceResponse {
        let response = self.call(&produce_request(topic, 0, -1, records), 12).await;
        response.responses[0].partition_responses[0].clone()
    }

    pub(crate) async fn fetch(&mut self, topic: &str, offset: i64) -> PartitionData {
        let response = self.call(&fetch_request(topic, offset), 12).await;
        response.responses[0].partitions[0].clone()
    }

    pub(crate) async fn topic_id(&mut self, topic: &str) -> Uuid {
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(topic.to_owned()),
                ..Default::default()
            }]),
            ..Default::default()
        };
        self.call(&request, 12).await.topics[0].topic_id
    }
}

pub(crate) fn produce_request(
    topic: &str,
    partition: i32,
    acks: i16,
    records: Bytes,
) -> ProduceRequest {
    ProduceRequest {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: topic.to_owned(),
            partition_data: vec![PartitionProduceData {
                index: partition,
                records: Some(Records::from(records)),
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub(crate) fn fetch_request(topic: &str, offset: i64) -> FetchRequest {
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic: topic.to_owned(),
            partitions: vec![FetchPartition {
                partition: 0,
                fetch_offset: offset,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub(crate) fn only_partition(response: &FetchResponse) -> &PartitionData {
    &response.responses[0].partitions[0]
}

/// A batch of these values, without keys.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    batch_with(BatchParams::default(), values)
}

pub(crate) fn batch_with(params: BatchParams, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(params);
    for value in values {
        builder
            .append(now_ms(), None, Some(value.as_bytes()), &[])
            .unwrap();
    }
    builder.finish().unwrap()
}

pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// The values of all records in fetched bytes.
pub(crate) fn values(data: &PartitionData) -> Vec<String> {
    let bytes = data
        .records
        .as_ref()
        .and_then(|records| records.bytes().cloned())
        .unwrap();
    let mut values = Vec::new();
    for batch in isthmus_wire::batch::split_batches(&bytes) {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        for record in batch.records(1 << 24).unwrap() {
            values.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
        }
    }
    values
}
