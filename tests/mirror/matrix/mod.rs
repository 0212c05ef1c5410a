//! Every pair of properties that a record can have, from Apache Kafka to Isthmus, from Isthmus to
//! Apache Kafka, and from Apache Kafka to Apache Kafka.
//!
//! A plan is written by Java's producer and by librdkafka, compacted topics are cleaned, and how
//! often each two properties came together is counted in the source's log. One replicator carries
//! three flows; afterwards `isthmus verify` finds no difference, and Java's consumer, which shares no
//! code with us, makes the same digests of both sides.
//!
//! `ISTHMUS_TEST_MIRROR_PAIRS` says how often each pair comes at least: usually 10. With more, 100 for
//! the figure that a release shows, all counts are printed.

mod pairs;
mod plan;

use crate::kafka::{self, Kafka, Wishes};
use crate::replicator::{Daemon, Running};
use crate::support::broker::{Broker, DevBroker, isthmus};
use crate::support::peers::{Peers, not_run, peers};
use crate::support::process::run;
use crate::support::random::number_from_env;
use crate::support::records::{UNPACKED_MAX, now_ms};
use crate::support::say::say;
use crate::support::wire::{Connection, batches};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::{BatchBuilder, BatchParams};
use pairs::{CLOSING, Pairs};
use plan::{PER_ROUND, Plan, STAMPS, Topic};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// All of it is copied, cleaned or compared long before this, however large it was made.
const LIMIT: Duration = Duration::from_secs(900);

/// Of the second Apache Kafka.
const OTHER_CLUSTER: &str = "aXN0aG11cy1yYXRjaGV0Mg";

/// Quick to clean, and room for what the plan writes.
const KAFKA: &str = "\
log.cleaner.backoff.ms=50
log.cleaner.dedupe.buffer.size=16777216
log.cleaner.min.cleanable.ratio=0.01
socket.request.max.bytes=104857600
";

/// The flows by their source and target.
const FLOWS: [(&str, &str); 3] = [
    ("kafka", "isthmus"),
    ("isthmus", "other"),
    ("kafka", "other"),
];

#[test]
fn every_pair_of_properties_arrives_as_it_was() {
    let name = "the matrix of copies";
    let Some(peers) = peers(name) else {
        return;
    };
    if peers.python().is_none() {
        return not_run(
            name,
            "ISTHMUS_TEST_PYTHON is not set (cargo xtask test provides it)",
        );
    }
    let wanted = number_from_env("ISTHMUS_TEST_MIRROR_PAIRS", PER_ROUND);
    let rounds = usize::try_from(wanted.div_ceil(PER_ROUND)).unwrap();
    let began = Instant::now();
    let matrix = Matrix::start(&peers);
    let sources = [("kafka", true), ("isthmus", false)];
    let sources = sources.map(|(name, has_transactions)| matrix.source(name, has_transactions));
    std::thread::scope(|scope| {
        for source in &sources {
            scope.spawn(move || source.fill(rounds, wanted));
        }
    });
    let filled = began.elapsed();
    let running = matrix.daemon().start();
    for (source, target) in FLOWS {
        caught_up(&running, source, target);
    }
    running.stop().succeeded();
    let copied = began.elapsed() - filled;
    for (source, target) in FLOWS {
        matrix.verify(source, target);
    }
    matrix.compare_digests();
    say(&format!(
        "mirror: matrix with each pair {wanted} times at least, filled in {filled:.0?}, copied three \
         ways in {copied:.0?}, in all {:.0?}",
        began.elapsed()
    ));
}

/// Three clusters, by their names in the replicator's file.
struct Matrix<'a> {
    peers: &'a Peers,
    classes: String,
    folder: tempfile::TempDir,
    kafka: Kafka,
    other: Kafka,
    isthmus: Broker,
}

/// A cluster that is filled; two at once.
struct Source<'a> {
    name: &'static str,
    address: SocketAddr,
    has_transactions: bool,
    peers: &'a Peers,
    classes: &'a str,
    folder: PathBuf,
}

