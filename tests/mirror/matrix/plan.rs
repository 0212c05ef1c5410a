//! What the matrix writes: few batches in which each pair of properties comes often enough.
//!
//! A round has each codec, each kind of timestamp and each producer together once, transactions spread
//! over them, as a batch of 1 000 records and as batches of one; keys, values and headers go round
//! within. Values of a mebibyte are what costs, so each batch has as few as suffice. Topics that are
//! compacted have their own batches, in which every second record is overwritten; an empty key
//! leaves one record in a partition, hence so many partitions.

use crate::support::peers::Peers;
use crate::support::process::{Finished, Program};
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Each pair comes at least so often in a round.
pub(super) const PER_ROUND: u64 = 10;

/// Records of a large batch.
pub(super) const LARGE: usize = 1_000;

pub(super) const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// Of the kinds of timestamps, in the order of [`Topic::append_times`].
pub(super) const STAMPS: [&str; 2] = ["CreateTime", "LogAppendTime"];

const TRANSACTIONS: [&str; 3] = ["none", "commit", "abort"];
const KEYS: [&str; 2] = ["-", "."];
const VALUES: [&str; 3] = ["-", ".", "1"];
const HEADERS: [&str; 4] = ["0", "1", "m", "d"];

/// Partitions of a topic that is not compacted: of each producer two.
const PLAIN_PARTITIONS: usize = 4;

/// Partitions of a compacted topic per round.
const COMPACTED_PARTITIONS: usize = 6;

/// Batches of one record in a row, and one of them with a large value.
const SINGLES: usize = 8;

/// Large values in a batch of [`LARGE`].
const LARGE_VALUES: usize = 3;

/// Writing it all takes no longer on a machine that works.
const LIMIT: Duration = Duration::from_secs(900);

/// A topic of the matrix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Topic {
    pub(super) append_times: bool,
    pub(super) is_compacted: bool,
    pub(super) partitions: usize,
}

/// Lines for both producers, as `Matrix.java` tells them.
#[derive(Default)]
pub(super) struct Plan {
    java: String,
    librdkafka: String,
    records: usize,
}

/// One transaction, or what is written without one.
struct Line<'a> {
    topic: &'a str,
    partition: usize,
    codec: usize,
    transaction: usize,
    is_one_batch: bool,
}

impl Topic {
    pub(super) fn all(rounds: usize) -> Vec<Self> {
        let kinds = [(false, false), (true, false), (false, true), (true, true)];
        let topic = |(append_times, is_compacted)| Self {
            append_times,
            is_compacted,
            partitions: match is_compacted {
                true => COMPACTED_PARTITIONS * rounds,
                false => PLAIN_PARTITIONS,
            },
        };
        kinds.map(topic).to_vec()
    }

    pub(super) fn name(&self) -> String {
        let stamps = if self.append_times {
            "append"
        } else {
            "create"
        };
        let policy = if self.is_compacted { "-compacted" } else { "" };
        format!("matrix-{stamps}{policy}")
    }

    /// Even partitions are written by Java, odd ones by librdkafka.
    pub(super) fn producer_of(partition: usize) -> usize {
        partition % 2
    }
}

impl Plan {
    /// Without transactions where the source has none.
    pub(super) fn new(rounds: usize, has_transactions: bool) -> Self {
        let transactions = if has_transactions { 3 } else { 1 };
        let mut plan = Self::default();
        for topic in Topic::all(rounds) {
            let name = topic.name();
            match topic.is_compacted {
                false => {
                    (0..rounds).for_each(|round| plan.plain(&name, &topic, round, transactions));
                }
                true => {
                    (0..topic.partitions)
                        .for_each(|at| plan.compacted(&name, &topic, at, transactions.min(2)));
                }
            }
        }
        plan
    }

