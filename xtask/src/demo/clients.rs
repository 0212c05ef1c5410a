//! The real clients of the demo, and how their output is read.
//!
//! Each call shows its command in short form; Kafka's Java tools are shown by class name.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::guard::Guard;
use crate::peers::Kafka;
use crate::process::{Running, Said, run};

/// No single call of the demo takes longer on a machine that works.
const LIMIT: Duration = Duration::from_secs(60);

/// kcat and Kafka's tools, pointed at one broker.
pub(crate) struct Clients<'a> {
    pub(crate) kcat: PathBuf,
    pub(crate) kafka: Kafka,
    pub(crate) address: String,
    pub(crate) guard: &'a Guard,
}

/// What the Java producer's perf tool is to write.
pub(crate) enum Load {
    /// Records of 100 bytes, as fast as it can.
    Fast { records: u64 },
    /// Records that are the numbers from 0, so that each can be told from the others.
    Numbered { records: u64, per_second: u64 },
}

impl Load {
    fn flags(&self) -> String {
        match self {
            Self::Fast { records } => {
                format!("--num-records {records} --record-size 100 --throughput -1")
            }
            Self::Numbered {
                records,
                per_second,
            } => {
                format!("--num-records {records} --payload-monotonic --throughput {per_second}")
            }
        }
    }
}

/// What a producer run reported.
#[derive(Debug, PartialEq)]
pub(crate) struct Produced {
    pub(crate) records: u64,
    pub(crate) summary: String,
}

/// What the dump tool found.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Dumped {
    pub(crate) batches: u64,
    /// By the headers of the batches.
    pub(crate) records: u64,
    /// By iterating over each batch.
    pub(crate) iterated: u64,
}

impl Clients<'_> {
    /// kcat writes the lines of a file as records.
    pub(crate) fn kcat_produce(&self, topic: &str, lines: &Path) -> Result<()> {
        show(&format!(
            "kcat -P -b {} -t {topic} < (a file of lines)",
            self.address
        ));
        let mut command = Command::new(&self.kcat);
        command
            .args(["-P", "-b", &self.address, "-t", topic])
            .stdin(File::open(lines)?);
        run("kcat -P", &mut command, LIMIT, self.guard).map(|_| ())
    }

    /// kcat reads a topic from its beginning to its end.
    pub(crate) fn kcat_consume(&self, topic: &str) -> Result<Vec<String>> {
        show(&format!(
            "kcat -C -b {} -t {topic} -o beginning -e",
            self.address
        ));
        let mut command = Command::new(&self.kcat);
        let args = [
            "-C",
            "-b",
            &self.address,
            "-t",
            topic,
            "-o",
            "beginning",
            "-e",
            "-q",
        ];
        command.args(args).stdin(Stdio::null());
        let said = run("kcat -C", &mut command, LIMIT, self.guard)?;
        Ok(said.stdout.lines().map(str::to_owned).collect())
    }

    pub(crate) fn create_topic(&self, topic: &str, partitions: u32) -> Result<()> {
        let partitions = partitions.to_string();
        let args = ["--create", "--topic", topic, "--partitions", &partitions];
        self.tool("org.apache.kafka.tools.TopicCommand", &args)
            .map(|_| ())
    }

    pub(crate) fn describe_topic(&self, topic: &str) -> Result<String> {
        let args = ["--describe", "--topic", topic];
        Ok(self
            .tool("org.apache.kafka.tools.TopicCommand", &args)?
            .stdout)
    }

    /// The sum of a topic's end offsets.
    pub(crate) fn end_offsets(&self, topic: &str) -> Result<u64> {
        let args = ["--topic", topic, "--time", "latest"];
        sum_of_offsets(
            &self
                .tool("org.apache.kafka.tools.GetOffsetShell", &args)?
                .stdout,
        )
    }

    /// Starts the Java producer's perf tool.
    pub(crate) fn start_producer(&self, topic: &str, load: &Load) -> Result<Running> {
        let flags = load.flags();
        show(&format!(
            "ProducerPerformance --topic {topic} {flags} acks=all"
        ));
        let mut command = self
            .kafka
            .tool("org.apache.kafka.tools.ProducerPerformance");
        command.args(["--bootstrap-server", &self.address, "--topic", topic]);
        command.args(flags.split(' ')).arg("--command-property");
        command
            .args(["acks=all", "linger.ms=5", "batch.size=65536"])
            .stdin(Stdio::null());
        Running::start("ProducerPerformance", &mut command, self.guard)
    }

    pub(crate) fn finish_producer(&self, running: Running) -> Result<Produced> {
        parse_produced(&running.finish(LIMIT, self.guard)?.stdout)
    }

    /// Kafka's dump tool over segment files, every batch opened and every record read.
    pub(crate) fn dump(&self, segments: &[PathBuf]) -> Result<Dumped> {
        let files: Vec<_> = segments
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        show(&format!(
            "DumpLogSegments --deep-iteration --files ({} files)",
            files.len()
        ));
        let mut command = self.kafka.tool("kafka.tools.DumpLogSegments");
        command
            .args(["--deep-iteration", "--files", &files.join(",")])
            .stdin(Stdio::null());
        let said = run("DumpLogSegments", &mut command, LIMIT, self.guard)?;
        parse_dump(&said.stdout, &said.stderr)
    }

    fn tool(&self, class: &str, args: &[&str]) -> Result<Said> {
        let name = class.rsplit('.').next().unwrap_or(class);
        show(&format!("{name} {}", args.join(" ")));
        let mut command = self.kafka.tool(class);
        command
            .args(["--bootstrap-server", &self.address])
            .args(args)
            .stdin(Stdio::null());
        run(name, &mut command, LIMIT, self.guard)
    }
}

