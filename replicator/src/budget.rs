//! The byte budget of the process: a fetch waits here until it may have memory.
//!
//! The queue and its order are the core's ([`Credits`]); here are the waiting and the giving back.
//! One request of a fetch lane is one grant: the partitions of an answer share its frame, and the
//! frame stays in memory until the last of their batches is dropped. So a [`Hold`] stands for a whole
//! frame, is shared by its batches, and gives back when the last of them goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use isthmus_replicator_core::budget::{Credits, Grant};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Who asks: a fetch lane of the process, by its number.
pub(crate) type Asker = u64;

#[derive(Debug)]
pub(crate) struct Budget {
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    credits: Credits<Asker>,
    /// At most one per asker, as in the queue of the credits.
    waiting: BTreeMap<Asker, oneshot::Sender<u64>>,
}

/// What the status shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BudgetReading {
    pub(crate) total: u64,
    pub(crate) used: u64,
    pub(crate) overdrawn: u64,
}

impl Budget {
    /// For this many targets, numbered from 0.
    pub(crate) fn new(bytes: u64, targets: usize) -> Arc<Self> {
        let queue = Queue {
            credits: Credits::new(bytes, targets),
            waiting: BTreeMap::new(),
        };
        Arc::new(Self {
            queue: Mutex::new(queue),
        })
    }

    pub(crate) fn read(&self) -> BudgetReading {
        let queue = self.queue.lock();
        BudgetReading {
            total: queue.credits.total(),
            used: queue.credits.used(),
            overdrawn: queue.credits.overdrawn(),
        }
    }

    fn with(&self, change: impl FnOnce(&mut Credits<Asker>)) {
        let mut queue = self.queue.lock();
        change(&mut queue.credits);
        queue.pump();
    }
}

/// The budget as the flows to one target see it: part of it is theirs alone.
#[derive(Clone, Debug)]
pub(crate) struct TargetBudget {
    budget: Arc<Budget>,
    target: usize,
}

impl TargetBudget {
    pub(crate) fn new(budget: &Arc<Budget>, target: usize) -> Self {
        Self {
            budget: Arc::clone(budget),
            target,
        }
    }

    /// Waits for memory for one answer. `since_ms` is the time of the asker's oldest uncopied
    /// record: who is latest goes first.
    pub(crate) async fn acquire(&self, asker: Asker, since_ms: i64, bytes: u64) -> Hold {
        let budget = &self.budget;
        let (granted, grant) = oneshot::channel();
        let mut waiting = Waiting {
            budget,
            asker,
            grant,
            done: false,
        };
        {
            let mut queue = budget.queue.lock();
            queue.waiting.insert(asker, granted);
            queue.credits.ask(asker, self.target, since_ms, bytes);
            queue.pump();
        }
        let granted = (&mut waiting.grant).await;
        waiting.done = true;
        // The sender is dropped only when the same asker asks again, which it does not while it
        // waits; a hold of nothing would then do no harm.
        Hold {
            budget: Arc::clone(budget),
            asker,
            bytes: granted.unwrap_or(0),
        }
    }
}

impl Queue {
    fn pump(&mut self) {
        while let Some(Grant { partition, bytes }) = self.credits.grant() {
            let asker = self.waiting.remove(&partition);
            let refused = asker.is_none_or(|asker| asker.send(bytes).is_err());
            if refused {
                self.credits.give_back(&partition, bytes);
            }
        }
    }
}

/// Takes its place in the queue back when the wait is given up.
struct Waiting<'a> {
    budget: &'a Arc<Budget>,
    asker: Asker,
    grant: oneshot::Receiver<u64>,
    done: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.grant.close();
        let granted = self.grant.try_recv().unwrap_or(0);
        let asker = self.asker;
        let mut queue = self.budget.queue.lock();
        queue.waiting.remove(&asker);
        queue.credits.cancel(&asker);
        if granted > 0 {
            queue.credits.give_back(&asker, granted);
            queue.pump();
        }
    }
}

/// Bytes taken from the budget, given back on drop.
#[derive(Debug)]
pub(crate) struct Hold {
    budget: Arc<Budget>,
    asker: Asker,
    bytes: u64,
}

impl Hold {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The answer had this many bytes. A hold of nothing stays one: nobody knows it.
    pub(crate) fn settle(&mut self, actual: u64) {
        if self.bytes == 0 {
            return;
        }
        let grant = Grant {
            partition: self.asker,
            bytes: self.bytes,
        };
        self.bytes = actual;
        self.budget.with(|credits| credits.settle(&grant, actual));
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let (asker, bytes) = (self.asker, self.bytes);
        if bytes > 0 {
            self.budget.with(|credits| credits.give_back(&asker, bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[tokio::test]
    async fn a_fetch_waits_until_bytes_come_back() {
        let all = Budget::new(MIB, 1);
        let budget = TargetBudget::new(&all, 0);
        let mut first = budget.acquire(1, 0, MIB).await;
        // A quarter is the most that one may have.
        assert_eq!(first.bytes(), MIB / 4);
        // The first batch alone was larger.
        first.settle(MIB);
        let mut second = Box::pin(budget.acquire(2, 0, MIB));
        assert!(second.as_mut().now_or_never().is_none());
        let shared = Arc::new(first);
        let other = Arc::clone(&shared);
        drop(shared);
        assert!(second.as_mut().now_or_never().is_none());
        drop(other);
        assert_eq!(second.await.bytes(), MIB / 4);
        assert_eq!(all.read().used, 0);
    }

    #[tokio::test]
    async fn who_gives_up_waiting_is_passed_over() {
        let all = Budget::new(MIB, 1);
        let budget = TargetBudget::new(&all, 0);
        let mut taken = budget.acquire(1, 0, MIB).await;
        taken.settle(MIB);
        let mut gone = Box::pin(budget.acquire(2, 0, MIB));
        let mut stays = Box::pin(budget.acquire(3, 9, MIB));
        assert!(gone.as_mut().now_or_never().is_none());
        assert!(stays.as_mut().now_or_never().is_none());
        drop(gone);
        drop(taken);
        assert_eq!(stays.now_or_never().map(|hold| hold.bytes()), Some(MIB / 4));
    }
}
