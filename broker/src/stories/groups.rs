//! Consumer groups whose coordinator is lost.

use super::kit::{Client, Story};
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::join_group_request::JoinGroupRequestProtocol;
use isthmus_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use isthmus_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use isthmus_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use isthmus_wire::messages::{
    FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, OffsetCommitRequest,
    OffsetFetchRequest, SyncGroupRequest,
};

const GROUP: &str = "g";

#[test]
fn members_and_offsets_survive_their_coordinator() {
    let mut story = Story::three();
    let mut client = story.client();
    let (coordinator, member, generation) = story.run(async move {
        let coordinator = coordinator(&mut client).await;
        let (member, generation) = join(&mut client, coordinator).await;
        commit(&mut client, coordinator, &member, generation).await;
        (coordinator, member, generation)
    });
    story.crash(coordinator);
    let mut client = story.client();
    let (next, beat, offset) = story.run(async move {
        loop {
            let next = self::coordinator(&mut client).await;
            let request = HeartbeatRequest {
                group_id: GROUP.to_owned(),
                generation_id: generation,
                member_id: member.clone(),
                ..HeartbeatRequest::default()
            };
            let answer = client.ask(next, &request, 4).await;
            match answer.map(|it| it.error_code) {
                None
                | Some(ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) => {
                    tokio::time::sleep(super::kit::PAUSE).await;
                }
                Some(beat) => return (next, beat, committed(&mut client, next).await),
            }
        }
    });
    assert_ne!(next, coordinator);
    assert_eq!(
        beat,
        ErrorCode::NONE,
        "the member is known, of the same generation"
    );
    assert_eq!(offset, 7);
}

pub(super) async fn coordinator(client: &mut Client) -> i32 {
    let request = FindCoordinatorRequest {
        key: GROUP.to_owned(),
        ..FindCoordinatorRequest::default()
    };
    client
        .ask_until(&request, 3, |it| {
            (it.error_code == ErrorCode::NONE).then_some(it.node_id)
        })
        .await
}

pub(super) async fn join(client: &mut Client, coordinator: i32) -> (String, i32) {
    let mut request = JoinGroupRequest {
        group_id: GROUP.to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".to_owned(),
            ..JoinGroupRequestProtocol::default()
        }],
        ..JoinGroupRequest::default()
    };
    let joined = loop {
        let answer = client.ask(coordinator, &request, 7).await;
        match answer {
            Some(it) if it.error_code == ErrorCode::NONE => break it,
            Some(it) if it.error_code == ErrorCode::MEMBER_ID_REQUIRED => {
                request.member_id = it.member_id;
            }
            Some(_) | None => tokio::time::sleep(super::kit::PAUSE).await,
        }
    };
    let request = SyncGroupRequest {
        group_id: GROUP.to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: joined.member_id.clone(),
            assignment: "everything".into(),
        }],
        ..SyncGroupRequest::default()
    };
    let synced = client.ask(coordinator, &request, 4).await.unwrap();
    assert_eq!(synced.error_code, ErrorCode::NONE);
    (joined.member_id, joined.generation_id)
}

pub(super) async fn commit(client: &mut Client, coordinator: i32, member: &str, generation: i32) {
    let answer = try_commit(client, coordinator, member, generation).await;
    assert_eq!(answer, Some(ErrorCode::NONE));
}

/// Commits offset 7.
pub(super) async fn try_commit(
    client: &mut Client,
    coordinator: i32,
    member: &str,
    generation: i32,
) -> Option<ErrorCode> {
    let request = OffsetCommitRequest {
        group_id: GROUP.to_owned(),
        generation_id_or_member_epoch: generation,
        member_id: member.to_owned(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t".to_owned(),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: 7,
                ..OffsetCommitRequestPartition::default()
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    };
    let answer = client.ask(coordinator, &request, 8).await?;
    Some(answer.topics[0].partitions[0].error_code)
}

/// -1 where nobody can say yet.
pub(super) async fn committed(client: &mut Client, coordinator: i32) -> i64 {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: GROUP.to_owned(),
            topics: Some(vec![OffsetFetchRequestTopics {
                name: "t".to_owned(),
                partition_indexes: vec![0],
                ..OffsetFetchRequestTopics::default()
            }]),
            ..OffsetFetchRequestGroup::default()
        }],
        ..OffsetFetchRequest::default()
    };
    let answer = client.ask(coordinator, &request, 8).await;
    let topic = answer.and_then(|it| it.groups.into_iter().next()?.topics.into_iter().next());
    topic.map_or(-1, |it| it.partitions[0].committed_offset)
}