impl<'a> Matrix<'a> {
    fn start(peers: &'a Peers) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kafka = |name: &str, cluster| {
            let wishes = Wishes {
                properties: KAFKA,
                guarded: None,
                format: &[],
                cluster,
            };
            kafka::start_with(peers, &folder.path().join(name), &wishes)
        };
        let (one, other, classes) = std::thread::scope(|scope| {
            let one = scope.spawn(|| kafka("kafka", kafka::CLUSTER));
            let other = scope.spawn(|| kafka("other", OTHER_CLUSTER));
            let classes = compile(peers);
            (one.join().unwrap(), other.join().unwrap(), classes)
        });
        let isthmus = DevBroker::on(&folder.path().join("isthmus"))
            .set("log.cleaner.backoff.ms", 50)
            .set("log.cleaner.min.cleanable.ratio", 0.01)
            .start();
        Self {
            peers,
            classes,
            kafka: one,
            other,
            isthmus,
            folder,
        }
    }

    fn address(&self, cluster: &str) -> SocketAddr {
        match cluster {
            "kafka" => self.kafka.address,
            "other" => self.other.address,
            _ => self.isthmus.address(),
        }
    }

    fn source(&self, name: &'static str, has_transactions: bool) -> Source<'_> {
        Source {
            name,
            address: self.address(name),
            has_transactions,
            peers: self.peers,
            classes: &self.classes,
            folder: self.folder.path().join(name),
        }
    }

    fn daemon(&self) -> Daemon {
        let mut text = "[daemon]\nname = 'matrix'\ncontrol = '127.0.0.1:0'\n".to_owned();
        for cluster in ["kafka", "other", "isthmus"] {
            let address = self.address(cluster);
            text += &format!("[clusters.{cluster}]\nbootstrap = '{address}'\n");
        }
        for (source, target) in FLOWS {
            text += &format!(
                "[[flows]]\nsource = '{source}'\ntarget = '{target}'\ntopics = 'matrix-.*'\n"
            );
        }
        Daemon::of(self.folder.path(), &text)
    }

    fn verify(&self, source: &str, target: &str) {
        let mut command = isthmus();
        let flow = format!("{source}-to-{target}");
        command
            .args(["verify", &flow, "-c"])
            .arg(self.daemon().file());
        let same = run(&mut command, LIMIT).succeeded();
        assert!(
            same.stdout.ends_with("both sides are the same\n"),
            "{same:?}"
        );
        say(&format!(
            "mirror: {}",
            same.stdout.lines().next().unwrap_or("")
        ));
    }

    /// What Java's consumer reads, committed only, is the same on both sides of each flow.
    fn compare_digests(&self) {
        let own: Vec<String> = Topic::all(1).iter().map(Topic::name).collect();
        let copies = |source: &str| -> Vec<String> {
            own.iter().map(|name| format!("{source}.{name}")).collect()
        };
        let kafka = self.digests("kafka", &own);
        let isthmus = self.digests("isthmus", &[own.clone(), copies("kafka")].concat());
        let other = self.digests("other", &[copies("isthmus"), copies("kafka")].concat());
        for (source, originals, copies) in [
            ("kafka", &kafka, &isthmus),
            ("kafka", &kafka, &other),
            ("isthmus", &isthmus, &other),
        ] {
            let own = originals
                .iter()
                .filter(|(name, _)| name.starts_with("matrix-"));
            for (partition, digest) in own {
                let copy = copies.get(&format!("{source}.{partition}"));
                assert_eq!(copy, Some(digest), "the copy of {partition} of {source}");
            }
        }
    }

    /// By partition: count and digest.
    fn digests(&self, cluster: &str, topics: &[String]) -> BTreeMap<String, String> {
        let mut words = vec!["read".to_owned(), self.address(cluster).to_string()];
        words.extend_from_slice(topics);
        let reader = self.peers.start_own_java(&self.classes, "Matrix", &words);
        let read = reader.wait(LIMIT).succeeded();
        let lines = read
            .stdout
            .lines()
            .map(|line| line.split_once(": ").unwrap());
        let digests: BTreeMap<String, String> = lines
            .map(|(name, digest)| (name.to_owned(), digest.to_owned()))
            .collect();
        assert!(!digests.is_empty() && digests.values().all(|it| !it.starts_with("0 ")));
        digests
    }
}

