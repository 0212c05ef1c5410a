//! The clocks of one machine (design, decision 21): none of them agrees with another machine's.
//!
//! `boot` runs through a suspension, `mono` does not. `wall` jumps: no core here is given it, and
//! the traces carry it so that a reader can see that.

use crate::random::Random;
use crate::scenario::{Micros, SECOND};
use std::time::Duration;

#[derive(Debug, Clone)]
pub(crate) struct Clocks {
    since_boot: Micros,
    /// Gained per second of the run.
    drift_ppm: u64,
    suspended: Micros,
    wall_offset: Micros,
}

impl Clocks {
    pub(crate) fn new(random: &mut Random) -> Self {
        Self {
            since_boot: random.between(0, 1_000 * SECOND),
            drift_ppm: random.between(0, 500),
            suspended: 0,
            wall_offset: random.between(0, 1_000_000 * SECOND),
        }
    }

    pub(crate) fn boot(&self, now: Micros) -> Duration {
        Duration::from_micros(self.since_boot + now + now / 1_000_000 * self.drift_ppm)
    }

    pub(crate) fn mono(&self, now: Micros) -> Duration {
        self.boot(now)
            .saturating_sub(Duration::from_micros(self.suspended))
    }

    pub(crate) fn wall(&self, now: Micros) -> Micros {
        self.wall_offset + now
    }

    pub(crate) fn suspended_for(&mut self, micros: Micros) {
        self.suspended += micros;
    }

    pub(crate) fn jump_wall(&mut self, random: &mut Random) {
        self.wall_offset = random.between(0, 1_000_000 * SECOND);
    }
}
