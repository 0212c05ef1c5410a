//! The three clocks (design, decision 21). The only place of the broker that reads time.
//!
//! - boot: goes on while the machine sleeps; leases and sessions are measured with it;
//! - mono: `tokio::time`, for time-outs of waits;
//! - wall: milliseconds since 1970, for timestamps and retention. It may jump.
//!
//! In the tests of this crate the other two go by mono, which a story holds and hurries.

pub(crate) use source::{boot, wall_ms};

#[cfg(not(test))]
mod source {
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
}

#[cfg(test)]
mod source {
    use std::sync::LazyLock;
    use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

    /// How long the machine had been up when the first test looked.
    const UP_BEFORE: Duration = Duration::from_secs(3_600);

    static FIRST_LOOK: LazyLock<(Instant, SystemTime)> =
        LazyLock::new(|| (Instant::now(), SystemTime::now()));

    fn since_first_look() -> Duration {
        let (first, _) = *FIRST_LOOK;
        let now = tokio::time::Instant::now().into_std();
        now.saturating_duration_since(first)
    }

    pub(crate) fn boot() -> Duration {
        UP_BEFORE + since_first_look()
    }

    pub(crate) fn wall_ms() -> i64 {
        let (_, first) = *FIRST_LOOK;
        let before = first.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from((before + since_first_look()).as_millis()).unwrap_or(i64::MAX)
    }
}
