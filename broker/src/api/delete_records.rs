//! DeleteRecords (21), versions 0–2 (KIP-107): moves the log start offset up; -1 stands for the
//! high watermark. A topic that is only compacted keeps its records.

use super::{Call, Reply, Serve};
use crate::authorization::Access;
use crate::broker::Broker;
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use isthmus_wire::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use isthmus_wire::{ErrorCode, VersionRange};
use std::sync::Arc;

pub(super) struct DeleteRecords;

impl Serve for DeleteRecords {
    type Request = DeleteRecordsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 2 };

    async fn serve(call: Call<'_>, request: DeleteRecordsRequest) -> Reply<DeleteRecordsResponse> {
        let (broker, access) = (Arc::clone(call.broker), call.access());
        // The new start is on disk before it is acknowledged: not on a thread that serves sockets.
        match tokio::task::spawn_blocking(move || answer(&broker, &access, &request)).await {
            Ok(response) => Reply::Now(response),
            Err(_) => Reply::Hangup,
        }
    }
}

fn answer(
    broker: &Broker,
    access: &Access,
    request: &DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let mut moved = false;
    let topics = request.topics.iter().map(|topic| {
        let allowed = access.topic(Operation::Delete, &topic.name);
        let partitions = topic.partitions.iter().map(|asked| {
            let outcome = allowed
                .and_then(|()| delete(broker, &topic.name, asked.partition_index, asked.offset));
            moved |= outcome.is_ok();
            let (low_watermark, error_code) = match outcome {
                Ok(low_watermark) => (low_watermark, ErrorCode::NONE),
                Err(code) => (-1, code),
            };
            DeleteRecordsPartitionResult {
                partition_index: asked.partition_index,
                low_watermark,
                error_code,
            }
        });
        DeleteRecordsTopicResult {
            name: topic.name.clone(),
            partitions: partitions.collect(),
        }
    });
    let mut response = DeleteRecordsResponse {
        topics: topics.collect(),
        ..DeleteRecordsResponse::default()
    };
    if moved && broker.partitions.checkpoint_log_starts().is_err() {
        let results = response
            .topics
            .iter_mut()
            .flat_map(|topic| &mut topic.partitions);
        results.for_each(|result| result.error_code = ErrorCode::KAFKA_STORAGE_ERROR);
    }
    response
}

fn delete(broker: &Broker, topic: &str, index: i32, offset: i64) -> Result<i64, ErrorCode> {
    let partition = broker.partition(topic, index)?;
    if !partition.may_delete() {
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    partition
        .delete_records(offset)
        .map_err(|failure| failure.code())
}
