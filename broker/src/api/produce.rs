//! Produce (0), versions 3–13; advertised from 0.
//!
//! Advertised from 0 because older librdkafka drops compression silently when the lowest version
//! is 3 (KAFKA-18659, pitfall 2); a request below 3 ends its connection, as with Kafka.
//!
//! The request's bytes count against the client's quota (KIP-13), with acks=0 too.
//!
//! First stage: every partition's batches are checked and appended, in the order of the request.
//! Second stage, only when needed: acks=all waits for the high watermark, `flush.messages` and acks=1
//! under `flush.policy=group` for the disk. By then the frame is gone. Where more is written than the
//! disk takes, appends to topics of that policy wait for room before the first stage.
//!
//! Versions: 5 shows the log start offset; 8 the records that were refused (KIP-467); 10 the new
//! leader on NOT_LEADER_OR_FOLLOWER (KIP-951); 12 is as 11 for clients without transactions; 13
//! names topics by id (KIP-516).

use super::current_leader::{current_leader, nodes};
use super::{Call, Reply, Serve};
use crate::authorization::Access;
use crate::broker::Broker;
use crate::clocks;
use crate::partitions::{Acks, AppendFailure, Appended, Partition};
use crate::quotas::UsedRate;
use crate::settings::Listener;
use bytes::Bytes;
use isthmus_broker_core::security::Operation;
use isthmus_log::{AppendError, RecordError};
use isthmus_wire::batch::{BatchHeader, Compression, split_batches};
use isthmus_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use isthmus_wire::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    TopicProduceResponse,
};
use isthmus_wire::messages::{ProduceRequest, ProduceResponse};
use isthmus_wire::{ErrorCode, VersionRange};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The first version whose clients know zstd (KIP-110).
const ZSTD_FROM: i16 = 7;

/// The first version that names the new leader.
const LEADERS_FROM: i16 = 10;

/// Most refused records that the text names, as in Kafka.
const RECORD_ERRORS_TOLD: usize = 3;

/// Longest wait for the high watermark, whatever the client asks for.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);

pub(super) struct Produce;

impl Serve for Produce {
    type Request = ProduceRequest;
    const VERSIONS: VersionRange = VersionRange { min: 3, max: 13 };
    const ADVERTISED: VersionRange = VersionRange { min: 0, max: 13 };

    async fn serve(call: Call<'_>, request: ProduceRequest) -> Reply<ProduceResponse> {
        let acks = match request.acks {
            0 => Some(Acks::None),
            1 => Some(Acks::Leader),
            -1 => Some(Acks::All),
            _ => None,
        };
        let timeout_ms = request.timeout_ms;
        let has_room = has_room(&call, &request).await;
        let transactional = has_transactional_records(&request);
        let access = call.access();
        let refused_whole = if !has_room {
            Some(ErrorCode::REQUEST_TIMED_OUT)
        } else if transactional {
            may_use_id(&access, request.transactional_id.as_deref()).err()
        } else {
            None
        };
        let mut parked = Vec::new();
        let mut response = ProduceResponse::default();
        for topic in request.topic_data {
            let at_topic = response.responses.len();
            let mut answer = TopicProduceResponse {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partition_responses: Vec::with_capacity(topic.partition_data.len()),
            };
            let id = (call.version() >= 13).then_some(topic.topic_id);
            let allowed = match refused_whole {
                Some(code) => Err(code),
                None => access.topic_or_id(Operation::Write, &topic.name, id),
            };
            for data in &topic.partition_data {
                let outcome = match allowed {
                    Ok(()) => append(
                        call.broker,
                        call.version(),
                        acks,
                        transactional,
                        &topic,
                        data,
                    ),
                    Err(code) => Err(Failure::Code(code)),
                };
                let at_partition = answer.partition_responses.len();
                answer
                    .partition_responses
                    .push(partition_answer(data.index, &outcome));
                if let Ok((partition, appended)) = outcome
                    && (appended.flush_due || !is_settled(acks, &appended))
                {
                    parked.push(Parked {
                        at_topic,
                        at_partition,
                        partition,
                        appended,
                    });
                }
            }
            response.responses.push(answer);
        }
        let throttle_time_ms = call
            .metered
            .record(UsedRate::Produced, || call.bytes as f64);
        response.throttle_time_ms = throttle_time_ms;
        if acks == Some(Acks::None) {
            return if has_error(&response) {
                Reply::Hangup
            } else {
                Reply::Nothing(throttle_time_ms)
            };
        }
        let leaders = Leaders {
            broker: Arc::clone(call.broker),
            listener: Arc::clone(&call.caller.listener),
            version: call.version(),
        };
        leaders.name_in(&mut response);
        if parked.is_empty() {
            return Reply::Now(response);
        }
        let deadline = deadline(timeout_ms);
        Reply::Later(Box::pin(async move {
            let mut response = wait(response, parked, acks, deadline).await;
            leaders.name_in(&mut response);
            response
        }))
    }
}

fn deadline(timeout_ms: i32) -> Instant {
    let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
    Instant::now() + timeout.min(TIMEOUT_MAX)
}

