//! Heartbeat (12), versions 0–4: a member is alive, and learns of a rebalance.
//!
//! Versions: 3 static members (KIP-345).

use super::group_answer::{GroupAnswer, later};
use super::{Call, Reply, Serve};
use isthmus_broker_core::groups::{Reply as GroupReply, Request};
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::{HeartbeatRequest, HeartbeatResponse};
use isthmus_wire::{ErrorCode, VersionRange};

pub(super) struct Heartbeat;

impl Serve for Heartbeat {
    type Request = HeartbeatRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 4 };

    async fn serve(call: Call<'_>, request: HeartbeatRequest) -> Reply<HeartbeatResponse> {
        let group = request.group_id.clone();
        later(call, Operation::Read, &group, Request::Heartbeat(request))
    }
}

impl GroupAnswer for HeartbeatResponse {
    fn from_reply(reply: GroupReply) -> Option<Self> {
        match reply {
            GroupReply::Heartbeat(response) => Some(response),
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
