//! Mirrors under test, as programs: tuned MirrorMaker 2, and Isthmus's replicator.
//!
//! Owns: the settings of both and the files they stand in. Must not know: what is copied, and when a
//! copy counts as whole. Both name a copy after its source, and both leave out what the other does
//! not do in the same run: no heartbeats, no groups.

use std::fmt::Write;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::targets::{Description, IsthmusProgram, KafkaJars};

/// What the source is called; it stands in front of each copy's name.
const SOURCE: &str = "east";

const TARGET: &str = "west";

/// The name that both mirrors give a copy.
pub(super) fn copy_of(topic: &str) -> String {
    format!("{SOURCE}.{topic}")
}

/// What is to be copied from where to where.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) source: SocketAddr,
    pub(super) target: SocketAddr,
    pub(super) topics: Vec<String>,
}

/// What a mirror is tuned for; only MirrorMaker has to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A backlog of uncompressed records.
    Throughput,
    /// A backlog of batches that the producer compressed with lz4.
    ThroughputLz4,
    /// Few records, each as soon as it can be.
    Latency,
}

/// A mirror, as a program that is not started yet.
pub(super) trait Mirror: Send + Sync {
    /// What it is, for reports.
    fn describe(&self) -> Description;

    /// How to start it; what it reads is written into the folder, which must exist.
    fn command(&self, way: &Way, purpose: Purpose, folder: &Path) -> io::Result<Command>;
}

/// MirrorMaker 2 as a process of its own, tuned.
///
/// - The heap may grow to 4 GiB: with 1 GiB its tasks die in this load, out of memory.
/// - Six tasks, one for each partition of a topic: more only take turns on a few cores.
/// - For throughput: batches of 512 KiB that wait up to 20 ms to be filled, and fetches as large as
///   that takes; buffers of sockets are left to the system.
/// - For latency: batches leave at once, whatever is in them.
/// - Where the source's batches are compressed with lz4, so are the copy's: MirrorMaker unpacks
///   every record, and its producer packs it again.
/// - Heartbeats, checkpoints and the copying of ACLs are off: Isthmus writes none in this run.
#[derive(Clone, Debug)]
pub(super) struct MirrorMaker {
    jars: KafkaJars,
}

const MIRROR_MAKER_JVM: [&str; 4] = [
    "-Xmx4G",
    "-server",
    "-XX:+UseG1GC",
    "-Djava.awt.headless=true",
];

/// In every run. One broker has one replica of everything.
const MIRROR_MAKER: [(&str, &str); 15] = [
    ("clusters", "east, west"),
    ("east->west.enabled", "true"),
    ("west->east.enabled", "false"),
    ("tasks.max", "6"),
    ("replication.factor", "1"),
    ("offset-syncs.topic.replication.factor", "1"),
    ("offset.storage.replication.factor", "1"),
    ("status.storage.replication.factor", "1"),
    ("config.storage.replication.factor", "1"),
    ("emit.heartbeats.enabled", "false"),
    ("emit.checkpoints.enabled", "false"),
    ("sync.topic.acls.enabled", "false"),
    ("east.consumer.auto.offset.reset", "earliest"),
    ("west.producer.acks", "all"),
    ("west.producer.max.request.size", "4194304"),
];

const FOR_THROUGHPUT: [(&str, &str); 10] = [
    ("west.producer.batch.size", "524288"),
    ("west.producer.linger.ms", "20"),
    ("west.producer.buffer.memory", "134217728"),
    ("west.producer.send.buffer.bytes", "-1"),
    ("west.producer.receive.buffer.bytes", "-1"),
    ("east.consumer.max.poll.records", "5000"),
    ("east.consumer.fetch.max.bytes", "104857600"),
    ("east.consumer.max.partition.fetch.bytes", "8388608"),
    ("east.consumer.receive.buffer.bytes", "-1"),
    ("east.consumer.send.buffer.bytes", "-1"),
];

const FOR_LZ4: [(&str, &str); 1] = [("west.producer.compression.type", "lz4")];

const FOR_LATENCY: [(&str, &str); 1] = [("west.producer.linger.ms", "0")];

impl Purpose {
    fn mirror_maker(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Throughput => FOR_THROUGHPUT.to_vec(),
            Self::ThroughputLz4 => [&FOR_THROUGHPUT[..], &FOR_LZ4].concat(),
            Self::Latency => FOR_LATENCY.to_vec(),
        }
    }
}

impl MirrorMaker {
    pub(super) fn new(jars: KafkaJars) -> Self {
        Self { jars }
    }

