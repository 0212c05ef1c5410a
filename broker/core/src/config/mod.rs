//! Configuration of topics and brokers: keys, defaults, what a value must be, and where the
//! effective value of a key comes from.
//!
//! Must not know: files, environment and flags. A broker hands in what it was told there.

mod broker;
mod key;
mod layers;
mod topic;

pub use broker::{
    BROKER_KEY_AREAS, BrokerKey, Effect, Update, broker_key, broker_keys, broker_synonyms,
    listener_key,
};
pub use key::{ConfigKey, ConfigType, ConfigValueError};
pub use layers::{BrokerLayers, ConfigSource, ConfigSynonym, ConfigValues};
pub use topic::{
    CleanupPolicy, CompressionType, FlushPolicy, MessageTimestampType, TOPIC_KEYS, TopicConfig,
    check_topic_configs, min_insync_replicas, topic_key,
};
