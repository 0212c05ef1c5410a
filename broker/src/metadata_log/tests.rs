//! The metadata log over a disk in memory: restarts, crashes at every step, damage, refusals.

mod observers;
mod recovery;
mod snapshots;
mod voters;

use super::QuorumTiming;
use super::store::LogStore;
use super::types::{EncodedChange, Entry, log_id};
use super::{
    MetadataLog, MetadataLogError, Publish, QuorumBond, QuorumMetadataLog, QuorumOptions, Voter,
    directory_of, finish, format, snapshot,
};
use isthmus_broker_core::metadata::{MetadataDelta, MetadataImage, MetadataRecord};
use isthmus_log::MetaProperties;
use isthmus_log::disk::{CrashMode, Disk, FaultAction, FaultDisk, FaultPoint, MemDisk, OpenMode};
use isthmus_wire::Uuid;
use isthmus_wire::messages::{FeatureLevelRecord, RemoveTopicRecord, TopicRecord};
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use parking_lot::Mutex;
use prometheus::{Histogram, HistogramOpts};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use tokio_util::sync::CancellationToken;

type TestDisk = FaultDisk<MemDisk>;
type Log = QuorumMetadataLog<TestDisk>;

const VOTER: Voter = Voter {
    node_id: 1,
    directory_id: Uuid([7; 16]),
};

/// So few that every few topics make a snapshot.
const SNAPSHOT_BYTES: u64 = 90;

fn data() -> PathBuf {
    PathBuf::from("/data")
}

fn meta(voter: Voter) -> MetaProperties {
    MetaProperties {
        cluster_id: "c".to_owned(),
        node_id: voter.node_id,
        directory_id: voter.directory_id,
    }
}

fn formatted() -> Arc<TestDisk> {
    let disk = Arc::new(FaultDisk::new(MemDisk::new()));
    disk.create_dir_all(&data()).unwrap();
    format(&*disk, &data(), VOTER, &[VOTER]).unwrap();
    finish(&*disk, &data()).unwrap();
    disk
}

async fn open_as(
    disk: &Arc<TestDisk>,
    voter: Voter,
    failed: &CancellationToken,
) -> Result<Log, MetadataLogError> {
    let options = QuorumOptions {
        snapshot_bytes: SNAPSHOT_BYTES,
        timing: QuorumTiming::within(std::time::Duration::from_secs(2)),
        append_seconds: Histogram::with_opts(HistogramOpts::new("h", "h")).unwrap(),
        bond: QuorumBond::new(voter),
        failed: failed.clone(),
    };
    QuorumMetadataLog::open(disk, &data(), &meta(voter), options).await
}

async fn open(disk: &Arc<TestDisk>) -> Result<Log, MetadataLogError> {
    open_as(disk, VOTER, &CancellationToken::new()).await
}

async fn refused(disk: &Arc<TestDisk>) -> String {
    open(disk).await.map(|_| ()).unwrap_err().to_string()
}

/// What was published, and the latest image.
#[derive(Default)]
struct Told {
    latest: Mutex<Arc<MetadataImage>>,
    offsets: Mutex<Vec<i64>>,
    /// Who publishes next waits until the other end is gone.
    gate: Mutex<Option<mpsc::Receiver<()>>>,
}

impl Publish for Told {
    fn publish(&self, image: &Arc<MetadataImage>, _delta: &MetadataDelta) {
        let gate = self.gate.lock().take();
        if let Some(gate) = gate {
            gate.recv().unwrap_err();
        }
        self.offsets.lock().push(image.offset);
        *self.latest.lock() = Arc::clone(image);
    }
}

/// An open log that makes and deletes topics.
struct Writer {
    log: Log,
    told: Arc<Told>,
}

impl Writer {
    async fn open(disk: &Arc<TestDisk>) -> Self {
        Self::of(open(disk).await.unwrap())
    }

    fn of(mut log: Log) -> Self {
        let told = Arc::new(Told::default());
        let (image, _) = log.publish_to(Arc::clone(&told) as Arc<dyn Publish>);
        *told.latest.lock() = image;
        Self { log, told }
    }

    async fn append(&mut self, record: impl Into<MetadataRecord>) -> Result<(), MetadataLogError> {
        let last_offset = self.image().offset;
        self.log.append(last_offset, &[record.into()]).await
    }

    fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.told.latest.lock())
    }

    async fn close(mut self) -> Arc<MetadataImage> {
        self.log.close().await.unwrap();
        self.image()
    }
}

