//! ListOffsets 1-11, DeleteRecords 0-2, OffsetForLeaderEpoch 2-4: by partition, at the leaders.

use std::sync::Arc;

use isthmus_wire::ErrorCode;
use isthmus_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use isthmus_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use isthmus_wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use isthmus_wire::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, ListOffsetsRequest, ListOffsetsResponse,
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};

use super::Admin;
use crate::cluster::{LeaderCall, LeaderItem, RequestError};
use crate::deadline::Deadline;
use crate::fetch::IsolationLevel;

/// A client, not a replica.
const CONSUMER: i32 = -1;

/// Which offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OffsetSpec {
    /// The end: high watermark or last stable offset, by isolation.
    Latest,
    Earliest,
    /// Of the record with the largest timestamp (version 7).
    MaxTimestamp,
    /// The earliest on the broker's own disk (version 8).
    EarliestLocal,
    /// Of the first record at or after this time in milliseconds since the epoch.
    AtTimestamp(i64),
}

impl OffsetSpec {
    fn timestamp(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            Self::EarliestLocal => -4,
            Self::AtTimestamp(timestamp) => timestamp,
        }
    }
}

/// An offset that was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// `None` if no record is that young.
    pub offset: Option<i64>,
    /// Of the record found; `None` for the ends.
    pub timestamp: Option<i64>,
    pub leader_epoch: Option<i32>,
}

/// Where an epoch ends in a leader's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest epoch not above the one asked for; `None` if the leader has none.
    pub leader_epoch: Option<i32>,
    pub end_offset: Option<i64>,
}

/// Outcomes in the order of the partitions asked for.
pub type ByPartition<T> = Vec<Result<T, RequestError>>;

impl Admin {
    /// Looks up an offset per partition.
    pub async fn list_offsets(
        &self,
        partitions: &[(Arc<str>, i32, OffsetSpec)],
        isolation: IsolationLevel,
    ) -> ByPartition<ListedOffset> {
        self.cluster
            .at_leaders(&ListOffsets { isolation }, partitions, self.deadline())
            .await
    }

    /// Deletes the records before an offset, -1 for all up to the high watermark; returns the new
    /// first offset of each partition.
    pub async fn delete_records(&self, partitions: &[(Arc<str>, i32, i64)]) -> ByPartition<i64> {
        let call = DeleteRecords {
            timeout_ms: self.broker_timeout_ms(),
        };
        self.cluster
            .at_leaders(&call, partitions, self.deadline())
            .await
    }

    /// Asks where a leader epoch ends, to find out how far two logs agree (KIP-320).
    pub async fn offsets_for_leader_epochs(
        &self,
        partitions: &[(Arc<str>, i32, i32)],
    ) -> ByPartition<EpochEnd> {
        self.cluster
            .at_leaders(&OffsetForLeaderEpoch, partitions, self.deadline())
            .await
    }
}

struct ListOffsets {
    isolation: IsolationLevel,
}

impl LeaderCall for ListOffsets {
    type Ask = OffsetSpec;
    type Got = ListedOffset;
    type Request = ListOffsetsRequest;

    fn request(
        &self,
        version: i16,
        items: &[LeaderItem<'_, OffsetSpec>],
        deadline: Deadline,
    ) -> ListOffsetsRequest {
        let partition = |it: &&LeaderItem<'_, OffsetSpec>| ListOffsetsPartition {
            partition_index: it.partition,
            current_leader_epoch: it.leader_epoch,
            timestamp: it.ask.timestamp(),
        };
        let topics = LeaderItem::by_topic(items)
            .into_iter()
            .map(|(name, items)| {
                let partitions = items.iter().map(partition).collect();
                ListOffsetsTopic {
                    name: name.to_owned(),
                    partitions,
                }
            });
        ListOffsetsRequest {
            replica_id: CONSUMER,
            // Version 1 knows no transactions.
            isolation_level: if version >= 2 {
                self.isolation.into()
            } else {
                0
            },
            topics: topics.collect(),
            timeout_ms: i32::try_from(deadline.remaining().as_millis()).unwrap_or(i32::MAX),
        }
    }

