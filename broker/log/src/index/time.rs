//! `.timeindex`: up to which offset no record is younger than a timestamp.
//!
//! Owns: the layout of an entry and what may be appended.
//! Must not know: batches.
//! Invariants: timestamps rise strictly, offsets never fall; an entry holds the largest timestamp of
//! the segment so far and the last offset of the batch that brought it.
//!
//! ```text
//! 0  i64  timestamp
//! 8  i32  offset − base offset of the segment
//! ```

use std::io;
use std::path::Path;

use super::{EntryFile, IndexEntry, array_at};
use crate::disk::Disk;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp: i64,
    pub(crate) relative_offset: i32,
}

impl IndexEntry for TimeEntry {
    const SIZE: usize = 12;

    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
    }

    fn get(bytes: &[u8]) -> TimeEntry {
        TimeEntry {
            timestamp: i64::from_be_bytes(array_at(bytes, 0)),
            relative_offset: i32::from_be_bytes(array_at(bytes, 8)),
        }
    }
}

pub(crate) type TimeIndex = EntryFile<TimeEntry>;

impl TimeIndex {
    /// Appends the entry if it says something new; a segment without timestamps (−1) has no entries.
    pub(crate) fn maybe_append(&mut self, entry: TimeEntry) {
        let newest = self.last().map_or(-1, |last| last.timestamp);
        if entry.timestamp > newest {
            self.push(entry);
        }
    }

    /// The last entry whose timestamp is not above `timestamp`.
    pub(crate) fn lookup<D: Disk>(
        &self,
        disk: &D,
        path: &Path,
        timestamp: i64,
    ) -> io::Result<Option<TimeEntry>> {
        self.floor(disk, path, |entry| entry.timestamp <= timestamp)
    }

    /// Removes the entries at and above `relative_offset`.
    pub(crate) fn truncate_to<D: Disk>(
        &mut self,
        disk: &D,
        path: &Path,
        relative_offset: i64,
    ) -> io::Result<()> {
        self.truncate(disk, path, |entry| {
            i64::from(entry.relative_offset) < relative_offset
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    #[test]
    fn only_growing_timestamps_are_kept() {
        let disk = MemDisk::new();
        disk.create_dir_all(Path::new("/d")).unwrap();
        let path = Path::new("/d/0.timeindex");
        let mut index = TimeIndex::new();
        for (timestamp, relative_offset) in [(-1, 0), (100, 3), (100, 8), (90, 9), (250, 12)] {
            index.maybe_append(TimeEntry {
                timestamp,
                relative_offset,
            });
        }
        assert_eq!(index.entries(), 2);
        index.write_pending(&disk, path).unwrap();
        assert_eq!(disk.read(path).unwrap().len(), 24);
        assert_eq!(index.lookup(&disk, path, 99).unwrap(), None);
        let found = index.lookup(&disk, path, 249).unwrap().unwrap();
        assert_eq!(
            found,
            TimeEntry {
                timestamp: 100,
                relative_offset: 3
            }
        );
        index.truncate_to(&disk, path, 12).unwrap();
        assert_eq!((index.entries(), index.last().unwrap().timestamp), (1, 100));
    }
}
