//! JoinGroup (11), versions 0–9: becoming, or staying, a member of the next generation.
//!
//! Advertised from 0: older librdkafka keys GSSAPI on that (KAFKA-19444, pitfall 2). The answer
//! waits for the other members, second stage.
//!
//! Versions: 1 a rebalance time-out; 4 a member id is given out first (KIP-394); 5 static members
//! (KIP-345); 7 the protocol's type and name (KIP-559); 8 a reason (KIP-800); 9 a leader that need
//! not assign (KIP-814).

use super::group_answer::{GroupAnswer, later};
use super::{Call, Reply, Serve};
use crate::ids::random_uuid;
use isthmus_broker_core::groups::{Client, Reply as GroupReply, Request};
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::{JoinGroupRequest, JoinGroupResponse};
use isthmus_wire::{ErrorCode, VersionRange};

pub(super) struct JoinGroup;

impl Serve for JoinGroup {
    type Request = JoinGroupRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 9 };

    async fn serve(call: Call<'_>, request: JoinGroupRequest) -> Reply<JoinGroupResponse> {
        let version = call.version();
        let group = request.group_id.clone();
        let client = Client {
            id: call.header.client_id.clone().unwrap_or_default(),
            host: format!("/{}", call.caller.peer.ip()),
        };
        let request = Request::Join {
            request: Box::new(request),
            version,
            client,
            member_uuid: random_uuid(),
        };
        later(call, Operation::Read, &group, request)
    }
}

impl GroupAnswer for JoinGroupResponse {
    fn from_reply(reply: GroupReply) -> Option<Self> {
        match reply {
            GroupReply::Join(response) => Some(*response),
            _ => None,
        }
    }

    fn refused(error_code: ErrorCode, version: i16) -> Self {
        Self {
            error_code,
            generation_id: -1,
            protocol_name: (version < 7).then(String::new),
            ..Self::default()
        }
    }
}
