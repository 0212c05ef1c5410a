//! The time that retention may believe.
//!
//! A wall clock can jump: a wrong date after a restart of the machine, a bad time server. Were
//! records deleted by such a clock, they would be gone for good. So a jump of more than an hour
//! against the boot clock counts for retention only after it has stood for an hour
//! (design, decision 21).

use std::time::Duration;

const JUMP_MAX_MS: i64 = 3_600_000;
const CONFIRMATION: Duration = Duration::from_secs(3_600);

/// Fed with both clocks at every retention run.
#[derive(Debug, Clone)]
pub struct RetentionClock {
    /// Wall time minus boot time that is believed, in ms.
    believed_ms: i64,
    /// A different offset, and since when (boot clock) it is seen without a break.
    doubted: Option<(i64, Duration)>,
}

impl RetentionClock {
    pub fn new(boot: Duration, wall_ms: i64) -> Self {
        Self {
            believed_ms: offset_ms(boot, wall_ms),
            doubted: None,
        }
    }

    /// The wall time to judge ages by.
    pub fn now_ms(&mut self, boot: Duration, wall_ms: i64) -> i64 {
        let offset = offset_ms(boot, wall_ms);
        if close(offset, self.believed_ms) {
            self.believed_ms = offset;
            self.doubted = None;
        } else {
            self.doubt(offset, boot);
        }
        self.believed_ms.saturating_add(millis(boot))
    }

    /// Whether the wall clock stands more than an hour from what is believed.
    pub fn is_in_doubt(&self) -> bool {
        self.doubted.is_some()
    }

    fn doubt(&mut self, offset: i64, boot: Duration) {
        match self.doubted {
            Some((seen, since)) if close(seen, offset) => {
                if boot.saturating_sub(since) >= CONFIRMATION {
                    self.believed_ms = offset;
                    self.doubted = None;
                }
            }
            _ => self.doubted = Some((offset, boot)),
        }
    }
}

fn close(a: i64, b: i64) -> bool {
    a.abs_diff(b) <= JUMP_MAX_MS.unsigned_abs()
}

fn offset_ms(boot: Duration, wall_ms: i64) -> i64 {
    wall_ms.saturating_sub(millis(boot))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn at(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    #[test]
    fn a_jump_needs_an_hour_to_be_believed() {
        let start = 1_000 * HOUR_MS;
        let mut clock = RetentionClock::new(at(0), start);
        let year = 8_760 * HOUR_MS;
        assert_eq!(clock.now_ms(at(30), start + year), start + HOUR_MS / 2);
        assert!(clock.is_in_doubt());
        assert_eq!(clock.now_ms(at(80), start + year), start + 80 * 60_000);
        assert_eq!(
            clock.now_ms(at(91), start + year + HOUR_MS),
            start + year + HOUR_MS
        );
        assert!(!clock.is_in_doubt());
    }

    #[test]
    fn a_jump_that_is_taken_back_never_counts() {
        let start = 1_000 * HOUR_MS;
        let mut clock = RetentionClock::new(at(0), start);
        clock.now_ms(at(30), start + 99 * HOUR_MS);
        assert_eq!(clock.now_ms(at(60), start + HOUR_MS), start + HOUR_MS);
        clock.now_ms(at(70), start + 99 * HOUR_MS);
        assert_eq!(
            clock.now_ms(at(120), start + 99 * HOUR_MS),
            start + 2 * HOUR_MS
        );
    }

    #[test]
    fn slow_drift_is_followed() {
        let mut clock = RetentionClock::new(at(0), 0);
        for minute in 1..10_000 {
            let wall = i64::try_from(minute).unwrap() * 61_000;
            assert_eq!(clock.now_ms(at(minute), wall), wall);
        }
    }
}
