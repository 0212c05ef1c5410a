//! SaslHandshake (17), versions 0–1.
//!
//! The handshakes that begin a login are taken up by the connection itself, before any handler
//! (`server/dialog.rs`). What comes here is out of place: the listener has no SASL, or the client is
//! in already and its session does not end. It is told so and goes on.

use super::{Call, Reply, Serve};
use isthmus_wire::messages::{SaslHandshakeRequest, SaslHandshakeResponse};
use isthmus_wire::{ErrorCode, VersionRange};

pub(crate) struct SaslHandshake;

impl Serve for SaslHandshake {
    type Request = SaslHandshakeRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 1 };

    async fn serve(_: Call<'_>, _: SaslHandshakeRequest) -> Reply<SaslHandshakeResponse> {
        Reply::Now(SaslHandshakeResponse {
            error_code: ErrorCode::ILLEGAL_SASL_STATE,
            mechanisms: Vec::new(),
        })
    }
}
