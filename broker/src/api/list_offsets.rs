//! ListOffsets (2), versions 1–11.
//!
//! Special timestamps: -1 latest (the high watermark, or the last stable offset for
//! read_committed), -2 earliest, -3 the record of the greatest timestamp (version 7, KIP-734),
//! -4 earliest on local disk (8, KIP-405), -5 last in remote storage (9), -6 earliest still to be
//! copied there (11, KIP-1023). Without remote storage -4 is -2, and -5 and -6 have no answer.
//!
//! Only the leader answers, except to replica -2, Kafka's debugging replica: each replica tells it of its
//! own log, up to the log's end instead of the high watermark. Ours: -100 asks such a replica for the
//! high watermark that it knows; nobody else may ask so. Versions: 2 the isolation level; 4 the leader epoch both ways (KIP-320);
//! 5 that a new leader does not know yet where the committed end is (KIP-207); 10 a time-out.

use super::{Call, Reply, Serve};
use crate::authorization::Access;
use crate::broker::Broker;
use crate::partitions::{FoundOffset, Isolation, OffsetQuery};
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::list_offsets_request::ListOffsetsPartition;
use isthmus_wire::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use isthmus_wire::messages::{ListOffsetsRequest, ListOffsetsResponse};
use isthmus_wire::{ErrorCode, VersionRange};
use std::collections::BTreeSet;
use std::sync::Arc;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;
/// Not Kafka's, which answers UNSUPPORTED_VERSION.
const HIGH_WATERMARK: i64 = -100;
/// Whoever looks at one replica (Kafka's `DEBUGGING_REPLICA_ID`).
const DEBUGGING_REPLICA: i32 = -2;

pub(super) struct ListOffsets;

impl Serve for ListOffsets {
    type Request = ListOffsetsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 1, max: 11 };

    async fn serve(call: Call<'_>, request: ListOffsetsRequest) -> Reply<ListOffsetsResponse> {
        let broker = Arc::clone(call.broker);
        let (version, access) = (call.version(), call.access());
        // A look-up by time reads segments: not on a thread that serves sockets.
        let answer = move || answer(&broker, &access, version, &request);
        match tokio::task::spawn_blocking(answer).await {
            Ok(response) => Reply::Now(response),
            Err(_) => Reply::Hangup,
        }
    }
}

fn answer(
    broker: &Broker,
    access: &Access,
    version: i16,
    request: &ListOffsetsRequest,
) -> ListOffsetsResponse {
    let isolation = Isolation::from_wire(request.isolation_level);
    let is_debugging = request.replica_id == DEBUGGING_REPLICA;
    let topics = request.topics.iter().map(|topic| {
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<i32> = topic
            .partitions
            .iter()
            .map(|partition| partition.partition_index)
            .filter(|&index| !seen.insert(index))
            .collect();
        let allowed = access.topic(Operation::Describe, &topic.name);
        // A partition asked for twice is refused once, as in Kafka.
        let mut told = BTreeSet::new();
        let once = topic.partitions.iter().filter(|asked| {
            let index = asked.partition_index;
            !twice.contains(&index) || told.insert(index)
        });
        let partitions = once.map(|asked| {
            if let Err(code) = allowed {
                return refused(asked.partition_index, code);
            }
            if twice.contains(&asked.partition_index) {
                return refused(asked.partition_index, ErrorCode::INVALID_REQUEST);
            }
            let found = if is_debugging {
                look_up_here(broker, version, isolation, &topic.name, asked)
            } else {
                look_up(broker, version, isolation, &topic.name, asked)
            };
            found.unwrap_or_else(|code| refused(asked.partition_index, code))
        });
        ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions: partitions.collect(),
        }
    });
    ListOffsetsResponse {
        topics: topics.collect(),
        ..ListOffsetsResponse::default()
    }
}

fn look_up(
    broker: &Broker,
    version: i16,
    isolation: Isolation,
    topic: &str,
    asked: &ListOffsetsPartition,
) -> Result<ListOffsetsPartitionResponse, ErrorCode> {
    let query = query(asked.timestamp, version, isolation)?;
    let partition = broker.partition(topic, asked.partition_index)?;
    let found = partition.look_up(query, asked.current_leader_epoch);
    let found = found.map_err(|failure| match (failure.code(), version) {
        // Clients before version 5 do not know the code (KIP-207).
        (ErrorCode::OFFSET_NOT_AVAILABLE, ..5) => ErrorCode::LEADER_NOT_AVAILABLE,
        (code, _) => code,
    })?;
    Ok(answered(asked.partition_index, version, found))
}

/// For the debugging replica.
fn look_up_here(
    broker: &Broker,
    version: i16,
    isolation: Isolation,
    topic: &str,
    asked: &ListOffsetsPartition,
) -> Result<ListOffsetsPartitionResponse, ErrorCode> {
    let query = match asked.timestamp {
        HIGH_WATERMARK => OffsetQuery::HighWatermark,
        timestamp => query(timestamp, version, isolation)?,
    };
    let partition = broker.partition(topic, asked.partition_index)?;
    let found = partition.look_up_here(query, asked.current_leader_epoch);
    let found = found.map_err(|failure| failure.code())?;
    Ok(answered(asked.partition_index, version, found))
}

fn query(timestamp: i64, version: i16, isolation: Isolation) -> Result<OffsetQuery, ErrorCode> {
    match (timestamp, version) {
        (LATEST, _) => Ok(OffsetQuery::Latest(isolation)),
        (EARLIEST, _) | (EARLIEST_LOCAL, 8..) => Ok(OffsetQuery::Earliest),
        (MAX_TIMESTAMP, 7..) => Ok(OffsetQuery::MaxTimestamp),
        (LATEST_TIERED, 9..) | (EARLIEST_PENDING_UPLOAD, 11..) => Ok(OffsetQuery::Remote),
        (timestamp, _) if timestamp < 0 => Err(ErrorCode::UNSUPPORTED_VERSION),
        (timestamp, _) => Ok(OffsetQuery::At(timestamp, isolation)),
    }
}

fn answered(
    partition_index: i32,
    version: i16,
    found: FoundOffset,
) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse {
        partition_index,
        error_code: ErrorCode::NONE,
        timestamp: found.timestamp,
        offset: found.offset,
        // Clients before version 4 have no field for it.
        leader_epoch: if version >= 4 { found.leader_epoch } else { -1 },
    }
}

fn refused(partition_index: i32, error_code: ErrorCode) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse {
        partition_index,
        error_code,
        timestamp: -1,
        offset: -1,
        leader_epoch: -1,
    }
}
