//! ListOffsets (2), versions 1–11.
//!
//! Special timestamps: -1 latest (the high watermark, or the last stable offset for
//! read_committed), -2 earliest, -3 the record of the greatest timestamp (version 7, KIP-734),
//! -4 earliest on local disk (8, KIP-405), -5 last in remote storage (9), -6 earliest still to be
//! copied there (11, KIP-1023). Without remote storage -4 is -2, and -5 and -6 have no answer.
//!
//! Only the leader answers. Versions: 2 the isolation level; 4 the leader epoch both ways (KIP-320);
//! 5 that a new leader does not know yet where the committed end is (KIP-207); 10 a time-out.

use super::{Call, Reply, Serve};
use crate::authorization::Access;
use crate::broker::Broker;
use crate::partitions::{Isolation, OffsetQuery};
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
            look_up(broker, version, isolation, &topic.name, asked)
                .unwrap_or_else(|code| refused(asked.partition_index, code))
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
    let query = match (asked.timestamp, version) {
        (LATEST, _) => OffsetQuery::Latest(isolation),
        (EARLIEST, _) | (EARLIEST_LOCAL, 8..) => OffsetQuery::Earliest,
        (MAX_TIMESTAMP, 7..) => OffsetQuery::MaxTimestamp,
        (LATEST_TIERED, 9..) | (EARLIEST_PENDING_UPLOAD, 11..) => OffsetQuery::Remote,
        (timestamp, _) if timestamp < 0 => return Err(ErrorCode::UNSUPPORTED_VERSION),
        (timestamp, _) => OffsetQuery::At(timestamp, isolation),
    };
    let partition = broker.partition(topic, asked.partition_index)?;
    let found = partition.look_up(query, asked.current_leader_epoch);
    let found = found.map_err(|failure| match (failure.code(), version) {
        // Clients before version 5 do not know the code (KIP-207).
        (ErrorCode::OFFSET_NOT_AVAILABLE, ..5) => ErrorCode::LEADER_NOT_AVAILABLE,
        (code, _) => code,
    })?;
    Ok(ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        error_code: ErrorCode::NONE,
        timestamp: found.timestamp,
        offset: found.offset,
        // Clients before version 4 have no field for it.
        leader_epoch: if version >= 4 { found.leader_epoch } else { -1 },
    })
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
