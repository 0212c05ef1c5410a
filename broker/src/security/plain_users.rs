//! The users of SASL PLAIN: a file with `name:password` lines, or Kafka's line of JAAS, read again
//! on change.
//!
//! In the file, empty lines and lines that begin with `#` are passed over; the first colon ends the name. In
//! memory a password is kept only as its HMAC under a key of this process, so that a look at the
//! memory of a running broker shows none, and comparing takes the same time for any two.

use super::jaas;
use super::watched::Source;
use crate::settings::PlainUsersPlace;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Most users of one file: it is a file for services and operators, not a directory of people.
const USERS_MAX: usize = 10_000;

type Digest = [u8; 32];

/// All users of one state of the file.
pub(crate) struct Digests {
    key: Digest,
    digests: BTreeMap<String, Digest>,
}

/// Where the users stand.
pub(crate) struct PlainUsers {
    pub(crate) place: PlainUsersPlace,
    /// Random and of this process only.
    pub(crate) key: Digest,
}

/// Why the users cannot be used. Never shows what stands there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlainUsersError {
    #[error("read {}: {cause}; name a file that this process may read", path.display())]
    Read { path: PathBuf, cause: String },
    #[error("{0}")]
    Secret(String),
    #[error("use line {line} of {}: it is not name:password", path.display())]
    Line { path: PathBuf, line: usize },
    #[error("use line {line} of {}: the user stands there twice", path.display())]
    Twice { path: PathBuf, line: usize },
    #[error("use the users of PLAIN: there are more than {USERS_MAX}; keep them as SCRAM users")]
    TooMany,
    #[error("use the JAAS configuration of PLAIN: {0}")]
    Jaas(&'static str),
}

impl Source for PlainUsers {
    type Material = Zeroizing<String>;
    type Made = Digests;
    type Error = PlainUsersError;

    fn read(&self) -> Result<Zeroizing<String>, PlainUsersError> {
        match &self.place {
            PlainUsersPlace::File(path) => {
                let read = std::fs::read_to_string(path).map(Zeroizing::new);
                read.map_err(|cause| PlainUsersError::Read {
                    path: path.clone(),
                    cause: cause.to_string(),
                })
            }
            PlainUsersPlace::Jaas(reference) => {
                let secret = reference.read(|name| std::env::var(name).ok());
                let secret = secret.map_err(|error| PlainUsersError::Secret(error.to_string()))?;
                Ok(Zeroizing::new(secret.expose().to_owned()))
            }
        }
    }

    fn make(&self, text: &Zeroizing<String>) -> Result<Digests, PlainUsersError> {
        let mut users = Digests::new(self.key);
        match &self.place {
            PlainUsersPlace::File(path) => read_lines(text, path, &mut users)?,
            PlainUsersPlace::Jaas(_) => jaas::read(text, &mut users)?,
        }
        if users.digests.len() > USERS_MAX {
            return Err(PlainUsersError::TooMany);
        }
        Ok(users)
    }
}

fn read_lines(text: &str, path: &Path, users: &mut Digests) -> Result<(), PlainUsersError> {
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (path, line_number) = (|| path.to_owned(), at + 1);
        let parts = line.split_once(':');
        let (name, password) = parts
            .filter(|(name, password)| !name.is_empty() && !password.is_empty())
            .ok_or_else(|| PlainUsersError::Line {
                path: path(),
                line: line_number,
            })?;
        users
            .add(name, password)
            .map_err(|()| PlainUsersError::Twice {
                path: path(),
                line: line_number,
            })?;
    }
    Ok(())
}

impl Digests {
    pub(super) fn new(key: Digest) -> Self {
        Self {
            key,
            digests: BTreeMap::new(),
        }
    }

    /// Refused when the user is there already, or one of both is empty.
    pub(super) fn add(&mut self, user: &str, password: &str) -> Result<(), ()> {
        if user.is_empty() || password.is_empty() {
            return Err(());
        }
        let digest = digest(&self.key, password.as_bytes());
        match self.digests.insert(user.to_owned(), digest) {
            None => Ok(()),
            Some(_) => Err(()),
        }
    }

    /// Whether this is the user's password. Takes as long for a user that does not exist.
    pub(crate) fn password_is(&self, user: &str, password: &[u8]) -> bool {
        let given = digest(&self.key, password);
        let (kept, is_known) = match self.digests.get(user) {
            Some(kept) => (*kept, true),
            None => ([0; 32], false),
        };
        bool::from(given.ct_eq(&kept)) && is_known
    }
}

fn digest(key: &Digest, password: &[u8]) -> Digest {
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("an HMAC takes a key of any length");
    mac.update(password);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Digests, String> {
        let users = PlainUsers {
            place: PlainUsersPlace::File("users".into()),
            key: [7; 32],
        };
        let made = users.make(&Zeroizing::new(text.to_owned()));
        made.map_err(|error| error.to_string())
    }

    #[test]
    fn names_and_passwords() {
        let users = parse("# services\nalice:alice-pw\n\nbob:pw:with:colons # and more\n").unwrap();
        for (user, password, expected) in [
            ("alice", "alice-pw", true),
            ("alice", "alice-pw ", false),
            ("alice", "", false),
            ("bob", "pw:with:colons # and more", true),
            ("# services", "", false),
            ("nobody", "alice-pw", false),
        ] {
            assert_eq!(
                users.password_is(user, password.as_bytes()),
                expected,
                "{user}"
            );
        }
    }

    #[test]
    fn mistakes_name_the_line_and_never_show_it() {
        for (text, expected) in [
            ("alice", "use line 1 of users: it is not name:password"),
            (
                "a:b\n:secret",
                "use line 2 of users: it is not name:password",
            ),
            ("a:\n", "use line 1 of users: it is not name:password"),
            (
                "a:x\na:y",
                "use line 2 of users: the user stands there twice",
            ),
        ] {
            assert_eq!(parse(text).err().as_deref(), Some(expected), "{text:?}");
        }
    }
}
