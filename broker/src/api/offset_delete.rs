//! OffsetDelete (47), version 0 (KIP-496): forgets committed offsets of a group that does not
//! read the topic.

use super::group_answer::{GroupAnswer, later};
use super::{Call, Reply, Serve};
use isthmus_broker_core::groups::{Reply as GroupReply, Request};
use isthmus_wire::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use isthmus_wire::{ErrorCode, VersionRange};

pub(super) struct OffsetDelete;

impl Serve for OffsetDelete {
    type Request = OffsetDeleteRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 0 };

    async fn serve(call: Call<'_>, request: OffsetDeleteRequest) -> Reply<OffsetDeleteResponse> {
        let group = request.group_id.clone();
        later(call, &group, Request::OffsetDelete(request))
    }
}

impl GroupAnswer for OffsetDeleteResponse {
    fn from_reply(reply: GroupReply) -> Option<Self> {
        match reply {
            GroupReply::OffsetDelete(response) => Some(response),
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
