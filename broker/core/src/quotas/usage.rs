//! What all clients used of one key, and what follows from it for the one that uses more.

use super::settings::HeldQuota;
use super::{Footprint, Meter, QuotaScope, QuotaWindow, TokenBucket, Tracked};
use std::net::IpAddr;

impl Footprint for QuotaScope {
    fn bytes(&self) -> usize {
        let names = [&self.user, &self.client_id];
        names.into_iter().flatten().map(String::len).sum()
    }
}

impl Footprint for IpAddr {
    fn bytes(&self) -> usize {
        0
    }
}

/// Use that is measured as a rate: bytes, or time of the request threads.
#[derive(Debug, Default)]
pub struct RateUsage {
    window: QuotaWindow,
    meters: Tracked<QuotaScope, Meter>,
}

impl RateUsage {
    pub fn new(window: QuotaWindow) -> Self {
        Self {
            window,
            meters: Tracked::default(),
        }
    }

    /// Adds to what was used; how long whoever used it has to wait.
    pub fn record(&mut self, held: &HeldQuota, amount: f64, now_ms: i64) -> i32 {
        let meter = self.meters.of(&held.scope, now_ms);
        meter.record(amount, self.window, now_ms);
        meter.throttle_ms(held.quota, self.window, now_ms)
    }

    /// What was recorded and then not given out.
    pub fn take_back(&mut self, held: &HeldQuota, amount: f64, now_ms: i64) {
        let meter = self.meters.of(&held.scope, now_ms);
        meter.record(-amount, self.window, now_ms);
    }

    /// More than this at once is over the quota whatever was used before.
    pub fn most_at_once(&self, held: &HeldQuota) -> f64 {
        held.quota * self.window.whole_seconds()
    }

    /// The longest that a wait of a bounded kind takes: one sample.
    pub fn sample_ms(&self) -> i32 {
        i32::try_from(self.window.length_ms()).unwrap_or(i32::MAX)
    }

    pub fn forget_inactive(&mut self, now_ms: i64) {
        self.meters.forget_inactive(now_ms);
    }

    /// How many are measured.
    pub fn tracked(&self) -> usize {
        self.meters.len()
    }
}

/// What happens to a client that has used up its changes (KIP-599).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcement {
    /// It is refused: its version of the request knows the error.
    Strict,
    /// Its change is made, and it has to wait after it.
    Permissive,
}

/// Changes of metadata.
#[derive(Debug, Default)]
pub struct MutationUsage {
    window: QuotaWindow,
    buckets: Tracked<QuotaScope, TokenBucket>,
}

impl MutationUsage {
    pub fn new(window: QuotaWindow) -> Self {
        Self {
            window,
            buckets: Tracked::default(),
        }
    }

    /// Takes what a change costs, and tells how long the client has to wait; in the error it is that
    /// of a client whose change is not to be made.
    pub fn take(
        &mut self,
        held: &HeldQuota,
        amount: f64,
        enforcement: Enforcement,
        now_ms: i64,
    ) -> Result<i32, i32> {
        let bucket = self.buckets.of(&held.scope, now_ms);
        let rule = (held.quota, self.window);
        match enforcement {
            Enforcement::Strict => bucket.take_if_clear(amount, rule, now_ms).map(|()| 0),
            Enforcement::Permissive => Ok(bucket.take(amount, rule, now_ms)),
        }
    }

    pub fn forget_inactive(&mut self, now_ms: i64) {
        self.buckets.forget_inactive(now_ms);
    }

    /// How many are measured.
    pub fn tracked(&self) -> usize {
        self.buckets.len()
    }
}

/// Connections by the address they come from (KIP-612).
#[derive(Debug, Default)]
pub struct AddressUsage {
    window: QuotaWindow,
    meters: Tracked<IpAddr, Meter>,
}

impl AddressUsage {
    pub fn new(window: QuotaWindow) -> Self {
        Self {
            window,
            meters: Tracked::default(),
        }
    }

    /// Counts one more connection; or does not, and says how long the address has to wait: a sample
    /// at most, as in Kafka.
    pub fn come(&mut self, address: IpAddr, quota: f64, now_ms: i64) -> Result<(), i32> {
        let meter = self.meters.of(&address, now_ms);
        meter.record(1.0, self.window, now_ms);
        let throttle_ms = meter.throttle_ms(quota, self.window, now_ms);
        if throttle_ms == 0 {
            return Ok(());
        }
        meter.record(-1.0, self.window, now_ms);
        let sample_ms = i32::try_from(self.window.length_ms()).unwrap_or(i32::MAX);
        Err(throttle_ms.min(sample_ms))
    }

    pub fn forget_inactive(&mut self, now_ms: i64) {
        self.meters.forget_inactive(now_ms);
    }
}
