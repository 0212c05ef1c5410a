//! Who may say what while a connection authenticates itself, and again later (KIP-43, KIP-152,
//! KIP-368).
//!
//! ```text
//! state    gets                     gives                              next
//! Silent   ApiVersions              its answer                         Silent
//!          SaslHandshake            the enabled mechanisms             Named, or ended
//! Named    a token                  a challenge                        Named
//!          the last token           the server's proof, a lifetime     Done
//! Done     SaslHandshake            (only where sessions end)          Named, again
//!          any other request        goes to its handler, until the session has ended
//! ```
//! After a handshake of version 0 tokens come bare; from version 1 on within SaslAuthenticate.
//! What does not fit ends the connection. Kafka ends it at a second ApiVersions too; here that is
//! answered, since it costs nothing.
//!
//! Pure: the time, the nonce and whoever knows the passwords come in.

use super::plain::{PlainMessage, PlainRefusal};
use super::scram::{ClientFirst, Exchange, ScramRefusal};
use super::{Principal, ScramCredential, ScramMechanism};
use bytes::Bytes;
use isthmus_wire::{ApiKey, ErrorCode};
use std::fmt;
use std::sync::Arc;

/// Two re-authentications of one connection are at least this far apart, as in Kafka.
const REAUTHENTICATION_INTERVAL_MS: i64 = 1_000;

/// How a client may prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SaslMechanism {
    Plain,
    Scram(ScramMechanism),
}

impl SaslMechanism {
    pub const ALL: [Self; 3] = [
        Self::Plain,
        Self::Scram(ScramMechanism::Sha256),
        Self::Scram(ScramMechanism::Sha512),
    ];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram(mechanism) => mechanism.name(),
        }
    }
}

impl fmt::Display for SaslMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a listener demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslRules {
    pub mechanisms: Vec<SaslMechanism>,
    /// `connections.max.reauth.ms`: after this long a client must prove itself again; `None` never.
    pub session_lifetime_ms: Option<i64>,
}

/// Whoever knows the passwords.
pub trait SaslUsers {
    fn plain_password_is(&self, user: &str, password: &[u8]) -> bool;
    fn scram_credential(&self, user: &str, mechanism: ScramMechanism) -> Option<ScramCredential>;
    /// The server's own secret, from which decoys are made.
    fn secret(&self) -> &[u8];
}

/// One connection's standing.
#[derive(Debug)]
pub struct SaslSession {
    rules: Arc<SaslRules>,
    state: State,
    /// Who this was before it began to prove itself again.
    before: Option<Proved>,
    reauthentication_began_ms: Option<i64>,
}

#[derive(Debug)]
enum State {
    Silent,
    Named {
        mechanism: SaslMechanism,
        bare_tokens: bool,
        step: Step,
    },
    Done(Proved),
    /// Nobody came in by what was named, if anything was.
    Ended(Option<SaslMechanism>),
}

#[derive(Debug)]
enum Step {
    First,
    Proof {
        user: String,
        exchange: Box<Exchange>,
    },
}

#[derive(Debug, Clone)]
struct Proved {
    principal: Principal,
    mechanism: SaslMechanism,
    ends_ms: Option<i64>,
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It goes to the handler of its kind.
    Handler,
    /// It is part of the dialog: [`SaslSession::handshake`] or [`SaslSession::token`].
    Dialog,
    /// The connection ends; where its kind can say so, the answer is ILLEGAL_SASL_STATE.
    OutOfOrder,
    /// The connection ends: the client let its session end.
    SessionEnded,
}

/// The answer to a token.
#[derive(Debug, PartialEq, Eq)]
pub enum TokenAnswer {
    Challenge(Bytes),
    Proved {
        token: Bytes,
        principal: Principal,
        lifetime_ms: i64,
    },
}

/// Why somebody was not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslFailure {
    /// What the client is told, in Kafka's words.
    pub message: String,
    /// What the operator is told.
    pub reason: String,
    pub user: Option<String>,
}

