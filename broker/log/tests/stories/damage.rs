//! The corruption cases of semantics.md, section 5, item 6.

use std::sync::Arc;

use isthmus_log::disk::{CrashMode, Disk, DiskFile, MemDisk, OpenMode};
use isthmus_log::{Log, LogConfig, OpenError};
use isthmus_wire::batch::ControlRecordType::Abort;
use isthmus_wire::batch::{BatchHeader, BatchView};

use crate::check::check_files;
use crate::kit::{
    NOW, Produced, batches, clean, dir, dirty, end_txn, new_log, open, produce, segment_file, small,
};

/// Four segments or more, with producers and transactions in them; all synced and closed.
fn written() -> (Arc<MemDisk>, Vec<BatchView>, Vec<i64>) {
    let (disk, mut log) = new_log(&small());
    for index in 0..30 {
        let sequence = index * 2;
        produce(
            &mut log,
            &Produced::records(2)
                .at(NOW + i64::from(index))
                .by_producer(7, 0, sequence),
        )
        .unwrap();
        if index % 8 == 3 {
            let sequence = index / 8;
            produce(
                &mut log,
                &Produced::default()
                    .by_producer(9, 0, sequence)
                    .transactional(),
            )
            .unwrap();
            end_txn(&mut log, 9, 0, Abort).unwrap();
        }
    }
    let all = batches(&log);
    let bases: Vec<i64> = log.segments().map(|segment| segment.base_offset).collect();
    assert!(bases.len() >= 4, "{bases:?}");
    log.close().unwrap();
    (disk, all, bases)
}

fn end_of(all: &[BatchView]) -> i64 {
    all.last().unwrap().header().next_offset()
}

/// The same state as a log that was fed the same batches.
fn assert_like_replay(log: &Log<MemDisk>, all: &[BatchView]) {
    assert_eq!(batches(log), all);
    let (_, mut replay) = new_log(&LogConfig {
        segment_bytes: 1 << 20,
        ..small()
    });
    for batch in all {
        replay.append_as_follower(batch.bytes(), NOW).unwrap();
    }
    let producers = |log: &Log<MemDisk>| log.active_producers().collect::<Vec<_>>();
    assert_eq!(producers(log), producers(&replay));
    assert_eq!(log.epoch_entries(), replay.epoch_entries());
    let aborted = |log: &Log<MemDisk>| log.aborted_transactions(0, i64::MAX).unwrap();
    assert_eq!(aborted(log), aborted(&replay));
}

#[test]
fn a_torn_tail_is_cut_at_the_last_whole_batch() {
    let (_, all, bases) = written();
    let last = *bases.last().unwrap();
    let end = end_of(&all);
    for cut in [1, 30, 61, 70] {
        for recovery_point in [0, last, end] {
            for is_clean in [false, true] {
                let (disk, _, _) = written();
                disk.damage(&segment_file(last, "log"), |log| {
                    log.truncate(log.len() - cut);
                })
                .unwrap();
                let context = if is_clean {
                    clean(recovery_point)
                } else {
                    dirty(recovery_point)
                };
                let (mut log, report) = open(&disk, &small(), context).unwrap();
                let kept = &all[..all.len() - 1];
                assert_like_replay(&log, kept);
                assert_eq!(
                    report.truncated_bytes,
                    (all.last().unwrap().bytes().len() - cut) as u64
                );
                assert_eq!(report.synced_data_lost, recovery_point == end);
                produce(&mut log, &Produced::default()).unwrap();
                log.close().unwrap();
                check_files(&disk, dir());
            }
        }
    }
}

#[test]
fn a_flipped_bit_at_the_end_is_cut_after_a_crash() {
    let (disk, all, bases) = written();
    let last = *bases.last().unwrap();
    disk.damage(&segment_file(last, "log"), |log| {
        *log.last_mut().unwrap() ^= 0x40;
    })
    .unwrap();
    let (log, report) = open(&disk, &small(), dirty(last)).unwrap();
    assert_like_replay(&log, &all[..all.len() - 1]);
    assert_eq!(
        report.truncated_bytes,
        all.last().unwrap().bytes().len() as u64
    );
}

/// The segment's batches, and a flip of a bit in its second one.
fn damage_second_batch(disk: &MemDisk, base_offset: i64) -> i64 {
    let mut damaged_offset = 0;
    disk.damage(&segment_file(base_offset, "log"), |log| {
        let first = BatchHeader::parse(log).unwrap();
        let second = first.size_in_bytes();
        damaged_offset = BatchHeader::parse(&log[second..]).unwrap().base_offset;
        log[second + 70] ^= 1;
    })
    .unwrap();
    damaged_offset
}

#[test]
fn unsynced_damage_in_the_middle_drops_everything_after_it() {
    let (_, all, bases) = written();
    for segment in 1..bases.len() {
        let (disk, _, _) = written();
        let offset = damage_second_batch(&disk, bases[segment]);
        let (log, report) = open(&disk, &small(), dirty(bases[segment])).unwrap();
        let kept = all
            .iter()
            .position(|batch| batch.header().base_offset == offset)
            .unwrap();
        assert_like_replay(&log, &all[..kept]);
        assert_eq!(report.dropped_segments, bases.len() - 1 - segment);
        let dropped: usize = all[kept..].iter().map(|batch| batch.bytes().len()).sum();
        assert_eq!(report.truncated_bytes, dropped as u64);
        assert!(!report.synced_data_lost);
    }
}

