//! A consumer as an application has it: in a group, or for all partitions, until it is stopped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::client::{About, Who};
use super::complaints::Complaints;
use super::payload::read_id;
use super::resume::last_start;
use super::{LoadError, Summary};
use crate::clock::{micros, now};
use crate::ledger::{ClientKind, LedgerWriter, Read, Row};

/// What differs from librdkafka's defaults, or decides what is read.
const SETTINGS: [(&str, &str); 5] = [
    ("auto.offset.reset", "earliest"),
    ("isolation.level", "read_committed"),
    ("auto.commit.interval.ms", "1000"),
    ("fetch.wait.max.ms", "100"),
    ("reconnect.backoff.max.ms", "1000"),
];

/// Rows wait no longer for their way into the file.
const FLUSH_EVERY: Duration = Duration::from_millis(20);

/// Between two looks at the stop.
const POLL: Duration = Duration::from_millis(20);

/// For the list of partitions where there is no group.
pub(super) const METADATA_MAX: Duration = Duration::from_secs(30);

/// A consumer as its caller wants it.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    pub who: Who,
    /// Names, or regular expressions that begin with `^`.
    pub topics: Vec<String>,
    /// Without one, all partitions are read from their beginning.
    pub group: Option<String>,
}

/// Keeps what the library complains of.
#[derive(Debug, Default)]
pub(super) struct Listener {
    pub(super) complaints: Complaints,
}

impl ClientContext for Listener {
    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is told in this way too, and nobody's fault.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            self.complaints.add(reason);
        }
    }

    /// What matters comes as a complaint as well, and stands in the ledger.
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(event = "librdkafka", facility, message);
    }
}

impl ConsumerContext for Listener {}

/// Reads until it is stopped.
pub fn consume(
    options: &ConsumerOptions,
    stop: &AtomicBool,
    ready: impl FnOnce(u32),
) -> Result<Summary, LoadError> {
    let who = &options.who;
    let incarnation = last_start(who)?.map_or(1, |last| last.incarnation + 1);
    let consumer = make(options)?;
    let settings = who.settings_told(&SETTINGS);
    let group = options.group.as_ref();
    let mut ledger = who.begin(About {
        kind: ClientKind::Consumer,
        incarnation,
        began_us: now(),
        topics: options.topics.clone(),
        schedule: None,
        phase: None,
        settings: settings
            .into_iter()
            .chain(group.map(|it| format!("group.id={it}")))
            .collect(),
    })?;
    ready(incarnation);
    let path = who.ledger_path(incarnation);
    let failed = |cause| LoadError::Ledger { path, cause };
    let read = read_until(&consumer, &who.drill, stop, &mut ledger);
    let summary = read.map_err(failed.clone())?;
    ledger.end(now()).map_err(failed)?;
    Ok(summary)
}

fn make(options: &ConsumerOptions) -> Result<BaseConsumer<Listener>, LoadError> {
    let mut config = options.who.config(&SETTINGS);
    match &options.group {
        Some(group) => config.set("group.id", group),
        // The library wants a name; nothing is ever committed under it.
        None => config
            .set("group.id", format!("isthmus-lab-{}", options.who.name))
            .set("enable.auto.commit", "false"),
    };
    let consumer = BaseConsumer::from_config_and_context(&config, Listener::default());
    let consumer: BaseConsumer<Listener> = consumer.map_err(LoadError::client)?;
    if options.group.is_some() {
        let topics: Vec<&str> = options.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(LoadError::client)?;
    } else {
        let mut list = TopicPartitionList::new();
        for topic in &options.topics {
            for partition in partitions(&consumer, &options.who, topic)? {
                list.add_partition_offset(topic, partition, Offset::Beginning)
                    .map_err(LoadError::client)?;
            }
        }
        consumer.assign(&list).map_err(LoadError::client)?;
    }
    Ok(consumer)
}

/// The partitions of a topic that must exist.
pub(super) fn partitions(
    consumer: &BaseConsumer<Listener>,
    who: &Who,
    topic: &str,
) -> Result<Vec<i32>, LoadError> {
    let bootstrap = || who.bootstrap.clone();
    let metadata = consumer.fetch_metadata(Some(topic), METADATA_MAX);
    let metadata = metadata.map_err(|cause| LoadError::Topics {
        bootstrap: bootstrap(),
        cause: Box::new(cause),
    })?;
    let found = metadata.topics().iter().find(|it| it.name() == topic);
    let partitions = found.map(|it| it.partitions()).unwrap_or_default();
    if partitions.is_empty() {
        return Err(LoadError::NoTopic {
            topic: topic.to_owned(),
            bootstrap: bootstrap(),
        });
    }
    Ok(partitions.iter().map(|it| it.id()).collect())
}

fn read_until(
    consumer: &BaseConsumer<Listener>,
    drill: &str,
    stop: &AtomicBool,
    ledger: &mut LedgerWriter,
) -> std::io::Result<Summary> {
    let mut summary = Summary::default();
    let mut flush_at = now();
    while !stop.load(Ordering::Acquire) {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                summary.read += u64::from(write_record(ledger, drill, &message)?);
            }
            // The library goes on by itself after every error.
            Some(Err(error)) => consumer.context().complaints.add(&error.to_string()),
            None => {}
        }
        if now() >= flush_at {
            for row in consumer.context().complaints.take() {
                ledger.row(&row)?;
            }
            ledger.flush()?;
            flush_at = now() + micros(FLUSH_EVERY);
        }
    }
    Ok(summary)
}

/// Writes down a record that was read; whether it was one of ours.
pub(super) fn write_record(
    ledger: &mut LedgerWriter,
    drill: &str,
    message: &impl Message,
) -> std::io::Result<bool> {
    let at_us = now();
    let (topic, partition) = (message.topic().to_owned(), message.partition());
    let offset = message.offset();
    let id = read_id(drill, message.payload().unwrap_or_default());
    let is_ours = id.is_some();
    let row = match id {
        Some(id) => Row::Read(Read {
            topic,
            partition,
            offset,
            id,
            at_us,
        }),
        None => Row::NotOurs {
            topic,
            partition,
            offset,
            at_us,
        },
    };
    ledger.row(&row)?;
    Ok(is_ours)
}
