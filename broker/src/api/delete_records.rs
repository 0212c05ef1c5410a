//! DeleteRecords (21), versions 0–2 (KIP-107): moves the log start offset up; -1 stands for the
//! high watermark. A topic that is only compacted keeps its records. Answered when all replicas that
//! live have moved theirs: who leads next must not show again what was deleted.

use super::{Call, Reply, Serve};
use crate::authorization::Access;
use crate::broker::Broker;
use crate::partitions::Partition;
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use isthmus_wire::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use isthmus_wire::{ErrorCode, VersionRange};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Longest wait for other replicas, whatever the client asks for.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);

pub(super) struct DeleteRecords;

impl Serve for DeleteRecords {
    type Request = DeleteRecordsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 2 };

    async fn serve(call: Call<'_>, request: DeleteRecordsRequest) -> Reply<DeleteRecordsResponse> {
        let (broker, access) = (Arc::clone(call.broker), call.access());
        let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
        let deadline = Instant::now() + timeout.min(TIMEOUT_MAX);
        // The new start is on disk before it is acknowledged: not on a thread that serves sockets.
        let deleted = tokio::task::spawn_blocking(move || answer(&broker, &access, &request)).await;
        let Ok((response, waiting)) = deleted else {
            return Reply::Hangup;
        };
        if waiting.is_empty() {
            return Reply::Now(response);
        }
        let broker = Arc::clone(call.broker);
        Reply::Later(Box::pin(wait(broker, response, waiting, deadline)))
    }
}

/// A partition whose other replicas are not that far.
struct Waiting {
    at_topic: usize,
    at_partition: usize,
    partition: Arc<Partition>,
    offset: i64,
}

fn answer(
    broker: &Broker,
    access: &Access,
    request: &DeleteRecordsRequest,
) -> (DeleteRecordsResponse, Vec<Waiting>) {
    let mut moved = false;
    let mut waiting = Vec::new();
    let mut response = DeleteRecordsResponse::default();
    for (at_topic, topic) in request.topics.iter().enumerate() {
        let allowed = access.topic(Operation::Delete, &topic.name);
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (at_partition, asked) in topic.partitions.iter().enumerate() {
            let outcome = allowed
                .and_then(|()| delete(broker, &topic.name, asked.partition_index, asked.offset));
            moved |= outcome.is_ok();
            let (low_watermark, error_code) = match outcome {
                Ok((partition, offset, low_watermark)) => {
                    if low_watermark < offset {
                        waiting.push(Waiting {
                            at_topic,
                            at_partition,
                            partition,
                            offset,
                        });
                    }
                    (low_watermark, ErrorCode::NONE)
                }
                Err(code) => (-1, code),
            };
            partitions.push(DeleteRecordsPartitionResult {
                partition_index: asked.partition_index,
                low_watermark,
                error_code,
            });
        }
        response.topics.push(DeleteRecordsTopicResult {
            name: topic.name.clone(),
            partitions,
        });
    }
    if moved && broker.partitions.checkpoint_log_starts().is_err() {
        let results = response
            .topics
            .iter_mut()
            .flat_map(|topic| &mut topic.partitions);
        results.for_each(|result| result.error_code = ErrorCode::KAFKA_STORAGE_ERROR);
        waiting.clear();
    }
    (response, waiting)
}

/// The partition, the offset meant, and the low watermark by now.
fn delete(
    broker: &Broker,
    topic: &str,
    index: i32,
    offset: i64,
) -> Result<(Arc<Partition>, i64, i64), ErrorCode> {
    let partition = broker.partition(topic, index)?;
    let offset = partition
        .delete_records(offset)
        .map_err(|failure| failure.code())?;
    let low_watermark = partition
        .low_watermark(&broker.image())
        .map_err(|failure| failure.code())?;
    Ok((partition, offset, low_watermark))
}

async fn wait(
    broker: Arc<Broker>,
    mut response: DeleteRecordsResponse,
    waiting: Vec<Waiting>,
    deadline: Instant,
) -> DeleteRecordsResponse {
    for one in waiting {
        let reached = until_deleted(&broker, &one.partition, one.offset);
        let result = &mut response.topics[one.at_topic].partitions[one.at_partition];
        match tokio::time::timeout_at(deadline, reached).await {
            Ok(Ok(low_watermark)) => result.low_watermark = low_watermark,
            Ok(Err(code)) => (result.low_watermark, result.error_code) = (-1, code),
            Err(_) => result.error_code = ErrorCode::REQUEST_TIMED_OUT,
        }
    }
    response
}

async fn until_deleted(
    broker: &Broker,
    partition: &Arc<Partition>,
    offset: i64,
) -> Result<i64, ErrorCode> {
    let woken = Arc::new(Notify::new());
    let _watch = partition.watch(&woken);
    // A replica that is fenced is waited for no longer, and only the metadata tells of it.
    let mut published = broker.published.clone();
    loop {
        published.mark_unchanged();
        let low_watermark = partition.low_watermark(&broker.image());
        let low_watermark = low_watermark.map_err(|failure| failure.code())?;
        if low_watermark >= offset {
            return Ok(low_watermark);
        }
        tokio::select! {
            () = woken.notified() => {}
            told = published.changed() => told.map_err(|_| ErrorCode::BROKER_NOT_AVAILABLE)?,
        }
    }
}
