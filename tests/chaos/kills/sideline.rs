//! What goes on beside the load so that files are deleted and metadata changes: topics made and
//! deleted, segments that expire, records deleted by request.
//!
//! Its promises are checked too: a topic that was confirmed is there, one whose deletion was
//! confirmed is gone, a log start never goes back, and what lies above it has no holes.

use crate::support::records;
use crate::support::wire::{Connection, EARLIEST, LATEST, batches};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::BatchParams;
use isthmus_wire::messages::DeleteRecordsRequest;
use isthmus_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

/// Every batch is older than its retention, and starts a segment of its own.
const EXPIRING: &str = "expiring";

/// Its records are deleted by request.
const SHORTENED: &str = "shortened";

/// Topics that are there at a time.
const TOPICS: usize = 3;

/// How sure it is that a topic is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    InDoubt,
    There,
    Gone,
}

pub(super) struct Sideline {
    topics: BTreeMap<String, Known>,
    made: usize,
    batches: i64,
    starts: BTreeMap<&'static str, i64>,
    ends: BTreeMap<&'static str, i64>,
}

impl Sideline {
    pub(super) fn prepare(connection: &mut Connection) -> io::Result<Self> {
        for (topic, configs) in [
            (
                EXPIRING,
                [
                    ("retention.ms", "1"),
                    ("segment.ms", "1"),
                    ("file.delete.delay.ms", "0"),
                ],
            ),
            (
                SHORTENED,
                [
                    ("retention.ms", "-1"),
                    ("segment.ms", "1"),
                    ("file.delete.delay.ms", "0"),
                ],
            ),
        ] {
            let error = connection.create_topic(topic, 1, &configs)?;
            assert_eq!(error, ErrorCode::NONE, "{topic}");
        }
        Ok(Self {
            topics: BTreeMap::new(),
            made: 0,
            batches: 0,
            starts: BTreeMap::from([(EXPIRING, 0), (SHORTENED, 0)]),
            ends: BTreeMap::from([(EXPIRING, 0), (SHORTENED, 0)]),
        })
    }

    /// Goes on until the connection ends.
    pub(super) fn run(&mut self, address: SocketAddr, deadline: Instant) -> io::Error {
        match self.go_on(address, deadline) {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    fn go_on(&mut self, address: SocketAddr, deadline: Instant) -> io::Result<Infallible> {
        let mut connection = Connection::open(address)?;
        loop {
            self.change_topics(&mut connection)?;
            for topic in [EXPIRING, SHORTENED] {
                self.write(&mut connection, topic)?;
            }
            self.shorten(&mut connection)?;
            assert!(Instant::now() < deadline, "the broker should have died");
        }
    }

    /// Makes a topic with something in it; deletes the oldest when there are too many.
    fn change_topics(&mut self, connection: &mut Connection) -> io::Result<()> {
        self.made += 1;
        let name = format!("passing-{}", self.made);
        self.topics.insert(name.clone(), Known::InDoubt);
        let error = connection.create_topic(&name, 2, &[("file.delete.delay.ms", "0")])?;
        assert_eq!(error, ErrorCode::NONE, "{name}");
        self.topics.insert(name.clone(), Known::There);
        let (error, _) = connection.produce(&name, 1, one_batch(0))?;
        assert_eq!(error, ErrorCode::NONE, "{name}");
        let there: Vec<String> = self
            .topics
            .iter()
            .filter(|(_, known)| **known != Known::Gone)
            .map(|(name, _)| name.clone())
            .collect();
        if there.len() > TOPICS {
            self.delete(connection, &there[..there.len() - TOPICS])?;
        }
        Ok(())
    }

    fn delete(&mut self, connection: &mut Connection, names: &[String]) -> io::Result<()> {
        for name in names {
            self.topics.insert(name.clone(), Known::InDoubt);
        }
        let errors = connection.delete_topics(names)?;
        for (name, error) in names.iter().zip(errors) {
            // One in doubt from an earlier round may be gone already.
            let fine = [ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION];
            assert!(fine.contains(&error), "{name}: {error}");
            self.topics.insert(name.clone(), Known::Gone);
        }
        Ok(())
    }

    fn write(&mut self, connection: &mut Connection, topic: &'static str) -> io::Result<()> {
        self.batches += 1;
        let (error, offset) = connection.produce(topic, 0, one_batch(self.batches * 10))?;
        assert_eq!(error, ErrorCode::NONE, "{topic}");
        let end = self.ends.get_mut(topic).unwrap();
        assert!(offset >= *end, "{topic}: {offset} given twice");
        *end = offset + 1;
        Ok(())
    }

    /// Deletes all but the last record of one topic.
    fn shorten(&mut self, connection: &mut Connection) -> io::Result<()> {
        let before = self.ends[SHORTENED] - 1;
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: SHORTENED.to_owned(),
                partitions: vec![DeleteRecordsPartition {
                    partition_index: 0,
                    offset: before,
                }],
            }],
            timeout_ms: 30_000,
        };
        let response = connection.call(&request, 2)?;
        let partition = &response.topics[0].partitions[0];
        assert_eq!(partition.error_code, ErrorCode::NONE);
        assert_eq!(partition.low_watermark, before);
        Ok(())
    }

    /// What was confirmed must hold.
    pub(super) fn check(&mut self, connection: &mut Connection) -> io::Result<()> {
        let there = connection.topic_names()?;
        for (name, known) in &self.topics {
            match known {
                Known::InDoubt => {}
                Known::There => assert!(there.contains(name), "{name} was confirmed"),
                Known::Gone => assert!(!there.contains(name), "{name} is back"),
            }
        }
        self.topics.retain(|_, known| *known != Known::Gone);
        for topic in [EXPIRING, SHORTENED] {
            self.check_log(connection, topic)?;
        }
        Ok(())
    }

    fn check_log(&mut self, connection: &mut Connection, topic: &'static str) -> io::Result<()> {
        let end = connection.offset(topic, 0, LATEST)?;
        assert!(
            end >= self.ends[topic],
            "{topic}: acknowledged up to {}, end {end}",
            self.ends[topic]
        );
        self.ends.insert(topic, end);
        // Retention goes on meanwhile: the start may move between two requests, but only forwards.
        let mut start = connection.offset(topic, 0, EARLIEST)?;
        assert!(
            start >= self.starts[topic],
            "{topic}: start went back to {start}"
        );
        let data = connection.fetch(topic, 0, start, 1 << 20)?;
        if data.error_code == ErrorCode::OFFSET_OUT_OF_RANGE {
            let later = connection.offset(topic, 0, EARLIEST)?;
            assert!(
                later > start,
                "{topic}: {start} is its start and out of range"
            );
            start = later;
        } else {
            assert_eq!(data.error_code, ErrorCode::NONE, "{topic}");
            let mut offset = start;
            for batch in batches(&data) {
                assert_eq!(batch.header().base_offset, offset, "{topic}: a hole");
                batch.verify_crc().unwrap();
                offset = batch.header().next_offset();
            }
        }
        self.starts.insert(topic, start);
        Ok(())
    }

    pub(super) fn report(&self) -> String {
        format!(
            "beside it {} topics made and nearly all deleted; {} records expired, {} deleted by request",
            self.made, self.starts[EXPIRING], self.starts[SHORTENED]
        )
    }
}

fn one_batch(step: i64) -> bytes::Bytes {
    let timestamp = 1_600_000_000_000 + step;
    records::batch(BatchParams::default(), timestamp, &[vec![b's'; 200]])
}
