//! Envelope (58), version 0: a client's request that a broker passes on to the active controller
//! (KIP-590), with the principal and the address of who made it.
//!
//! The inner request is authorized, and counted against quotas, at the controller and under that
//! principal. Without a principal it is the broker itself that asks: for a topic that a client
//! named, or one of its own.

use super::super::forwarding::dispatch_forwarded;
use super::super::{Answer, Call, Caller, Outcome, Reply, Serve};
use crate::byte_pool::CAPACITY_MIN;
use crate::cluster::TO_CONTROLLER_MAX;
use crate::quotas::Metered;
use bytes::{Bytes, BytesMut};
use isthmus_broker_core::security::Principal;
use isthmus_wire::codec::{Decoder, EncodeError, Part};
use isthmus_wire::header::FRAME_SIZE_LEN;
use isthmus_wire::messages::{DefaultPrincipalData, EnvelopeRequest, EnvelopeResponse};
use isthmus_wire::prefixed::{decode_versioned, encode_versioned};
use isthmus_wire::{ErrorCode, VersionRange};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Version of a principal's form; there is one.
const PRINCIPAL_VERSION: i16 = 0;

/// Largest request of a client that is passed on. It is charged to the memory that the active controller has
/// for nodes, before anybody looks into it; 10 000 partitions with five replicas each, placed by hand, are
/// a quarter of a MiB.
pub(in crate::api) const PASSED_ON_BYTES_MAX: usize = 2 << 20;

/// Nodes that may pass on as much as they can at the same time, and leave room for votes and heartbeats.
const NODES_AT_ONCE: usize = 15;

const _: () = assert!(NODES_AT_ONCE * TO_CONTROLLER_MAX * PASSED_ON_BYTES_MAX < CAPACITY_MIN);

/// Who a passed-on request comes from.
pub(in crate::api) enum Forwarded {
    User(Principal),
    /// The node that sent the envelope.
    Node,
}

pub(super) struct Envelope;

impl Serve for Envelope {
    type Request = EnvelopeRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 0 };

    async fn serve(call: Call<'_>, request: EnvelopeRequest) -> Reply<EnvelopeResponse> {
        if !call.broker.controller.is_active() {
            return refused(ErrorCode::NOT_CONTROLLER);
        }
        let Some((caller, data)) = opened_envelope(call, request) else {
            return refused(ErrorCode::INVALID_REQUEST);
        };
        match dispatch_forwarded(call.broker, &caller, data).await {
            Ok(Outcome::Answer(answer)) => Reply::Now(answered(answer)),
            Ok(Outcome::Later(answer)) => Reply::Later(Box::pin(async move {
                answer
                    .await
                    .map_or_else(|_| refusal(ErrorCode::UNKNOWN_SERVER_ERROR), answered)
            })),
            Ok(Outcome::NoAnswer(_)) => refused(ErrorCode::INVALID_REQUEST),
            Err(_) => refused(ErrorCode::INVALID_REQUEST),
        }
    }

    /// Nodes are not throttled; what their clients use is counted in the request inside.
    fn settle(_: &Metered, _: i16, _: &mut EnvelopeResponse, _: Duration) {}
}

fn opened_envelope(call: Call<'_>, request: EnvelopeRequest) -> Option<(Caller, Bytes)> {
    let from = match request.request_principal {
        None => Forwarded::Node,
        Some(data) => {
            let read = decode_versioned::<DefaultPrincipalData>(&mut Decoder::new(data));
            let (data, _version) = read.ok()?;
            Forwarded::User(Principal {
                kind: data.r#type,
                name: data.name,
            })
        }
    };
    let host = address(&request.client_host_address)?;
    let (principal, acts_for_cluster) = match from {
        Forwarded::User(principal) => (principal, false),
        Forwarded::Node => (Principal::anonymous(), true),
    };
    let caller = Caller {
        peer: SocketAddr::new(host, 0),
        listener: Arc::clone(&call.caller.listener),
        principal,
        node: None,
        acts_for_cluster,
        asked_at: call.caller.node.as_ref()?.node_id,
    };
    Some((caller, request.request_data))
}

