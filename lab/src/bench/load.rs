//! What a broker is made to do: topics made, records produced by Kafka's own tool, and read by
//! kcat.
//!
//! Must not know: which broker it is. Both tools check themselves: the producer's count of
//! acknowledged records and the consumer's count of read ones must be what was asked for.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use isthmus_client::admin::NewTopic;
use isthmus_client::cluster::Refusal;
use isthmus_client::{ClientConfig, Cluster, ConfigError, RequestError};
use serde::Serialize;

use super::figures::{Codec, RecordSize};
pub use super::perf_output::PerfSummary;
use crate::process::{Process, ToolError, program};
use crate::targets::{KafkaJars, shield};

/// Partitions of each topic.
pub const PARTITIONS: i32 = 6;

/// Settings of the producer. Batches of 128 KiB are what a tuned client sends; the default of
/// 16 KiB would measure the client.
pub const PRODUCER: [&str; 3] = ["acks=all", "linger.ms=5", "batch.size=131072"];

/// The producer's JVM: the heap its start script gives it.
pub const PRODUCER_JVM: [&str; 3] = ["-Xmx512M", "-server", "-XX:+UseG1GC"];

/// A tool that is slower than this is taken for hung; the slowest peer seen does 30 times as much.
const SLOWEST_BYTES_PER_SECOND: u64 = 1_000_000;

/// What a tool may take besides: the start of a JVM on a busy machine, many times over.
const TOOL_BASE_MAX: Duration = Duration::from_secs(120);

/// Records of one size, in a topic of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    pub size: RecordSize,
    pub codec: Codec,
    pub records: u64,
}

/// The load as the report tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadDescription {
    pub record_bytes: u64,
    pub records: u64,
    pub partitions: i32,
    pub producer: Vec<&'static str>,
}

impl Load {
    /// The counts for which the budgets were made, not compressed.
    pub fn full(size: RecordSize) -> Self {
        let records = match size {
            RecordSize::B100 => 5_000_000,
            RecordSize::B1000 => 1_000_000,
        };
        Self {
            size,
            codec: Codec::None,
            records,
        }
    }

    pub fn topic(self) -> String {
        let size = self.size.bytes();
        match self.codec {
            Codec::None => format!("bench-{size}b"),
            Codec::Lz4 => format!("bench-{size}b-lz4"),
        }
    }

    /// Settings of its producer.
    fn producer(self) -> Vec<&'static str> {
        let mut settings = PRODUCER.to_vec();
        match self.codec {
            Codec::None => {}
            Codec::Lz4 => settings.push("compression.type=lz4"),
        }
        settings
    }

    pub fn payload_bytes(self) -> u64 {
        self.records * self.size.bytes()
    }

    pub fn describe(self) -> LoadDescription {
        LoadDescription {
            record_bytes: self.size.bytes(),
            records: self.records,
            partitions: PARTITIONS,
            producer: self.producer(),
        }
    }

    pub(super) fn within(self) -> Duration {
        TOOL_BASE_MAX + Duration::from_secs(self.payload_bytes() / SLOWEST_BYTES_PER_SECOND)
    }
}

/// Where a load goes to: a topic, and brokers that know where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub bootstrap: String,
    pub topic: String,
}

impl Place {
    fn of(address: SocketAddr, load: Load) -> Self {
        Self {
            bootstrap: address.to_string(),
            topic: load.topic(),
        }
    }
}

/// Why a load could not be brought to its end. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("make a client: {0}")]
    Client(#[from] ConfigError),
    #[error("make topic {topic}: {cause}")]
    Topic { topic: String, cause: RequestError },
    #[error("make topic {topic}: {refusal}")]
    TopicRefused { topic: String, refusal: Refusal },
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("read {name}'s output: {cause}")]
    Output { name: String, cause: io::Error },
    #[error("find the sum in the output of {name}; its last lines:\n{log}")]
    NoSum { name: String, log: String },
    #[error("trust the run: {counted} of {expected} records of {topic} were {what}")]
    Count {
        topic: String,
        what: &'static str,
        expected: u64,
        counted: u64,
    },
}

/// Makes the topic of a load, and waits until every partition has a leader.
pub async fn make_topic(address: SocketAddr, load: Load) -> Result<(), LoadError> {
    make_topic_called(address, load.topic()).await
}

/// Makes a topic with as many partitions as those of the loads.
pub(super) async fn make_topic_called(address: SocketAddr, topic: String) -> Result<(), LoadError> {
    make_topic_at(&Place {
        bootstrap: address.to_string(),
        topic,
    })
    .await
}

