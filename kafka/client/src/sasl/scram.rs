//! SCRAM, the client's side (RFC 5802, RFC 7677), as Kafka uses it: no channel binding, no
//! authorization id, no SASLprep (Kafka hashes the password's UTF-8 as it is).
//!
//! ```text
//! state         gets                    gives                     next
//! ScramClient   (start)                 client-first-message      ScramClient
//! ScramClient   server-first-message    -                         Challenge, or refused
//! Challenge     the password            client-final-message      ServerCheck
//! ServerCheck   server-final-message    -                         done, or refused
//! ```
//! Pure: the nonce comes in. A server that does not prove that it knows the password is refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Fewest iterations that a server may ask for (RFC 7677 section 4): fewer make the proof cheap to
/// guess the password from.
pub const ITERATIONS_MIN: u32 = 4096;

/// Most iterations that a server may ask for: about a second of work, and no more, for a peer that
/// has proved nothing yet.
pub const ITERATIONS_MAX: u32 = 1_000_000;

/// Longest salt and nonce taken from a server, in characters.
const TEXT_LEN_MAX: usize = 1024;

/// The header of the first message: no channel binding, no authorization id.
const GS2_HEADER: &str = "n,,";

/// The two hashes that Kafka has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScramHash {
    Sha256,
    Sha512,
}

impl ScramHash {
    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => keyed::<Hmac<Sha256>>(key, data),
            Self::Sha512 => keyed::<Hmac<Sha512>>(key, data),
        }
    }

    /// RFC 5802's `Hi()`: the slow part.
    fn salted_password(self, password: &[u8], salt: &[u8], iterations: u32) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Sha256 => {
                let mut out = Zeroizing::new(vec![0; 32]);
                pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut out);
                out
            }
            Self::Sha512 => {
                let mut out = Zeroizing::new(vec![0; 64]);
                pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut out);
                out
            }
        }
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("an HMAC takes a key of any length");
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

/// Why an exchange was given up. None of these says anything about the password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    #[error("the server's message is not SCRAM")]
    Malformed,
    #[error("the server asks for an extension that is not known here")]
    Extension,
    #[error("the server's nonce does not go on from ours")]
    Nonce,
    #[error("the server asks for {0} iterations, allowed are {ITERATIONS_MIN} to {ITERATIONS_MAX}")]
    Iterations(u64),
    #[error("the server refused: {0}")]
    Refused(String),
    #[error("the server did not prove that it knows the password")]
    ServerSignature,
}

/// The first state: the user's name is said, nothing else.
#[derive(Debug)]
pub(crate) struct ScramClient {
    hash: ScramHash,
    nonce: String,
    bare: String,
}

impl ScramClient {
    /// `nonce` is printable, without commas, and never used twice.
    pub(crate) fn new(hash: ScramHash, username: &str, nonce: String) -> Self {
        let name = username.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={name},r={nonce}");
        Self { hash, nonce, bare }
    }

    pub(crate) fn first_message(&self) -> String {
        format!("{GS2_HEADER}{}", self.bare)
    }

    /// Reads `r=…,s=…,i=…`; further attributes are extensions that may be passed over.
    pub(crate) fn challenge(self, server_first: &[u8]) -> Result<Challenge, ScramError> {
        let text = std::str::from_utf8(server_first).map_err(|_| ScramError::Malformed)?;
        if text.starts_with("m=") {
            return Err(ScramError::Extension);
        }
        let mut fields = text.split(',');
        let nonce = field(fields.next(), "r=")?;
        let salt = field(fields.next(), "s=")?;
        let count = field(fields.next(), "i=")?;
        let goes_on = nonce.starts_with(&self.nonce) && nonce.len() > self.nonce.len();
        if !goes_on || nonce.len() > TEXT_LEN_MAX {
            return Err(ScramError::Nonce);
        }
        let salt = BASE64.decode(salt).map_err(|_| ScramError::Malformed)?;
        if salt.is_empty() || salt.len() > TEXT_LEN_MAX {
            return Err(ScramError::Malformed);
        }
        let iterations: u64 = count.parse().map_err(|_| ScramError::Malformed)?;
        let allowed = u32::try_from(iterations)
            .ok()
            .filter(|count| (ITERATIONS_MIN..=ITERATIONS_MAX).contains(count));
        let unproved = format!("c={},r={nonce}", BASE64.encode(GS2_HEADER));
        Ok(Challenge {
            hash: self.hash,
            salt,
            iterations: allowed.ok_or(ScramError::Iterations(iterations))?,
            auth_message: format!("{},{text},{unproved}", self.bare),
            unproved,
        })
    }
}

fn field<'a>(text: Option<&'a str>, prefix: &str) -> Result<&'a str, ScramError> {
    text.and_then(|text| text.strip_prefix(prefix))
        .ok_or(ScramError::Malformed)
}

/// The second state: what the server asked for.
#[derive(Debug)]
pub(crate) struct Challenge {
    hash: ScramHash,
    salt: Vec<u8>,
    iterations: u32,
    auth_message: String,
    unproved: String,
}

impl Challenge {
    /// The client-final-message and what the server must answer. Takes up to a second of CPU: not
    /// for a thread of the runtime.
    pub(crate) fn answer(&self, password: &Secret) -> (String, ServerCheck) {
        let hash = self.hash;
        let password = password.expose().as_bytes();
        let salted = hash.salted_password(password, &self.salt, self.iterations);
        let client_key = Zeroizing::new(hash.hmac(&salted, b"Client Key"));
        let stored_key = hash.digest(&client_key);
        let signature = hash.hmac(&stored_key, self.auth_message.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(&signature)
            .map(|(a, b)| a ^ b)
            .collect();
        let server_key = Zeroizing::new(hash.hmac(&salted, b"Server Key"));
        let expected = hash.hmac(&server_key, self.auth_message.as_bytes());
        let message = format!("{},p={}", self.unproved, BASE64.encode(proof));
        (message, ServerCheck { expected })
    }
}

/// The last state: the server's proof is due.
#[derive(Debug)]
pub(crate) struct ServerCheck {
    expected: Vec<u8>,
}

impl ServerCheck {
    pub(crate) fn verify(&self, server_final: &[u8]) -> Result<(), ScramError> {
        let text = std::str::from_utf8(server_final).map_err(|_| ScramError::Malformed)?;
        let first = text.split(',').next().unwrap_or_default();
        if let Some(error) = first.strip_prefix("e=") {
            return Err(ScramError::Refused(error.chars().take(200).collect()));
        }
        let signature = field(Some(first), "v=")?;
        let signature = BASE64
            .decode(signature)
            .map_err(|_| ScramError::Malformed)?;
        // In constant time, so that no one learns the expected bytes one by one.
        if bool::from(signature.ct_eq(&self.expected)) {
            Ok(())
        } else {
            Err(ScramError::ServerSignature)
        }
    }
}

#[cfg(test)]
mod tests;