fn show(command: &str) {
    println!("   $ {command}");
}

/// `orders:0:33333` per partition.
fn sum_of_offsets(text: &str) -> Result<u64> {
    let mut sum = 0;
    for line in text.lines().filter(|line| !line.is_empty()) {
        let offset = line
            .rsplit(':')
            .next()
            .and_then(|offset| offset.parse::<u64>().ok());
        sum += offset.with_context(|| format!("could not read an offset in {line:?}"))?;
    }
    Ok(sum)
}

/// The last line of the perf tool sums up; a line that tells an error makes the run a failure.
fn parse_produced(text: &str) -> Result<Produced> {
    if let Some(error) = text.lines().find(|line| line.contains("Exception")) {
        bail!("the producer reported: {error}");
    }
    let line = text.lines().rfind(|line| line.contains(" records sent, "));
    let line = line.with_context(|| format!("no summary of the producer in {text:?}"))?;
    let records = line
        .split(' ')
        .next()
        .and_then(|records| records.parse().ok());
    let records = records.with_context(|| format!("could not read a count in {line:?}"))?;
    let summary = line
        .split(", ")
        .skip(1)
        .take(3)
        .map(rounded)
        .collect::<Vec<_>>()
        .join(", ");
    Ok(Produced { records, summary })
}

/// `47846.889952 records/sec (4.56 MB/sec)` without the digits that say nothing.
fn rounded(part: &str) -> String {
    let number = part.split(' ').next().unwrap_or_default();
    match number.parse::<f64>() {
        Ok(value) => part.replacen(number, &format!("{value:.0}"), 1),
        Err(_) => part.to_owned(),
    }
}

fn parse_dump(stdout: &str, stderr: &str) -> Result<Dumped> {
    let mut dumped = Dumped::default();
    for line in stdout.lines() {
        if line.starts_with("baseOffset:") {
            if !line.contains("isvalid: true") {
                bail!("the dump tool found a batch that is not valid: {line}");
            }
            let count = line
                .split(" count: ")
                .nth(1)
                .and_then(|rest| rest.split(' ').next());
            let count = count.and_then(|count| count.parse::<u64>().ok());
            dumped.records += count.with_context(|| format!("no count in {line:?}"))?;
            dumped.batches += 1;
        } else if line.starts_with("| offset:") {
            dumped.iterated += 1;
        } else if !(line.is_empty()
            || line.starts_with("Dumping ")
            || line.starts_with("Log starting offset"))
        {
            bail!("the dump tool reported: {line}");
        }
    }
    if !stderr.trim().is_empty() {
        bail!("the dump tool reported: {}", stderr.trim());
    }
    Ok(dumped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_summed_over_partitions() {
        assert_eq!(
            sum_of_offsets("orders:0:33\norders:1:34\norders:2:0\n").unwrap(),
            67
        );
        assert!(sum_of_offsets("orders:0:\n").is_err());
    }

    #[test]
    fn the_producers_last_line_counts() {
        let text = "\
10 records sent, 2.0 records/sec (0.00 MB/sec), 5.0 ms avg latency, 9.0 ms max latency.
100000 records sent, 47846.889952 records/sec (4.56 MB/sec), 2.31 ms avg latency, 230.00 ms max latency, 1 ms 50th, 9 ms 95th, 20 ms 99th, 25 ms 99.9th.
";
        let produced = parse_produced(text).unwrap();
        assert_eq!(produced.records, 100_000);
        assert_eq!(
            produced.summary,
            "47847 records/sec (4.56 MB/sec), 2 ms avg latency, 230 ms max latency"
        );
        assert!(parse_produced("").is_err());
        let failed = format!("org.apache.kafka.common.errors.TimeoutException: late\n{text}");
        assert!(parse_produced(&failed).is_err());
    }

    #[test]
    fn a_dump_counts_batches_and_records() {
        let batch = "baseOffset: 0 lastOffset: 1 count: 2 baseSequence: 0 isvalid: true";
        let text = format!(
            "Dumping a.log\nLog starting offset: 0\n{batch}\n| offset: 0 x\n| offset: 1 x\n"
        );
        let expected = Dumped {
            batches: 1,
            records: 2,
            iterated: 2,
        };
        assert_eq!(parse_dump(&text, "").unwrap(), expected);
        assert!(parse_dump(&text.replace("true", "false"), "").is_err());
        assert!(
            parse_dump(
                &format!("{text}Found 12 invalid bytes at the end of a.log\n"),
                ""
            )
            .is_err()
        );
        assert!(parse_dump(&text, "Exception in thread main").is_err());
    }
}
