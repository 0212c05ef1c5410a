//! A leader's end of a follower's session: what was said of which partitions, and what is owed.
//!
//! A follower says once how far a log of its reaches, and again when that has changed: what it does
//! not mention is as it was. So that it does not count as lagging meanwhile, its silence is taken
//! as the same word again now and then ([`REFRESH`]).
//!
//! Invariant: a partition that is followed marks itself in `ready` before its follower's word is
//! taken, so that nothing that comes in between is missed.

use super::messages;
use crate::clocks;
use crate::partitions::{Answered, Attached, PartitionKey, Partitions, Ready};
use isthmus_broker_core::metadata::MetadataImage;
use isthmus_broker_core::replica::{FetchRefused, ReplicaFetch};
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::replica_fetch_response::FetchedPartition;
use isthmus_wire::messages::{ReplicaFetchRequest, ReplicaFetchResponse};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often the silence of a follower that goes on asking is taken as its word: well within
/// `replica.lag.time.max.ms`, and rare enough for many partitions.
const REFRESH: Duration = Duration::from_millis(500);

/// Bytes of records in one answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) bytes: usize,
    pub(super) partition_bytes: usize,
}

pub(super) struct Session {
    replica_id: i32,
    /// Broker epoch of the follower, and the number it gave the session.
    identity: (i64, i64),
    ready: Arc<Ready>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Number of the next request.
    next_epoch: i32,
    followed: BTreeMap<PartitionKey, Followed>,
    /// To be told with the next answer.
    refused: BTreeMap<PartitionKey, FetchedPartition>,
    refreshed: Duration,
    last_served: Option<PartitionKey>,
    is_over: bool,
}

/// A partition, with what its follower last said of it.
struct Followed {
    attached: Attached,
    fetch: ReplicaFetch,
    answered: Answered,
}

impl Session {
    pub(super) fn new(replica_id: i32, identity: (i64, i64)) -> Self {
        Self {
            replica_id,
            identity,
            ready: Arc::default(),
            inner: Mutex::default(),
        }
    }

    pub(super) fn identity(&self) -> (i64, i64) {
        self.identity
    }

    /// The follower has begun another one.
    pub(super) fn end(&self) {
        let mut inner = self.inner.lock();
        *inner = Inner {
            is_over: true,
            ..Inner::default()
        };
        drop(inner);
        self.ready.wake();
    }

    pub(super) async fn changed(&self) {
        self.ready.changed().await;
    }

    /// Takes the follower's word.
    pub(super) fn take_up(
        &self,
        now: Duration,
        image: &MetadataImage,
        partitions: &Partitions,
        request: &ReplicaFetchRequest,
    ) -> Result<(), ErrorCode> {
        let mut inner = self.inner.lock();
        if inner.is_over {
            return Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        }
        if request.session_epoch != inner.next_epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        inner.next_epoch = inner.next_epoch.wrapping_add(1);
        for topic in &request.forgotten {
            for partition in &topic.partitions {
                inner.forget((topic.topic_id, *partition));
            }
        }
        for (key, fetch) in messages::mentions(request) {
            self.mention(&mut inner, (now, image), partitions, (key, fetch));
        }
        if now.saturating_sub(inner.refreshed) >= REFRESH {
            inner.refreshed = now;
            self.refresh(&mut inner, (now, image), messages::follows(request));
        }
        Ok(())
    }

