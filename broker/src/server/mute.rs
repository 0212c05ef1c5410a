//! A connection that is over its quota: its answer goes out first, then nothing more is read from it
//! for a while (KIP-219), so that the client that does not heed the throttle time waits all the same.
//!
//! Bound: [`MUTE_MAX`], whatever a quota asks for.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Longest silence for one answer: Kafka's is a whole quota window, of 11 seconds by default.
const MUTE_MAX: Duration = Duration::from_secs(60);

/// Until when a connection is mute; the reading and the writing side hold one each.
#[derive(Clone, Default)]
pub(super) struct Mute(Arc<Mutex<Option<Instant>>>);

impl Mute {
    /// From now on, for that long; a longer one that has begun goes on.
    pub(super) fn begin(&self, throttle: Duration) {
        if throttle.is_zero() {
            return;
        }
        let until = Instant::now() + throttle.min(MUTE_MAX);
        let mut begun = self.0.lock();
        *begun = (*begun).max(Some(until));
    }

    /// Until nothing more has to be waited for.
    pub(super) async fn over(&self) {
        loop {
            let until = *self.0.lock();
            match until {
                Some(until) if until > Instant::now() => tokio::time::sleep_until(until).await,
                Some(_) | None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_mute_connection_waits_and_no_longer_than_the_bound() {
        let reader = Mute::default();
        let writer = reader.clone();
        let start = Instant::now();
        reader.over().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        writer.begin(Duration::from_secs(3));
        writer.begin(Duration::from_secs(2));
        reader.over().await;
        let waited = start.elapsed();
        assert!((3..4).contains(&waited.as_secs()), "{waited:?}");
        writer.begin(Duration::from_secs(3600));
        reader.over().await;
        assert_eq!((start.elapsed() - waited).as_secs(), MUTE_MAX.as_secs());
    }
}