fn topic(number: u8) -> TopicRecord {
    TopicRecord {
        name: format!("topic-{number}"),
        topic_id: Uuid([number; 16]),
    }
}

fn names(image: &MetadataImage) -> BTreeSet<String> {
    let names = image.topics().map(|topic| topic.name.to_string());
    names.collect()
}

fn snapshots(disk: &TestDisk) -> Vec<PathBuf> {
    let listed = snapshot::list(disk, &directory_of(&data())).unwrap();
    listed.into_iter().map(|file| file.path).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_is_there_again_and_every_start_has_its_own_epoch() {
    let disk = formatted();
    let mut epochs = Vec::new();
    let mut before = None;
    for round in 0..6 {
        let opened = open(&disk).await.unwrap();
        epochs.push(opened.image().controller_epoch);
        let mut writer = Writer::of(opened);
        if let Some(before) = before {
            assert_eq!(names(&writer.image()), before, "round {round}");
        }
        for at in 0..4 {
            writer.append(topic(round * 4 + at)).await.unwrap();
        }
        let gone = topic(round * 4).topic_id;
        writer
            .append(RemoveTopicRecord { topic_id: gone })
            .await
            .unwrap();
        let offsets = writer.told.offsets.lock().clone();
        let first = offsets[0];
        assert_eq!(offsets, (first..first + 5).collect::<Vec<i64>>());
        before = Some(names(&*writer.close().await));
    }
    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
    assert_eq!(before.unwrap().len(), 18);
    let kept = snapshots(&disk);
    assert_eq!(kept.len(), 2, "the latest and the one before: {kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_decided_on_another_image_is_refused_and_changes_nothing() {
    let disk = formatted();
    let mut writer = Writer::open(&disk).await;
    writer.append(topic(1)).await.unwrap();
    let before = writer.image();
    for wrong in [before.offset - 1, before.offset + 1] {
        let records = [topic(2).into()];
        let log = &mut writer.log;
        let error = log.append(wrong, &records).await.unwrap_err();
        assert!(matches!(error, MetadataLogError::Stale { .. }), "{error}");
    }
    writer.append(topic(3)).await.unwrap();
    let after = writer.close().await;
    assert_eq!(after.offset, before.offset + 1);
    let reopened = Writer::open(&disk).await;
    assert_eq!(names(&reopened.image()), names(&after));
}

/// The script of the crash stories: topics that come and go over several snapshots. Gives up at
/// the first failure; tells which topics are sure and which one is in doubt.
struct Outcome {
    there: BTreeSet<String>,
    in_doubt: Option<String>,
}

async fn run_script(writer: &mut Writer) -> Outcome {
    let mut outcome = Outcome {
        there: BTreeSet::new(),
        in_doubt: None,
    };
    for number in 1..=14_u8 {
        let topic = topic(number);
        let (name, topic_id) = (topic.name.clone(), topic.topic_id);
        outcome.in_doubt = Some(name.clone());
        if writer.append(topic).await.is_err() {
            return outcome;
        }
        outcome.there.insert(name.clone());
        if number % 3 == 0 {
            outcome.there.remove(&name);
            if writer.append(RemoveTopicRecord { topic_id }).await.is_err() {
                return outcome;
            }
        }
        outcome.in_doubt = None;
    }
    outcome
}

impl Outcome {
    fn check(&self, image: &MetadataImage, context: &str) {
        let found = names(image);
        let in_doubt: BTreeSet<String> = self.in_doubt.iter().cloned().collect();
        let sure: BTreeSet<String> = self.there.difference(&in_doubt).cloned().collect();
        assert!(
            found.is_superset(&sure),
            "{context}: {found:?} lacks of {sure:?}"
        );
        let mut allowed = sure;
        allowed.extend(in_doubt);
        assert!(
            allowed.is_superset(&found),
            "{context}: {found:?} beyond {allowed:?}"
        );
    }
}

/// How often the script passes each point.
async fn passings() -> BTreeMap<FaultPoint, u32> {
    let disk = formatted();
    let before = disk.passed().len();
    let mut writer = Writer::open(&disk).await;
    run_script(&mut writer).await;
    writer.close().await;
    let mut counts = BTreeMap::new();
    for point in disk.passed().into_iter().skip(before) {
        *counts.entry(point).or_default() += 1;
    }
    counts
}

/// Dies at a point, loses what was not synced, and starts again: nothing acknowledged is missing.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_at_any_step() {
    let counts = passings().await;
    for point in [FaultPoint::MetadataAppend, FaultPoint::MetadataSnapshot] {
        assert!(counts[&point] >= 12, "three snapshots and more: {counts:?}");
    }
    let modes = [
        CrashMode::ProcessOnly,
        CrashMode::InOrder,
        CrashMode::AnyOrder,
        CrashMode::LoseAll,
    ];
    let mut runs = 0;
    for (&point, &count) in &counts {
        for nth in 1..=count {
            runs += 1;
            let mode = modes[runs % modes.len()];
            die_and_come_back(point, nth, mode, runs as u64).await;
        }
    }
    assert!(runs > 100, "{counts:?}");
}

async fn die_and_come_back(point: FaultPoint, nth: u32, mode: CrashMode, seed: u64) {
    let context = format!("{point:?} {nth} {mode:?}");
    let disk = formatted();
    disk.arm(point, nth, FaultAction::Stop);
    let outcome = match open(&disk).await {
        Ok(opened) => run_script(&mut Writer::of(opened)).await,
        Err(_died) => Outcome {
            there: BTreeSet::new(),
            in_doubt: None,
        },
    };
    let after = Arc::new(FaultDisk::new(disk.inner().crash(mode, seed)));
    let first = Writer::open(&after).await;
    outcome.check(&first.image(), &context);
    // And it goes on from there.
    let mut first = first;
    let more = first.append(topic(200)).await;
    more.unwrap_or_else(|error| panic!("{context}: {error}"));
    let image = first.close().await;
    let second = Writer::open(&after).await;
    assert_eq!(names(&second.image()), names(&image), "{context}");
}

/// A format that dies anywhere is done again, or is whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_format_that_died_is_done_again() {
    let points = {
        let disk = formatted();
        disk.passed()
    };
    for at in 0..points.len() {
        let point = points[at];
        let nth = points[..=at]
            .iter()
            .filter(|other| **other == point)
            .count();
        let disk = FaultDisk::new(MemDisk::new());
        disk.arm(point, u32::try_from(nth).unwrap(), FaultAction::Stop);
        let made = disk
            .create_dir_all(&data())
            .map_err(|error| error.to_string())
            .and_then(|()| {
                format(&disk, &data(), VOTER, &[VOTER]).map_err(|error| error.to_string())
            });
        let after = Arc::new(FaultDisk::new(
            disk.inner().crash(CrashMode::AnyOrder, at as u64),
        ));
        if made.is_err() {
            after.create_dir_all(&data()).unwrap();
            format(&*after, &data(), VOTER, &[VOTER]).unwrap();
        }
        // `meta.properties` would be written here: the directory is formatted from now on.
        let mut writer = Writer::open(&after).await;
        writer.append(topic(1)).await.unwrap();
    }
}

