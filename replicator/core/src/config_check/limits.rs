//! Limits of a topic on both sides, as they would be once the flow runs.

use std::collections::BTreeMap;

use super::LimitPair;
use crate::topics::{ConfigEntry, Step, TopicPlan};

/// What bounds a record or its life, and the key by which a broker gives the default.
const LIMITS: [(&str, &str); 3] = [
    ("max.message.bytes", "message.max.bytes"),
    ("retention.ms", "log.retention.ms"),
    ("retention.bytes", "log.retention.bytes"),
];

/// Keys of a broker that [`limit_pairs`] looks at.
pub fn broker_keys() -> impl Iterator<Item = &'static str> {
    LIMITS.iter().map(|(_, broker)| *broker)
}

/// Those that both sides tell. A topic that is not there gets what the plan creates it with, and
/// otherwise what the target's brokers give; `target` is the topic that is there.
pub fn limit_pairs(
    source: &[ConfigEntry],
    target: Option<&[ConfigEntry]>,
    plan: &TopicPlan,
    broker: &BTreeMap<String, String>,
) -> Vec<LimitPair> {
    let pair = |(key, of_broker): &(&str, &str)| {
        let there = match target {
            Some(entries) => value(entries, key),
            None => broker.get(*of_broker).map(String::as_str),
        };
        let target = planned(plan, key).or(there)?;
        Some(LimitPair {
            key: (*key).to_owned(),
            source: number(value(source, key)?)?,
            target: number(target)?,
        })
    };
    LIMITS.iter().filter_map(pair).collect()
}

/// What a step of the plan will set.
fn planned<'a>(plan: &'a TopicPlan, key: &str) -> Option<&'a str> {
    let set = plan.steps.iter().find_map(|step| match step {
        Step::CreateTopic { configs, .. } => configs.get(key),
        Step::AlterConfigs { set, .. } => set.get(key),
        Step::CreatePartitions { .. } => None,
    });
    set.map(String::as_str)
}

fn value<'a>(entries: &'a [ConfigEntry], key: &str) -> Option<&'a str> {
    entries.iter().find(|it| it.name == key)?.value.as_deref()
}

/// A negative number is no limit; what is no number is not compared.
#[expect(
    clippy::option_option,
    reason = "no number, no limit, and a limit are three things"
)]
fn number(text: &str) -> Option<Option<i64>> {
    let number: i64 = text.trim().parse().ok()?;
    Some((number >= 0).then_some(number))
}
