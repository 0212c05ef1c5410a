//! ListGroups, versions 0-5, and DescribeGroups, versions 0-6.
//!
//! ListGroups: 4 filters by state (KIP-518), 5 by type (KIP-848); both without regard to case.
//! DescribeGroups: an unknown group is Dead without error; from 6 on with GROUP_ID_NOT_FOUND
//! (KIP-1043). Authorised operations are the shell's to fill in.

use super::coordinator::Shard;
use super::group::{Group, GroupState};
use super::member::Member;
use bytes::Bytes;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use isthmus_wire::messages::list_groups_response::ListedGroup;
use isthmus_wire::messages::{ListGroupsRequest, ListGroupsResponse};

/// The only type of group here.
const GROUP_TYPE: &str = "classic";

/// What Kafka calls a group that is not there.
const DEAD: &str = "Dead";

/// First version that says that a group is not there.
const GROUP_NOT_FOUND_SINCE: i16 = 6;

impl Shard {
    pub(super) fn list_groups(&self, request: &ListGroupsRequest) -> ListGroupsResponse {
        // Kafka takes blanks off the names of states, and not off those of types.
        let is_wanted = |filter: &[String], is: &dyn Fn(&str) -> bool| {
            filter.is_empty() || filter.iter().any(|it| is(it))
        };
        let groups = self.groups.values().filter(|group| {
            let state = group.state().name();
            is_wanted(&request.states_filter, &|it| {
                it.trim().eq_ignore_ascii_case(state)
            }) && is_wanted(&request.types_filter, &|it| {
                it.eq_ignore_ascii_case(GROUP_TYPE)
            })
        });
        let listed = groups.map(|group| ListedGroup {
            group_id: group.id.to_string(),
            protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
            group_state: group.state().name().to_owned(),
            group_type: GROUP_TYPE.to_owned(),
        });
        ListGroupsResponse {
            groups: listed.collect(),
            ..Default::default()
        }
    }

    pub(super) fn describe_groups(&self, groups: &[String], version: i16) -> Vec<DescribedGroup> {
        let each = groups.iter().map(|id| match self.groups.get(id.as_str()) {
            Some(group) => group.describe(),
            None => describe_unknown(id, version),
        });
        each.collect()
    }
}

fn describe_unknown(group_id: &str, version: i16) -> DescribedGroup {
    let mut described = DescribedGroup {
        group_id: group_id.to_owned(),
        group_state: DEAD.to_owned(),
        ..Default::default()
    };
    if version >= GROUP_NOT_FOUND_SINCE {
        described.error_code = ErrorCode::GROUP_ID_NOT_FOUND;
        described.error_message = Some(format!("Group {group_id} not found."));
    }
    described
}

impl Group {
    /// The protocol and what members say by it are told only while it is settled.
    fn describe(&self) -> DescribedGroup {
        let settled = self.protocol().filter(|_| self.is(GroupState::Stable));
        DescribedGroup {
            group_id: self.id.to_string(),
            group_state: self.state().name().to_owned(),
            protocol_type: self.protocol_type().unwrap_or_default().to_owned(),
            protocol_data: settled.unwrap_or_default().to_owned(),
            members: self
                .members()
                .map(|it| describe_member(it, settled))
                .collect(),
            ..Default::default()
        }
    }
}

fn describe_member(member: &Member, protocol: Option<&str>) -> DescribedGroupMember {
    let metadata: Option<Bytes> = protocol.map(|it| member.metadata(it));
    DescribedGroupMember {
        member_id: member.id.to_string(),
        group_instance_id: member.instance_id.as_deref().map(ToOwned::to_owned),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        member_metadata: metadata.unwrap_or_default(),
        member_assignment: member.assignment.clone(),
    }
}
