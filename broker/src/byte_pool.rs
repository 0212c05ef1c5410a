//! One bound on the memory of all request frames of the process (design, decision 22).
//!
//! A connection takes the bytes of a frame out of the pool before it reads them, and waits when
//! the pool is empty: then the client's socket fills, which is the back-pressure. A frame gives
//! its bytes back when it is dropped; a parked produce request holds none.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Share of the machine's memory when the configuration gives no number.
const MEMORY_SHARE: u64 = 4;

/// Least capacity: one frame of the largest size must always fit.
pub(crate) const CAPACITY_MIN: usize = 128 << 20;

#[derive(Debug, Clone)]
pub(crate) struct BytePool {
    free: Arc<Semaphore>,
    capacity: usize,
}

/// Bytes taken out of the pool until this is dropped.
#[derive(Debug)]
pub(crate) struct PooledBytes {
    _permit: OwnedSemaphorePermit,
}

impl BytePool {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(CAPACITY_MIN, Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(capacity)),
            capacity,
        }
    }

    /// Waits, in the order of asking, until `bytes` are free. `None`: more than the pool holds.
    pub(crate) async fn take(&self, bytes: usize) -> Option<PooledBytes> {
        if bytes > self.capacity {
            return None;
        }
        let permits = u32::try_from(bytes).ok()?;
        let permit = Arc::clone(&self.free)
            .acquire_many_owned(permits)
            .await
            .ok()?;
        Some(PooledBytes { _permit: permit })
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn in_use(&self) -> usize {
        self.capacity - self.free.available_permits()
    }
}

/// A quarter of the memory this process may use: the machine's, or the control group's if less.
pub(crate) fn default_capacity() -> usize {
    let machine = rustix::system::sysinfo();
    let total = machine.totalram.saturating_mul(u64::from(machine.mem_unit));
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = group
        .and_then(|text| text.trim().parse::<u64>().ok())
        .unwrap_or(u64::MAX);
    usize::try_from(total.min(limit) / MEMORY_SHARE).unwrap_or(CAPACITY_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_come_back_and_too_many_are_refused() {
        let pool = BytePool::new(CAPACITY_MIN);
        let taken = pool.take(CAPACITY_MIN).await.unwrap();
        assert_eq!(pool.in_use(), CAPACITY_MIN);
        let mut waiting = std::pin::pin!(pool.take(1));
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(taken);
        assert!(waiting.await.is_some());
        assert!(pool.take(CAPACITY_MIN + 1).await.is_none());
    }
}
