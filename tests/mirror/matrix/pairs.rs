//! The matrix's properties, told from the source's log itself, and how often each two come together.

use super::plan::{CODECS, LARGE, STAMPS, Topic};
use crate::support::records::UNPACKED_MAX;
use crate::support::wire::{Connection, LATEST, batches};
use isthmus_wire::ErrorCode;
use isthmus_wire::batch::{BatchHeader, ControlRecordType, Record, TimestampType};
use std::collections::{BTreeMap, BTreeSet};

/// Records with this in front of their key only close a segment.
pub(super) const CLOSING: &str = "end-";

const FETCH_BYTES: i32 = 4 << 20;
const MEBIBYTE: usize = 1 << 20;

/// Each property and its values.
const PROPERTIES: [(&str, &[&str]); 9] = [
    ("codec", &CODECS),
    ("key", &["null", "empty", "set"]),
    ("value", &["null", "empty", "1 B", "1 MiB"]),
    ("headers", &["none", "one", "many", "duplicate"]),
    ("timestamp", &STAMPS),
    ("batch", &["of 1", "of 1000"]),
    ("transaction", &["none", "committed", "aborted"]),
    ("place", &["dense", "at a hole"]),
    ("producer", &["Java", "librdkafka"]),
];

const TRANSACTION: usize = 6;
const PLACE: usize = 7;

/// Pairs that cannot be, and why.
const IMPOSSIBLE: [(&str, &str, &str); 2] = [
    (
        "key null",
        "place at a hole",
        "a compacted topic takes no record without a key",
    ),
    (
        "transaction aborted",
        "place at a hole",
        "the cleaner removes what was aborted, so only what lies behind it is left",
    ),
];

/// Which value of each property a record has.
type Kind = [usize; PROPERTIES.len()];

/// How often each two values came together; properties and values by their places.
#[derive(Default)]
pub(super) struct Pairs {
    counts: BTreeMap<(usize, usize, usize, usize), u64>,
    pub(super) records: u64,
}

/// A record of the source, aborted ones included.
struct Found {
    offset: i64,
    kind: Kind,
}

impl Pairs {
    /// Counts all of a partition.
    pub(super) fn count(&mut self, from: &mut Connection, topic: &Topic, partition: usize) {
        let mut log = Log::default();
        log.read(from, &topic.name(), i32::try_from(partition).unwrap());
        for found in &log.found {
            let mut kind = found.kind;
            kind[PLACE] = usize::from(log.is_at_a_hole(found.offset));
            kind[PROPERTIES.len() - 1] = Topic::producer_of(partition);
            self.add(&kind);
        }
    }

    fn add(&mut self, kind: &Kind) {
        self.records += 1;
        for (a, one) in kind.iter().enumerate() {
            for (b, other) in kind.iter().enumerate().skip(a + 1) {
                *self.counts.entry((a, *one, b, *other)).or_default() += 1;
            }
        }
    }

    /// Every pair that can be came so often, and no other; a table of all, and the least count.
    pub(super) fn judge(&self, wanted: u64, has_transactions: bool) -> (String, u64) {
        let mut judged = Judged {
            least: u64::MAX,
            ..Judged::default()
        };
        for (a, b) in two_properties() {
            self.judge_two(a, b, wanted, has_transactions, &mut judged);
        }
        let Judged {
            table,
            least,
            faults,
        } = judged;
        assert!(
            faults.is_empty(),
            "not {wanted} times each:\n{}\n{table}",
            faults.join("\n")
        );
        (table, least)
    }

    fn judge_two(
        &self,
        a: usize,
        b: usize,
        wanted: u64,
        has_transactions: bool,
        judged: &mut Judged,
    ) {
        let mut cells = vec![];
        for (one, other) in pairs_of(a, b) {
            let count = self.counts.get(&(a, one, b, other)).copied().unwrap_or(0);
            let (first, second) = (told(a, one), told(b, other));
            let is_absent = |it: usize, value: usize| it == TRANSACTION && value > 0;
            let cannot_be = is_impossible(&first, &second)
                || !has_transactions && (is_absent(a, one) || is_absent(b, other));
            if cannot_be != (count == 0) || !cannot_be && count < wanted {
                judged
                    .faults
                    .push(format!("{first} with {second}: {count}"));
            }
            if !cannot_be {
                judged.least = judged.least.min(count);
            }
            let (one, other) = (PROPERTIES[a].1[one], PROPERTIES[b].1[other]);
            cells.push(format!("{one}/{other} {count}"));
        }
        let (one, other) = (PROPERTIES[a].0, PROPERTIES[b].0);
        judged.table += &format!("  {one} and {other}: {}\n", cells.join(", "));
    }
}