/// Whether what the request brings may be written. Where as much as may be waits for the disk, topics
/// that wait for it take no more; meanwhile nothing else of this connection is read.
async fn has_room(call: &Call<'_>, request: &ProduceRequest) -> bool {
    let partitions = &call.broker.partitions;
    if partitions.has_room_to_append() {
        return true;
    }
    !waits_for_disk(call.broker, call.version(), request)
        || partitions
            .room_to_append(deadline(request.timeout_ms))
            .await
}

/// Whether any of its topics has `flush.policy=group`.
fn waits_for_disk(broker: &Broker, version: i16, request: &ProduceRequest) -> bool {
    let of_topic = |topic: &TopicProduceData| {
        let found = topic.partition_data.iter();
        let mut found = found.filter_map(|data| find(broker, version, topic, data).ok());
        found.any(|it| it.is_group_committed())
    };
    request.topic_data.iter().any(of_topic)
}

fn find(
    broker: &Broker,
    version: i16,
    topic: &TopicProduceData,
    data: &PartitionProduceData,
) -> Result<Arc<Partition>, ErrorCode> {
    if version >= 13 {
        broker.partition_by_id(topic.topic_id, data.index)
    } else {
        broker.partition(&topic.name, data.index)
    }
}

/// Whether an answer may say so now, as far as replicas go.
fn is_settled(acks: Option<Acks>, appended: &Appended) -> bool {
    match acks {
        Some(Acks::All) => appended.committed,
        Some(Acks::Leader) => appended.held,
        Some(Acks::None) | None => true,
    }
}

/// Told by the first batch of each partition, as in Kafka: they are all of one producer.
fn has_transactional_records(request: &ProduceRequest) -> bool {
    let partitions = request
        .topic_data
        .iter()
        .flat_map(|topic| &topic.partition_data);
    let mut first_batches = partitions.filter_map(|data| data.records.as_ref()?.bytes());
    first_batches
        .any(|bytes| BatchHeader::parse(bytes).is_ok_and(|header| header.is_transactional()))
}

