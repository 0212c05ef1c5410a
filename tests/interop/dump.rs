//! Kafka's dump tool over our segment files: every batch opened, every index entry looked up.

use super::support::broker::{Broker, DevBroker};
use super::support::http;
use super::support::peers::Peers;
use super::support::random::Random;
use super::support::records;
use super::support::wire::Connection;
use super::{Bench, bench};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::{BatchBuilder, BatchParams, Compression};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// Records of one topic; a thousand random letters each, so that every codec fills segments.
const RECORDS: usize = 6000;

/// Words by which the tool tells that something is wrong.
const COMPLAINTS: [&str; 7] = [
    "xception",
    "ismatch",
    "rror",
    "nvalid",
    "isvalid: false",
    "out of order",
    "orrupt",
];

/// What it tells of a missing offset.
const GAP: &str = "Non-consecutive";

/// What the tool told of batches.
#[derive(Default)]
struct Dumped {
    files: usize,
    batches: usize,
    records: usize,
    codecs: Vec<String>,
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Runs the tool over files, which must succeed without a complaint; returns what it printed.
fn dump(peers: &Peers, files: &[PathBuf], more: &[&str]) -> String {
    let said = dump_compacted(peers, files, more);
    let line = said.lines().find(|line| line.contains(GAP));
    assert_eq!(line, None, "{more:?} complains");
    said
}

/// As [`dump`]: compaction leaves gaps between offsets, of which the tool tells.
fn dump_compacted(peers: &Peers, files: &[PathBuf], more: &[&str]) -> String {
    assert!(!files.is_empty());
    let names: Vec<String> = files
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let names = names.join(",");
    let mut args = vec!["--files", &names];
    args.extend(more);
    let finished = peers
        .java("kafka.tools.DumpLogSegments", &args, None)
        .succeeded();
    let said = finished.stdout + &finished.stderr;
    for complaint in COMPLAINTS {
        let line = said.lines().find(|line| line.contains(complaint));
        assert_eq!(line, None, "{more:?} complains");
    }
    said
}

/// Opens every batch and every record of these files; what was told, by folder.
fn deep(peers: &Peers, logs: &[PathBuf]) -> BTreeMap<String, Dumped> {
    told_of(&dump(peers, logs, &["--deep-iteration"]))
}

/// What a deep iteration told, by folder.
fn told_of(said: &str) -> BTreeMap<String, Dumped> {
    let mut all: BTreeMap<String, Dumped> = BTreeMap::new();
    let mut folder = String::new();
    for line in said.lines() {
        if let Some(file) = line.strip_prefix("Dumping ") {
            folder = folder_of(Path::new(file));
        }
        let dumped = all.entry(folder.clone()).or_default();
        if line.starts_with("Dumping ") {
            dumped.files += 1;
        } else if line.starts_with("baseOffset: ") {
            assert!(line.contains(" isvalid: true"), "{line}");
            dumped.batches += 1;
            let codec = line.split("compresscodec: ").nth(1).unwrap();
            dumped
                .codecs
                .push(codec.split(' ').next().unwrap().to_owned());
        } else if line.starts_with("| offset: ") {
            dumped.records += 1;
        }
    }
    all
}

fn folder_of(file: &Path) -> String {
    let folder = file.parent().and_then(Path::file_name).unwrap_or_default();
    folder.to_string_lossy().into_owned()
}

fn fill(bench: &Bench) {
    let mut connection = Connection::open(bench.broker.address()).unwrap();
    for codec in CODECS {
        connection
            .create_topic(codec, 1, &[("segment.bytes", "1048576")])
            .unwrap();
        let words = format!(
            "--topic {codec} --num-records {RECORDS} --record-size 1000 --throughput -1 \
             --command-property compression.type={codec} acks=all batch.size=32768"
        );
        bench.tool("org.apache.kafka.tools.ProducerPerformance", &words);
    }
}

#[test]
fn the_dump_tool_finds_nothing_wrong_after_a_clean_stop_and_after_a_crash() {
    let Some(bench) = bench("DumpLogSegments") else {
        return;
    };
    fill(&bench);
    let Bench { peers, broker, dir } = bench;
    broker.stop().succeeded();
    examine(&peers, dir.path(), RECORDS);
    // A crash with unsynced indexes: they are rebuilt, and must be as good as the first ones.
    let broker = DevBroker::on(dir.path()).start();
    add(&broker, 100);
    broker.kill();
    let broker = DevBroker::on(dir.path())
        .set("metadata.log.max.record.bytes.between.snapshots", 1)
        .start();
    await_snapshot(&broker);
    broker.stop().succeeded();
    examine(&peers, dir.path(), RECORDS + 100);
    examine_metadata(&peers, dir.path());
}

/// The start itself is a change of metadata, behind which a snapshot is written.
fn await_snapshot(broker: &Broker) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let metrics = http::request(broker.ready.observe, "GET", "/metrics").body;
        let bytes = metrics
            .lines()
            .find_map(|line| line.strip_prefix("isthmus_broker_metadata_snapshot_bytes "));
        if bytes.unwrap() != "0" {
            return;
        }
        assert!(Instant::now() < deadline, "no snapshot");
    }
}

fn examine_metadata(peers: &Peers, data: &Path) {
    let metadata = files(&data.join("__cluster_metadata-0"), "checkpoint");
    let told = dump(peers, &metadata, &["--cluster-metadata-decoder"]);
    for kind in ["REGISTER_BROKER_RECORD", "TOPIC_RECORD", "PARTITION_RECORD"] {
        assert!(told.contains(kind), "{kind} in {told}");
    }
}

