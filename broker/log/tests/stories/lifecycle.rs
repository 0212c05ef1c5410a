//! Rolling, retention, log start, truncation, epochs, flushing, closing.

use std::sync::Arc;

use isthmus_log::disk::{Disk, MemDisk};
use isthmus_log::{AppendOrigin, CleanupPolicy, Log, LogConfig, RecoveryReport};
use isthmus_wire::batch::ControlRecordType::Abort;

use crate::check::check_files;
use crate::kit::{
    NOW, Produced, batches, clean, dir, dirty, end_txn, headers, new_log, open, produce, rules,
    segment_file, small,
};

fn names(disk: &MemDisk) -> Vec<String> {
    disk.list(dir())
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect()
}

fn bases<D: Disk>(log: &Log<D>) -> Vec<i64> {
    log.segments().map(|segment| segment.base_offset).collect()
}

fn filled(config: &LogConfig, count: i32) -> (Arc<MemDisk>, Log<MemDisk>) {
    let (disk, mut log) = new_log(config);
    for index in 0..count {
        produce(
            &mut log,
            &Produced::records(2).at(NOW + i64::from(index) * 10),
        )
        .unwrap();
    }
    (disk, log)
}

#[test]
fn segments_roll_by_size() {
    let (disk, mut log) = filled(&small(), 40);
    let sizes: Vec<u64> = log.segments().map(|segment| segment.size_bytes).collect();
    assert!(
        sizes.len() > 4 && sizes.iter().all(|size| *size <= 1000),
        "{sizes:?}"
    );
    log.close().unwrap();
    check_files(&disk, dir());
    let snapshots = names(&disk)
        .iter()
        .filter(|name| name.ends_with(".snapshot"))
        .count();
    assert_eq!(snapshots, sizes.len(), "one per roll and one at the end");
}

#[test]
fn segments_roll_by_the_age_of_their_records_or_their_own() {
    let config = LogConfig {
        segment_ms: 1000,
        segment_jitter_ms: 100,
        ..small()
    };
    let (_, mut log) = new_log(&config);
    produce(&mut log, &Produced::default().at(NOW)).unwrap();
    produce(&mut log, &Produced::default().at(NOW + 900)).unwrap();
    assert_eq!(bases(&log), [0]);
    produce(&mut log, &Produced::default().at(NOW + 901)).unwrap();
    assert_eq!(bases(&log), [0, 2]);
    // Without timestamps the segment's own age counts.
    let (_, mut log) = new_log(&config);
    for (now, expected) in [(NOW, 1), (NOW + 900, 1), (NOW + 901, 2)] {
        let batch = Produced::default().at(-1).build();
        log.append_as_leader(&batch, AppendOrigin::Client, 0, &rules(), now)
            .unwrap();
        assert_eq!(log.segments().len(), expected, "at {now}");
    }
}

#[test]
fn segments_roll_when_an_index_is_full() {
    let config = LogConfig {
        segment_index_bytes: 48,
        segment_bytes: 1 << 20,
        ..small()
    };
    let (disk, mut log) = filled(&config, 60);
    assert!(log.segments().len() > 5);
    log.close().unwrap();
    check_files(&disk, dir());
    for entry in disk.list(dir()).unwrap() {
        assert!(
            !entry.name.ends_with("index") || entry.len <= 48,
            "{entry:?}"
        );
    }
}

#[test]
fn retention_by_time_moves_the_start_and_renames_first() {
    let config = LogConfig {
        retention_ms: 100,
        ..small()
    };
    let (disk, mut log) = filled(&config, 40);
    let before = bases(&log);
    let end = log.log_end_offset();
    let kept = log.apply_retention(NOW + 100, end).unwrap();
    assert!(kept.segments.is_empty());
    let deleted = log.apply_retention(NOW + 250, end).unwrap();
    assert!(!deleted.segments.is_empty());
    assert_eq!(log.log_start_offset(), before[deleted.segments.len()]);
    assert!(names(&disk).contains(&"00000000000000000000.log.deleted".to_owned()));
    assert_eq!(log.epoch_entries()[0].start_offset, log.log_start_offset());
    deleted.remove_files().unwrap();
    assert!(!names(&disk).iter().any(|name| name.ends_with(".deleted")));
    // Everything is old: a new active segment starts where the log ends.
    let all = log.apply_retention(NOW + 10_000, end).unwrap();
    all.remove_files().unwrap();
    assert_eq!(
        (bases(&log), log.log_start_offset(), log.size_bytes()),
        (vec![end], end, 0)
    );
    log.close().unwrap();
    let (mut log, _) = open(&disk, &config, clean(end)).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (end, end));
    produce(&mut log, &Produced::default()).unwrap();
}

