//! `.txnindex`: the aborted transactions that ended in a segment.
//!
//! Owns: the layout of an entry, appending, reading and truncating.
//! Must not know: producers.
//! Invariants: last offsets rise; an entry is written before the marker counts as appended. Few
//! transactions abort, so the file is opened for each use.
//!
//! ```text
//! 0   i16  version 0
//! 2   i64  producer id
//! 10  i64  first offset of the transaction
//! 18  i64  offset of its abort marker
//! 26  i64  last stable offset when the marker was appended
//! ```

use std::io;
use std::path::Path;

use super::{EntryFile, IndexEntry, array_at};
use crate::disk::{Disk, DiskFile, OpenMode};

const VERSION: i16 = 0;

/// A transaction that ended with an abort marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTxn {
    pub producer_id: i64,
    pub first_offset: i64,
    /// The offset of the abort marker.
    pub last_offset: i64,
    pub last_stable_offset: i64,
}

impl IndexEntry for AbortedTxn {
    const SIZE: usize = 34;

    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&VERSION.to_be_bytes());
        for field in [
            self.producer_id,
            self.first_offset,
            self.last_offset,
            self.last_stable_offset,
        ] {
            out.extend_from_slice(&field.to_be_bytes());
        }
    }

    fn get(bytes: &[u8]) -> AbortedTxn {
        let field = |at| i64::from_be_bytes(array_at(bytes, at));
        AbortedTxn {
            producer_id: field(2),
            first_offset: field(10),
            last_offset: field(18),
            last_stable_offset: field(26),
        }
    }
}

/// The number of entries on disk; nothing else is kept in memory.
#[derive(Debug)]
pub(crate) struct TxnIndex(EntryFile<AbortedTxn>);

impl TxnIndex {
    pub(crate) fn new() -> TxnIndex {
        TxnIndex(EntryFile::new())
    }

    pub(crate) fn on_disk(len: u64) -> TxnIndex {
        TxnIndex(EntryFile::on_disk(len))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.entries() == 0
    }

    pub(crate) fn append<D: Disk>(
        &mut self,
        disk: &D,
        path: &Path,
        txn: AbortedTxn,
    ) -> io::Result<()> {
        self.0.push(txn);
        self.0.write_pending(disk, path)
    }

    /// All entries, oldest first.
    pub(crate) fn read_all<D: Disk>(&self, disk: &D, path: &Path) -> io::Result<Vec<AbortedTxn>> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let file = disk.open(path, OpenMode::Read)?;
        let mut bytes = vec![0; self.0.entries() as usize * AbortedTxn::SIZE];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes
            .chunks_exact(AbortedTxn::SIZE)
            .map(AbortedTxn::get)
            .collect())
    }

    /// Whether every entry lies in the segment and in order.
    pub(crate) fn is_sane<D: Disk>(
        &self,
        disk: &D,
        path: &Path,
        base_offset: i64,
    ) -> io::Result<bool> {
        let entries = self.read_all(disk, path)?;
        let rising = entries.is_sorted_by(|a, b| a.last_offset < b.last_offset);
        Ok(rising
            && entries
                .first()
                .is_none_or(|first| first.last_offset >= base_offset))
    }

    /// Removes the transactions whose marker is at or above `offset`.
    pub(crate) fn truncate_to<D: Disk>(
        &mut self,
        disk: &D,
        path: &Path,
        offset: i64,
    ) -> io::Result<()> {
        self.0.truncate(disk, path, |txn| txn.last_offset < offset)
    }
}

/// What a reader of `[from, to)` must skip, as Kafka collects it over the segments in order.
/// Returns whether later segments may hold more.
pub(crate) fn collect_aborted(
    entries: &[AbortedTxn],
    from: i64,
    to: i64,
    found: &mut Vec<AbortedTxn>,
) -> bool {
    for txn in entries {
        if txn.last_offset >= from && txn.first_offset < to {
            found.push(*txn);
        }
        if txn.last_stable_offset >= to {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    fn txn(producer_id: i64, first: i64, last: i64, stable: i64) -> AbortedTxn {
        AbortedTxn {
            producer_id,
            first_offset: first,
            last_offset: last,
            last_stable_offset: stable,
        }
    }

    #[test]
    fn entries_are_kafkas_and_are_read_back() {
        let disk = MemDisk::new();
        disk.create_dir_all(Path::new("/d")).unwrap();
        let path = Path::new("/d/0.txnindex");
        let mut index = TxnIndex::new();
        let all = [txn(1, 0, 10, 5), txn(2, 5, 12, 13), txn(3, 20, 30, 31)];
        for txn in all {
            index.append(&disk, path, txn).unwrap();
        }
        let bytes = disk.read(path).unwrap();
        assert_eq!(
            (bytes.len(), &bytes[..10]),
            (3 * 34, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1].as_slice())
        );
        assert_eq!(TxnIndex::on_disk(102).read_all(&disk, path).unwrap(), all);
        assert!(index.is_sane(&disk, path, 0).unwrap() && !index.is_sane(&disk, path, 11).unwrap());
        index.truncate_to(&disk, path, 12).unwrap();
        assert_eq!(index.read_all(&disk, path).unwrap(), all[..1]);
    }

    #[test]
    fn collecting_stops_when_nothing_later_can_matter() {
        let entries = [txn(1, 0, 10, 5), txn(2, 5, 12, 13), txn(3, 20, 30, 31)];
        let collect = |from, to| {
            let mut found = Vec::new();
            let more = collect_aborted(&entries, from, to, &mut found);
            (
                found.iter().map(|txn| txn.producer_id).collect::<Vec<_>>(),
                more,
            )
        };
        assert_eq!(collect(0, 13), (vec![1, 2], false));
        assert_eq!(collect(11, 40), (vec![2, 3], true));
        assert_eq!(collect(31, 40), (vec![], true));
    }
}
