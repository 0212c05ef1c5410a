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
