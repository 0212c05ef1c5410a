//! SaslAuthenticate (36), versions 0–2.
//!
//! The tokens of a login are taken up by the connection itself, before any handler
//! (`server/dialog.rs`). What comes here is out of place, as with SaslHandshake.

use super::{Call, Reply, Serve};
use isthmus_wire::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use isthmus_wire::{ErrorCode, VersionRange};

pub(crate) struct SaslAuthenticate;

impl Serve for SaslAuthenticate {
    type Request = SaslAuthenticateRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 2 };

    async fn serve(_: Call<'_>, _: SaslAuthenticateRequest) -> Reply<SaslAuthenticateResponse> {
        let words = "SaslAuthenticate request received after successful authentication";
        Reply::Now(SaslAuthenticateResponse {
            error_code: ErrorCode::ILLEGAL_SASL_STATE,
            error_message: Some(words.to_owned()),
            ..SaslAuthenticateResponse::default()
        })
    }
}
