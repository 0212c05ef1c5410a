//! A disk for each node, which can be filled while the node runs: a tmpfs of its own.
//!
//! It is full when its size has been lowered to what is used: from then on nothing more can be written, as
//! if somebody else had taken the rest, and no memory is needed for that. What is in it is in memory, and
//! gone with the run unless it is [kept](Disks::keep).

use std::ffi::CString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use super::StrikesError;
use crate::process::program;
use crate::trio::{NODES, data_folder};

/// What there is room for. Only what is written takes memory: an hour of the usual load writes a third of a
/// GiB.
const ROOM_BYTES: u64 = 4 << 30;

/// A node may write between the look at what is used and the lowering; then it is looked at again.
const TRIES: usize = 100;

/// The disks of all nodes.
#[derive(Debug)]
pub(super) struct Disks {
    folder: PathBuf,
}

impl Disks {
    /// Mounts them where the nodes' data will be.
    pub(super) fn make(folder: &Path) -> Result<Self, StrikesError> {
        let disks = Self {
            folder: folder.to_owned(),
        };
        for id in ids() {
            let path = disks.path(id);
            let size = size(ROOM_BYTES);
            let mounted = fs::create_dir_all(&path).and_then(|()| {
                let none = MountFlags::empty();
                Ok(mount("tmpfs", &path, "tmpfs", none, size.as_c_str())?)
            });
            mounted.map_err(|cause| failed("make", id, cause))?;
        }
        Ok(disks)
    }

    /// From now on nothing more can be written to it.
    pub(super) fn fill(&self, id: i32) -> Result<(), StrikesError> {
        let mut refused = io::Error::from(Errno::INVAL);
        for _ in 0..TRIES {
            match self.lower(id) {
                Ok(()) => return Ok(()),
                Err(cause) => refused = cause,
            }
        }
        Err(failed("fill", id, refused))
    }

    fn lower(&self, id: i32) -> io::Result<()> {
        let now = statvfs(self.path(id))?;
        // A size of nothing would be one without a limit.
        let used = (now.f_blocks - now.f_bfree).max(1);
        self.resize(id, used * now.f_frsize)
    }

    /// Everything has room again.
    pub(super) fn free(&self, id: i32) -> Result<(), StrikesError> {
        let freed = self.resize(id, ROOM_BYTES);
        freed.map_err(|cause| failed("free", id, cause))
    }

    fn resize(&self, id: i32, bytes: u64) -> io::Result<()> {
        let (path, size) = (self.path(id), size(bytes));
        Ok(mount_remount(path, MountFlags::empty(), size.as_c_str())?)
    }

    /// Copies what is in them beside them.
    pub(super) fn keep(&self) -> Result<(), StrikesError> {
        for id in ids() {
            let (from, to) = (self.path(id), self.folder.join(format!("kept-{id}")));
            let copied = program("cp").arg("-a").arg(from).arg(to).status();
            let copied = copied.and_then(|status| match status.success() {
                true => Ok(()),
                false => Err(io::Error::other(format!("cp ended with {status}"))),
            });
            copied.map_err(|cause| failed("copy", id, cause))?;
        }
        Ok(())
    }

    fn path(&self, id: i32) -> PathBuf {
        data_folder(&self.folder, id)
    }
}

impl Drop for Disks {
    /// Their folder can be removed then.
    fn drop(&mut self) {
        for id in ids() {
            if let Err(cause) = unmount(self.path(id), UnmountFlags::DETACH) {
                tracing::debug!(event = "disk_not_unmounted", id, %cause);
            }
        }
    }
}

fn ids() -> impl Iterator<Item = i32> {
    (1..).take(NODES)
}

fn size(bytes: u64) -> CString {
    CString::new(format!("size={bytes}")).expect("digits and letters only")
}

fn failed(what: &'static str, id: i32, cause: io::Error) -> StrikesError {
    StrikesError::Disk { what, id, cause }
}
