//! Raw fetch: record batches as the broker has them, slices of the answer's frame.
//!
//! Versions 4 to 18: topic ids from 13 on (KIP-516), leader epochs from 9 and the epoch last fetched
//! from 12 on (KIP-320), the preferred replica from 11 on (KIP-392), the new leader and its address
//! from 12 and 16 on (KIP-951). Fetch sessions (KIP-227) are not used: every request names all its
//! partitions. A fetch below version 13 is sent when a topic id is not known.
//!
//! Must not know: what is in a batch.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use isthmus_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use isthmus_wire::messages::fetch_response::{NodeEndpoint, PartitionData};
use isthmus_wire::messages::{FetchRequest, FetchResponse};
use isthmus_wire::{ApiKey, ErrorCode, Records, Uuid};

use crate::cluster::{Leader, NO_EPOCH, NewLeader};
use crate::connection::{Answer, CallError, Connection};
use crate::deadline::Deadline;
use crate::places::Places;
use crate::retry::ErrorClass;

/// Last version that names topics.
const NAMES_UNTIL: i16 = 12;

/// First version whose answers say where a new leader is.
const ENDPOINTS_FROM: i16 = 16;

/// Which records a fetch and an offset look-up may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum IsolationLevel {
    /// Up to the high watermark.
    ReadUncommitted,
    /// Up to the last stable offset; aborted transactions are listed, not left out.
    #[default]
    ReadCommitted,
}

impl From<IsolationLevel> for i8 {
    fn from(level: IsolationLevel) -> Self {
        match level {
            IsolationLevel::ReadUncommitted => 0,
            IsolationLevel::ReadCommitted => 1,
        }
    }
}

/// What holds for a whole fetch.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// How long the broker may wait for `bytes_min`.
    pub wait_max: Duration,
    pub bytes_min: i32,
    /// Bytes of the whole answer; a first batch may be larger.
    pub bytes_max: i32,
    pub isolation: IsolationLevel,
    /// Where this client is, for a replica nearby.
    pub rack: String,
}

impl Default for FetchOptions {
    /// Kafka's consumer: 500 ms, 1 byte, 50 MiB.
    fn default() -> Self {
        Self {
            wait_max: Duration::from_millis(500),
            bytes_min: 1,
            bytes_max: 50 << 20,
            isolation: IsolationLevel::ReadCommitted,
            rack: String::new(),
        }
    }
}

/// One partition of a fetch.
#[derive(Clone, Debug)]
pub struct FetchPosition {
    pub topic: Arc<str>,
    /// Zero where it is not known.
    pub topic_id: Uuid,
    pub partition: i32,
    pub offset: i64,
    /// Of the metadata that named the leader, so that an old leader refuses; [`NO_EPOCH`] for none.
    pub leader_epoch: i32,
    /// Of the last batch read, so that the broker sees if that one was truncated; [`NO_EPOCH`] for
    /// none.
    pub last_fetched_epoch: i32,
    pub bytes_max: i32,
}

impl FetchPosition {
    /// From an offset on, with no epochs and 1 MiB.
    pub fn new(topic: Arc<str>, topic_id: Uuid, partition: i32, offset: i64) -> Self {
        Self {
            topic,
            topic_id,
            partition,
            offset,
            leader_epoch: NO_EPOCH,
            last_fetched_epoch: NO_EPOCH,
            bytes_max: 1 << 20,
        }
    }
}

/// What a fetch brought.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// How long the broker asks not to be troubled; the connection obeys by itself.
    pub throttle: Duration,
    /// In the order of the positions.
    pub partitions: Vec<Result<FetchedPartition, FetchRefusal>>,
}

impl Fetched {
    /// The leaders that the answer told of.
    pub fn new_leaders(&self) -> impl Iterator<Item = &NewLeader> {
        let refusals = self
            .partitions
            .iter()
            .filter_map(|partition| partition.as_ref().err());
        refusals.filter_map(|refusal| refusal.new_leader.as_deref())
    }
}

/// A partition's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start_offset: i64,
    /// Transactions whose records in this answer are not to be read, sorted by first offset.
    pub aborted: Vec<AbortedTransaction>,
    /// The replica to fetch from instead.
    pub preferred_replica: Option<i32>,
    /// The log parted from what was read: (epoch, end offset) of the last common epoch.
    pub diverging: Option<(i32, i64)>,
    /// Whole batches, the last one possibly cut short; the first may begin before the offset.
    pub records: Bytes,
}

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub producer_id: i64,
    pub first_offset: i64,
}

/// Why a partition was not fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}")]
pub struct FetchRefusal {
    /// UNKNOWN_SERVER_ERROR also for a partition that the answer left out.
    pub code: ErrorCode,
    pub log_start_offset: i64,
    pub high_watermark: i64,
    pub new_leader: Option<Box<NewLeader>>,
}

impl FetchRefusal {
    pub fn class(&self) -> ErrorClass {
        ErrorClass::of(self.code)
    }
}

/// Why a fetch failed as a whole.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("Fetch: {0}")]
    Refused(ErrorCode),
}

/// A fetch under way.
#[must_use = "the fetch was sent; its records are waiting"]
#[derive(Debug)]
pub struct FetchAnswer {
    answer: Answer<FetchRequest>,
    places: Places,
}