    fn plain(&mut self, topic: &str, kind: &Topic, round: usize, transactions: usize) {
        let stamps = usize::from(kind.append_times);
        for (codec, producer) in (0..CODECS.len()).flat_map(|it| [(it, 0), (it, 1)]) {
            // Each codec meets each kind of transaction over its four rows.
            let row = ((codec * 2 + producer) * 2 + stamps) + round * 20;
            let line = Line {
                topic,
                partition: (codec + round) % 2 * 2 + producer,
                codec,
                transaction: (codec + stamps + 2 * producer + round) % transactions,
                is_one_batch: true,
            };
            let large = |at: usize| (0..LARGE_VALUES).any(|it| at == large_at(row, it));
            let tokens = (0..LARGE).map(|at| token(at, &format!("k{at}"), large(at)));
            self.line(&line, tokens.collect());
            let singles = (row * SINGLES..(row + 1) * SINGLES).map(|at| {
                let is_large = at % SINGLES == row % SINGLES;
                token(at, &format!("s{at}"), is_large)
            });
            let line = Line {
                is_one_batch: false,
                ..line
            };
            self.line(&line, singles.collect());
        }
    }

    /// Each two records have one key, so that the first of them goes; the last two share the empty
    /// one with two in front.
    fn compacted(&mut self, topic: &str, kind: &Topic, partition: usize, transactions: usize) {
        let line = Line {
            topic,
            partition,
            codec: (partition + usize::from(kind.append_times)) % CODECS.len(),
            transaction: partition / 2 % transactions,
            is_one_batch: true,
        };
        let tokens = (0..LARGE).map(|at| {
            let pair = at / 2;
            let key = match pair == LARGE / 2 - 1 || pair == LARGE / 20 {
                true => ".".to_owned(),
                false => format!("c{pair}"),
            };
            let value = if at % 2 == 1 && pair == 20 + partition % 12 {
                "M"
            } else {
                VALUES[pair % 3]
            };
            format!("{key}/{value}/{}", HEADERS[pair / 3 % 4])
        });
        self.line(&line, tokens.collect());
        let singles = (0..SINGLES).map(|at| {
            let pair = at / 2;
            let headers = HEADERS[(pair + partition) % 4];
            format!("s{pair}/{}/{headers}", VALUES[(pair + partition) % 3])
        });
        let line = Line {
            is_one_batch: false,
            ..line
        };
        self.line(&line, singles.collect());
    }

    fn line(&mut self, line: &Line<'_>, tokens: Vec<String>) {
        let text = match Topic::producer_of(line.partition) {
            0 => &mut self.java,
            _ => &mut self.librdkafka,
        };
        let batches = if line.is_one_batch { "all" } else { "one" };
        write!(
            text,
            "{} {} {} {} {} {batches}",
            self.records,
            line.topic,
            line.partition,
            CODECS[line.codec],
            TRANSACTIONS[line.transaction],
        )
        .unwrap();
        self.records += tokens.len();
        for token in tokens {
            write!(text, " {token}").unwrap();
        }
        text.push('\n');
    }

    /// Both producers at once; how many records there are now.
    pub(super) fn write(
        &self,
        peers: &Peers,
        classes: &str,
        folder: &Path,
        to: SocketAddr,
    ) -> usize {
        let to = to.to_string();
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let java = file("java.plan", &self.java);
        let librdkafka = file("librdkafka.plan", &self.librdkafka);
        let words = ["write".to_owned(), to.clone(), java];
        let java = peers.start_own_java(classes, "Matrix", &words);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mirror/python/matrix.py");
        let mut python = Command::new(peers.python().expect("asked for before"));
        python.arg(script).args([&to, &librdkafka]);
        let python = Program::start(&mut python);
        let written = written(java.wait(LIMIT)) + written(python.wait(LIMIT));
        assert_eq!(written, self.records);
        written
    }
}

fn written(finished: Finished) -> usize {
    let finished = finished.succeeded();
    let count = finished.stdout.trim().strip_prefix("written: ");
    count.unwrap().parse().unwrap()
}

/// Keys, then headers, then values go round.
fn token(at: usize, own_key: &str, is_large: bool) -> String {
    let key = KEYS.get(at % 3).copied().unwrap_or(own_key);
    let headers = HEADERS[at / 3 % 4];
    let value = if is_large { "M" } else { VALUES[at / 12 % 3] };
    format!("{key}/{value}/{headers}")
}

/// Where the large values of a batch stand: over the rows, with each key and each kind of headers.
fn large_at(row: usize, which: usize) -> usize {
    12 * (10 + 20 * which) + (row * LARGE_VALUES + which) % 12
}
