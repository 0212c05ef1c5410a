//! Whether the replicas of a partition hold the same batches, as Kafka's dump tool tells them.
//!
//! A batch is what the tool prints of it: offsets, producer, epochs, time, size, checksum; only where
//! it stands in its segment may differ, since replicas roll their segments each at their own time. What
//! stands at or above the high watermark is nobody's promise, and is left out.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Trio;
use crate::process::{Process, ToolError};
use crate::targets::KafkaJars;
use crate::targets::software::TOOL_JVM;

const TOOL: &str = "kafka.tools.DumpLogSegments";

/// For the segments of one node.
const DUMP_MAX: Duration = Duration::from_secs(300);

/// Differences that are told one by one; more of them say no more.
const TOLD_MAX: usize = 10;

/// Kafka's name for a partition's folder: `topic-0`.
type Partition = String;

/// The replicas could not be compared. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum ReplicasError {
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("read what the dump tool printed: {0}")]
    Dumped(io::Error),
    #[error("list the segments in {}: {cause}", path.display())]
    Segments { path: PathBuf, cause: io::Error },
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    pub replicas: usize,
    /// Of all replicas together.
    pub batches: usize,
    pub differences: usize,
    /// The first ones, in words.
    pub told: Vec<String>,
}

/// A batch as the tool told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Batch {
    base: i64,
    last: i64,
    digest: [u8; 32],
}

/// The batches of a node's replicas, in the order of their segments.
type Replicas = BTreeMap<Partition, Vec<Batch>>;

/// Dumps the logs of all nodes, which must have ended, and compares them.
pub(crate) async fn compare(
    trio: &Trio,
    jars: &KafkaJars,
    topic: &str,
    high_watermarks: &BTreeMap<i32, i64>,
) -> Result<Comparison, ReplicasError> {
    let mut nodes = BTreeMap::new();
    for id in trio.ids() {
        let files = segments(trio.data(id), topic)?;
        nodes.insert(id, dump(jars, id, &files, trio.logs()).await?);
    }
    let ends = high_watermarks.iter();
    let ends = ends.map(|(partition, end)| (format!("{topic}-{partition}"), *end));
    Ok(compared(&nodes, &ends.collect()))
}

/// The segments of a topic, by partition and then by offset, which both stand in their names.
fn segments(data: &Path, topic: &str) -> Result<Vec<PathBuf>, ReplicasError> {
    let mut found = Vec::new();
    for folder in entries(data)? {
        if is_partition(&folder, topic) {
            let files = entries(&folder)?;
            let logs = files.into_iter();
            found.extend(logs.filter(|path| path.extension().is_some_and(|it| it == "log")));
        }
    }
    found.sort();
    Ok(found)
}

fn is_partition(folder: &Path, topic: &str) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let rest = name.strip_prefix(topic);
    let number = rest.and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, ReplicasError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let paths = fs::read_dir(folder)?.map(|entry| entry.map(|it| it.path()));
        paths.collect()
    };
    read().map_err(|cause| ReplicasError::Segments {
        path: folder.to_owned(),
        cause,
    })
}

async fn dump(
    jars: &KafkaJars,
    id: i32,
    files: &[PathBuf],
    logs: &Path,
) -> Result<Replicas, ReplicasError> {
    let names: Vec<String> = files.iter().map(|it| it.display().to_string()).collect();
    let command = jars.program(TOOL, TOOL_JVM, logs);
    let mut command = command.map_err(ReplicasError::Dumped)?;
    command.args(["--files", &names.join(",")]);
    let name = format!("dump-{id}");
    let tool = Process::spawn(&name, command, logs);
    let mut tool = tool.map_err(ToolError::from)?;
    tool.finish(DUMP_MAX).await?;
    let printed = File::open(logs.join(format!("{name}.out"))).map_err(ReplicasError::Dumped)?;
    read(BufReader::new(printed)).map_err(ReplicasError::Dumped)
}