impl SaslSession {
    pub fn new(rules: Arc<SaslRules>) -> Self {
        Self {
            rules,
            state: State::Silent,
            before: None,
            reauthentication_began_ms: None,
        }
    }

    /// The mechanism that was named last.
    pub fn mechanism(&self) -> Option<SaslMechanism> {
        match &self.state {
            State::Named { mechanism, .. } => Some(*mechanism),
            State::Done(proved) => Some(proved.mechanism),
            State::Ended(mechanism) => *mechanism,
            State::Silent => None,
        }
    }

    /// Whether the next frame is a token and nothing else.
    pub fn expects_bare_token(&self) -> bool {
        matches!(
            self.state,
            State::Named {
                bare_tokens: true,
                ..
            }
        )
    }

    pub fn admits(&self, api: ApiKey, now_ms: i64) -> Admission {
        match &self.state {
            State::Silent if api == ApiKey::ApiVersions => Admission::Handler,
            State::Silent if api == ApiKey::SaslHandshake => Admission::Dialog,
            State::Named { .. } if api == ApiKey::SaslAuthenticate => Admission::Dialog,
            State::Silent | State::Named { .. } | State::Ended(_) => Admission::OutOfOrder,
            State::Done(proved) => {
                if api == ApiKey::SaslHandshake && self.may_prove_again(proved, now_ms) {
                    Admission::Dialog
                } else if proved.ends_ms.is_some_and(|ends_ms| ends_ms <= now_ms) {
                    Admission::SessionEnded
                } else {
                    Admission::Handler
                }
            }
        }
    }

    fn may_prove_again(&self, proved: &Proved, now_ms: i64) -> bool {
        let too_soon = |began_ms: i64| now_ms - began_ms < REAUTHENTICATION_INTERVAL_MS;
        proved.ends_ms.is_some() && !self.reauthentication_began_ms.is_some_and(too_soon)
    }

    /// The names of the enabled mechanisms, and with an error the end of the connection.
    pub fn handshake(
        &mut self,
        name: &str,
        version: i16,
        now_ms: i64,
    ) -> (Vec<&'static str>, Result<(), SaslFailure>) {
        let enabled: Vec<&str> = self.rules.mechanisms.iter().map(|it| it.name()).collect();
        let found = SaslMechanism::from_name(name);
        let found = found.filter(|mechanism| self.rules.mechanisms.contains(mechanism));
        let Some(mechanism) = found else {
            self.state = State::Ended(None);
            let text: String = name.chars().take(64).collect();
            let reason = format!("the mechanism {text:?} is not enabled");
            return (enabled, Err(SaslFailure::told(reason, None)));
        };
        let next = State::Named {
            mechanism,
            bare_tokens: version == 0,
            step: Step::First,
        };
        if let State::Done(proved) = std::mem::replace(&mut self.state, next) {
            self.before = Some(proved);
            self.reauthentication_began_ms = Some(now_ms);
        }
        (enabled, Ok(()))
    }

