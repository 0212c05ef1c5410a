//! How compacted logs are compacted: `log.cleaner.…`, which may change while the broker runs.

use std::str::FromStr;
use std::time::Duration;

/// What one cleaner's table has at least, whatever is set: a table for no key would never end.
const DEDUPE_BYTES_MIN: usize = 1 << 20;

/// A cleaner that looks more often than this does nothing else.
const BACKOFF_MIN: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CleanerSettings {
    /// `log.cleaner.threads`; 0 also where `log.cleaner.enable` is false: no log is compacted.
    pub(crate) threads: usize,
    /// `log.cleaner.dedupe.buffer.size`, one cleaner's part of it.
    pub(crate) dedupe_bytes: usize,
    /// `log.cleaner.io.buffer.load.factor`.
    pub(crate) load_factor: f64,
    /// `log.cleaner.io.max.bytes.per.second`, of all cleaners together.
    pub(crate) bytes_per_second: f64,
    /// `log.cleaner.backoff.ms`.
    pub(crate) backoff: Duration,
}

impl CleanerSettings {
    /// `value` gives the effective value of a broker key, which was checked when it was set.
    pub(super) fn of(value: &dyn Fn(&str) -> Option<String>) -> Self {
        let threads = if read(value, "log.cleaner.enable", true) {
            read(value, "log.cleaner.threads", 1)
        } else {
            0
        };
        let dedupe_bytes: usize = read(value, "log.cleaner.dedupe.buffer.size", 128 << 20);
        let factor: f64 = read(value, "log.cleaner.io.buffer.load.factor", 0.9);
        let rate: f64 = read(value, "log.cleaner.io.max.bytes.per.second", f64::MAX);
        let backoff_ms = read(value, "log.cleaner.backoff.ms", 15_000);
        Self {
            threads,
            dedupe_bytes: (dedupe_bytes / threads.max(1)).max(DEDUPE_BYTES_MIN),
            load_factor: factor.clamp(0.01, 1.0),
            bytes_per_second: rate.max(1.0),
            backoff: Duration::from_millis(backoff_ms).max(BACKOFF_MIN),
        }
    }
}

fn read<T: FromStr>(value: &dyn Fn(&str) -> Option<String>, key: &str, default: T) -> T {
    value(key)
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(set: &[(&str, &str)]) -> CleanerSettings {
        CleanerSettings::of(&|key| {
            let found = set.iter().find(|(name, _)| *name == key);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn threads_share_the_table_and_extremes_are_kept_in_bounds() {
        let usual = settings(&[]);
        assert_eq!((usual.threads, usual.dedupe_bytes), (1, 128 << 20));
        let two = settings(&[("log.cleaner.threads", "2")]);
        assert_eq!((two.threads, two.dedupe_bytes), (2, 64 << 20));
        let off = settings(&[
            ("log.cleaner.enable", "false"),
            ("log.cleaner.threads", "2"),
        ]);
        assert_eq!(off.threads, 0);
        let extreme = settings(&[
            ("log.cleaner.dedupe.buffer.size", "-1"),
            ("log.cleaner.io.buffer.load.factor", "0"),
            ("log.cleaner.io.max.bytes.per.second", "-5"),
            ("log.cleaner.backoff.ms", "0"),
        ]);
        assert_eq!((extreme.load_factor, extreme.bytes_per_second), (0.01, 1.0));
        assert_eq!(extreme.backoff, BACKOFF_MIN);
        assert!(extreme.dedupe_bytes >= DEDUPE_BYTES_MIN);
    }
}
