//! Requests that wait for a partition to move.
//!
//! A waiting request registers its `Notify` with every partition it looks at, and looks again when
//! woken. It is taken off the list when its watch is dropped, so the list is never longer than
//! the requests that wait. Followers wait differently: each has one set of the partitions that have
//! something for it ([`Ready`]), since it follows many and asks for all of them at once.

use super::PartitionKey;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::Notify;

#[derive(Default)]
pub(super) struct Watchers {
    list: Mutex<List>,
    followers: Mutex<BTreeMap<u64, Arc<Ready>>>,
    /// Of this broker's fetcher, where the replica follows.
    fetcher: Mutex<Option<Arc<Ready>>>,
}

/// Of one follower: the partitions that may have something for it. Never more than it follows.
#[derive(Default)]
pub(crate) struct Ready {
    keys: Mutex<BTreeSet<PartitionKey>>,
    notify: Notify,
}

impl Ready {
    pub(crate) fn mark(&self, key: PartitionKey) {
        self.keys.lock().insert(key);
        self.notify.notify_one();
    }

    /// What was marked since, in the order in which to serve it: behind `last` first.
    pub(crate) fn take(&self, last: Option<PartitionKey>) -> Vec<PartitionKey> {
        let mut keys = std::mem::take(&mut *self.keys.lock());
        let Some(last) = last else {
            return keys.into_iter().collect();
        };
        let behind = keys.split_off(&last);
        let is_last = |key: &&PartitionKey| **key == last;
        let next = behind.iter().filter(|key| !is_last(key));
        let end = behind.iter().filter(is_last);
        next.chain(&keys).chain(end).copied().collect()
    }

    /// There is more than went into an answer; the next one begins there.
    pub(crate) fn put_back(&self, keys: impl IntoIterator<Item = PartitionKey>) {
        self.keys.lock().extend(keys);
    }

    /// Something else is to be told.
    pub(crate) fn wake(&self) {
        self.notify.notify_one();
    }

    pub(crate) async fn changed(&self) {
        self.notify.notified().await;
    }
}

#[derive(Default)]
struct List {
    next: u64,
    waiting: BTreeMap<u64, Arc<Notify>>,
}

impl Watchers {
    pub(super) fn add(&self, notify: &Arc<Notify>) -> u64 {
        let mut list = self.list.lock();
        let ticket = list.next;
        list.next += 1;
        list.waiting.insert(ticket, Arc::clone(notify));
        ticket
    }

    pub(super) fn add_follower(&self, ready: &Arc<Ready>) -> u64 {
        let mut list = self.list.lock();
        let ticket = list.next;
        list.next += 1;
        drop(list);
        self.followers.lock().insert(ticket, Arc::clone(ready));
        ticket
    }

    pub(super) fn remove_follower(&self, ticket: u64) {
        self.followers.lock().remove(&ticket);
    }

    /// There may be something new for followers.
    pub(super) fn wake_followers(&self, key: PartitionKey) {
        self.followers.lock().values().for_each(|it| it.mark(key));
    }

    /// From now on this set is told when the replica may have something to say to its leader.
    pub(super) fn set_fetcher(&self, ready: &Arc<Ready>) {
        *self.fetcher.lock() = Some(Arc::clone(ready));
    }

    pub(super) fn wake_fetcher(&self, key: PartitionKey) {
        if let Some(ready) = &*self.fetcher.lock() {
            ready.mark(key);
        }
    }

    pub(super) fn remove(&self, ticket: u64) {
        self.list.lock().waiting.remove(&ticket);
    }

    /// Wakes all. Who is not waiting at this moment finds a permit when it does.
    pub(super) fn wake(&self) {
        self.list
            .lock()
            .waiting
            .values()
            .for_each(|notify| notify.notify_one());
    }
}
