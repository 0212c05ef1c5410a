//! What the gateway adds to a request: the same requests to one broker, directly and through it.
//!
//! One request is under way at a time, by a connection of our own client that stays open. In each round
//! both ways are measured twice, in an order that changes; what the two runs of one way differ by is the
//! noise. Differences are taken within a round, so that a drift of the machine cancels out. Both
//! connections, the broker and the gateway share the machine: what is added is an upper bound for one
//! where they do not.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use isthmus_client::fetch::{FetchOptions, FetchPosition, FetchedPartition};
use isthmus_client::produce::{PartitionBatch, ProduceOptions, RawBatch};
use isthmus_client::{ClientConfig, Cluster, Connection, Deadline, Lane, Uuid};
use rdkafka::ClientConfig as RdConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use serde::Serialize;
use tempfile::TempDir;

use super::report::Machine;
use super::statistics::Spread;
use crate::ports::free_address;
use crate::process::{Process, SpawnError};
use crate::targets::{Isthmus, IsthmusProgram, StartError, Target, probe};

/// Added to the median (requirement of the gateway), in milliseconds.
const BUDGET_MS: f64 = 0.3;

const TOPIC: &str = "through";

/// The record of every request.
const RECORD_BYTES: usize = 1_000;

/// Requests of each run that are not counted.
const WARM_UP: u32 = 200;

/// A program starts, and a request is answered, long before.
const LIMIT: Duration = Duration::from_secs(60);

/// Why it could not be measured. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum GatewayBenchError {
    #[error("make a folder: {0}")]
    Folder(io::Error),
    #[error("read about this machine: {0}")]
    Machine(io::Error),
    #[error("find a free port: {0}")]
    Port(io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error("write the first record: {0}")]
    First(rdkafka::error::KafkaError),
    #[error("{what} {way}: {why}")]
    Request {
        what: &'static str,
        way: &'static str,
        why: String,
    },
}

#[derive(Debug)]
pub struct GatewayOptions {
    pub isthmus: IsthmusProgram,
    pub rounds: u32,
    /// Requests of each kind, per run; each way has two runs in a round.
    pub requests: u32,
    pub keep: bool,
}

/// Directly, or through the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Way {
    Direct,
    Through,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Produce,
    Fetch,
}

/// Of one run, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Run {
    round: u32,
    way: Way,
    kind: Kind,
    p50_ms: f64,
    p99_ms: f64,
}

/// One kind of request, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Row {
    kind: Kind,
    direct_p50_ms: Spread,
    through_p50_ms: Spread,
    direct_p99_ms: Spread,
    through_p99_ms: Spread,
    /// Of the rounds' own differences.
    added_p50_ms: Spread,
    /// The most that two runs of one way in one round differed by.
    noise_p50_ms: f64,
    within_budget: bool,
}

/// What was found out.
#[derive(Clone, Debug, Serialize)]
pub struct GatewayReport {
    schema: &'static str,
    machine: Machine,
    version: String,
    rounds: u32,
    requests: u32,
    record_bytes: usize,
    budget_p50_ms: f64,
    rows: Vec<Row>,
    runs: Vec<Run>,
}

/// The measurement, ready to be run.
#[derive(Debug)]
pub struct GatewayBench {
    options: GatewayOptions,
    cores: usize,
    folder: TempDir,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Direct => "directly",
            Self::Through => "through the gateway",
        }
    }
}

impl Kind {
    const ALL: [Self; 2] = [Self::Produce, Self::Fetch];

    const fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Fetch => "fetch",
        }
    }
}

impl GatewayBench {
    pub fn new(options: GatewayOptions) -> Result<Self, GatewayBenchError> {
        let folder = tempfile::Builder::new()
            .prefix("isthmus-bench-")
            .disable_cleanup(options.keep)
            .tempdir()
            .map_err(GatewayBenchError::Folder)?;
        let cores = std::thread::available_parallelism();
        Ok(Self {
            options,
            cores: cores.map_err(GatewayBenchError::Machine)?.get(),
            folder,
        })
    }

