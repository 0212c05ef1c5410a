//! How long a record takes from its producer at the source to a reader at the target.
//!
//! Kafka's perf tool sends at a fixed rate; each record carries the time at which it was handed in.
//! kcat at the target prints that time as soon as it has the record, and is timed as it prints.
//! Both clocks are this machine's. The time in a record is of whole milliseconds, cut off, so every
//! latency is too long by half a millisecond on average.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::bench::load::{Kcat, PRODUCER_JVM};
use crate::process::{Process, ToolError};
use crate::targets::KafkaJars;

/// Of the budget.
const RECORDS_PER_SECOND: u64 = 500;

const RECORD_BYTES: u64 = 100;

/// The count for which the budget is judged: 20 s.
pub const RECORDS_FULL: u64 = 10_000;

/// Sent first and not counted: four seconds in which the producer's JVM warms up.
const WARM_UP_RECORDS: u64 = 4 * RECORDS_PER_SECOND;

/// Beyond the time that sending takes.
const LIMIT: Duration = Duration::from_secs(120);

/// The producer: each record at once.
const PRODUCER: [&str; 2] = ["acks=all", "linger.ms=0"];

/// Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Latencies {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

/// Why it could not be measured. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum LatencyError {
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("run the perf tool: {0}")]
    Prepare(io::Error),
    #[error("read the copy with kcat: {0}")]
    Read(io::Error),
    #[error("read the copy with kcat: it printed {0:?}")]
    Line(String),
    #[error("read the copy with kcat: it ended after {0} records")]
    Ended(u64),
    #[error("read the copy: {read} of {expected} records came within {within:?}")]
    Late {
        read: u64,
        expected: u64,
        within: Duration,
    },
}

/// Sends so many records as fast as it can; they are there before a mirror starts, and show that it
/// is at work.
pub(super) async fn send_first(
    jars: &KafkaJars,
    source: SocketAddr,
    topic: &str,
    folder: &Path,
) -> Result<u64, LatencyError> {
    const RECORDS: u64 = 600;
    let mut tool = sender(jars, source, topic, RECORDS, "-1", folder)?;
    tool.finish(LIMIT).await?;
    Ok(RECORDS)
}

/// A reader of the copy at the target.
pub(super) struct Reader {
    _kcat: Child,
    lines: Lines<BufReader<ChildStdout>>,
    read: u64,
}

impl Reader {
    /// Reads from the beginning of the topic.
    pub(super) fn start(
        kcat: &Kcat,
        target: SocketAddr,
        topic: &str,
    ) -> Result<Self, LatencyError> {
        let mut command = tokio::process::Command::from(kcat.command());
        command
            .args(["-C", "-q", "-u", "-o", "beginning", "-f", "%T\n"])
            .args(["-b", &target.to_string(), "-t", topic])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut kcat = command.spawn().map_err(LatencyError::Read)?;
        let Some(out) = kcat.stdout.take() else {
            unreachable!("its output was to be piped");
        };
        Ok(Self {
            _kcat: kcat,
            lines: BufReader::new(out).lines(),
            read: 0,
        })
    }

    /// The next records' latencies, in milliseconds.
    pub(super) async fn take(
        &mut self,
        count: u64,
        within: Duration,
    ) -> Result<Vec<f64>, LatencyError> {
        let before = self.read;
        let all = tokio::time::timeout(within, self.take_all(count)).await;
        all.unwrap_or_else(|_| {
            Err(LatencyError::Late {
                read: self.read - before,
                expected: count,
                within,
            })
        })
    }

    async fn take_all(&mut self, count: u64) -> Result<Vec<f64>, LatencyError> {
        let mut latencies = Vec::new();
        for _ in 0..count {
            let line = self.lines.next_line().await.map_err(LatencyError::Read)?;
            let line = line.ok_or(LatencyError::Ended(self.read))?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let now = now.unwrap_or_default().as_secs_f64() * 1e3;
            let sent: f64 = line.parse().map_err(|_| LatencyError::Line(line))?;
            latencies.push(now - sent);
            self.read += 1;
        }
        Ok(latencies)
    }
}

/// Sends at the fixed rate and reads at the other end.
pub(super) async fn measure(
    jars: &KafkaJars,
    source: SocketAddr,
    topic: &str,
    reader: &mut Reader,
    records: u64,
    folder: &Path,
) -> Result<Latencies, LatencyError> {
    let all = WARM_UP_RECORDS + records;
    let rate = RECORDS_PER_SECOND.to_string();
    let mut tool = sender(jars, source, topic, all, &rate, folder)?;
    let within = Duration::from_secs(all / RECORDS_PER_SECOND) + LIMIT;
    let latencies = reader.take(all, within).await?;
    tool.finish(within).await?;
    Ok(Latencies::of(&latencies[WARM_UP_RECORDS as usize..]))
}

fn sender(
    jars: &KafkaJars,
    source: SocketAddr,
    topic: &str,
    records: u64,
    rate: &str,
    folder: &Path,
) -> Result<Process, LatencyError> {
    let class = "org.apache.kafka.tools.ProducerPerformance";
    let mut command = jars
        .program(class, PRODUCER_JVM, folder)
        .map_err(LatencyError::Prepare)?;
    command
        .args(["--bootstrap-server", &source.to_string()])
        .args(["--topic", topic])
        .args(["--num-records", &records.to_string()])
        .args(["--record-size", &RECORD_BYTES.to_string()])
        .args(["--throughput", rate, "--command-property"])
        .args(PRODUCER);
    let process = Process::spawn("send", command, folder).map_err(ToolError::from)?;
    Ok(process)
}

impl Latencies {
    fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let rank = (part * sorted.len() as f64).ceil() as usize;
            sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
        };
        Self {
            p50: at(0.50),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let found = Latencies::of(&values);
        assert_eq!((found.p50, found.p99, found.max), (100.0, 198.0, 200.0));
        let one = Latencies::of(&[7.0]);
        assert_eq!((one.p50, one.p99, one.max), (7.0, 7.0, 7.0));
    }
}