#[test]
fn retention_stops_at_the_high_watermark() {
    let (_, mut log) = filled(
        &LogConfig {
            retention_ms: 1,
            ..small()
        },
        40,
    );
    let second = bases(&log)[1];
    let none = log.apply_retention(NOW + 10_000, second - 1).unwrap();
    assert!(none.segments.is_empty());
    assert_eq!(
        log.apply_retention(NOW + 10_000, second)
            .unwrap()
            .segments
            .len(),
        1
    );
}

#[test]
fn the_log_start_moves_forward_and_frees_segments_even_of_compacted_topics() {
    let config = LogConfig {
        cleanup_policy: CleanupPolicy::Compact,
        ..small()
    };
    let (disk, mut log) = filled(&config, 40);
    let third = bases(&log)[2];
    assert!(log.increment_log_start_offset(third + 1).unwrap());
    assert!(!log.increment_log_start_offset(third).unwrap());
    let deleted = log.apply_retention(NOW, log.log_end_offset()).unwrap();
    assert_eq!(deleted.segments.len(), 2);
    assert_eq!(log.log_start_offset(), third + 1);
    // The removal never happened; the next opening does it.
    drop(deleted);
    log.close().unwrap();
    let mut context = clean(80);
    context.log_start_offset = third + 1;
    let (log, report) = open(&disk, &config, context).unwrap();
    assert_eq!(log.log_start_offset(), third + 1);
    assert!(report.removed_leftovers > 0);
}

#[test]
fn truncation_cuts_at_batches_and_brings_everything_down() {
    let (disk, mut log) = new_log(&small());
    for epoch in 0..8 {
        for _ in 0..5 {
            let batch = Produced {
                value_len: 60,
                ..Produced::records(3)
            }
            .build();
            log.append_as_leader(&batch, AppendOrigin::Client, epoch, &rules(), NOW)
                .unwrap();
        }
    }
    log.flush().unwrap();
    let all = batches(&log);
    assert_eq!(log.truncate_to(500, NOW).unwrap(), 120);
    // Inside a batch: the whole batch goes.
    assert_eq!(log.truncate_to(76, NOW).unwrap(), 75);
    assert_eq!((log.log_end_offset(), log.recovery_point()), (75, 75));
    assert_eq!(batches(&log), all[..25]);
    assert_eq!(log.epoch_entries().last().unwrap().epoch, 4);
    assert_eq!(log.end_offset_for_epoch(4), (4, 75));
    // The log goes on, and everything is found again after a crash.
    for batch in &all[25..] {
        log.append_as_follower(batch.bytes(), NOW).unwrap();
    }
    assert_eq!(batches(&log), all);
    let third = bases(&log)[2];
    assert_eq!(
        log.truncate_to(third, NOW).unwrap(),
        third,
        "at a segment's start"
    );
    let left = batches(&log);
    assert_eq!(left, all[..left.len()]);
    let (mut log, _) = open(&disk, &small(), dirty(log.recovery_point())).unwrap();
    assert_eq!(batches(&log), left);
    log.close().unwrap();
    check_files(&disk, dir());
}

#[test]
fn truncation_undoes_transactions() {
    let (_, mut log) = new_log(&LogConfig {
        segment_bytes: 300,
        ..small()
    });
    let data = |id, sequence| {
        Produced::default()
            .by_producer(id, 0, sequence)
            .transactional()
    };
    produce(&mut log, &data(1, 0)).unwrap();
    end_txn(&mut log, 1, 0, Abort).unwrap(); // 1
    produce(&mut log, &data(1, 1)).unwrap(); // 2
    produce(&mut log, &data(2, 0)).unwrap(); // 3
    end_txn(&mut log, 1, 0, Abort).unwrap(); // 4
    log.on_high_watermark(5);
    assert_eq!(log.aborted_transactions(0, 9).unwrap().len(), 2);
    log.truncate_to(4, NOW).unwrap();
    assert_eq!(log.aborted_transactions(0, 9).unwrap().len(), 1);
    assert_eq!(log.first_unstable_offset(), Some(2));
    assert!(produce(&mut log, &data(1, 1)).unwrap().duplicate);
    produce(&mut log, &data(1, 2)).unwrap();
}

#[test]
fn truncating_fully_starts_anew_elsewhere() {
    let (disk, mut log) = filled(&small(), 40);
    log.truncate_fully_and_start_at(1000, NOW).unwrap();
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset(), bases(&log)),
        (1000, 1000, vec![1000])
    );
    assert_eq!(
        (log.epoch_entries().len(), log.active_producers().count()),
        (0, 0)
    );
    assert!(
        !names(&disk)
            .iter()
            .any(|name| name.starts_with("00000000000000000000"))
    );
    produce(&mut log, &Produced::default()).unwrap();
    produce(&mut log, &Produced::records(4)).unwrap();
    log.increment_log_start_offset(1003).unwrap();
    assert_eq!(
        log.truncate_to(1003, NOW).unwrap(),
        1001,
        "the start was inside a batch"
    );
    assert_eq!(log.log_start_offset(), 1001);
    // Below its start, too: a leader whose log was lost.
    assert_eq!(log.truncate_to(3, NOW).unwrap(), 3);
    produce(&mut log, &Produced::default()).unwrap();
    assert_eq!(headers(&log)[0].base_offset, 3);
    let (log, _) = open(&disk, &small(), dirty(0)).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (3, 4));
}

