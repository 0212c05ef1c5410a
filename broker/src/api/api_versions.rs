//! ApiVersions (18), versions 0–4.
//!
//! Always answered with response header 0, at any version (the codec's table says so). An unknown
//! version gets a version 0 body with UNSUPPORTED_VERSION and the ranges, so that a client can
//! come down (KIP-511): closing the socket makes clients loop (pitfall 1).
//!
//! Versions: 3 brings the client's name and version, which must be well-formed; 4 allows features
//! whose lowest version is 0.

use super::{APIS, Answer, Call, Outcome, Refusal, Reply, Serve};
use crate::broker::Broker;
use crate::settings::ListenerKind;
use isthmus_wire::messages::api_versions_response::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use isthmus_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use isthmus_wire::{ApiKey, ErrorCode, VersionRange};

pub(super) struct ApiVersions;

impl Serve for ApiVersions {
    type Request = ApiVersionsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 0, max: 4 };

    async fn serve(call: Call<'_>, request: ApiVersionsRequest) -> Reply<ApiVersionsResponse> {
        let named = [
            &request.client_software_name,
            &request.client_software_version,
        ];
        if call.version() >= 3 && !named.into_iter().all(|name| is_client_word(name)) {
            return Reply::Now(ApiVersionsResponse {
                error_code: ErrorCode::INVALID_REQUEST,
                ..ApiVersionsResponse::default()
            });
        }
        Reply::Now(ranges(call.broker, call.caller.listener.kind))
    }
}

/// The answer to a version this broker does not know.
pub(super) fn unsupported(
    broker: &Broker,
    kind: ListenerKind,
    correlation_id: i32,
) -> Result<Outcome, Refusal> {
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION,
        api_keys: ranges(broker, kind).api_keys,
        ..ApiVersionsResponse::default()
    };
    Answer::encode(correlation_id, ApiKey::ApiVersions, 0, &response).map(Outcome::Answer)
}

fn ranges(broker: &Broker, kind: ListenerKind) -> ApiVersionsResponse {
    let served = APIS.iter().filter(|api| api.is_on(kind));
    let api_keys = served.map(|api| ApiVersion {
        api_key: api.key as i16,
        min_version: api.advertised.min,
        max_version: api.advertised.max,
    });
    let image = broker.image();
    let finalized = image
        .features()
        .iter()
        .map(|(name, &level)| FinalizedFeatureKey {
            name: name.clone(),
            max_version_level: level,
            min_version_level: level,
        });
    let supported = crate::features::SUPPORTED
        .iter()
        .map(|feature| SupportedFeatureKey {
            name: feature.name.to_owned(),
            min_version: feature.min,
            max_version: feature.max,
        });
    ApiVersionsResponse {
        api_keys: api_keys.collect(),
        supported_features: supported.collect(),
        finalized_features_epoch: image.offset,
        finalized_features: finalized.collect(),
        ..ApiVersionsResponse::default()
    }
}

/// KIP-511: letters, digits, `.` and `-`, beginning and ending with a letter or digit.
fn is_client_word(word: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = word.as_bytes();
    bytes.iter().copied().all(inner) && edge(bytes.first()) && edge(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::is_client_word;

    #[test]
    fn client_words() {
        for good in ["librdkafka", "apache-kafka-java", "2.12.1", "a"] {
            assert!(is_client_word(good), "{good}");
        }
        for bad in ["", "-a", "a.", "a b", "ä"] {
            assert!(!is_client_word(bad), "{bad}");
        }
    }
}
