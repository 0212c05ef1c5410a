//! A raw connection to a broker: what is sent and when it is read is the test's own business.
//!
//! Every read and write has a deadline. A connection that ends is an error the caller judges; an
//! answer that makes no sense is a failure here.

use bytes::{Bytes, BytesMut};
use isthmus_wire::batch::BatchView;
use isthmus_wire::codec::{Decoder, Message, Part, Request};
use isthmus_wire::header;
use isthmus_wire::messages::api_versions_response::ApiVersion;
use isthmus_wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use isthmus_wire::messages::delete_topics_request::DeleteTopicState;
use isthmus_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use isthmus_wire::messages::fetch_response::PartitionData;
use isthmus_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use isthmus_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use isthmus_wire::messages::{
    ApiVersionsRequest, CreateTopicsRequest, DeleteTopicsRequest, FetchRequest,
    InitProducerIdRequest, ListOffsetsRequest, MetadataRequest, MetadataResponse, ProduceRequest,
};
use isthmus_wire::{ErrorCode, Records};
use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest silence of a broker that owes an answer.
const LIMIT: Duration = Duration::from_secs(30);

const PRODUCE_VERSION: i16 = 12;
const FETCH_VERSION: i16 = 12;

/// Special timestamps of ListOffsets.
pub(crate) const LATEST: i64 = -1;
pub(crate) const EARLIEST: i64 = -2;

