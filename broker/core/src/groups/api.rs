//! What goes into a shard and what comes out of it.
//!
//! Requests and replies are the wire's messages, without the work of versions that is mere
//! encoding. Where a version changes behaviour the request carries it. A request for several
//! groups is split by the shell: one shard sees only its own.

use super::appends::AppendId;
use super::event::GroupEvent;
use super::offset_fetch;
use bytes::Bytes;
use isthmus_wire::messages::delete_groups_response::DeletableGroupResult;
use isthmus_wire::messages::describe_groups_response::DescribedGroup;
use isthmus_wire::messages::leave_group_response::MemberResponse;
use isthmus_wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use isthmus_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use isthmus_wire::messages::offset_fetch_response::OffsetFetchResponseGroup;
use isthmus_wire::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, SyncGroupRequest,
    SyncGroupResponse,
};
use isthmus_wire::{ErrorCode, Uuid};
use std::sync::Arc;

/// The clocks at one step (design, decision 21).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Never goes back; time-outs count by it.
    pub mono_ms: i64,
    /// Time of day, for time stamps in records and the age of offsets.
    pub wall_ms: i64,
}

/// The shell's name for a request that wants a reply; unique as long as the shard lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Who asks, as JoinGroup keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// The header's client id; "" where it is null.
    pub id: String,
    /// The address in Java's form, `/127.0.0.1`, which tools show as it is.
    pub host: String,
}

/// A request to one shard.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// All versions; `member_uuid` is fresh entropy for the id of a new member.
    Join {
        request: Box<JoinGroupRequest>,
        version: i16,
        client: Client,
        member_uuid: Uuid,
    },
    Sync {
        request: Box<SyncGroupRequest>,
        version: i16,
    },
    Heartbeat(HeartbeatRequest),
    Leave {
        request: LeaveGroupRequest,
        version: i16,
    },
    /// Topics by name, and with their id where the version has it.
    OffsetCommit {
        request: OffsetCommitRequest,
        version: i16,
    },
    /// One group of the request; `topics: None` asks for all offsets.
    OffsetFetch {
        group: OffsetFetchRequestGroup,
        require_stable: bool,
        version: i16,
    },
    OffsetDelete(OffsetDeleteRequest),
    ListGroups(ListGroupsRequest),
    DescribeGroups {
        groups: Vec<String>,
        version: i16,
    },
    DeleteGroups {
        groups: Vec<String>,
    },
}

impl Request {
    /// Whether its reply may have to wait, and so counts against the bound of those that do.
    pub(super) fn may_wait(&self) -> bool {
        match self {
            Self::Join { .. }
            | Self::Sync { .. }
            | Self::Leave { .. }
            | Self::OffsetCommit { .. }
            | Self::OffsetFetch { .. }
            | Self::OffsetDelete(_)
            | Self::DeleteGroups { .. } => true,
            Self::Heartbeat(_) | Self::ListGroups(_) | Self::DescribeGroups { .. } => false,
        }
    }
}

/// The answer to a [`Request`] of the same name.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Join(Box<JoinGroupResponse>),
    Sync(SyncGroupResponse),
    Heartbeat(HeartbeatResponse),
    Leave(LeaveGroupResponse),
    OffsetCommit(OffsetCommitResponse),
    OffsetFetch(OffsetFetchResponseGroup),
    OffsetDelete(OffsetDeleteResponse),
    ListGroups(ListGroupsResponse),
    DescribeGroups(Vec<DescribedGroup>),
    DeleteGroups(Vec<DeletableGroupResult>),
}

/// What the shell is to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Reply {
        token: Token,
        reply: Reply,
    },
    /// Append as one batch, and tell the outcome by [`super::Shard::committed`] (behind the high
    /// watermark) or [`super::Shard::append_failed`] (not in the log).
    Append {
        id: AppendId,
        records: Vec<(Bytes, Option<Bytes>)>,
    },
    /// For the log of the program.
    Event {
        group: Arc<str>,
        event: GroupEvent,
    },
}

/// The reply that refuses a whole request, in the shape its kind has for that.
pub(super) fn refusal(request: &Request, error: ErrorCode) -> Reply {
    match request {
        Request::Join {
            request, version, ..
        } => refused_join(*version, error, &request.member_id),
        Request::Sync { .. } => refused_sync(error),
        Request::Heartbeat(_) => heartbeat_reply(error),
        Request::Leave { .. } => refused_leave(error),
        Request::OffsetCommit { request, .. } => commit_reply(request, |_| error),
        Request::OffsetFetch { group, version, .. } => {
            Reply::OffsetFetch(offset_fetch::offset_fetch_refusal(group, error, *version))
        }
        Request::OffsetDelete(_) => refused_offset_delete(error),
        Request::ListGroups(_) => Reply::ListGroups(ListGroupsResponse {
            error_code: error,
            ..Default::default()
        }),
        Request::DescribeGroups { groups, .. } => {
            let each = groups.iter().map(|id| DescribedGroup {
                group_id: id.clone(),
                error_code: error,
                ..Default::default()
            });
            Reply::DescribeGroups(each.collect())
        }
        Request::DeleteGroups { groups } => {
            let each = groups.iter().map(|id| DeletableGroupResult {
                group_id: id.clone(),
                error_code: error,
            });
            Reply::DeleteGroups(each.collect())
        }
    }
}

