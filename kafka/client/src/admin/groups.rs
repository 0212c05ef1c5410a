//! ListGroups 0-5 (at every broker), DescribeGroups 0-6, OffsetFetch 1-9, OffsetCommit 2-9,
//! DeleteGroups 0-2 (at the group's coordinator). Versions of the two offset requests that give
//! topic ids are not used: groups keep offsets of topics by name.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::join_all;
use isthmus_wire::ApiKey;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::describe_groups_response::DescribedGroup;
use isthmus_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use isthmus_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use isthmus_wire::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    ListGroupsRequest, ListGroupsResponse, OffsetCommitRequest, OffsetCommitResponse,
    OffsetFetchRequest, OffsetFetchResponse,
};

use super::Admin;
use crate::cluster::{CoordinatorKind, Destination, Refusal, RequestError, Verdict};

/// Last versions of OffsetFetch and OffsetCommit that name topics.
const NAMES_UNTIL: i16 = 9;

/// First version of OffsetFetch that asks for several groups.
const SEVERAL_GROUPS_FROM: i16 = 8;

/// First version of OffsetFetch that can wait for open transactions.
const STABLE_FROM: i16 = 7;

/// A group as a broker lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    pub group: String,
    pub protocol_type: String,
    /// Empty below version 4.
    pub state: String,
    /// Empty below version 5.
    pub kind: String,
}

/// A group of the classic protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    pub group: String,
    pub state: String,
    pub protocol_type: String,
    pub protocol: String,
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub metadata: Bytes,
    pub assignment: Bytes,
}

/// An offset that a group committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    pub offset: i64,
    pub leader_epoch: Option<i32>,
    pub metadata: Option<String>,
}

/// An offset to be committed for a group without members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetToCommit {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub leader_epoch: Option<i32>,
    pub metadata: Option<String>,
}

/// Offsets by topic and partition.
pub type OffsetsByPartition<T> = BTreeMap<(String, i32), T>;

impl Admin {
    /// All groups of all brokers. A broker that cannot be asked fails the whole: a list with a hole
    /// in it must not be taken for a list.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, RequestError> {
        let deadline = self.deadline();
        let metadata = self.cluster.ready(deadline).await?;
        let judge = |response: &ListGroupsResponse| Verdict::from(response.error_code);
        let asked = metadata.brokers.keys().map(|&broker| {
            let to = Destination::Broker(broker);
            let build = |_version| ListGroupsRequest::default();
            Box::pin(self.cluster.request(to, i16::MAX, deadline, build, judge))
        });
        let mut groups = BTreeMap::new();
        for response in join_all(asked).await {
            for it in response?.groups {
                let listing = GroupListing {
                    group: it.group_id,
                    protocol_type: it.protocol_type,
                    state: it.group_state,
                    kind: it.group_type,
                };
                groups.insert(listing.group.clone(), listing);
            }
        }
        Ok(groups.into_values().collect())
    }

    /// State and members of a group of the classic protocol. A group that does not exist is `Dead`,
    /// or refused from version 6 on.
    pub async fn describe_group(
        &self,
        group: &str,
    ) -> Result<Result<GroupDescription, Refusal>, RequestError> {
        let build = |_version| DescribeGroupsRequest {
            groups: vec![group.to_owned()],
            ..Default::default()
        };
        let judge = |response: &DescribeGroupsResponse| {
            Verdict::of_items(response.groups.iter().map(|it| it.error_code))
        };
        let to = Destination::Coordinator(CoordinatorKind::Group, group);
        let request = self
            .cluster
            .request(to, i16::MAX, self.deadline(), build, judge);
        let first = request.await?.groups.into_iter().next();
        first.map(description).ok_or(RequestError::Incomplete {
            api: ApiKey::DescribeGroups,
        })
    }

    /// All offsets that a group committed. With `stable`, offsets under a transaction that is not
    /// decided yet are waited for.
    pub async fn fetch_offsets(
        &self,
        group: &str,
        stable: bool,
    ) -> Result<OffsetsByPartition<Result<CommittedOffset, ErrorCode>>, RequestError> {
        let build = |version| offset_fetch(group, stable, version);
        let judge = |response: &OffsetFetchResponse| Verdict::from(fetch_code(response));
        let to = Destination::Coordinator(CoordinatorKind::Group, group);
        let request = self
            .cluster
            .request(to, NAMES_UNTIL, self.deadline(), build, judge);
        Ok(committed(request.await?))
    }

    /// Commits offsets for a group that has no members; the coordinator refuses it for one that
    /// has.
    pub async fn commit_offsets(
        &self,
        group: &str,
        offsets: &[OffsetToCommit],
    ) -> Result<OffsetsByPartition<Result<(), ErrorCode>>, RequestError> {
        let build = |_version| offset_commit(group, offsets);
        let judge = |response: &OffsetCommitResponse| {
            let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            Verdict::of_items(partitions.map(|it| it.error_code))
        };
        let to = Destination::Coordinator(CoordinatorKind::Group, group);
        let request = self
            .cluster
            .request(to, NAMES_UNTIL, self.deadline(), build, judge);
        let mut outcomes = BTreeMap::new();
        for topic in request.await?.topics {
            for it in topic.partitions {
                let outcome = if it.error_code.is_error() {
                    Err(it.error_code)
                } else {
                    Ok(())
                };
                outcomes.insert((topic.name.clone(), it.partition_index), outcome);
            }
        }
        Ok(outcomes)
    }

    /// Deletes a group that has no members, and its offsets.
    pub async fn delete_group(&self, group: &str) -> Result<Result<(), Refusal>, RequestError> {
        let build = |_version| DeleteGroupsRequest {
            groups_names: vec![group.to_owned()],
        };
        let judge = |response: &DeleteGroupsResponse| {
            Verdict::of_items(response.results.iter().map(|it| it.error_code))
        };
        let to = Destination::Coordinator(CoordinatorKind::Group, group);
        let request = self
            .cluster
            .request(to, i16::MAX, self.deadline(), build, judge);
        let first = request.await?.results.into_iter().next();
        let it = first.ok_or(RequestError::Incomplete {
            api: ApiKey::DeleteGroups,
        })?;
        Ok(Refusal::unless_ok(it.error_code, None, || ()))
    }
}

