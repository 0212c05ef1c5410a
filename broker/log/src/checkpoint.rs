//! Kafka's small text files: a version, a count, one line per entry; and the key-value ones.
//!
//! Owns: the offset checkpoints of a data directory, the text of `leader-epoch-checkpoint`,
//! `partition.metadata`, and the clean-shutdown marker.
//! Must not know: when they are written.
//! Invariants: a file is read whole or refused; entries are written in order, so that the same
//! state gives the same bytes.
//!
//! ```text
//! 0                        version
//! 2                        number of entries
//! orders 0 1042            topic partition offset      (offset checkpoints)
//! 3 1042                   epoch start-offset          (leader-epoch-checkpoint)
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use isthmus_wire::Uuid;

use crate::disk::Disk;

const VERSION: u32 = 0;

/// A checkpoint file that is not one; fit to follow "could not read".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}, found {found:?}")]
pub struct MalformedCheckpoint {
    pub line: usize,
    pub expected: &'static str,
    pub found: String,
}

/// A file that could not be read, or not understood.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Malformed(#[from] MalformedCheckpoint),
}

/// One offset per partition, keyed by topic name and partition number.
pub type OffsetCheckpoint = BTreeMap<(String, i32), i64>;

/// Reads an offset checkpoint; a missing file is an empty one.
pub(crate) fn read_offsets<D: Disk>(
    disk: &D,
    path: &Path,
) -> Result<OffsetCheckpoint, CheckpointError> {
    let Some(text) = read_text(disk, path)? else {
        return Ok(OffsetCheckpoint::new());
    };
    Ok(parse_offsets(&text)?)
}

pub(crate) fn write_offsets<D: Disk>(
    disk: &D,
    path: &Path,
    offsets: &OffsetCheckpoint,
) -> io::Result<()> {
    disk.write_atomic(path, print_offsets(offsets).as_bytes())
}

fn parse_offsets(text: &str) -> Result<OffsetCheckpoint, MalformedCheckpoint> {
    let mut offsets = OffsetCheckpoint::new();
    for (line, [topic, partition, offset]) in entries(text, "topic partition offset")? {
        let number = |found: &str, expected| malformed(line, expected, found);
        let partition = partition
            .parse()
            .map_err(|_| number(partition, "a partition"))?;
        let offset = offset.parse().map_err(|_| number(offset, "an offset"))?;
        offsets.insert((topic.to_owned(), partition), offset);
    }
    Ok(offsets)
}

fn print_offsets(offsets: &OffsetCheckpoint) -> String {
    let mut text = header(offsets.len());
    for ((topic, partition), offset) in offsets {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{topic} {partition} {offset}");
    }
    text
}

/// The entries of a `leader-epoch-checkpoint`, as (epoch, start offset) in file order.
pub(crate) fn parse_epochs(text: &str) -> Result<Vec<(i32, i64)>, MalformedCheckpoint> {
    let mut epochs = Vec::new();
    for (line, [epoch, offset]) in entries(text, "epoch start-offset")? {
        let epoch = epoch
            .parse()
            .map_err(|_| malformed(line, "an epoch", epoch))?;
        let offset = offset
            .parse()
            .map_err(|_| malformed(line, "an offset", offset))?;
        epochs.push((epoch, offset));
    }
    Ok(epochs)
}

pub(crate) fn print_epochs(epochs: impl ExactSizeIterator<Item = (i32, i64)>) -> String {
    let mut text = header(epochs.len());
    for (epoch, offset) in epochs {
        let _ = writeln!(text, "{epoch} {offset}");
    }
    text
}

/// The topic id of a partition directory; `None` when the file is missing.
pub(crate) fn read_partition_metadata<D: Disk>(
    disk: &D,
    path: &Path,
) -> Result<Option<Uuid>, CheckpointError> {
    let Some(text) = read_text(disk, path)? else {
        return Ok(None);
    };
    let value = |line: usize, key: &'static str, expected| {
        let found = text.lines().nth(line).unwrap_or_default();
        let value = found
            .strip_prefix(key)
            .and_then(|rest| rest.strip_prefix(':'));
        value
            .map(str::trim)
            .ok_or_else(|| malformed(line + 1, expected, found))
    };
    let version = value(0, "version", "version: 0")?;
    if version != "0" {
        return Err(malformed(1, "version: 0", version).into());
    }
    let id = value(1, "topic_id", "topic_id: <id>")?;
    let id = id.parse().map_err(|_| malformed(2, "a topic id", id))?;
    Ok(Some(id))
}

pub(crate) fn write_partition_metadata<D: Disk>(
    disk: &D,
    path: &Path,
    topic_id: Uuid,
) -> io::Result<()> {
    disk.write_atomic(path, format!("version: 0\ntopic_id: {topic_id}").as_bytes())
}

