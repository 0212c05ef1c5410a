//! The requests and answers of replication, between the wire's words and the cores'.
//!
//! A partition's part of an answer is one of:
//!
//! | | error | diverging epoch | base, end | log start |
//! |---|---|---|---|---|
//! | records, or a high watermark alone | NONE | -1 | from and to before | the leader's |
//! | another history (rule 13) | NONE | from 0 | -1, -1 | -1 |
//! | outside of the leader's log | OFFSET_OUT_OF_RANGE | -1 | -1, the leader's log end | the leader's |
//! | refused | any other | -1 | -1, -1 | -1 |

use crate::partitions::{Fetched, PartitionKey, ReplicaRead};
use bytes::Bytes;
use isthmus_broker_core::replica::{
    DivergingEpoch, FetchRefused, ReplicaFetch, ReplicaFetchAnswer,
};
use isthmus_wire::messages::replica_fetch_request::{
    ForgottenTopic, ReplicaPartition, ReplicaTopic,
};
use isthmus_wire::messages::replica_fetch_response::{FetchedPartition, FetchedTopic};
use isthmus_wire::messages::{ReplicaFetchRequest, ReplicaFetchResponse};
use isthmus_wire::{ErrorCode, Records, Uuid};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a follower says of its partitions, for a request.
pub(super) fn topics(mentions: Vec<(PartitionKey, ReplicaFetch)>) -> Vec<ReplicaTopic> {
    let mut topics: BTreeMap<Uuid, Vec<ReplicaPartition>> = BTreeMap::new();
    for ((topic_id, partition), fetch) in mentions {
        let mention = ReplicaPartition {
            partition,
            leader_epoch: fetch.leader_epoch,
            attempt: i64::try_from(fetch.session).unwrap_or(i64::MAX),
            log_start_offset: fetch.log_start,
            log_end_offset: fetch.log_end,
            last_fetched_epoch: fetch.last_fetched_epoch.unwrap_or(-1),
        };
        topics.entry(topic_id).or_default().push(mention);
    }
    let topic = |(topic_id, partitions)| ReplicaTopic {
        topic_id,
        partitions,
    };
    topics.into_iter().map(topic).collect()
}

pub(super) fn forgotten(keys: Vec<PartitionKey>) -> Vec<ForgottenTopic> {
    let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for (topic_id, partition) in keys {
        topics.entry(topic_id).or_default().push(partition);
    }
    let topic = |(topic_id, partitions)| ForgottenTopic {
        topic_id,
        partitions,
    };
    topics.into_iter().map(topic).collect()
}

/// The same, as the leader reads it.
pub(super) fn mentions(
    request: &ReplicaFetchRequest,
) -> impl Iterator<Item = (PartitionKey, ReplicaFetch)> {
    request.topics.iter().flat_map(move |topic| {
        topic.partitions.iter().map(move |mention| {
            let fetch = ReplicaFetch {
                replica_id: request.replica_id,
                broker_epoch: request.broker_epoch,
                leader_epoch: mention.leader_epoch,
                session: u64::try_from(mention.attempt).unwrap_or(0),
                log_start: mention.log_start_offset,
                log_end: mention.log_end_offset,
                last_fetched_epoch: Some(mention.last_fetched_epoch).filter(|epoch| *epoch >= 0),
                follows: follows(request),
            };
            ((topic.topic_id, mention.partition), fetch)
        })
    })
}

/// A leader's answer: to which mention, and what.
pub(super) fn answered(
    fetch: &ReplicaFetch,
    partition: i32,
    outcome: Result<ReplicaRead, FetchRefused>,
) -> FetchedPartition {
    let answer = FetchedPartition {
        partition,
        leader_epoch: fetch.leader_epoch,
        attempt: i64::try_from(fetch.session).unwrap_or(i64::MAX),
        ..FetchedPartition::default()
    };
    match outcome {
        Ok(read) => FetchedPartition {
            base_offset: read.base,
            end_offset: read.end,
            high_watermark: read.high_watermark,
            log_start_offset: read.log_start_offset,
            records: read.records,
            ..answer
        },
        Err(FetchRefused::Diverging(DivergingEpoch { epoch, end_offset })) => FetchedPartition {
            diverging_epoch: epoch,
            diverging_end_offset: end_offset,
            ..answer
        },
        Err(FetchRefused::OutOfRange { log_start, log_end }) => FetchedPartition {
            error_code: ErrorCode::OFFSET_OUT_OF_RANGE,
            log_start_offset: log_start,
            end_offset: log_end,
            ..answer
        },
        Err(FetchRefused::Error(error_code)) => FetchedPartition {
            error_code,
            ..answer
        },
        // The follower has started over since and listens to nothing of that session.
        Err(FetchRefused::SessionOver) => FetchedPartition {
            error_code: ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
            ..answer
        },
    }
}

/// When the newest answer was sent that the follower had before it asked: by this broker's boot clock, as it
/// was told with that answer (rule 20).
pub(super) fn follows(request: &ReplicaFetchRequest) -> Option<Duration> {
    let micros = u64::try_from(request.follows_micros).ok()?;
    Some(Duration::from_micros(micros))
}

/// An answer that is sent at `now` by the boot clock.
pub(super) fn response(
    now: Duration,
    answers: Vec<(PartitionKey, FetchedPartition)>,
) -> ReplicaFetchResponse {
    let mut topics: BTreeMap<Uuid, Vec<FetchedPartition>> = BTreeMap::new();
    for ((topic_id, _), answer) in answers {
        topics.entry(topic_id).or_default().push(answer);
    }
    let topic = |(topic_id, partitions)| FetchedTopic {
        topic_id,
        partitions,
    };
    ReplicaFetchResponse {
        topics: topics.into_iter().map(topic).collect(),
        sent_micros: i64::try_from(now.as_micros()).unwrap_or(i64::MAX),
        ..ReplicaFetchResponse::default()
    }
}

/// A partition's part of an answer, as the follower takes it.
pub(super) fn fetched(answer: &FetchedPartition) -> Fetched {
    let refused = |refused| ReplicaFetchAnswer::Refused(refused);
    let core = match answer.error_code {
        ErrorCode::NONE if answer.diverging_epoch >= 0 => {
            refused(FetchRefused::Diverging(DivergingEpoch {
                epoch: answer.diverging_epoch,
                end_offset: answer.diverging_end_offset,
            }))
        }
        ErrorCode::NONE => ReplicaFetchAnswer::Records {
            base: answer.base_offset,
            end: answer.end_offset,
            high_watermark: answer.high_watermark,
        },
        ErrorCode::OFFSET_OUT_OF_RANGE => refused(FetchRefused::OutOfRange {
            log_start: answer.log_start_offset.max(0),
            log_end: answer.end_offset.max(0),
        }),
        code => refused(FetchRefused::Error(code)),
    };
    let records = match &answer.records {
        Records::Bytes(bytes) => bytes.clone(),
        // Decoding yields bytes only.
        Records::File(_) => Bytes::new(),
    };
    Fetched {
        leader_epoch: answer.leader_epoch,
        attempt: u64::try_from(answer.attempt).unwrap_or(0),
        answer: core,
        log_start_offset: answer.log_start_offset,
        records,
    }
}
