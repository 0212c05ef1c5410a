//! A disk in memory whose crash loses what was not synced.
//!
//! Owns: the live state that the running process sees, the durable state, and the list of changes
//! between the two per file and per directory.
//! Must not know: what the files mean.
//! Invariants: everything synced survives every crash; each unsynced write survives wholly, in part
//! or not at all; a rename is never half done; the same seed gives the same wreck.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::crash::{
    Change, CrashMode, Dice, Inode, NameChange, Names, Node, apply_name, surviving_names,
};
use super::{DirEntry, Disk, DiskFile, OpenMode};

/// The disk; clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemDisk {
    state: Arc<Mutex<State>>,
}

/// An open file of a [`MemDisk`].
#[derive(Clone, Debug)]
pub struct MemFile {
    state: Arc<Mutex<State>>,
    inode: usize,
}

/// The held lock of a data directory.
#[derive(Debug)]
pub struct MemLock {
    state: Arc<Mutex<State>>,
    path: PathBuf,
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    live: Names,
    durable: Names,
    unsynced_names: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
    /// How many syncs of files from now on the one is that fails.
    failing_sync: Option<u32>,
}

impl MemDisk {
    pub fn new() -> MemDisk {
        MemDisk::default()
    }

    /// What a machine finds after the power came back. The old disk is left as it was.
    pub fn crash(&self, mode: CrashMode, seed: u64) -> MemDisk {
        let state = self.state.lock();
        let mut dice = Dice(seed ^ 0x9e37_79b9_7f4a_7c15);
        let names = surviving_names(
            &state.live,
            &state.durable,
            &state.unsynced_names,
            mode,
            &mut dice,
        );
        let inodes: Vec<Inode> = state
            .inodes
            .iter()
            .map(|inode| inode.after_crash(mode, &mut dice))
            .collect();
        let state = State {
            inodes,
            live: names.clone(),
            durable: names,
            unsynced_names: Vec::new(),
            locks: BTreeSet::new(),
            failing_sync: None,
        };
        MemDisk {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The `nth` sync of a file (from 1) fails as on Linux: what it was to write is in the cache only from
    /// then on, and no later sync writes it.
    pub fn fail_sync(&self, nth: u32) {
        self.state.lock().failing_sync = Some(nth);
    }

    /// Overwrites a file behind the log's back, durably: damage for tests.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut state = self.state.lock();
        let inode = state.file(path)?;
        let inode = &mut state.inodes[inode];
        change(&mut inode.live);
        inode.durable.clone_from(&inode.live);
        inode.unsynced.clear();
        Ok(())
    }

    /// Every file with its content, to compare two moments.
    pub fn contents(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let state = self.state.lock();
        let content = |node: &Node| match node {
            Node::Dir => None,
            Node::File(inode) => Some(state.inodes[*inode].live.clone()),
        };
        state
            .live
            .iter()
            .map(|(path, node)| (path.clone(), content(node)))
            .collect()
    }
}

impl Disk for MemDisk {
    type File = MemFile;
    type Lock = MemLock;

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<MemFile> {
        let mut state = self.state.lock();
        let inode = match (state.file(path), mode) {
            (Ok(inode), OpenMode::Read | OpenMode::Write | OpenMode::Create) => inode,
            (Ok(inode), OpenMode::Truncate) => {
                state.inodes[inode].apply(Change::Truncate(0));
                inode
            }
            (Err(error), OpenMode::Create | OpenMode::Truncate)
                if error.kind() == io::ErrorKind::NotFound =>
            {
                state.create_file(path)?
            }
            (Err(error), _) => return Err(error),
        };
        Ok(MemFile {
            state: self.state.clone(),
            inode,
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        if !state.live.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_name(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.file(path)?;
        state.change_name(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let paths: Vec<PathBuf> = state
            .live
            .keys()
            .filter(|p| p.starts_with(path))
            .cloned()
            .collect();
        if paths.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        for path in paths.into_iter().rev() {
            state.change_name(NameChange::Remove(path));
        }
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let missing: Vec<PathBuf> = path
            .ancestors()
            .filter(|p| !p.as_os_str().is_empty() && !state.live.contains_key(*p))
            .map(Path::to_owned)
            .collect();
        for dir in missing.into_iter().rev() {
            state.change_name(NameChange::Create(dir, Node::Dir));
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.state.lock();
        if state.live.get(dir) != Some(&Node::Dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut entries = Vec::new();
        for (path, node) in state.live.range(dir.to_owned()..) {
            if !path.starts_with(dir) {
                break;
            }
            if path.parent() != Some(dir) {
                continue;
            }
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            entries.push(match node {
                Node::Dir => DirEntry {
                    name,
                    is_dir: true,
                    len: 0,
                },
                Node::File(inode) => DirEntry {
                    name,
                    is_dir: false,
                    len: state.inodes[*inode].live.len() as u64,
                },
            });
        }
        entries.sort();
        Ok(entries)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let pending = std::mem::take(&mut state.unsynced_names);
        for change in pending {
            if change.dirs().contains(&dir) {
                apply_name(&mut state.durable, &change);
            } else {
                state.unsynced_names.push(change);
            }
        }
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.state.lock().live.contains_key(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<MemLock>> {
        self.open(path, OpenMode::Create)?;
        let taken = self.state.lock().locks.insert(path.to_owned());
        Ok(taken.then(|| MemLock {
            state: self.state.clone(),
            path: path.to_owned(),
        }))
    }
}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.state.lock().locks.remove(&self.path);
    }
}

impl DiskFile for MemFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state.lock().inodes[self.inode].live.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let state = self.state.lock();
        let content = &state.inodes[self.inode].live;
        let start = usize::try_from(position)
            .unwrap_or(usize::MAX)
            .min(content.len());
        let count = buffer.len().min(content.len() - start);
        buffer[..count].copy_from_slice(&content[start..start + count]);
        Ok(count)
    }

    fn write_all_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        let bytes: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        let position = usize::try_from(position).map_err(io::Error::other)?;
        self.state.lock().inodes[self.inode].apply(Change::Write { position, bytes });
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.state.lock().inodes[self.inode].apply(Change::Truncate(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let nth = state.failing_sync.take();
        let fails = nth == Some(1);
        state.failing_sync = nth.map(|nth| nth - 1).filter(|left| *left > 0);
        let inode = &mut state.inodes[self.inode];
        if fails {
            inode.unsynced.clear();
            return Err(rustix::io::Errno::IO.into());
        }
        for change in std::mem::take(&mut inode.unsynced) {
            change.apply(&mut inode.durable);
        }
        Ok(())
    }

    /// The length is not of the cache: what is missing is read as zeros.
    fn forget_cached(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let inode = &mut state.inodes[self.inode];
        let len = inode.live.len();
        inode.live.clone_from(&inode.durable);
        for change in &inode.unsynced {
            change.apply(&mut inode.live);
        }
        inode.live.resize(len, 0);
        Ok(())
    }

    fn as_std(&self) -> Option<Arc<std::fs::File>> {
        None
    }
}

impl State {
    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.live.get(path) {
            Some(Node::File(inode)) => Ok(*inode),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn create_file(&mut self, path: &Path) -> io::Result<usize> {
        if path.parent().and_then(|dir| self.live.get(dir)) != Some(&Node::Dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inode = self.inodes.len();
        self.inodes.push(Inode::default());
        self.change_name(NameChange::Create(path.to_owned(), Node::File(inode)));
        Ok(inode)
    }

    fn change_name(&mut self, change: NameChange) {
        apply_name(&mut self.live, &change);
        self.unsynced_names.push(change);
    }
}