    fn results(
        &self,
        response: ListOffsetsResponse,
    ) -> Vec<(String, i32, Result<ListedOffset, ErrorCode>)> {
        let mut rows = Vec::new();
        for topic in response.topics {
            for it in topic.partitions {
                let listed = ListedOffset {
                    offset: (it.offset >= 0).then_some(it.offset),
                    timestamp: (it.timestamp >= 0).then_some(it.timestamp),
                    leader_epoch: (it.leader_epoch >= 0).then_some(it.leader_epoch),
                };
                let outcome = outcome(it.error_code, listed);
                rows.push((topic.name.clone(), it.partition_index, outcome));
            }
        }
        rows
    }
}

struct DeleteRecords {
    timeout_ms: i32,
}

impl LeaderCall for DeleteRecords {
    type Ask = i64;
    type Got = i64;
    type Request = DeleteRecordsRequest;

    fn request(
        &self,
        _version: i16,
        items: &[LeaderItem<'_, i64>],
        _deadline: Deadline,
    ) -> DeleteRecordsRequest {
        let partition = |it: &&LeaderItem<'_, i64>| DeleteRecordsPartition {
            partition_index: it.partition,
            offset: *it.ask,
        };
        let topics = LeaderItem::by_topic(items)
            .into_iter()
            .map(|(name, items)| {
                let partitions = items.iter().map(partition).collect();
                DeleteRecordsTopic {
                    name: name.to_owned(),
                    partitions,
                }
            });
        DeleteRecordsRequest {
            topics: topics.collect(),
            timeout_ms: self.timeout_ms,
        }
    }

    fn results(
        &self,
        response: DeleteRecordsResponse,
    ) -> Vec<(String, i32, Result<i64, ErrorCode>)> {
        let mut rows = Vec::new();
        for topic in response.topics {
            for it in topic.partitions {
                let outcome = outcome(it.error_code, it.low_watermark);
                rows.push((topic.name.clone(), it.partition_index, outcome));
            }
        }
        rows
    }
}

struct OffsetForLeaderEpoch;

impl LeaderCall for OffsetForLeaderEpoch {
    type Ask = i32;
    type Got = EpochEnd;
    type Request = OffsetForLeaderEpochRequest;

    fn request(
        &self,
        version: i16,
        items: &[LeaderItem<'_, i32>],
        _deadline: Deadline,
    ) -> OffsetForLeaderEpochRequest {
        let partition = |it: &&LeaderItem<'_, i32>| OffsetForLeaderPartition {
            partition: it.partition,
            current_leader_epoch: it.leader_epoch,
            leader_epoch: *it.ask,
        };
        let topics = LeaderItem::by_topic(items)
            .into_iter()
            .map(|(name, items)| {
                let partitions = items.iter().map(partition).collect();
                OffsetForLeaderTopic {
                    topic: name.to_owned(),
                    partitions,
                }
            });
        let topics = topics.collect();
        // Version 2 has no such field; the default is left in its place.
        let default = OffsetForLeaderEpochRequest::default().replica_id;
        let replica_id = if version >= 3 { CONSUMER } else { default };
        OffsetForLeaderEpochRequest { replica_id, topics }
    }

    fn results(
        &self,
        response: OffsetForLeaderEpochResponse,
    ) -> Vec<(String, i32, Result<EpochEnd, ErrorCode>)> {
        let mut rows = Vec::new();
        for topic in response.topics {
            for it in topic.partitions {
                let end = EpochEnd {
                    leader_epoch: (it.leader_epoch >= 0).then_some(it.leader_epoch),
                    end_offset: (it.end_offset >= 0).then_some(it.end_offset),
                };
                rows.push((
                    topic.topic.clone(),
                    it.partition,
                    outcome(it.error_code, end),
                ));
            }
        }
        rows
    }
}

fn outcome<T>(code: ErrorCode, value: T) -> Result<T, ErrorCode> {
    if code.is_error() {
        Err(code)
    } else {
        Ok(value)
    }
}
