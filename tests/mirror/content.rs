//! Records of every kind, and all that a partition holds.

use crate::support::random::Random;
use crate::support::records::{UNPACKED_MAX, now_ms};
use crate::support::wire::{Connection, LATEST, batches};
use bytes::Bytes;
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::{BatchBuilder, BatchParams, Compression, Record, RecordHeader};
use std::time::{Duration, Instant};

/// No copy of these tests takes longer on a machine that works, however busy.
const LIMIT: Duration = Duration::from_secs(90);

/// Bytes asked for in one fetch.
const FETCH_BYTES: i32 = 4 << 20;

pub(crate) const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

/// What a mirror keeps of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    pub(crate) headers: Vec<RecordHeader>,
}

impl From<Record> for Seen {
    fn from(record: Record) -> Self {
        Self {
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            headers: record.headers,
        }
    }
}

/// A batch of `count` records, each with a number of its own, by every rule at once.
pub(crate) fn batch(random: &mut Random, number: &mut u64, count: usize) -> Bytes {
    let mut builder = BatchBuilder::new(BatchParams {
        compression: *random.pick(&CODECS),
        ..BatchParams::default()
    });
    let now = now_ms();
    for _ in 0..count {
        *number += 1;
        let name = format!("record {number}");
        let key = match random.below(3) {
            0 => None,
            1 => Some(Bytes::new()),
            _ => Some(Bytes::from(name.clone().into_bytes())),
        };
        let value = match random.below(8) {
            0 => None,
            1 => Some(Bytes::new()),
            _ => {
                let mut value = name.into_bytes();
                value.resize(value.len() + random.below(400), random.byte());
                Some(Bytes::from(value))
            }
        };
        let headers: Vec<RecordHeader> = (0..random.below(3))
            .map(|at| RecordHeader {
                // The same name twice is two headers.
                key: "h".into(),
                value: (at == 0).then(|| Bytes::from(number.to_be_bytes().to_vec())),
            })
            .collect();
        let timestamp = now - i64::try_from(random.below(1_000_000)).unwrap();
        builder
            .append(timestamp, key.as_deref(), value.as_deref(), &headers)
            .unwrap();
    }
    builder.finish().unwrap()
}

/// Writes batches of different sizes until the partition has `records` more.
pub(crate) fn fill(
    to: &mut Connection,
    topic: &str,
    partition: i32,
    random: &mut Random,
    number: &mut u64,
    records: usize,
) {
    // A broker of Apache Kafka says that it leads a moment before it does.
    wait_for(to, topic, partition, 0);
    let mut left = records;
    while left > 0 {
        let count = (1 + random.below(200)).min(left);
        let (code, _) = to
            .produce(topic, partition, batch(random, number, count))
            .unwrap();
        assert_eq!(code, ErrorCode::NONE);
        left -= count;
    }
}

/// Everything in a partition, in order.
pub(crate) fn read(from: &mut Connection, topic: &str, partition: i32) -> Vec<Seen> {
    let end = from.offset(topic, partition, LATEST).unwrap();
    let mut seen = vec![];
    let mut at = 0;
    while at < end {
        let data = from.fetch(topic, partition, at, FETCH_BYTES).unwrap();
        assert_eq!(data.error_code, ErrorCode::NONE);
        for batch in batches(&data) {
            let records = batch.records(UNPACKED_MAX).unwrap().map(Result::unwrap);
            seen.extend(records.filter(|it| it.offset >= at).map(Seen::from));
            at = batch.header().next_offset();
        }
    }
    seen
}

/// Waits until a partition of the copy has as many records as the original.
pub(crate) fn wait_for(copy: &mut Connection, topic: &str, partition: i32, records: usize) {
    let deadline = Instant::now() + LIMIT;
    let wanted = i64::try_from(records).unwrap();
    wait_until(copy, deadline, topic, |copy| {
        let data = copy.metadata().unwrap();
        let known = data
            .topics
            .iter()
            .find(|it| it.name.as_deref() == Some(topic));
        let is_there = known.is_some_and(|it| {
            let mut partitions = it.partitions.iter();
            partitions.any(|it| it.partition_index == partition && it.leader_id >= 0)
        });
        let has_all = |end: Result<i64, ErrorCode>| end.is_ok_and(|end| end >= wanted);
        is_there && has_all(copy.try_offset(topic, partition, LATEST).unwrap())
    });
}

/// Asks again and again; a request takes its time, so nothing spins.
fn wait_until(
    copy: &mut Connection,
    deadline: Instant,
    what: &str,
    mut is_so: impl FnMut(&mut Connection) -> bool,
) {
    while !is_so(copy) {
        assert!(Instant::now() < deadline, "waited for {what}");
    }
}
