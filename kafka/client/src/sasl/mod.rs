//! SASL over Kafka's requests: SaslHandshake, then SaslAuthenticate until both sides are content.
//!
//! Owns: the mechanisms and the lifetime of a session (KIP-368). Must not know: sockets; the two
//! requests go out through an [`Exchange`], which a connection gives. The form from before Kafka 1.0,
//! where tokens travel without a Kafka header, is not spoken.

mod scram;

use std::future::Future;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use bytes::Bytes;
use isthmus_wire::ErrorCode;
use isthmus_wire::codec::Request;
use isthmus_wire::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use zeroize::Zeroizing;

use scram::{Challenge, ScramClient, ScramHash, ServerCheck};
pub use scram::{ITERATIONS_MAX, ITERATIONS_MIN, ScramError};

use crate::connection::CallError;
use crate::secret::{Secret, SecretError, SecretSource};

/// How a client authenticates.
#[derive(Clone, Debug)]
pub struct SaslConfig {
    pub mechanism: SaslMechanism,
    pub username: String,
    pub password: SecretSource,
}

/// The mechanisms served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SaslMechanism {
    /// The password as it is: only under TLS.
    Plain,
    ScramSha256,
    ScramSha512,
}

impl SaslMechanism {
    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl std::str::FromStr for SaslMechanism {
    type Err = UnknownMechanism;

    fn from_str(name: &str) -> Result<Self, UnknownMechanism> {
        let all = [Self::Plain, Self::ScramSha256, Self::ScramSha512];
        let found = all.into_iter().find(|mechanism| mechanism.name() == name);
        found.ok_or_else(|| UnknownMechanism {
            name: name.to_owned(),
        })
    }
}

/// A mechanism that is not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512")]
pub struct UnknownMechanism {
    name: String,
}

/// Why authentication failed.
#[derive(Debug, thiserror::Error)]
pub enum SaslError {
    #[error("the broker does not offer {mechanism}; it offers {offered:?}")]
    NotOffered {
        mechanism: &'static str,
        offered: Vec<String>,
    },
    #[error("the broker answered {code}: {message}")]
    Refused { code: ErrorCode, message: String },
    #[error("{0}")]
    Scram(#[from] ScramError),
    #[error("{0}")]
    Password(#[from] SecretError),
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("the computation of the proof was stopped")]
    Stopped,
}

impl SaslError {
    /// Whether the broker refused these credentials, so that trying again soon is of no use.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::NotOffered { .. } | Self::Scram(_) | Self::Password(_) => true,
            Self::Refused { code, .. } => !code.is_retriable(),
            Self::Call(_) | Self::Stopped => false,
        }
    }
}

/// Sends one request and waits for its answer, in the highest version up to `version_max`.
pub(crate) trait Exchange: Sync {
    fn exchange<R: Request>(
        &self,
        request: &R,
        version_max: i16,
    ) -> impl Future<Output = Result<R::Response, CallError>> + Send;
}

/// Authenticates; returns how long the broker lets the session live, if it says so.
pub(crate) async fn authenticate<E: Exchange>(
    exchange: &E,
    config: &SaslConfig,
) -> Result<Option<Duration>, SaslError> {
    let password = config.password.read().await?;
    handshake(exchange, config.mechanism).await?;
    match config.mechanism {
        SaslMechanism::Plain => plain(exchange, &config.username, &password).await,
        SaslMechanism::ScramSha256 => {
            scram(exchange, ScramHash::Sha256, &config.username, password).await
        }
        SaslMechanism::ScramSha512 => {
            scram(exchange, ScramHash::Sha512, &config.username, password).await
        }
    }
}

async fn handshake<E: Exchange>(exchange: &E, mechanism: SaslMechanism) -> Result<(), SaslError> {
    let request = SaslHandshakeRequest {
        mechanism: mechanism.name().to_owned(),
    };
    let response = exchange.exchange(&request, i16::MAX).await?;
    match response.error_code {
        ErrorCode::NONE => Ok(()),
        ErrorCode::UNSUPPORTED_SASL_MECHANISM => Err(SaslError::NotOffered {
            mechanism: mechanism.name(),
            offered: response.mechanisms,
        }),
        code => Err(SaslError::Refused {
            code,
            message: "at the handshake".to_owned(),
        }),
    }
}

/// RFC 4616: no authorization id, the name, the password.
async fn plain<E: Exchange>(
    exchange: &E,
    username: &str,
    password: &Secret,
) -> Result<Option<Duration>, SaslError> {
    let text = Zeroizing::new(format!("\0{username}\0{}", password.expose()));
    let (_, lifetime) = step(exchange, Bytes::copy_from_slice(text.as_bytes())).await?;
    Ok(lifetime)
}

async fn scram<E: Exchange>(
    exchange: &E,
    hash: ScramHash,
    username: &str,
    password: Secret,
) -> Result<Option<Duration>, SaslError> {
    let client = ScramClient::new(hash, username, nonce());
    let (server_first, _) = step(exchange, client.first_message().into()).await?;
    let challenge = client.challenge(&server_first)?;
    let (message, check) = answer(challenge, password).await?;
    let (server_final, lifetime) = step(exchange, message.into()).await?;
    check.verify(&server_final)?;
    Ok(lifetime)
}

/// The proof takes thousands of hashes: off the runtime.
async fn answer(
    challenge: Challenge,
    password: Secret,
) -> Result<(String, ServerCheck), SaslError> {
    let work = tokio::task::spawn_blocking(move || challenge.answer(&password));
    work.await.map_err(|_| SaslError::Stopped)
}

async fn step<E: Exchange>(
    exchange: &E,
    auth_bytes: Bytes,
) -> Result<(Bytes, Option<Duration>), SaslError> {
    let request = SaslAuthenticateRequest { auth_bytes };
    let response = exchange.exchange(&request, i16::MAX).await?;
    if response.error_code.is_error() {
        let message = response.error_message.unwrap_or_default();
        return Err(SaslError::Refused {
            code: response.error_code,
            message,
        });
    }
    let lifetime = u64::try_from(response.session_lifetime_ms)
        .ok()
        .filter(|&ms| ms > 0);
    Ok((response.auth_bytes, lifetime.map(Duration::from_millis)))
}

/// 144 random bits, as RFC 5802 leaves to the client.
///
/// # Panics
/// If the operating system has no random bytes.
fn nonce() -> String {
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    BASE64.encode(bytes)
}
