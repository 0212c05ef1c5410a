//! The broker's own secret, `sasl.secret` in the data directory: 32 random bytes, made at the first
//! start that needs them.
//!
//! The decoys of unknown SCRAM users are made from it. It is kept because a decoy that changes at a
//! restart, while a real user's salt does not, would tell the two apart.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use zeroize::Zeroizing;

pub(crate) const FILE_NAME: &str = "sasl.secret";

pub(crate) type Secret = Zeroizing<[u8; 32]>;

/// The secret of this data directory. Only the directory's owner calls this, so nobody else makes
/// one at the same time. A file of any other length was cut by a crash and is made again.
pub(crate) fn read_or_make(directory: &Path, random: fn() -> [u8; 32]) -> io::Result<Secret> {
    let path = directory.join(FILE_NAME);
    let found = match std::fs::read(&path).map(Zeroizing::new) {
        Ok(bytes) => <[u8; 32]>::try_from(bytes.as_slice()).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Some(secret) = found {
        return Ok(Zeroizing::new(secret));
    }
    let secret = Zeroizing::new(random());
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&path)?;
    file.write_all(&secret[..])?;
    file.sync_all()?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_secret_stays_and_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let made = read_or_make(dir.path(), || [1; 32]).unwrap();
        assert_eq!(read_or_make(dir.path(), || [2; 32]).unwrap(), made);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, b"cut").unwrap();
        assert_eq!(*read_or_make(dir.path(), || [3; 32]).unwrap(), [3; 32]);
    }
}
