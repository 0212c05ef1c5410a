//! The Java twin of producer and consumer: Kafka's own library, the same schedule, the same ledger.
//!
//! The program is one source file, which Java compiles as it starts it. The caller becomes that
//! process, so that whoever kills the client kills it and nothing else.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use rustix::time::{ClockId, clock_gettime};

use super::LoadError;
use super::client::{About, Who};
use super::consumer::ConsumerOptions;
use super::producer::{ProducerOptions, schedule};
use super::resume::last_start;
use crate::clock::now;
use crate::ledger::{ClientKind, Schedule};
use crate::targets::KafkaJars;

const SOURCE: &str = include_str!("java/LoadClient.java");
const SOURCE_FILE: &str = "LoadClient.java";

/// Java's own defaults in Kafka 4.2, told so that the header shows them.
const PRODUCER: [(&str, &str); 4] = [
    ("acks", "all"),
    ("enable.idempotence", "true"),
    ("linger.ms", "5"),
    ("delivery.timeout.ms", "120000"),
];

const CONSUMER: [(&str, &str); 3] = [
    ("auto.offset.reset", "earliest"),
    ("isolation.level", "read_committed"),
    ("auto.commit.interval.ms", "1000"),
];

/// A heap that lets several clients run beside what they measure.
const JVM: [&str; 3] = ["-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// The command that is the producer.
pub fn producer(options: &ProducerOptions, jars: &KafkaJars) -> Result<Command, LoadError> {
    let last = last_start(&options.who)?;
    let schedule = schedule(options, last.as_ref())?;
    let start = Start {
        kind: ClientKind::Producer,
        incarnation: last.map_or(1, |last| last.incarnation + 1),
        topics: vec![options.topic.clone()],
        schedule: Some(schedule),
        own: &PRODUCER,
        group: None,
    };
    let mut command = start.command("produce", &options.who, jars)?;
    let records = options.records.unwrap_or(i64::MAX as u64);
    command.args(["topic", &options.topic]);
    for (name, value) in [
        ("start-us", schedule.start_us),
        ("rate", u64::from(schedule.records_per_second)),
        ("first", schedule.first_sequence),
        ("records", records),
        ("keys", u64::from(schedule.keys)),
        ("bytes", u64::from(schedule.record_bytes)),
    ] {
        command.args([name, &value.to_string()]);
    }
    Ok(command)
}

/// The command that is the consumer.
pub fn consumer(options: &ConsumerOptions, jars: &KafkaJars) -> Result<Command, LoadError> {
    let start = Start {
        kind: ClientKind::Consumer,
        incarnation: last_start(&options.who)?.map_or(1, |last| last.incarnation + 1),
        topics: options.topics.clone(),
        schedule: None,
        own: &CONSUMER,
        group: options.group.as_deref(),
    };
    let mut command = start.command("consume", &options.who, jars)?;
    command.args(["topics", &options.topics.join(",")]);
    Ok(command)
}

/// One start of a client.
struct Start<'a> {
    kind: ClientKind,
    incarnation: u32,
    topics: Vec<String>,
    schedule: Option<Schedule>,
    own: &'a [(&'a str, &'a str)],
    group: Option<&'a str>,
}

impl Start<'_> {
    fn command(self, what: &str, who: &Who, jars: &KafkaJars) -> Result<Command, LoadError> {
        // Java runs in the folder, so its paths must hold from there too.
        let who = &absolute(who)?;
        let ledger = who.ledger_path(self.incarnation);
        let source = self.write_source(who)?;
        let began_us = now();
        let told = who.settings_told(self.own);
        let group = self.group.map(|group| format!("group.id={group}"));
        let header = who.header(
            About {
                kind: self.kind,
                incarnation: self.incarnation,
                began_us,
                topics: self.topics,
                schedule: self.schedule,
                phase: None,
                settings: told.into_iter().chain(group).collect(),
            },
            &format!("Kafka's Java clients {}", jars.version()),
        )?;
        let header = serde_json::to_string(&header).expect("a header is all text and numbers");
        let folder = source.parent().unwrap_or(&who.folder).to_owned();
        let program = source.display().to_string();
        let mut command = jars
            .program(&program, JVM, &folder)
            .map_err(|cause| LoadError::Folder { folder, cause })?;
        command.arg(what).args(["header", &header]);
        // It began when its library is ready, which only it can know.
        command.args(["began-us", &began_us.to_string()]);
        command.arg("ledger").arg(ledger);
        command.args(["name", &who.name, "drill", &who.drill]);
        let shift = monotonic_to_boot_us().to_string();
        command.args(["monotonic-to-boot-us", &shift]);
        let bootstrap = ("bootstrap.servers", who.bootstrap.as_str());
        let named = [bootstrap, ("client.id", who.name.as_str())];
        let group = self.group.map(|group| ("group.id", group));
        let given = who.settings.iter();
        let given = given.map(|(key, value)| (key.as_str(), value.as_str()));
        let own = self.own.iter().copied();
        for (key, value) in named.into_iter().chain(group).chain(own).chain(given) {
            command.args([&format!("set.{key}"), value]);
        }
        Ok(command)
    }

    fn write_source(&self, who: &Who) -> Result<PathBuf, LoadError> {
        let folder = who
            .folder
            .join(format!("{}-{}.java", who.name, self.incarnation));
        let path = folder.join(SOURCE_FILE);
        let write = || -> io::Result<()> {
            fs::create_dir_all(&folder)?;
            fs::write(&path, SOURCE)
        };
        match write() {
            Ok(()) => Ok(path),
            Err(cause) => Err(LoadError::Folder { folder, cause }),
        }
    }
}

fn absolute(who: &Who) -> Result<Who, LoadError> {
    let folder = fs::create_dir_all(&who.folder).and_then(|()| who.folder.canonicalize());
    let failed = |cause| LoadError::Folder {
        folder: who.folder.clone(),
        cause,
    };
    Ok(Who {
        folder: folder.map_err(failed)?,
        ..who.clone()
    })
}

/// Java reads `CLOCK_MONOTONIC`, which runs beside the ledger's clock for as long as the machine
/// does not sleep.
fn monotonic_to_boot_us() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    now().saturating_sub(seconds * 1_000_000 + nanos / 1_000)
}
