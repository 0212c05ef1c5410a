//! What a broker's keys are worth: four layers over one another, and which of them spoke.
//!
//! From the top: the broker's own dynamic values, those for all brokers, what its file, environment
//! and flags said, Kafka's default (KIP-226). Topics take their defaults from here.
//! Invariant: a dynamic value that no longer fits its key (an older level allowed it) counts as not
//! set, so that a record can never keep a broker down.

use super::broker::{broker_key, broker_synonyms, listener_key};
use super::topic::TOPIC_KEYS;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names and values of one layer.
pub type ConfigValues = BTreeMap<String, String>;

/// Where a value comes from; the numbers are those of DescribeConfigs (KIP-226).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    DynamicTopic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
}

/// A value that stands behind another, or is the effective one itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSynonym {
    pub name: String,
    /// Absent when it must not be shown.
    pub value: Option<String>,
    pub source: ConfigSource,
}

/// The layers of one broker at one time.
#[derive(Debug, Clone, Default)]
pub struct BrokerLayers {
    broker: ConfigValues,
    cluster: ConfigValues,
    fixed: Arc<ConfigValues>,
    /// The values topics take, by the broker's key; only those that some layer gives.
    topic_defaults: BTreeMap<&'static str, String>,
}

impl BrokerLayers {
    /// `broker` and `cluster` are the dynamic values, `fixed` what the broker was started with.
    pub fn new(
        broker: Option<&ConfigValues>,
        cluster: Option<&ConfigValues>,
        fixed: Arc<ConfigValues>,
    ) -> Self {
        let mut layers = Self {
            broker: broker.map(fitting).unwrap_or_default(),
            cluster: cluster.map(fitting).unwrap_or_default(),
            fixed,
            topic_defaults: BTreeMap::new(),
        };
        let synonyms = TOPIC_KEYS.iter().filter_map(|key| key.synonym);
        layers.topic_defaults = synonyms
            .filter_map(|name| Some((name, layers.through_units(name)?)))
            .collect();
        layers
    }

    /// The effective value, the default included; `None` for a key without any.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.given(name).or_else(|| broker_key(name)?.default)
    }

    /// What topics take for the broker's key `name`, if some layer gives it.
    pub fn topic_default(&self, name: &str) -> Option<String> {
        self.topic_defaults.get(name).cloned()
    }

    /// All names that some dynamic layer gives.
    pub fn dynamic_names(&self) -> impl Iterator<Item = &str> {
        let cluster = self.cluster.keys();
        let only_there = cluster.filter(|name| !self.broker.contains_key(*name));
        self.broker.keys().chain(only_there).map(String::as_str)
    }

    /// Names that are given and are none of Kafka's own keys: listeners' and plugins'.
    pub fn added_names(&self) -> impl Iterator<Item = &str> {
        let is_dynamic =
            |name: &str| self.broker.contains_key(name) || self.cluster.contains_key(name);
        let fixed = self.fixed.keys().map(String::as_str);
        let fixed = fixed.filter(move |name| !is_dynamic(name));
        let all = self.dynamic_names().chain(fixed);
        all.filter(|name| broker_key(name).is_none())
    }

    /// The values of a key and of those it stands in for, the effective one first, in Kafka's order
    /// and with Kafka's rule: what comes before the first value of the key itself is left out.
    pub fn synonyms(&self, name: &str) -> Vec<ConfigSynonym> {
        let names = synonym_names(name);
        let layers = [
            (&self.broker, ConfigSource::DynamicBroker),
            (&self.cluster, ConfigSource::DynamicDefaultBroker),
            (&*self.fixed, ConfigSource::StaticBroker),
        ];
        let mut found = Vec::new();
        for (layer, source) in layers {
            let given = names
                .iter()
                .filter_map(|name| Some((*name, layer.get(*name)?)));
            found.extend(given.map(|(name, value)| synonym(name, value, source)));
        }
        let defaults = names
            .iter()
            .filter_map(|name| Some((*name, broker_key(name)?.default?)));
        found.extend(defaults.map(|(name, value)| synonym(name, value, ConfigSource::Default)));
        found
            .into_iter()
            .skip_while(|found| found.name != name)
            .collect()
    }

    fn given(&self, name: &str) -> Option<&str> {
        let layers = [&self.broker, &self.cluster, &*self.fixed];
        layers
            .into_iter()
            .find_map(|layer| layer.get(name))
            .map(String::as_str)
    }

    /// The value of a key, or of the coarser ones that stand in for it, in milliseconds then.
    fn through_units(&self, name: &'static str) -> Option<String> {
        broker_synonyms(name).into_iter().find_map(|name| {
            let value = self.given(name)?;
            match millis_per_unit(name) {
                1 => Some(value.to_owned()),
                unit => in_millis(value, unit),
            }
        })
    }
}

