//! Configuration of topics: keys, defaults, what a value must be, and where the effective value
//! of a key comes from.
//!
//! Brokers read their own files elsewhere; here are only the keys that live in metadata.

mod key;
mod topic;

pub use key::{ConfigKey, ConfigType, ConfigValueError};
pub use topic::{
    CleanupPolicy, CompressionType, MessageTimestampType, TOPIC_KEYS, TopicConfig, topic_key,
};
