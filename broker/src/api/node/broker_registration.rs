//! BrokerRegistration (62), versions 3–4, as Isthmus brokers send it: with directories and the epoch
//! that the clean-shutdown marker names (rule 23).
//!
//! Registered for itself only: the node that shook hands.

use super::super::{Call, Reply, Serve};
use crate::quotas::Metered;
use crate::replaced_disk;
use isthmus_broker_core::controller::{
    BrokerRegistrationRequest as Registration, ControllerEvent, ControllerReply,
};
use isthmus_wire::messages::register_broker_record::{BrokerEndpoint, BrokerFeature};
use isthmus_wire::messages::{
    BrokerRegistrationRequest, BrokerRegistrationResponse, RegisterBrokerRecord,
};
use isthmus_wire::{ErrorCode, VersionRange};
use std::time::Duration;

pub(super) struct BrokerRegistration;

impl Serve for BrokerRegistration {
    type Request = BrokerRegistrationRequest;
    const VERSIONS: VersionRange = VersionRange { min: 3, max: 4 };

    async fn serve(
        call: Call<'_>,
        request: BrokerRegistrationRequest,
    ) -> Reply<BrokerRegistrationResponse> {
        let refused = |error_code| {
            Reply::Now(BrokerRegistrationResponse {
                error_code,
                ..BrokerRegistrationResponse::default()
            })
        };
        if request.cluster_id != call.broker.cluster_id {
            return refused(ErrorCode::INCONSISTENT_CLUSTER_ID);
        }
        if !call.comes_from(request.broker_id) {
            return refused(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
        }
        let (before, id) = (call.broker.image(), request.broker_id);
        let directories = request.log_dirs.clone();
        let event = ControllerEvent::Register(registration(request));
        let limit = call.broker.settings.request_timeout;
        match call.broker.controller.event(limit, event).await {
            Ok(ControllerReply::Registered { broker_epoch }) => {
                replaced_disk::tell(&before, id, &directories);
                Reply::Now(BrokerRegistrationResponse {
                    broker_epoch,
                    ..BrokerRegistrationResponse::default()
                })
            }
            Ok(ControllerReply::Refused(code)) => refused(code),
            Ok(other) => Reply::Malformed(format!("a registration came to {other:?}")),
            Err(failure) => refused(failure.code()),
        }
    }

    /// Nodes are not throttled.
    fn settle(_: &Metered, _: i16, _: &mut BrokerRegistrationResponse, _: Duration) {}
}

fn registration(request: BrokerRegistrationRequest) -> Registration {
    let end_points = request.listeners.into_iter().map(|it| BrokerEndpoint {
        name: it.name,
        host: it.host,
        port: it.port,
        security_protocol: it.security_protocol,
    });
    let features = request.features.into_iter().map(|it| BrokerFeature {
        name: it.name,
        min_supported_version: it.min_supported_version,
        max_supported_version: it.max_supported_version,
    });
    Registration {
        record: RegisterBrokerRecord {
            broker_id: request.broker_id,
            incarnation_id: request.incarnation_id,
            end_points: end_points.collect(),
            features: features.collect(),
            rack: request.rack,
            log_dirs: request.log_dirs,
            ..RegisterBrokerRecord::default()
        },
        previous_broker_epoch: request.previous_broker_epoch,
    }
}
