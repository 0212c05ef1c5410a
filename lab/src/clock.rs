//! The clock that every ledger of a drill is written by.
//!
//! It is the kernel's `CLOCK_BOOTTIME`: one clock for all processes of a machine, in every network
//! namespace, which never steps and goes on while the machine sleeps. Times are whole microseconds.

use std::fs;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Microseconds since the machine was started.
pub type Micros = u64;

/// Which clock the times of a ledger are of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    pub name: String,
    /// The kernel's id of this start of the machine; times of two different ones cannot be compared.
    pub boot: String,
    /// What the wall clock showed, in microseconds since 1970, when this clock was at zero: for
    /// readers, never for the verdict.
    pub wall_at_zero_us: u64,
}

impl Clock {
    pub fn read() -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        let wall = wall.map_or(0, micros);
        Ok(Self {
            name: "CLOCK_BOOTTIME".to_owned(),
            boot: boot.trim().to_owned(),
            wall_at_zero_us: wall.saturating_sub(now()),
        })
    }
}

/// The time.
pub fn now() -> Micros {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds * 1_000_000 + nanos / 1_000
}

/// How long it is until `time`; nothing when it has passed.
pub fn until(time: Micros) -> Duration {
    Duration::from_micros(time.saturating_sub(now()))
}

/// A length of time as the ledgers count it.
pub fn micros(time: Duration) -> Micros {
    u64::try_from(time.as_micros()).unwrap_or(Micros::MAX)
}
