//! How long a process, or a runtime in it, stood still: the longest stall of the last minute or two.
//!
//! Somebody looks at a clock at a steady pace, and whatever comes between two looks beyond that is a stall:
//! a virtual machine that was paused, a disk that all threads wait for, too few processors. A lease (rule
//! 20) is half a second shorter than a session because of such.

use std::time::Duration;

/// A stall is shown for as long as this at least, and twice as long at most.
const WINDOW: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
pub struct Stalls {
    /// Between two looks.
    pace: Duration,
    looked: Duration,
    window_began: Duration,
    longest: Duration,
    longest_before: Duration,
}

impl Stalls {
    pub fn new(now: Duration, pace: Duration) -> Self {
        Self {
            pace,
            looked: now,
            window_began: now,
            longest: Duration::ZERO,
            longest_before: Duration::ZERO,
        }
    }

    /// A look, which was meant to be one pace after the one before.
    pub fn look(&mut self, now: Duration) {
        let late = now.saturating_sub(self.looked).saturating_sub(self.pace);
        self.looked = now;
        let elapsed = now.saturating_sub(self.window_began);
        if elapsed >= WINDOW {
            let ended_just_now = elapsed < WINDOW * 2;
            self.longest_before = match ended_just_now {
                true => self.longest,
                false => Duration::ZERO,
            };
            self.longest = Duration::ZERO;
            self.window_began = now;
        }
        self.longest = self.longest.max(late);
    }

    pub fn longest(&self) -> Duration {
        self.longest.max(self.longest_before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Duration = Duration::from_millis(100);

    fn looks(stalls: &mut Stalls, from: Duration, seconds: u32) -> Duration {
        let mut now = from;
        for _ in 0..seconds * 10 {
            now += PACE;
            stalls.look(now);
        }
        now
    }

    #[test]
    fn a_stall_is_shown_for_a_window_at_least_and_then_forgotten() {
        let mut stalls = Stalls::new(Duration::ZERO, PACE);
        let now = looks(&mut stalls, Duration::ZERO, 50);
        assert_eq!(stalls.longest(), Duration::ZERO);
        let now = now + PACE + Duration::from_millis(700);
        stalls.look(now);
        assert_eq!(stalls.longest(), Duration::from_millis(700));
        let now = looks(&mut stalls, now, 60);
        assert_eq!(stalls.longest(), Duration::from_millis(700));
        looks(&mut stalls, now, 60);
        assert_eq!(stalls.longest(), Duration::ZERO);
    }

    #[test]
    fn the_longest_counts_also_where_it_is_longer_than_a_window() {
        let mut stalls = Stalls::new(Duration::ZERO, PACE);
        stalls.look(Duration::from_millis(300));
        let suspended = Duration::from_secs(3_600);
        stalls.look(suspended);
        assert_eq!(
            stalls.longest(),
            suspended - PACE - Duration::from_millis(300)
        );
        stalls.look(suspended + PACE * 4);
        assert_eq!(
            stalls.longest(),
            suspended - PACE - Duration::from_millis(300)
        );
    }
}
