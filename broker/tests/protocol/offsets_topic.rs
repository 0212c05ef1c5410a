//! `__consumer_offsets` compacted under its coordinator, and replayed: every group is what it was.

use crate::kept::listing::groups;
use crate::support::{Connection, TestBroker};
use bytes::Bytes;
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::split_batches;
use isthmus_wire::messages::delete_topics_request::DeleteTopicState;
use isthmus_wire::messages::join_group_request::JoinGroupRequestProtocol;
use isthmus_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use isthmus_wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use isthmus_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use isthmus_wire::messages::{
    DeleteGroupsRequest, DeleteTopicsRequest, FindCoordinatorRequest, JoinGroupRequest,
    OffsetCommitRequest, OffsetDeleteRequest, SyncGroupRequest,
};
use std::path::Path;
use std::time::Duration;

const TOPIC: &str = "__consumer_offsets";

const SETTINGS: [(&str, &str); 5] = [
    ("log.cleaner.backoff.ms", "1"),
    ("log.cleaner.min.cleanable.ratio", "0.01"),
    ("log.segment.delete.delay.ms", "0"),
    ("offsets.topic.num.partitions", "1"),
    ("offsets.topic.segment.bytes", "1048576"),
];

const GROUPS: usize = 6;
const PARTITIONS: i32 = 4;

/// A round of commits is about 70 kB: this is several segments.
const ROUNDS: i64 = 60;

/// Metadata as long as a client may send.
const METADATA_BYTES: usize = 3_000;

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_the_same_after_compaction_and_restarts() {
    let broker = TestBroker::start_with(&SETTINGS).await;
    let mut connection = broker.connect().await;
    connection.create_topic("read", PARTITIONS, &[]).await;
    connection.create_topic("gone", 1, &[]).await;
    find_coordinator(&mut connection).await;
    let member = join(&mut connection).await;
    for round in 0..ROUNDS {
        for group in 0..GROUPS {
            commit(&mut connection, &format!("g{group}"), "read", round, None).await;
        }
        commit(&mut connection, "members", "read", round, Some(&member)).await;
        if round == ROUNDS / 2 {
            commit(&mut connection, "g0", "gone", round, None).await;
            take_away(&mut connection).await;
        }
    }
    let written = high_watermark(&mut connection).await;
    let before = groups(&mut connection).await;
    // The group deleted half-way came again with its next commit; the deleted offset too.
    assert_eq!(
        before
            .iter()
            .filter(|line| line.starts_with("offset "))
            .count(),
        28
    );
    let left = until_compacted(&broker, &mut connection, written).await;
    // One record of each offset and of the group, beside what the last segments still hold.
    assert!(left * 4 < written, "{left} of {written} records are left");
    assert_eq!(groups(&mut connection).await, before, "live");

    let broker = broker.restart().await;
    let mut connection = broker.connect().await;
    assert_eq!(groups(&mut connection).await, before, "after a restart");
    commit(&mut connection, "g1", "read", ROUNDS, None).await;
    let before = groups(&mut connection).await;
    let broker = broker.restart().await;
    let mut connection = broker.connect().await;
    assert_eq!(groups(&mut connection).await, before, "and another");
}

async fn find_coordinator(connection: &mut Connection) {
    let request = FindCoordinatorRequest {
        key: "members".to_owned(),
        ..Default::default()
    };
    let response = connection.call(&request, 3).await;
    assert_eq!(response.error_code, ErrorCode::NONE, "{response:?}");
}

/// A static member that stays; its id.
async fn join(connection: &mut Connection) -> String {
    let request = JoinGroupRequest {
        group_id: "members".to_owned(),
        session_timeout_ms: 300_000,
        rebalance_timeout_ms: 300_000,
        group_instance_id: Some("first".to_owned()),
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".to_owned(),
            metadata: Bytes::from_static(b"subscription"),
        }],
        ..Default::default()
    };
    let joined = connection.call(&request, 5).await;
    assert_eq!(joined.error_code, ErrorCode::NONE, "{joined:?}");
    let request = SyncGroupRequest {
        group_id: "members".to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        group_instance_id: Some("first".to_owned()),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: joined.member_id.clone(),
            assignment: Bytes::from_static(b"all of it"),
        }],
        ..Default::default()
    };
    let synced = connection.call(&request, 3).await;
    assert_eq!(synced.error_code, ErrorCode::NONE, "{synced:?}");
    joined.member_id
}

