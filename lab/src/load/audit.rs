//! An audit: every topic from its beginning to the end that it had when the audit began.
//!
//! Topics are read one after the other, since the library names the partition whose end was
//! reached, and not its topic.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{About, Who};
use super::consumer::{Listener, METADATA_MAX, partitions, write_record};
use super::resume::last_start;
use super::{LoadError, Summary};
use crate::clock::now;
use crate::ledger::{ClientKind, LedgerWriter, Phase, Row};

/// What is committed is what clients can read.
const SETTINGS: [(&str, &str); 4] = [
    ("isolation.level", "read_committed"),
    ("enable.auto.commit", "false"),
    ("enable.partition.eof", "true"),
    ("fetch.wait.max.ms", "50"),
];

const POLL: Duration = Duration::from_millis(50);

/// A topic that is not there by then is taken for a mistake in its name.
const TOPIC_WAIT_MAX: Duration = Duration::from_secs(20);

/// An audit as its caller wants it.
#[derive(Clone, Debug)]
pub struct AuditOptions {
    pub who: Who,
    pub phase: Phase,
    /// None for all topics but internal ones.
    pub topics: Vec<String>,
    pub within: Duration,
}

/// Reads it all.
pub fn audit(options: &AuditOptions, stop: &AtomicBool) -> Result<Summary, LoadError> {
    let who = &options.who;
    let incarnation = last_start(who)?.map_or(1, |last| last.incarnation + 1);
    let mut config = who.config(&SETTINGS);
    config.set("group.id", format!("isthmus-lab-{}", who.name));
    let consumer = BaseConsumer::from_config_and_context(&config, Listener::default());
    let consumer: BaseConsumer<Listener> = consumer.map_err(LoadError::client)?;
    let topics = topics(&consumer, options)?;
    let mut ledger = who.begin(About {
        kind: ClientKind::Audit,
        incarnation,
        began_us: now(),
        topics: topics.clone(),
        schedule: None,
        phase: Some(options.phase),
        settings: who.settings_told(&SETTINGS),
    })?;
    let mut summary = Summary::default();
    let deadline = Instant::now() + options.within;
    for topic in topics {
        let mut reading = Reading {
            options,
            consumer: &consumer,
            topic: &topic,
            ledger: &mut ledger,
            deadline,
            stop,
        };
        summary.read += reading.run()?;
    }
    let path = who.ledger_path(incarnation);
    let ended = ledger.end(now());
    ended.map_err(|cause| LoadError::Ledger { path, cause })?;
    Ok(summary)
}

fn topics(
    consumer: &BaseConsumer<Listener>,
    options: &AuditOptions,
) -> Result<Vec<String>, LoadError> {
    if !options.topics.is_empty() {
        return Ok(options.topics.clone());
    }
    let metadata = consumer.fetch_metadata(None, METADATA_MAX);
    let metadata = metadata.map_err(|cause| LoadError::Topics {
        bootstrap: options.who.bootstrap.clone(),
        cause: Box::new(cause),
    })?;
    let names = metadata.topics().iter().map(|it| it.name().to_owned());
    let mut names: Vec<String> = names.filter(|name| !is_internal(name)).collect();
    names.sort();
    Ok(names)
}

/// Topics of brokers and mirrors, in which no client's records are.
fn is_internal(topic: &str) -> bool {
    let of_mirrors = topic.starts_with("mm2-") || topic.ends_with(".checkpoints.internal");
    topic.starts_with("__") || of_mirrors
}

/// The reading of one topic.
struct Reading<'a> {
    options: &'a AuditOptions,
    consumer: &'a BaseConsumer<Listener>,
    topic: &'a str,
    ledger: &'a mut LedgerWriter,
    deadline: Instant,
    stop: &'a AtomicBool,
}