fn description(row: DescribedGroup) -> Result<GroupDescription, Refusal> {
    let members = row.members.into_iter().map(|it| GroupMember {
        member_id: it.member_id,
        instance_id: it.group_instance_id,
        client_id: it.client_id,
        client_host: it.client_host,
        metadata: it.member_metadata,
        assignment: it.member_assignment,
    });
    let description = GroupDescription {
        group: row.group_id,
        state: row.group_state,
        protocol_type: row.protocol_type,
        protocol: row.protocol_data,
        members: members.collect(),
    };
    Refusal::unless_ok(row.error_code, row.error_message, || description)
}

/// All topics: null from version 2 on, which is the lowest that brokers of today serve.
fn offset_fetch(group: &str, stable: bool, version: i16) -> OffsetFetchRequest {
    let several = version >= SEVERAL_GROUPS_FROM;
    let one = OffsetFetchRequestGroup {
        group_id: group.to_owned(),
        topics: None,
        ..Default::default()
    };
    OffsetFetchRequest {
        group_id: if several {
            String::new()
        } else {
            group.to_owned()
        },
        topics: if several {
            OffsetFetchRequest::default().topics
        } else {
            None
        },
        groups: if several { vec![one] } else { Vec::new() },
        require_stable: stable && version >= STABLE_FROM,
    }
}

/// The code of the whole, or of a partition that is still under a transaction.
fn fetch_code(response: &OffsetFetchResponse) -> ErrorCode {
    let unstable = ErrorCode::UNSTABLE_OFFSET_COMMIT;
    let of_groups = response.groups.iter().flat_map(|group| {
        let partitions = group.topics.iter().flat_map(|topic| &topic.partitions);
        let unstable = partitions
            .map(|it| it.error_code)
            .filter(move |&code| code == unstable);
        std::iter::once(group.error_code).chain(unstable)
    });
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    let of_one = partitions
        .map(|it| it.error_code)
        .filter(|&code| code == unstable);
    let mut codes = std::iter::once(response.error_code)
        .chain(of_groups)
        .chain(of_one);
    codes
        .find(|code| code.is_error())
        .unwrap_or(ErrorCode::NONE)
}

fn committed(
    response: OffsetFetchResponse,
) -> OffsetsByPartition<Result<CommittedOffset, ErrorCode>> {
    let mut offsets = BTreeMap::new();
    let mut take = |topic: &str, partition, code: ErrorCode, offset: i64, epoch: i32, metadata| {
        let committed = CommittedOffset {
            offset,
            leader_epoch: (epoch >= 0).then_some(epoch),
            metadata,
        };
        // No commit is told as offset -1.
        if code.is_error() {
            offsets.insert((topic.to_owned(), partition), Err(code));
        } else if offset >= 0 {
            offsets.insert((topic.to_owned(), partition), Ok(committed));
        }
    };
    for topic in response.topics {
        for it in topic.partitions {
            let epoch = it.committed_leader_epoch;
            let offset = it.committed_offset;
            take(
                &topic.name,
                it.partition_index,
                it.error_code,
                offset,
                epoch,
                it.metadata,
            );
        }
    }
    for topic in response.groups.into_iter().flat_map(|group| group.topics) {
        for it in topic.partitions {
            let epoch = it.committed_leader_epoch;
            let offset = it.committed_offset;
            take(
                &topic.name,
                it.partition_index,
                it.error_code,
                offset,
                epoch,
                it.metadata,
            );
        }
    }
    offsets
}

fn offset_commit(group: &str, offsets: &[OffsetToCommit]) -> OffsetCommitRequest {
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for it in offsets {
        topics
            .entry(&it.topic)
            .or_default()
            .push(OffsetCommitRequestPartition {
                partition_index: it.partition,
                committed_offset: it.offset,
                committed_leader_epoch: it.leader_epoch.unwrap_or(-1),
                committed_metadata: it.metadata.clone(),
            });
    }
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| OffsetCommitRequestTopic {
            name: name.to_owned(),
            partitions,
            ..Default::default()
        });
    OffsetCommitRequest {
        group_id: group.to_owned(),
        topics: topics.collect(),
        ..Default::default()
    }
}
