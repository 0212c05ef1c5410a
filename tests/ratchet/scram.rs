//! SCRAM from the client's side (RFC 5802, RFC 7677), written for these tests alone: the logins of
//! the suite must not share a fault with our own client.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

/// The header of the first message: no channel binding, no authorization id.
const HEADER: &str = "n,,";

/// The two mechanisms, by the numbers that Kafka's requests give them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scram {
    Sha256 = 1,
    Sha512 = 2,
}

impl Scram {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "SCRAM-SHA-256" => Some(Self::Sha256),
            "SCRAM-SHA-512" => Some(Self::Sha512),
            _ => None,
        }
    }

    pub(crate) fn salted(self, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
        let mut out = vec![0; self.digest(&[]).len()];
        let password = password.as_bytes();
        match self {
            Self::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut out),
            Self::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut out),
        }
        out
    }

    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    fn keyed(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => keyed::<Hmac<Sha256>>(key, data),
            Self::Sha512 => keyed::<Hmac<Sha512>>(key, data),
        }
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).unwrap();
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

/// A login under way.
pub(crate) struct Dialog<'a> {
    pub(crate) mechanism: Scram,
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    pub(crate) nonce: &'a str,
}

impl Dialog<'_> {
    fn bare(&self) -> String {
        format!("n={},r={}", self.user, self.nonce)
    }

    /// client-first-message.
    pub(crate) fn first(&self) -> String {
        format!("{HEADER}{}", self.bare())
    }

    /// client-final-message to this challenge, and the server-final-message that proves the server.
    /// `None` to what is no challenge.
    pub(crate) fn last(&self, challenge: &str) -> Option<(String, String)> {
        let field = |name: &str| {
            challenge
                .split(',')
                .find_map(|part| part.strip_prefix(name))
        };
        let (nonce, salt) = (field("r=")?, BASE64.decode(field("s=")?).ok()?);
        let iterations = field("i=")?.parse().ok()?;
        let key = self.mechanism.salted(self.password, &salt, iterations);
        let client_key = self.mechanism.keyed(&key, b"Client Key");
        let unproved = format!("c={},r={nonce}", BASE64.encode(HEADER));
        let messages = format!("{},{challenge},{unproved}", self.bare());
        let stored_key = self.mechanism.digest(&client_key);
        let signature = self.mechanism.keyed(&stored_key, messages.as_bytes());
        let proof = client_key
            .iter()
            .zip(signature)
            .map(|(key, sign)| key ^ sign);
        let proof = BASE64.encode(proof.collect::<Vec<u8>>());
        let server_key = self.mechanism.keyed(&key, b"Server Key");
        let verifier = self.mechanism.keyed(&server_key, messages.as_bytes());
        Some((
            format!("{unproved},p={proof}"),
            format!("v={}", BASE64.encode(verifier)),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{Dialog, Scram};

    /// The exchange that RFC 7677 prints.
    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let dialog = Dialog {
            mechanism: Scram::Sha256,
            user: "user",
            password: "pencil",
            nonce: "rOprNGfwEbeRWgbNEkqO",
        };
        assert_eq!(dialog.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let challenge = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let (last, verifier) = dialog.last(&challenge).unwrap();
        let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(last, format!("c=biws,r={nonce},p={proof}"));
        assert_eq!(verifier, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert_eq!(dialog.last("e=other-error"), None);
    }
}
