//! Which batches belong to aborted transactions, and which markers still have any.
//!
//! Owns: the transactions that are open at the place the cleaner has reached.
//! Must not know: keys, horizons, files.
//! Invariants: batches come in offset order. A marker is of no more use when no batch of its
//! transaction was met since the last marker of its producer; until then it stays, for a reader that
//! has the data must find the decision (KIP-98).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use isthmus_wire::batch::{BatchHeader, ControlRecordType};

use crate::index::AbortedTxn;

/// An aborted transaction that was begun and not ended at this place.
#[derive(Clone, Copy, Debug)]
struct Ongoing {
    txn: AbortedTxn,
    has_data: bool,
}

/// What a marker means for the cleaner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MarkerSeen {
    /// Nothing is left of the transaction: from the delete horizon on the marker may go.
    pub(super) is_of_empty_txn: bool,
    /// The transaction was aborted and has data left: for the index of the cleaned segment.
    pub(super) aborted: Option<AbortedTxn>,
}

#[derive(Clone, Debug)]
pub(super) struct Transactions {
    /// By rising first offset.
    ahead: VecDeque<AbortedTxn>,
    ongoing_aborted: BTreeMap<i64, Ongoing>,
    ongoing_committed: BTreeSet<i64>,
}

impl Transactions {
    /// `aborted` by rising first offset.
    pub(super) fn new(aborted: &[AbortedTxn]) -> Transactions {
        Transactions {
            ahead: aborted.iter().copied().collect(),
            ongoing_aborted: BTreeMap::new(),
            ongoing_committed: BTreeSet::new(),
        }
    }

    /// Whether a batch of data was aborted: nobody may read it.
    pub(super) fn is_aborted(&mut self, header: &BatchHeader) -> bool {
        self.advance_to(header.last_offset());
        if !header.is_transactional() {
            return false;
        }
        match self.ongoing_aborted.get_mut(&header.producer_id) {
            Some(ongoing) => {
                ongoing.has_data = true;
                true
            }
            None => {
                self.ongoing_committed.insert(header.producer_id);
                false
            }
        }
    }

    /// Takes a control batch into account. `kind` is `None` where it is no marker of a
    /// transaction's end; `is_empty`: it was cleaned before and has no record.
    pub(super) fn marker(
        &mut self,
        header: &BatchHeader,
        kind: Option<ControlRecordType>,
        is_empty: bool,
    ) -> MarkerSeen {
        self.advance_to(header.last_offset());
        let mut seen = MarkerSeen {
            is_of_empty_txn: is_empty,
            aborted: None,
        };
        match kind {
            Some(ControlRecordType::Abort) => {
                let ended = self.ongoing_aborted.remove(&header.producer_id);
                seen.aborted = ended.filter(|ended| ended.has_data).map(|ended| ended.txn);
                seen.is_of_empty_txn = seen.aborted.is_none();
            }
            Some(ControlRecordType::Commit) => {
                seen.is_of_empty_txn = !self.ongoing_committed.remove(&header.producer_id);
            }
            Some(
                ControlRecordType::LeaderChange
                | ControlRecordType::SnapshotHeader
                | ControlRecordType::SnapshotFooter
                | ControlRecordType::KraftVersion
                | ControlRecordType::KraftVoters,
            )
            | None => {}
        }
        seen
    }

    fn advance_to(&mut self, offset: i64) {
        while let Some(txn) = self.ahead.front().copied()
            && txn.first_offset <= offset
        {
            self.ahead.pop_front();
            let ongoing = Ongoing {
                txn,
                has_data: false,
            };
            self.ongoing_aborted
                .entry(txn.producer_id)
                .or_insert(ongoing);
        }
    }
}
