//! What the story tables cannot say: events, replies at every version, texts that no record holds.

use crate::bench::{Bench, Output};
use bytes::Bytes;
use isthmus_broker_core::groups::{Client, GroupConfig, GroupEvent, Reply, Request};
use isthmus_wire::codec::{Encoder, Message};
use isthmus_wire::messages::join_group_request::JoinGroupRequestProtocol;
use isthmus_wire::messages::leave_group_request::MemberIdentity;
use isthmus_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use isthmus_wire::messages::{
    DeleteGroupsResponse, DescribeGroupsResponse, JoinGroupRequest, LeaveGroupRequest,
    ListGroupsRequest, OffsetCommitRequest, SyncGroupRequest,
};
use isthmus_wire::{ErrorCode, Uuid};

fn join(group_id: &str, client_id: &str, version: i16) -> Request {
    let request = JoinGroupRequest {
        group_id: group_id.to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".to_owned(),
            metadata: Bytes::new(),
        }],
        reason: Some("because".to_owned()),
        ..Default::default()
    };
    Request::Join {
        request: Box::new(request),
        version,
        client: Client {
            id: client_id.to_owned(),
            host: "/::1".to_owned(),
        },
        member_uuid: Uuid([1; 16]),
    }
}

fn commit(group_id: &str) -> Request {
    Request::OffsetCommit {
        request: OffsetCommitRequest {
            group_id: group_id.to_owned(),
            topics: vec![OffsetCommitRequestTopic {
                name: "t".to_owned(),
                partitions: vec![OffsetCommitRequestPartition::default()],
                ..Default::default()
            }],
            ..Default::default()
        },
        version: 9,
    }
}

fn joined(outputs: &[Output]) -> Option<(String, i32)> {
    outputs.iter().find_map(|output| match output {
        Output::Reply(_, Reply::Join(it)) if !it.error_code.is_error() => {
            Some((it.member_id.clone(), it.generation_id))
        }
        _ => None,
    })
}

fn sync(group_id: &str, member_id: &str, generation_id: i32) -> Request {
    let request = SyncGroupRequest {
        group_id: group_id.to_owned(),
        generation_id,
        member_id: member_id.to_owned(),
        ..Default::default()
    };
    Request::Sync {
        request: Box::new(request),
        version: 3,
    }
}

fn replies(outputs: &[Output]) -> Vec<&Reply> {
    let replies = outputs.iter().filter_map(|output| match output {
        Output::Reply(_, reply) => Some(reply),
        Output::Append(_) | Output::Event(_) => None,
    });
    replies.collect()
}

#[test]
fn each_change_of_state_is_an_event_with_its_reason() {
    let mut bench = Bench::new(GroupConfig::default());
    let mut outputs = bench.send(join("g", "c", 3)).1;
    outputs.extend(bench.advance(3_000));
    let (member_id, generation) = joined(&outputs).unwrap();
    outputs.extend(bench.send(sync("g", &member_id, generation)).1);
    outputs.extend(bench.commit());
    outputs.extend(bench.advance(10_000));
    let events = outputs.iter().filter_map(|output| match output {
        Output::Event(event) => Some(event.clone()),
        Output::Reply(..) | Output::Append(_) => None,
    });
    let (new, ran_out) = (
        format!("new member {member_id}; client reason: because"),
        format!("session of member {member_id} ran out"),
    );
    assert_eq!(
        events.collect::<Vec<_>>(),
        [
            GroupEvent::PreparingRebalance {
                generation: 0,
                reason: new,
            },
            GroupEvent::CompletingRebalance {
                generation: 1,
                members: 1,
                protocol: "range".to_owned(),
            },
            GroupEvent::Stable {
                generation: 1,
                members: 1,
            },
            GroupEvent::MemberExpired {
                member_id: member_id.as_str().into(),
            },
            GroupEvent::PreparingRebalance {
                generation: 1,
                reason: ran_out,
            },
            GroupEvent::Empty { generation: 2 },
        ]
    );
    assert_eq!(bench.shard.counters().rebalances_completed, 1);
    assert_eq!(bench.shard.counters().members_expired, 1);
}

