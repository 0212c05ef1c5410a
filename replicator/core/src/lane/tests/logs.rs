//! Logs of a source partition, drawn at random: every kind of batch that a broker may hold.

use isthmus_wire::batch::{
    BatchBuilder, BatchParams, ControlRecordType, EndTransactionMarker, RecordHeader,
};
use proptest::prelude::*;

use super::*;

/// One batch of a log, as drawn.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) codec: Compression,
    pub(super) append_time: bool,
    pub(super) delete_horizon: bool,
    /// Producer 0 to 2 in a transaction, or none.
    pub(super) transaction: Option<i64>,
    /// Ends the producer's transaction behind this batch: with commit or abort.
    pub(super) ends: Option<bool>,
    pub(super) records: Vec<DraftRecord>,
}

#[derive(Clone, Debug)]
pub(super) struct DraftRecord {
    /// The cleaner took it: a hole.
    pub(super) removed: bool,
    pub(super) timestamp: i64,
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) headers: Vec<RecordHeader>,
}

/// The bytes that a fetch gives, and what a naive reader makes of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    pub(super) bytes: Vec<u8>,
    pub(super) aborted: Vec<AbortedTransaction>,
    /// What a read_committed consumer sees.
    pub(super) committed: Vec<Record>,
    /// What a read_uncommitted one sees.
    pub(super) all: Vec<Record>,
    pub(super) end: i64,
}

impl Log {
    pub(super) fn of(drafts: &[Draft]) -> Self {
        let mut log = Self::default();
        // Per producer: the first offset of the open transaction, and its records.
        let mut open: std::collections::BTreeMap<i64, (i64, Vec<Record>)> = Default::default();
        for draft in drafts {
            let batch = log.batch(draft);
            let base = log.end;
            let seen = batch.as_ref().map(records_of).unwrap_or_default();
            if let Some(batch) = &batch {
                log.bytes.extend_from_slice(batch.bytes());
                log.end = batch.header().next_offset();
            }
            log.all.extend(seen.iter().cloned());
            match draft.transaction {
                None => log.committed.extend(seen),
                Some(producer) => {
                    let entry = open.entry(producer).or_insert((base, vec![]));
                    entry.1.extend(seen);
                    if let Some(commit) = draft.ends {
                        let (first, records) = open.remove(&producer).unwrap();
                        log.end_transaction(producer, first, records, commit);
                    }
                }
            }
        }
        // The last stable offset: nothing of an open transaction is given out.
        for (producer, (first, records)) in open {
            log.end_transaction(producer, first, records, false);
        }
        log.committed.sort_by_key(|record| record.offset);
        log
    }

    fn end_transaction(&mut self, producer: i64, first: i64, records: Vec<Record>, commit: bool) {
        let kind = match commit {
            true => ControlRecordType::Commit,
            false => ControlRecordType::Abort,
        };
        let mut builder = BatchBuilder::new(BatchParams {
            base_offset: self.end,
            producer_id: producer,
            producer_epoch: 0,
            transactional: true,
            control: true,
            ..BatchParams::default()
        });
        let marker = EndTransactionMarker {
            coordinator_epoch: 1,
        };
        builder
            .append_end_transaction(NOW_MS, kind, marker)
            .unwrap();
        self.bytes.extend_from_slice(&builder.finish().unwrap());
        self.end += 1;
        if commit {
            self.committed.extend(records);
        } else {
            self.aborted.push(AbortedTransaction {
                producer_id: producer,
                first_offset: first,
            });
        }
    }

    fn batch(&self, draft: &Draft) -> Option<BatchView> {
        let mut builder = BatchBuilder::new(params(draft, self.end));
        for (index, record) in draft.records.iter().enumerate() {
            if record.removed {
                continue;
            }
            let offset = self.end + index as i64;
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            builder
                .append_with_offset(offset, record.timestamp, key, value, &record.headers)
                .unwrap();
        }
        let last = i32::try_from(draft.records.len()).unwrap() - 1;
        if last < 0 {
            return None;
        }
        builder.set_last_offset_delta(last);
        if draft.append_time {
            builder.set_max_timestamp(NOW_MS - 77);
        }
        Some(BatchView::new(builder.finish().unwrap()).unwrap())
    }
}

fn params(draft: &Draft, base_offset: i64) -> BatchParams {
    BatchParams {
        base_offset,
        partition_leader_epoch: 9,
        compression: draft.codec,
        timestamp_type: match draft.append_time {
            true => TimestampType::LogAppendTime,
            false => TimestampType::CreateTime,
        },
        delete_horizon_ms: draft.delete_horizon.then_some(NOW_MS + 5),
        producer_id: draft.transaction.unwrap_or(-1),
        producer_epoch: if draft.transaction.is_some() { 0 } else { -1 },
        base_sequence: if draft.transaction.is_some() { 0 } else { -1 },
        transactional: draft.transaction.is_some(),
        ..BatchParams::default()
    }
}

fn any_text() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        Just(Bytes::new()),
        prop::collection::vec(any::<u8>(), 1..12).prop_map(Bytes::from),
        // Larger than a small target takes beside others.
        prop::collection::vec(any::<u8>(), 200..400).prop_map(Bytes::from),
    ]
}

/// Few keys, so that they repeat within a record.
fn any_header() -> impl Strategy<Value = RecordHeader> {
    let key = prop_oneof![
        Just(Bytes::from_static(b"k")),
        Just(Bytes::new()),
        any_text()
    ];
    (key, prop::option::of(any_text())).prop_map(|(key, value)| RecordHeader { key, value })
}

fn any_record() -> impl Strategy<Value = DraftRecord> {
    (
        prop::bool::weighted(0.15),
        -HOUR_MS..HOUR_MS,
        prop::option::of(any_text()),
        prop::option::of(any_text()),
        prop::collection::vec(any_header(), 0..4),
    )
        .prop_map(|(removed, age, key, value, headers)| DraftRecord {
            removed,
            timestamp: NOW_MS - age.abs(),
            key,
            value,
            headers,
        })
}

pub(super) fn any_draft() -> impl Strategy<Value = Draft> {
    (
        prop::sample::select(&Compression::ALL[..]),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.1),
        prop::option::weighted(0.4, 0..3_i64),
        prop::option::weighted(0.7, prop::bool::weighted(0.7)),
        prop::collection::vec(any_record(), 1..8),
    )
        .prop_map(
            |(codec, append_time, delete_horizon, transaction, ends, records)| Draft {
                codec,
                append_time,
                delete_horizon: delete_horizon && !append_time,
                transaction,
                ends,
                records,
            },
        )
}
