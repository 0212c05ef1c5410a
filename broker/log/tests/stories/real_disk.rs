//! The same log on a real file system.

use std::sync::Arc;

use isthmus_log::disk::{Disk, DiskFile, OpenMode, RealDisk};
use isthmus_log::{Log, LogConfig, OpenContext};
use isthmus_wire::Records;

use crate::kit::{NOW, Produced, headers, produce};

fn context(clean_shutdown: bool, recovery_point: i64) -> OpenContext {
    OpenContext {
        recovery_point,
        log_start_offset: 0,
        clean_shutdown,
        now_ms: NOW,
    }
}

#[test]
fn appended_flushed_reopened_and_truncated() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("orders-0");
    let disk = Arc::new(RealDisk);
    let config = Arc::new(LogConfig {
        segment_bytes: 10_000,
        index_interval_bytes: 500,
        retention_ms: -1,
        ..LogConfig::default()
    });
    let (mut log, _) = Log::open(&disk, &dir, config.clone(), context(false, 0)).unwrap();
    for index in 0..300 {
        let batch = Produced {
            value_len: 90,
            ..Produced::records(2)
        };
        produce(&mut log, &batch.by_producer(1, 0, index * 2)).unwrap();
    }
    log.flush().unwrap();
    assert_eq!(log.recovery_point(), 600);
    let all = headers(&log);
    let read = log.read(123, 5000, i64::MAX, true).unwrap();
    let expected = read.read_bytes().unwrap();
    let Records::File(region) = read.into_records().unwrap() else {
        panic!("a real file gives a region");
    };
    use std::os::unix::fs::FileExt as _;
    let mut sent = vec![0; region.len];
    region
        .file
        .read_exact_at(&mut sent, region.position)
        .unwrap();
    assert_eq!(sent, expected);
    drop(log);

    let (mut log, report) = Log::open(&disk, &dir, config.clone(), context(false, 600)).unwrap();
    assert_eq!((report.recovered_segments, headers(&log)), (1, all.clone()));
    log.truncate_to(400, NOW).unwrap();
    log.close().unwrap();
    let (log, report) = Log::open(&disk, &dir, config, context(true, 400)).unwrap();
    assert_eq!(
        (report.recovered_segments, headers(&log).as_slice()),
        (0, &all[..200])
    );
}

#[test]
fn vectored_writes_of_any_number_of_slices() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    let file = RealDisk.open(&path, OpenMode::Create).unwrap();
    let pieces: Vec<Vec<u8>> = (0..3000_usize)
        .map(|n| vec![(n % 251) as u8; n % 7])
        .collect();
    let slices: Vec<_> = pieces
        .iter()
        .map(|piece| std::io::IoSlice::new(piece))
        .collect();
    file.write_all_vectored_at(&slices, 5).unwrap();
    let content = RealDisk.read(&path).unwrap();
    assert_eq!(&content[5..], pieces.concat());
    RealDisk.write_atomic(&path, b"new").unwrap();
    assert_eq!(RealDisk.read(&path).unwrap(), b"new");
    assert_eq!(
        RealDisk.list(temp.path()).unwrap().len(),
        1,
        "no temporary file is left"
    );
}