/// What counting came to.
#[derive(Default)]
struct Judged {
    table: String,
    least: u64,
    faults: Vec<String>,
}

/// Why some pairs are missing.
pub(super) fn impossible() -> String {
    let told = IMPOSSIBLE.map(|(one, other, why)| format!("  {one} with {other}: {why}"));
    told.join("\n")
}

/// Each two properties, once.
fn two_properties() -> impl Iterator<Item = (usize, usize)> {
    let all = PROPERTIES.len();
    (0..all).flat_map(move |a| (a + 1..all).map(move |b| (a, b)))
}

fn pairs_of(a: usize, b: usize) -> impl Iterator<Item = (usize, usize)> {
    let others = PROPERTIES[b].1.len();
    (0..PROPERTIES[a].1.len()).flat_map(move |one| (0..others).map(move |other| (one, other)))
}

fn told(property: usize, value: usize) -> String {
    let (name, values) = PROPERTIES[property];
    format!("{name} {}", values[value])
}

fn is_impossible(first: &str, second: &str) -> bool {
    IMPOSSIBLE
        .iter()
        .any(|(one, other, _)| (first, second) == (*one, *other))
}

/// A partition of the source as it lies there.
#[derive(Default)]
struct Log {
    found: Vec<Found>,
    /// All offsets that are there, those of markers and of closing records too.
    offsets: BTreeSet<i64>,
    /// By producer: what its open transaction wrote, by place in `found`.
    open: BTreeMap<i64, Vec<usize>>,
    end: i64,
}

impl Log {
    fn read(&mut self, from: &mut Connection, topic: &str, partition: i32) {
        self.end = from.offset(topic, partition, LATEST).unwrap();
        let mut at = 0;
        while at < self.end {
            let data = from.fetch(topic, partition, at, FETCH_BYTES).unwrap();
            assert_eq!(data.error_code, ErrorCode::NONE);
            for batch in batches(&data) {
                let header = batch.header().clone();
                for record in batch.records(UNPACKED_MAX).unwrap() {
                    self.take(&header, &record.unwrap());
                }
                at = header.next_offset();
            }
        }
        assert!(
            self.open.is_empty(),
            "{topic}-{partition}: open transactions"
        );
    }

    fn take(&mut self, header: &BatchHeader, record: &Record) {
        self.offsets.insert(record.offset);
        let key = record.key.as_deref();
        if header.is_control() {
            let written = self.open.remove(&header.producer_id).unwrap_or_default();
            match key.and_then(ControlRecordType::from_key) {
                Some(ControlRecordType::Commit) => {}
                Some(ControlRecordType::Abort) => {
                    for at in written {
                        self.found[at].kind[TRANSACTION] = 2;
                    }
                }
                other => panic!("a control record of type {other:?}"),
            }
        } else if !key.is_some_and(|it| it.starts_with(CLOSING.as_bytes())) {
            if header.is_transactional() {
                let open = self.open.entry(header.producer_id).or_default();
                open.push(self.found.len());
            }
            self.found.push(Found {
                offset: record.offset,
                kind: kind_of(header, record),
            });
        }
    }

    /// The offset in front of it or behind it is gone.
    fn is_at_a_hole(&self, offset: i64) -> bool {
        let is_gone = |it: i64| (0..self.end).contains(&it) && !self.offsets.contains(&it);
        is_gone(offset - 1) || is_gone(offset + 1)
    }
}

/// All but what the neighbours and the partition tell. A batch keeps its last offset when the
/// cleaner takes records out of it, so its first size stays known.
fn kind_of(header: &BatchHeader, record: &Record) -> Kind {
    let size = usize::try_from(header.last_offset_delta).unwrap() + 1;
    let names: BTreeSet<&[u8]> = record.headers.iter().map(|it| it.key.as_ref()).collect();
    [
        usize::from(header.attributes.codec_id()),
        record
            .key
            .as_ref()
            .map_or(0, |key| 1 + usize::from(!key.is_empty())),
        match record.value.as_ref().map(bytes::Bytes::len) {
            None => 0,
            Some(0) => 1,
            Some(1) => 2,
            Some(MEBIBYTE) => 3,
            Some(other) => panic!("a value of {other} bytes"),
        },
        match (record.headers.len(), names.len()) {
            (0, _) => 0,
            (1, _) => 1,
            (all, names) if all == names => 2,
            _ => 3,
        },
        usize::from(header.timestamp_type() == TimestampType::LogAppendTime),
        match size {
            1 => 0,
            LARGE => 1,
            other => panic!("a batch of {other} records: {header:?}"),
        },
        usize::from(header.is_transactional()),
        0,
        0,
    ]
}
