//! Reads by offset and by timestamp.

use bytes::Bytes;
use isthmus_log::disk::MemDisk;
use isthmus_log::{Log, LogConfig, ReadError};
use isthmus_wire::batch::{BatchView, Compression, split_batches};

use crate::kit::{Dice, NOW, Produced, clean, headers, new_log, open, produce, small};

fn read(log: &Log<MemDisk>, offset: i64, max_bytes: usize, end: i64) -> Vec<BatchView> {
    let bytes = log
        .read(offset, max_bytes, end, true)
        .unwrap()
        .read_bytes()
        .unwrap();
    whole(&bytes)
}

/// The batches of an answer, which must end with a whole one.
fn whole(bytes: &Bytes) -> Vec<BatchView> {
    let mut batches = split_batches(bytes);
    let views: Vec<_> = batches.by_ref().map(Result::unwrap).collect();
    assert_eq!(batches.remaining(), 0);
    views
}

#[test]
fn a_read_starts_with_the_batch_that_holds_the_offset() {
    let (disk, mut log) = new_log(&small());
    for count in [3, 1, 5, 2, 4, 1, 1, 6, 2, 3, 5, 1, 2, 2, 8, 1] {
        produce(
            &mut log,
            &Produced {
                value_len: 60,
                ..Produced::records(count)
            },
        )
        .unwrap();
    }
    assert!(log.segments().len() > 3);
    let check_all = |log: &Log<MemDisk>| {
        let all = headers(log);
        for offset in 0..log.log_end_offset() {
            let expected = all.iter().find(|h| h.last_offset() >= offset).unwrap();
            let first = &read(log, offset, 1, i64::MAX)[0];
            assert_eq!(first.header(), expected, "offset {offset}");
        }
    };
    check_all(&log);
    log.close().unwrap();
    let (log, _) = open(&disk, &small(), clean(0)).unwrap();
    check_all(&log);
}

#[test]
fn reads_end_at_whole_batches_below_the_end_and_the_limit() {
    let (_, mut log) = new_log(&LogConfig {
        segment_bytes: 1 << 20,
        ..small()
    });
    let mut dice = Dice::new(11);
    for _ in 0..300 {
        produce(
            &mut log,
            &Produced::records(1 + i32::try_from(dice.below(4)).unwrap()),
        )
        .unwrap();
    }
    let all = headers(&log);
    for _ in 0..2000 {
        let offset = i64::try_from(dice.below(log.log_end_offset().unsigned_abs())).unwrap();
        let end = i64::try_from(dice.below(log.log_end_offset().unsigned_abs() + 2)).unwrap();
        let max_bytes = usize::try_from(dice.below(3000)).unwrap();
        let got = read(&log, offset, max_bytes, end);
        let allowed: Vec<_> = all
            .iter()
            .filter(|h| h.last_offset() >= offset && h.last_offset() < end)
            .collect();
        let mut expected = Vec::new();
        let mut bytes = 0;
        for header in allowed {
            bytes += header.size_in_bytes();
            if bytes > max_bytes && !expected.is_empty() {
                break;
            }
            expected.push(header.clone());
        }
        if offset >= end {
            expected.clear();
        }
        let got: Vec<_> = got.iter().map(|batch| batch.header().clone()).collect();
        assert_eq!(got, expected, "offset {offset}, end {end}, max {max_bytes}");
    }
}

#[test]
fn a_follower_is_told_where_its_log_will_end() {
    let (disk, mut log) = new_log(&small());
    let mut dice = Dice::new(7);
    for _ in 0..120 {
        let records = 1 + i32::try_from(dice.below(4)).unwrap();
        produce(&mut log, &Produced::records(records)).unwrap();
    }
    let check_all = |log: &Log<MemDisk>| {
        for header in headers(log) {
            for max_bytes in [1, 150, 400, 5_000] {
                let asked = log.read_for_replica(header.base_offset, max_bytes);
                let (read, next_offset) = asked.unwrap();
                let got = whole(&read.read_bytes().unwrap());
                let end = got.last().unwrap().header().next_offset();
                assert_eq!(next_offset, end, "from {header:?}, max {max_bytes}");
            }
        }
        let end = log.log_end_offset();
        let (read, next_offset) = log.read_for_replica(end, 100).unwrap();
        assert_eq!((read.len, next_offset), (0, end));
    };
    check_all(&log);
    log.close().unwrap();
    let (log, _) = open(&disk, &small(), clean(0)).unwrap();
    check_all(&log);
}

