//! What an interrupted deletion or compaction left in a partition directory.
//!
//! Owns: removing `.deleted` and `.cleaned` files and completing `.swap` ones, as Kafka does.
//! Must not know: what compaction decides.
//! Invariants: idempotent: a crash between any two steps leaves what the next opening handles.
//!
//! 1. `.deleted` goes.
//! 2. A `.swap` at or above the lowest `.cleaned` belongs to an unfinished split and goes; then all
//!    `.cleaned` go.
//! 3. Live segments covered by the remaining `.swap` segments were replaced by them and go.
//! 4. The remaining `.swap` lose their suffix.

use std::io;
use std::path::Path;

use crate::disk::{Disk, OpenMode};
use crate::names::{FileStage, FileType, OffsetFile};
use crate::scanner::{Found, SEQUENTIAL_CHUNK, Scanner};

/// How many files were removed and how many segments swapped in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leftovers {
    pub(crate) removed_files: usize,
    pub(crate) completed_swaps: usize,
}

pub(crate) fn settle_leftovers<D: Disk>(disk: &D, dir: &Path) -> io::Result<Leftovers> {
    let files = offset_files(disk, dir)?;
    let at = |stage| {
        files
            .iter()
            .map(|(file, _)| *file)
            .filter(move |file| file.stage == stage)
    };
    let unfinished_from = at(FileStage::Cleaned).map(|file| file.base_offset).min();
    let is_unfinished = |file: &OffsetFile| unfinished_from.is_some_and(|o| file.base_offset >= o);
    let mut settled = Leftovers::default();
    let (unfinished, mut swaps): (Vec<_>, Vec<_>) = at(FileStage::Swap).partition(is_unfinished);
    // The cleaned files last: they are the sign that the swaps above them are unfinished.
    for file in at(FileStage::Deleted)
        .chain(unfinished)
        .chain(at(FileStage::Cleaned))
    {
        disk.remove_file(&file.path(dir))?;
        settled.removed_files += 1;
    }
    if let Some((low, high)) = covered(disk, dir, &swaps)? {
        let is_replaced = |file: &OffsetFile| {
            (low..high).contains(&file.base_offset) && file.file_type != FileType::Snapshot
        };
        for file in at(FileStage::Live).filter(is_replaced) {
            disk.remove_file(&file.path(dir))?;
            settled.removed_files += 1;
        }
    }
    // The log file first (types are ordered so): once it is live, its indexes are no longer taken
    // for those of a segment it replaced.
    swaps.sort_by_key(|file| (file.base_offset, file.file_type));
    for file in swaps {
        disk.rename(&file.path(dir), &file.at(FileStage::Live).path(dir))?;
        settled.completed_swaps += usize::from(file.file_type == FileType::Log);
    }
    if settled != Leftovers::default() {
        disk.sync_dir(dir)?;
    }
    Ok(settled)
}

/// The files of a directory that are named after an offset, with their lengths.
pub(crate) fn offset_files<D: Disk>(disk: &D, dir: &Path) -> io::Result<Vec<(OffsetFile, u64)>> {
    let entries = disk.list(dir)?.into_iter().filter(|entry| !entry.is_dir);
    Ok(entries
        .filter_map(|entry| Some((OffsetFile::parse(&entry.name)?, entry.len)))
        .collect())
}

/// The offsets that the segments about to be swapped in stand for.
fn covered<D: Disk>(disk: &D, dir: &Path, swaps: &[OffsetFile]) -> io::Result<Option<(i64, i64)>> {
    let mut range: Option<(i64, i64)> = None;
    for swap in swaps.iter().filter(|file| file.file_type == FileType::Log) {
        let file = disk.open(&swap.path(dir), OpenMode::Read)?;
        let end = crate::disk::DiskFile::len(&file)?;
        let mut scanner = Scanner::new(&file, 0, end, SEQUENTIAL_CHUNK);
        // At least itself: a live file of the same name is replaced by the renaming anyway.
        let mut next_offset = swap.base_offset + 1;
        while let Found::Batch(batch) = scanner.next()? {
            next_offset = batch.header.next_offset();
        }
        let (low, high) = range.unwrap_or((swap.base_offset, next_offset));
        range = Some((low.min(swap.base_offset), high.max(next_offset)));
    }
    Ok(range)
}
