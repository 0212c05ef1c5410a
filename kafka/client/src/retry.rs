//! What to do about a failure, and how long to wait before doing it again.
//!
//! Owns: the classes made from Kafka's table of error codes, and the back-off. Must not know: any
//! request. Randomness comes in as a function, so that the tests choose it.

use std::time::Duration;

use isthmus_wire::ErrorCode;

/// What a client does about an error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// No error.
    None,
    /// The same request to the same broker may succeed later.
    Retry,
    /// The leader or the controller may be elsewhere: fetch metadata, then try again.
    RefreshMetadata,
    /// The coordinator moved: find it, then try again.
    FindCoordinator,
    /// Trying again will not help.
    Fatal,
}

impl ErrorClass {
    /// The class of a code. Both flags come from the table of error codes; the table does not say
    /// which codes mean that the controller or the coordinator moved, so these stand here.
    pub fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::NONE => Self::None,
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => {
                Self::FindCoordinator
            }
            // BROKER_NOT_AVAILABLE is not retriable in the table because Kafka's clients never see
            // it; brokers of others send it while they start.
            ErrorCode::NOT_CONTROLLER | ErrorCode::BROKER_NOT_AVAILABLE => Self::RefreshMetadata,
            code if code.needs_metadata_refresh() => Self::RefreshMetadata,
            code if code.is_retriable() => Self::Retry,
            _ => Self::Fatal,
        }
    }

    /// Whether the request may be tried again.
    pub fn is_retriable(self) -> bool {
        match self {
            Self::Retry | Self::RefreshMetadata | Self::FindCoordinator => true,
            Self::None | Self::Fatal => false,
        }
    }
}

/// Randomness of the operating system.
///
/// # Panics
/// If the operating system has none to give: no nonce and no back-off can be made without it.
pub(crate) fn random_u32() -> u32 {
    getrandom::u32().expect("the operating system gives random bytes")
}

/// Exponential waits with jitter: each is between half and the whole of its step, and a step is
/// twice the one before, up to `max`.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
    random: fn() -> u32,
}

impl Backoff {
    pub fn new(min: Duration, max: Duration) -> Self {
        Self::with_random(min, max, random_u32)
    }

    pub(crate) fn with_random(min: Duration, max: Duration, random: fn() -> u32) -> Self {
        Self {
            min,
            max: max.max(min),
            failures: 0,
            random,
        }
    }

    /// How long to wait after one more failure.
    pub fn next_wait(&mut self) -> Duration {
        let step = self
            .min
            .saturating_mul(1_u32 << self.failures.min(20))
            .min(self.max);
        self.failures = self.failures.saturating_add(1);
        let share = f64::from((self.random)()) / f64::from(u32::MAX);
        step.mul_f64(0.5 + share / 2.0)
    }

    /// After a success the next wait is the shortest again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_classes_of_the_table() {
        let rows = [
            (ErrorCode::NONE, ErrorClass::None),
            (
                ErrorCode::NOT_LEADER_OR_FOLLOWER,
                ErrorClass::RefreshMetadata,
            ),
            (
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                ErrorClass::RefreshMetadata,
            ),
            (ErrorCode::UNKNOWN_TOPIC_ID, ErrorClass::RefreshMetadata),
            (ErrorCode::FENCED_LEADER_EPOCH, ErrorClass::RefreshMetadata),
            (ErrorCode::KAFKA_STORAGE_ERROR, ErrorClass::RefreshMetadata),
            (ErrorCode::NOT_CONTROLLER, ErrorClass::RefreshMetadata),
            (ErrorCode::NOT_COORDINATOR, ErrorClass::FindCoordinator),
            (
                ErrorCode::COORDINATOR_NOT_AVAILABLE,
                ErrorClass::FindCoordinator,
            ),
            (ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, ErrorClass::Retry),
            (ErrorCode::NOT_ENOUGH_REPLICAS, ErrorClass::Retry),
            (ErrorCode::UNKNOWN_LEADER_EPOCH, ErrorClass::Retry),
            (ErrorCode::THROTTLING_QUOTA_EXCEEDED, ErrorClass::Retry),
            (ErrorCode::MESSAGE_TOO_LARGE, ErrorClass::Fatal),
            (ErrorCode::TOPIC_AUTHORIZATION_FAILED, ErrorClass::Fatal),
            (ErrorCode::OFFSET_OUT_OF_RANGE, ErrorClass::Fatal),
            (ErrorCode::UNKNOWN_SERVER_ERROR, ErrorClass::Fatal),
            (ErrorCode(30_000), ErrorClass::Fatal),
        ];
        for (code, class) in rows {
            assert_eq!(ErrorClass::of(code), class, "{code}");
        }
    }

    #[test]
    fn every_code_that_the_table_calls_retriable_is_tried_again() {
        for code in (-1..=200).map(ErrorCode) {
            let class = ErrorClass::of(code);
            assert!(
                class.is_retriable() || !code.is_retriable(),
                "{code}: {class:?}"
            );
        }
    }

    #[test]
    fn waits_double_up_to_the_longest_and_jitter_takes_up_to_half() {
        let waits = |random: fn() -> u32| {
            let (min, max) = (Duration::from_millis(100), Duration::from_millis(1000));
            let mut backoff = Backoff::with_random(min, max, random);
            (0..6)
                .map(|_| backoff.next_wait().as_millis())
                .collect::<Vec<_>>()
        };
        assert_eq!(waits(|| u32::MAX), [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(waits(|| 0), [50, 100, 200, 400, 500, 500]);
    }

    #[test]
    fn a_success_starts_over_and_many_failures_do_not_overflow() {
        let wait = Duration::from_millis(7);
        let mut backoff = Backoff::with_random(wait, Duration::from_secs(1), || u32::MAX);
        for _ in 0..100 {
            backoff.next_wait();
        }
        assert_eq!(backoff.failures(), 100);
        assert_eq!(backoff.next_wait(), Duration::from_secs(1));
        backoff.reset();
        assert_eq!(backoff.next_wait(), wait);
    }
}