    /// Where data and logs are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All rounds, and what they say.
    pub async fn run(&self) -> Result<GatewayReport, GatewayBenchError> {
        let folder = self.folder.path();
        let data = folder.join("broker");
        fs::create_dir(&data).map_err(GatewayBenchError::Folder)?;
        let mut broker = Isthmus::new(self.options.isthmus.clone(), data);
        let inner = broker.start().await?.address.to_string();
        let (outer, _gateway) = self.gateway(&inner).await?;
        first_record(&inner)
            .await
            .map_err(GatewayBenchError::First)?;
        let direct = Line::open(Way::Direct, &inner).await?;
        let through = Line::open(Way::Through, &outer).await?;
        let batch = direct.read().await?;
        let mut runs = Vec::new();
        for round in 1..=self.options.rounds {
            let [first, second] = match round % 2 {
                1 => [&direct, &through],
                _ => [&through, &direct],
            };
            for line in [first, second, second, first] {
                for kind in Kind::ALL {
                    let run = line.run(kind, round, self.options.requests, &batch).await?;
                    tracing::info!(
                        event = "bench_run",
                        round,
                        kind = kind.name(),
                        way = line.way.name(),
                        p50_ms = run.p50_ms
                    );
                    runs.push(run);
                }
            }
        }
        Ok(GatewayReport {
            schema: "isthmus.bench-gateway/1",
            machine: Machine::read(self.cores).map_err(GatewayBenchError::Machine)?,
            version: self.options.isthmus.version().to_owned(),
            rounds: self.options.rounds,
            requests: self.options.requests,
            record_bytes: RECORD_BYTES,
            budget_p50_ms: BUDGET_MS,
            rows: Kind::ALL
                .iter()
                .filter_map(|&kind| row(kind, &runs))
                .collect(),
            runs,
        })
    }

    /// A gateway in front of the broker, and its bootstrap address.
    async fn gateway(&self, broker: &str) -> Result<(String, Process), GatewayBenchError> {
        let bootstrap = free_address().map_err(GatewayBenchError::Port)?;
        let of_broker = free_address().map_err(GatewayBenchError::Port)?;
        // The broker of `--dev` is node 1.
        let text = format!(
            "[[brokers]]\nid = 1\naddress = \"{broker}\"\n\
             [[listeners]]\nname = \"bench\"\nbind = \"127.0.0.1\"\nhost = \"127.0.0.1\"\n\
             bootstrap_port = {}\nfirst_port = {}\n",
            bootstrap.port(),
            of_broker.port() - 1,
        );
        let folder = self.folder.path();
        let file = folder.join("gateway.toml");
        fs::write(&file, text).map_err(GatewayBenchError::Folder)?;
        let mut command = self.options.isthmus.command();
        command.args(["gateway", "-c"]).arg(&file);
        let mut gateway = Process::spawn("gateway", command, folder)?;
        probe::line(&mut gateway, "ready gateway ", LIMIT).await?;
        Ok((bootstrap.to_string(), gateway))
    }
}

/// What all requests send and read.
async fn first_record(broker: &str) -> Result<(), rdkafka::error::KafkaError> {
    let producer: FutureProducer = RdConfig::new()
        .set("bootstrap.servers", broker)
        .set("acks", "all")
        .create()?;
    let payload = vec![b'i'; RECORD_BYTES];
    let record: FutureRecord<'_, (), Vec<u8>> = FutureRecord::to(TOPIC).payload(&payload);
    let sent = producer.send(record, Timeout::After(LIMIT)).await;
    sent.map(drop).map_err(|(error, _)| error)
}

/// One way to the broker.
struct Line {
    way: Way,
    connection: Connection,
    topic_id: Uuid,
    /// Its connections live as long as it does.
    _cluster: Cluster,
}