    /// One token; an error ends the connection.
    pub fn token(
        &mut self,
        token: &[u8],
        users: &dyn SaslUsers,
        nonce: &str,
        now_ms: i64,
    ) -> Result<TokenAnswer, SaslFailure> {
        let State::Named {
            mechanism,
            bare_tokens,
            step,
        } = std::mem::replace(&mut self.state, State::Ended(None))
        else {
            let reason = "a token came before the handshake".to_owned();
            return Err(SaslFailure::told(reason, None));
        };
        self.state = State::Ended(Some(mechanism));
        if let Some(before) = self.before.as_ref().filter(|it| it.mechanism != mechanism) {
            let message = format!(
                "SASL mechanism '{mechanism}' requested by client is not supported for re-authentication of mechanism '{}'",
                before.mechanism
            );
            return Err(SaslFailure::told(message, None));
        }
        match (mechanism, step) {
            (SaslMechanism::Plain, _) => {
                let user = plain(token, users)?;
                self.proved(mechanism, user, Bytes::new(), now_ms)
            }
            (SaslMechanism::Scram(hash), Step::First) => {
                let first = ClientFirst::read(token)
                    .map_err(|refusal| self.scram_refused(mechanism, refusal, None))?;
                let (user, known) = (
                    first.user.clone(),
                    users.scram_credential(&first.user, hash),
                );
                let (challenge, exchange) = first.challenge(hash, known, nonce, users.secret());
                self.state = State::Named {
                    mechanism,
                    bare_tokens,
                    step: Step::Proof {
                        user,
                        exchange: Box::new(exchange),
                    },
                };
                Ok(TokenAnswer::Challenge(challenge.into()))
            }
            (SaslMechanism::Scram(_), Step::Proof { user, exchange }) => {
                let proof = exchange
                    .verify(token)
                    .map_err(|refusal| self.scram_refused(mechanism, refusal, Some(&user)))?;
                self.proved(mechanism, user, proof.into(), now_ms)
            }
        }
    }

    fn scram_refused(
        &self,
        mechanism: SaslMechanism,
        refusal: ScramRefusal,
        user: Option<&str>,
    ) -> SaslFailure {
        let message = match refusal {
            ScramRefusal::AuthorizationId => PlainRefusal::AuthorizationId.to_string(),
            ScramRefusal::Malformed
            | ScramRefusal::Token
            | ScramRefusal::OtherExchange
            | ScramRefusal::UnknownUser
            | ScramRefusal::WrongPassword => {
                let act = match self.before {
                    Some(_) => "re-authentication",
                    None => "authentication",
                };
                format!(
                    "Authentication failed during {act} due to invalid credentials with SASL mechanism {mechanism}"
                )
            }
        };
        SaslFailure {
            message,
            reason: refusal.to_string(),
            user: user.map(str::to_owned),
        }
    }

    fn proved(
        &mut self,
        mechanism: SaslMechanism,
        user: String,
        token: Bytes,
        now_ms: i64,
    ) -> Result<TokenAnswer, SaslFailure> {
        let principal = Principal::user(user);
        if let Some(before) = self.before.take_if(|it| it.principal != principal) {
            let was = before.principal;
            let message = format!(
                "Cannot change principals during re-authentication from {}.{}: {}.{}",
                was.kind, was.name, principal.kind, principal.name
            );
            return Err(SaslFailure::told(message, Some(principal.name)));
        }
        self.before = None;
        let lifetime_ms = self.rules.session_lifetime_ms;
        self.state = State::Done(Proved {
            principal: principal.clone(),
            mechanism,
            ends_ms: lifetime_ms.map(|lifetime| now_ms.saturating_add(lifetime)),
        });
        Ok(TokenAnswer::Proved {
            token,
            principal,
            lifetime_ms: lifetime_ms.unwrap_or(0),
        })
    }
}

fn plain(token: &[u8], users: &dyn SaslUsers) -> Result<String, SaslFailure> {
    let message = PlainMessage::read(token)
        .map_err(|refusal| SaslFailure::told(refusal.to_string(), None))?;
    let user = message.user.to_owned();
    if !users.plain_password_is(&user, message.password) {
        let words = "Authentication failed: Invalid username or password".to_owned();
        return Err(SaslFailure::told(words, Some(user)));
    }
    match message.check_authorization_id() {
        Ok(()) => Ok(user),
        Err(refusal) => Err(SaslFailure::told(refusal.to_string(), Some(user))),
    }
}

impl SaslFailure {
    /// A failure whose cause the client may know.
    fn told(message: String, user: Option<String>) -> Self {
        Self {
            reason: message.clone(),
            message,
            user,
        }
    }

    /// The code that SaslAuthenticate carries.
    pub const CODE: ErrorCode = ErrorCode::SASL_AUTHENTICATION_FAILED;
}

#[cfg(test)]
mod tests;
