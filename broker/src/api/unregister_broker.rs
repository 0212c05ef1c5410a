//! UnregisterBroker (64), version 0: a broker that is gone for good is taken out of the metadata (KIP-631).
//!
//! It leaves every ISR; where it is still among a partition's replicas it stays, until the partition is
//! moved. One that lives is not refused, as with Kafka: it notices, and registers again. A node that is
//! all there is cannot be taken out: nobody else could take it in again.

use super::{Call, Reply, Serve};
use isthmus_broker_core::controller::{ControllerEvent, ControllerReply};
use isthmus_broker_core::security::Operation;
use isthmus_wire::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};
use isthmus_wire::{ErrorCode, VersionRange};

pub(super) struct UnregisterBroker;

impl Serve for UnregisterBroker {
    type Request = UnregisterBrokerRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 0 };

    async fn serve(
        call: Call<'_>,
        request: UnregisterBrokerRequest,
    ) -> Reply<UnregisterBrokerResponse> {
        let refusal = unregister(call, request.broker_id).await.err();
        let (error_code, error_message) = match refusal {
            None => (ErrorCode::NONE, None),
            Some((code, words)) => (code, Some(words)),
        };
        Reply::Now(UnregisterBrokerResponse {
            error_code,
            error_message,
            ..UnregisterBrokerResponse::default()
        })
    }
}

async fn unregister(call: Call<'_>, broker_id: i32) -> Result<(), (ErrorCode, String)> {
    let access = call.access();
    let allowed = access.cluster(Operation::Alter);
    allowed.map_err(|code| (code, access.cluster_message(Operation::Alter)))?;
    if call.broker.settings.cluster.is_alone() && broker_id == call.broker.node_id {
        let words = format!("Broker ID {broker_id} is the only one, and cannot be unregistered");
        return Err((ErrorCode::INVALID_REQUEST, words));
    }
    let event = ControllerEvent::Unregister { broker_id };
    let limit = call.broker.settings.request_timeout;
    let decided = call.broker.controller.event(limit, event).await;
    match decided.map_err(|failure| (failure.code(), failure.to_string()))? {
        ControllerReply::Unregistered => Ok(()),
        // In Kafka's words.
        ControllerReply::Refused(code @ ErrorCode::BROKER_ID_NOT_REGISTERED) => Err((
            code,
            format!("Broker ID {broker_id} is not currently registered"),
        )),
        ControllerReply::Refused(code) => Err((code, code.to_string())),
        other => {
            let words = format!("unregistering came to {other:?}");
            Err((ErrorCode::UNKNOWN_SERVER_ERROR, words))
        }
    }
}
