//! The size of what lies ahead: topics, partitions, bytes, hours.

use super::FlowFacts;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowSummary {
    pub topics: usize,
    pub partitions: i64,
    /// To copy, as far as the source tells.
    pub bytes: u64,
    /// Of all replicas at the target.
    pub target_bytes: u64,
    pub topics_without_size: usize,
    /// At the configured rate; `None` without one.
    pub seconds: Option<u64>,
}

/// What of a partition's bytes is not copied yet, when the first offset not copied is `next`: records
/// are taken to be equally large.
pub fn bytes_left(bytes: u64, log_start: i64, log_end: i64, next: Option<i64>) -> u64 {
    let all = u64::try_from(log_end - log_start).unwrap_or(0);
    let left = u64::try_from(log_end - next.unwrap_or(log_start).max(log_start)).unwrap_or(0);
    let share = u128::from(bytes) * u128::from(left.min(all));
    // A log that holds no record may yet hold bytes, of which none is to be copied.
    let part = share.checked_div(u128::from(all)).unwrap_or(0);
    u64::try_from(part).unwrap_or(bytes)
}

pub fn summary(facts: &FlowFacts) -> FlowSummary {
    let mut summary = FlowSummary {
        topics: facts.topics.len(),
        ..FlowSummary::default()
    };
    for topic in &facts.topics {
        summary.partitions += i64::from(topic.partitions);
        let replicas = u64::try_from(topic.target_replicas).unwrap_or(1).max(1);
        match topic.bytes {
            Some(bytes) => {
                summary.bytes = summary.bytes.saturating_add(bytes);
                let at_target = bytes.saturating_mul(replicas);
                summary.target_bytes = summary.target_bytes.saturating_add(at_target);
            }
            None => summary.topics_without_size += 1,
        }
    }
    let rate = facts.bytes_per_second_max.filter(|rate| *rate > 0);
    summary.seconds = rate.map(|rate| summary.bytes.div_ceil(rate));
    summary
}
