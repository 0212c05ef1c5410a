//! What is cut off a log is kept before: exactly that, whole, within the bound, whatever fails.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use isthmus_log::disk::{CrashMode, Disk, FaultAction, FaultDisk, FaultPoint, MemDisk};
use isthmus_log::{CutOff, Evidence, Log, LogDirectory, MetaProperties};
use isthmus_wire::Uuid;
use isthmus_wire::batch::{BatchView, split_batches};

use crate::kit::{NOW, Produced, batches, dirty, mem, open, produce, small};

const ROOT: &str = "/data/__truncated";
const PLENTY: u64 = 1 << 20;

fn directory<D: Disk>(disk: &Arc<D>) -> LogDirectory<D> {
    let path = Path::new("/data");
    if !disk.exists(&path.join("meta.properties")).unwrap() {
        let meta = MetaProperties {
            cluster_id: "east".to_owned(),
            node_id: 3,
            directory_id: Uuid([5; 16]),
        };
        LogDirectory::format(&**disk, path, &meta).unwrap();
    }
    LogDirectory::open(disk, path, "east", 3).unwrap()
}

/// Twenty batches of three records each, over several segments.
fn log_of<D: Disk>(disk: &Arc<D>) -> Log<D> {
    let (mut log, _) = open(disk, &small(), dirty(0)).unwrap();
    for _ in 0..20 {
        produce(&mut log, &Produced::records(3)).unwrap();
    }
    log.flush().unwrap();
    log
}

fn cut_off(now_ms: i64) -> CutOff<'static> {
    CutOff {
        topic: "orders",
        partition: 0,
        leader_epoch: 7,
        now_ms,
    }
}

fn batches_in<D: Disk>(disk: &D, path: &Path) -> Vec<BatchView> {
    let bytes = Bytes::from(disk.read(path).unwrap());
    let batches = split_batches(&bytes).map(|batch| {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        batch
    });
    batches.collect()
}

/// Every file under the evidence's root, with its length.
fn files<D: Disk>(disk: &D) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    if !disk.exists(Path::new(ROOT)).unwrap() {
        return found;
    }
    for dir in disk.list(Path::new(ROOT)).unwrap() {
        let files = disk.list(&Path::new(ROOT).join(&dir.name)).unwrap();
        found.extend(files.into_iter().map(|file| (file.name, file.len)));
    }
    found
}

#[test]
fn what_is_kept_and_what_stays_is_what_there_was() {
    for offset in 0..=60 {
        let disk = mem();
        let (directory, mut log) = (directory(&disk), log_of(&disk));
        let all = batches(&log);
        let suffix = log.suffix(offset).unwrap();
        let kept = directory.keep_evidence(cut_off(NOW), &suffix, PLENTY);
        let (kept, records) = (kept.unwrap(), suffix.records().unwrap());
        log.truncate_to(offset, NOW).unwrap();
        let mut found = batches(&log);
        let Some(Evidence {
            path,
            end_offset,
            bytes,
        }) = kept
        else {
            assert_eq!((offset, files(&*disk)), (60, vec![]), "nothing was cut");
            continue;
        };
        let evidence = batches_in(&*disk, &path);
        assert_eq!(evidence[0].header().base_offset, suffix.first_offset);
        assert_eq!((end_offset, suffix.end_offset), (60, 60));
        assert_eq!(bytes, suffix.bytes);
        assert_eq!(records, evidence.len() as u64 * 3);
        found.extend(evidence);
        assert_eq!(found, all, "cut at {offset}");
    }
}

#[test]
fn a_name_says_what_is_in_the_file() {
    let disk = mem();
    let (directory, log) = (directory(&disk), log_of(&disk));
    let suffix = log.suffix(31).unwrap();
    let kept = directory.keep_evidence(cut_off(NOW), &suffix, PLENTY);
    let path = kept.unwrap().unwrap().path;
    let name = "00000000000000000030.60-7-1700000000000.log";
    assert_eq!(path, Path::new(ROOT).join("orders-0").join(name));
    assert!(
        directory
            .partitions()
            .unwrap()
            .iter()
            .all(|it| it.topic == "orders")
    );
}

#[test]
fn the_oldest_make_room_and_nothing_of_others_is_touched() {
    let disk = mem();
    let (directory, log) = (directory(&disk), log_of(&disk));
    let keep = |from: i64, now_ms: i64, bytes_max: u64| {
        let suffix = log.suffix(from).unwrap();
        directory.keep_evidence(cut_off(now_ms), &suffix, bytes_max)
    };
    let one = log.suffix(57).unwrap().bytes;
    let by_hand = Path::new(ROOT).join("orders-0").join("notes.log");
    for now_ms in [5, 3, 4] {
        keep(57, now_ms, 3 * one).unwrap().unwrap();
        disk.write_atomic(&by_hand, &[0; 500]).unwrap();
    }
    let there = |disk: &MemDisk| files(disk).into_iter().map(|it| it.0).collect::<Vec<_>>();
    let all = ["3", "4", "5"].map(|ms| format!("00000000000000000057.60-7-{ms}.log"));
    let with_notes = |names: &[String]| [names, &["notes.log".to_owned()]].concat();
    assert_eq!(there(&disk), with_notes(&all));
    keep(54, 6, 3 * one).unwrap().unwrap();
    let newest = "00000000000000000054.60-7-6.log".to_owned();
    assert_eq!(there(&disk), with_notes(&[newest, all[2].clone()]));
    // More than all may take: as many whole batches as fit, from the beginning.
    let kept = keep(30, 7, 3 * one + 1).unwrap().unwrap();
    assert_eq!((kept.bytes, kept.end_offset), (3 * one, 39));
    assert_eq!(batches_in(&*disk, &kept.path).len(), 3);
    assert_eq!(files(&*disk).len(), 2, "it and the notes");
    // Not even one batch; and none at all by configuration.
    assert_eq!(keep(30, 8, one - 1).unwrap(), None);
    assert_eq!(keep(30, 9, 0).unwrap(), None);
    assert_eq!(there(&disk), ["notes.log"]);
}

