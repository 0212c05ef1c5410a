//! A disk that fails at each named point: the log refuses from then on, and after reopening
//! everything that was acknowledged as synced is there.

use std::collections::BTreeSet;
use std::sync::Arc;

use isthmus_log::disk::{
    CrashMode, Disk, DiskFile, FaultAction, FaultDisk, FaultPoint, MemDisk, OpenMode,
};
use isthmus_log::{Log, LogConfig, StorageError};
use isthmus_wire::batch::ControlRecordType::Abort;

use crate::kit::{NOW, Produced, batches, dir, dirty, end_txn, mem, open, produce, small};

type Faulty = FaultDisk<MemDisk>;

/// Every kind of change a log can make, in a fixed order; stops at the first failure.
struct Script {
    log: Log<Faulty>,
    synced: i64,
    log_start: i64,
}

impl Script {
    fn next_sequence(&self, id: i64) -> i32 {
        let producer = self
            .log
            .active_producers()
            .find(|producer| producer.producer_id == id);
        producer.map_or(0, |producer| producer.last_sequence + 1)
    }

    fn run(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        for round in 0..6 {
            for _ in 0..6 {
                let sequence = self.next_sequence(7);
                produce(
                    &mut self.log,
                    &Produced::records(2).by_producer(7, 0, sequence),
                )?;
            }
            let sequence = self.next_sequence(9);
            let batch = Produced::default()
                .by_producer(9, 0, sequence)
                .transactional();
            produce(&mut self.log, &batch)?;
            end_txn(&mut self.log, 9, 0, Abort)?;
            self.log.assign_epoch(round, self.log.log_end_offset())?;
            self.log.flush()?;
            self.synced = self.log.recovery_point();
            if round == 3 {
                let target = self.log.log_end_offset() - 3;
                // From here on the tail may go, and must not be counted on.
                self.synced = self.synced.min(target - 2);
                self.synced = self.log.truncate_to(target, NOW)?;
            }
            let deleted = self.log.apply_retention(NOW, self.log.log_end_offset())?;
            self.log_start = self.log.log_start_offset();
            deleted.remove_files()?;
        }
        self.log.close()?;
        self.synced = self.log.recovery_point();
        Ok(())
    }
}

fn config() -> LogConfig {
    LogConfig {
        retention_bytes: 2500,
        segment_bytes: 500,
        ..small()
    }
}

fn script() -> (Arc<Faulty>, Script) {
    let disk = Arc::new(FaultDisk::new((*mem()).clone()));
    disk.watch_unsynced();
    let (log, _) = open(&disk, &config(), dirty(0)).unwrap();
    (
        disk,
        Script {
            log,
            synced: 0,
            log_start: 0,
        },
    )
}

fn assert_refuses(log: &mut Log<Faulty>) {
    let same = |error: &StorageError, log: &Log<Faulty>| {
        assert_eq!(error.to_string(), log.storage_error().unwrap().to_string());
    };
    let error = log.roll(NOW).unwrap_err();
    same(&error, log);
    assert!(produce(log, &Produced::default()).is_err());
    assert!(
        log.append_as_follower(&Produced::default().build(), NOW)
            .is_err()
    );
    assert!(log.read(log.log_start_offset(), 1, i64::MAX, true).is_err());
    assert!(log.flush_plan().is_err() && log.close().is_err());
    assert!(log.truncate_to(0, NOW).is_err() && log.apply_retention(NOW, 0).is_err());
    assert!(log.offset_for_timestamp(0, i64::MAX).is_err());
}

#[test]
fn after_any_fault_the_log_refuses_and_what_was_synced_is_there() {
    let (disk, mut whole) = script();
    whole.run().unwrap();
    let passed = disk.passed();
    let points: BTreeSet<FaultPoint> = passed.iter().copied().collect();
    for point in points {
        let times = passed.iter().filter(|passed| **passed == point).count();
        for nth in 1..=u32::try_from(times).unwrap() {
            for action in [
                FaultAction::Eio,
                FaultAction::Enospc,
                FaultAction::ShortWrite,
                FaultAction::Stop,
            ] {
                fail_at(point, nth, action);
            }
        }
    }
}

fn fail_at(point: FaultPoint, nth: u32, action: FaultAction) {
    let story = format!("{point:?} {nth} {action:?}");
    let (disk, mut script) = script();
    // The opening has passed some points already.
    let before = disk
        .passed()
        .iter()
        .filter(|passed| **passed == point)
        .count();
    let Some(nth) = nth
        .checked_sub(u32::try_from(before).unwrap())
        .filter(|nth| *nth > 0)
    else {
        return;
    };
    disk.arm(point, nth, action);
    let result = script.run();
    if result.is_ok() {
        // Removing what is out of the log already, or reading what another way told, may fail in
        // peace.
        assert!(!disk.is_armed(), "{story}");
        return;
    }
    // Only the removal of files that are out of the log may fail without ending it.
    if point != FaultPoint::Delete || script.log.storage_error().is_some() {
        let poisons = !matches!(point, FaultPoint::Read);
        if poisons {
            assert!(script.log.storage_error().is_some(), "{story}");
            assert_refuses(&mut script.log);
        }
    }
    let crash = |mode| (mode, disk.inner().crash(mode, u64::from(nth)));
    let mut wrecks = [
        CrashMode::ProcessOnly,
        CrashMode::LoseAll,
        CrashMode::AnyOrder,
    ]
    .map(crash)
    .to_vec();
    disk.lose_unsynced().unwrap();
    wrecks.push(crash(CrashMode::ProcessOnly));
    for (mode, after) in wrecks {
        let after = Arc::new(after);
        let mut context = dirty(script.synced.min(script.log.recovery_point()));
        context.log_start_offset = script.log_start;
        let (log, report) = open(&after, &config(), context)
            .unwrap_or_else(|error| panic!("{story}, {mode:?}: {error}"));
        assert!(
            log.log_end_offset() >= script.synced,
            "{story}, {mode:?}: {report:?}"
        );
        assert!(!report.synced_data_lost, "{story}, {mode:?}");
        let found = batches(&log);
        let end = found
            .last()
            .map_or(log.log_start_offset(), |b| b.header().next_offset());
        assert_eq!(end, log.log_end_offset(), "{story}, {mode:?}");
    }
}

