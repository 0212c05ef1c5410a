//! The three clocks of the daemon, and the only place that reads them.
//!
//! - *steady*: milliseconds since 1970 as the wall clock said at the start, and from then on as time
//!   passed. Waits, paces and retries are measured with it; it never jumps.
//! - *wall*: what the wall clock says. Samples of the source's end outlive the process, so they and
//!   what is compared with them go by it.
//! - *boot*: time since the machine was started, its sleep included. Leases are measured with it (design,
//!   decision 21): one that was slept through must not be longer for it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
    began_ms: i64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            began: Instant::now(),
            began_ms: wall_ms(),
        }
    }

    pub(crate) fn steady_ms(&self) -> i64 {
        self.began_ms.saturating_add(millis(self.began.elapsed()))
    }

    /// The moment at which the steady clock shows `at_ms`; now, if that has passed.
    pub(crate) fn instant(&self, at_ms: i64) -> tokio::time::Instant {
        let wait = u64::try_from(at_ms.saturating_sub(self.steady_ms())).unwrap_or(0);
        tokio::time::Instant::now() + Duration::from_millis(wait.min(WAIT_MAX_MS))
    }
}

/// A deadline further away than this is asked for again when it has passed.
const WAIT_MAX_MS: u64 = 60_000;

pub(crate) fn boot_ms() -> i64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec.saturating_mul(1_000) + now.tv_nsec / 1_000_000
}

pub(crate) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    millis(since.unwrap_or_default())
}

pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