/// Adds records one by one to each topic.
fn add(broker: &Broker, count: usize) {
    let mut connection = Connection::open(broker.address()).unwrap();
    for codec in CODECS {
        for _ in 0..count {
            let values = [vec![b'z'; 5000]];
            let batch = records::batch(BatchParams::default(), records::now_ms(), &values);
            let (error, _) = connection.produce(codec, 0, batch).unwrap();
            assert!(!error.is_error(), "{error}");
        }
    }
}

fn examine(peers: &Peers, data: &Path, records: usize) {
    let mut logs = files(data, "log");
    logs.retain(|path| !folder_of(path).starts_with("__"));
    let all = deep(peers, &logs);
    for codec in CODECS {
        let folder = format!("{codec}-0");
        let segments = logs.iter().filter(|log| folder_of(log) == folder).count();
        assert!(segments >= 3, "{codec}: {segments} segments");
        let dumped = &all[&folder];
        assert_eq!(dumped.files, segments, "{codec}");
        assert_eq!(dumped.records, records, "{codec}");
        let right = dumped.codecs.iter().filter(|found| *found == codec).count();
        assert!(right > 100, "{codec}: {right} of {}", dumped.batches);
    }
    let mut indexes = files(data, "index");
    indexes.extend(files(data, "timeindex"));
    indexes.retain(|path| !folder_of(path).starts_with("__"));
    assert!(indexes.len() >= 2 * 3 * CODECS.len(), "{indexes:?}");
    let entries = dump(peers, &indexes, &[]);
    let entries = entries.lines().filter(|line| line.contains("offset: "));
    assert!(entries.count() > 1000, "entries of all indexes");
    dump(peers, &indexes, &["--verify-index-only"]);
    let (offsets, _) = indexes.split_at(indexes.len() / 2);
    dump(peers, offsets, &["--index-sanity-check"]);
    let snapshots = files(&data.join("zstd-0"), "snapshot");
    let told = dump(peers, &snapshots, &[]);
    assert!(told.contains("producerId: "), "{told}");
}

/// Keys of a compacted topic, written again and again; a few of them end as tombstones.
const KEYS: usize = 40;
const ROUNDS: usize = 30;

/// Longest that a cleaner takes on a busy machine.
const CLEANED_IN: Duration = Duration::from_secs(120);

#[test]
fn the_dump_tool_finds_nothing_wrong_in_compacted_logs() {
    let Some(bench) = bench("DumpLogSegments of compacted logs") else {
        return;
    };
    let Bench { peers, broker, dir } = bench;
    broker.stop().succeeded();
    let broker = DevBroker::on(dir.path())
        .set("log.cleaner.backoff.ms", 50)
        .start();
    fill_compacted(&broker);
    wait_until_cleaned(&broker, dir.path());
    broker.stop().succeeded();
    let checkpoint = std::fs::read_to_string(dir.path().join("cleaner-offset-checkpoint"));
    assert!(checkpoint.unwrap().contains("compacted 0 "));
    let mut logs = files(dir.path(), "log");
    logs.retain(|path| folder_of(path) == "compacted-0");
    let said = dump_compacted(&peers, &logs, &["--deep-iteration"]);
    assert!(said.contains("deleteHorizonMs: OptionalLong["), "{said}");
    let dumped = &told_of(&said)["compacted-0"];
    assert!(
        dumped.records < KEYS * ROUNDS / 2,
        "{} records",
        dumped.records
    );
    let mut indexes = files(dir.path(), "index");
    indexes.extend(files(dir.path(), "timeindex"));
    indexes.retain(|path| folder_of(path) == "compacted-0");
    assert!(indexes.len() >= 4, "{indexes:?}");
    dump(&peers, &indexes, &[]);
    dump(&peers, &indexes, &["--verify-index-only"]);
}

fn fill_compacted(broker: &Broker) {
    let mut connection = Connection::open(broker.address()).unwrap();
    let configs = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "1048576"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    let created = connection.create_topic("compacted", 1, &configs).unwrap();
    assert_eq!(created, ErrorCode::NONE);
    let codecs = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    let mut random = Random::new(7);
    for round in 0..ROUNDS {
        let params = BatchParams {
            compression: codecs[round % codecs.len()],
            ..BatchParams::default()
        };
        let mut builder = BatchBuilder::new(params);
        for key in 0..KEYS {
            let value: Vec<u8> = (0..5000).map(|_| random.byte()).collect();
            // In the first third, so that they lie in what is compacted.
            let is_tombstone = round == ROUNDS / 3 && key % 8 == 0;
            let value = (!is_tombstone).then_some(value.as_slice());
            if round <= ROUNDS / 3 || key % 8 != 0 {
                let name = format!("key-{key}");
                builder
                    .append(records::now_ms(), Some(name.as_bytes()), value, &[])
                    .unwrap();
            }
        }
        let batch = builder.finish().unwrap();
        let (error, _) = connection.produce("compacted", 0, batch).unwrap();
        assert_eq!(error, ErrorCode::NONE);
    }
}

/// Until the cleaner has gone over the log and found nothing more to do.
fn wait_until_cleaned(broker: &Broker, data: &Path) {
    let deadline = Instant::now() + CLEANED_IN;
    loop {
        let page = http::request(broker.ready.observe, "GET", "/metrics").body;
        let value = |name: &str| {
            let line = page.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        };
        let written = value("isthmus_broker_cleaner_written_bytes_total ");
        let ratio = value("isthmus_broker_cleaner_dirty_ratio_max ");
        if written.is_some_and(|bytes| bytes > 0.0) && ratio == Some(0.0) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{written:?}, {ratio:?} in {data:?}"
        );
        std::thread::yield_now();
    }
}
