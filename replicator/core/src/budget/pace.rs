//! `max_bytes_per_second` and `catch_up_bytes_per_second` of a flow, and the throttle times that
//! brokers ask for.
//!
//! A bucket that may go into debt: how much a fetch brings is known only afterwards, so it starts
//! while there is credit and is charged when it ended. Over time the rate holds exactly.

/// Lag above which the catch-up rate holds.
pub const CATCH_UP_LAG_MS: i64 = 5 * 60_000;

/// Credit that an idle flow saves up.
const BURST_MS: i64 = 1_000;

/// The flow's two limits; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaceRule {
    pub bytes_per_second_max: Option<u64>,
    /// While the lag is above [`CATCH_UP_LAG_MS`]; `None`: the ordinary limit holds then too.
    pub catch_up_bytes_per_second: Option<u64>,
}

impl PaceRule {
    pub fn rate(self, rpo_ms: i64) -> Option<u64> {
        match self.catch_up_bytes_per_second {
            Some(catch_up) if rpo_ms > CATCH_UP_LAG_MS => Some(catch_up),
            Some(_) | None => self.bytes_per_second_max,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Pace {
    rate: Option<u64>,
    /// In thousandths of a byte, so that no millisecond is lost to rounding; negative is debt.
    balance: i128,
    at_ms: i64,
    /// A broker asked us to wait until then (KIP-219).
    throttled_until_ms: i64,
}

impl Pace {
    pub fn new(now_ms: i64, rate: Option<u64>) -> Self {
        let mut pace = Self {
            rate,
            balance: 0,
            at_ms: now_ms,
            throttled_until_ms: i64::MIN,
        };
        pace.balance = pace.burst();
        pace
    }

    /// The limit changed: by the lag, by an operator, by a new file. Debt stays debt.
    pub fn set_rate(&mut self, now_ms: i64, rate: Option<u64>) {
        self.earn(now_ms);
        self.rate = rate;
        self.balance = self.balance.min(self.burst());
    }

    /// A broker answered with a throttle time.
    pub fn throttled(&mut self, now_ms: i64, throttle_ms: i64) {
        let until = now_ms.saturating_add(throttle_ms.max(0));
        self.throttled_until_ms = self.throttled_until_ms.max(until);
    }

    /// Whether a fetch may start; if not, when to ask again.
    pub fn may_start(&mut self, now_ms: i64) -> Result<(), i64> {
        self.earn(now_ms);
        if now_ms < self.throttled_until_ms {
            return Err(self.throttled_until_ms);
        }
        let Some(rate) = self.rate else { return Ok(()) };
        if self.balance > 0 {
            return Ok(());
        }
        // A rate of 0 stands still, and is asked again each second in case it changes.
        let missing = 1 - self.balance;
        let wait = match i128::from(rate) {
            0 => i128::from(BURST_MS),
            rate => (missing + rate - 1) / rate,
        };
        Err(now_ms.saturating_add(i64::try_from(wait).unwrap_or(i64::MAX)))
    }

    /// A fetch brought this much.
    pub fn charge(&mut self, now_ms: i64, bytes: u64) {
        self.earn(now_ms);
        if self.rate.is_some() {
            self.balance -= i128::from(bytes) * 1_000;
        }
    }

    fn earn(&mut self, now_ms: i64) {
        let elapsed = i128::from(now_ms.saturating_sub(self.at_ms).max(0));
        self.at_ms = self.at_ms.max(now_ms);
        let earned = i128::from(self.rate.unwrap_or(0)) * elapsed;
        self.balance = (self.balance + earned).min(self.burst());
    }

    fn burst(&self) -> i128 {
        i128::from(self.rate.unwrap_or(0)) * i128::from(BURST_MS)
    }
}
