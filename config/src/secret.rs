//! Secrets: named in the configuration, read from a file or the environment, never printed.
//!
//! Owns: [`SecretRef`], which says where a secret stands and may be shown to anyone, and
//! [`Secret`], which holds it, prints as `***` and wipes its memory when dropped.
//! Must not know: what a secret is for. It is read again when asked again, so a program that
//! re-reads on change keeps the reference, not the secret.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::properties::{from_latin_1, parse_properties};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The content of a secret. `Debug` and `Display` print `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Reads a file and takes off one line end, which editors and `echo` put there.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        let read = std::fs::read_to_string(path).map(Zeroizing::new);
        let text = read.map_err(|cause| SecretError::File {
            path: path.to_owned(),
            cause,
        })?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Err(SecretError::Empty {
                place: path.display().to_string(),
            });
        }
        Ok(Self(Zeroizing::new(line.to_owned())))
    }

    /// Reads a properties file again and takes the key's last value, as Java does.
    fn from_property(file: &Path, key: &str) -> Result<Self, SecretError> {
        let read = std::fs::read(file).map(Zeroizing::new);
        let bytes = read.map_err(|cause| SecretError::File {
            path: file.to_owned(),
            cause,
        })?;
        let text = Zeroizing::new(from_latin_1(&bytes));
        let found = parse_properties(&text)
            .unwrap_or_default()
            .into_iter()
            .rev();
        let mut values = found.filter(|property| property.key == key);
        match values.next() {
            Some(property) if !property.value.is_empty() => Ok(Self::from(property.value)),
            Some(_) | None => Err(SecretError::Empty {
                place: format!("{key} in {}", file.display()),
            }),
        }
    }

    /// The content, for the one place that must send or hash it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a secret stands: written `file:/etc/isthmus/secret` or `env:ISTHMUS_CLUSTER_SECRET`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum SecretRef {
    File(PathBuf),
    Env(String),
    /// A property of a file such as `server.properties`, in which Kafka keeps secrets:
    /// `property:KEY@FILE`.
    Property {
        key: String,
        file: PathBuf,
    },
}

impl SecretRef {
    /// Reads the secret. `env` looks a variable up, so that tests need not touch the process.
    pub fn read(&self, env: impl Fn(&str) -> Option<String>) -> Result<Secret, SecretError> {
        match self {
            Self::File(path) => Secret::from_file(path),
            Self::Env(name) => match env(name) {
                None => Err(SecretError::Unset { name: name.clone() }),
                Some(text) if text.is_empty() => Err(SecretError::Empty {
                    place: name.clone(),
                }),
                Some(text) => Ok(Secret::from(text)),
            },
            Self::Property { key, file } => Secret::from_property(file, key),
        }
    }
}

impl FromStr for SecretRef {
    type Err = NotAReference;

    fn from_str(text: &str) -> Result<Self, NotAReference> {
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("property", place)) => {
                let (key, file) = place.split_once('@').ok_or(NotAReference)?;
                Ok(Self::Property {
                    key: key.to_owned(),
                    file: PathBuf::from(file),
                })
            }
            Some(_) | None => Err(NotAReference),
        }
    }
}

impl TryFrom<String> for SecretRef {
    type Error = NotAReference;

    fn try_from(text: String) -> Result<Self, NotAReference> {
        text.parse()
    }
}

impl From<SecretRef> for String {
    fn from(reference: SecretRef) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Env(name) => write!(f, "env:{name}"),
            Self::Property { key, file } => write!(f, "property:{key}@{}", file.display()),
        }
    }
}

/// The text is no reference. It may be the secret itself, so the text is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a reference to a secret")]
pub struct NotAReference;

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("read the secret from {}: {cause}", path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error("read the secret from the environment: {name} is not set")]
    Unset { name: String },
    #[error("use the secret of {place}: it is empty")]
    Empty { place: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::from("hunter2".to_owned());
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Some(&secret)),
            "*** *** Some(***)"
        );
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn references_read_back_and_literals_are_refused() {
        for text in ["file:/etc/isthmus/secret", "env:CLUSTER_SECRET"] {
            assert_eq!(text.parse::<SecretRef>().unwrap().to_string(), text);
        }
        for text in ["hunter2", "file:", "env:", "", "vault:x"] {
            let refused = text.parse::<SecretRef>().unwrap_err().to_string();
            assert_eq!(refused, "is not a reference to a secret");
        }
    }

    #[test]
    fn one_line_end_is_taken_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        for (content, expected) in [
            ("pw", "pw"),
            ("pw\n", "pw"),
            ("pw\r\n", "pw"),
            ("p w\n\n", "p w\n"),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(Secret::from_file(&path).unwrap().expose(), expected);
        }
        std::fs::write(&path, "\n").unwrap();
        let empty = Secret::from_file(&path).unwrap_err().to_string();
        assert!(empty.ends_with("it is empty"), "{empty}");
    }

    #[test]
    fn a_property_is_read_where_it_stands() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.properties");
        std::fs::write(&path, "a=x\nssl.key.password = p w\nempty=\n").unwrap();
        let read = |key: &str| {
            let text = format!("property:{key}@{}", path.display());
            let reference = text.parse::<SecretRef>().unwrap();
            assert_eq!(reference.to_string(), text);
            reference.read(|_| None)
        };
        assert_eq!(read("ssl.key.password").unwrap().expose(), "p w");
        assert!(read("empty").is_err() && read("none").is_err());
    }

    #[test]
    fn the_environment_is_asked_by_name() {
        let env = |name: &str| (name == "A").then(|| "pw".to_owned());
        assert_eq!(SecretRef::Env("A".into()).read(env).unwrap().expose(), "pw");
        let unset = SecretRef::Env("B".into()).read(env).unwrap_err();
        assert_eq!(
            unset.to_string(),
            "read the secret from the environment: B is not set"
        );
    }
}
