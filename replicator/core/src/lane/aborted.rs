//! Which batches belong to aborted transactions (KIP-98, read_committed by batch).
//!
//! A Fetch answer lists the aborted transactions of its range by producer and first offset. One
//! batch has one producer, so a batch is aborted as a whole. A producer's transaction is over at
//! its marker in the log.

use std::collections::{BTreeSet, VecDeque};

use isthmus_wire::batch::{BatchView, ControlRecordType};

/// An entry of `aborted_transactions` in a Fetch answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub producer_id: i64,
    pub first_offset: i64,
}

/// Control records are never compressed and hold a few bytes.
const MARKER_BYTES_MAX: usize = 4_096;

/// Follows the batches of one Fetch answer, in their order.
#[derive(Clone, Debug, Default)]
pub struct AbortedTransactions {
    ahead: VecDeque<AbortedTransaction>,
    open: BTreeSet<i64>,
}

impl AbortedTransactions {
    pub fn new(listed: impl IntoIterator<Item = AbortedTransaction>) -> Self {
        let mut ahead: Vec<AbortedTransaction> = listed.into_iter().collect();
        ahead.sort_by_key(|it| it.first_offset);
        Self {
            ahead: ahead.into(),
            open: BTreeSet::new(),
        }
    }

    /// Whether this batch, the next of the answer, was aborted.
    pub fn judge(&mut self, batch: &BatchView) -> bool {
        let header = batch.header();
        if !header.has_producer_id() {
            return false;
        }
        while let Some(begun) = self.ahead.front() {
            if begun.first_offset > header.last_offset() {
                break;
            }
            self.open.insert(begun.producer_id);
            self.ahead.pop_front();
        }
        if header.is_control() {
            if is_abort_marker(batch) {
                self.open.remove(&header.producer_id);
            }
            return false;
        }
        header.is_transactional() && self.open.contains(&header.producer_id)
    }
}

fn is_abort_marker(batch: &BatchView) -> bool {
    let records = batch.records(MARKER_BYTES_MAX);
    let first = records.ok().and_then(|mut records| records.next());
    let key = first.and_then(Result::ok).and_then(|record| record.key);
    let kind = key.and_then(|key| ControlRecordType::from_key(&key));
    kind == Some(ControlRecordType::Abort)
}
