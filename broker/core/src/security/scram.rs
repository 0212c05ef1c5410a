//! SCRAM, the server's side (RFC 5802, RFC 7677), as Kafka uses it: no channel binding, and no
//! SASLprep, since Kafka hashes a password's UTF-8 as it is.
//!
//! ```text
//! state        gets                    gives                    next
//! ClientFirst  client-first-message    server-first-message     Exchange, or refused
//! Exchange     client-final-message    server-final-message     done, or refused
//! ```
//! Pure: the nonce comes in. Who is not known goes through the same exchange with a decoy that is
//! always the same for one name, so that neither steps nor answers tell which users exist.
//!
//! Kafka passes over a mandatory extension (`m=`) and a wrong `c=`; here both are refused, as the
//! RFC demands. No client sends either.

use super::scram_users::{ScramCredential, ScramMechanism};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// The iterations of a decoy: what Kafka's tools give a user when nobody says otherwise.
const DECOY_ITERATIONS: i32 = 4096;

/// Kafka's tools make salts of this many digits in base 36; a decoy's must look the same.
const DECOY_SALT_LEN: usize = 25;

/// Why an exchange ended. Only the authorization id is told to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScramRefusal {
    #[error("the message is not SCRAM")]
    Malformed,
    #[error("the authorization id is not the user")]
    AuthorizationId,
    #[error("the client logs in by a delegation token")]
    Token,
    #[error("the nonce or the channel binding is not that of this exchange")]
    OtherExchange,
    #[error("there is no such user")]
    UnknownUser,
    #[error("the password is wrong")]
    WrongPassword,
}

/// The first message of a client, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientFirst {
    pub(super) user: String,
    nonce: String,
    /// What stands before the bare message; it comes back in the last one.
    gs2_header: String,
    bare: String,
}

/// An exchange whose proof is due.
#[derive(Debug)]
pub(super) struct Exchange {
    mechanism: ScramMechanism,
    credential: ScramCredential,
    is_known: bool,
    gs2_header: String,
    nonce: String,
    /// The first two messages, as they enter the proof.
    begun: String,
}

impl ClientFirst {
    /// `n,[a=authzid],n=user,r=nonce[,extensions]`
    pub(super) fn read(message: &[u8]) -> Result<Self, ScramRefusal> {
        let text = std::str::from_utf8(message).map_err(|_| ScramRefusal::Malformed)?;
        let rest = text.strip_prefix("n,").ok_or(ScramRefusal::Malformed)?;
        let (authzid, bare) = rest.split_once(',').ok_or(ScramRefusal::Malformed)?;
        let mut fields = bare.split(',');
        let user = saslname(field(fields.next(), "n=")?)?;
        let nonce = field(fields.next(), "r=")?;
        if user.is_empty() || nonce.is_empty() {
            return Err(ScramRefusal::Malformed);
        }
        if fields.any(|extension| extension.eq_ignore_ascii_case("tokenauth=true")) {
            return Err(ScramRefusal::Token);
        }
        let authzid = match authzid {
            "" => String::new(),
            given => saslname(field(Some(given), "a=")?)?,
        };
        if !authzid.is_empty() && authzid != user {
            return Err(ScramRefusal::AuthorizationId);
        }
        Ok(Self {
            gs2_header: text[..text.len() - bare.len()].to_owned(),
            nonce: nonce.to_owned(),
            bare: bare.to_owned(),
            user,
        })
    }

    /// The challenge. `nonce` is printable, without commas, and never used twice; `secret` is the
    /// server's own and makes the decoy of a user without a credential.
    pub(super) fn challenge(
        self,
        mechanism: ScramMechanism,
        credential: Option<ScramCredential>,
        nonce: &str,
        secret: &[u8],
    ) -> (String, Exchange) {
        let is_known = credential.is_some();
        let credential = credential.unwrap_or_else(|| decoy(mechanism, &self.user, secret));
        let nonce = format!("{}{nonce}", self.nonce);
        let salt = BASE64.encode(&credential.salt);
        let message = format!("r={nonce},s={salt},i={}", credential.iterations);
        let exchange = Exchange {
            mechanism,
            credential,
            is_known,
            gs2_header: self.gs2_header,
            nonce,
            begun: format!("{},{message}", self.bare),
        };
        (message, exchange)
    }
}

