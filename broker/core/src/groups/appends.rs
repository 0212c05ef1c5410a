//! Appends that the log has not answered for yet, and what waits for them.
//!
//! Invariant: those in flight are in the order of the log, and a completion is for the oldest of
//! them or says that its append never reached the log. An append whose time is over loses its
//! waiters but stays: it may still be committed, and counts then.

use super::api::{Reply, Token};
use super::member::Member;
use super::records::GroupRecord;
use isthmus_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Names an append of a shard; never used twice as long as the shard lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AppendId(pub u64);

/// What happens when an append is committed or not.
#[derive(Debug)]
pub(super) enum Waiter {
    /// A reply that is true once the record is.
    Answer { token: Token, reply: Reply },
    /// The assignment of a generation.
    Assignment { group: Arc<str>, generation: i32 },
    /// A static member's new id in a stable group; `old` is put back if it cannot be kept.
    StaticMember {
        group: Arc<str>,
        member: Arc<str>,
        old: Box<Member>,
        old_leader: Option<Arc<str>>,
    },
    /// An OffsetFetch that wants to see all writes before it.
    StableFetch {
        token: Token,
        request: Box<OffsetFetchRequestGroup>,
        version: i16,
    },
    /// Nobody is told but the log of the program.
    EmptyGroup { group: Arc<str> },
}

#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) id: AppendId,
    pub(super) records: Vec<GroupRecord>,
    pub(super) waiters: Vec<Waiter>,
    timed_out: bool,
}

#[derive(Debug, Default)]
pub(super) struct Appends {
    next: u64,
    in_flight: VecDeque<InFlight>,
}

impl Appends {
    pub(super) fn begin(&mut self, records: Vec<GroupRecord>, waiters: Vec<Waiter>) -> AppendId {
        let id = AppendId(self.next);
        self.next += 1;
        self.in_flight.push_back(InFlight {
            id,
            records,
            waiters,
            timed_out: false,
        });
        id
    }

    pub(super) fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// The oldest append is in the log for good. Ones from before an unload are unknown by now.
    pub(super) fn commit(&mut self, id: AppendId) -> Option<InFlight> {
        let at = self.position(id)?;
        assert_eq!(
            at, 0,
            "{id:?} is committed while {at} older appends are not"
        );
        self.in_flight.pop_front()
    }

    /// An append never reached the log.
    pub(super) fn fail(&mut self, id: AppendId) -> Option<InFlight> {
        let at = self.position(id)?;
        self.in_flight.remove(at)
    }

    /// Takes what waits for an append that takes too long.
    pub(super) fn time_out(&mut self, id: AppendId) -> Vec<Waiter> {
        let Some(at) = self.position(id) else {
            return Vec::new();
        };
        let append = &mut self.in_flight[at];
        append.timed_out = true;
        std::mem::take(&mut append.waiters)
    }

    /// Adds a waiter, or hands it back: an append that took too long answers nobody.
    pub(super) fn attach(&mut self, id: AppendId, waiter: Waiter) -> Result<(), Waiter> {
        let at = self.position(id);
        match at.and_then(|at| self.in_flight.get_mut(at)) {
            Some(append) if !append.timed_out => {
                append.waiters.push(waiter);
                Ok(())
            }
            Some(_) | None => Err(waiter),
        }
    }

    /// The log has not answered within the time that requests have.
    pub(super) fn is_stalled(&self) -> bool {
        self.in_flight
            .front()
            .is_some_and(|append| append.timed_out)
    }

    pub(super) fn newest(&self) -> Option<AppendId> {
        self.in_flight.back().map(|append| append.id)
    }

    /// Offsets that appends in flight set and do not take back, as (group, topic, partition).
    pub(super) fn offsets_being_written(&self) -> BTreeSet<(&str, &str, i32)> {
        let mut written = BTreeSet::new();
        for record in self.in_flight.iter().flat_map(|append| &append.records) {
            if let GroupRecord::Offset {
                group,
                topic,
                partition,
                value,
            } = record
            {
                let key = (&**group, topic.as_str(), *partition);
                match value {
                    Some(_) => written.insert(key),
                    None => written.remove(&key),
                };
            }
        }
        written
    }

    /// Ends all; what waited is handed back in order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Waiter> {
        let ended = std::mem::take(&mut self.in_flight);
        ended.into_iter().flat_map(|append| append.waiters)
    }

    fn position(&self, id: AppendId) -> Option<usize> {
        assert!(
            id.0 < self.next,
            "{id:?} was never proposed, next is {}",
            self.next
        );
        self.in_flight
            .binary_search_by_key(&id, |append| append.id)
            .ok()
    }
}
