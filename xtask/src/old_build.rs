//! An earlier build of the program, which upgrades are tried from: built once from its commit, and kept
//! below `target/old`.
//!
//! It shares the folder of builds, so that of the other crates' code nothing is compiled twice; what is
//! then `target/debug/isthmus` the next test of the program puts in its place again.
//!
//! Invariant: the binary is there whole or not at all. It is copied under another name and renamed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace::{cargo, line_of, output_of, root, target_dir};

/// The last build of metadata level 1. Once there is a release, take its commit; and a later one when this
/// does not compile any more.
const COMMIT: &str = "806366e032af904dc8e375c75019d0621ce76820";

/// What is said where it cannot be built.
pub(crate) const NOT_HERE: &str =
    "a clone without the commit of the old build (git fetch --unshallow)";

/// As much of the program as a node is.
const FEATURES: &str = "broker";

/// Whether the commit is in this clone; a shallow one has only the latest.
pub(crate) fn is_here() -> bool {
    let mut git = Command::new("git");
    git.args(["cat-file", "-e", &format!("{COMMIT}^{{commit}}")])
        .current_dir(root())
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    git.status().is_ok_and(|status| status.success())
}

/// The commit as people write it.
pub(crate) fn short() -> &'static str {
    &COMMIT[..7]
}

/// The binary, built if it is not there.
pub(crate) fn ensure() -> Result<PathBuf> {
    let home = target_dir().join("old");
    let binary = home.join(format!("isthmus-{}", short()));
    if binary.is_file() {
        return Ok(binary);
    }
    let source = home.join("source");
    unpack(&source).context("could not unpack the old build's sources")?;
    let mut command = cargo(["build", "--locked", "--package", "isthmus"]);
    command
        .args(["--bin", "isthmus", "--no-default-features"])
        .args(["--features", FEATURES])
        .current_dir(&source)
        .env("CARGO_TARGET_DIR", target_dir())
        .stdin(Stdio::null());
    let status = command.status()?;
    if !status.success() {
        bail!("{} in {}: {status}", line_of(&command), source.display());
    }
    let partial = home.join("isthmus.partial");
    fs::copy(target_dir().join("debug/isthmus"), &partial)
        .and_then(|_| fs::rename(&partial, &binary))
        .with_context(|| format!("could not write {}", binary.display()))?;
    fs::remove_dir_all(&source).context("could not remove the old build's sources")?;
    Ok(binary)
}

/// The files of the commit, by an index of their own.
fn unpack(source: &Path) -> Result<()> {
    if source.exists() {
        fs::remove_dir_all(source)?;
    }
    fs::create_dir_all(source)?;
    let index = source.with_extension("index");
    let prefix = format!("--prefix={}/", source.display());
    for words in [
        ["read-tree", COMMIT, ""],
        ["checkout-index", "--all", &prefix],
    ] {
        let mut git = Command::new("git");
        git.args(words.iter().filter(|word| !word.is_empty()))
            .current_dir(root())
            .env("GIT_INDEX_FILE", &index);
        output_of(&mut git)?;
    }
    Ok(fs::remove_file(index)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_told_in_seven_digits() {
        assert_eq!(COMMIT.len(), 40);
        assert!(COMMIT.bytes().all(|it| it.is_ascii_hexdigit()));
        assert_eq!(short(), "806366e");
    }
}