impl Exchange {
    /// Checks the proof of `c=…,r=…[,extensions],p=…`; what comes back proves the server's side.
    pub(super) fn verify(self, message: &[u8]) -> Result<String, ScramRefusal> {
        let text = std::str::from_utf8(message).map_err(|_| ScramRefusal::Malformed)?;
        let (unproved, proof) = text.rsplit_once(",p=").ok_or(ScramRefusal::Malformed)?;
        let mut fields = unproved.split(',');
        let binding = field(fields.next(), "c=")?;
        let nonce = field(fields.next(), "r=")?;
        // Kafka asks for the end only, and librdkafka before 2.6 relies on it: it says its own
        // part twice. The proof covers what was said.
        if !nonce.ends_with(&self.nonce) || binding != BASE64.encode(&self.gs2_header) {
            return Err(ScramRefusal::OtherExchange);
        }
        let proof = BASE64.decode(proof).map_err(|_| ScramRefusal::Malformed)?;
        let signed = format!("{},{unproved}", self.begun);
        let signature = hmac(
            self.mechanism,
            &self.credential.stored_key,
            signed.as_bytes(),
        );
        if proof.len() != signature.len() {
            return Err(ScramRefusal::Malformed);
        }
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        // In constant time, so that no one learns the key byte by byte.
        let is_right =
            bool::from(digest(self.mechanism, &client_key).ct_eq(&self.credential.stored_key));
        match (self.is_known, is_right) {
            (true, true) => {}
            (true, false) => return Err(ScramRefusal::WrongPassword),
            (false, _) => return Err(ScramRefusal::UnknownUser),
        }
        let proof = hmac(
            self.mechanism,
            &self.credential.server_key,
            signed.as_bytes(),
        );
        Ok(format!("v={}", BASE64.encode(proof)))
    }
}

fn field<'a>(text: Option<&'a str>, prefix: &str) -> Result<&'a str, ScramRefusal> {
    text.and_then(|text| text.strip_prefix(prefix))
        .ok_or(ScramRefusal::Malformed)
}

/// In a name `,` stands as `=2C` and `=` as `=3D`; any other `=` is a mistake.
fn saslname(text: &str) -> Result<String, ScramRefusal> {
    let plain = text.replace("=2C", ",");
    let stray = plain.replace("=3D", "").contains('=');
    if stray {
        return Err(ScramRefusal::Malformed);
    }
    Ok(plain.replace("=3D", "="))
}

/// The credential of a user that does not exist: always the same, and no password fits it.
fn decoy(mechanism: ScramMechanism, user: &str, secret: &[u8]) -> ScramCredential {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let seed = |what: &str| hmac(mechanism, secret, format!("{what} {user}").as_bytes());
    let salt = seed("salt");
    let salt = salt
        .iter()
        .take(DECOY_SALT_LEN)
        .map(|byte| DIGITS[usize::from(*byte) % DIGITS.len()]);
    ScramCredential {
        salt: salt.collect::<Vec<u8>>().into(),
        stored_key: Bytes::from(seed("stored key")),
        server_key: Bytes::from(seed("server key")),
        iterations: DECOY_ITERATIONS,
    }
}

fn digest(mechanism: ScramMechanism, data: &[u8]) -> Vec<u8> {
    match mechanism {
        ScramMechanism::Sha256 => Sha256::digest(data).to_vec(),
        ScramMechanism::Sha512 => Sha512::digest(data).to_vec(),
    }
}

fn hmac(mechanism: ScramMechanism, key: &[u8], data: &[u8]) -> Vec<u8> {
    match mechanism {
        ScramMechanism::Sha256 => keyed::<Hmac<Sha256>>(key, data),
        ScramMechanism::Sha512 => keyed::<Hmac<Sha512>>(key, data),
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("an HMAC takes a key of any length");
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests;
