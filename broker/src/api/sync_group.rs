//! SyncGroup (14), versions 0–5: the leader hands in the assignment, everyone gets their part.
//! The answer waits for the leader, second stage.
//!
//! Versions: 3 static members (KIP-345); 5 the protocol's type and name (KIP-559).

use super::group_answer::{GroupAnswer, later};
use super::{Call, Reply, Serve};
use isthmus_broker_core::groups::{Reply as GroupReply, Request};
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::{SyncGroupRequest, SyncGroupResponse};
use isthmus_wire::{ErrorCode, VersionRange};

pub(super) struct SyncGroup;

impl Serve for SyncGroup {
    type Request = SyncGroupRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 5 };

    async fn serve(call: Call<'_>, request: SyncGroupRequest) -> Reply<SyncGroupResponse> {
        let (group, version) = (request.group_id.clone(), call.version());
        later(
            call,
            Operation::Read,
            &group,
            Request::Sync {
                request: Box::new(request),
                version,
            },
        )
    }
}

impl GroupAnswer for SyncGroupResponse {
    fn from_reply(reply: GroupReply) -> Option<Self> {
        match reply {
            GroupReply::Sync(response) => Some(response),
            _ => None,
        }
    }

    fn refused(error_code: ErrorCode, _version: i16) -> Self {
        Self {
            error_code,
            protocol_type: None,
            protocol_name: None,
            ..Self::default()
        }
    }
}
