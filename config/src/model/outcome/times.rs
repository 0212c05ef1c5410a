//! Lags, backlogs and buffers: how much, and for how long.

/// How far a mirror is behind when its link has carried less than was produced for a while. Rates
/// are in bytes per second.
pub fn mirror_lag_bytes(link: f64, produced: f64, seconds: f64) -> f64 {
    (produced - link).max(0.0) * seconds
}

/// Seconds until a backlog is gone, while as much as before is produced; none if the rate does not
/// even keep up.
pub fn catch_up_seconds(backlog_bytes: f64, rate: f64, produced: f64) -> Option<f64> {
    (rate > produced).then(|| backlog_bytes / (rate - produced))
}

/// Seconds of an outage that a producer bridges without loss: until its buffer is full, or its
/// oldest record is given up.
pub fn bridged_seconds(buffer_bytes: f64, rate: f64, timeout_seconds: f64) -> f64 {
    (buffer_bytes / rate).min(timeout_seconds)
}