fn address(bytes: &Bytes) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(&bytes[..]) {
        return Some(four.into());
    }
    <[u8; 16]>::try_from(&bytes[..]).ok().map(IpAddr::from)
}

/// The envelope of a request's bytes, its header included.
pub(in crate::api) fn enveloped(
    from: Forwarded,
    host: IpAddr,
    request_data: Bytes,
) -> Result<EnvelopeRequest, EncodeError> {
    let principal = match from {
        Forwarded::Node => None,
        Forwarded::User(principal) => {
            let data = DefaultPrincipalData {
                r#type: principal.kind,
                name: principal.name,
                token_authenticated: false,
            };
            Some(encode_versioned(&data, PRINCIPAL_VERSION)?)
        }
    };
    let client_host_address = match host.to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    Ok(EnvelopeRequest {
        request_data,
        request_principal: principal,
        client_host_address: client_host_address.into(),
    })
}

/// The answer that came in an envelope, as it leaves to the client.
pub(in crate::api) fn opened(response: EnvelopeResponse) -> Result<Answer, ErrorCode> {
    let data = opened_data(response)?;
    let size = i32::try_from(data.len()).unwrap_or(i32::MAX);
    let size = Bytes::copy_from_slice(&size.to_be_bytes());
    Ok(Answer::from(vec![Part::Bytes(size), Part::Bytes(data)]))
}

/// Header and body of the answer that came in an envelope.
pub(super) fn opened_data(response: EnvelopeResponse) -> Result<Bytes, ErrorCode> {
    match (response.error_code, response.response_data) {
        (ErrorCode::NONE, Some(data)) => Ok(data),
        (ErrorCode::NONE, None) => Err(ErrorCode::UNKNOWN_SERVER_ERROR),
        (code, _) => Err(code),
    }
}

/// Header and body of an answer, without the size in front. A controller that lost the lead over the
/// request says so on the envelope, as in Kafka: then the broker goes on to the next one.
fn answered(answer: Answer) -> EnvelopeResponse {
    if answer.lost_the_lead {
        return refusal(ErrorCode::NOT_CONTROLLER);
    }
    let mut data = BytesMut::new();
    for part in answer.parts {
        match part {
            Part::Bytes(bytes) => data.extend_from_slice(&bytes),
            // Nothing that is passed on reads a log.
            Part::File(_) => return refusal(ErrorCode::UNKNOWN_SERVER_ERROR),
        }
    }
    let mut data = data.freeze();
    EnvelopeResponse {
        response_data: Some(data.split_off(FRAME_SIZE_LEN.min(data.len()))),
        error_code: ErrorCode::NONE,
    }
}

fn refused(error_code: ErrorCode) -> Reply<EnvelopeResponse> {
    Reply::Now(refusal(error_code))
}

fn refusal(error_code: ErrorCode) -> EnvelopeResponse {
    EnvelopeResponse {
        response_data: None,
        error_code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isthmus_wire::ApiKey;
    use isthmus_wire::messages::UnregisterBrokerResponse;

    fn envelope_of(error_code: ErrorCode) -> EnvelopeResponse {
        let response = UnregisterBrokerResponse {
            error_code,
            ..UnregisterBrokerResponse::default()
        };
        answered(Answer::encode(3, ApiKey::UnregisterBroker, 0, &response).unwrap())
    }

    #[test]
    fn a_lost_lead_is_told_on_the_envelope_and_never_inside() {
        let envelope = envelope_of(ErrorCode::NOT_CONTROLLER);
        assert_eq!(
            (envelope.error_code, envelope.response_data),
            (ErrorCode::NOT_CONTROLLER, None)
        );
    }

    #[test]
    fn any_other_error_stays_inside() {
        let envelope = envelope_of(ErrorCode::BROKER_ID_NOT_REGISTERED);
        assert_eq!(envelope.error_code, ErrorCode::NONE);
        assert!(envelope.response_data.is_some());
    }
}
