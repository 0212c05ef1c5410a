//! The frames of a SASL login: read here, decided in the core, answered here.
//!
//! Which request may come when is `SaslSession`'s matter. What it calls out of order ends the
//! connection; a handshake or an ApiVersions in the middle of a login is told ILLEGAL_SASL_STATE
//! first. Kafka tells other requests too, in their own forms; here their connection just ends.

use crate::api::{Answer, Refusal};
use crate::ids::random_text;
use bytes::{BufMut, Bytes, BytesMut};
use isthmus_broker_core::security::{Principal, SaslFailure, SaslSession, SaslUsers, TokenAnswer};
use isthmus_wire::codec::{DecodeError, Decoder, Message, Part, Request};
use isthmus_wire::header;
use isthmus_wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, SaslAuthenticateRequest, SaslAuthenticateResponse,
    SaslHandshakeRequest, SaslHandshakeResponse,
};
use isthmus_wire::{ApiKey, ErrorCode};

/// Random characters that the server adds to a nonce: 130 bits in base 36, as Kafka's.
const NONCE_LEN: usize = 26;

/// What a frame of the login came to.
pub(super) struct Turn {
    /// Not after a failure among bare tokens, where only the end of the connection can tell.
    pub(super) answer: Option<Answer>,
    /// Who it is, when that has just been proved.
    pub(super) proved: Option<Principal>,
    /// Why the connection ends once the answer is out.
    pub(super) failure: Option<SaslFailure>,
}

/// A SaslHandshake or SaslAuthenticate whose turn it is.
pub(super) fn take(
    session: &mut SaslSession,
    users: &dyn SaslUsers,
    frame: Bytes,
    now_ms: i64,
) -> Result<Turn, Refusal> {
    let malformed = |error: DecodeError| Refusal::Malformed(error.to_string());
    let mut body = Decoder::new(frame);
    let header = header::decode_request_header(&mut body).map_err(malformed)?;
    let (id, version) = (header.correlation_id, header.request_api_version);
    let key = ApiKey::try_from(header.request_api_key)
        .map_err(|_| Refusal::UnknownApi(header.request_api_key))?;
    if key == ApiKey::SaslHandshake {
        let request = decode::<SaslHandshakeRequest>(&mut body, version)?;
        return handshake(session, &request, id, version, now_ms);
    }
    let request = decode::<SaslAuthenticateRequest>(&mut body, version)?;
    let outcome = session.token(&request.auth_bytes, users, &random_text(NONCE_LEN), now_ms);
    let (response, proved, failure) = match outcome {
        Ok(TokenAnswer::Challenge(token)) => (answer(token, 0), None, None),
        Ok(TokenAnswer::Proved {
            token,
            principal,
            lifetime_ms,
        }) => (answer(token, lifetime_ms), Some(principal), None),
        Err(failure) => {
            let response = SaslAuthenticateResponse {
                error_code: SaslFailure::CODE,
                error_message: Some(failure.message.clone()),
                ..SaslAuthenticateResponse::default()
            };
            (response, None, Some(failure))
        }
    };
    Ok(Turn {
        answer: Some(Answer::encode(id, key, version, &response)?),
        proved,
        failure,
    })
}

fn answer(auth_bytes: Bytes, session_lifetime_ms: i64) -> SaslAuthenticateResponse {
    SaslAuthenticateResponse {
        auth_bytes,
        session_lifetime_ms,
        ..SaslAuthenticateResponse::default()
    }
}

fn handshake(
    session: &mut SaslSession,
    request: &SaslHandshakeRequest,
    id: i32,
    version: i16,
    now_ms: i64,
) -> Result<Turn, Refusal> {
    let (enabled, begun) = session.handshake(&request.mechanism, version, now_ms);
    let response = SaslHandshakeResponse {
        error_code: match begun {
            Ok(()) => ErrorCode::NONE,
            Err(_) => ErrorCode::UNSUPPORTED_SASL_MECHANISM,
        },
        mechanisms: enabled.into_iter().map(str::to_owned).collect(),
    };
    Ok(Turn {
        answer: Some(Answer::encode(
            id,
            ApiKey::SaslHandshake,
            version,
            &response,
        )?),
        proved: None,
        failure: begun.err(),
    })
}

/// A token that comes without any request around it, after a handshake of version 0.
pub(super) fn take_bare(
    session: &mut SaslSession,
    users: &dyn SaslUsers,
    token: &Bytes,
    now_ms: i64,
) -> Turn {
    match session.token(token, users, &random_text(NONCE_LEN), now_ms) {
        Ok(TokenAnswer::Challenge(token)) => Turn {
            answer: Some(bare(&token)),
            proved: None,
            failure: None,
        },
        Ok(TokenAnswer::Proved {
            token, principal, ..
        }) => Turn {
            answer: Some(bare(&token)),
            proved: Some(principal),
            failure: None,
        },
        Err(failure) => Turn {
            answer: None,
            proved: None,
            failure: Some(failure),
        },
    }
}

/// A token with nothing but its size.
fn bare(token: &Bytes) -> Answer {
    let mut frame = BytesMut::with_capacity(header::FRAME_SIZE_LEN + token.len());
    frame.put_i32(i32::try_from(token.len()).unwrap_or(i32::MAX));
    frame.put_slice(token);
    Answer::from(vec![Part::Bytes(frame.freeze())])
}

/// What is told to a request that is out of order, where its kind can carry it in any state.
pub(super) fn out_of_order(frame: Bytes) -> Option<Answer> {
    let mut body = Decoder::new(frame);
    let header = header::decode_request_header(&mut body).ok()?;
    let (id, version) = (header.correlation_id, header.request_api_version);
    match ApiKey::try_from(header.request_api_key).ok()? {
        key @ ApiKey::SaslHandshake => {
            decode::<SaslHandshakeRequest>(&mut body, version).ok()?;
            let response = SaslHandshakeResponse {
                error_code: ErrorCode::ILLEGAL_SASL_STATE,
                ..SaslHandshakeResponse::default()
            };
            Answer::encode(id, key, version, &response).ok()
        }
        key @ ApiKey::ApiVersions => {
            decode::<ApiVersionsRequest>(&mut body, version).ok()?;
            let response = ApiVersionsResponse {
                error_code: ErrorCode::ILLEGAL_SASL_STATE,
                ..ApiVersionsResponse::default()
            };
            Answer::encode(id, key, version, &response).ok()
        }
        _ => None,
    }
}

fn decode<R: Request>(body: &mut Decoder, version: i16) -> Result<R, Refusal> {
    if !<R as Message>::supports(version) {
        let name = R::KEY.name();
        return Err(Refusal::UnknownVersion { name, version });
    }
    R::decode(body, version).map_err(|error| Refusal::Malformed(error.to_string()))
}