/// The same with one replica, in a cluster of any size.
pub(super) async fn make_topic_at(place: &Place) -> Result<(), LoadError> {
    let cluster = Cluster::new(ClientConfig::new(place.bootstrap.split(',')))?;
    let topic = place.topic.clone();
    let failed = |cause| LoadError::Topic {
        topic: topic.clone(),
        cause,
    };
    let wanted = [NewTopic::new(topic.clone(), PARTITIONS, 1)];
    let outcome = cluster.admin().create_topics(&wanted, false).await;
    for (topic, outcome) in outcome.map_err(failed)? {
        outcome.map_err(|refusal| LoadError::TopicRefused { topic, refusal })?;
    }
    for partition in 0..PARTITIONS {
        wait_for_leader(&cluster, &topic, partition)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

/// A broker may say that a topic exists before it knows its leaders.
async fn wait_for_leader(
    cluster: &Cluster,
    topic: &str,
    partition: i32,
) -> Result<(), RequestError> {
    let deadline = cluster.operation_deadline();
    loop {
        match cluster.leader(topic, partition, deadline).await {
            Ok(_) => return Ok(()),
            Err(error) if error.class().is_retriable() && !deadline.has_passed() => {
                // The client itself keeps these requests apart.
                cluster.refresh(deadline).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Produces a load with Kafka's producer perf tool, as fast as it can.
pub async fn produce(
    jars: &KafkaJars,
    address: SocketAddr,
    load: Load,
    folder: &Path,
) -> Result<PerfSummary, LoadError> {
    produce_at(jars, &Place::of(address, load), load, folder).await
}

pub(super) async fn produce_at(
    jars: &KafkaJars,
    place: &Place,
    load: Load,
    folder: &Path,
) -> Result<PerfSummary, LoadError> {
    let name = format!("produce-{}", place.topic);
    let unreadable = |cause| LoadError::Output {
        name: name.clone(),
        cause,
    };
    let class = "org.apache.kafka.tools.ProducerPerformance";
    let mut command = jars
        .program(class, PRODUCER_JVM, folder)
        .map_err(unreadable)?;
    command
        .args(["--bootstrap-server", &place.bootstrap])
        .args(["--topic", &place.topic])
        .args(["--num-records", &load.records.to_string()])
        .args(["--record-size", &load.size.bytes().to_string()])
        .args(["--throughput", "-1", "--command-property"])
        .args(load.producer());
    let mut tool = Process::spawn(&name, command, folder).map_err(ToolError::from)?;
    tool.finish(load.within()).await?;
    let output = tool.stdout().map_err(unreadable)?;
    let sum = PerfSummary::parse(&output).ok_or_else(|| LoadError::NoSum {
        name: name.clone(),
        log: tool.last_lines(),
    })?;
    check_count(load, "acknowledged", sum.records)?;
    Ok(sum)
}

/// Reads a load from the beginning to the end, and tells how long that took with the start of the
/// consumer.
pub async fn consume(
    kcat: &Kcat,
    address: SocketAddr,
    load: Load,
    folder: &Path,
) -> Result<Duration, LoadError> {
    consume_at(kcat, &Place::of(address, load), load, folder).await
}

pub(super) async fn consume_at(
    kcat: &Kcat,
    place: &Place,
    load: Load,
    folder: &Path,
) -> Result<Duration, LoadError> {
    let name = format!("consume-{}b", load.size.bytes());
    let mut command = kcat.command();
    // One byte per record on stdout, to count them by.
    command
        .args(["-C", "-q", "-e", "-o", "beginning", "-f", "x"])
        .args(["-b", &place.bootstrap, "-t", &place.topic])
        .current_dir(folder);
    let began = Instant::now();
    let mut tool = Process::spawn(&name, command, folder).map_err(ToolError::from)?;
    tool.finish(load.within()).await?;
    let elapsed = began.elapsed();
    let counted = tool.stdout_bytes().map_err(|cause| LoadError::Output {
        name: name.clone(),
        cause,
    })?;
    check_count(load, "read", counted)?;
    Ok(elapsed)
}

fn check_count(load: Load, what: &'static str, counted: u64) -> Result<(), LoadError> {
    if counted == load.records {
        return Ok(());
    }
    Err(LoadError::Count {
        topic: load.topic(),
        what,
        expected: load.records,
        counted,
    })
}

/// kcat: a consumer on librdkafka that costs little beside the broker.
#[derive(Clone, Debug)]
pub struct Kcat {
    path: PathBuf,
}

/// There is no kcat.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot be run: {cause}; install kcat, or give its path with --kcat", path.display())]
pub struct NoKcat {
    path: PathBuf,
    cause: io::Error,
}

impl Kcat {
    pub fn find(path: &Path) -> Result<Self, NoKcat> {
        let kcat = Self {
            path: path.to_owned(),
        };
        let ran = kcat.command().arg("-V").output();
        ran.map_err(|cause| NoKcat {
            path: path.to_owned(),
            cause,
        })?;
        Ok(kcat)
    }

    /// Without the settings that a user may have in a file of their own.
    pub(super) fn command(&self) -> std::process::Command {
        let mut command = program(&self.path);
        shield(&mut command);
        command.env("KCAT_CONFIG", "/dev/null");
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_differs_is_told_with_both_numbers() {
        let load = Load {
            size: RecordSize::B100,
            codec: Codec::None,
            records: 10,
        };
        assert!(check_count(load, "read", 10).is_ok());
        let error = check_count(load, "read", 9).unwrap_err().to_string();
        assert_eq!(
            error,
            "trust the run: 9 of 10 records of bench-100b were read"
        );
    }

    #[test]
    fn the_time_limit_grows_with_the_load() {
        let load = Load::full(RecordSize::B1000);
        assert_eq!(load.payload_bytes(), 1_000_000_000);
        assert_eq!(load.within(), Duration::from_secs(1_120));
    }

    #[test]
    fn a_missing_kcat_is_told_with_the_remedy() {
        let error = Kcat::find(Path::new("/nowhere/kcat"))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("/nowhere/kcat: cannot be run: "),
            "{error}"
        );
        assert!(
            error.ends_with("; install kcat, or give its path with --kcat"),
            "{error}"
        );
    }
}