#[test]
fn a_first_batch_above_the_limit_comes_only_where_asked_for() {
    let (_, mut log) = new_log(&small());
    produce(
        &mut log,
        &Produced {
            value_len: 500,
            ..Produced::default()
        },
    )
    .unwrap();
    assert!(log.read(0, 100, i64::MAX, false).unwrap().is_empty());
    assert!(log.read(0, 0, i64::MAX, true).unwrap().len > 500);
}

#[test]
fn the_edges_of_the_log() {
    let (_, mut log) = new_log(&small());
    for _ in 0..10 {
        produce(&mut log, &Produced::records(2)).unwrap();
    }
    assert!(log.read(20, 100, i64::MAX, true).unwrap().is_empty());
    for offset in [-1, 21] {
        let error = log.read(offset, 100, i64::MAX, true).unwrap_err();
        assert!(matches!(error, ReadError::OffsetOutOfRange { .. }));
    }
    log.increment_log_start_offset(5).unwrap();
    assert!(log.read(4, 100, i64::MAX, true).is_err());
    assert_eq!(read(&log, 5, 1, i64::MAX)[0].header().base_offset, 4);
}

#[test]
fn offsets_by_timestamp() {
    for codec in [Compression::None, Compression::Zstd] {
        let (disk, mut log) = new_log(&small());
        // Records have the timestamps t, t+1, ...: 100 102 101 | 200 201 | 150 | 300 301 302 303
        for (timestamp, records) in [(100, 3), (200, 2), (150, 1), (300, 4), (290, 2), (500, 1)] {
            for _ in 0..6 {
                let batch = Produced::records(records).at(timestamp).compressed(codec);
                produce(&mut log, &batch).unwrap();
            }
        }
        assert!(log.segments().len() > 2);
        let check = |log: &Log<MemDisk>| {
            let find = |timestamp| {
                let found = log.offset_for_timestamp(timestamp, i64::MAX).unwrap();
                found.map(|found| (found.offset, found.timestamp, found.leader_epoch))
            };
            assert_eq!(find(0), Some((0, 100, Some(0))));
            assert_eq!(find(102), Some((2, 102, Some(0))));
            assert_eq!(find(103), Some((18, 200, Some(0))));
            assert_eq!(find(202), Some((36, 300, Some(0))));
            assert_eq!(find(303), Some((39, 303, Some(0))));
            assert_eq!(find(304), Some((72, 500, Some(0))));
            assert_eq!(find(501), None);
            assert_eq!(
                log.offset_for_timestamp(304, 72).unwrap(),
                None,
                "at or above the bound"
            );
            let max = log.offset_of_max_timestamp().unwrap().unwrap();
            assert_eq!((max.offset, max.timestamp), (72, 500));
        };
        check(&log);
        log.close().unwrap();
        let (mut log, _) = open(&disk, &small(), clean(0)).unwrap();
        check(&log);
        log.increment_log_start_offset(2).unwrap();
        let found = log.offset_for_timestamp(0, i64::MAX).unwrap().unwrap();
        assert_eq!((found.offset, found.timestamp), (2, 102));
    }
}

#[test]
fn the_first_of_equal_largest_timestamps_counts() {
    let (_, mut log) = new_log(&small());
    assert_eq!(log.offset_of_max_timestamp().unwrap(), None);
    produce(&mut log, &Produced::records(1).at(-1)).unwrap();
    assert_eq!(log.offset_of_max_timestamp().unwrap(), None);
    for timestamp in [NOW, NOW - 5, NOW, NOW - 1] {
        produce(&mut log, &Produced::records(1).at(timestamp)).unwrap();
    }
    assert_eq!(log.offset_of_max_timestamp().unwrap().unwrap().offset, 1);
}

#[test]
fn a_reader_keeps_its_bytes_while_segments_go() {
    let (_, mut log) = new_log(&LogConfig {
        retention_bytes: 0,
        ..small()
    });
    for _ in 0..30 {
        produce(&mut log, &Produced::default()).unwrap();
    }
    let read = log.read(0, 200, i64::MAX, true).unwrap();
    let deleted = log.apply_retention(NOW, log.log_end_offset()).unwrap();
    assert!(deleted.segments.len() > 1);
    deleted.remove_files().unwrap();
    assert_eq!(
        whole(&read.read_bytes().unwrap())[0].header().base_offset,
        0
    );
}