#[test]
fn synced_damage_in_the_middle_is_refused_and_nothing_is_touched() {
    let (_, all, bases) = written();
    let last = bases.len() - 1;
    for segment in [1, last] {
        let (disk, _, _) = written();
        let offset = damage_second_batch(&disk, bases[segment]);
        // An index that must be rebuilt makes a sealed segment be read at all.
        disk.remove_file(&segment_file(bases[segment], "index"))
            .unwrap();
        let before = disk.contents();
        for context in [dirty(end_of(&all)), clean(end_of(&all)), dirty(offset + 1)] {
            let error = open(&disk, &small(), context).unwrap_err();
            let OpenError::CorruptMiddle { offset: found, .. } = &error else {
                panic!("{error}");
            };
            assert_eq!(*found, offset);
            assert_eq!(disk.contents(), before, "untouched");
        }
    }
}

#[test]
fn damaged_indexes_are_rebuilt() {
    let (_, all, bases) = written();
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 5] = [
        ("short", |index| {
            index.truncate(index.len().saturating_sub(3));
        }),
        ("oversized", |index| index.resize(10 << 10, 0)),
        ("garbage", |index| {
            index
                .iter_mut()
                .for_each(|byte| *byte = byte.wrapping_mul(77) ^ 0xa5);
        }),
        ("zeros", |index| index.fill(0)),
        ("empty", Vec::clear),
    ];
    for extension in ["index", "timeindex", "txnindex"] {
        for base in [bases[1], *bases.last().unwrap()] {
            for is_clean in [true, false] {
                for (name, damage) in damages {
                    let (disk, _, _) = written();
                    if disk.damage(&segment_file(base, extension), damage).is_err() {
                        continue;
                    }
                    let end = end_of(&all);
                    let context = if is_clean { clean(end) } else { dirty(end) };
                    let (log, _) = open(&disk, &small(), context).unwrap();
                    assert_eq!(batches(&log), all, "{extension} {base} {name} {is_clean}");
                }
                let (disk, _, _) = written();
                if disk.remove_file(&segment_file(base, extension)).is_err() {
                    continue;
                }
                let context = if is_clean {
                    clean(end_of(&all))
                } else {
                    dirty(end_of(&all))
                };
                let (mut log, report) = open(&disk, &small(), context).unwrap();
                if extension != "txnindex" {
                    assert!(
                        report.recovered_segments > 0,
                        "{extension} {base} {is_clean}"
                    );
                }
                assert_eq!(batches(&log), all);
                log.close().unwrap();
                check_files(&disk, dir());
            }
        }
    }
}

#[test]
fn whatever_an_index_says_reads_are_right() {
    let (disk, all, bases) = written();
    let end = end_of(&all);
    // Whole, sound at its end, wrong in its middle: only a lookup can notice.
    disk.damage(&segment_file(bases[1], "index"), |index| {
        let len = index.len();
        for byte in &mut index[..len - 8] {
            *byte = 0;
        }
    })
    .unwrap();
    let (log, report) = open(&disk, &small(), clean(end)).unwrap();
    assert_eq!(report.recovered_segments, 0);
    for offset in 0..end {
        let read = log.read(offset, 1, i64::MAX, true).unwrap();
        let expected = all
            .iter()
            .find(|b| b.header().last_offset() >= offset)
            .unwrap();
        assert_eq!(read.first_offset, expected.header().base_offset);
    }
}

#[test]
fn an_epoch_file_ahead_is_cut_and_one_behind_is_rebuilt() {
    let texts = [
        "0\n3\n0 0\n1 20\n9 4000\n",
        "0\n1\n0 0\n",
        "0\n0\n",
        "nonsense",
    ];
    for is_clean in [true, false] {
        for text in texts {
            let (disk, mut log) = new_log(&small());
            for epoch in [0, 0, 1, 1, 3, 3, 3, 3, 3, 3, 3, 3] {
                let batch = Produced::records(10).build();
                let origin = isthmus_log::AppendOrigin::Client;
                log.append_as_leader(&batch, origin, epoch, &crate::kit::rules(), NOW)
                    .unwrap();
            }
            let entries = log.epoch_entries().to_vec();
            log.close().unwrap();
            disk.write_atomic(&dir().join("leader-epoch-checkpoint"), text.as_bytes())
                .unwrap();
            let context = if is_clean { clean(120) } else { dirty(120) };
            let (log, report) = open(&disk, &small(), context).unwrap();
            assert_eq!(log.epoch_entries(), entries, "{text:?}");
            assert!(report.rebuilt_epochs);
            let file = disk.read(&dir().join("leader-epoch-checkpoint")).unwrap();
            assert_eq!(file, b"0\n3\n0 0\n1 20\n3 40\n");
        }
    }
}

