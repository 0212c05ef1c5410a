//! A client that hides nothing: requests and their answers, without retries of its own.

use super::node::name;
use crate::byte_pool::{BytePool, CAPACITY_MIN};
use crate::cluster::{NodeConnection, ReadHalf};
use crate::net::TcpStream;
use crate::server::FrameReader;
use bytes::Bytes;
use isthmus_wire::batch::{BatchBuilder, BatchParams, split_batches};
use isthmus_wire::codec::Request;
use isthmus_wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use isthmus_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use isthmus_wire::messages::fetch_response::PartitionData;
use isthmus_wire::messages::metadata_request::MetadataRequestTopic;
use isthmus_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use isthmus_wire::messages::{CreateTopicsRequest, FetchRequest, MetadataRequest, ProduceRequest};
use isthmus_wire::{ErrorCode, Records};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long any answer is waited for: longer than a broker waits for a commit.
const ANSWER_MAX: Duration = Duration::from_millis(2_000);

/// How long a connection is waited for. A machine without the broker would refuse it; here it is as if
/// the machine was gone as well.
const CONNECT_MAX: Duration = Duration::from_millis(50);

/// How long a broker may wait for a commit.
const COMMIT_MAX_MS: i32 = 1_500;

/// Before the same is asked again.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

const ANSWER_BYTES_MAX: usize = 64 << 20;

pub(crate) struct Client {
    nodes: Vec<i32>,
    links: BTreeMap<i32, NodeConnection>,
}

impl Client {
    pub(crate) fn new(nodes: &[i32]) -> Self {
        Self {
            nodes: nodes.to_vec(),
            links: BTreeMap::new(),
        }
    }

    /// None without an answer; what was asked may yet be done.
    pub(crate) async fn ask<R: Request>(
        &mut self,
        node: i32,
        request: &R,
        version: i16,
    ) -> Option<R::Response> {
        let deadline = Instant::now() + ANSWER_MAX;
        let link = self.links.remove(&node);
        let asked = async {
            let mut link = match link {
                Some(link) => link,
                None => {
                    let link = tokio::time::timeout(CONNECT_MAX, connect(node));
                    link.await.ok()??
                }
            };
            let answer = link.call(request, version, deadline).await.ok()?;
            Some((link, answer))
        };
        let asked = tokio::time::timeout_at(deadline, asked).await.ok()?;
        let (link, answer) = asked?;
        self.links.insert(node, link);
        Some(answer)
    }

    /// Asks one node after the other, until one gives an answer that will do.
    pub(crate) async fn ask_until<R: Request, T>(
        &mut self,
        request: &R,
        version: i16,
        will_do: impl Fn(R::Response) -> Option<T>,
    ) -> T {
        loop {
            for node in self.nodes.clone() {
                let answer = self.ask(node, request, version).await;
                if let Some(found) = answer.and_then(&will_do) {
                    return found;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A topic `name` of one partition, led by the first of the replicas.
    pub(crate) async fn create_topic(
        &mut self,
        name: &str,
        replicas: &[i32],
        configs: &[(&str, &str)],
    ) {
        let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
        };
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.to_owned(),
                num_partitions: -1,
                replication_factor: -1,
                assignments: vec![CreatableReplicaAssignment {
                    partition_index: 0,
                    broker_ids: replicas.to_vec(),
                }],
                configs: configs.iter().map(config).collect(),
            }],
            timeout_ms: 10_000,
            ..CreateTopicsRequest::default()
        };
        self.ask_until(&request, 7, |answer| {
            let code = answer.topics[0].error_code;
            // Asked again after an answer that got lost.
            (code == ErrorCode::NONE || code == ErrorCode::TOPIC_ALREADY_EXISTS).then_some(())
        })
        .await;
    }