/// What a reply that waited for its record becomes when the record did not make it.
pub(super) fn failed(reply: Reply, error: ErrorCode) -> Reply {
    match reply {
        Reply::Join(mut response) => {
            response.error_code = error;
            Reply::Join(response)
        }
        Reply::Sync(_) => refused_sync(error),
        Reply::Heartbeat(_) => heartbeat_reply(error),
        Reply::Leave(_) => refused_leave(error),
        Reply::OffsetCommit(mut response) => {
            let partitions = response.topics.iter_mut().flat_map(|it| &mut it.partitions);
            partitions.for_each(|partition| partition.error_code = error);
            Reply::OffsetCommit(response)
        }
        Reply::OffsetFetch(mut group) => {
            group.error_code = error;
            group.topics.clear();
            Reply::OffsetFetch(group)
        }
        Reply::OffsetDelete(_) => refused_offset_delete(error),
        Reply::ListGroups(mut response) => {
            response.error_code = error;
            Reply::ListGroups(response)
        }
        Reply::DescribeGroups(mut groups) => {
            groups.iter_mut().for_each(|it| it.error_code = error);
            Reply::DescribeGroups(groups)
        }
        Reply::DeleteGroups(mut results) => {
            results.iter_mut().for_each(|it| it.error_code = error);
            Reply::DeleteGroups(results)
        }
    }
}

/// KIP-559: before version 7 the protocol's name cannot be null, from it on it is not empty.
pub(super) fn join_reply(version: i16, mut response: JoinGroupResponse) -> Reply {
    let name = response.protocol_name.take().unwrap_or_default();
    response.protocol_name = (version < 7 || !name.is_empty()).then_some(name);
    Reply::Join(Box::new(response))
}

pub(super) fn refused_join(version: i16, error: ErrorCode, member_id: &str) -> Reply {
    let response = JoinGroupResponse {
        error_code: error,
        member_id: member_id.to_owned(),
        ..Default::default()
    };
    join_reply(version, response)
}

pub(super) fn refused_sync(error: ErrorCode) -> Reply {
    Reply::Sync(SyncGroupResponse {
        error_code: error,
        protocol_type: None,
        protocol_name: None,
        ..Default::default()
    })
}

pub(super) fn heartbeat_reply(error: ErrorCode) -> Reply {
    Reply::Heartbeat(HeartbeatResponse {
        error_code: error,
        ..Default::default()
    })
}

pub(super) fn refused_leave(error: ErrorCode) -> Reply {
    Reply::Leave(LeaveGroupResponse {
        error_code: error,
        ..Default::default()
    })
}

/// Version 3 made LeaveGroup a batch (KIP-345); before it, the only member's error is the reply's.
pub(super) fn leave_reply(version: i16, members: Vec<MemberResponse>) -> Reply {
    if version >= 3 {
        return Reply::Leave(LeaveGroupResponse {
            members,
            ..Default::default()
        });
    }
    refused_leave(members.first().map_or(ErrorCode::NONE, |it| it.error_code))
}

/// The shape of the request with a verdict for each partition's metadata.
pub(super) fn commit_reply(
    request: &OffsetCommitRequest,
    verdict: impl Fn(Option<&str>) -> ErrorCode,
) -> Reply {
    let topics = request
        .topics
        .iter()
        .map(|topic| OffsetCommitResponseTopic {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: (topic.partitions.iter())
                .map(|partition| OffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: verdict(partition.committed_metadata.as_deref()),
                })
                .collect(),
        });
    Reply::OffsetCommit(OffsetCommitResponse {
        topics: topics.collect(),
        ..Default::default()
    })
}

pub(super) fn refused_offset_delete(error: ErrorCode) -> Reply {
    Reply::OffsetDelete(OffsetDeleteResponse {
        error_code: error,
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_name_is_empty_before_version_7_and_null_from_it_on() {
        let name_at = |version| match refused_join(version, ErrorCode::NONE, "") {
            Reply::Join(response) => response.protocol_name,
            other => panic!("{other:?}"),
        };
        assert_eq!(name_at(0), Some(String::new()));
        assert_eq!(name_at(6), Some(String::new()));
        assert_eq!(name_at(7), None);
        assert_eq!(name_at(9), None);
    }
}
