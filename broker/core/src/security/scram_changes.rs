//! Decisions on SCRAM users (KIP-554): what AlterUserScramCredentials adds and removes.
//!
//! The client sends the salted password, never the password; what is kept of it are the two keys
//! of RFC 5802, made here. A user may be named once in a request, whatever the mechanism.

use super::{ScramCredential, ScramMechanism, ScramUsers};
use crate::metadata::MetadataRecord;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::RemoveUserScramCredentialRecord;
use isthmus_wire::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use sha2::{Digest, Sha256, Sha512};
use std::collections::BTreeMap;

/// Fewer are too easily guessed; the bounds are Kafka's.
pub const SCRAM_ITERATIONS_MIN: i32 = 4_096;
/// More would make each login a burden on its client.
pub const SCRAM_ITERATIONS_MAX: i32 = 16_384;

/// Why a user stays as it was; the words are Kafka's, because its tools show them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    #[error("A user credential cannot be altered twice in the same request")]
    Twice,
    #[error("Username must not be empty")]
    NoName,
    #[error("Unknown SCRAM mechanism")]
    UnknownMechanism,
    #[error("Too few iterations")]
    TooFewIterations,
    #[error("Too many iterations")]
    TooManyIterations,
    #[error("The salted password must not be empty")]
    NoPassword,
    #[error("Attempt to delete a user credential that does not exist")]
    NotThere,
}

impl ScramError {
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Twice => ErrorCode::DUPLICATE_RESOURCE,
            Self::NoName | Self::TooFewIterations | Self::TooManyIterations | Self::NoPassword => {
                ErrorCode::UNACCEPTABLE_CREDENTIAL
            }
            Self::UnknownMechanism => ErrorCode::UNSUPPORTED_SASL_MECHANISM,
            Self::NotThere => ErrorCode::RESOURCE_NOT_FOUND,
        }
    }
}

/// What each user of a request is told.
pub type ScramVerdicts = BTreeMap<String, Result<(), ScramError>>;

/// One verdict for each user named, and the records of those that change.
pub fn alter_scram_users(
    users: &ScramUsers,
    deletions: &[ScramCredentialDeletion],
    upsertions: &[ScramCredentialUpsertion],
) -> (ScramVerdicts, Vec<MetadataRecord>) {
    let mut changes: BTreeMap<String, Result<MetadataRecord, ScramError>> = BTreeMap::new();
    let removals = deletions.iter().map(|one| (&one.name, removal(users, one)));
    let additions = upsertions.iter().map(|one| (&one.name, addition(one)));
    for (name, change) in removals.chain(additions) {
        let twice = |change: &mut Result<_, _>| {
            if change.is_ok() {
                *change = Err(ScramError::Twice);
            }
        };
        changes
            .entry(name.clone())
            .and_modify(twice)
            .or_insert(change);
    }
    let mut records = Vec::new();
    let verdicts = changes.into_iter().map(|(name, change)| {
        let verdict = change.map(|record| records.push(record));
        (name, verdict)
    });
    (verdicts.collect(), records)
}

fn mechanism_of(name: &str, code: i8) -> Result<ScramMechanism, ScramError> {
    if name.is_empty() {
        return Err(ScramError::NoName);
    }
    ScramMechanism::from_code(code).ok_or(ScramError::UnknownMechanism)
}

fn removal(
    users: &ScramUsers,
    asked: &ScramCredentialDeletion,
) -> Result<MetadataRecord, ScramError> {
    let mechanism = mechanism_of(&asked.name, asked.mechanism)?;
    users
        .get(&asked.name, mechanism)
        .ok_or(ScramError::NotThere)?;
    let record = RemoveUserScramCredentialRecord {
        name: asked.name.clone(),
        mechanism: mechanism.code(),
    };
    Ok(record.into())
}

fn addition(asked: &ScramCredentialUpsertion) -> Result<MetadataRecord, ScramError> {
    let mechanism = mechanism_of(&asked.name, asked.mechanism)?;
    if asked.iterations < SCRAM_ITERATIONS_MIN {
        return Err(ScramError::TooFewIterations);
    }
    if asked.iterations > SCRAM_ITERATIONS_MAX {
        return Err(ScramError::TooManyIterations);
    }
    if asked.salted_password.is_empty() {
        return Err(ScramError::NoPassword);
    }
    let (salt, iterations) = (asked.salt.clone(), asked.iterations);
    let credential =
        ScramCredential::from_salted_password(mechanism, &asked.salted_password, salt, iterations);
    Ok(credential.record(&asked.name, mechanism).into())
}

