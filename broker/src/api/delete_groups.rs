//! DeleteGroups (42), versions 0–2 (KIP-229): removes empty groups with their offsets.

use super::{Call, Reply, Serve};
use isthmus_broker_core::groups::{Reply as GroupReply, Request};
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::delete_groups_response::DeletableGroupResult;
use isthmus_wire::messages::{DeleteGroupsRequest, DeleteGroupsResponse};
use isthmus_wire::{ErrorCode, VersionRange};

pub(super) struct DeleteGroups;

impl Serve for DeleteGroups {
    type Request = DeleteGroupsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 2 };

    async fn serve(call: Call<'_>, request: DeleteGroupsRequest) -> Reply<DeleteGroupsResponse> {
        let access = call.access();
        let mut results = Vec::with_capacity(request.groups_names.len());
        for id in request.groups_names {
            results.push(match access.group(Operation::Delete, &id) {
                Ok(()) => delete(call, id).await,
                Err(code) => refused(id, code),
            });
        }
        Reply::Now(DeleteGroupsResponse {
            results,
            ..Default::default()
        })
    }
}

async fn delete(call: Call<'_>, id: String) -> DeletableGroupResult {
    let request = Request::DeleteGroups {
        groups: vec![id.clone()],
    };
    let answer = match call.broker.ask_group(&id, request) {
        Ok(answer) => answer.await,
        Err(code) => Err(code),
    };
    match answer {
        Ok(GroupReply::DeleteGroups(mut results)) if results.len() == 1 => results.remove(0),
        Ok(_) => refused(id, ErrorCode::UNKNOWN_SERVER_ERROR),
        Err(code) => refused(id, code),
    }
}

fn refused(group_id: String, error_code: ErrorCode) -> DeletableGroupResult {
    DeletableGroupResult {
        group_id,
        error_code,
    }
}
