//! A mirrored topic: kind 6. Which topic it was on both sides, how long its source keeps records,
//! and which of its settings are ours.
//!
//! ```text
//! INT8 version = 1 | UUID source topic | UUID target topic | INT64 first seen, ms
//! STRING target topic's name
//! INT64 the source's retention, ms | INT64 the source's retention, bytes; -1 for no limit
//! INT32 count | per setting: STRING key | STRING value that we wrote
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use isthmus_wire::Uuid;

use super::bytes::{count, read, write};
use super::{StateError, StateWriteError};
use crate::lag::Retention;

const WHAT: &str = "topic";
const VERSION: i8 = 1;

/// On the wire, where Kafka says it so, too.
const NO_LIMIT: i64 = -1;

/// Two empty strings.
const CONFIG_BYTES_MIN: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedTopic {
    pub source_id: Uuid,
    pub target_id: Uuid,
    pub first_seen_ms: i64,
    pub target_topic: String,
    /// Of the source, as it was last seen: what headroom is reckoned from while the source is dark.
    pub retention: Retention,
    /// What we wrote last, per key; a key that is not here is not ours.
    pub configs: BTreeMap<String, String>,
}

impl SavedTopic {
    pub fn encode(&self) -> Result<Bytes, StateWriteError> {
        write(WHAT, VERSION, |e| {
            e.put_uuid(self.source_id);
            e.put_uuid(self.target_id);
            e.put_i64(self.first_seen_ms);
            e.put_string(&self.target_topic, false)?;
            e.put_i64(self.retention.time_ms.unwrap_or(NO_LIMIT));
            e.put_i64(self.retention.bytes.unwrap_or(NO_LIMIT));
            e.put_i32(i32::try_from(self.configs.len()).unwrap_or(i32::MAX));
            for (key, value) in &self.configs {
                e.put_string(key, false)?;
                e.put_string(value, false)?;
            }
            Ok(())
        })
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, StateError> {
        read(WHAT, VERSION, bytes, |d| {
            let source_id = d.get_uuid()?;
            let target_id = d.get_uuid()?;
            let first_seen_ms = d.get_i64()?;
            let target_topic = d.get_string(false)?;
            let retention = Retention {
                time_ms: limit(d.get_i64()?),
                bytes: limit(d.get_i64()?),
            };
            let count = count(d, CONFIG_BYTES_MIN)?;
            let configs = (0..count).map(|_| Ok((d.get_string(false)?, d.get_string(false)?)));
            Ok(Self {
                source_id,
                target_id,
                first_seen_ms,
                target_topic,
                retention,
                configs: configs.collect::<Result<_, _>>()?,
            })
        })
    }
}

fn limit(saved: i64) -> Option<i64> {
    (saved >= 0).then_some(saved)
}