#[test]
fn a_cut_that_was_not_made_leaves_nothing() {
    let disk = mem();
    let (directory, log) = (directory(&disk), log_of(&disk));
    let suffix = log.suffix(30).unwrap();
    let kept = directory.keep_evidence(cut_off(NOW), &suffix, PLENTY);
    directory
        .withdraw_evidence(&kept.unwrap().unwrap())
        .unwrap();
    assert_eq!(files(&*disk), []);
}

type Faulty = FaultDisk<MemDisk>;

fn faulty() -> (Arc<Faulty>, LogDirectory<Faulty>, Log<Faulty>) {
    let disk = Arc::new(FaultDisk::new((*mem()).clone()));
    let (directory, log) = (directory(&disk), log_of(&disk));
    (disk, directory, log)
}

/// The points that a file of evidence passes.
fn points() -> Vec<FaultPoint> {
    let (disk, directory, log) = faulty();
    let suffix = log.suffix(30).unwrap();
    let before = disk.passed().len();
    directory
        .keep_evidence(cut_off(NOW), &suffix, PLENTY)
        .unwrap();
    disk.passed().split_off(before)
}

#[test]
fn whatever_fails_the_log_can_be_cut_and_no_half_file_has_a_name() {
    let points = points();
    assert!(points.len() > 5, "{points:?}");
    let actions = [FaultAction::Eio, FaultAction::ShortWrite, FaultAction::Stop];
    for (at, point) in points.iter().enumerate() {
        let nth = points[..=at].iter().filter(|it| *it == point).count();
        let nth = u32::try_from(nth).unwrap();
        for action in actions {
            let story = format!("{point:?} {nth} {action:?}");
            let (disk, directory, mut log) = faulty();
            let all = batches(&log);
            let suffix = log.suffix(30).unwrap();
            disk.arm(*point, nth, action);
            let kept = directory.keep_evidence(cut_off(NOW), &suffix, PLENTY);
            assert!(kept.is_err(), "{story}");
            if action != FaultAction::Stop {
                assert_eq!(log.truncate_to(30, NOW).unwrap(), 30, "{story}");
            }
            for mode in [
                CrashMode::ProcessOnly,
                CrashMode::AnyOrder,
                CrashMode::LoseAll,
            ] {
                let after = Arc::new(disk.inner().crash(mode, u64::from(nth)));
                assert_no_half_file(&after, &all[10..], &format!("{story} {mode:?}"));
            }
        }
    }
}

fn assert_no_half_file(disk: &Arc<MemDisk>, cut: &[BatchView], story: &str) {
    let dir = Path::new(ROOT).join("orders-0");
    for (name, _) in files(&**disk) {
        if name.ends_with(".log") {
            assert_eq!(batches_in(&**disk, &dir.join(&name)), cut, "{story}");
        }
    }
}

#[test]
fn what_was_kept_outlives_any_crash_and_a_wreck_is_the_first_to_go() {
    for mode in [CrashMode::LoseAll, CrashMode::InOrder, CrashMode::AnyOrder] {
        let disk = mem();
        let (before, log) = (directory(&disk), log_of(&disk));
        let suffix = log.suffix(30).unwrap();
        let kept = before.keep_evidence(cut_off(NOW), &suffix, PLENTY);
        let kept = kept.unwrap().unwrap();
        let after = Arc::new(disk.crash(mode, 1));
        let found = batches_in(&*after, &kept.path);
        assert_eq!(found, batches(&log)[10..], "{mode:?}");
        // A half of one lies there as well.
        let wreck = kept.path.with_file_name("00000000000000000042.tmp");
        after.write_atomic(&wreck, &[1; 100]).unwrap();
        let directory = directory(&after);
        let (log, _) = open(&after, &small(), dirty(0)).unwrap();
        let more = log.suffix(57).unwrap();
        let bound = kept.bytes + more.bytes;
        directory
            .keep_evidence(cut_off(NOW + 1), &more, bound)
            .unwrap()
            .unwrap();
        assert!(!after.exists(&wreck).unwrap() && after.exists(&kept.path).unwrap());
    }
}

#[test]
fn a_crash_before_the_cut_leaves_file_and_log_and_it_is_cut_again() {
    let disk = mem();
    let (before, log) = (directory(&disk), log_of(&disk));
    let all = batches(&log);
    let suffix = log.suffix(30).unwrap();
    before
        .keep_evidence(cut_off(NOW), &suffix, PLENTY)
        .unwrap()
        .unwrap();
    let after = Arc::new(disk.crash(CrashMode::LoseAll, 1));
    let directory = directory(&after);
    let (mut log, _) = open(&after, &small(), dirty(0)).unwrap();
    assert_eq!(batches(&log), all, "not cut yet");
    let suffix = log.suffix(30).unwrap();
    directory
        .keep_evidence(cut_off(NOW + 1), &suffix, PLENTY)
        .unwrap()
        .unwrap();
    log.truncate_to(30, NOW).unwrap();
    assert_eq!(batches(&log), all[..10]);
    let kept = files(&*after);
    assert_eq!(kept.len(), 2, "{kept:?}");
    let dir = Path::new(ROOT).join("orders-0");
    for (name, _) in kept {
        assert_eq!(batches_in(&*after, &dir.join(name)), all[10..]);
    }
}
