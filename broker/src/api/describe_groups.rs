//! DescribeGroups (15), versions 0–6.
//!
//! Versions: 3 authorised operations (KIP-430); 4 instance ids (KIP-345); 6 says of an unknown
//! group that it is unknown, where earlier ones show it as dead (KIP-1043).

use super::{Call, Reply, Serve};
use isthmus_broker_core::groups::{Reply as GroupReply, Request};
use isthmus_broker_core::security::{Operation, ResourceType};
use isthmus_wire::messages::describe_groups_response::DescribedGroup;
use isthmus_wire::messages::{DescribeGroupsRequest, DescribeGroupsResponse};
use isthmus_wire::{ErrorCode, VersionRange};

pub(super) struct DescribeGroups;

impl Serve for DescribeGroups {
    type Request = DescribeGroupsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 6 };

    async fn serve(
        call: Call<'_>,
        request: DescribeGroupsRequest,
    ) -> Reply<DescribeGroupsResponse> {
        let access = call.access();
        let mut groups = Vec::with_capacity(request.groups.len());
        for id in request.groups {
            let mut described = match access.group(Operation::Describe, &id) {
                Ok(()) => describe(call, id).await,
                Err(code) => refused(id, code),
            };
            if request.include_authorized_operations && !described.error_code.is_error() {
                described.authorized_operations =
                    access.operations(ResourceType::Group, &described.group_id);
            }
            groups.push(described);
        }
        Reply::Now(DescribeGroupsResponse {
            groups,
            ..Default::default()
        })
    }
}

async fn describe(call: Call<'_>, id: String) -> DescribedGroup {
    let request = Request::DescribeGroups {
        groups: vec![id.clone()],
        version: call.version(),
    };
    let answer = match call.broker.ask_group(&id, request) {
        Ok(answer) => answer.await,
        Err(code) => Err(code),
    };
    match answer {
        Ok(GroupReply::DescribeGroups(mut groups)) if groups.len() == 1 => groups.remove(0),
        Ok(_) => refused(id, ErrorCode::UNKNOWN_SERVER_ERROR),
        Err(code) => refused(id, code),
    }
}

fn refused(group_id: String, error_code: ErrorCode) -> DescribedGroup {
    DescribedGroup {
        group_id,
        error_code,
        ..Default::default()
    }
}