/// A disk that begins to fail stops the node; it never hangs, and takes nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_disk_ends_the_quorum() {
    for (point, action) in [
        (FaultPoint::MetadataAppend, FaultAction::Eio),
        (FaultPoint::MetadataAppend, FaultAction::ShortWrite),
        (FaultPoint::MetadataSnapshot, FaultAction::Enospc),
    ] {
        let disk = formatted();
        let failed = CancellationToken::new();
        let mut writer = Writer::of(open_as(&disk, VOTER, &failed).await.unwrap());
        writer.append(topic(100)).await.unwrap();
        disk.arm(point, 1, action);
        let mut number = 0;
        // A snapshot is written beside the changes: some may still come through.
        while writer.append(topic(number)).await.is_ok() {
            number += 1;
            assert!(number < 100, "{point:?} {action:?}");
        }
        failed.cancelled().await;
        writer.append(topic(101)).await.unwrap_err();
        assert!(!disk.is_armed());
    }
}

/// Enough changes for two snapshots, and the log closed.
async fn with_two_snapshots() -> (Arc<TestDisk>, Arc<MetadataImage>) {
    let disk = formatted();
    let mut writer = Writer::open(&disk).await;
    let mut number = 0;
    while snapshots(&disk).len() < 2 {
        number += 1;
        writer.append(topic(number)).await.unwrap();
        assert!(number < 100);
    }
    (Arc::clone(&disk), writer.close().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_is_passed_over_for_the_one_before_and_its_log() {
    let (disk, image) = with_two_snapshots().await;
    let latest = snapshots(&disk)[0].clone();
    let len = disk.read(&latest).unwrap().len();
    for at in (0..len).step_by(7) {
        let copy = Arc::new(FaultDisk::new(
            disk.inner().crash(CrashMode::ProcessOnly, 0),
        ));
        copy.inner()
            .damage(&latest, |bytes| bytes[at] ^= 0x10)
            .unwrap();
        assert_eq!(
            names(&Writer::open(&copy).await.image()),
            names(&image),
            "byte {at}"
        );
        let cut = Arc::new(FaultDisk::new(
            disk.inner().crash(CrashMode::ProcessOnly, 0),
        ));
        cut.inner()
            .damage(&latest, |bytes| bytes.truncate(at))
            .unwrap();
        assert_eq!(
            names(&Writer::open(&cut).await.image()),
            names(&image),
            "cut at {at}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_whole_snapshot_before_the_log_the_start_is_refused() {
    let (disk, _) = with_two_snapshots().await;
    let mut writer = Writer::open(&disk).await;
    // What the older of the two covered is let go of with the next change.
    for number in 150..170 {
        writer.append(topic(number)).await.unwrap();
    }
    writer.close().await;
    for path in snapshots(&disk) {
        disk.inner().damage(&path, |bytes| bytes[30] ^= 1).unwrap();
    }
    let said = refused(&disk).await;
    assert!(said.contains("restore the file from a copy"), "{said}");
    for path in snapshots(&disk) {
        disk.remove_file(&path).unwrap();
    }
    let said = refused(&disk).await;
    assert!(
        said.contains("no snapshot from which the log goes on"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_that_are_not_this_voters_are_refused() {
    let dir = directory_of(&data());
    let quorum = dir.join("quorum.redb");

    let wiped = formatted();
    wiped.remove_file(&quorum).unwrap();
    assert!(refused(&wiped).await.contains("has no quorum file"));

    let emptied = formatted();
    emptied.inner().damage(&quorum, Vec::clear).unwrap();
    assert!(refused(&emptied).await.contains("the file is empty"));

    let older = formatted();
    let segment = dir.join("00000000000000000000.log");
    older.open(&segment, OpenMode::Create).unwrap();
    assert!(refused(&older).await.contains("before the first release"));

    let stranger = Voter {
        node_id: 1,
        directory_id: Uuid([8; 16]),
    };
    let opened = open_as(&formatted(), stranger, &CancellationToken::new()).await;
    let said = opened.map(|_| ()).unwrap_err().to_string();
    assert!(said.contains("is not that of directory"), "{said}");

    let noise = formatted();
    let len = noise.read(&quorum).unwrap().len();
    noise
        .inner()
        .damage(&quorum, |bytes| bytes.fill(0x5a))
        .unwrap();
    assert!(len > 0);
    refused(&noise).await;
}

fn write_level(disk: &TestDisk, path: &Path, value: bytes::Bytes) {
    let mut entries: Vec<Entry> = Vec::new();
    let voters = super::types::Membership::new(
        vec![BTreeSet::from([VOTER.raft_id()])],
        BTreeMap::from([(VOTER.raft_id(), VOTER)]),
    );
    entries.push(Entry::new(
        log_id(0, 0),
        EntryPayload::Membership(voters.unwrap()),
    ));
    let change = EncodedChange {
        controller_epoch: -1,
        expected_last_offset: -1,
        records: vec![value],
    };
    entries.push(Entry::new(log_id(0, 1), EntryPayload::Normal(change)));
    disk.remove_file(path).unwrap();
    LogStore::create(disk, path, VOTER, &entries).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_build_wrote_is_refused_untouched() {
    let path = directory_of(&data()).join("quorum.redb");
    let level = FeatureLevelRecord {
        name: "isthmus.metadata.level".to_owned(),
        feature_level: 99,
    };
    let level = MetadataRecord::from(level).to_bytes().unwrap();
    let unknown = bytes::Bytes::from_static(&[1, 0xff, 0x7f, 0]);
    for (value, words) in [
        (level, "metadata level 99"),
        (unknown, "unknown record type 16383"),
    ] {
        let disk = formatted();
        write_level(&disk, &path, value);
        let before = disk.inner().contents();
        let error = open(&disk).await.map(|_| ()).unwrap_err();
        assert!(error.is_about_the_directory());
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(disk.inner().contents(), before);
    }
}
