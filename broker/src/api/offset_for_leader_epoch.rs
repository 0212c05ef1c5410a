//! OffsetForLeaderEpoch (23), versions 2–4: where an epoch ended, so that a client notices that
//! the log it read was truncated (KIP-320).
//!
//! Only the leader answers. Versions: 3 the replica id (-2: a client's tool that may look beyond the high
//! watermark). Ours: to replica -3 each replica answers from its own log, so that the histories of all
//! can be compared where nobody leads; Kafka's followers refuse it as anybody else.

use super::{Call, Reply, Serve};
use crate::broker::Broker;
use crate::partitions::ServedBy;
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use isthmus_wire::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use isthmus_wire::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use isthmus_wire::{ErrorCode, VersionRange};

/// Whoever looks at one replica; not Kafka's.
const THIS_REPLICA: i32 = -3;

pub(super) struct OffsetForLeaderEpoch;

impl Serve for OffsetForLeaderEpoch {
    type Request = OffsetForLeaderEpochRequest;
    const VERSIONS: VersionRange = VersionRange { min: 2, max: 4 };

    async fn serve(
        call: Call<'_>,
        request: OffsetForLeaderEpochRequest,
    ) -> Reply<OffsetForLeaderEpochResponse> {
        let access = call.access();
        // Brokers' right to ask about everything comes before that of consumers (KIP-320).
        let as_broker = access.may_on_cluster_quietly(Operation::ClusterAction);
        // Version 2 has no such field.
        let served_by = match request.replica_id {
            THIS_REPLICA if call.version() >= 3 => ServedBy::AnyReplica,
            _ => ServedBy::Leader,
        };
        let topics = request.topics.iter().map(|topic| {
            let allowed = if as_broker {
                Ok(())
            } else {
                access.topic(Operation::Describe, &topic.topic)
            };
            let partitions = topic.partitions.iter().map(|asked| {
                let found =
                    allowed.and_then(|()| look_up(call.broker, &topic.topic, asked, served_by));
                found.unwrap_or_else(|error_code| EpochEndOffset {
                    error_code,
                    partition: asked.partition,
                    ..EpochEndOffset::default()
                })
            });
            OffsetForLeaderTopicResult {
                topic: topic.topic.clone(),
                partitions: partitions.collect(),
            }
        });
        let topics = topics.collect();
        Reply::Now(OffsetForLeaderEpochResponse {
            topics,
            ..Default::default()
        })
    }
}

fn look_up(
    broker: &Broker,
    topic: &str,
    asked: &OffsetForLeaderPartition,
    served_by: ServedBy,
) -> Result<EpochEndOffset, ErrorCode> {
    let partition = broker.partition(topic, asked.partition)?;
    let found = partition.epoch_end(asked.leader_epoch, asked.current_leader_epoch, served_by);
    let (leader_epoch, end_offset) = found.map_err(|failure| failure.code())?;
    Ok(EpochEndOffset {
        error_code: ErrorCode::NONE,
        partition: asked.partition,
        leader_epoch,
        end_offset,
    })
}