fn may_use_id(access: &Access, transactional_id: Option<&str>) -> Result<(), ErrorCode> {
    match transactional_id {
        Some(id) => access.transactional_id(Operation::Write, id),
        None => Err(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
    }
}

/// Names the new leaders of partitions that are led here no more.
struct Leaders {
    broker: Arc<Broker>,
    listener: Arc<Listener>,
    version: i16,
}

impl Leaders {
    fn name_in(&self, response: &mut ProduceResponse) {
        if self.version < LEADERS_FROM {
            return;
        }
        let image = self.broker.image();
        let mut named = BTreeSet::new();
        for topic in &mut response.responses {
            let known = if self.version >= 13 {
                image.topic_by_id(topic.topic_id)
            } else {
                image.topic(&topic.name)
            };
            for answer in &mut topic.partition_responses {
                let leader = current_leader(known, answer.index);
                let is_elsewhere = answer.error_code == ErrorCode::NOT_LEADER_OR_FOLLOWER;
                if let Some((leader_id, leader_epoch)) = leader.filter(|_| is_elsewhere) {
                    answer.current_leader = LeaderIdAndEpoch {
                        leader_id,
                        leader_epoch,
                    };
                    named.insert(leader_id);
                }
            }
        }
        let nodes = nodes(&image, &self.listener.name, &named);
        let endpoints = nodes.map(|node| NodeEndpoint {
            node_id: node.id,
            host: node.host.to_owned(),
            port: node.port.into(),
            rack: node.rack.map(str::to_owned),
        });
        response.node_endpoints = endpoints.collect();
    }
}

/// A partition whose answer is not settled yet.
struct Parked {
    at_topic: usize,
    at_partition: usize,
    partition: Arc<Partition>,
    appended: Appended,
}

async fn wait(
    mut response: ProduceResponse,
    parked: Vec<Parked>,
    acks: Option<Acks>,
    deadline: Instant,
) -> ProduceResponse {
    for one in parked {
        let settled = async {
            if one.appended.flush_due {
                one.partition.flush().await?;
            }
            match acks {
                Some(Acks::All) => one.partition.wait_for_commit(&one.appended).await,
                Some(Acks::Leader) => one.partition.wait_until_held(&one.appended).await,
                Some(Acks::None) | None => Ok::<(), AppendFailure>(()),
            }
        };
        let failure = match tokio::time::timeout_at(deadline, settled).await {
            Ok(Ok(())) => continue,
            Ok(Err(failure)) => failure.code(),
            Err(_) => ErrorCode::REQUEST_TIMED_OUT,
        };
        let answer = &mut response.responses[one.at_topic].partition_responses[one.at_partition];
        *answer = refused(answer.index, failure);
    }
    response
}

fn append(
    broker: &Arc<Broker>,
    version: i16,
    acks: Option<Acks>,
    transactional: bool,
    topic: &TopicProduceData,
    data: &PartitionProduceData,
) -> Result<(Arc<Partition>, Appended), Failure> {
    let partition = find(broker, version, topic, data).map_err(Failure::Code)?;
    let records = data.records.as_ref().and_then(|records| records.bytes());
    let records = records.cloned().unwrap_or_default();
    check_request(version, &records).map_err(Failure::Code)?;
    let acks = acks.ok_or(Failure::Code(ErrorCode::INVALID_REQUIRED_ACKS))?;
    if transactional {
        // Transactions are refused where they begin (InitProducerId); no such id was given out.
        return Err(Failure::Code(ErrorCode::INVALID_PRODUCER_ID_MAPPING));
    }
    let now_ms = clocks::wall_ms();
    match partition.append(&records, acks, now_ms) {
        Ok(appended) => {
            broker.metrics.bytes_in.inc_by(appended.bytes as u64);
            Ok((partition, appended))
        }
        Err(failure) => Err(Failure::Append(partition, failure)),
    }
}

/// What a request must hold whatever its topic: one whole batch of the present format, in a codec
/// that clients of that version can read back. Bytes that are no batch at all are the log's to judge.
fn check_request(version: i16, records: &Bytes) -> Result<(), ErrorCode> {
    let mut batches = split_batches(records);
    let first = match batches.next() {
        None => return Err(ErrorCode::INVALID_RECORD),
        Some(Err(_)) => return Ok(()),
        Some(Ok(first)) => first,
    };
    if matches!(batches.next(), Some(Ok(_))) {
        return Err(ErrorCode::INVALID_RECORD);
    }
    match first.header().compression() {
        Ok(Compression::Zstd) if version < ZSTD_FROM => {
            Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE)
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

enum Failure {
    Code(ErrorCode),
    Append(Arc<Partition>, AppendFailure),
}

fn partition_answer(
    index: i32,
    outcome: &Result<(Arc<Partition>, Appended), Failure>,
) -> PartitionProduceResponse {
    match outcome {
        Ok((_, appended)) => PartitionProduceResponse {
            index,
            error_code: ErrorCode::NONE,
            base_offset: appended.base_offset,
            log_append_time_ms: appended.log_append_time_ms,
            log_start_offset: appended.log_start_offset,
            ..PartitionProduceResponse::default()
        },
        Err(Failure::Code(code)) => refused(index, *code),
        Err(Failure::Append(partition, failure)) => refused_by_log(index, partition, failure),
    }
}

fn refused_by_log(
    index: i32,
    partition: &Partition,
    failure: &AppendFailure,
) -> PartitionProduceResponse {
    let mut answer = refused(index, failure.code());
    if matches!(failure, AppendFailure::NotLeader | AppendFailure::NoLease) {
        // The code says it all, and Kafka says no more.
        return answer;
    }
    answer.error_message = Some(failure.to_string());
    let AppendFailure::Log(error) = failure else {
        return answer;
    };
    if was_validated(error) {
        answer.log_start_offset = partition.log_start_offset();
    }
    if let AppendError::InvalidRecords {
        errors,
        invalid_timestamp,
    } = error
    {
        let place = format!(
            "topic partition {}-{}",
            partition.topic(),
            partition.index()
        );
        let told = |error: &RecordError| BatchIndexAndErrorMessage {
            batch_index: error.batch_index,
            batch_index_error_message: Some(if *invalid_timestamp {
                error.message.clone()
            } else {
                format!("{} in {place}", error.message)
            }),
        };
        answer.record_errors = errors.iter().map(told).collect();
        answer.error_message = Some(if *invalid_timestamp {
            "One or more records have been rejected due to invalid timestamp".to_owned()
        } else {
            summary(&answer.record_errors)
        });
    }
    answer
}

/// Kafka shows where the log begins in refusals of well-formed batches only.
fn was_validated(error: &AppendError) -> bool {
    match error {
        AppendError::InvalidRecord(_)
        | AppendError::InvalidRecords { .. }
        | AppendError::InvalidTimestamp(_)
        | AppendError::UnsupportedCompressionType(_)
        | AppendError::Producer(_) => true,
        AppendError::Storage(_)
        | AppendError::CorruptRecord(_)
        | AppendError::RecordTooLarge { .. }
        | AppendError::RecordListTooLarge { .. }
        | AppendError::UnsupportedForMessageFormat(_)
        | AppendError::UnexpectedAppendOffset { .. } => false,
    }
}

fn summary(errors: &[BatchIndexAndErrorMessage]) -> String {
    let told = errors.iter().take(RECORD_ERRORS_TOLD).map(|error| {
        let message = error.batch_index_error_message.as_deref().unwrap_or("null");
        let index = error.batch_index;
        format!("RecordError(batchIndex={index}, message='{message}')")
    });
    format!(
        "One or more records have been rejected due to {} record errors in total, and only showing \
         the first three errors at most: [{}]",
        errors.len(),
        told.collect::<Vec<_>>().join(", ")
    )
}

fn refused(index: i32, error_code: ErrorCode) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        error_code,
        base_offset: -1,
        error_message: None,
        ..PartitionProduceResponse::default()
    }
}

fn has_error(response: &ProduceResponse) -> bool {
    let answers = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses);
    answers
        .into_iter()
        .any(|answer| answer.error_code.is_error())
}
