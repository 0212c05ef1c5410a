//! The sparse indexes of a segment.
//!
//! Owns: entries of fixed size in a file, of which the newest may still be in memory.
//! Must not know: batches; whether an index tells the truth is for the segment to check.
//! Invariants: entries rise; those in memory come after those on disk; at most [`PENDING_MAX`] are in
//! memory, so an index of any size costs a few KiB. Nothing is mapped or preallocated: an index that
//! lost its tail in a crash is rebuilt from the log.

mod offset;
mod time;
mod txn;

use std::io;
use std::path::Path;

use crate::disk::{Disk, DiskFile, OpenMode};

pub(crate) use offset::{OffsetEntry, OffsetIndex};
pub(crate) use time::{TimeEntry, TimeIndex};
pub use txn::AbortedTxn;
pub(crate) use txn::{TxnIndex, collect_aborted};

/// Entries kept in memory before they are appended to the file: one write per 2 MiB of log at the
/// default interval, and at most 8 KiB of memory per index.
const PENDING_MAX: usize = 512;
/// A search reads the last stretch of this many entries at once.
const BLOCK_ENTRIES: u32 = 256;

/// One entry of fixed size, big endian.
pub(crate) trait IndexEntry: Copy {
    const SIZE: usize;
    fn put(self, out: &mut Vec<u8>);
    /// `bytes` has exactly `SIZE` bytes.
    fn get(bytes: &[u8]) -> Self;
}

/// A file of entries and its unwritten tail.
#[derive(Debug)]
pub(crate) struct EntryFile<E> {
    on_disk: u32,
    pending: Vec<E>,
    last: Option<E>,
}

impl<E: IndexEntry> EntryFile<E> {
    pub(crate) fn new() -> EntryFile<E> {
        EntryFile {
            on_disk: 0,
            pending: Vec::new(),
            last: None,
        }
    }

    /// An index that lies on disk with `len` bytes; its last entry is read when first needed.
    pub(crate) fn on_disk(len: u64) -> EntryFile<E> {
        let on_disk = u32::try_from(len / E::SIZE as u64).unwrap_or(u32::MAX);
        EntryFile {
            on_disk,
            pending: Vec::new(),
            last: None,
        }
    }

    pub(crate) fn entries(&self) -> u32 {
        self.on_disk + u32::try_from(self.pending.len()).unwrap_or(u32::MAX)
    }

    /// The last entry, if it is in memory; see [`EntryFile::load_last`].
    pub(crate) fn last(&self) -> Option<E> {
        self.last
    }

    /// Brings the last entry into memory, which appending needs.
    pub(crate) fn load_last<D: Disk>(&mut self, disk: &D, path: &Path) -> io::Result<Option<E>> {
        if self.last.is_none() && self.on_disk > 0 {
            let file = disk.open(path, OpenMode::Read)?;
            self.last = Some(read_entry(&file, self.on_disk - 1)?);
        }
        Ok(self.last)
    }

    fn push(&mut self, entry: E) {
        self.pending.push(entry);
        self.last = Some(entry);
    }

    pub(crate) fn wants_write(&self) -> bool {
        self.pending.len() >= PENDING_MAX
    }

    /// Appends the entries in memory to the file, and creates the file even for none.
    pub(crate) fn write_pending<D: Disk>(&mut self, disk: &D, path: &Path) -> io::Result<()> {
        if self.pending.is_empty() && self.on_disk > 0 {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(self.pending.len() * E::SIZE);
        for entry in &self.pending {
            entry.put(&mut bytes);
        }
        let file = disk.open(path, OpenMode::Create)?;
        if !bytes.is_empty() {
            file.write_all_at(&bytes, position_of::<E>(self.on_disk))?;
        }
        self.on_disk = self.entries();
        self.pending = Vec::new();
        Ok(())
    }

    /// The last entry for which `is_at_or_below` holds; it holds for a prefix of the entries.
    pub(crate) fn floor<D: Disk>(
        &self,
        disk: &D,
        path: &Path,
        is_at_or_below: impl Fn(&E) -> bool,
    ) -> io::Result<Option<E>> {
        if let Some(last) = self.last.filter(|last| is_at_or_below(last)) {
            return Ok(Some(last));
        }
        let in_memory = self.pending.partition_point(&is_at_or_below);
        if in_memory > 0 {
            return Ok(Some(self.pending[in_memory - 1]));
        }
        if self.on_disk == 0 {
            return Ok(None);
        }
        let file = disk.open(path, OpenMode::Read)?;
        let count = count_on_disk(&file, self.on_disk, &is_at_or_below)?;
        count
            .checked_sub(1)
            .map(|index| read_entry(&file, index))
            .transpose()
    }

    /// Keeps the entries for which `is_kept` holds, which are a prefix.
    fn truncate<D: Disk>(
        &mut self,
        disk: &D,
        path: &Path,
        is_kept: impl Fn(&E) -> bool,
    ) -> io::Result<()> {
        let in_memory = self.pending.partition_point(&is_kept);
        self.pending.truncate(in_memory);
        self.last = self.pending.last().copied();
        if in_memory > 0 || self.on_disk == 0 {
            return Ok(());
        }
        let file = disk.open(path, OpenMode::Write)?;
        let kept = count_on_disk(&file, self.on_disk, &is_kept)?;
        if kept < self.on_disk {
            file.truncate(position_of::<E>(kept))?;
            self.on_disk = kept;
        }
        self.last = kept
            .checked_sub(1)
            .map(|index| read_entry(&file, index))
            .transpose()?;
        Ok(())
    }
}

fn position_of<E: IndexEntry>(index: u32) -> u64 {
    u64::from(index) * E::SIZE as u64
}

fn read_entry<E: IndexEntry, F: DiskFile>(file: &F, index: u32) -> io::Result<E> {
    let mut bytes = vec![0; E::SIZE];
    file.read_exact_at(&mut bytes, position_of::<E>(index))?;
    Ok(E::get(&bytes))
}

/// How many of the first `entries` satisfy the predicate: halving down to one block, then one read.
fn count_on_disk<E: IndexEntry, F: DiskFile>(
    file: &F,
    entries: u32,
    holds: impl Fn(&E) -> bool,
) -> io::Result<u32> {
    let (mut low, mut high) = (0, entries);
    while high - low > BLOCK_ENTRIES {
        let middle = low + (high - low) / 2;
        if holds(&read_entry(file, middle)?) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let mut block = vec![0; (high - low) as usize * E::SIZE];
    file.read_exact_at(&mut block, position_of::<E>(low))?;
    let in_block = block
        .chunks_exact(E::SIZE)
        .take_while(|bytes| holds(&E::get(bytes)))
        .count();
    Ok(low + u32::try_from(in_block).unwrap_or(0))
}

/// The first `N` bytes of `bytes` after `at`, which the caller knows to be there.
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}
