//! The batches that a replica holds, from its files: what is cut off a log is seen by looking twice.
//!
//! Both targets keep the same form: a partition's folder has segments, and these have batches of format 2
//! one after the other. Only what tells batches apart is read; records stay unopened.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What every batch begins with, up to and with its count of records.
const HEADER: usize = 61;

/// Offset and length stand before what the length counts.
const BEFORE_LENGTH: usize = 12;

/// Where fields begin: base offset (8 bytes), leader epoch (4), checksum (4), records (4).
const LEADER_EPOCH: usize = 12;
const MAGIC: usize = 16;
const CHECKSUM: usize = 17;
const RECORDS: usize = 57;

/// The form that is read.
const FORMAT: u8 = 2;

/// A batch and how many records it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Batch {
    base_offset: i64,
    leader_epoch: i32,
    checksum: u32,
    records: u32,
}

/// All batches of a replica.
pub(super) type Held = BTreeSet<Batch>;

/// What the folder of a partition holds now.
pub(super) fn read(partition: &Path) -> io::Result<Held> {
    let mut held = Held::new();
    for path in segments(partition)? {
        match fs::read(&path) {
            Ok(bytes) => batches(&bytes, &mut held),
            // One that was just removed holds nothing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(held)
}

/// Records of batches that were there and are no more.
pub(super) fn cut_off(before: &Held, after: &Held) -> u64 {
    let gone = before.difference(after);
    gone.map(|it| u64::from(it.records)).sum()
}

fn segments(partition: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(partition)?.map(|entry| entry.map(|it| it.path()));
    let mut paths = paths.collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|it| it == "log"));
    Ok(paths)
}

/// The last batch may be half written: what is not whole is not there.
fn batches(mut bytes: &[u8], held: &mut Held) {
    while let Some((batch, size)) = first(bytes) {
        held.insert(batch);
        bytes = &bytes[size..];
    }
}

fn first(bytes: &[u8]) -> Option<(Batch, usize)> {
    let header = bytes.get(..HEADER)?;
    let length = usize::try_from(i32::from_be_bytes(field(header, 8))).ok()?;
    let size = length + BEFORE_LENGTH;
    let is_whole = size >= HEADER && size <= bytes.len() && header[MAGIC] == FORMAT;
    let batch = Batch {
        base_offset: i64::from_be_bytes(field(header, 0)),
        leader_epoch: i32::from_be_bytes(field(header, LEADER_EPOCH)),
        checksum: u32::from_be_bytes(field(header, CHECKSUM)),
        records: u32::from_be_bytes(field(header, RECORDS)),
    };
    is_whole.then_some((batch, size))
}

/// Bytes of a header, which is long enough.
fn field<const N: usize>(header: &[u8], from: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[from..from + N]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(base: i64, epoch: i32, records: u32) -> Vec<u8> {
        let mut bytes = vec![0; HEADER + 10];
        bytes[..8].copy_from_slice(&base.to_be_bytes());
        let length = i32::try_from(bytes.len() - BEFORE_LENGTH).unwrap();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[LEADER_EPOCH..MAGIC].copy_from_slice(&epoch.to_be_bytes());
        bytes[MAGIC] = FORMAT;
        bytes[RECORDS..HEADER].copy_from_slice(&records.to_be_bytes());
        bytes
    }

    fn held(batches_of: &[Vec<u8>]) -> Held {
        let mut held = Held::new();
        batches(&batches_of.concat(), &mut held);
        held
    }

    #[test]
    fn what_is_no_more_in_the_log_was_cut_off() {
        let before = held(&[batch(0, 0, 3), batch(3, 0, 2), batch(5, 0, 4)]);
        assert_eq!(before.len(), 3);
        let grown = held(&[
            batch(0, 0, 3),
            batch(3, 0, 2),
            batch(5, 0, 4),
            batch(9, 1, 1),
        ]);
        assert_eq!(cut_off(&before, &grown), 0);
        // The same offsets in another epoch are other records.
        let replaced = held(&[batch(0, 0, 3), batch(3, 1, 2), batch(5, 1, 9)]);
        assert_eq!(cut_off(&before, &replaced), 6);
    }

    #[test]
    fn half_a_batch_and_zeros_behind_the_last_one_are_none() {
        let whole = batch(0, 0, 3);
        for behind in [&whole[..40], &whole[..HEADER + 9], &[0; 200][..]] {
            let found = held(&[whole.clone(), behind.to_vec()]);
            assert_eq!(found.len(), 1, "{} bytes behind", behind.len());
        }
    }

    #[test]
    fn all_segments_of_a_folder_are_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for (name, base) in [("00.log", 0), ("05.log", 5), ("00.index", 7)] {
            fs::write(folder.path().join(name), batch(base, 0, 1)).unwrap();
        }
        assert_eq!(read(folder.path()).unwrap().len(), 2);
        assert!(read(&folder.path().join("missing")).is_err());
    }
}