impl Source<'_> {
    /// Writes the plan, has it compacted, and counts what is there.
    fn fill(&self, rounds: usize, wanted: u64) {
        let (source, has_transactions) = (self.name, self.has_transactions);
        let mut to = Connection::open(self.address).unwrap();
        let topics = Topic::all(rounds);
        for topic in &topics {
            create(&mut to, topic);
        }
        let plan = Plan::new(rounds, has_transactions);
        let written = plan.write(self.peers, self.classes, &self.folder, self.address);
        let mut pairs = Pairs::default();
        for topic in &topics {
            for partition in 0..topic.partitions {
                if topic.is_compacted {
                    wait_until_cleaned(&mut to, &topic.name(), partition);
                }
                pairs.count(&mut to, topic, partition);
            }
        }
        let (table, least) = pairs.judge(wanted, has_transactions);
        let without = if has_transactions {
            ""
        } else {
            "; it has no transactions yet, so none are in it"
        };
        say(&format!(
            "mirror: matrix at {source}: {written} records written, {} of them left, each pair at \
             least {least} times{without}",
            pairs.records,
        ));
        if wanted > PER_ROUND {
            say(&format!("{table}cannot be:\n{}", pairs::impossible()));
        }
    }
}

fn compile(peers: &Peers) -> String {
    let classes = concat!(env!("CARGO_TARGET_TMPDIR"), "/mirror-classes").to_owned();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mirror/java/Matrix.java");
    peers.compile(&[source.display().to_string()], &classes);
    classes
}

fn create(at: &mut Connection, topic: &Topic) {
    let stamps = STAMPS[usize::from(topic.append_times)];
    let mut configs = vec![
        ("message.timestamp.type", stamps),
        ("max.message.bytes", "8388608"),
        ("retention.ms", "-1"),
    ];
    if topic.is_compacted {
        configs.extend([("cleanup.policy", "compact"), ("segment.ms", "1000")]);
    }
    let partitions = i32::try_from(topic.partitions).unwrap();
    let created = at
        .create_topic(&topic.name(), partitions, &configs)
        .unwrap();
    assert_eq!(created, ErrorCode::NONE);
}

/// The newest segment is never cleaned, and closes when a record comes a second later than its
/// first. So records with keys of their own come until no key is there twice.
fn wait_until_cleaned(at: &mut Connection, topic: &str, partition: usize) {
    let partition = i32::try_from(partition).unwrap();
    let deadline = Instant::now() + LIMIT;
    for number in 0.. {
        if is_clean(at, topic, partition) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{topic}-{partition} was never cleaned"
        );
        let key = format!("{CLOSING}{number}");
        let mut closing = BatchBuilder::new(BatchParams::default());
        closing
            .append(now_ms(), Some(key.as_bytes()), None, &[])
            .unwrap();
        let batch = closing.finish().unwrap();
        let (code, _) = at.produce(topic, partition, batch).unwrap();
        assert_eq!(code, ErrorCode::NONE);
    }
}

fn is_clean(from: &mut Connection, topic: &str, partition: i32) -> bool {
    let mut keys = BTreeSet::new();
    let end = from
        .offset(topic, partition, crate::support::wire::LATEST)
        .unwrap();
    let mut at = 0;
    while at < end {
        let data = from.fetch(topic, partition, at, 1 << 20).unwrap();
        assert_eq!(data.error_code, ErrorCode::NONE);
        for batch in batches(&data) {
            for record in batch.records(UNPACKED_MAX).unwrap().map(Result::unwrap) {
                if !batch.header().is_control() && !keys.insert(record.key) {
                    return false;
                }
            }
            at = batch.header().next_offset();
        }
    }
    true
}

/// All partitions are copied to the end that the source has now.
fn caught_up(running: &Running, source: &str, target: &str) {
    let flow = format!("{source}-to-{target}");
    running.wait_for(LIMIT, &flow, "caught up", |flow| {
        let summary = &flow["summary"];
        let partitions = flow["partitions"].as_array().map_or(0, Vec::len);
        summary["lag_known"] == true
            && summary["lag_records"] == 0
            && partitions > 0
            && summary["states"]["copying"] == partitions
    });
}
