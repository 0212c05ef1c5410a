//! The checks of Kafka's dump tool, done here: what a closed log's files must say.

use std::path::Path;

use isthmus_log::disk::{Disk, MemDisk};
use isthmus_wire::batch::BatchHeader;

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn headers_of(log: &[u8]) -> Vec<(usize, BatchHeader)> {
    let mut position = 0;
    let mut headers = Vec::new();
    while position < log.len() {
        let header = BatchHeader::parse(&log[position..]).unwrap();
        let start = position;
        position += header.size_in_bytes();
        headers.push((start, header));
    }
    assert_eq!(position, log.len());
    headers
}

/// Every segment in a directory: offsets rise, index entries name the last offset of the batch at
/// their position, time index entries the largest timestamp so far.
pub(crate) fn check_files(disk: &MemDisk, dir: &Path) {
    let mut next_offset = 0;
    for entry in disk.list(dir).unwrap() {
        let Some(base) = entry.name.strip_suffix(".log") else {
            continue;
        };
        let base_offset: i64 = base.parse().unwrap();
        let read = |extension: &str| disk.read(&dir.join(format!("{base}.{extension}")));
        let headers = headers_of(&read("log").unwrap());
        assert!(
            base_offset >= next_offset,
            "segment {base_offset} after end {next_offset}"
        );
        for (_, header) in &headers {
            assert!(header.base_offset >= next_offset.max(base_offset));
            next_offset = header.next_offset();
        }
        if headers.is_empty() {
            continue;
        }
        check_offset_index(&read("index").unwrap(), base_offset, &headers);
        check_time_index(&read("timeindex").unwrap(), base_offset, &headers);
    }
}

fn check_offset_index(index: &[u8], base_offset: i64, headers: &[(usize, BatchHeader)]) {
    assert!(index.len().is_multiple_of(8));
    let mut previous = (-1, -1);
    for entry in index.chunks_exact(8) {
        let (relative, position) = (i32_at(entry, 0), i32_at(entry, 4));
        assert!(relative > previous.0 && position > previous.1);
        previous = (relative, position);
        let position = usize::try_from(position).unwrap();
        let found = headers.iter().find(|(start, _)| *start == position);
        let (_, header) = found.unwrap_or_else(|| panic!("no batch at {position}"));
        assert_eq!(header.last_offset(), base_offset + i64::from(relative));
    }
}

/// A batch that compaction emptied has no timestamp, whatever its header says.
fn timestamp_of(header: &BatchHeader) -> i64 {
    match header.records_count {
        0 => -1,
        _ => header.max_timestamp,
    }
}

fn check_time_index(index: &[u8], base_offset: i64, headers: &[(usize, BatchHeader)]) {
    assert!(index.len().is_multiple_of(12));
    let mut previous = -1;
    for entry in index.chunks_exact(12) {
        let (timestamp, offset) = (i64_at(entry, 0), base_offset + i64::from(i32_at(entry, 8)));
        assert!(timestamp > previous);
        previous = timestamp;
        let upto = headers
            .iter()
            .map(|(_, h)| h)
            .take_while(|h| h.base_offset <= offset);
        assert_eq!(
            upto.map(timestamp_of).max(),
            Some(timestamp),
            "up to {offset}"
        );
    }
    let newest = headers
        .iter()
        .map(|(_, header)| timestamp_of(header))
        .max()
        .unwrap();
    assert_eq!(
        previous,
        newest.max(-1),
        "the last entry is the segment's largest timestamp"
    );
}