impl ScramCredential {
    /// The keys of RFC 5802, section 3.
    pub fn from_salted_password(
        mechanism: ScramMechanism,
        salted_password: &[u8],
        salt: Bytes,
        iterations: i32,
    ) -> Self {
        let client_key = hmac(mechanism, salted_password, b"Client Key");
        let stored_key = match mechanism {
            ScramMechanism::Sha256 => Sha256::digest(&client_key).to_vec(),
            ScramMechanism::Sha512 => Sha512::digest(&client_key).to_vec(),
        };
        Self {
            salt,
            stored_key: stored_key.into(),
            server_key: hmac(mechanism, salted_password, b"Server Key").into(),
            iterations,
        }
    }
}

fn hmac(mechanism: ScramMechanism, key: &[u8], text: &[u8]) -> Vec<u8> {
    const ANY_LENGTH: &str = "HMAC takes keys of any length";
    match mechanism {
        ScramMechanism::Sha256 => {
            let mac = Hmac::<Sha256>::new_from_slice(key).expect(ANY_LENGTH);
            mac.chain_update(text).finalize().into_bytes().to_vec()
        }
        ScramMechanism::Sha512 => {
            let mac = Hmac::<Sha512>::new_from_slice(key).expect(ANY_LENGTH);
            mac.chain_update(text).finalize().into_bytes().to_vec()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{MetadataDelta, MetadataImage};

    fn delete(name: &str, mechanism: i8) -> ScramCredentialDeletion {
        ScramCredentialDeletion {
            name: name.to_owned(),
            mechanism,
        }
    }

    fn upsert(name: &str, mechanism: i8, iterations: i32) -> ScramCredentialUpsertion {
        ScramCredentialUpsertion {
            name: name.to_owned(),
            mechanism,
            iterations,
            salt: Bytes::from_static(b"salt"),
            salted_password: Bytes::from_static(b"salted"),
        }
    }

    fn with_alice() -> MetadataImage {
        let mut image = MetadataImage::default();
        let (_, records) = alter_scram_users(image.scram_users(), &[], &[upsert("alice", 1, 4096)]);
        image.apply(0, &records[0], &mut MetadataDelta::default());
        image
    }

    #[test]
    fn users_get_one_verdict_each() {
        use ScramError::{
            NoName, NotThere, TooFewIterations, TooManyIterations, Twice, UnknownMechanism,
        };
        let image = with_alice();
        let deletions = [
            delete("alice", 1),
            delete("nobody", 1),
            delete("odd", 0),
            delete("twice", 9),
        ];
        let upsertions = [
            upsert("bob", 2, 16_384),
            upsert("few", 1, 4_095),
            upsert("many", 1, 16_385),
            upsert("", 1, 4_096),
            upsert("both", 1, 4_096),
            upsert("both", 2, 4_096),
            upsert("twice", 1, 4_096),
        ];
        let (verdicts, records) = alter_scram_users(image.scram_users(), &deletions, &upsertions);
        let told: Vec<_> = verdicts
            .iter()
            .map(|(name, verdict)| (name.as_str(), *verdict))
            .collect();
        let expected = [
            ("", Err(NoName)),
            ("alice", Ok(())),
            ("bob", Ok(())),
            ("both", Err(Twice)),
            ("few", Err(TooFewIterations)),
            ("many", Err(TooManyIterations)),
            ("nobody", Err(NotThere)),
            ("odd", Err(UnknownMechanism)),
            // The first mistake of a user is the one that is told.
            ("twice", Err(UnknownMechanism)),
        ];
        assert_eq!(told, expected);
        assert_eq!(records.len(), 2);
    }

    /// The exchange of RFC 7677, section 3: password `pencil`, its salt and 4096 iterations; the
    /// keys verify the proof that is printed there.
    #[test]
    fn the_keys_are_those_of_the_rfc() {
        // PBKDF2 of that password, salt and count.
        let salted = hex("c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d");
        let made = ScramCredential::from_salted_password(
            ScramMechanism::Sha256,
            &salted,
            Bytes::new(),
            4_096,
        );
        let auth = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = hmac(ScramMechanism::Sha256, &made.server_key, auth.as_bytes());
        // v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=
        let server = hex("eabae24d1062db75a9451ff0b6ea7e98c8546549ff741e672d3251b2397de46e");
        assert_eq!(signature, server);
        // p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=
        let proof = hex("747cdb65aa56224e2352137e52d7bdcad6a0f738df30782caa69a2cfb0277554");
        let client = hmac(ScramMechanism::Sha256, &made.stored_key, auth.as_bytes());
        let key: Vec<u8> = proof.iter().zip(&client).map(|(a, b)| a ^ b).collect();
        assert_eq!(Sha256::digest(&key).as_slice(), &made.stored_key[..]);
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits = (0..text.len()).step_by(2);
        digits
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }
}