/// The clean-shutdown marker holds the broker epoch (KIP-966), as Kafka 4.2 writes it.
pub(crate) fn print_clean_shutdown(broker_epoch: i64) -> String {
    format!(r#"{{"version":0,"brokerEpoch":{broker_epoch}}}"#)
}

/// The broker epoch in a clean-shutdown marker; −1 when the marker names none, as an empty one of an
/// older broker does: the marker counts by being there. Other releases call the key `broker_epoch`
/// and write strings.
pub(crate) fn parse_clean_shutdown(text: &str) -> i64 {
    let after = |key| text.split_once(key).map(|(_, rest)| rest);
    let Some(rest) = after(r#""brokerEpoch":"#).or_else(|| after(r#""broker_epoch":"#)) else {
        return -1;
    };
    let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '"');
    let is_number = |c: char| c.is_ascii_digit() || c == '-';
    let end = rest.find(|c| !is_number(c)).unwrap_or(rest.len());
    rest[..end].parse().unwrap_or(-1)
}

fn read_text<D: Disk>(disk: &D, path: &Path) -> io::Result<Option<String>> {
    match disk.read(path) {
        Ok(content) => Ok(Some(String::from_utf8_lossy(&content).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn header(count: usize) -> String {
    format!("{VERSION}\n{count}\n")
}

/// The entry lines, each cut into its words, with their line numbers.
fn entries<'a, const WORDS: usize>(
    text: &'a str,
    form: &'static str,
) -> Result<Vec<(usize, [&'a str; WORDS])>, MalformedCheckpoint> {
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    let (_, version) = lines.next().unwrap_or((1, ""));
    if version.trim().parse() != Ok(VERSION) {
        return Err(malformed(1, "version 0", version));
    }
    let (_, count_line) = lines.next().unwrap_or((2, ""));
    let count: usize = count_line
        .trim()
        .parse()
        .map_err(|_| malformed(2, "the number of entries", count_line))?;
    let mut entries = Vec::new();
    for (number, line) in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.is_empty() {
            continue;
        }
        let words = words
            .try_into()
            .map_err(|_| malformed(number, form, line))?;
        entries.push((number, words));
    }
    if entries.len() != count {
        return Err(malformed(2, "as many entries as counted", count_line));
    }
    Ok(entries)
}

fn malformed(line: usize, expected: &'static str, found: &str) -> MalformedCheckpoint {
    MalformedCheckpoint {
        line,
        expected,
        found: found.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    #[test]
    fn offsets_round_trip_in_kafkas_text() {
        let text = "0\n2\na 0 5\nb-c 12 9223372036854775807\n";
        let offsets = parse_offsets(text).unwrap();
        assert_eq!(offsets[&("b-c".to_owned(), 12)], i64::MAX);
        assert_eq!(print_offsets(&offsets), text);
    }

    #[test]
    fn malformed_files_name_their_line() {
        let cases = [
            ("", 1, "version 0"),
            ("1\n0\n", 1, "version 0"),
            ("0\nx\n", 2, "the number of entries"),
            ("0\n2\na 0 1\n", 2, "as many entries as counted"),
            ("0\n1\na 0\n", 3, "topic partition offset"),
            ("0\n1\na b 1\n", 3, "a partition"),
        ];
        for (text, line, expected) in cases {
            let error = parse_offsets(text).unwrap_err();
            assert_eq!((error.line, error.expected), (line, expected), "{text:?}");
        }
        assert_eq!(parse_epochs("0\n1\nx 1\n").unwrap_err().line, 3);
        assert_eq!(
            parse_epochs("0\n2\n0 0\n4 17\n").unwrap(),
            [(0, 0), (4, 17)]
        );
    }

    #[test]
    fn partition_metadata_is_read_back() {
        let disk = MemDisk::new();
        disk.create_dir_all(Path::new("/d")).unwrap();
        let path = Path::new("/d/partition.metadata");
        assert!(read_partition_metadata(&disk, path).unwrap().is_none());
        let id = Uuid([7; 16]);
        write_partition_metadata(&disk, path, id).unwrap();
        assert_eq!(read_partition_metadata(&disk, path).unwrap(), Some(id));
        disk.write_atomic(path, b"version: 1\ntopic_id: x\n")
            .unwrap();
        assert!(read_partition_metadata(&disk, path).is_err());
    }

    #[test]
    fn clean_shutdown_marker_carries_the_broker_epoch() {
        assert_eq!(parse_clean_shutdown(&print_clean_shutdown(42)), 42);
        assert_eq!(
            print_clean_shutdown(14),
            r#"{"version":0,"brokerEpoch":14}"#
        );
        let strings = r#"{"broker_epoch":"7","version":"0"}"#;
        assert_eq!(parse_clean_shutdown(strings), 7);
        let spaced = r#"{"version": 0, "brokerEpoch": 8}"#;
        assert_eq!(parse_clean_shutdown(spaced), 8);
        assert_eq!(parse_clean_shutdown(""), -1);
    }
}