#[test]
fn a_flush_planned_before_a_truncation_promises_nothing() {
    let (_, mut log) = filled(&small(), 5);
    let plan = log.flush_plan().unwrap();
    assert_eq!((plan.upto(), plan.is_empty()), (10, false));
    plan.run().unwrap();
    assert_eq!(log.unsynced_segments(), 0);
    log.truncate_to(4, NOW).unwrap();
    for _ in 0..5 {
        produce(&mut log, &Produced::records(2)).unwrap();
    }
    log.flushed(&plan, Ok(())).unwrap();
    assert_eq!(log.recovery_point(), 0, "other bytes stand there now");
    log.roll(NOW).unwrap();
    assert_eq!(log.unsynced_segments(), 1);
    log.flush().unwrap();
    assert_eq!((log.recovery_point(), log.unsynced_segments()), (14, 0));
    assert!(log.flush_plan().unwrap().is_empty());
}

#[test]
fn epochs_are_noted_before_the_first_batch() {
    let (disk, mut log) = new_log(&small());
    log.assign_epoch(3, 0).unwrap();
    assert_eq!(
        disk.read(&dir().join("leader-epoch-checkpoint")).unwrap(),
        b"0\n1\n3 0\n"
    );
    assert_eq!(log.end_offset_for_epoch(3), (3, 0));
    let batch = Produced::records(5).build();
    log.append_as_leader(&batch, AppendOrigin::Client, 3, &rules(), NOW)
        .unwrap();
    log.append_as_leader(&batch, AppendOrigin::Client, 7, &rules(), NOW)
        .unwrap();
    assert_eq!(log.end_offset_for_epoch(3), (3, 5));
    assert_eq!(log.end_offset_for_epoch(5), (3, 5));
    assert_eq!(log.end_offset_for_epoch(7), (7, 10));
    assert_eq!(log.end_offset_for_epoch(8), (-1, -1));
    assert_eq!((log.epoch_of(4), log.epoch_of(5)), (Some(3), Some(7)));
}

#[test]
fn a_noted_epoch_is_durable_before_its_first_batch() {
    let (disk, mut log) = new_log(&small());
    let file = dir().join("leader-epoch-checkpoint");
    log.note_epoch(3).unwrap();
    assert_eq!(log.end_offset_for_epoch(3), (3, 0));
    assert!(!disk.exists(&file).unwrap(), "a crash may forget it");
    let batch = Produced::records(5).build();
    log.append_as_leader(&batch, AppendOrigin::Client, 3, &rules(), NOW)
        .unwrap();
    assert_eq!(disk.read(&file).unwrap(), b"0\n1\n3 0\n");
}

#[test]
fn cut_where_it_ends_already_a_log_forgets_the_epoch_that_begins_there() {
    let (_, mut log) = new_log(&small());
    produce(&mut log, &Produced::records(5)).unwrap();
    log.note_epoch(2).unwrap();
    assert_eq!(log.end_offset_for_epoch(2), (2, 5));
    assert_eq!(log.truncate_to(5, NOW).unwrap(), 5);
    assert_eq!(log.latest_epoch(), Some(0));
    assert_eq!(log.end_offset_for_epoch(0), (0, 5));
}

#[test]
fn an_empty_log_has_one_file_and_opens_to_nothing() {
    let (disk, mut log) = new_log(&small());
    assert_eq!(names(&disk), ["00000000000000000000.log"]);
    log.close().unwrap();
    assert_eq!(names(&disk), ["00000000000000000000.log"]);
    let (log, report) = open(&disk, &small(), clean(0)).unwrap();
    assert_eq!(report, RecoveryReport::default());
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (0, 0));
}

#[test]
fn a_clean_restart_reads_nothing_again() {
    let (disk, mut log) = filled(&small(), 40);
    let before = (log.log_end_offset(), bases(&log), headers(&log));
    log.close().unwrap();
    check_files(&disk, dir());
    let (mut log, report) = open(&disk, &small(), clean(80)).unwrap();
    assert_eq!(report, RecoveryReport::default());
    assert_eq!((log.log_end_offset(), bases(&log), headers(&log)), before);
    for _ in 0..40 {
        produce(&mut log, &Produced::records(2).at(NOW + 5)).unwrap();
    }
    log.close().unwrap();
    check_files(&disk, dir());
    assert!(disk.exists(&segment_file(0, "timeindex")).unwrap());
}

#[test]
fn idle_logs_let_go_of_their_files() {
    let (_, mut log) = filled(&small(), 40);
    log.flush().unwrap();
    log.release_idle_files();
    assert_eq!(headers(&log).len(), 40);
    log.release_idle_files();
    produce(&mut log, &Produced::default()).unwrap();
}
