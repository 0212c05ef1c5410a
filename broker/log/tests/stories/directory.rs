//! The data directory: whose it is, what it remembers, what it never touches.

use std::path::Path;
use std::sync::Arc;

use isthmus_log::disk::{CrashMode, Disk, MemDisk, RealDisk};
use isthmus_log::{
    CheckpointKind, CleanShutdown, DirectoryError, LogDirectory, MetaProperties, OffsetCheckpoint,
};
use isthmus_wire::Uuid;

const PATH: &str = "/var/kafka";

fn path() -> &'static Path {
    Path::new(PATH)
}

fn meta() -> MetaProperties {
    MetaProperties {
        cluster_id: "east".to_owned(),
        node_id: 3,
        directory_id: Uuid([5; 16]),
    }
}

fn formatted() -> Arc<MemDisk> {
    let disk = Arc::new(MemDisk::new());
    LogDirectory::format(&*disk, path(), &meta()).unwrap();
    disk
}

#[test]
fn a_directory_is_formatted_once_and_found_again() {
    let disk = formatted();
    let text = String::from_utf8(disk.read(&path().join("meta.properties")).unwrap()).unwrap();
    let id = Uuid([5; 16]);
    assert_eq!(
        text,
        format!("#\nversion=1\ncluster.id=east\nnode.id=3\ndirectory.id={id}\n")
    );
    assert!(LogDirectory::format(&*disk, path(), &meta()).is_err());
    let directory = LogDirectory::open(&disk, path(), "east", 3).unwrap();
    assert_eq!(directory.meta(), &meta());
}

#[test]
fn a_directory_of_others_is_refused_and_nothing_is_touched() {
    type Expected = fn(&DirectoryError) -> bool;
    let replace = |from: &str, to: &str| {
        let disk = formatted();
        let file = path().join("meta.properties");
        let text = String::from_utf8(disk.read(&file).unwrap()).unwrap();
        disk.write_atomic(&file, text.replace(from, to).as_bytes())
            .unwrap();
        disk
    };
    let cases: [(&str, &str, Expected); 7] = [
        ("east", "west", |e| {
            matches!(e, DirectoryError::ForeignCluster { .. })
        }),
        ("node.id=3", "node.id=4", |e| {
            matches!(e, DirectoryError::ForeignNode { found: 4, .. })
        }),
        ("version=1", "version=2", |e| {
            matches!(e, DirectoryError::UnknownVersion { .. })
        }),
        ("version=1", "version=0", |e| {
            matches!(e, DirectoryError::UnknownVersion { .. })
        }),
        ("version=1\n", "", |e| {
            matches!(e, DirectoryError::InvalidMeta { key: "version", .. })
        }),
        ("node.id=3", "node.id=x", |e| {
            matches!(e, DirectoryError::InvalidMeta { key: "node.id", .. })
        }),
        ("directory.id=", "directory.id=!", |e| {
            matches!(
                e,
                DirectoryError::InvalidMeta {
                    key: "directory.id",
                    ..
                }
            )
        }),
    ];
    for (from, to, expected) in cases {
        let disk = replace(from, to);
        let before = disk.contents();
        let error = LogDirectory::open(&disk, path(), "east", 3).unwrap_err();
        assert!(expected(&error), "{from} -> {to}: {error}");
        assert_eq!(disk.contents(), before);
    }
    let empty = Arc::new(MemDisk::new());
    empty.create_dir_all(path()).unwrap();
    let before = empty.contents();
    let error = LogDirectory::open(&empty, path(), "east", 3).unwrap_err();
    assert!(matches!(error, DirectoryError::NotFormatted { .. }));
    assert_eq!(empty.contents(), before);
}