#[test]
fn an_epoch_without_batches_is_forgotten() {
    let (disk, mut log) = new_log(&small());
    produce(&mut log, &Produced::default()).unwrap();
    log.assign_epoch(6, 1).unwrap();
    log.close().unwrap();
    let (log, report) = open(&disk, &small(), clean(1)).unwrap();
    assert_eq!(
        (log.latest_epoch(), report.rebuilt_epochs),
        (Some(0), false)
    );
}

#[test]
fn lost_or_torn_snapshots_are_made_up_for_by_the_log() {
    let (_, all, _) = written();
    for is_clean in [true, false] {
        for damaged in [false, true] {
            let (disk, _, _) = written();
            for entry in disk.list(dir()).unwrap() {
                if entry.name.ends_with(".snapshot") {
                    let path = dir().join(&entry.name);
                    if damaged {
                        disk.damage(&path, |bytes| bytes[20] ^= 1).unwrap();
                    } else {
                        disk.remove_file(&path).unwrap();
                    }
                }
            }
            let context = if is_clean {
                clean(end_of(&all))
            } else {
                dirty(end_of(&all))
            };
            let (log, report) = open(&disk, &small(), context).unwrap();
            assert!(report.replayed_batches >= all.len() as u64);
            assert_like_replay(&log, &all);
        }
    }
}

#[test]
fn leftovers_of_deletion_and_compaction_are_settled() {
    let (disk, all, bases) = written();
    let copy = |from: &str, to: &str| {
        let content = disk.read(&dir().join(from)).unwrap();
        let file = disk.open(&dir().join(to), OpenMode::Truncate).unwrap();
        file.write_all_at(&content, 0).unwrap();
    };
    let name = |base: i64, rest: &str| format!("{base:020}.{rest}");
    copy(&name(bases[1], "log"), &name(77_000, "log.deleted"));
    copy(&name(bases[1], "index"), &name(77_000, "index.deleted"));
    // A cleaned segment was about to replace segments 1 and 2: the crash came after the first was
    // renamed to .swap and before the old ones went.
    let kinds = ["log", "index", "timeindex", "txnindex"];
    let is_there = |kind: &&str| disk.exists(&segment_file(bases[1], kind)).unwrap();
    for kind in kinds.into_iter().filter(is_there) {
        copy(
            &name(bases[1], kind),
            &name(bases[1], &format!("{kind}.swap")),
        );
    }
    // A later split was not finished.
    copy(&name(bases[3], "log"), &name(bases[3], "log.cleaned"));
    copy(&name(bases[3], "log"), &name(bases[3], "log.swap"));
    // An index without a log file.
    copy(&name(bases[1], "index"), &name(88_000, "index"));
    let (log, report) = open(&disk, &small(), clean(end_of(&all))).unwrap();
    assert_eq!(report.completed_swaps, 1);
    assert_like_replay(&log, &all);
    for entry in disk.list(dir()).unwrap() {
        let is_left = [".deleted", ".cleaned", ".swap"]
            .iter()
            .any(|s| entry.name.ends_with(s));
        assert!(
            !is_left && !entry.name.starts_with("00000000000000088000"),
            "{}",
            entry.name
        );
    }
}

#[test]
fn a_swap_replaces_the_segments_it_covers() {
    let (disk, all, bases) = written();
    // Segments 1 and 2 were compacted into the last batch of the two.
    let last = all
        .iter()
        .rfind(|batch| batch.header().base_offset < bases[3])
        .unwrap();
    let path = segment_file(bases[1], "log.swap");
    let file = disk.open(&path, OpenMode::Truncate).unwrap();
    file.write_all_at(last.bytes(), 0).unwrap();
    let (mut log, report) = open(&disk, &small(), clean(end_of(&all))).unwrap();
    assert_eq!((report.completed_swaps, report.rebuilt_indexes), (1, 1));
    let kept: Vec<i64> = log.segments().map(|segment| segment.base_offset).collect();
    assert_eq!(kept, [&bases[..2], &bases[3..]].concat());
    let read = log.read(bases[1], 1, i64::MAX, true).unwrap();
    assert_eq!(read.first_offset, last.header().base_offset);
    log.close().unwrap();
    check_files(&disk, dir());
}

#[test]
fn a_log_that_ends_below_its_start_begins_anew() {
    let (disk, all, _) = written();
    let mut context = dirty(0);
    context.log_start_offset = end_of(&all) + 100;
    let (mut log, _) = open(&disk, &small(), context).unwrap();
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        (end_of(&all) + 100, end_of(&all) + 100)
    );
    assert_eq!(log.size_bytes(), 0);
    produce(&mut log, &Produced::default()).unwrap();
}

#[test]
fn a_process_crash_loses_nothing_at_all() {
    let (disk, mut log) = new_log(&small());
    for index in 0..25 {
        produce(&mut log, &Produced::records(2).by_producer(7, 0, index * 2)).unwrap();
    }
    let all = batches(&log);
    let disk = Arc::new(disk.crash(CrashMode::ProcessOnly, 1));
    let (log, report) = open(&disk, &small(), dirty(0)).unwrap();
    assert_like_replay(&log, &all);
    assert_eq!(report.truncated_bytes, 0);
}
