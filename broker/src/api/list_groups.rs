//! ListGroups (16), versions 0–5: the groups this broker coordinates.
//!
//! Versions: 4 states (KIP-518); 5 types (KIP-848).

use super::{Call, Reply, Serve};
use isthmus_broker_core::groups::{Reply as GroupReply, Request};
use isthmus_broker_core::security::{Operation, ResourceType};
use isthmus_wire::messages::{ListGroupsRequest, ListGroupsResponse};
use isthmus_wire::{ErrorCode, VersionRange};

pub(super) struct ListGroups;

impl Serve for ListGroups {
    type Request = ListGroupsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 5 };

    async fn serve(call: Call<'_>, request: ListGroupsRequest) -> Reply<ListGroupsResponse> {
        let mut response = ListGroupsResponse::default();
        for shard in call.broker.groups.shards() {
            let asked = call
                .broker
                .groups
                .ask_shard(shard, Request::ListGroups(request.clone()));
            let answer = match asked {
                Ok(answer) => answer.await,
                Err(code) => Err(code),
            };
            match answer {
                Ok(GroupReply::ListGroups(mut of_shard)) => {
                    response.groups.append(&mut of_shard.groups);
                    if of_shard.error_code.is_error() {
                        response.error_code = of_shard.error_code;
                    }
                }
                Ok(_) => response.error_code = ErrorCode::UNKNOWN_SERVER_ERROR,
                Err(code) => response.error_code = code,
            }
        }
        let access = call.access();
        if !access.may_on_cluster_quietly(Operation::Describe) {
            response.groups.retain(|group| {
                access.may_quietly(Operation::Describe, ResourceType::Group, &group.group_id)
            });
        }
        Reply::Now(response)
    }
}
