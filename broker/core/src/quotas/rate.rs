//! What a client used of a rate, and how long one that is over its quota has to wait.
//!
//! Kafka's `Rate`: the sum over the samples that were used within the window, by the time since the
//! oldest of them began. A client that was silent before counts as if it had been there for all
//! full samples, so that a first burst is spread over them and not over the moment it took. Over
//! the quota `q` it waits until the rate has sunk to it: `(rate − q) / q` times that span (KIP-13).

use super::window::{QuotaWindow, seconds, whole_ms};
use std::collections::VecDeque;

/// The use of one client.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    /// Oldest first. Bound: a sample lasts, so no more fit into the window than it has, and one.
    samples: VecDeque<Sample>,
}

#[derive(Debug, Clone)]
struct Sample {
    start_ms: i64,
    last_ms: i64,
    used: f64,
}

impl Meter {
    /// Adds to what was used; a negative amount takes back what was not given out after all.
    pub fn record(&mut self, amount: f64, window: QuotaWindow, now_ms: i64) {
        match self.samples.back_mut() {
            Some(sample) if now_ms - sample.start_ms < window.length_ms() => {
                sample.used += amount;
                sample.last_ms = now_ms;
            }
            Some(_) | None => self.samples.push_back(Sample {
                start_ms: now_ms,
                last_ms: now_ms,
                used: amount,
            }),
        }
        self.forget(window, now_ms);
    }

    /// How long the client has to wait to be within `quota` again.
    pub fn throttle_ms(&mut self, quota: f64, window: QuotaWindow, now_ms: i64) -> i32 {
        self.forget(window, now_ms);
        let span_ms = self.span_ms(window, now_ms);
        let used: f64 = self.samples.iter().map(|sample| sample.used).sum();
        let rate = used / seconds(span_ms);
        if rate <= quota {
            return 0;
        }
        whole_ms((rate - quota) / quota * span_ms as f64)
    }

    /// A sample counts as a whole until its last use has left the window.
    fn forget(&mut self, window: QuotaWindow, now_ms: i64) {
        let is_over = |sample: &Sample| now_ms - sample.last_ms >= window.reach_ms();
        while self.samples.front().is_some_and(is_over) {
            self.samples.pop_front();
        }
    }

    /// The time since the oldest sample began, at least as long as all full samples; never nothing.
    fn span_ms(&self, window: QuotaWindow, now_ms: i64) -> i64 {
        let oldest = self.samples.front();
        let elapsed = oldest.map_or(0, |sample| now_ms - sample.start_ms);
        let missing = (window.full_samples() - elapsed / window.length_ms()).max(0);
        (elapsed + missing * window.length_ms()).max(1)
    }
}
