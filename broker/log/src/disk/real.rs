//! The operating system's files.
//!
//! Owns: positioned reads and vectored writes, fdatasync, directory sync, the lock of a data directory.
//! Must not know: what the files mean.
//! Invariants: a short write goes on where it stopped; an error is returned as it came, never retried.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Advice, FlockOperation, fadvise, flock};

use super::{DirEntry, Disk, DiskFile, OpenMode};

/// Slices per system call: Linux takes 1024 (`IOV_MAX`) and refuses more.
const SLICES_PER_WRITE: usize = 1024;

/// The real file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

/// An open file of the real file system.
#[derive(Clone, Debug)]
pub struct RealFile(Arc<File>);

/// The held lock of a data directory; released when dropped or when the process dies.
#[derive(Debug)]
pub struct RealLock(#[expect(dead_code, reason = "held, never read")] File);

impl Disk for RealDisk {
    type File = RealFile;
    type Lock = RealLock;

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<RealFile> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::Write => options.write(true),
            OpenMode::Create => options.write(true).create(true).truncate(false),
            OpenMode::Truncate => options.write(true).create(true).truncate(true),
        };
        Ok(RealFile(Arc::new(options.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let metadata = entry.metadata()?;
            let is_dir = metadata.is_dir();
            entries.push(DirEntry {
                name,
                is_dir,
                len: if is_dir { 0 } else { metadata.len() },
            });
        }
        entries.sort();
        Ok(entries)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<RealLock>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(RealLock(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.0.read_at(&mut buffer[done..], position + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_all_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        let mut position = position;
        for group in slices.chunks(SLICES_PER_WRITE) {
            position += write_group(&self.0, group, position)?;
        }
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn forget_cached(&self) -> io::Result<()> {
        Ok(fadvise(&self.0, 0, None, Advice::DontNeed)?)
    }

    fn as_std(&self) -> Option<Arc<File>> {
        Some(self.0.clone())
    }
}

/// Writes one group with one system call, and what that call left over slice by slice.
fn write_group(file: &File, group: &[IoSlice<'_>], position: u64) -> io::Result<u64> {
    let total: usize = group.iter().map(|slice| slice.len()).sum();
    let mut written = match rustix::io::pwritev(file, group, position) {
        Ok(count) => count,
        Err(rustix::io::Errno::INTR) => 0,
        Err(errno) => return Err(errno.into()),
    };
    if written == total {
        return Ok(total as u64);
    }
    let mut start = 0;
    for slice in group {
        let end = start + slice.len();
        if written < end {
            let rest = &slice[written.max(start) - start..];
            file.write_all_at(rest, position + written.max(start) as u64)?;
            written = end;
        }
        start = end;
    }
    Ok(total as u64)
}