impl Connection {
    /// Sends a fetch and returns without its answer, so that the next one can follow at once. The
    /// answer is due after the longest wait and the configured time.
    ///
    /// # Panics
    /// If a partition occurs twice.
    pub async fn fetch(
        &self,
        options: &FetchOptions,
        positions: &[FetchPosition],
    ) -> Result<FetchAnswer, CallError> {
        let all_ids = positions
            .iter()
            .all(|position| !position.topic_id.is_zero());
        let version_max = if all_ids { i16::MAX } else { NAMES_UNTIL };
        let version = self.version_up_to(ApiKey::Fetch, version_max)?;
        let asked = positions
            .iter()
            .map(|it| (&it.topic, it.topic_id, it.partition));
        let (places, topics) = Places::group(asked);
        let request = request(options, positions, &topics);
        let deadline = Deadline::after(options.wait_max.saturating_add(self.request_timeout()));
        let answer = self.send_by(&request, version, deadline).await?;
        Ok(FetchAnswer { answer, places })
    }
}

fn request(
    options: &FetchOptions,
    positions: &[FetchPosition],
    topics: &[Vec<usize>],
) -> FetchRequest {
    let partition = |&place: &usize| {
        let it = &positions[place];
        FetchPartition {
            partition: it.partition,
            current_leader_epoch: it.leader_epoch,
            fetch_offset: it.offset,
            last_fetched_epoch: it.last_fetched_epoch,
            partition_max_bytes: it.bytes_max,
            ..Default::default()
        }
    };
    let topic = |places: &Vec<usize>| FetchTopic {
        topic: positions[places[0]].topic.to_string(),
        topic_id: positions[places[0]].topic_id,
        partitions: places.iter().map(partition).collect(),
    };
    FetchRequest {
        max_wait_ms: i32::try_from(options.wait_max.as_millis()).unwrap_or(i32::MAX),
        min_bytes: options.bytes_min,
        max_bytes: options.bytes_max,
        isolation_level: options.isolation.into(),
        topics: topics.iter().map(topic).collect(),
        rack_id: options.rack.clone(),
        ..Default::default()
    }
}

impl FetchAnswer {
    /// Waits for the answer. The records keep its frame in memory until they are dropped.
    pub async fn wait(mut self) -> Result<Fetched, FetchError> {
        let version = self.answer.version();
        let connection = self.answer.connection().clone();
        let response = self.answer.wait().await?;
        let throttle = millis(response.throttle_time_ms);
        connection.throttle(throttle);
        if response.error_code.is_error() {
            return Err(FetchError::Refused(response.error_code));
        }
        let endpoints = if version >= ENDPOINTS_FROM {
            &response.node_endpoints[..]
        } else {
            &[]
        };
        let endpoints = endpoints.to_vec();
        Ok(Fetched {
            throttle,
            partitions: sort(&mut self.places, response, &endpoints),
        })
    }
}

fn sort(
    places: &mut Places,
    response: FetchResponse,
    endpoints: &[NodeEndpoint],
) -> Vec<Result<FetchedPartition, FetchRefusal>> {
    let mut partitions: Vec<_> = (0..places.len()).map(|_| Err(left_out())).collect();
    for topic in response.responses {
        for row in topic.partitions {
            let place = places.find(&topic.topic, topic.topic_id, row.partition_index);
            if let Some(place) = place {
                partitions[place] = read(places, place, row, endpoints);
            }
        }
    }
    partitions
}

fn left_out() -> FetchRefusal {
    FetchRefusal {
        code: ErrorCode::UNKNOWN_SERVER_ERROR,
        log_start_offset: -1,
        high_watermark: -1,
        new_leader: None,
    }
}

fn read(
    places: &Places,
    place: usize,
    row: PartitionData,
    endpoints: &[NodeEndpoint],
) -> Result<FetchedPartition, FetchRefusal> {
    if row.error_code.is_error() {
        return Err(FetchRefusal {
            code: row.error_code,
            log_start_offset: row.log_start_offset,
            high_watermark: row.high_watermark,
            new_leader: new_leader(places, place, &row, endpoints),
        });
    }
    let diverging = row.diverging_epoch;
    let aborted = row.aborted_transactions.unwrap_or_default().into_iter();
    let records = match row.records {
        Some(Records::Bytes(bytes)) => bytes,
        Some(Records::File(_)) | None => Bytes::new(),
    };
    Ok(FetchedPartition {
        high_watermark: row.high_watermark,
        last_stable_offset: row.last_stable_offset,
        log_start_offset: row.log_start_offset,
        aborted: aborted
            .map(|it| AbortedTransaction {
                producer_id: it.producer_id,
                first_offset: it.first_offset,
            })
            .collect(),
        preferred_replica: (row.preferred_read_replica >= 0).then_some(row.preferred_read_replica),
        diverging: (diverging.epoch >= 0).then_some((diverging.epoch, diverging.end_offset)),
        records,
    })
}

fn new_leader(
    places: &Places,
    place: usize,
    row: &PartitionData,
    endpoints: &[NodeEndpoint],
) -> Option<Box<NewLeader>> {
    let told = &row.current_leader;
    let leader = Leader {
        broker: told.leader_id,
        epoch: told.leader_epoch,
    };
    let endpoint = endpoints.iter().find(|it| it.node_id == leader.broker);
    let endpoint = endpoint.map(|it| (it.host.as_str(), it.port, it.rack.as_deref()));
    places.new_leader(place, leader, endpoint).map(Box::new)
}

/// A throttle time of an answer.
pub(crate) fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
