//! Consumer groups over the socket: the rules are tested with the core, here is the way to it.

use crate::support::{Connection, TestBroker, settings};
use bytes::Bytes;
use isthmus_wire::messages::join_group_request::JoinGroupRequestProtocol;
use isthmus_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use isthmus_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use isthmus_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use isthmus_wire::messages::{
    DeleteGroupsRequest, DeleteTopicsRequest, DescribeGroupsRequest, FindCoordinatorRequest,
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest,
    OffsetCommitRequest, OffsetFetchRequest, OffsetFetchResponse, SyncGroupRequest,
};
use isthmus_wire::{ErrorCode, Uuid};

async fn find(connection: &mut Connection, version: i16) -> ErrorCode {
    let request = FindCoordinatorRequest {
        key: "g".to_owned(),
        ..Default::default()
    };
    let batched = FindCoordinatorRequest {
        coordinator_keys: vec!["g".to_owned()],
        ..Default::default()
    };
    if version < 4 {
        let response = connection.call(&request, version).await;
        return response.error_code;
    }
    let response = connection.call(&batched, version).await;
    response.coordinators[0].error_code
}

fn join_request(member_id: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: "g".to_owned(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        member_id: member_id.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".to_owned(),
            metadata: Bytes::from_static(b"subscription"),
        }],
        ..Default::default()
    }
}

async fn join(connection: &mut Connection) -> JoinGroupResponse {
    let asked = connection.call(&join_request(""), 5).await;
    assert_eq!(asked.error_code, ErrorCode::MEMBER_ID_REQUIRED);
    let joined = connection.call(&join_request(&asked.member_id), 5).await;
    assert_eq!(joined.error_code, ErrorCode::NONE);
    joined
}

fn commit(offset: i64, member: Option<&JoinGroupResponse>, topic: &str) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: "g".to_owned(),
        generation_id_or_member_epoch: member.map_or(-1, |member| member.generation_id),
        member_id: member.map_or_else(String::new, |member| member.member_id.clone()),
        topics: vec![OffsetCommitRequestTopic {
            name: topic.to_owned(),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: 0,
                committed_offset: offset,
                committed_metadata: Some("where I was".to_owned()),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

async fn committed(connection: &mut Connection) -> OffsetFetchResponse {
    let request = OffsetFetchRequest {
        group_id: "g".to_owned(),
        topics: Some(vec![OffsetFetchRequestTopic {
            name: "t".to_owned(),
            partition_indexes: vec![0],
        }]),
        ..Default::default()
    };
    connection.call(&request, 5).await
}

#[tokio::test]
async fn a_member_joins_syncs_commits_and_leaves() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    for version in 0..=6 {
        assert_eq!(
            find(&mut connection, version).await,
            ErrorCode::NONE,
            "version {version}"
        );
    }
    let member = join(&mut connection).await;
    assert_eq!(member.leader, member.member_id);
    let sync = SyncGroupRequest {
        group_id: "g".to_owned(),
        generation_id: member.generation_id,
        member_id: member.member_id.clone(),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: member.member_id.clone(),
            assignment: Bytes::from_static(b"all of it"),
        }],
        ..Default::default()
    };
    let synced = connection.call(&sync, 3).await;
    assert_eq!(
        (synced.error_code, &synced.assignment[..]),
        (ErrorCode::NONE, &b"all of it"[..])
    );

    let heartbeat = |generation_id| HeartbeatRequest {
        group_id: "g".to_owned(),
        generation_id,
        member_id: member.member_id.clone(),
        ..Default::default()
    };
    let beat = connection.call(&heartbeat(member.generation_id), 4).await;
    assert_eq!(beat.error_code, ErrorCode::NONE);
    let beat = connection
        .call(&heartbeat(member.generation_id + 1), 4)
        .await;
    assert_eq!(beat.error_code, ErrorCode::ILLEGAL_GENERATION);

    let response = connection.call(&commit(7, Some(&member), "t"), 8).await;
    assert_eq!(response.topics[0].partitions[0].error_code, ErrorCode::NONE);
    let response = connection.call(&commit(7, Some(&member), "none"), 8).await;
    assert_eq!(
        response.topics[0].partitions[0].error_code,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
    );
    let response = connection.call(&commit(9, None, "t"), 8).await;
    assert_eq!(
        response.topics[0].partitions[0].error_code,
        ErrorCode::UNKNOWN_MEMBER_ID
    );
    let found = committed(&mut connection).await.topics[0].partitions[0].clone();
    assert_eq!(
        (found.committed_offset, found.metadata.as_deref()),
        (7, Some("where I was"))
    );

    let listed = connection.call(&ListGroupsRequest::default(), 4).await;
    assert_eq!(listed.groups[0].group_state, "Stable");
    let describe = DescribeGroupsRequest {
        groups: vec!["g".to_owned()],
        ..Default::default()
    };
    let described = connection.call(&describe, 4).await;
    assert_eq!(described.groups[0].members[0].client_host, "/127.0.0.1");

    let leave = LeaveGroupRequest {
        group_id: "g".to_owned(),
        member_id: member.member_id.clone(),
        ..Default::default()
    };
    assert_eq!(connection.call(&leave, 2).await.error_code, ErrorCode::NONE);
    let delete = DeleteGroupsRequest {
        groups_names: vec!["g".to_owned()],
    };
    assert_eq!(
        connection.call(&delete, 2).await.results[0].error_code,
        ErrorCode::NONE
    );
    let found = committed(&mut connection).await;
    assert_eq!(found.topics[0].partitions[0].committed_offset, -1);
}

