//! Failures of one side in a row, and when to try again.

use super::Failure;

pub const RETRY_DELAY_MIN_MS: i64 = 100;
pub const RETRY_DELAY_MAX_MS: i64 = 10_000;

/// A missing right is given by a person, not in a second.
pub const NO_RIGHT_DELAY_MS: i64 = 30_000;

/// A new leader is found within a few tries; only after them a side is shown as away.
const QUIET_FAILURES: u32 = 3;

/// Invariant: no success is without a reset, so `failures` are in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waits {
    failures: u32,
    last: Option<Failure>,
    until_ms: Option<i64>,
}

impl Waits {
    pub(super) fn fail(&mut self, now_ms: i64, cause: Failure) {
        let doubled = RETRY_DELAY_MIN_MS << self.failures.min(10);
        self.begin(now_ms, cause, doubled.min(RETRY_DELAY_MAX_MS));
    }

    pub(super) fn no_right(&mut self, now_ms: i64, cause: Failure) {
        // Shown at once: it does not pass by itself.
        self.failures = self.failures.max(QUIET_FAILURES);
        self.begin(now_ms, cause, NO_RIGHT_DELAY_MS);
    }

    pub(super) fn succeed(&mut self) {
        *self = Self::default();
    }

    /// Why the side is away, once that is worth saying; until something succeeds.
    pub(super) fn away(&self) -> Option<Failure> {
        self.last.filter(|_| self.failures > QUIET_FAILURES)
    }

    fn begin(&mut self, now_ms: i64, cause: Failure, delay_ms: i64) {
        self.failures = self.failures.saturating_add(1);
        self.last = Some(cause);
        // Of several failures of one moment the last one decides.
        self.until_ms = Some(now_ms.saturating_add(delay_ms));
    }

    /// Until then nothing is asked of this side.
    pub(super) fn until_ms(&self) -> Option<i64> {
        self.until_ms
    }

    pub(super) fn tick(&mut self, now_ms: i64) {
        if self.until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            self.until_ms = None;
        }
    }
}
