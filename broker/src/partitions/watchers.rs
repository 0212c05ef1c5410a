//! Requests that wait for a partition to move.
//!
//! A waiting request registers its `Notify` with every partition it looks at, and looks again when
//! woken. It is taken off the list when its watch is dropped, so the list is never longer than
//! the requests that wait.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;

#[derive(Default)]
pub(super) struct Watchers {
    list: Mutex<List>,
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