/// What the tool printed, line by line: it is long.
fn read(printed: impl BufRead) -> io::Result<Replicas> {
    let mut replicas = Replicas::new();
    let mut partition = Partition::new();
    for line in printed.lines() {
        let line = line?;
        if let Some(file) = line.strip_prefix("Dumping ") {
            let folder = Path::new(file).parent().and_then(Path::file_name);
            partition = folder.unwrap_or_default().to_string_lossy().into_owned();
            replicas.entry(partition.clone()).or_default();
        } else if line.starts_with("baseOffset: ") {
            let batch = batch(&line).ok_or_else(|| {
                io::Error::other(format!("{partition}: it is no sound batch: {line}"))
            })?;
            replicas.entry(partition.clone()).or_default().push(batch);
        }
    }
    Ok(replicas)
}

/// `baseOffset: 0 lastOffset: 2 count: 3 … position: 0 CreateTime: … size: 80 … crc: 1 isvalid: true`.
/// None for one whose checksum is wrong.
fn batch(line: &str) -> Option<Batch> {
    let field = |name: &str| {
        let rest = line.split_once(name)?.1;
        rest.split(' ').next()
    };
    if field("isvalid: ") != Some("true") {
        return None;
    }
    let position = field("position: ")?;
    let told = line.replacen(&format!("position: {position} "), "", 1);
    Some(Batch {
        base: field("baseOffset: ")?.parse().ok()?,
        last: field("lastOffset: ")?.parse().ok()?,
        digest: Sha256::digest(told).into(),
    })
}

/// Every replica against the one of the first node, below the high watermark.
fn compared(nodes: &BTreeMap<i32, Replicas>, ends: &BTreeMap<Partition, i64>) -> Comparison {
    let mut found = Comparison::default();
    for (partition, &end) in ends {
        let mut first: Option<(i32, Vec<Batch>)> = None;
        for (&id, replicas) in nodes {
            let all = replicas.get(partition).map_or(&[][..], Vec::as_slice);
            let below: Vec<Batch> = all.iter().filter(|it| it.base < end).copied().collect();
            found.replicas += 1;
            found.batches += below.len();
            if let Some(gap) = gap(&below, end) {
                found.add(format!("{partition} at node {id}: {gap}"));
            }
            match &first {
                None => first = Some((id, below)),
                Some((other, batches)) => {
                    if let Some(offset) = first_difference(batches, &below) {
                        found.add(format!(
                            "{partition} differs from offset {offset} on between nodes {other} and {id}"
                        ));
                    }
                }
            }
        }
    }
    found
}

/// In words, with how to have them compared where they were not.
pub(crate) fn told(found: Option<&Comparison>) -> String {
    match found {
        Some(it) if it.differences == 0 => {
            format!("{}, equal in {} batches", it.replicas, it.batches)
        }
        Some(it) => format!("{}, {} differ", it.replicas, it.differences),
        None => "not compared; give Kafka's jars with --libs DIR".to_owned(),
    }
}

impl Comparison {
    fn add(&mut self, told: String) {
        self.differences += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push(told);
        }
    }
}

/// Offsets from 0 up to the end must all be there.
fn gap(batches: &[Batch], end: i64) -> Option<String> {
    let mut next = 0;
    for batch in batches {
        if batch.base != next {
            return Some(format!("offset {next} is missing"));
        }
        next = batch.last + 1;
    }
    (next != end).then(|| format!("it ends at offset {next}, and {end} were promised"))
}

