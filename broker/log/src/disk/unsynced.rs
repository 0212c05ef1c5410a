//! What a disk would lose with its power: the changes of every file since its last sync, and how to
//! take them back.
//!
//! Owns: per file, what stood where something was written over or cut off.
//! Must not know: when the power goes, what the files mean.
//! Invariants: a change is taken back unless a sync of its file that began after it has succeeded;
//! names survive as they are, as after a journal that was written at that moment.

use super::{Disk, DiskFile, OpenMode};
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files of a disk that were changed.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    files: Mutex<BTreeMap<PathBuf, Arc<Changes>>>,
}

/// Of one file, whatever it is called by now.
#[derive(Debug, Default)]
pub(super) struct Changes(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    /// Of the change made last.
    number: u64,
    undo: Vec<Undo>,
}

/// One change: what to write where, and how long the file was.
#[derive(Debug)]
struct Undo {
    number: u64,
    position: u64,
    bytes: Vec<u8>,
    len: u64,
}

impl Unsynced {
    pub(super) fn of(&self, path: &Path) -> Arc<Changes> {
        let mut files = self.files.lock();
        Arc::clone(files.entry(path.to_owned()).or_default())
    }

    pub(super) fn renamed(&self, from: &Path, to: &Path) {
        let mut files = self.files.lock();
        let within = |path: &&PathBuf| path.starts_with(from);
        let moved: Vec<PathBuf> = files.keys().filter(within).cloned().collect();
        for path in moved {
            let rest = path.strip_prefix(from).unwrap_or(Path::new(""));
            let target = match rest.as_os_str().is_empty() {
                true => to.to_owned(),
                false => to.join(rest),
            };
            if let Some(changes) = files.remove(&path) {
                files.insert(target, changes);
            }
        }
    }

    /// A file, or a directory with all that is in it.
    pub(super) fn removed(&self, path: &Path) {
        self.files.lock().retain(|it, _| !it.starts_with(path));
    }

    /// Takes back what was not synced, then does `last`. Until that is done whoever changes or syncs a
    /// file waits: for ever, where the process ends in it. Otherwise one whose bytes were taken back
    /// could still say that they are on disk.
    pub(super) fn take_back<D: Disk>(&self, disk: &D, last: impl FnOnce()) -> io::Result<()> {
        let files = self.files.lock();
        let mut guards = Vec::new();
        for (path, changes) in files.iter() {
            let mut list = changes.0.lock();
            if !list.undo.is_empty() && disk.exists(path)? {
                let file = disk.open(path, OpenMode::Write)?;
                while let Some(undo) = list.undo.pop() {
                    file.write_all_at(&undo.bytes, undo.position)?;
                    file.truncate(undo.len)?;
                }
            }
            guards.push(list);
        }
        last();
        Ok(())
    }
}

impl Changes {
    pub(super) fn write<F: DiskFile>(
        &self,
        file: &F,
        slices: &[IoSlice<'_>],
        position: u64,
    ) -> io::Result<()> {
        let mut list = self.0.lock();
        let len = file.len()?;
        let end = position + slices.iter().map(|it| it.len() as u64).sum::<u64>();
        list.remember(file, position..end.min(len).max(position), len)?;
        file.write_all_vectored_at(slices, position)
    }

    pub(super) fn truncate<F: DiskFile>(&self, file: &F, to: u64) -> io::Result<()> {
        let mut list = self.0.lock();
        let len = file.len()?;
        list.remember(file, to.min(len)..len, len)?;
        file.truncate(to)
    }

    /// What is there by now is on disk when `sync` has succeeded.
    pub(super) fn sync(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let upto = self.0.lock().number;
        sync()?;
        let mut list: MutexGuard<'_, List> = self.0.lock();
        list.undo.retain(|undo| undo.number > upto);
        Ok(())
    }
}

impl List {
    fn remember<F: DiskFile>(
        &mut self,
        file: &F,
        range: std::ops::Range<u64>,
        len: u64,
    ) -> io::Result<()> {
        let size = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut bytes = vec![0; size];
        file.read_exact_at(&mut bytes, range.start)?;
        self.number += 1;
        self.undo.push(Undo {
            number: self.number,
            position: range.start,
            bytes,
            len,
        });
        Ok(())
    }
}