/// A connection to one broker.
pub(crate) struct Connection {
    stream: TcpStream,
    sent: i32,
    answered: i32,
    /// Of what is produced: all, unless it is said otherwise.
    pub(crate) acks: i16,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        Ok(Self {
            stream,
            sent: 0,
            answered: 0,
            acks: -1,
        })
    }

    /// How many requests were sent.
    pub(crate) fn requests(&self) -> u64 {
        u64::try_from(self.sent).unwrap()
    }

    /// Sends a request; its answer comes after those of all requests before it.
    pub(crate) fn send<R: Request>(&mut self, request: &R, version: i16) -> io::Result<()> {
        self.sent += 1;
        let parts = header::encode_request(self.sent, Some("isthmus-test"), version, request);
        for part in parts.unwrap() {
            let Part::Bytes(bytes) = part else {
                panic!("requests lie in memory")
            };
            self.write_all(&bytes)?;
        }
        Ok(())
    }

    /// The next answer.
    pub(crate) fn receive<R: Request>(&mut self, version: i16) -> io::Result<R::Response> {
        let mut decoder = Decoder::new(self.frame()?);
        let head = header::decode_response_header(&mut decoder, R::KEY, version).unwrap();
        self.answered += 1;
        assert_eq!(head.correlation_id, self.answered, "answers come in order");
        let body = R::Response::decode(&mut decoder, version).unwrap();
        assert_eq!(decoder.remaining(), 0, "nothing behind the answer");
        Ok(body)
    }

    pub(crate) fn call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> io::Result<R::Response> {
        self.send(request, version)?;
        self.receive::<R>(version)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut slices = [IoSlice::new(bytes)];
        let mut slices = &mut slices[..];
        while !slices.is_empty() {
            let written = self.stream.write_vectored(slices)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut slices, written);
        }
        Ok(())
    }

    /// The next frame without its size.
    fn frame(&mut self) -> io::Result<Bytes> {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let size = usize::try_from(i32::from_be_bytes(size)).unwrap();
        let mut body = BytesMut::zeroed(size);
        self.stream.read_exact(&mut body)?;
        Ok(body.freeze())
    }

    /// What the broker says it serves.
    pub(crate) fn api_versions(&mut self) -> io::Result<Vec<ApiVersion>> {
        let request = ApiVersionsRequest {
            client_software_name: "isthmus-test".to_owned(),
            client_software_version: "1".to_owned(),
        };
        let response = self.call(&request, 3)?;
        assert_eq!(response.error_code, ErrorCode::NONE);
        Ok(response.api_keys)
    }

    pub(crate) fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> io::Result<ErrorCode> {
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
            timeout_ms: 30_000,
            ..Default::default()
        };
        Ok(self.call(&request, 7)?.topics[0].error_code)
    }

    /// Each partition on the nodes named, the first of them to lead it.
    pub(crate) fn create_topic_on(
        &mut self,
        name: &str,
        replicas: &[[i32; 3]],
        configs: &[(&str, &str)],
    ) -> io::Result<ErrorCode> {
        let assignment = |(partition_index, ids): (i32, &[i32; 3])| CreatableReplicaAssignment {
            partition_index,
            broker_ids: ids.to_vec(),
        };
        let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
        };
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.to_owned(),
                num_partitions: -1,
                replication_factor: -1,
                assignments: (0..).zip(replicas).map(assignment).collect(),
                configs: configs.iter().map(config).collect(),
            }],
            timeout_ms: 30_000,
            ..Default::default()
        };
        Ok(self.call(&request, 7)?.topics[0].error_code)
    }

    pub(crate) fn delete_topics(&mut self, names: &[String]) -> io::Result<Vec<ErrorCode>> {
        let topic = |name: &String| DeleteTopicState {
            name: Some(name.clone()),
            ..Default::default()
        };
        let request = DeleteTopicsRequest {
            topics: names.iter().map(topic).collect(),
            timeout_ms: 30_000,
            ..Default::default()
        };
        let response = self.call(&request, 6)?;
        Ok(response
            .responses
            .iter()
            .map(|topic| topic.error_code)
            .collect())
    }

    /// All topics.
    pub(crate) fn metadata(&mut self) -> io::Result<MetadataResponse> {
        let request = MetadataRequest {
            topics: None,
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        self.call(&request, 12)
    }

    /// Names of all topics.
    pub(crate) fn topic_names(&mut self) -> io::Result<Vec<String>> {
        let topics = self.metadata()?.topics;
        Ok(topics.into_iter().filter_map(|topic| topic.name).collect())
    }

    pub(crate) fn init_producer_id(&mut self) -> io::Result<(i64, i16)> {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 60_000,
            ..Default::default()
        };
        let response = self.call(&request, 4)?;
        assert_eq!(response.error_code, ErrorCode::NONE);
        Ok((response.producer_id, response.producer_epoch))
    }

    /// Sends one batch to one partition with acks=all.
    pub(crate) fn send_batch(
        &mut self,
        topic: &str,
        partition: i32,
        batch: Bytes,
    ) -> io::Result<()> {
        let request = ProduceRequest {
            acks: self.acks,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                name: topic.to_owned(),
                partition_data: vec![PartitionProduceData {
                    index: partition,
                    records: Some(Records::from(batch)),
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        self.send(&request, PRODUCE_VERSION)
    }

    /// What became of the batch sent first of those without an answer: error and base offset.
    pub(crate) fn receive_produced(&mut self) -> io::Result<(ErrorCode, i64)> {
        let response = self.receive::<ProduceRequest>(PRODUCE_VERSION)?;
        let partition = &response.responses[0].partition_responses[0];
        Ok((partition.error_code, partition.base_offset))
    }

    pub(crate) fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: Bytes,
    ) -> io::Result<(ErrorCode, i64)> {
        self.send_batch(topic, partition, batch)?;
        self.receive_produced()
    }

    /// What lies at an offset, without waiting.
    pub(crate) fn fetch(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
        bytes_max: i32,
    ) -> io::Result<PartitionData> {
        let request = FetchRequest {
            max_wait_ms: 0,
            min_bytes: 0,
            max_bytes: bytes_max,
            topics: vec![FetchTopic {
                topic: topic.to_owned(),
                partitions: vec![FetchPartition {
                    partition,
                    fetch_offset: offset,
                    partition_max_bytes: bytes_max,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let response = self.call(&request, FETCH_VERSION)?;
        assert_eq!(response.error_code, ErrorCode::NONE);
        Ok(response.responses[0].partitions[0].clone())
    }

    /// The offset that a special timestamp stands for. While a new leader does not know yet what is
    /// committed it is asked again, as every client does.
    pub(crate) fn offset(
        &mut self,
        topic: &str,
        partition: i32,
        timestamp: i64,
    ) -> io::Result<i64> {
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.try_offset(topic, partition, timestamp)? {
                Ok(offset) => return Ok(offset),
                Err(ErrorCode::OFFSET_NOT_AVAILABLE) if Instant::now() < deadline => {}
                Err(code) => panic!("{topic}-{partition}: {code}"),
            }
        }
    }

    /// The same of a partition that may just have been made: a broker of Apache Kafka says in its
    /// metadata that it leads a moment before it does.
    pub(crate) fn try_offset(
        &mut self,
        topic: &str,
        partition: i32,
        timestamp: i64,
    ) -> io::Result<Result<i64, ErrorCode>> {
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: topic.to_owned(),
                partitions: vec![ListOffsetsPartition {
                    partition_index: partition,
                    timestamp,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        };
        let response = self.call(&request, 7)?;
        let partition = &response.topics[0].partitions[0];
        Ok(match partition.error_code {
            ErrorCode::NONE => Ok(partition.offset),
            code => Err(code),
        })
    }
}

/// The batches of a fetch answer.
pub(crate) fn batches(data: &PartitionData) -> Vec<BatchView> {
    let Some(Records::Bytes(bytes)) = &data.records else {
        return Vec::new();
    };
    isthmus_wire::batch::split_batches(bytes)
        .map(|batch| batch.expect("a whole batch"))
        .collect()
}
