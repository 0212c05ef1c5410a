//! What a client may still change in the metadata (KIP-599): tokens that come back at the rate of
//! its quota, up to a burst of the whole window.
//!
//! Whoever has none left waits until the debt is paid. A change may run into debt: how much one
//! request wants is not known before it is decided.

use super::window::{QuotaWindow, seconds, whole_ms};

/// The tokens of one client; full until the first use.
#[derive(Debug, Clone, Default)]
pub struct TokenBucket(Option<Level>);

#[derive(Debug, Clone, Copy)]
struct Level {
    tokens: f64,
    at_ms: i64,
}

impl TokenBucket {
    /// Takes `amount`, unless there is debt: then how long it takes to pay it.
    pub fn take_if_clear(
        &mut self,
        amount: f64,
        (quota, window): (f64, QuotaWindow),
        now_ms: i64,
    ) -> Result<(), i32> {
        let tokens = self.refill(quota, window, now_ms);
        if tokens < 0.0 {
            return Err(debt_ms(tokens, quota));
        }
        self.set(tokens - amount, now_ms);
        Ok(())
    }

    /// Takes `amount` in any case; how long it takes to pay the debt, if there is any then.
    pub fn take(&mut self, amount: f64, (quota, window): (f64, QuotaWindow), now_ms: i64) -> i32 {
        let tokens = self.refill(quota, window, now_ms) - amount;
        self.set(tokens, now_ms);
        debt_ms(tokens, quota)
    }

    fn refill(&mut self, quota: f64, window: QuotaWindow, now_ms: i64) -> f64 {
        let burst = quota * window.burst_seconds();
        let Some(Level { tokens, at_ms }) = self.0 else {
            return burst;
        };
        let since = seconds((now_ms - at_ms).max(0));
        (tokens + quota * since).min(burst)
    }

    fn set(&mut self, tokens: f64, now_ms: i64) {
        self.0 = Some(Level {
            tokens,
            at_ms: now_ms,
        });
    }
}

fn debt_ms(tokens: f64, quota: f64) -> i32 {
    whole_ms(-tokens / quota * 1_000.0)
}