async fn commit(
    connection: &mut Connection,
    group: &str,
    topic: &str,
    round: i64,
    member: Option<&String>,
) {
    let partitions = if topic == "read" { PARTITIONS } else { 1 };
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: round * 10 + i64::from(partition_index),
        committed_leader_epoch: 0,
        committed_metadata: Some(format!("{round} ").repeat(METADATA_BYTES / 4)),
    };
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: if member.is_some() { 1 } else { -1 },
        member_id: member.cloned().unwrap_or_default(),
        group_instance_id: member.map(|_| "first".to_owned()),
        topics: vec![OffsetCommitRequestTopic {
            name: topic.to_owned(),
            partitions: (0..partitions).map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    for partition in &connection.call(&request, 9).await.topics[0].partitions {
        assert_eq!(
            partition.error_code,
            ErrorCode::NONE,
            "{group}: {partition:?}"
        );
    }
}

/// Tombstones of every kind: of a group, of an offset, of a topic's offsets.
async fn take_away(connection: &mut Connection) {
    let groups = DeleteGroupsRequest {
        groups_names: vec!["g2".to_owned()],
    };
    let deleted = connection.call(&groups, 2).await;
    assert_eq!(
        deleted.results[0].error_code,
        ErrorCode::NONE,
        "{deleted:?}"
    );
    let offset = OffsetDeleteRequest {
        group_id: "g3".to_owned(),
        topics: vec![OffsetDeleteRequestTopic {
            name: "read".to_owned(),
            partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
        }],
    };
    let deleted = connection.call(&offset, 0).await;
    assert_eq!(deleted.error_code, ErrorCode::NONE, "{deleted:?}");
    let topic = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some("gone".to_owned()),
            ..Default::default()
        }],
        timeout_ms: 10_000,
        ..Default::default()
    };
    let deleted = connection.call(&topic, 6).await;
    assert_eq!(
        deleted.responses[0].error_code,
        ErrorCode::NONE,
        "{deleted:?}"
    );
}

async fn high_watermark(connection: &mut Connection) -> i64 {
    let data = connection.fetch(TOPIC, 0).await;
    assert_eq!(data.error_code, ErrorCode::NONE);
    data.high_watermark
}

/// Until the cleaner has been through most of the log; how many records are left of it.
async fn until_compacted(broker: &TestBroker, connection: &mut Connection, written: i64) -> i64 {
    let cleaned = async {
        while cleaned_to(broker.dir.path()) * 4 < written * 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), cleaned)
        .await
        .expect("the cleaner comes by");
    records(connection).await
}

/// Where the cleaner goes on, by its checkpoint.
fn cleaned_to(dir: &Path) -> i64 {
    let text = std::fs::read_to_string(dir.join("cleaner-offset-checkpoint")).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("__consumer_offsets 0 "));
    line.map_or(0, |offset| offset.parse().unwrap())
}

async fn records(connection: &mut Connection) -> i64 {
    let (mut count, mut offset) = (0, 0);
    loop {
        let data = connection.fetch(TOPIC, offset).await;
        assert_eq!(data.error_code, ErrorCode::NONE, "at {offset}");
        if offset >= data.high_watermark {
            return count;
        }
        let bytes = data
            .records
            .as_ref()
            .and_then(|records| records.bytes().cloned());
        for batch in split_batches(&bytes.unwrap()) {
            let batch = batch.unwrap();
            count += i64::from(batch.header().records_count);
            offset = batch.header().next_offset();
        }
    }
}