fn first_difference(one: &[Batch], other: &[Batch]) -> Option<i64> {
    let place = one.iter().zip(other).position(|(a, b)| a != b);
    let place = place.or_else(|| (one.len() != other.len()).then(|| one.len().min(other.len())))?;
    one.get(place)
        .or_else(|| other.get(place))
        .map(|it| it.base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(base: i64, last: i64, epoch: i32, position: u64, crc: u32) -> String {
        format!(
            "baseOffset: {base} lastOffset: {last} count: 1 baseSequence: 0 lastSequence: 0 \
             producerId: 5 producerEpoch: 0 partitionLeaderEpoch: {epoch} isTransactional: false \
             isControl: false deleteHorizonMs: OptionalLong.empty position: {position} \
             CreateTime: 1795000000000 size: 80 magic: 2 compresscodec: none crc: {crc} isvalid: true\n"
        )
    }

    fn node(segments: &[&[String]]) -> Replicas {
        let mut text = String::new();
        for (place, lines) in segments.iter().enumerate() {
            text += &format!("Dumping /data/t-0/{place:020}.log\nLog starting offset: {place}\n");
            text += &lines.concat();
        }
        read(text.as_bytes()).unwrap()
    }

    fn check(nodes: [Replicas; 3], end: i64, expected: &[&str]) {
        let nodes = (1..).zip(nodes).collect();
        let found = compared(&nodes, &BTreeMap::from([("t-0".to_owned(), end)]));
        assert_eq!(found.replicas, 3);
        assert_eq!(found.differences, expected.len(), "{found:?}");
        assert_eq!(found.told, expected);
    }

    #[test]
    fn replicas_are_equal_whatever_their_segments_are() {
        let one = node(&[&[line(0, 1, 0, 0, 9), line(2, 2, 1, 80, 8)]]);
        let two = node(&[&[line(0, 1, 0, 0, 9)], &[line(2, 2, 1, 0, 8)]]);
        check([one.clone(), two, one], 3, &[]);
    }

    #[test]
    fn what_no_watermark_covers_may_differ() {
        let one = node(&[&[line(0, 1, 0, 0, 9), line(2, 2, 1, 80, 8)]]);
        let two = node(&[&[line(0, 1, 0, 0, 9), line(2, 4, 2, 80, 7)]]);
        let three = node(&[&[line(0, 1, 0, 0, 9)]]);
        check([one, two, three], 2, &[]);
    }

    #[test]
    fn another_epoch_a_missing_batch_and_a_short_log_are_told() {
        let good = node(&[&[
            line(0, 1, 0, 0, 9),
            line(2, 2, 1, 80, 8),
            line(3, 3, 1, 160, 7),
        ]]);
        let epoch = node(&[&[
            line(0, 1, 0, 0, 9),
            line(2, 2, 2, 80, 8),
            line(3, 3, 1, 160, 7),
        ]]);
        let hole = node(&[&[line(0, 1, 0, 0, 9), line(3, 3, 1, 80, 7)]]);
        check(
            [good.clone(), epoch, hole],
            4,
            &[
                "t-0 differs from offset 2 on between nodes 1 and 2",
                "t-0 at node 3: offset 2 is missing",
                "t-0 differs from offset 2 on between nodes 1 and 3",
            ],
        );
        let short = node(&[&[line(0, 1, 0, 0, 9)]]);
        check(
            [good.clone(), good, short],
            4,
            &[
                "t-0 at node 3: it ends at offset 2, and 4 were promised",
                "t-0 differs from offset 2 on between nodes 1 and 3",
            ],
        );
    }

    #[test]
    fn a_batch_with_a_wrong_checksum_is_no_batch() {
        let text = line(0, 1, 0, 0, 9).replace("isvalid: true", "isvalid: false");
        let error = read(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("it is no sound batch"), "{error}");
    }

    #[test]
    fn folders_of_a_topic_and_of_no_other() {
        for (folder, is_one) in [
            ("/d/strikes-0", true),
            ("/d/strikes-12", true),
            ("/d/strikes-more-0", false),
            ("/d/strikes-0.abc-delete", false),
            ("/d/strikes-", false),
            ("/d/strikes", false),
        ] {
            assert_eq!(
                is_partition(Path::new(folder), "strikes"),
                is_one,
                "{folder}"
            );
        }
    }
}
