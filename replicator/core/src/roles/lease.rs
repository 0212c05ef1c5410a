//! How long a look at the roles holds. Times are those of a clock that goes on while the machine
//! sleeps: a lease must not be longer for having been slept through.

/// Between two looks. A save that finds nobody else's records in front of it is one, too.
pub const RECHECK_MS: i64 = 500;

/// From the beginning of a look: four of them may fail before writing stops.
pub const LEASE_MS: i64 = 2_000;

/// How long whoever changes a role waits until no daemon writes by the old one: the longest lease,
/// and a margin for what is on its way.
pub const SETTLE_MS: i64 = LEASE_MS + 1_000;

const _: () = assert!(RECHECK_MS < LEASE_MS && LEASE_MS < SETTLE_MS);

/// A look that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    began_ms: i64,
    doubts: u64,
}

/// What is known of one target's roles holds until then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoleLease {
    /// When the newest look began that came to its end.
    confirmed_ms: Option<i64>,
    doubts: u64,
}

impl RoleLease {
    pub fn begin(&self, now_ms: i64) -> Look {
        Look {
            began_ms: now_ms,
            doubts: self.doubts,
        }
    }

    /// The look read all that there was. One that began before a doubt says nothing.
    pub fn confirm(&mut self, look: Look) {
        if look.doubts == self.doubts {
            self.confirmed_ms = self.confirmed_ms.max(Some(look.began_ms));
        }
    }

    /// The way to the target broke: nobody knows what happened there meanwhile, so nothing is
    /// written before another look.
    pub fn doubt(&mut self) {
        self.doubts += 1;
        self.confirmed_ms = None;
    }

    pub fn holds(&self, now_ms: i64) -> bool {
        self.left_ms(now_ms) > 0
    }

    /// How much longer it holds.
    pub fn left_ms(&self, now_ms: i64) -> i64 {
        match self.confirmed_ms {
            // A clock that went back measures nothing.
            Some(began_ms) if began_ms <= now_ms => (began_ms + LEASE_MS - now_ms).max(0),
            Some(_) | None => 0,
        }
    }
}
