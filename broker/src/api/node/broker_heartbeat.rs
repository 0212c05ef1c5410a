//! BrokerHeartbeat (63), versions 0–1.
//!
//! Every voter gets it, and notes when it came (design, decision 7); only the active controller
//! answers anything but NOT_CONTROLLER. Directories that failed (version 1) are not acted on: a
//! broker whose directory failed stops. Two tagged fields are ours: a broker that wants a lease has a
//! majority of the voters asked, and is told how far the metadata was (rule 20).

use super::super::{Call, Reply, Serve};
use crate::quotas::Metered;
use isthmus_broker_core::controller::{BrokerHeartbeat as Heartbeat, ControllerReply};
use isthmus_wire::messages::{BrokerHeartbeatRequest, BrokerHeartbeatResponse};
use isthmus_wire::{ErrorCode, VersionRange};
use std::time::Duration;

pub(super) struct BrokerHeartbeat;

impl Serve for BrokerHeartbeat {
    type Request = BrokerHeartbeatRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 1 };

    async fn serve(
        call: Call<'_>,
        request: BrokerHeartbeatRequest,
    ) -> Reply<BrokerHeartbeatResponse> {
        let refused = |error_code| {
            Reply::Now(BrokerHeartbeatResponse {
                error_code,
                ..BrokerHeartbeatResponse::default()
            })
        };
        if !call.comes_from(request.broker_id) {
            return refused(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
        }
        let beat = Heartbeat {
            broker_id: request.broker_id,
            broker_epoch: request.broker_epoch,
            metadata_offset: request.current_metadata_offset,
            want_fence: request.want_fence,
            want_shut_down: request.want_shut_down,
        };
        let limit = call.broker.settings.broker_session_timeout;
        match call.broker.controller.heartbeat(limit, beat).await {
            Ok(ControllerReply::Heartbeat(reply)) => {
                let confirmed = match request.want_lease {
                    true => call.broker.confirmed_offset().await,
                    false => None,
                };
                Reply::Now(BrokerHeartbeatResponse {
                    is_caught_up: reply.is_caught_up,
                    is_fenced: reply.is_fenced,
                    should_shut_down: reply.should_shut_down,
                    confirmed_offset: confirmed.unwrap_or(-1),
                    ..BrokerHeartbeatResponse::default()
                })
            }
            Ok(ControllerReply::Refused(code)) => refused(code),
            Ok(other) => Reply::Malformed(format!("a heartbeat came to {other:?}")),
            Err(failure) => refused(failure.code()),
        }
    }

    /// Nodes are not throttled.
    fn settle(_: &Metered, _: i16, _: &mut BrokerHeartbeatResponse, _: Duration) {}
}
