//! The keys of a broker's configuration (Kafka 4.2): every one, with type, default, whether it may
//! change while the broker runs, and what it does here. Ours are `log.flush.policy` and `rack.placement`.
//!
//! The tables are data, one file per area, in the order of the names. DescribeConfigs, the checks of
//! AlterConfigs, the settings' schema and docs/broker-keys.md are all made from them.
//! Must not know: where a broker's own values come from.

mod effect;
mod groups;
mod log;
mod network;
mod observe;
mod quorum;
mod replication;
mod security;

pub use effect::Effect;

use super::key::{ConfigType, ConfigValueError};

/// Whether and how a key may change while the broker runs (KIP-226).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// As `ReadOnly`, and never shown: Kafka keeps it for its own tests.
    Internal,
    ReadOnly,
    /// For one broker only.
    PerBroker,
    /// For one broker only, and there only for one listener, as `listener.name.NAME.KEY`.
    PerListener,
    /// For one broker, or for all that have no value of their own.
    ClusterWide,
}

/// A key of a broker's configuration.
#[derive(Debug, Clone, Copy)]
pub struct BrokerKey {
    pub name: &'static str,
    pub kind: ConfigType,
    pub default: Option<&'static str>,
    pub update: Update,
    pub effect: Effect,
    pub doc: &'static str,
}

impl BrokerKey {
    /// Whether `value` fits.
    pub fn check(&self, value: &str) -> Result<(), ConfigValueError> {
        self.kind.check(self.name, value)
    }

    pub fn is_sensitive(&self) -> bool {
        self.kind == ConfigType::Password
    }
}

macro_rules! keys {
    ($($name:literal, $kind:expr, $default:expr, $update:expr, $effect:expr, $doc:literal;)*) => {
        &[$(BrokerKey {
            name: $name,
            kind: $kind,
            default: $default,
            update: $update,
            effect: $effect,
            doc: $doc,
        }),*]
    };
}
use keys;

/// All keys, by area.
pub const BROKER_KEY_AREAS: [(&str, &[BrokerKey]); 7] = [
    ("Topics and logs", log::KEYS),
    ("Requests and connections", network::KEYS),
    ("Groups and transactions", groups::KEYS),
    ("Replication", replication::KEYS),
    ("Node and metadata quorum", quorum::KEYS),
    ("Security", security::KEYS),
    ("Metrics and remote storage", observe::KEYS),
];

/// All keys.
pub fn broker_keys() -> impl Iterator<Item = &'static BrokerKey> {
    BROKER_KEY_AREAS.iter().flat_map(|(_, keys)| *keys)
}

/// The key of that name.
pub fn broker_key(name: &str) -> Option<&'static BrokerKey> {
    BROKER_KEY_AREAS.iter().find_map(|(_, keys)| {
        let at = keys.binary_search_by_key(&name, |key| key.name).ok()?;
        Some(&keys[at])
    })
}

/// The broker key behind `listener.name.NAME.KEY`, where the mechanism of a SASL key may stand in
/// front of it: `listener.name.NAME.MECHANISM.sasl.jaas.config`.
pub fn listener_key(name: &str) -> Option<&'static BrokerKey> {
    let (_, rest) = name.strip_prefix("listener.name.")?.split_once('.')?;
    broker_key(rest).or_else(|| {
        let (_, key) = rest.split_once('.')?;
        broker_key(key).filter(|key| key.name.starts_with("sasl."))
    })
}

/// Keys that say the same in several units; the first that is set holds.
const FAMILIES: [&[&str]; 4] = [
    &[
        "log.retention.ms",
        "log.retention.minutes",
        "log.retention.hours",
    ],
    &["log.roll.ms", "log.roll.hours"],
    &["log.roll.jitter.ms", "log.roll.jitter.hours"],
    &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
];

/// The keys that can stand in for this one, itself among them, in Kafka's order.
pub fn broker_synonyms(name: &'static str) -> Vec<&'static str> {
    let family = FAMILIES.iter().find(|family| family.contains(&name));
    family.map_or_else(|| vec![name], |family| family.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_area_is_sorted_and_every_default_fits() {
        for (area, keys) in BROKER_KEY_AREAS {
            assert!(
                keys.windows(2).all(|pair| pair[0].name < pair[1].name),
                "{area}"
            );
            for key in keys {
                if let Some(default) = key.default {
                    assert_eq!(key.check(default), Ok(()), "{}", key.name);
                }
                assert!(key.doc.ends_with('.'), "{}", key.name);
            }
        }
    }

    #[test]
    fn listener_keys_are_found_behind_their_prefix() {
        let name = |name: &str| listener_key(name).map(|key| key.name);
        for (given, expected) in [
            ("listener.name.a.max.connections", Some("max.connections")),
            (
                "listener.name.a.plain.sasl.jaas.config",
                Some("sasl.jaas.config"),
            ),
            ("listener.name.a.b.max.connections", None),
            ("listener.name.max.connections", None),
            ("max.connections", None),
        ] {
            assert_eq!(name(given), expected, "{given}");
        }
    }
}
