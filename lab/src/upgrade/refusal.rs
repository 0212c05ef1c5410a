//! The old build on a directory of a level that it does not know: it must say so, and change nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::UpgradeError;

/// How every build since level 1 names the way on; words of a build that is out never change.
const REMEDY: &str = "start the build that wrote it";

/// Paths that are told one by one; more of them say no more.
const TOLD_MAX: usize = 10;

/// Read at once.
const PIECE_BYTES: usize = 256 << 10;

/// What came of the try.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Refusal {
    pub(super) node: i32,
    /// None where it had to be ended: it started, or did neither.
    pub(super) exit_code: Option<i32>,
    /// The end of what it said.
    pub(super) said: String,
    /// Files that are not as they were.
    pub(super) touched: Vec<PathBuf>,
}

impl Refusal {
    /// What is not as it must be.
    pub(super) fn wrong(&self) -> Vec<String> {
        let node = self.node;
        let ended = match self.exit_code {
            None => Some(format!("node {node} took the directory with the old build")),
            Some(0) => Some(format!(
                "node {node} ended with the old build as if all were well"
            )),
            Some(_) if !self.said.contains(REMEDY) => Some(format!(
                "node {node} did not say what to do with the old build: {:?}",
                self.said
            )),
            Some(_) => None,
        };
        let touched = (!self.touched.is_empty()).then(|| {
            let told = self.touched.iter().take(TOLD_MAX);
            let told: Vec<String> = told.map(|it| it.display().to_string()).collect();
            let count = self.touched.len();
            format!(
                "the old build touched {count} files of node {node}: {}",
                told.join(", ")
            )
        });
        ended.into_iter().chain(touched).collect()
    }
}

/// Every file below a folder, by its content. A folder has none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contents {
    files: BTreeMap<PathBuf, Option<[u8; 32]>>,
}

impl Contents {
    pub(super) fn of(folder: &Path) -> Result<Self, UpgradeError> {
        let mut files = BTreeMap::new();
        let mut open = vec![folder.to_owned()];
        while let Some(next) = open.pop() {
            let failed = |cause| UpgradeError::Read {
                path: next.clone(),
                cause,
            };
            for entry in fs::read_dir(&next).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                let is_folder = path.is_dir() && !path.is_symlink();
                let content = match is_folder {
                    true => None,
                    false => Some(digest(&path).map_err(|cause| UpgradeError::Read {
                        path: path.clone(),
                        cause,
                    })?),
                };
                let name = path.strip_prefix(folder).unwrap_or(&path);
                files.insert(name.to_owned(), content);
                if is_folder {
                    open.push(path);
                }
            }
        }
        Ok(Self { files })
    }

    /// What came, went or changed.
    pub(super) fn differences(&self, other: &Self) -> Vec<PathBuf> {
        let one = self.files.iter();
        let changed = one.filter(|(path, content)| other.files.get(*path) != Some(content));
        let came = other.files.keys();
        let came = came.filter(|path| !self.files.contains_key(*path));
        changed.map(|(path, _)| path).chain(came).cloned().collect()
    }
}

/// Of a file's content.
pub(super) fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let (mut file, mut hasher) = (File::open(path)?, Sha256::new());
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finalize().into()),
            bytes => hasher.update(&piece[..bytes]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_comes_goes_or_changes_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("t-0")).unwrap();
        for (name, text) in [("t-0/log", "one"), ("t-0/index", "two"), ("same", "three")] {
            fs::write(at(name), text).unwrap();
        }
        let before = Contents::of(folder.path()).unwrap();
        assert_eq!(
            before.differences(&Contents::of(folder.path()).unwrap()),
            [""; 0].map(PathBuf::from)
        );
        fs::write(at("t-0/log"), "One").unwrap();
        fs::remove_file(at("t-0/index")).unwrap();
        fs::create_dir(at("u-0")).unwrap();
        let after = Contents::of(folder.path()).unwrap();
        let expected = ["t-0/index", "t-0/log", "u-0"].map(PathBuf::from);
        assert_eq!(before.differences(&after), expected);
    }

    fn check(exit_code: Option<i32>, said: &str, touched: &[&str], expected: &[&str]) {
        let refusal = Refusal {
            node: 3,
            exit_code,
            said: said.to_owned(),
            touched: touched.iter().map(PathBuf::from).collect(),
        };
        assert_eq!(refusal.wrong(), expected);
    }

    #[test]
    fn a_refusal_has_a_code_a_remedy_and_an_untouched_directory() {
        let said = "the directory has metadata level 2, …; start the build that wrote it";
        check(Some(2), said, &[], &[]);
        check(
            None,
            "ready broker",
            &[],
            &["node 3 took the directory with the old build"],
        );
        check(
            Some(0),
            said,
            &[],
            &["node 3 ended with the old build as if all were well"],
        );
        check(
            Some(101),
            "panicked",
            &["a", "b"],
            &[
                "node 3 did not say what to do with the old build: \"panicked\"",
                "the old build touched 2 files of node 3: a, b",
            ],
        );
    }
}
