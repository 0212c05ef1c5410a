//! Raw produce: record batches as they are, one per partition and request, many partitions at once.
//!
//! Versions 3 to 13: topic ids at 13, the new leader from 10 on (KIP-951). A transactional request
//! stays below version 12, where the broker would add partitions to the transaction by itself
//! (KIP-890). [`Connection::produce`] is the data path: it sends and returns, so that requests can
//! be pipelined, and leaves order and sequences to the caller. [`Producer`] is for everybody else:
//! one call at a time, sequences kept, retries until a deadline.

mod batch;
mod frame;
mod producer;
mod sequences;

use std::sync::Arc;
use std::time::Duration;

use isthmus_wire::messages::produce_response::{NodeEndpoint, PartitionProduceResponse};
use isthmus_wire::messages::{ProduceRequest, ProduceResponse};
use isthmus_wire::{ApiKey, ErrorCode, Uuid};

use crate::cluster::{Leader, NewLeader};
use crate::connection::{Answer, CallError, Connection};
use crate::deadline::Deadline;
use crate::fetch::millis;
use crate::places::Places;
use crate::retry::ErrorClass;
pub use batch::{ProducerStamp, RawBatch};
use frame::ProduceFrame;
pub use producer::{ProduceFailure, Producer, ProducerBatch};
pub use sequences::{ProducerIdentity, Sequences};

/// Last version that names topics.
const NAMES_UNTIL: i16 = 12;

/// Last version whose transactions the client opens by itself.
const TRANSACTIONS_UNTIL: i16 = 11;

/// Who must have a batch before the broker answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Acks {
    /// The broker does not answer at all.
    None,
    Leader,
    /// All in-sync replicas.
    #[default]
    All,
}

impl From<Acks> for i16 {
    fn from(acks: Acks) -> Self {
        match acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }
}

/// What holds for a whole produce request.
#[derive(Clone, Debug)]
pub struct ProduceOptions {
    pub acks: Acks,
    /// How long the broker may wait for the replicas.
    pub timeout: Duration,
    pub transactional_id: Option<String>,
}

impl Default for ProduceOptions {
    /// All replicas within 30 s (Kafka's `request.timeout.ms`), no transaction.
    fn default() -> Self {
        Self {
            acks: Acks::All,
            timeout: Duration::from_secs(30),
            transactional_id: None,
        }
    }
}

/// A batch and where it goes.
#[derive(Clone, Debug)]
pub struct PartitionBatch {
    pub topic: Arc<str>,
    /// Zero where it is not known.
    pub topic_id: Uuid,
    pub partition: i32,
    pub batch: RawBatch,
}

/// What became of a produce request.
#[derive(Clone, Debug)]
pub struct Produced {
    /// How long the broker asks not to be troubled; the connection obeys by itself.
    pub throttle: Duration,
    /// In the order of the batches.
    pub partitions: Vec<Result<Appended, ProduceRefusal>>,
}

impl Produced {
    /// The leaders that the answer told of.
    pub fn new_leaders(&self) -> impl Iterator<Item = &NewLeader> {
        let refusals = self
            .partitions
            .iter()
            .filter_map(|partition| partition.as_ref().err());
        refusals.filter_map(|refusal| refusal.new_leader.as_deref())
    }
}

/// A batch that is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// `None` if the broker does not say: without acks, and for a batch it had long before.
    pub base_offset: Option<i64>,
    /// Set where the topic keeps the time of the append instead of the producer's.
    pub log_append_time_ms: Option<i64>,
    pub log_start_offset: i64,
    /// The broker recognised the sequence as one it had (DUPLICATE_SEQUENCE_NUMBER).
    pub duplicate: bool,
}

/// Why a batch is not in the log, as far as the broker knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}{}", .message.as_ref().map(|text| format!(": {text}")).unwrap_or_default())]
pub struct ProduceRefusal {
    /// UNKNOWN_SERVER_ERROR also for a partition that the answer left out.
    pub code: ErrorCode,
    pub message: Option<String>,
    /// Records the broker found at fault, by their place in the batch.
    pub record_errors: Vec<(i32, Option<String>)>,
    pub new_leader: Option<Box<NewLeader>>,
}

impl ProduceRefusal {
    /// A retriable refusal is answered by the same batch with the same sequence.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::of(self.code)
    }

    /// Whether the batch may be in the log in spite of the refusal.
    pub fn may_have_happened(&self) -> bool {
        let in_doubt = [
            ErrorCode::REQUEST_TIMED_OUT,
            ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
            ErrorCode::NETWORK_EXCEPTION,
            ErrorCode::UNKNOWN_SERVER_ERROR,
            ErrorCode::KAFKA_STORAGE_ERROR,
        ];
        in_doubt.contains(&self.code)
    }

    /// Whether the producer id can be used no more for this partition: a gap in its sequences, a
    /// state that expired, a newer epoch of the same id.
    pub fn ends_producer(&self) -> bool {
        let ends = [
            ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
            ErrorCode::UNKNOWN_PRODUCER_ID,
            ErrorCode::INVALID_PRODUCER_EPOCH,
            ErrorCode::INVALID_PRODUCER_ID_MAPPING,
            ErrorCode::PRODUCER_FENCED,
        ];
        ends.contains(&self.code)
    }
}