impl Reading<'_> {
    fn run(&mut self) -> Result<u64, LoadError> {
        let mut open = self.ends()?;
        let mut list = TopicPartitionList::new();
        for (partition, (start, _)) in &open {
            list.add_partition_offset(self.topic, *partition, Offset::Offset(*start))
                .map_err(LoadError::client)?;
        }
        self.consumer.assign(&list).map_err(LoadError::client)?;
        let mut read = 0;
        while !open.is_empty() {
            self.check_time()?;
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    let Some((_, end)) = open.get(&message.partition()) else {
                        continue;
                    };
                    if message.offset() < *end {
                        let wrote = write_record(self.ledger, &self.options.who.drill, &message);
                        read += u64::from(wrote.map_err(|cause| self.unwritten(cause))?);
                    }
                    if message.offset() + 1 >= *end {
                        self.close(&mut open, message.partition())?;
                    }
                }
                // Also behind markers of transactions, which no consumer is given.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.close(&mut open, partition)?;
                }
                Some(Err(cause @ KafkaError::MessageConsumptionFatal(_))) => {
                    return Err(self.unread(cause));
                }
                // The library goes on by itself; the deadline ends what does not get better.
                Some(Err(cause)) => self.consumer.context().complaints.add(&cause.to_string()),
                None => {}
            }
        }
        self.consumer.unassign().map_err(LoadError::client)?;
        for row in self.consumer.context().complaints.take() {
            let wrote = self.ledger.row(&row);
            wrote.map_err(|cause| self.unwritten(cause))?;
        }
        Ok(read)
    }

    /// First and last offsets of the partitions that hold something.
    fn ends(&mut self) -> Result<BTreeMap<i32, (i64, i64)>, LoadError> {
        let mut ends = BTreeMap::new();
        for partition in self.partitions()? {
            let (start, end) = self.end(partition)?;
            if start < end {
                ends.insert(partition, (start, end));
            } else {
                self.write_whole(partition, start, end)?;
            }
        }
        Ok(ends)
    }

    /// A broker that has just started may answer before it knows its topics, and have no leaders
    /// yet.
    fn partitions(&self) -> Result<Vec<i32>, LoadError> {
        let patience = Instant::now() + TOPIC_WAIT_MAX;
        loop {
            match partitions(self.consumer, &self.options.who, self.topic) {
                Err(LoadError::NoTopic { .. } | LoadError::Topics { .. })
                    if Instant::now() < patience =>
                {
                    self.check_time()?;
                    std::thread::sleep(POLL);
                }
                found => return found,
            }
        }
    }

    fn end(&self, partition: i32) -> Result<(i64, i64), LoadError> {
        loop {
            let asked = self
                .consumer
                .fetch_watermarks(self.topic, partition, METADATA_MAX);
            match asked {
                Ok(ends) => return Ok(ends),
                Err(cause) if Instant::now() > self.deadline => {
                    return Err(LoadError::End {
                        topic: self.topic.to_owned(),
                        partition,
                        cause: Box::new(cause),
                    });
                }
                Err(cause) => {
                    self.check_time()?;
                    self.consumer.context().complaints.add(&cause.to_string());
                    std::thread::sleep(POLL);
                }
            }
        }
    }

    fn close(
        &mut self,
        open: &mut BTreeMap<i32, (i64, i64)>,
        partition: i32,
    ) -> Result<(), LoadError> {
        match open.remove(&partition) {
            Some((start, end)) => self.write_whole(partition, start, end),
            None => Ok(()),
        }
    }

    fn write_whole(&mut self, partition: i32, start: i64, end: i64) -> Result<(), LoadError> {
        let row = Row::Whole {
            topic: self.topic.to_owned(),
            partition,
            start,
            end,
            at_us: now(),
        };
        let wrote = self.ledger.row(&row);
        wrote.map_err(|cause| self.unwritten(cause))
    }

    fn check_time(&self) -> Result<(), LoadError> {
        if self.stop.load(Ordering::Acquire) {
            return Err(LoadError::Interrupted(self.topic.to_owned()));
        }
        if Instant::now() > self.deadline {
            return Err(LoadError::TooLong {
                topic: self.topic.to_owned(),
                seconds: self.options.within.as_secs(),
            });
        }
        Ok(())
    }

    fn unwritten(&self, cause: std::io::Error) -> LoadError {
        let path = self.options.who.folder.clone();
        LoadError::Ledger { path, cause }
    }

    fn unread(&self, cause: KafkaError) -> LoadError {
        LoadError::Read {
            topic: self.topic.to_owned(),
            bootstrap: self.options.who.bootstrap.clone(),
            cause: Box::new(cause),
        }
    }
}