/// The values that still fit their keys. A key that is not known fits: it may be a plugin's.
fn fitting(values: &ConfigValues) -> ConfigValues {
    let fits = |name: &str, value: &str| {
        let key = broker_key(name).or_else(|| listener_key(name));
        key.is_none_or(|key| key.check(value).is_ok())
    };
    let fitting = values.iter().filter(|(name, value)| fits(name, value));
    fitting
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// A listener's key falls back to the key without the prefix.
fn synonym_names(name: &str) -> Vec<&str> {
    match (broker_key(name), listener_key(name)) {
        (Some(key), _) => broker_synonyms(key.name),
        (None, Some(key)) => vec![name, key.name],
        (None, None) => vec![name],
    }
}

fn synonym(name: &str, value: &str, source: ConfigSource) -> ConfigSynonym {
    let key = broker_key(name).or_else(|| listener_key(name));
    ConfigSynonym {
        name: name.to_owned(),
        value: key
            .filter(|key| !key.is_sensitive())
            .map(|key| key.kind.shown(value)),
        source,
    }
}

fn millis_per_unit(name: &str) -> i64 {
    const MINUTE_MS: i64 = 60_000;
    if name.ends_with(".hours") {
        60 * MINUTE_MS
    } else if name.ends_with(".minutes") {
        MINUTE_MS
    } else {
        1
    }
}

/// Negative numbers mean "no bound" in every unit.
fn in_millis(value: &str, unit_ms: i64) -> Option<String> {
    let number: i64 = value.trim().parse().ok()?;
    let millis = if number < 0 {
        number
    } else {
        number.saturating_mul(unit_ms)
    };
    Some(millis.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> ConfigValues {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        };
        text.split_whitespace().map(pair).collect()
    }

    fn layers(broker: &str, cluster: &str, fixed: &str) -> BrokerLayers {
        let (broker, cluster) = (values(broker), values(cluster));
        BrokerLayers::new(Some(&broker), Some(&cluster), Arc::new(values(fixed)))
    }

    fn show(layers: &BrokerLayers, name: &str) -> String {
        let shown = layers.synonyms(name).into_iter().map(|synonym| {
            let value = synonym.value.as_deref().unwrap_or("null");
            format!("{}={value}@{}", synonym.name, synonym.source as i8)
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    /// What Apache Kafka 4.2 answers for the same settings.
    #[test]
    fn synonyms_come_in_kafkas_order() {
        let set = layers(
            "log.retention.ms=5000 own=1",
            "log.retention.ms=6000 max.connections=5",
            "log.retention.hours=100 broker.id=1 ssl.key.password=x",
        );
        for (name, expected) in [
            (
                "log.retention.ms",
                "log.retention.ms=5000@2 log.retention.ms=6000@3 log.retention.hours=100@4 \
                 log.retention.hours=168@5",
            ),
            (
                "log.retention.hours",
                "log.retention.hours=100@4 log.retention.hours=168@5",
            ),
            ("log.retention.minutes", ""),
            ("broker.id", "broker.id=1@4 broker.id=-1@5"),
            ("log.roll.ms", ""),
            ("own", "own=null@2"),
            ("ssl.key.password", "ssl.key.password=null@4"),
            ("alter.config.policy.class.name", ""),
            (
                "max.connections",
                "max.connections=5@3 max.connections=2147483647@5",
            ),
        ] {
            assert_eq!(show(&set, name), expected, "{name}");
        }
        let listener = layers("listener.name.a.max.connections=7", "", "");
        assert_eq!(
            show(&listener, "listener.name.a.max.connections"),
            "listener.name.a.max.connections=7@2 max.connections=2147483647@5"
        );
    }

    #[test]
    fn topics_take_the_finest_unit_of_the_highest_layer() {
        let default = |layers: &BrokerLayers, name: &str| layers.topic_default(name);
        let hours = layers(
            "",
            "",
            "log.retention.hours=2 log.flush.scheduler.interval.ms=9",
        );
        assert_eq!(
            default(&hours, "log.retention.ms").as_deref(),
            Some("7200000")
        );
        assert_eq!(
            default(&hours, "log.flush.interval.ms").as_deref(),
            Some("9")
        );
        assert_eq!(default(&hours, "log.segment.bytes"), None);
        let dynamic = layers("", "log.retention.ms=5", "log.retention.hours=2");
        assert_eq!(default(&dynamic, "log.retention.ms").as_deref(), Some("5"));
        let forever = layers("", "", "log.retention.minutes=-1 log.retention.hours=2");
        assert_eq!(default(&forever, "log.retention.ms").as_deref(), Some("-1"));
    }

    #[test]
    fn what_does_not_fit_counts_as_not_set() {
        let broken = layers("message.max.bytes=many", "message.max.bytes=7", "");
        assert_eq!(broken.value("message.max.bytes"), Some("7"));
        assert_eq!(
            layers("", "", "").value("message.max.bytes"),
            Some("1048588")
        );
        assert_eq!(layers("", "", "").value("log.retention.ms"), None);
        assert_eq!(layers("", "", "").value("no.such.key"), None);
    }
}