    fn mention(
        &self,
        inner: &mut Inner,
        (now, image): (Duration, &MetadataImage),
        partitions: &Partitions,
        (key, fetch): (PartitionKey, ReplicaFetch),
    ) {
        let before = inner.followed.remove(&key);
        inner.refused.remove(&key);
        let Some(partition) = partitions.get(key.0, key.1) else {
            let unknown = FetchRefused::Error(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            return self.refuse(inner, key, &fetch, unknown);
        };
        // One that was deleted and made again under its old key would be another.
        let before = before.filter(|it| Arc::ptr_eq(it.attached.partition(), &partition));
        let followed = match before {
            Some(before) if before.order() > order(&fetch) => before,
            Some(before) if before.order() == order(&fetch) => Followed { fetch, ..before },
            before => Followed {
                attached: before.map_or_else(|| partition.attach(&self.ready), |it| it.attached),
                fetch,
                answered: Answered::AtOnce,
            },
        };
        match partition.replica_asks(now, image, &fetch) {
            Ok(is_owed) => {
                if is_owed || followed.answered == Answered::AtOnce {
                    self.ready.mark(key);
                }
                inner.followed.insert(key, followed);
            }
            // What it said later stands.
            Err(FetchRefused::SessionOver) => drop(inner.followed.insert(key, followed)),
            Err(refused) => self.refuse(inner, key, &fetch, refused),
        }
    }

    /// The same word again for all of which nothing new was said; it is followed still.
    fn refresh(
        &self,
        inner: &mut Inner,
        (now, image): (Duration, &MetadataImage),
        follows: Option<Duration>,
    ) {
        let refused: Vec<(PartitionKey, FetchRefused)> = (inner.followed.iter_mut())
            .filter_map(|(key, followed)| {
                followed.fetch.follows = followed.fetch.follows.max(follows);
                let partition = followed.attached.partition();
                let asked = partition.replica_asks(now, image, &followed.fetch);
                asked.err().map(|refused| (*key, refused))
            })
            .collect();
        for (key, refused) in refused {
            if let Some(followed) = inner.followed.remove(&key) {
                self.refuse(inner, key, &followed.fetch, refused);
            }
        }
    }

    fn refuse(
        &self,
        inner: &mut Inner,
        key: PartitionKey,
        fetch: &ReplicaFetch,
        refused: FetchRefused,
    ) {
        let answer = messages::answered(fetch, key.1, Err(refused));
        inner.refused.insert(key, answer);
        self.ready.wake();
    }

    /// Everything that is owed by now, as far as there is room.
    pub(super) fn collect(&self, limits: Limits) -> ReplicaFetchResponse {
        let mut inner = self.inner.lock();
        if inner.is_over {
            return ReplicaFetchResponse {
                error_code: ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
                ..ReplicaFetchResponse::default()
            };
        }
        let mut answers: Vec<_> = std::mem::take(&mut inner.refused).into_iter().collect();
        let mut room = limits.bytes;
        let mut keys = self.ready.take(inner.last_served).into_iter();
        while room > 0
            && let Some(key) = keys.next()
        {
            let max_bytes = room.min(limits.partition_bytes);
            if let Some(answer) = self.answer_one(&mut inner, key, max_bytes) {
                room = room.saturating_sub(answer.records.len());
                answers.push((key, answer));
                inner.last_served = Some(key);
            }
        }
        self.ready.put_back(keys);
        messages::response(clocks::boot(), answers)
    }

    fn answer_one(
        &self,
        inner: &mut Inner,
        key: PartitionKey,
        max_bytes: usize,
    ) -> Option<FetchedPartition> {
        let followed = inner.followed.get_mut(&key)?;
        let (partition, fetch) = (followed.attached.partition(), followed.fetch);
        let answered = std::mem::replace(&mut followed.answered, Answered::WhenOwed);
        let outcome =
            partition.replica_answer(self.replica_id, fetch.session, max_bytes, answered)?;
        if partition.owes(self.replica_id) {
            self.ready.put_back([key]);
        }
        if outcome.is_err() {
            // It will be followed again once its follower has asked anew.
            inner.forget(key);
        }
        Some(messages::answered(&fetch, key.1, outcome))
    }
}

impl Inner {
    fn forget(&mut self, key: PartitionKey) {
        self.followed.remove(&key);
        self.refused.remove(&key);
    }
}

impl Followed {
    fn order(&self) -> (i64, i32, u64) {
        order(&self.fetch)
    }
}

/// Grows with every start over.
fn order(fetch: &ReplicaFetch) -> (i64, i32, u64) {
    (fetch.broker_epoch, fetch.leader_epoch, fetch.session)
}