/// What the answers to Kafka's own look like stands in tests/ratchet/scripts/groups.txt.
#[tokio::test]
async fn groups_are_listed_by_state_and_type() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    find(&mut connection, 3).await;
    connection.call(&commit(7, None, "t"), 8).await;
    for version in 0..=5 {
        let listed = connection
            .call(&ListGroupsRequest::default(), version)
            .await;
        let group = &listed.groups[0];
        assert_eq!((group.group_id.as_str(), listed.groups.len()), ("g", 1));
        let state = if version < 4 { "" } else { "Empty" };
        let kind = if version < 5 { "" } else { "classic" };
        let told = (group.group_state.as_str(), group.group_type.as_str());
        assert_eq!(told, (state, kind), "version {version}");
    }
    for (states, types, shown) in [
        ("empty", "CLASSIC", true),
        ("", "classic,consumer", true),
        ("Stable,Empty", "", true),
        (" Empty ", "classic", true),
        ("", " classic ", false),
        ("Stable", "classic", false),
        ("", "consumer", false),
        ("", "nonsense", false),
        ("nonsense", "", false),
    ] {
        let words = |text: &str| -> Vec<String> {
            let words = text.split(',').filter(|word| !word.is_empty());
            words.map(str::to_owned).collect()
        };
        let request = ListGroupsRequest {
            states_filter: words(states),
            types_filter: words(types),
        };
        let listed = connection.call(&request, 5).await;
        assert_eq!(listed.error_code, ErrorCode::NONE);
        assert_eq!(!listed.groups.is_empty(), shown, "{states} {types}");
    }
}

#[tokio::test]
async fn an_unknown_group_is_dead_and_from_version_6_on_not_found() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    find(&mut connection, 3).await;
    for version in 0..=6 {
        let request = DescribeGroupsRequest {
            groups: vec!["nowhere".to_owned()],
            include_authorized_operations: version >= 3,
        };
        let described = connection.call(&request, version).await;
        let group = &described.groups[0];
        assert_eq!(group.group_state, "Dead", "version {version}");
        let told = (group.error_code, group.error_message.as_deref());
        let not_found = Some("Group nowhere not found.");
        let (code, message) = match version {
            0..6 => (ErrorCode::NONE, None),
            _ => (ErrorCode::GROUP_ID_NOT_FOUND, not_found),
        };
        assert_eq!(told, (code, message), "version {version}");
        // Everything a group knows, to whom nobody asks for rights (KIP-430); none where it failed.
        let operations = match version {
            3..6 => 0b1101_0100_1000,
            _ => i32::MIN,
        };
        assert_eq!(group.authorized_operations, operations, "version {version}");
    }
}

