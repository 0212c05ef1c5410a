//! The three clocks (design, decision 21). The only place of the broker that reads time.
//!
//! - boot: goes on while the machine sleeps; leases and sessions are measured with it;
//! - mono: `tokio::time`, for time-outs of waits;
//! - wall: milliseconds since 1970, for timestamps and retention. It may jump.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time since the machine was started, sleep included.
pub(crate) fn boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// Milliseconds since 1970.
pub(crate) fn wall_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
