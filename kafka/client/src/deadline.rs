//! The moment until which something may take, handed down through every step of an operation.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// Longer waits than this are cut to it: an `Instant` cannot hold every `Duration`.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A moment, and how long it was away when it was set (for error messages).
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    after: Duration,
}

/// The deadline passed before the work was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not done within {after:?}")]
pub struct Elapsed {
    pub after: Duration,
}

impl Deadline {
    /// This long from now.
    pub fn after(after: Duration) -> Self {
        let after = after.min(LONGEST);
        Self {
            at: Instant::now() + after,
            after,
        }
    }

    /// The sooner of this one and `after` from now.
    pub fn or_after(self, after: Duration) -> Self {
        let other = Self::after(after);
        if other.at < self.at { other } else { self }
    }

    pub fn at(self) -> Instant {
        self.at
    }

    /// How long it was when it was set.
    pub fn length(self) -> Duration {
        self.after
    }

    pub fn remaining(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    pub fn has_passed(self) -> bool {
        self.at <= Instant::now()
    }

    pub fn elapsed(self) -> Elapsed {
        Elapsed { after: self.after }
    }

    /// Runs `work` until the deadline and drops it then.
    pub async fn run<F: Future>(self, work: F) -> Result<F::Output, Elapsed> {
        let bounded = tokio::time::timeout_at(self.at, work).await;
        bounded.map_err(|_| self.elapsed())
    }

    /// Sleeps for `wait`, unless that would reach the deadline.
    pub async fn sleep(self, wait: Duration) -> Result<(), Elapsed> {
        if wait >= self.remaining() {
            return Err(self.elapsed());
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }
}
