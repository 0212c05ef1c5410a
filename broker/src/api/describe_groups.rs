//! DescribeGroups (15), versions 0–6.
//!
//! Versions: 3 authorised operations (KIP-430); 4 instance ids (KIP-345); 6 says of an unknown
//! group that it is unknown, where earlier ones show it as dead (KIP-1043).

use super::{Call, Reply, Serve};
use isthmus_broker_core::groups::{Reply as GroupReply, Request};
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
        let mut groups = Vec::with_capacity(request.groups.len());
        for id in request.groups {
            let mut described = describe(call, id).await;
            if request.include_authorized_operations && !described.error_code.is_error() {
                described.authorized_operations = crate::operations::ON_GROUP;
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
    let refused = |error_code| DescribedGroup {
        group_id: id.clone(),
        error_code,
        ..Default::default()
    };
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
        Ok(_) => refused(ErrorCode::UNKNOWN_SERVER_ERROR),
        Err(code) => refused(code),
    }
}