#[tokio::test]
async fn offsets_survive_a_restart_and_go_with_their_topic() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    connection.create_topic("t", 1, &[]).await;
    find(&mut connection, 3).await;
    let response = connection.call(&commit(41, None, "t"), 8).await;
    assert_eq!(response.topics[0].partitions[0].error_code, ErrorCode::NONE);
    let response = connection.call(&commit(42, None, "t"), 8).await;
    assert_eq!(response.topics[0].partitions[0].error_code, ErrorCode::NONE);

    let broker = broker.restart().await;
    let mut connection = broker.connect().await;
    let found = committed(&mut connection).await;
    assert_eq!(found.topics[0].partitions[0].committed_offset, 42);
    let delete = DeleteTopicsRequest {
        topic_names: vec!["t".to_owned()],
        timeout_ms: 10_000,
        ..Default::default()
    };
    connection.call(&delete, 3).await;
    let found = committed(&mut connection).await;
    assert_eq!(found.topics[0].partitions[0].committed_offset, -1);
}

#[tokio::test]
async fn a_group_request_before_the_offsets_topic_is_told_to_look_for_a_coordinator() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    let joined = connection.call(&join_request(""), 5).await;
    assert_eq!(joined.error_code, ErrorCode::NOT_COORDINATOR);
    let transactions = FindCoordinatorRequest {
        key: "tx".to_owned(),
        key_type: 1,
        ..Default::default()
    };
    let response = connection.call(&transactions, 3).await;
    assert_eq!(response.error_code, ErrorCode::INVALID_REQUEST);
}

/// A topic whose factor cannot be met is not made smaller in silence.
#[tokio::test]
async fn too_large_a_factor_of_the_offsets_topic_means_no_coordinator() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path(), &[]);
    // Kafka's own default, which holds where nobody says anything. Who asks for it is refused.
    settings.offsets_topic_replication_factor = 3;
    let running = isthmus_broker::start(settings).await.unwrap();
    let broker = TestBroker { running, dir };
    let code = find(&mut broker.connect().await, 3).await;
    assert_eq!(code, ErrorCode::COORDINATOR_NOT_AVAILABLE);
}

/// Version 10 names topics by id: known, unknown and zero ones, committed, fetched, and all at once.
#[tokio::test]
async fn topics_of_offsets_are_named_by_id_in_version_10() {
    let broker = TestBroker::start().await;
    let mut connection = broker.connect().await;
    let id = connection.create_topic("t", 1, &[]).await;
    assert_eq!(find(&mut connection, 4).await, ErrorCode::NONE);
    let unknown = Uuid([9; 16]);
    let partition = OffsetCommitRequestPartition {
        committed_offset: 7,
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: "g".to_owned(),
        generation_id_or_member_epoch: -1,
        topics: [id, unknown, Uuid::ZERO]
            .map(|topic_id| OffsetCommitRequestTopic {
                topic_id,
                partitions: vec![partition.clone()],
                ..Default::default()
            })
            .to_vec(),
        ..Default::default()
    };
    let response = connection.call(&request, 10).await;
    let answers = response.topics.iter();
    let answers: Vec<_> = answers
        .map(|topic| (topic.topic_id, topic.partitions[0].error_code))
        .collect();
    let expected = [
        (id, ErrorCode::NONE),
        (unknown, ErrorCode::UNKNOWN_TOPIC_ID),
        (Uuid::ZERO, ErrorCode::UNKNOWN_TOPIC_ID),
    ];
    assert_eq!(answers, expected);

    let named = [unknown, id].map(|topic_id| OffsetFetchRequestTopics {
        topic_id,
        partition_indexes: vec![0],
        ..Default::default()
    });
    for (topics, expected) in [
        (
            Some(named.to_vec()),
            vec![
                (id, 7, ErrorCode::NONE),
                (unknown, -1, ErrorCode::UNKNOWN_TOPIC_ID),
            ],
        ),
        (None, vec![(id, 7, ErrorCode::NONE)]),
    ] {
        let request = OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id: "g".to_owned(),
                topics,
                ..Default::default()
            }],
            ..Default::default()
        };
        let response = connection.call(&request, 10).await;
        let found = response.groups[0].topics.iter().map(|topic| {
            let partition = &topic.partitions[0];
            (
                topic.topic_id,
                partition.committed_offset,
                partition.error_code,
            )
        });
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }
}
