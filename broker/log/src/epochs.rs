//! The leader epochs of a partition and where each began.
//!
//! Owns: the list of (epoch, start offset) and its file `leader-epoch-checkpoint`.
//! Must not know: records, segments.
//! Invariants: epochs and start offsets rise strictly from entry to entry; a new epoch is durable
//! before the first append in it (semantics.md section 3, rule 13), a truncation may be written late:
//! opening the log truncates again.

use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::{parse_epochs, print_epochs};
use crate::disk::Disk;
use crate::names::LEADER_EPOCH_CHECKPOINT;

/// What `OffsetForLeaderEpoch` answers where it knows nothing.
pub const UNDEFINED_EPOCH: i32 = -1;
pub const UNDEFINED_EPOCH_OFFSET: i64 = -1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    pub epoch: i32,
    pub start_offset: i64,
}

/// The epoch history; `dirty` says that the file is behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EpochCache {
    entries: Vec<EpochEntry>,
    dirty: bool,
}

/// How the file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EpochFile {
    Whole,
    /// Missing, unreadable as text, or out of order: to be rebuilt from the batches.
    Unusable,
}

impl EpochCache {
    /// Reads the file of a partition directory.
    pub(crate) fn read<D: Disk>(disk: &D, dir: &Path) -> io::Result<(EpochCache, EpochFile)> {
        let content = match disk.read(&file_of(dir)) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((EpochCache::default(), EpochFile::Unusable));
            }
            Err(error) => return Err(error),
        };
        let Ok(pairs) = parse_epochs(&String::from_utf8_lossy(&content)) else {
            return Ok((EpochCache::default(), EpochFile::Unusable));
        };
        let entry = |(epoch, start_offset)| EpochEntry {
            epoch,
            start_offset,
        };
        let entries: Vec<EpochEntry> = pairs.into_iter().map(entry).collect();
        if !entries.is_sorted_by(|a, b| a.epoch < b.epoch && a.start_offset < b.start_offset) {
            return Ok((EpochCache::default(), EpochFile::Unusable));
        }
        Ok((
            EpochCache {
                entries,
                dirty: false,
            },
            EpochFile::Whole,
        ))
    }

    /// Writes the file if it is behind.
    pub(crate) fn flush<D: Disk>(&mut self, disk: &D, dir: &Path) -> io::Result<()> {
        if !self.dirty {
            return Ok(());
        }
        let pairs = self
            .entries
            .iter()
            .map(|entry| (entry.epoch, entry.start_offset));
        disk.write_atomic(&file_of(dir), print_epochs(pairs).as_bytes())?;
        self.dirty = false;
        Ok(())
    }

    pub(crate) fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    pub(crate) fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// Notes that `epoch` starts at `start_offset`; entries that contradict it go, as in Kafka: the
    /// newer word on an offset or an epoch is the right one. Returns whether anything changed.
    pub(crate) fn assign(&mut self, epoch: i32, start_offset: i64) -> bool {
        assert!(
            epoch >= 0 && start_offset >= 0,
            "epoch {epoch} starts at offset {start_offset}"
        );
        if self.latest().is_some_and(|latest| latest.epoch == epoch) {
            return false;
        }
        self.entries
            .retain(|entry| entry.epoch < epoch && entry.start_offset < start_offset);
        self.entries.push(EpochEntry {
            epoch,
            start_offset,
        });
        self.dirty = true;
        true
    }

    /// Takes the word of batches that were read: `found` are the (epoch, first offset) from some
    /// offset to the log end. A truncation of the file may have been lost in a crash.
    /// Below `recovery_point` the file's word stands: no truncation reached there, and compaction may
    /// have taken the first batches of an epoch.
    pub(crate) fn replace_from(&mut self, found: &[(i32, i64)], recovery_point: i64) {
        let Some((_, from)) = found.first() else {
            return;
        };
        let mut told = self.clone();
        told.truncate_from_end((*from).max(recovery_point));
        for (epoch, offset) in found.iter().filter(|(epoch, _)| *epoch >= 0) {
            if told.latest().is_none_or(|latest| latest.epoch < *epoch) {
                told.assign(*epoch, *offset);
            }
        }
        if told.entries != self.entries {
            *self = told;
        }
    }

    /// Forgets everything from `end_offset` on.
    pub(crate) fn truncate_from_end(&mut self, end_offset: i64) {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.start_offset < end_offset);
        self.dirty |= self.entries.len() != before;
    }

    /// Forgets what lies wholly below `start_offset`; the epoch at `start_offset` now starts there.
    pub(crate) fn truncate_from_start(&mut self, start_offset: i64) {
        let below = self
            .entries
            .partition_point(|entry| entry.start_offset <= start_offset);
        if below == 0 || self.entries[below - 1].start_offset == start_offset && below == 1 {
            return;
        }
        self.entries.drain(..below - 1);
        self.entries[0].start_offset = start_offset;
        self.dirty = true;
    }

    pub(crate) fn clear(&mut self) {
        self.dirty |= !self.entries.is_empty();
        self.entries.clear();
    }

    /// The answer of `OffsetForLeaderEpoch`: the largest known epoch not above `epoch`, and where
    /// the next one begins (KIP-101, KIP-279).
    pub(crate) fn end_offset_for(&self, epoch: i32, log_end_offset: i64) -> (i32, i64) {
        let Some(latest) = self.latest() else {
            return (UNDEFINED_EPOCH, UNDEFINED_EPOCH_OFFSET);
        };
        if epoch == latest.epoch {
            return (epoch, log_end_offset);
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let Some(higher) = self.entries.get(above).filter(|_| epoch != UNDEFINED_EPOCH) else {
            return (UNDEFINED_EPOCH, UNDEFINED_EPOCH_OFFSET);
        };
        // Below everything known: its own epoch, ending where the first known one starts.
        let found = if above == 0 {
            epoch
        } else {
            self.entries[above - 1].epoch
        };
        (found, higher.start_offset)
    }

    /// The epoch in which `offset` was written.
    pub(crate) fn epoch_of(&self, offset: i64) -> Option<i32> {
        let after = self
            .entries
            .partition_point(|entry| entry.start_offset <= offset);
        after.checked_sub(1).map(|index| self.entries[index].epoch)
    }
}

