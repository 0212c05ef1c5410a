//! Folders for what runs: gone with all that is in them when dropped, or kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder by its absolute path, as programs are started in folders of their own.
#[derive(Debug)]
pub enum Folder {
    Gone(tempfile::TempDir),
    Kept(PathBuf),
}

impl Folder {
    /// Gone when dropped; in `parent`, or where the system keeps such.
    pub fn temporary(parent: Option<&Path>) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("isthmus-lab-");
        let made = match parent {
            Some(parent) => builder.tempdir_in(parent.canonicalize()?),
            None => builder.tempdir(),
        };
        made.map(Self::Gone)
    }

    /// Stays; made where it is missing.
    pub fn kept(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        path.canonicalize().map(Self::Kept)
    }

    /// For what programs write: kept beside what a command writes to `out`, or gone.
    pub fn of_programs(out: &Path, keep: bool) -> io::Result<Self> {
        match keep {
            true => Self::kept(&out.join("programs")),
            false => Self::temporary(Some(out)),
        }
    }

    pub fn path(&self) -> &Path {
        match self {
            Self::Gone(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }
}