    fn properties(way: &Way, purpose: Purpose) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &str| {
            writeln!(text, "{key}={value}").expect("a string takes everything");
        };
        for (key, value) in MIRROR_MAKER.into_iter().chain(purpose.mirror_maker()) {
            line(key, value);
        }
        line("east.bootstrap.servers", &way.source.to_string());
        line("west.bootstrap.servers", &way.target.to_string());
        line("east->west.topics", &way.topics.join(","));
        text
    }
}

impl Mirror for MirrorMaker {
    fn describe(&self) -> Description {
        let named = |(key, value): (&str, &str)| format!("{key}={value}");
        let of = |words: &str, list: &[(&'static str, &'static str)]| {
            let list: Vec<String> = list.iter().copied().map(named).collect();
            format!("{words}: {}", list.join(" "))
        };
        let mut settings: Vec<String> = MIRROR_MAKER.into_iter().map(named).collect();
        settings.push(of("for throughput", &FOR_THROUGHPUT));
        settings.push(of("with lz4", &FOR_LZ4));
        settings.push(of("for latency", &FOR_LATENCY));
        settings.extend(MIRROR_MAKER_JVM.map(str::to_owned));
        settings.push(self.jars.java().to_owned());
        Description {
            program: "MirrorMaker 2".to_owned(),
            version: self.jars.version().to_owned(),
            settings,
        }
    }

    fn command(&self, way: &Way, purpose: Purpose, folder: &Path) -> io::Result<Command> {
        fs::write(
            folder.join("mm2.properties"),
            Self::properties(way, purpose),
        )?;
        let class = "org.apache.kafka.connect.mirror.MirrorMaker";
        let mut command = self.jars.program(class, MIRROR_MAKER_JVM, folder)?;
        command.arg("mm2.properties");
        Ok(command)
    }
}

/// `isthmus replicator`, with its defaults for every purpose.
#[derive(Clone, Debug)]
pub(super) struct IsthmusReplicator {
    program: IsthmusProgram,
}

impl IsthmusReplicator {
    pub(super) fn new(program: IsthmusProgram) -> Self {
        Self { program }
    }

    fn toml(way: &Way) -> String {
        let topics: Vec<String> = way.topics.iter().map(|it| format!("'{it}'")).collect();
        format!(
            "[daemon]\nname = 'bench'\n\n[clusters.{SOURCE}]\nbootstrap = '{}'\n\n\
             [clusters.{TARGET}]\nbootstrap = '{}'\n\n[[flows]]\nsource = '{SOURCE}'\n\
             target = '{TARGET}'\ntopics = [{}]\ngroups = []\n",
            way.source,
            way.target,
            topics.join(", ")
        )
    }
}

impl Mirror for IsthmusReplicator {
    fn describe(&self) -> Description {
        Description {
            program: "Isthmus".to_owned(),
            version: self.program.version().to_owned(),
            settings: vec!["replicator".to_owned(), "groups=[]".to_owned()],
        }
    }

    fn command(&self, way: &Way, _purpose: Purpose, folder: &Path) -> io::Result<Command> {
        fs::write(folder.join("replicator.toml"), Self::toml(way))?;
        let mut command = self.program.command();
        command
            .args(["replicator", "-c", "replicator.toml"])
            .current_dir(folder);
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way() -> Way {
        Way {
            source: "127.0.0.1:20001".parse().unwrap(),
            target: "127.0.0.1:20002".parse().unwrap(),
            topics: vec!["a".to_owned(), "b".to_owned()],
        }
    }

    #[test]
    fn mirror_makers_file_has_no_key_twice_and_names_both_sides() {
        for purpose in [
            Purpose::Throughput,
            Purpose::ThroughputLz4,
            Purpose::Latency,
        ] {
            let text = MirrorMaker::properties(&way(), purpose);
            let keys = text.lines().filter_map(|line| line.split_once('='));
            let mut keys: Vec<&str> = keys.map(|(key, _)| key).collect();
            let count = keys.len();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), count, "{text}");
            for line in [
                "east.bootstrap.servers=127.0.0.1:20001",
                "west.bootstrap.servers=127.0.0.1:20002",
                "east->west.topics=a,b",
            ] {
                assert!(text.lines().any(|it| it == line), "no {line} in {text}");
            }
            let packs = text.contains("west.producer.compression.type=lz4");
            assert_eq!(packs, purpose == Purpose::ThroughputLz4);
        }
    }

    #[test]
    fn the_replicators_file_names_both_sides_and_the_topics() {
        let text = IsthmusReplicator::toml(&way());
        for words in [
            "[clusters.east]\nbootstrap = '127.0.0.1:20001'\n",
            "[clusters.west]\nbootstrap = '127.0.0.1:20002'\n",
            "topics = ['a', 'b']\n",
        ] {
            assert!(text.contains(words), "no {words} in {text}");
        }
        assert_eq!(copy_of("a"), "east.a");
    }
}
