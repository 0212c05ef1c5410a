//! What one producer wrote to one partition, and what it was told about it.
//!
//! Invariants: sequences have no holes; answers come in order, so what is not acknowledged is a
//! tail; what a reader has seen once must stay.

use crate::support::records;
use bytes::Bytes;
use isthmus_wire::batch::{BatchHeader, BatchParams, BatchView, Compression};

/// Timestamps run ahead of the clock, and must neither reach the future nor be so old that a
/// producer counts as expired.
const HEAD_START_MS: i64 = 2 * 60 * 60 * 1000;

/// A partition the load writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) topic: &'static str,
    pub(super) partition: i32,
    /// Bytes of each value, and records of the largest batch.
    pub(super) value_bytes: usize,
    pub(super) records_max: usize,
    /// Between the timestamps of two batches: what makes segments roll by time.
    pub(super) step_ms: i64,
}

/// A batch as it was sent: the checksum stands for its whole content.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sent {
    base_sequence: i32,
    records: i32,
    crc: u32,
    offset: Option<i64>,
}

/// All batches of one producer in one partition.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) place: Place,
    producer_id: i64,
    producer_epoch: i16,
    first_timestamp: i64,
    sent: Vec<Sent>,
    acked: usize,
    seen: usize,
    next_sequence: i32,
}

impl Lane {
    pub(super) fn new(place: Place, (producer_id, producer_epoch): (i64, i16)) -> Self {
        Self {
            place,
            producer_id,
            producer_epoch,
            first_timestamp: records::now_ms() - HEAD_START_MS,
            sent: Vec::new(),
            acked: 0,
            seen: 0,
            next_sequence: 0,
        }
    }

    pub(super) fn producer_id(&self) -> i64 {
        self.producer_id
    }

    /// Makes the next batch.
    pub(super) fn next_batch(&mut self, codec: Compression) -> Bytes {
        let number = self.sent.len();
        let count = 1 + number % self.place.records_max;
        let first = self.next_sequence;
        let sequences = (first..).take(count);
        let values: Vec<Vec<u8>> = sequences.map(|sequence| self.value(sequence)).collect();
        let params = BatchParams {
            compression: codec,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: first,
            ..BatchParams::default()
        };
        let timestamp = self.first_timestamp + i64::try_from(number).unwrap() * self.place.step_ms;
        let batch = records::batch(params, timestamp, &values);
        let header = BatchHeader::parse(&batch).unwrap();
        self.sent.push(Sent {
            base_sequence: first,
            records: header.records_count,
            crc: header.crc,
            offset: None,
        });
        self.next_sequence += header.records_count;
        batch
    }

    /// A value that says whose it is and which.
    fn value(&self, sequence: i32) -> Vec<u8> {
        let Place {
            topic, partition, ..
        } = self.place;
        let name = format!("{} {topic}-{partition} {sequence} ", self.producer_id);
        let mut value = name.into_bytes();
        let filler = (value.len()..self.place.value_bytes).map(|at| b'a' + (at % 23) as u8);
        value.extend(filler);
        value
    }

    /// The oldest batch without an answer was acknowledged at this offset.
    pub(super) fn acknowledge(&mut self, offset: i64) {
        let sent = &mut self.sent[self.acked];
        sent.offset = Some(offset);
        self.acked += 1;
    }

    /// A batch found in the partition as the `nth` of this producer.
    pub(super) fn compare(&mut self, nth: usize, batch: &BatchView, with_values: bool) {
        let header = batch.header();
        let found = Sent {
            base_sequence: header.base_sequence,
            records: header.records_count,
            crc: header.crc,
            offset: Some(header.base_offset),
        };
        let Some(sent) = self.sent.get(nth) else {
            panic!("{}: never sent: {found:?}", self.name());
        };
        let expected = Sent {
            offset: sent.offset.or(found.offset),
            ..sent.clone()
        };
        assert_eq!(found, expected, "{}: batch {nth}", self.name());
        assert_eq!(header.producer_epoch, self.producer_epoch);
        batch.verify_crc().unwrap();
        if with_values {
            let sequences = (header.base_sequence..).take(records::values(batch).len());
            let expected: Vec<Vec<u8>> = sequences.map(|sequence| self.value(sequence)).collect();
            assert_eq!(records::values(batch), expected, "{}", self.name());
        }
    }

    /// The partition was read to its end and held `found` batches of this producer.
    pub(super) fn read_to_end(&mut self, found: usize) {
        let name = self.name();
        assert!(
            found >= self.acked,
            "{name}: {} batches acknowledged, {found} found: lost {:?}",
            self.acked,
            self.sent.get(found)
        );
        assert!(
            found >= self.seen,
            "{name}: {} batches seen before, {found} now",
            self.seen
        );
        self.seen = found;
    }

    /// Whether the oldest batch without an answer was read back already.
    pub(super) fn is_known(&self) -> bool {
        self.seen > self.acked
    }

    pub(super) fn acked_batches(&self) -> usize {
        self.acked
    }

    pub(super) fn acked_records(&self) -> usize {
        let acked = self.sent[..self.acked].iter();
        acked
            .map(|sent| usize::try_from(sent.records).unwrap())
            .sum()
    }

    fn name(&self) -> String {
        let Place {
            topic, partition, ..
        } = self.place;
        format!("producer {} in {topic}-{partition}", self.producer_id)
    }
}
