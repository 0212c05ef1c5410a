//! The disk as the log sees it: a handful of positioned operations, so that the same log runs over a
//! real file system, over memory with crashes, and over a disk that fails at a chosen moment.
//!
//! Owns: the traits and the path-based conveniences built from them.
//! Must not know: segments, batches, topics.
//! Invariants: a write is durable only after `sync_data` of its file, and a name only after
//! `sync_dir` of its directory; `write_atomic` is durable when it returns; no operation is retried.

mod crash;
mod fault;
mod mem;
mod real;
mod unsynced;

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use crash::CrashMode;
pub use fault::{FaultAction, FaultDisk, FaultFile, FaultPlanError, FaultPoint};
pub use mem::{MemDisk, MemFile, MemLock};
pub use real::{RealDisk, RealFile, RealLock};

/// How a file is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// Created when missing, its content kept when present.
    Create,
    /// Created when missing, emptied when present.
    Truncate,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    pub name: String,
    pub is_dir: bool,
    /// Length in bytes; 0 for a directory.
    pub len: u64,
}

/// A file system.
pub trait Disk: Send + Sync + 'static {
    type File: DiskFile;
    /// Held for as long as the process owns a data directory.
    type Lock: Send + Sync + 'static;

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Self::File>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Takes the lock file at `path`, creating it; `None` when another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Option<Self::Lock>>;

    /// The whole content of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path, OpenMode::Read)?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut content = vec![0; len];
        file.read_exact_at(&mut content, 0)?;
        Ok(content)
    }

    /// Replaces a file so that a crash leaves either the old or the new content:
    /// 1. write `<name>.tmp`, 2. sync it, 3. rename it over `path`, 4. sync the directory.
    fn write_atomic(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let temporary = temporary_of(path);
        let file = self.open(&temporary, OpenMode::Truncate)?;
        file.write_all_at(content, 0)?;
        file.sync_data()?;
        drop(file);
        self.rename(&temporary, path)?;
        self.sync_dir(path.parent().unwrap_or_else(|| Path::new(".")))
    }
}

/// An open file; every access names its position.
pub trait DiskFile: Send + Sync + 'static {
    fn len(&self) -> io::Result<u64>;

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads up to `buffer.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// Writes all slices one after another; on an error any prefix may have been written.
    fn write_all_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()>;

    fn truncate(&self, len: u64) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;

    /// Lets go of what is cached of the file and waits for no writing, so that what is read next is what
    /// the disk has. After a sync that failed the operating system takes pages for written that are not,
    /// and a later sync of them succeeds.
    fn forget_cached(&self) -> io::Result<()>;

    /// The operating system's file, for sending a region to a socket without copying.
    fn as_std(&self) -> Option<Arc<std::fs::File>>;

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.write_all_vectored_at(&[IoSlice::new(bytes)], position)
    }

    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        if self.read_at(buffer, position)? == buffer.len() {
            return Ok(());
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// The disk of a running broker: real, with fault points where they were compiled in.
#[cfg(not(feature = "fault-points"))]
pub type ProcessDisk = RealDisk;
#[cfg(feature = "fault-points")]
pub type ProcessDisk = FaultDisk<RealDisk>;

/// Makes the disk of a running broker; with `fault-points` it obeys `plan`, the value of the
/// environment variable `ISTHMUS_FAULT` (`point:nth:action`), which the shell hands in.
#[cfg(not(feature = "fault-points"))]
pub fn process_disk(_plan: Option<&str>) -> Result<ProcessDisk, FaultPlanError> {
    Ok(RealDisk)
}
#[cfg(feature = "fault-points")]
pub fn process_disk(plan: Option<&str>) -> Result<ProcessDisk, FaultPlanError> {
    let disk = FaultDisk::new(RealDisk);
    if let Some(plan) = plan {
        disk.arm_text(plan)?;
    }
    Ok(disk)
}

fn temporary_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}
