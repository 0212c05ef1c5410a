//! Secrets in memory: never printed, wiped when dropped.
//!
//! Must not know: how a program is configured. The shells hand over either the text or the file in
//! which it stands; a file is read again at every authentication, so that a changed password is
//! taken up without a restart.

use std::fmt;
use std::io;
use std::path::PathBuf;

use zeroize::Zeroizing;

/// A secret text. `Debug` prints `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
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

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a secret comes from.
#[derive(Clone, Debug)]
pub enum SecretSource {
    Value(Secret),
    /// Read again whenever it is needed; one line end at its end is taken off.
    File(PathBuf),
}

impl SecretSource {
    /// Reads a file off the runtime.
    pub(crate) async fn read(&self) -> Result<Secret, SecretError> {
        let path = match self {
            Self::Value(secret) => return Ok(secret.clone()),
            Self::File(path) => path,
        };
        let read = tokio::fs::read(path).await.map(Zeroizing::new);
        let bytes = read.map_err(|cause| SecretError {
            path: path.clone(),
            cause,
        })?;
        let text = std::str::from_utf8(&bytes).map_err(|cause| SecretError {
            path: path.clone(),
            cause: io::Error::new(io::ErrorKind::InvalidData, cause),
        })?;
        let line = text.strip_suffix('\n').unwrap_or(text);
        Ok(Secret::from(line.strip_suffix('\r').unwrap_or(line)))
    }
}

impl From<Secret> for SecretSource {
    fn from(secret: Secret) -> Self {
        Self::Value(secret)
    }
}

/// A secret's file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read the secret from {}: {cause}", path.display())]
pub struct SecretError {
    path: PathBuf,
    cause: io::Error,
}
