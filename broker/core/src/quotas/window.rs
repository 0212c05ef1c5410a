//! The time over which use is measured: `quota.window.num` samples of `quota.window.size.seconds`.

/// So many samples, and how long each of them is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaWindow {
    samples: i64,
    length_ms: i64,
}

impl Default for QuotaWindow {
    /// Kafka's: eleven samples of a second.
    fn default() -> Self {
        Self::new(11, 1)
    }
}

impl QuotaWindow {
    /// At least one sample of at least a second.
    pub fn new(samples: u32, seconds: u32) -> Self {
        Self {
            samples: i64::from(samples.max(1)),
            length_ms: i64::from(seconds.max(1)) * 1_000,
        }
    }

    /// Length of one sample.
    pub fn length_ms(self) -> i64 {
        self.length_ms
    }

    /// How long a sample counts after its last use.
    pub fn reach_ms(self) -> i64 {
        self.samples * self.length_ms
    }

    /// The samples but for the one that is being filled: over as long a first burst is spread.
    pub fn full_samples(self) -> i64 {
        self.samples - 1
    }

    /// What a quota lets through at once, in seconds' worth of it (KIP-599).
    pub fn burst_seconds(self) -> f64 {
        seconds(self.reach_ms())
    }

    /// More than this many seconds' worth of a quota is always too much at once.
    pub fn whole_seconds(self) -> f64 {
        seconds(self.full_samples() * self.length_ms)
    }
}

/// A span as the rates count it.
pub(super) fn seconds(span_ms: i64) -> f64 {
    span_ms as f64 / 1_000.0
}

/// A span of time out of a calculation: rounded as Kafka does, and what no answer can tell is cut.
pub(super) fn whole_ms(span_ms: f64) -> i32 {
    // A number that is too large, or none, becomes the nearest that there is, or 0.
    (span_ms + 0.5).floor().max(0.0) as i32
}
