//! The users that log in by SCRAM, as metadata (KIP-554).
//!
//! What is kept of a password is what verifies it: salt, iterations, stored key and server key.
//! None of them is ever shown.

use crate::metadata::MetadataRecord;
use bytes::Bytes;
use isthmus_wire::messages::{RemoveUserScramCredentialRecord, UserScramCredentialRecord};
use std::collections::BTreeMap;
use std::fmt;

/// A SCRAM mechanism; the numbers are those of KIP-554.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScramMechanism {
    Sha256 = 1,
    Sha512 = 2,
}

impl ScramMechanism {
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    pub fn from_code(code: i8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.code() == code)
    }

    pub fn code(self) -> i8 {
        self as i8
    }

    /// The name under which SASL negotiates it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }
}

/// What verifies one user's password by one mechanism.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredential {
    pub salt: Bytes,
    pub stored_key: Bytes,
    pub server_key: Bytes,
    pub iterations: i32,
}

impl fmt::Debug for ScramCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramCredential")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// All credentials, by user and mechanism.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScramUsers(BTreeMap<String, BTreeMap<ScramMechanism, ScramCredential>>);

impl ScramUsers {
    pub fn get(&self, user: &str, mechanism: ScramMechanism) -> Option<&ScramCredential> {
        self.0.get(user)?.get(&mechanism)
    }

    /// All users in the order of their names, each with its mechanisms in the order of their codes.
    pub fn users(
        &self,
    ) -> impl Iterator<Item = (&str, &BTreeMap<ScramMechanism, ScramCredential>)> {
        self.0.iter().map(|(user, held)| (user.as_str(), held))
    }

    pub(crate) fn set(&mut self, body: &UserScramCredentialRecord) {
        let mechanism = known(body.mechanism);
        let credential = ScramCredential {
            salt: body.salt.clone(),
            stored_key: body.stored_key.clone(),
            server_key: body.server_key.clone(),
            iterations: body.iterations,
        };
        let held = self.0.entry(body.name.clone()).or_default();
        held.insert(mechanism, credential);
    }

    pub(crate) fn remove(&mut self, body: &RemoveUserScramCredentialRecord) {
        let mechanism = known(body.mechanism);
        let Some(held) = self.0.get_mut(&body.name) else {
            return;
        };
        held.remove(&mechanism);
        if held.is_empty() {
            self.0.remove(&body.name);
        }
    }

    /// The records that make these users out of none, for a snapshot.
    pub fn records(&self) -> impl Iterator<Item = MetadataRecord> {
        self.users().flat_map(|(user, held)| {
            let record = |(mechanism, credential): (&ScramMechanism, &ScramCredential)| {
                credential.record(user, *mechanism).into()
            };
            held.iter().map(record)
        })
    }
}

impl ScramCredential {
    pub(crate) fn record(
        &self,
        user: &str,
        mechanism: ScramMechanism,
    ) -> UserScramCredentialRecord {
        UserScramCredentialRecord {
            name: user.to_owned(),
            mechanism: mechanism.code(),
            salt: self.salt.clone(),
            stored_key: self.stored_key.clone(),
            server_key: self.server_key.clone(),
            iterations: self.iterations,
        }
    }
}

/// A committed record was decided here, on a mechanism that was known.
fn known(code: i8) -> ScramMechanism {
    ScramMechanism::from_code(code)
        .unwrap_or_else(|| panic!("a committed credential has the unknown mechanism {code}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{MetadataDelta, MetadataImage};

    fn record(user: &str, mechanism: ScramMechanism, iterations: i32) -> MetadataRecord {
        let credential = ScramCredential {
            salt: Bytes::from_static(b"salt"),
            stored_key: Bytes::from_static(b"stored"),
            server_key: Bytes::from_static(b"server"),
            iterations,
        };
        credential.record(user, mechanism).into()
    }

    fn image(records: &[MetadataRecord]) -> MetadataImage {
        let mut image = MetadataImage::default();
        for (offset, record) in (0..).zip(records) {
            image.apply(offset, record, &mut MetadataDelta::default());
        }
        image
    }

    #[test]
    fn a_user_has_one_credential_for_each_mechanism_until_it_is_removed() {
        use ScramMechanism::{Sha256, Sha512};
        let records = [
            record("alice", Sha256, 4096),
            record("alice", Sha512, 8192),
            record("bob", Sha256, 4096),
            record("alice", Sha256, 5000),
            RemoveUserScramCredentialRecord {
                name: "bob".to_owned(),
                mechanism: Sha256.code(),
            }
            .into(),
        ];
        let image = image(&records);
        let iterations = |user, mechanism| Some(image.scram(user, mechanism)?.iterations);
        assert_eq!(iterations("alice", Sha256), Some(5000));
        assert_eq!(iterations("alice", Sha512), Some(8192));
        assert_eq!(iterations("bob", Sha256), None);
        let users: Vec<&str> = image.scram_users().users().map(|(user, _)| user).collect();
        assert_eq!(users, ["alice"], "without credentials there is no user");
        let again: Vec<MetadataRecord> = image.scram_users().records().collect();
        let rebuilt = self::image(&again);
        assert_eq!(rebuilt.scram_users(), image.scram_users());
    }

    #[test]
    fn no_key_is_shown() {
        let image = image(&[record("alice", ScramMechanism::Sha256, 4096)]);
        let shown = format!("{:?}", image.scram_users());
        assert!(shown.contains("4096") && !shown.contains("stor"), "{shown}");
    }
}
