//! LeaveGroup (13), versions 0–5.
//!
//! Versions: 3 several members at once, static ones by their instance id (KIP-345); 5 a reason
//! (KIP-800).

use super::group_answer::{GroupAnswer, later};
use super::{Call, Reply, Serve};
use isthmus_broker_core::groups::{Reply as GroupReply, Request};
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::{LeaveGroupRequest, LeaveGroupResponse};
use isthmus_wire::{ErrorCode, VersionRange};

pub(super) struct LeaveGroup;

impl Serve for LeaveGroup {
    type Request = LeaveGroupRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 5 };

    async fn serve(call: Call<'_>, request: LeaveGroupRequest) -> Reply<LeaveGroupResponse> {
        let (group, version) = (request.group_id.clone(), call.version());
        later(
            call,
            Operation::Read,
            &group,
            Request::Leave { request, version },
        )
    }
}

impl GroupAnswer for LeaveGroupResponse {
    fn from_reply(reply: GroupReply) -> Option<Self> {
        match reply {
            GroupReply::Leave(response) => Some(response),
            _ => None,
        }
    }

    fn refused(error_code: ErrorCode, _version: i16) -> Self {
        Self {
            error_code,
            ..Self::default()
        }
    }
}
