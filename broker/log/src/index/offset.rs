//! `.index`: where in the log file an offset lies.
//!
//! Owns: the layout of an entry and what may be appended.
//! Must not know: batches.
//! Invariants: offsets and positions rise strictly; the offset is the *last* of the batch that starts
//! at the position, as Kafka's dump tool checks.
//!
//! ```text
//! 0  i32  offset − base offset of the segment
//! 4  i32  position in the log file
//! ```

use std::io;
use std::path::Path;

use super::{EntryFile, IndexEntry, array_at};
use crate::disk::Disk;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub(crate) relative_offset: i32,
    pub(crate) position: i32,
}

impl IndexEntry for OffsetEntry {
    const SIZE: usize = 8;

    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn get(bytes: &[u8]) -> OffsetEntry {
        OffsetEntry {
            relative_offset: i32::from_be_bytes(array_at(bytes, 0)),
            position: i32::from_be_bytes(array_at(bytes, 4)),
        }
    }
}

pub(crate) type OffsetIndex = EntryFile<OffsetEntry>;

impl OffsetIndex {
    pub(crate) fn append(&mut self, entry: OffsetEntry) {
        if let Some(last) = self.last() {
            assert!(
                entry.relative_offset > last.relative_offset && entry.position > last.position,
                "offset index entry {entry:?} does not follow {last:?}"
            );
        }
        self.push(entry);
    }

    /// The last entry whose offset is not above `relative_offset`.
    pub(crate) fn lookup<D: Disk>(
        &self,
        disk: &D,
        path: &Path,
        relative_offset: i64,
    ) -> io::Result<Option<OffsetEntry>> {
        self.floor(disk, path, |entry| {
            i64::from(entry.relative_offset) <= relative_offset
        })
    }

    /// The last entry whose position is not above `position`.
    pub(crate) fn lookup_position<D: Disk>(
        &self,
        disk: &D,
        path: &Path,
        position: u64,
    ) -> io::Result<Option<OffsetEntry>> {
        self.floor(disk, path, |entry| {
            i64::from(entry.position) <= position.cast_signed()
        })
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
    fn search_and_truncation_over_disk_and_memory() {
        let disk = MemDisk::new();
        disk.create_dir_all(Path::new("/d")).unwrap();
        let path = Path::new("/d/0.index");
        let mut index = OffsetIndex::new();
        for number in 0..2000 {
            index.append(OffsetEntry {
                relative_offset: number * 10,
                position: number * 100 + 1,
            });
            if index.wants_write() {
                index.write_pending(&disk, path).unwrap();
            }
        }
        assert_eq!(index.entries(), 2000);
        for target in [
            0, 1, 9, 10, 2559, 2560, 15_354, 15_355, 15_360, 19_989, 19_990, 50_000,
        ] {
            let expected = i32::try_from(target / 10).unwrap().min(1999) * 10;
            let found = index.lookup(&disk, path, target).unwrap().unwrap();
            assert_eq!(found.relative_offset, expected, "target {target}");
        }
        assert_eq!(index.lookup(&disk, path, -1).unwrap(), None);
        assert_eq!(index.lookup_position(&disk, path, 0).unwrap(), None);
        let by_position = index
            .lookup_position(&disk, path, 150_000)
            .unwrap()
            .unwrap();
        assert_eq!(by_position.position, 149_901);

        index.truncate_to(&disk, path, 5_000).unwrap();
        assert_eq!(
            (index.entries(), index.last().unwrap().relative_offset),
            (500, 4_990)
        );
        index.append(OffsetEntry {
            relative_offset: 5_000,
            position: 60_000,
        });
        index.write_pending(&disk, path).unwrap();
        assert_eq!(disk.read(path).unwrap().len(), 501 * 8);

        let mut reopened = OffsetIndex::on_disk(501 * 8);
        assert_eq!(reopened.load_last(&disk, path).unwrap(), index.last());
    }
}