/// Kafka's older form of a string ends at 32767 bytes; flexible requests have longer ones.
#[test]
fn texts_that_no_record_holds_are_refused() {
    let mut bench = Bench::new(GroupConfig::default());
    let long = "g".repeat(40_000);
    let outputs = bench.send(commit(&long)).1;
    let [Reply::OffsetCommit(reply)] = replies(&outputs)[..] else {
        panic!("{outputs:?}");
    };
    let error = reply.topics[0].partitions[0].error_code;
    assert_eq!(error, ErrorCode::UNKNOWN_SERVER_ERROR);

    // The member's id is longer than its client's, and longer than a record takes.
    let client_id = "c".repeat(32_760);
    bench.send(join("g", &client_id, 3));
    let outputs = bench.advance(3_000);
    let (member_id, generation) = joined(&outputs).unwrap();
    let outputs = bench.send(sync("g", &member_id, generation)).1;
    let [Reply::Sync(reply)] = replies(&outputs)[..] else {
        panic!("{outputs:?}");
    };
    assert_eq!(reply.error_code, ErrorCode::UNKNOWN_SERVER_ERROR);
    assert!(bench.in_flight.is_empty());
}

/// Replies leave by the version of their request: each must be able to.
#[test]
fn every_reply_can_be_encoded_at_every_version() {
    let requests = |version: i16| {
        let leave = Request::Leave {
            request: LeaveGroupRequest {
                group_id: "g".to_owned(),
                member_id: if version < 3 { "m" } else { "" }.to_owned(),
                members: vec![MemberIdentity {
                    member_id: "m".to_owned(),
                    group_instance_id: None,
                    reason: None,
                }],
            },
            version,
        };
        let groups = vec!["g".to_owned(), "none".to_owned()];
        vec![
            join("g", "c", version),
            sync("g", "m", 1),
            leave,
            commit("g"),
            Request::ListGroups(ListGroupsRequest::default()),
            Request::DescribeGroups {
                groups: groups.clone(),
                version,
            },
            Request::DeleteGroups { groups },
        ]
    };
    for version in 0..=10 {
        let mut active = Bench::new(GroupConfig::default());
        let mut loading = Bench::new(GroupConfig::default());
        loading.unload();
        loading.shard.start_loading();
        for request in requests(version) {
            let mut outputs = loading.send(request.clone()).1;
            outputs.extend(active.send(request).1);
            outputs.extend(active.commit_all());
            outputs.extend(active.advance(3_000));
            replies(&outputs)
                .into_iter()
                .for_each(|it| encode(it, version));
        }
    }
}

fn encode(reply: &Reply, version: i16) {
    let mut e = Encoder::new();
    let encoded = match reply {
        Reply::Join(it) => it.encode(&mut e, version.min(9)),
        Reply::Sync(it) => it.encode(&mut e, version.min(5)),
        Reply::Heartbeat(it) => it.encode(&mut e, version.min(4)),
        Reply::Leave(it) => it.encode(&mut e, version.min(5)),
        Reply::OffsetCommit(it) => it.encode(&mut e, version.max(2)),
        Reply::OffsetDelete(it) => it.encode(&mut e, 0),
        Reply::ListGroups(it) => it.encode(&mut e, version.min(5)),
        Reply::DescribeGroups(groups) => {
            let response = DescribeGroupsResponse {
                groups: groups.clone(),
                ..Default::default()
            };
            response.encode(&mut e, version.min(6))
        }
        Reply::DeleteGroups(results) => {
            let response = DeleteGroupsResponse {
                results: results.clone(),
                ..Default::default()
            };
            response.encode(&mut e, version.min(2))
        }
        Reply::OffsetFetch(_) => Ok(()),
    };
    assert!(
        encoded.is_ok(),
        "version {version}: {encoded:?} of {reply:?}"
    );
}