#[test]
fn one_process_at_a_time() {
    let disk = formatted();
    let first = LogDirectory::open(&disk, path(), "east", 3).unwrap();
    let error = LogDirectory::open(&disk, path(), "east", 3).unwrap_err();
    assert!(matches!(error, DirectoryError::Locked { .. }));
    drop(first);
    LogDirectory::open(&disk, path(), "east", 3).unwrap();

    let temp = tempfile::tempdir().unwrap();
    let real = Arc::new(RealDisk);
    LogDirectory::format(&*real, temp.path(), &meta()).unwrap();
    let first = LogDirectory::open(&real, temp.path(), "east", 3).unwrap();
    let error = LogDirectory::open(&real, temp.path(), "east", 3).unwrap_err();
    assert!(matches!(error, DirectoryError::Locked { .. }));
    drop(first);
    LogDirectory::open(&real, temp.path(), "east", 3).unwrap();
}

#[test]
fn partitions_are_created_listed_and_deleted_in_two_steps() {
    let disk = formatted();
    let directory = LogDirectory::open(&disk, path(), "east", 3).unwrap();
    let id = Uuid([9; 16]);
    directory.create_partition("orders-eu", 2, id).unwrap();
    directory
        .create_partition("orders-eu", 2, Uuid([1; 16]))
        .unwrap();
    directory.create_partition("a", 0, id).unwrap();
    disk.create_dir_all(&path().join("lost+found")).unwrap();
    disk.create_dir_all(&path().join("a-0.0123-future"))
        .unwrap();
    let partitions = directory.partitions().unwrap();
    let names: Vec<_> = partitions
        .iter()
        .map(|p| (p.topic.as_str(), p.partition))
        .collect();
    assert_eq!(names, [("a", 0), ("orders-eu", 2)]);
    assert!(
        partitions
            .iter()
            .all(|partition| partition.topic_id == Some(id))
    );

    let deletion = directory
        .delete_partition("orders-eu", 2, [0xcd; 16])
        .unwrap();
    assert_eq!(directory.partitions().unwrap().len(), 1);
    let renamed = path().join(format!("orders-eu-2.{}-delete", "cd".repeat(16)));
    assert!(disk.exists(&renamed).unwrap());
    // The process dies before the removal.
    drop(directory);
    let disk = Arc::new(disk.crash(CrashMode::LoseAll, 0));
    let directory = LogDirectory::open(&disk, path(), "east", 3).unwrap();
    assert_eq!(
        directory.pending_deletions().unwrap(),
        std::slice::from_ref(&deletion)
    );
    directory.remove(&deletion).unwrap();
    directory.remove(&deletion).unwrap();
    assert!(directory.pending_deletions().unwrap().is_empty());
}

#[test]
fn checkpoints_and_the_marker_survive_and_the_marker_counts_once() {
    let disk = formatted();
    let directory = LogDirectory::open(&disk, path(), "east", 3).unwrap();
    assert_eq!(directory.take_clean_shutdown().unwrap(), CleanShutdown::No);
    let offsets = OffsetCheckpoint::from([(("a".to_owned(), 0), 7), (("b".to_owned(), 1), 9)]);
    for kind in [
        CheckpointKind::RecoveryPoint,
        CheckpointKind::LogStartOffset,
        CheckpointKind::HighWatermark,
    ] {
        assert!(directory.read_checkpoint(kind).unwrap().is_empty());
        directory.write_checkpoint(kind, &offsets).unwrap();
    }
    directory.mark_clean_shutdown(41).unwrap();
    drop(directory);
    let disk = Arc::new(disk.crash(CrashMode::LoseAll, 0));
    let text = disk
        .read(&path().join("replication-offset-checkpoint"))
        .unwrap();
    assert_eq!(text, b"0\n2\na 0 7\nb 1 9\n");
    let directory = LogDirectory::open(&disk, path(), "east", 3).unwrap();
    assert_eq!(
        directory
            .read_checkpoint(CheckpointKind::RecoveryPoint)
            .unwrap(),
        offsets
    );
    assert_eq!(
        directory.take_clean_shutdown().unwrap(),
        CleanShutdown::Yes { broker_epoch: 41 }
    );
    drop(directory);
    let disk = Arc::new(disk.crash(CrashMode::LoseAll, 0));
    let directory = LogDirectory::open(&disk, path(), "east", 3).unwrap();
    assert_eq!(directory.take_clean_shutdown().unwrap(), CleanShutdown::No);
}
