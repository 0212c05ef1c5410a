//! Going on where the last start of a client ended.
//!
//! A client that is started again under its name takes the schedule of its first start and the
//! next record after the last mark. What was due while it was down is due still, so that the time
//! without a client counts in the latency.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::LoadError;
use super::client::Who;
use crate::ledger::{ENDING, Header, LedgerError, Row, read_file};

/// Bytes at the end of a ledger in which its last mark is looked for, before all is read.
const END_BYTES: u64 = 1 << 20;

/// What the last start of a client left.
#[derive(Clone, Debug)]
pub struct LastStart {
    pub header: Header,
    pub incarnation: u32,
    /// The first sequence that it certainly did not send.
    pub next_sequence: u64,
}

/// Finds it; none if there was no start of that name.
pub fn last_start(who: &Who) -> Result<Option<LastStart>, LoadError> {
    let Some(incarnation) = last_incarnation(&who.folder, &who.name)? else {
        return Ok(None);
    };
    let path = who.ledger_path(incarnation);
    let header = read_file(&path)?.header;
    let first = header.client.as_ref().and_then(|it| it.schedule);
    let below = match last_mark_near_end(&path)? {
        Some(below) => below,
        None => last_mark(&path)?.unwrap_or(first.map_or(0, |it| it.first_sequence)),
    };
    Ok(Some(LastStart {
        header,
        incarnation,
        next_sequence: below,
    }))
}

/// What all starts of a client have written until now.
pub(crate) fn written_bytes(folder: &Path, name: &str) -> Result<u64, LoadError> {
    let failed = |cause| LoadError::Folder {
        folder: folder.to_owned(),
        cause,
    };
    let mut bytes = 0;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if incarnation_of(&entry.file_name().to_string_lossy(), name).is_some() {
            bytes += entry.metadata().map_err(failed)?.len();
        }
    }
    Ok(bytes)
}

fn last_incarnation(folder: &Path, name: &str) -> Result<Option<u32>, LoadError> {
    let failed = |cause| LoadError::Folder {
        folder: folder.to_owned(),
        cause,
    };
    if !folder.exists() {
        return Ok(None);
    }
    let mut last = None;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let file = entry.map_err(failed)?.file_name();
        last = last.max(incarnation_of(&file.to_string_lossy(), name));
    }
    Ok(last)
}

fn incarnation_of(file: &str, name: &str) -> Option<u32> {
    let rest = file.strip_prefix(name)?.strip_prefix('-')?;
    rest.strip_suffix(ENDING)?.strip_suffix('.')?.parse().ok()
}

/// The last whole mark in the last part of a file. Marks only go up while a client runs, and one
/// that ended in order wrote the exact one last.
fn last_mark_near_end(path: &Path) -> Result<Option<u64>, LoadError> {
    let failed = |cause| LedgerError::Io {
        name: path.display().to_string(),
        cause,
    };
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END_BYTES)))
        .map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(END_BYTES)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
    let lines = bytes[..whole].split(|&byte| byte == b'\n');
    // The first line may be the end of one, or the header.
    let marks = lines
        .skip(1)
        .filter_map(|line| match str::from_utf8(line).ok()?.parse() {
            Ok(Row::Mark { below }) => Some(below),
            Ok(_) | Err(_) => None,
        });
    Ok(marks.last())
}

fn last_mark(path: &Path) -> Result<Option<u64>, LoadError> {
    let mut ledger = read_file(path)?;
    let mut last = None;
    while let Some(row) = ledger.next_row()? {
        if let Row::Mark { below } = row {
            last = Some(below);
        }
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ledgers_of_a_name() {
        for (file, expected) in [
            ("p-1.ledger", Some(1)),
            ("p-12.ledger", Some(12)),
            ("p-x.ledger", None),
            ("p-1-1.ledger", None),
            ("q-1.ledger", None),
            ("p-1.json", None),
            ("p.ledger", None),
        ] {
            assert_eq!(incarnation_of(file, "p"), expected, "{file}");
        }
        assert_eq!(incarnation_of("p-1-1.ledger", "p-1"), Some(1));
    }

    #[test]
    fn the_last_whole_mark_counts() {
        let folder = tempfile::tempdir().unwrap();
        let golden = include_str!("../../testdata/ledger/golden.ledger");
        let header = golden.lines().next().unwrap();
        let who = Who {
            drill: "d".to_owned(),
            name: "p".to_owned(),
            site: String::new(),
            cluster: String::new(),
            bootstrap: String::new(),
            folder: folder.path().to_owned(),
            settings: Vec::new(),
        };
        assert!(last_start(&who).unwrap().is_none());
        let far = format!("w,7\n{}", "x,1,nothing\n".repeat(100_000));
        for (rows, expected) in [
            ("", 0),
            ("w,50\n", 50),
            ("w,50\nw,4", 50),
            ("w,50\nw,4\ne,2,9\n", 4),
            (far.as_str(), 7),
        ] {
            fs::write(who.ledger_path(3), format!("{header}\n{rows}")).unwrap();
            let last = last_start(&who).unwrap().unwrap();
            assert_eq!((last.incarnation, last.next_sequence), (3, expected));
        }
    }
}