#[test]
fn what_no_sync_made_durable_goes_with_the_power() {
    let disk = Arc::new(FaultDisk::new((*mem()).clone()));
    disk.watch_unsynced();
    // One segment: names survive.
    let config = LogConfig {
        segment_bytes: 1 << 20,
        ..small()
    };
    let reopened = || open(&disk, &config, dirty(0)).unwrap().0;
    let mut log = reopened();
    produce(&mut log, &Produced::records(3)).unwrap();
    log.flush().unwrap();
    produce(&mut log, &Produced::records(4)).unwrap();
    drop(log);
    assert_eq!(
        reopened().log_end_offset(),
        7,
        "the process alone loses nothing"
    );
    disk.lose_unsynced().unwrap();
    assert_eq!(reopened().log_end_offset(), 3);
}

#[test]
fn what_was_written_over_or_cut_off_comes_back_with_the_power() {
    let disk = FaultDisk::new((*mem()).clone());
    disk.watch_unsynced();
    disk.create_dir_all(dir()).unwrap();
    let path = dir().join("any");
    let content = || disk.read(&path).unwrap();
    let file = disk.open(&path, OpenMode::Create).unwrap();
    file.write_all_at(b"as it was", 0).unwrap();
    file.sync_data().unwrap();
    file.write_all_at(b"IS now, and longer", 3).unwrap();
    file.truncate(5).unwrap();
    file.write_all_at(b"???", 4).unwrap();
    assert_eq!(content(), b"as I???");
    disk.lose_unsynced().unwrap();
    assert_eq!(content(), b"as it was");
    // Emptied as it is opened, and under another name by then.
    drop(disk.open(&path, OpenMode::Truncate).unwrap());
    let renamed = dir().join("other");
    disk.rename(&path, &renamed).unwrap();
    disk.lose_unsynced().unwrap();
    assert_eq!(disk.read(&renamed).unwrap(), b"as it was");
}

#[test]
fn a_failed_fsync_is_never_tried_again() {
    let (disk, mut script) = script();
    produce(&mut script.log, &Produced::default()).unwrap();
    let plan = script.log.flush_plan().unwrap();
    disk.arm(FaultPoint::Sync, 1, FaultAction::Eio);
    let outcome = plan.run();
    assert!(script.log.flushed(&plan, outcome).is_err());
    // The disk would work again.
    assert!(script.log.flushed(&plan, Ok(())).is_err());
    assert_eq!(script.log.recovery_point(), 0);
    assert_refuses(&mut script.log);
}

/// After a failed fsync Linux takes for written what is not, and the next one succeeds. A start that believed
/// its cache would count on records that the next loss of power takes.
#[test]
fn what_a_failed_fsync_left_in_the_cache_alone_is_gone_at_the_next_start() {
    let disk = mem();
    let (mut log, _) = open(&disk, &config(), dirty(0)).unwrap();
    for _ in 0..3 {
        produce(&mut log, &Produced::default()).unwrap();
    }
    log.flush().unwrap();
    for _ in 0..2 {
        produce(&mut log, &Produced::default()).unwrap();
    }
    disk.fail_sync(1);
    log.flush().unwrap_err();
    drop(log);

    let (mut log, _) = open(&disk, &config(), dirty(3)).unwrap();
    assert_eq!(log.log_end_offset(), 3);
    produce(&mut log, &Produced::default()).unwrap();
    log.flush().unwrap();
    assert_eq!(log.recovery_point(), 4);
    drop(log);
    let after = Arc::new(disk.crash(CrashMode::LoseAll, 0));
    let (log, report) = open(&after, &config(), dirty(4)).unwrap();
    assert_eq!(log.log_end_offset(), 4);
    assert!(!report.synced_data_lost);
}

#[test]
fn a_short_write_leaves_a_tail_that_is_cut_at_opening() {
    let (disk, mut script) = script();
    for _ in 0..3 {
        produce(&mut script.log, &Produced::default()).unwrap();
    }
    disk.arm(FaultPoint::Append, 1, FaultAction::ShortWrite);
    produce(&mut script.log, &Produced::default()).unwrap_err();
    assert_eq!(script.log.log_end_offset(), 3);
    let after = Arc::new(disk.inner().crash(CrashMode::ProcessOnly, 0));
    let (log, report) = open(&after, &config(), dirty(0)).unwrap();
    assert_eq!(log.log_end_offset(), 3);
    assert!(report.truncated_bytes > 0);
}

#[test]
fn plans_are_read_from_text() {
    let disk = FaultDisk::new(MemDisk::new());
    disk.arm_text("append:2:enospc").unwrap();
    assert!(disk.is_armed());
    for text in [
        "",
        "append:2",
        "append:0:eio",
        "apend:1:eio",
        "append:x:eio",
        "append:1:eioo",
    ] {
        let error = disk.arm_text(text).unwrap_err();
        assert!(error.to_string().contains("point:nth:action"), "{text}");
    }
    for (_, name) in FaultPoint::ALL {
        disk.arm_text(&format!("{name}:1:kill")).unwrap();
    }
    assert!(disk.list(dir()).is_err());
}