fn file_of(dir: &Path) -> PathBuf {
    dir.join(LEADER_EPOCH_CHECKPOINT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        let mut cache = EpochCache::default();
        for (epoch, start_offset) in entries {
            cache.assign(*epoch, *start_offset);
        }
        cache
    }

    fn pairs(cache: &EpochCache) -> Vec<(i32, i64)> {
        cache
            .entries
            .iter()
            .map(|entry| (entry.epoch, entry.start_offset))
            .collect()
    }

    #[test]
    fn assigning_removes_what_contradicts() {
        assert_eq!(pairs(&cache(&[(0, 0), (0, 5), (2, 10)])), [(0, 0), (2, 10)]);
        assert_eq!(
            pairs(&cache(&[(0, 0), (2, 10), (3, 10)])),
            [(0, 0), (3, 10)]
        );
        assert_eq!(
            pairs(&cache(&[(0, 0), (2, 10), (1, 20)])),
            [(0, 0), (1, 20)]
        );
        assert_eq!(pairs(&cache(&[(5, 100), (6, 50)])), [(6, 50)]);
    }

    #[test]
    fn end_offsets_by_epoch() {
        let cache = cache(&[(2, 10), (4, 20), (5, 30)]);
        let cases = [
            (-1, (-1, -1)),
            (1, (1, 10)),
            (2, (2, 20)),
            (3, (2, 20)),
            (4, (4, 30)),
            (5, (5, 40)),
            (6, (-1, -1)),
        ];
        for (epoch, answer) in cases {
            assert_eq!(cache.end_offset_for(epoch, 40), answer, "epoch {epoch}");
        }
        assert_eq!(EpochCache::default().end_offset_for(0, 0), (-1, -1));
        assert_eq!(cache.epoch_of(9), None);
        assert_eq!(cache.epoch_of(29), Some(4));
    }

    #[test]
    fn truncation_at_both_ends() {
        let all = cache(&[(0, 0), (1, 10), (2, 20)]);
        let from_start = |offset| {
            let mut cache = all.clone();
            cache.truncate_from_start(offset);
            pairs(&cache)
        };
        assert_eq!(from_start(0), [(0, 0), (1, 10), (2, 20)]);
        assert_eq!(from_start(5), [(0, 5), (1, 10), (2, 20)]);
        assert_eq!(from_start(10), [(1, 10), (2, 20)]);
        assert_eq!(from_start(25), [(2, 25)]);
        let mut from_end = all.clone();
        from_end.truncate_from_end(20);
        assert_eq!(pairs(&from_end), [(0, 0), (1, 10)]);
    }

    #[test]
    fn the_file_is_kafkas_and_damage_is_noticed() {
        let disk = MemDisk::new();
        let dir = Path::new("/d");
        disk.create_dir_all(dir).unwrap();
        let mut written = cache(&[(0, 0), (3, 17)]);
        written.flush(&disk, dir).unwrap();
        assert_eq!(disk.read(&file_of(dir)).unwrap(), b"0\n2\n0 0\n3 17\n");
        assert_eq!(
            EpochCache::read(&disk, dir).unwrap(),
            (written, EpochFile::Whole)
        );
        for damage in ["0\n2\n0 0\n", "0\n2\n3 17\n0 18\n", "\u{1}"] {
            disk.write_atomic(&file_of(dir), damage.as_bytes()).unwrap();
            assert_eq!(
                EpochCache::read(&disk, dir).unwrap().1,
                EpochFile::Unusable,
                "{damage:?}"
            );
        }
    }
}
