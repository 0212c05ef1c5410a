//! The users of SASL PLAIN: a file with `name:password` lines, read again on change.
//!
//! Empty lines and lines that begin with `#` are passed over; the first colon ends the name. In
//! memory a password is kept only as its HMAC under a key of this process, so that a look at the
//! memory of a running broker shows none, and comparing takes the same time for any two.

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
pub(crate) struct PlainUsers {
    key: Digest,
    digests: BTreeMap<String, Digest>,
}

/// Why the file cannot be used. Never shows a line of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlainUsersError {
    #[error("read {}: {cause}; name a file that this process may read", path.display())]
    Read { path: PathBuf, cause: String },
    #[error("use line {line} of {}: it is not name:password", path.display())]
    Line { path: PathBuf, line: usize },
    #[error("use line {line} of {}: the user stands there twice", path.display())]
    Twice { path: PathBuf, line: usize },
    #[error("use {}: it has more than {USERS_MAX} users; keep them as SCRAM users", path.display())]
    TooMany { path: PathBuf },
}

impl PlainUsers {
    /// `key` is random and of this process only.
    pub(crate) fn parse(text: &str, path: &Path, key: Digest) -> Result<Self, PlainUsersError> {
        let mut digests = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            let (path, number) = (|| path.to_owned(), at + 1);
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let parts = line.split_once(':');
            let (name, password) = parts
                .filter(|(name, password)| !name.is_empty() && !password.is_empty())
                .ok_or_else(|| PlainUsersError::Line {
                    path: path(),
                    line: number,
                })?;
            let digest = digest(&key, password.as_bytes());
            if digests.insert(name.to_owned(), digest).is_some() {
                return Err(PlainUsersError::Twice {
                    path: path(),
                    line: number,
                });
            }
            if digests.len() > USERS_MAX {
                return Err(PlainUsersError::TooMany { path: path() });
            }
        }
        Ok(Self { key, digests })
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

/// The file's text, which holds passwords.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, PlainUsersError> {
    let read = std::fs::read_to_string(path);
    read.map(Zeroizing::new)
        .map_err(|cause| PlainUsersError::Read {
            path: path.to_owned(),
            cause: cause.to_string(),
        })
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

    fn parse(text: &str) -> Result<PlainUsers, String> {
        PlainUsers::parse(text, Path::new("users"), [7; 32]).map_err(|error| error.to_string())
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