impl Line {
    async fn open(way: Way, bootstrap: &str) -> Result<Self, GatewayBenchError> {
        let failed = |error: &dyn fmt::Display| failure("connect", way, error);
        let deadline = Deadline::after(LIMIT);
        let cluster = Cluster::new(ClientConfig::new([bootstrap])).map_err(|it| failed(&it))?;
        let metadata = cluster.with_topics([TOPIC], deadline).await;
        let metadata = metadata.map_err(|it| failed(&it))?;
        let leader = metadata.leader(TOPIC, 0).map_err(|it| failed(&it))?;
        let connection = cluster.connection(leader.broker, Lane::Produce(0), deadline);
        Ok(Self {
            way,
            connection: connection.await.map_err(|it| failed(&it))?,
            topic_id: metadata
                .topics
                .get(TOPIC)
                .map_or(Uuid::ZERO, |topic| topic.id),
            _cluster: cluster,
        })
    }

    /// The first record, as it lies there.
    async fn read(&self) -> Result<RawBatch, GatewayBenchError> {
        let failed = |error: &dyn fmt::Display| failure("read", self.way, error);
        let answer = self.fetch().await?;
        let mut batch = RawBatch::new(answer.records).map_err(|it| failed(&it))?;
        batch.set_base_offset(0);
        Ok(batch)
    }

    async fn fetch(&self) -> Result<FetchedPartition, GatewayBenchError> {
        let failed = |error: &dyn fmt::Display| failure("fetch", self.way, error);
        // One batch: the first that begins there, whatever the bound.
        let position = FetchPosition {
            bytes_max: 1,
            ..FetchPosition::new(TOPIC.into(), self.topic_id, 0, 0)
        };
        let options = FetchOptions {
            bytes_max: 1,
            ..FetchOptions::default()
        };
        let answer = self.connection.fetch(&options, &[position]).await;
        let answer = answer.map_err(|it| failed(&it))?.wait().await;
        let mut partitions = answer.map_err(|it| failed(&it))?.partitions;
        match partitions.pop() {
            Some(Ok(partition)) => Ok(partition),
            Some(Err(refusal)) => Err(failed(&refusal)),
            None => Err(failed(&"no partition in the answer")),
        }
    }

    async fn produce(&self, batch: &PartitionBatch) -> Result<(), GatewayBenchError> {
        let failed = |error: &dyn fmt::Display| failure("produce", self.way, error);
        let options = ProduceOptions::default();
        let answer = self
            .connection
            .produce(&options, std::slice::from_ref(batch))
            .await;
        let answer = answer.map_err(|it| failed(&it))?.wait().await;
        match answer.map_err(|it| failed(&it))?.partitions.pop() {
            Some(Ok(_)) => Ok(()),
            Some(Err(refusal)) => Err(failed(&refusal)),
            None => Err(failed(&"no partition in the answer")),
        }
    }

    async fn run(
        &self,
        kind: Kind,
        round: u32,
        requests: u32,
        batch: &RawBatch,
    ) -> Result<Run, GatewayBenchError> {
        let batch = PartitionBatch {
            topic: Arc::from(TOPIC),
            topic_id: self.topic_id,
            partition: 0,
            batch: batch.clone(),
        };
        let mut took = Vec::new();
        for request in 0..WARM_UP + requests {
            let began = Instant::now();
            match kind {
                Kind::Produce => self.produce(&batch).await?,
                Kind::Fetch => drop(self.fetch().await?),
            }
            if request >= WARM_UP {
                took.push(began.elapsed().as_secs_f64() * 1e3);
            }
        }
        took.sort_by(f64::total_cmp);
        Ok(Run {
            round,
            way: self.way,
            kind,
            p50_ms: percentile(&took, 0.50),
            p99_ms: percentile(&took, 0.99),
        })
    }
}

fn failure(what: &'static str, way: Way, error: &dyn fmt::Display) -> GatewayBenchError {
    GatewayBenchError::Request {
        what,
        way: way.name(),
        why: error.to_string(),
    }
}