/// A produce request under way.
#[must_use = "the request was sent; its batches may have been refused"]
#[derive(Debug)]
pub struct ProduceAnswer {
    answer: Option<Answer<ProduceRequest>>,
    places: Places,
}

impl Connection {
    /// Sends batches and returns without the answer, which is due after the broker's own time-out
    /// and the configured time. Without acks it returns when they are written.
    ///
    /// # Panics
    /// If a partition occurs twice: a broker takes one batch per partition and request.
    pub async fn produce(
        &self,
        options: &ProduceOptions,
        batches: &[PartitionBatch],
    ) -> Result<ProduceAnswer, CallError> {
        let version = self.version_up_to(ApiKey::Produce, version_max(options, batches))?;
        let asked = batches
            .iter()
            .map(|it| (&it.topic, it.topic_id, it.partition));
        let (places, topics) = Places::group(asked);
        let frame = ProduceFrame {
            options,
            batches,
            topics: &topics,
        };
        let encode = |id| frame.encode(id, self.client_id(), version);
        let deadline = Deadline::after(options.timeout.saturating_add(self.request_timeout()));
        let answer = match options.acks {
            Acks::None => {
                self.send_unanswered(ApiKey::Produce, deadline, encode)
                    .await?;
                None
            }
            Acks::Leader | Acks::All => Some(self.send_frame(version, deadline, encode).await?),
        };
        Ok(ProduceAnswer { answer, places })
    }
}

fn version_max(options: &ProduceOptions, batches: &[PartitionBatch]) -> i16 {
    if options.transactional_id.is_some() {
        TRANSACTIONS_UNTIL
    } else if batches.iter().any(|it| it.topic_id.is_zero()) {
        NAMES_UNTIL
    } else {
        i16::MAX
    }
}

impl ProduceAnswer {
    /// Waits for the answer.
    pub async fn wait(mut self) -> Result<Produced, CallError> {
        let Some(answer) = self.answer else {
            let partitions = (0..self.places.len())
                .map(|_| Ok(unacknowledged()))
                .collect();
            return Ok(Produced {
                throttle: Duration::ZERO,
                partitions,
            });
        };
        let connection = answer.connection().clone();
        let response = answer.wait().await?;
        let throttle = millis(response.throttle_time_ms);
        connection.throttle(throttle);
        Ok(Produced {
            throttle,
            partitions: sort(&mut self.places, response),
        })
    }
}

fn unacknowledged() -> Appended {
    Appended {
        base_offset: None,
        log_append_time_ms: None,
        log_start_offset: -1,
        duplicate: false,
    }
}

fn sort(places: &mut Places, response: ProduceResponse) -> Vec<Result<Appended, ProduceRefusal>> {
    let endpoints = response.node_endpoints;
    let left_out = || ProduceRefusal {
        code: ErrorCode::UNKNOWN_SERVER_ERROR,
        message: Some("the answer does not mention the partition".to_owned()),
        record_errors: Vec::new(),
        new_leader: None,
    };
    let mut partitions: Vec<_> = (0..places.len()).map(|_| Err(left_out())).collect();
    for topic in response.responses {
        for row in topic.partition_responses {
            if let Some(place) = places.find(&topic.name, topic.topic_id, row.index) {
                partitions[place] = read(places, place, row, &endpoints);
            }
        }
    }
    partitions
}

fn read(
    places: &Places,
    place: usize,
    row: PartitionProduceResponse,
    endpoints: &[NodeEndpoint],
) -> Result<Appended, ProduceRefusal> {
    let duplicate = row.error_code == ErrorCode::DUPLICATE_SEQUENCE_NUMBER;
    if row.error_code.is_error() && !duplicate {
        let new_leader = new_leader(places, place, &row, endpoints);
        let at_fault = row.record_errors.into_iter();
        return Err(ProduceRefusal {
            code: row.error_code,
            message: row.error_message.filter(|text| !text.is_empty()),
            record_errors: at_fault
                .map(|it| (it.batch_index, it.batch_index_error_message))
                .collect(),
            new_leader,
        });
    }
    Ok(Appended {
        base_offset: (row.base_offset >= 0).then_some(row.base_offset),
        log_append_time_ms: (row.log_append_time_ms >= 0).then_some(row.log_append_time_ms),
        log_start_offset: row.log_start_offset,
        duplicate,
    })
}

fn new_leader(
    places: &Places,
    place: usize,
    row: &PartitionProduceResponse,
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