    /// Who leads partition 0, as that node says.
    pub(crate) async fn leader(&mut self, node: i32, topic: &str) -> Option<i32> {
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(topic.to_owned()),
                ..MetadataRequestTopic::default()
            }]),
            ..MetadataRequest::default()
        };
        let answer = self.ask(node, &request, 12).await?;
        let partition = answer.topics.first()?.partitions.first()?;
        (partition.leader_id >= 0).then_some(partition.leader_id)
    }

    /// The first who knows a leader is believed; another one is asked first each time.
    pub(crate) async fn any_leader(&mut self, topic: &str) -> i32 {
        loop {
            self.nodes.rotate_left(1);
            let node = self.nodes[0];
            if let Some(leader) = self.leader(node, topic).await {
                return leader;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The offset, or why not; None without an answer.
    pub(crate) async fn produce(
        &mut self,
        node: i32,
        topic: &str,
        acks: i16,
        batch: Bytes,
    ) -> Option<Result<i64, ErrorCode>> {
        let request = ProduceRequest {
            acks,
            timeout_ms: COMMIT_MAX_MS,
            topic_data: vec![TopicProduceData {
                name: topic.to_owned(),
                partition_data: vec![PartitionProduceData {
                    index: 0,
                    records: Some(Records::from(batch)),
                }],
                ..TopicProduceData::default()
            }],
            ..ProduceRequest::default()
        };
        let answer = self.ask(node, &request, 12).await?;
        let partition = answer.responses.first()?.partition_responses.first()?;
        Some(match partition.error_code {
            ErrorCode::NONE => Ok(partition.base_offset),
            code => Err(code),
        })
    }

    /// The values of all records that the leader shows.
    pub(crate) async fn read_all(&mut self, topic: &str) -> Vec<String> {
        let mut values = Vec::new();
        loop {
            let leader = self.any_leader(topic).await;
            let at = i64::try_from(values.len()).unwrap();
            match self.read(leader, topic, at).await {
                Some(Ok(found)) if found.is_empty() => return values,
                Some(Ok(found)) => values.extend(found),
                Some(Err(_)) | None => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// The values from that offset on, as far as one answer goes.
    pub(crate) async fn read(
        &mut self,
        node: i32,
        topic: &str,
        offset: i64,
    ) -> Option<Result<Vec<String>, ErrorCode>> {
        let found = self
            .fetch(node, topic, offset, ("", Duration::ZERO))
            .await?;
        if found.error_code != ErrorCode::NONE {
            return Some(Err(found.error_code));
        }
        Some(Ok(values_of(&found, offset)))
    }

    /// What is answered to a client in that rack which waits for so long.
    pub(crate) async fn fetch(
        &mut self,
        node: i32,
        topic: &str,
        offset: i64,
        (rack, wait): (&str, Duration),
    ) -> Option<PartitionData> {
        let request = FetchRequest {
            max_wait_ms: i32::try_from(wait.as_millis()).unwrap(),
            min_bytes: 1,
            rack_id: rack.to_owned(),
            topics: vec![FetchTopic {
                topic: topic.to_owned(),
                partitions: vec![FetchPartition {
                    partition: 0,
                    fetch_offset: offset,
                    partition_max_bytes: 1 << 20,
                    ..FetchPartition::default()
                }],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        let mut answer = self.ask(node, &request, 12).await?;
        answer.responses.first_mut()?.partitions.pop()
    }
}

/// The values in an answer from that offset on.
pub(crate) fn values_of(data: &PartitionData, from: i64) -> Vec<String> {
    let bytes = data.records.as_ref();
    let bytes = bytes.and_then(|it| it.bytes().cloned());
    values(&bytes.unwrap_or_default(), from)
}

/// The values from that offset on.
fn values(bytes: &Bytes, from: i64) -> Vec<String> {
    let mut values = Vec::new();
    for batch in split_batches(bytes) {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        for record in batch.records(1 << 24).unwrap() {
            let record = record.unwrap();
            if record.offset >= from {
                values.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
            }
        }
    }
    values
}

pub(super) async fn connect(node: i32) -> Option<NodeConnection> {
    let stream = TcpStream::connect((name(node).as_str(), 9092)).await.ok()?;
    let (read, write) = stream.into_split();
    let read: ReadHalf = Box::new(read);
    let source = FrameReader::new(read, BytePool::new(CAPACITY_MIN), ANSWER_BYTES_MAX);
    Some(NodeConnection::new(source, Box::new(write)))
}

pub(crate) fn batch(params: BatchParams, value: &str) -> Bytes {
    let mut builder = BatchBuilder::new(params);
    builder
        .append(crate::clocks::wall_ms(), None, Some(value.as_bytes()), &[])
        .unwrap();
    builder.finish().unwrap()
}
