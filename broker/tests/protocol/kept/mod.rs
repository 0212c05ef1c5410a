//! Data directories that are kept, one of each metadata level that was ever released: every build
//! opens them, and finds all that was put into them.
//!
//! `broker/tests/data/level-N/data` is the directory, `listing.txt` beside it all that a broker on
//! it says. A level's directory is made once, when the level is new, and never again:
//!
//! ```text
//! ISTHMUS_TEST_KEEP=1 cargo test -p isthmus-broker --test protocol kept
//! ```
//!
//! makes it anew for the level this build writes. Tests work on copies.

pub(crate) mod listing;
mod make;
mod scram;

use crate::security::kit;
use crate::support::{Connection, TestBroker};
use bytes::Bytes;
use isthmus_broker::start;
use isthmus_wire::batch::{BatchBuilder, BatchHeader, BatchParams, split_batches};
use isthmus_wire::messages::FeatureLevelRecord;
use isthmus_wire::prefixed::encode_record;
use isthmus_wire::record_kind::MetadataRecordKind;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The level that this build writes.
const LEVEL: i16 = 3;

/// Nothing of what is kept may expire: its records and offsets grow old.
const BROKER: &str = r#"
[[listeners]]
name = "PLAINTEXT"
bind = "127.0.0.1:0"
[[listeners]]
name = "SASL"
bind = "127.0.0.1:0"
[listeners.sasl]
mechanisms = ["SCRAM-SHA-256"]
[kafka]
"authorizer.class.name" = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
"super.users" = "User:ANONYMOUS"
"offsets.topic.num.partitions" = 2
"offsets.retention.minutes" = 2147483647
"group.initial.rebalance.delay.ms" = 0
"log.cleaner.enable" = false
"metadata.log.max.record.bytes.between.snapshots" = 3000
"#;

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

#[tokio::test]
async fn a_directory_of_each_level_opens_and_says_what_it_always_said() {
    if std::env::var("ISTHMUS_TEST_KEEP").is_ok_and(|value| value == "1") {
        make::make(&kept().join(format!("level-{LEVEL}"))).await;
    }
    for level in 1..=LEVEL {
        let folder = kept().join(format!("level-{level}"));
        let expected = fs::read_to_string(folder.join("listing.txt")).unwrap();
        let mut broker = on_copy(&folder).await;
        // Once as it was left, and once as this build leaves it.
        for life in ["as it was kept", "after another life"] {
            let found = listing::of(&broker).await;
            assert_eq!(found, expected, "level {level}, {life}");
            let (user, salted) = (make::USER, &make::SALTED_PASSWORD);
            let logged_in = scram::log_in(broker.listener("SASL"), user, salted).await;
            assert!(logged_in, "level {level}, {life}");
            let wrong = scram::log_in(broker.listener("SASL"), user, &[0; 32]).await;
            assert!(!wrong, "level {level}, {life}: the wrong password");
            broker = start_again(broker).await;
        }
        broker.running.stop().await;
    }
}

#[tokio::test]
async fn one_that_a_newer_build_wrote_into_is_refused_and_not_touched() {
    let level = |feature_level| FeatureLevelRecord {
        name: "isthmus.metadata.level".to_owned(),
        feature_level,
    };
    let id = MetadataRecordKind::FeatureLevel.id();
    let raised = encode_record(id, 0, &level(LEVEL + 1)).unwrap();
    // Frame 1, a type that nobody has, version 0.
    let unknown = Bytes::from_static(&[1, 0xf0, 0x7f, 0]);
    for (record, words) in [
        (
            raised,
            ["metadata level 4", "start the build that wrote it"],
        ),
        (unknown, ["unknown record type 16368", "start that one"]),
    ] {
        let dir = copy(&kept().join(format!("level-{LEVEL}")));
        write_into_the_snapshot(&dir.path().join("data/__cluster_metadata-0"), &record);
        let before = contents(dir.path());
        let settings = kit::settings(dir.path(), BROKER).unwrap();
        let error = start(settings).await.err().unwrap();
        let said = error.to_string();
        assert!(error.is_configuration(), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        assert_eq!(contents(dir.path()), before, "{said}");
    }
}

async fn on_copy(folder: &Path) -> TestBroker {
    let dir = copy(folder);
    let running = start(kit::settings(dir.path(), BROKER).unwrap()).await;
    let running = running.unwrap();
    TestBroker { running, dir }
}

async fn start_again(broker: TestBroker) -> TestBroker {
    let TestBroker { running, dir } = broker;
    running.stop().await;
    let running = start(kit::settings(dir.path(), BROKER).unwrap()).await;
    let running = running.unwrap();
    TestBroker { running, dir }
}

async fn connect(broker: &TestBroker) -> Connection {
    Connection::open(broker.listener("PLAINTEXT")).await
}

fn copy(folder: &Path) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_folder(&folder.join("data"), &dir.path().join("data"));
    dir
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            let content = fs::read(&path).unwrap();
            found.insert(path, content);
        }
    }
    found
}

/// Puts a record in the place of the first one of the latest snapshot.
fn write_into_the_snapshot(dir: &Path, record: &Bytes) {
    let snapshots = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let snapshots = snapshots.filter(|path| path.extension().is_some_and(|it| it == "checkpoint"));
    let latest = snapshots.max().expect("a snapshot is kept");
    let content = Bytes::from(fs::read(&latest).unwrap());
    let mut written = Vec::new();
    let mut replaced = false;
    for batch in split_batches(&content) {
        let batch = batch.unwrap();
        let header: &BatchHeader = batch.header();
        let mut builder = BatchBuilder::new(BatchParams {
            base_offset: header.base_offset,
            partition_leader_epoch: 0,
            control: header.is_control(),
            ..BatchParams::default()
        });
        for found in batch.records(1 << 24).unwrap() {
            let found = found.unwrap();
            let is_first = !header.is_control() && !replaced;
            replaced |= is_first;
            let value = if is_first {
                Some(record.clone())
            } else {
                found.value
            };
            builder
                .append(0, found.key.as_deref(), value.as_deref(), &[])
                .unwrap();
        }
        written.extend_from_slice(&builder.finish().unwrap());
    }
    fs::write(latest, written).unwrap();
}