/// By the nearest rank, of sorted values.
fn percentile(sorted: &[f64], part: f64) -> f64 {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// What the runs of a kind come to; `None` without a whole round.
fn row(kind: Kind, runs: &[Run]) -> Option<Row> {
    let of = |way: Way, round: u32, value: fn(&Run) -> f64| -> Vec<f64> {
        let found = runs.iter();
        let found = found.filter(|it| (it.kind, it.way, it.round) == (kind, way, round));
        found.map(value).collect()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let rounds: Vec<u32> = (1..=runs.iter().map(|it| it.round).max()?).collect();
    let spread = |way: Way, value: fn(&Run) -> f64| {
        Spread::of(rounds.iter().map(|&round| mean(&of(way, round, value))))
    };
    let p50 = |run: &Run| run.p50_ms;
    let p99 = |run: &Run| run.p99_ms;
    let added = rounds
        .iter()
        .map(|&round| mean(&of(Way::Through, round, p50)) - mean(&of(Way::Direct, round, p50)));
    let apart = |values: Vec<f64>| match Spread::of(values) {
        Some(spread) => spread.max - spread.min,
        None => 0.0,
    };
    let noise = rounds
        .iter()
        .flat_map(|&round| [Way::Direct, Way::Through].map(|way| apart(of(way, round, p50))));
    let added_p50_ms = Spread::of(added)?;
    Some(Row {
        kind,
        direct_p50_ms: spread(Way::Direct, p50)?,
        through_p50_ms: spread(Way::Through, p50)?,
        direct_p99_ms: spread(Way::Direct, p99)?,
        through_p99_ms: spread(Way::Through, p99)?,
        added_p50_ms,
        noise_p50_ms: noise.fold(0.0, f64::max),
        within_budget: added_p50_ms.median <= BUDGET_MS,
    })
}

impl GatewayReport {
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for GatewayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        table.set_header([
            "one request at a time, ms",
            "directly",
            "through the gateway",
            "added",
            "noise",
            "budget",
            "",
        ]);
        let text = |it: Spread| format!("{:.3} ({:.3} … {:.3})", it.median, it.min, it.max);
        for row in &self.rows {
            let name = row.kind.name();
            table.add_row([
                format!("{name}, p50"),
                text(row.direct_p50_ms),
                text(row.through_p50_ms),
                text(row.added_p50_ms),
                format!("{:.3}", row.noise_p50_ms),
                format!("≤ {BUDGET_MS}"),
                if row.within_budget { "met" } else { "missed" }.to_owned(),
            ]);
            table.add_row([
                format!("{name}, p99"),
                text(row.direct_p99_ms),
                text(row.through_p99_ms),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{table}")?;
        writeln!(
            f,
            "Isthmus {}, {} cores, kernel {}; {} rounds, in each two runs per way of {} requests; records of {} bytes, acks=all.",
            self.version,
            self.machine.cores,
            self.machine.kernel,
            self.rounds,
            self.requests,
            self.record_bytes,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(round: u32, way: Way, p50_ms: f64) -> Run {
        Run {
            round,
            way,
            kind: Kind::Produce,
            p50_ms,
            p99_ms: p50_ms * 3.0,
        }
    }

    #[test]
    fn what_is_added_is_the_median_of_the_rounds_own_differences() {
        let mut runs = Vec::new();
        for (round, direct, through) in [
            (1, [1.0, 1.2], [1.3, 1.3]),
            (2, [2.0, 2.0], [2.1, 2.3]),
            (3, [5.0, 5.0], [6.0, 6.0]),
        ] {
            runs.extend(direct.map(|it| run(round, Way::Direct, it)));
            runs.extend(through.map(|it| run(round, Way::Through, it)));
        }
        let found = row(Kind::Produce, &runs).unwrap();
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(found.added_p50_ms.median, 0.2), "{found:?}");
        assert!(near(found.added_p50_ms.max, 1.0), "{found:?}");
        assert!(near(found.noise_p50_ms, 0.2), "{found:?}");
        assert!(found.within_budget);
        assert_eq!(row(Kind::Fetch, &[]), None);
    }
}
