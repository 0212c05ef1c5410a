//! Groups and their offsets.

use super::{Case, SETTLE_MAX, told};
use crate::support::Connection;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::join_group_request::JoinGroupRequestProtocol;
use isthmus_wire::messages::leave_group_request::MemberIdentity;
use isthmus_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use isthmus_wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use isthmus_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use isthmus_wire::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, HeartbeatRequest,
    JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest,
    OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest,
};

/// Makes the group exist: somebody without members committed an offset.
pub(super) async fn commit(admin: &mut Connection, case: &Case) {
    let find = FindCoordinatorRequest {
        coordinator_keys: vec![case.group()],
        ..Default::default()
    };
    let ready = async {
        while admin.call(&find, 4).await.coordinators[0]
            .error_code
            .is_error()
        {
            tokio::task::yield_now().await;
        }
        while committed(admin, case, 8).await.is_retriable() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SETTLE_MAX, ready).await.unwrap();
    assert_eq!(committed(admin, case, 8).await, ErrorCode::NONE);
}

pub(super) async fn ask(client: &mut Connection, kind: &str, case: &Case) -> String {
    match kind {
        "FindCoordinator" | "FindCoordinator/transaction" => find(client, kind, case).await,
        "OffsetCommit" => committed(client, case, case.version).await.to_string(),
        "OffsetFetch" | "OffsetFetch/all" => fetched(client, kind, case).await,
        "OffsetDelete" => forgotten(client, case).await,
        "DescribeGroups" => described(client, case).await,
        "ListGroups" => {
            let request = ListGroupsRequest::default();
            let response = client.call(&request, case.version).await;
            let name = case.group();
            let shown = response.groups.iter().any(|group| group.group_id == name);
            let shown = if shown { "shown" } else { "not shown" };
            format!("{} {shown}", response.error_code)
        }
        "DeleteGroups" => {
            let request = DeleteGroupsRequest {
                groups_names: vec![case.group()],
            };
            let response = client.call(&request, case.version).await;
            response.results[0].error_code.to_string()
        }
        _ => member(client, kind, case).await.to_string(),
    }
}

async fn member(client: &mut Connection, kind: &str, case: &Case) -> ErrorCode {
    let (group_id, member_id) = (case.group(), "nobody".to_owned());
    match kind {
        "JoinGroup" => {
            let request = JoinGroupRequest {
                group_id,
                member_id,
                session_timeout_ms: 10_000,
                rebalance_timeout_ms: 10_000,
                protocol_type: "consumer".to_owned(),
                protocols: vec![JoinGroupRequestProtocol {
                    name: "range".to_owned(),
                    ..Default::default()
                }],
                ..Default::default()
            };
            client.call(&request, case.version).await.error_code
        }
        "SyncGroup" => {
            let request = SyncGroupRequest {
                group_id,
                member_id,
                generation_id: 1,
                protocol_type: Some("consumer".to_owned()),
                protocol_name: Some("range".to_owned()),
                ..Default::default()
            };
            client.call(&request, case.version).await.error_code
        }
        "Heartbeat" => {
            let request = HeartbeatRequest {
                group_id,
                member_id,
                generation_id: 1,
                ..Default::default()
            };
            client.call(&request, case.version).await.error_code
        }
        "LeaveGroup" => {
            let identity = MemberIdentity {
                member_id: member_id.clone(),
                ..Default::default()
            };
            let several = case.version >= 3;
            let request = LeaveGroupRequest {
                group_id,
                member_id: if several { String::new() } else { member_id },
                members: if several { vec![identity] } else { Vec::new() },
            };
            let response = client.call(&request, case.version).await;
            let of_member = response.members.first().map(|member| member.error_code);
            of_member.unwrap_or(response.error_code)
        }
        other => panic!("no such kind: {other}"),
    }
}

async fn find(client: &mut Connection, kind: &str, case: &Case) -> String {
    let transaction = kind == "FindCoordinator/transaction";
    let key = if transaction {
        case.transactional_id()
    } else {
        case.group()
    };
    let many = case.version >= 4;
    let request = FindCoordinatorRequest {
        key: if many { String::new() } else { key.clone() },
        key_type: i8::from(transaction),
        coordinator_keys: if many { vec![key] } else { Vec::new() },
    };
    let response = client.call(&request, case.version).await;
    match response.coordinators.first() {
        Some(found) => told(found.error_code, found.error_message.as_deref()),
        None => told(response.error_code, response.error_message.as_deref()),
    }
}

async fn committed(client: &mut Connection, case: &Case, version: i16) -> ErrorCode {
    let request = OffsetCommitRequest {
        group_id: case.group(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: case.topic(),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: 7,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let response = client.call(&request, version).await;
    response.topics[0].partitions[0].error_code
}

async fn fetched(client: &mut Connection, kind: &str, case: &Case) -> String {
    let all = kind == "OffsetFetch/all";
    let old = OffsetFetchRequestTopic {
        name: case.topic(),
        partition_indexes: vec![0],
    };
    let new = OffsetFetchRequestTopics {
        name: case.topic(),
        partition_indexes: vec![0],
        ..Default::default()
    };
    let request = if case.version >= 8 {
        let group = OffsetFetchRequestGroup {
            group_id: case.group(),
            member_epoch: -1,
            topics: (!all).then(|| vec![new]),
            ..Default::default()
        };
        OffsetFetchRequest {
            groups: vec![group],
            topics: Some(Vec::new()),
            ..Default::default()
        }
    } else {
        OffsetFetchRequest {
            group_id: case.group(),
            topics: (!all).then(|| vec![old]),
            ..Default::default()
        }
    };
    let response = client.call(&request, case.version).await;
    let (code, found) = match response.groups.first() {
        Some(group) => {
            let partitions = group.topics.iter().flat_map(|topic| &topic.partitions);
            let mut found = partitions.map(|one| (one.error_code, one.committed_offset));
            (group.error_code, found.next())
        }
        None => {
            let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            let mut found = partitions.map(|one| (one.error_code, one.committed_offset));
            (response.error_code, found.next())
        }
    };
    match found {
        Some((of_partition, offset)) => format!("{code}: {of_partition} at {offset}"),
        None => format!("{code}: nothing"),
    }
}

async fn forgotten(client: &mut Connection, case: &Case) -> String {
    let request = OffsetDeleteRequest {
        group_id: case.group(),
        topics: vec![OffsetDeleteRequestTopic {
            name: case.topic(),
            partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
        }],
    };
    let response = client.call(&request, case.version).await;
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    match partitions.map(|partition| partition.error_code).next() {
        Some(code) => format!("{}: {code}", response.error_code),
        None => format!("{}: nothing", response.error_code),
    }
}

async fn described(client: &mut Connection, case: &Case) -> String {
    let request = DescribeGroupsRequest {
        groups: vec![case.group()],
        include_authorized_operations: case.version >= 3,
    };
    let response = client.call(&request, case.version).await;
    let group = &response.groups[0];
    let operations = group.authorized_operations;
    let (code, state) = (group.error_code, &group.group_state);
    format!("{code} {state:?} {operations:#x}")
}
