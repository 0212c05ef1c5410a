//! The keys of a topic's configuration (Kafka 4.2), and the typed values a partition works with.
//!
//! Not Kafka's are `flush.policy`, `min.insync.racks` and `rack.placement`, whose defaults leave everything
//! as Kafka has it.
//! Every key that Kafka knows is accepted and shown. Those that steer something this broker does
//! not have yet (remote storage, replication throttles) are kept and have no effect:
//! docs/configuration.md tells which.

use super::key::{
    ANY_LONG, ConfigKey, ConfigType, FLUSH_POLICY, FOREVER, GZIP_LEVEL, INT_FROM_0, LONG_FROM_0,
    RACK_PLACEMENT, words_of,
};
use std::collections::BTreeMap;
use std::str::FromStr;

macro_rules! keys {
    ($($name:literal, $kind:expr, $default:expr, $synonym:expr, $doc:literal;)*) => {
        &[$(ConfigKey { name: $name, kind: $kind, default: $default, synonym: $synonym, doc: $doc }),*]
    };
}

/// All keys, in the order of their names.
pub const TOPIC_KEYS: &[ConfigKey] = keys! {
    "cleanup.policy", ConfigType::ChoiceList(&["compact", "delete"]), "delete", Some("log.cleanup.policy"),
        "What happens to old records: deleted by age and size, compacted by key, or both.";
    "compression.gzip.level", GZIP_LEVEL, "-1", Some("compression.gzip.level"),
        "Level used when the broker compresses with gzip; -1 is the codec's own default.";
    "compression.lz4.level", ConfigType::Int { min: 1, max: 17 }, "9", Some("compression.lz4.level"),
        "Level used when the broker compresses with lz4.";
    "compression.type", ConfigType::Choice(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), "producer", Some("compression.type"),
        "Codec in which batches are kept; producer keeps what the producer chose, without work.";
    "compression.zstd.level", ConfigType::Int { min: -131_072, max: 22 }, "3", Some("compression.zstd.level"),
        "Level used when the broker compresses with zstd.";
    "delete.retention.ms", LONG_FROM_0, "86400000", Some("log.cleaner.delete.retention.ms"),
        "How long tombstones of compacted topics stay readable, in ms.";
    "file.delete.delay.ms", LONG_FROM_0, "60000", Some("log.segment.delete.delay.ms"),
        "Time between a segment's removal from the log and the removal of its files, in ms.";
    "flush.messages", ConfigType::Long { min: 1, max: i64::MAX }, FOREVER, Some("log.flush.interval.messages"),
        "Records between two fsyncs of a partition.";
    "flush.ms", LONG_FROM_0, FOREVER, Some("log.flush.interval.ms"),
        "Time between two fsyncs of a partition, in ms.";
    "flush.policy", FLUSH_POLICY, "interval", Some("log.flush.policy"),
        "When records are synced to the disk: none, by flush.messages and flush.ms (interval), or together with other partitions before they are acknowledged (group).";
    "follower.replication.throttled.replicas", ConfigType::ReplicaList, "", None,
        "Replicas whose fetching is throttled, as partition:broker pairs, or *.";
    "index.interval.bytes", INT_FROM_0, "4096", Some("log.index.interval.bytes"),
        "Bytes of log between two entries of the offset index.";
    "leader.replication.throttled.replicas", ConfigType::ReplicaList, "", None,
        "Replicas for which the leader throttles, as partition:broker pairs, or *.";
    "local.retention.bytes", ConfigType::Long { min: -2, max: i64::MAX }, "-2", Some("log.local.retention.bytes"),
        "Bytes kept on local disk with remote storage; -2 means retention.bytes.";
    "local.retention.ms", ConfigType::Long { min: -2, max: i64::MAX }, "-2", Some("log.local.retention.ms"),
        "Time kept on local disk with remote storage, in ms; -2 means retention.ms.";
    "max.compaction.lag.ms", ConfigType::Long { min: 1, max: i64::MAX }, FOREVER, Some("log.cleaner.max.compaction.lag.ms"),
        "Longest time a record may stay uncompacted, in ms.";
    "max.message.bytes", INT_FROM_0, "1048588", Some("message.max.bytes"),
        "Largest record batch taken, in bytes, after compression.";
    "message.timestamp.after.max.ms", LONG_FROM_0, "3600000", Some("log.message.timestamp.after.max.ms"),
        "How far a record's timestamp may lie ahead of the broker's clock, in ms.";
    "message.timestamp.before.max.ms", LONG_FROM_0, FOREVER, Some("log.message.timestamp.before.max.ms"),
        "How far a record's timestamp may lie behind the broker's clock, in ms.";
    "message.timestamp.type", ConfigType::Choice(&["CreateTime", "LogAppendTime"]), "CreateTime", Some("log.message.timestamp.type"),
        "Whether records keep the producer's time or get the broker's.";
    "min.cleanable.dirty.ratio", ConfigType::Double { min: 0.0, max: 1.0 }, "0.5", Some("log.cleaner.min.cleanable.ratio"),
        "Share of uncompacted bytes from which a log is compacted.";
    "min.compaction.lag.ms", LONG_FROM_0, "0", Some("log.cleaner.min.compaction.lag.ms"),
        "Shortest time a record stays uncompacted, in ms.";
    "min.insync.racks", ConfigType::Int { min: 1, max: i32::MAX }, "1", None,
        "Racks in which the ISR must have members, besides min.insync.replicas, for an acks=all write to be taken; 1 asks for nothing. Needs isthmus.metadata.level 3.";
    "min.insync.replicas", ConfigType::Int { min: 1, max: i32::MAX }, "1", Some("min.insync.replicas"),
        "Members the ISR must have for an acks=all write to be taken.";
    "preallocate", ConfigType::Boolean, "false", Some("log.preallocate"),
        "Whether a segment's file gets its full size when it is made.";
    "rack.placement", RACK_PLACEMENT, "any", Some("rack.placement"),
        "Where replicas of new and moved partitions may stand: spread over the racks so that none has two more of them than another (spread), or anywhere (any).";
    "remote.log.copy.disable", ConfigType::Boolean, "false", None,
        "With remote storage: stop copying to it.";
    "remote.log.delete.on.disable", ConfigType::Boolean, "false", None,
        "With remote storage: delete what is there when it is switched off.";
    "remote.storage.enable", ConfigType::Boolean, "false", None,
        "Whether old segments move to remote storage.";
    "retention.bytes", ANY_LONG, "-1", Some("log.retention.bytes"),
        "Bytes per partition from which old segments are deleted; -1 is no bound.";
    "retention.ms", ConfigType::Long { min: -1, max: i64::MAX }, "604800000", Some("log.retention.ms"),
        "Age from which segments are deleted, in ms; -1 is no bound.";
    "segment.bytes", ConfigType::Int { min: 1_048_576, max: i32::MAX }, "1073741824", Some("log.segment.bytes"),
        "Size at which a segment is closed and the next one begun.";
    "segment.index.bytes", ConfigType::Int { min: 4, max: i32::MAX }, "10485760", Some("log.index.size.max.bytes"),
        "Largest index of a segment, in bytes; a full index closes the segment.";
    "segment.jitter.ms", LONG_FROM_0, "0", Some("log.roll.jitter.ms"),
        "Random part taken off segment.ms so that segments do not all roll at once, in ms.";
    "segment.ms", ConfigType::Long { min: 1, max: i64::MAX }, "604800000", Some("log.roll.ms"),
        "Age at which a segment is closed even when it is not full, in ms.";
    "unclean.leader.election.enable", ConfigType::Boolean, "false", Some("unclean.leader.election.enable"),
        "Whether a replica outside the ISR may lead when no other is left: data may be lost.";
};

/// The key of that name.
pub fn topic_key(name: &str) -> Option<&'static ConfigKey> {
    TOPIC_KEYS
        .binary_search_by_key(&name, |key| key.name)
        .ok()
        .map(|at| &TOPIC_KEYS[at])
}

/// Whether a topic may be given these values; the words are Kafka's `LogConfig`'s.
pub fn check_topic_configs(
    own: &BTreeMap<String, String>,
    broker_default: &dyn Fn(&str) -> Option<String>,
) -> Result<(), String> {
    let known = |name: &String| {
        let unknown = || format!("Unknown topic config name: {name}");
        topic_key(name).ok_or_else(unknown)
    };
    own.keys().try_for_each(|name| known(name).map(drop))?;
    for (name, value) in own {
        known(name)?
            .check(value)
            .map_err(|error| error.to_string())?;
    }
    let is_true = |name: &str| {
        own.get(name)
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
    };
    if is_true("remote.storage.enable") {
        let refused = "Tiered Storage functionality is disabled in the broker. Topic cannot be \
                       configured with remote log storage.";
        return Err(refused.to_owned());
    }
    let lag = |name: &str| number::<i64>(&effective_value(name, Some(own), broker_default));
    let (min, max) = (lag("min.compaction.lag.ms"), lag("max.compaction.lag.ms"));
    if min > max {
        return Err(format!(
            "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
        ));
    }
    Ok(())
}

/// When records reach the disk itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushPolicy {
    /// When the operating system sees fit; full segments are synced all the same.
    None,
    /// As Kafka: by `flush.messages` and `flush.ms`, which are without bound unless they are set.
    Interval,
    /// Before they are acknowledged, many partitions in one go.
    Group,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanupPolicy {
    pub compact: bool,
    pub delete: bool,
}

/// In which codec batches are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionType {
    /// As the producer sent them.
    Producer,
    Uncompressed,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageTimestampType {
    CreateTime,
    LogAppendTime,
}

/// The effective configuration of one topic, as far as a partition needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    pub cleanup_policy: CleanupPolicy,
    pub compression_type: CompressionType,
    /// Level of that codec where it has one.
    pub compression_level: Option<i32>,
    pub delete_retention_ms: i64,
    pub file_delete_delay_ms: i64,
    pub flush_messages: i64,
    pub flush_ms: i64,
    pub flush_policy: FlushPolicy,
    pub index_interval_bytes: i32,
    pub max_compaction_lag_ms: i64,
    pub max_message_bytes: i32,
    pub message_timestamp_after_max_ms: i64,
    pub message_timestamp_before_max_ms: i64,
    pub message_timestamp_type: MessageTimestampType,
    pub min_cleanable_dirty_ratio: f64,
    pub min_compaction_lag_ms: i64,
    pub min_insync_replicas: i32,
    pub retention_bytes: i64,
    pub retention_ms: i64,
    pub segment_bytes: i32,
    pub segment_index_bytes: i32,
    pub segment_jitter_ms: i64,
    pub segment_ms: i64,
    pub unclean_leader_election_enable: bool,
}

impl TopicConfig {
    /// From the topic's own values, then the broker's (`broker_default` by synonym), then Kafka's.
    ///
    /// Values in metadata were checked when they were set. One that no longer fits (an older
    /// level allowed it) counts as not set, so that a record can never keep a broker down.
    pub fn effective(
        own: Option<&BTreeMap<String, String>>,
        broker_default: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let value = |name: &str| -> String { effective_value(name, own, broker_default) };
        let long = |name: &str| number::<i64>(&value(name));
        let int = |name: &str| number::<i32>(&value(name));
        let double = |name: &str| number::<f64>(&value(name));
        let policy = value("cleanup.policy");
        let compression_type = compression_type(&value("compression.type"));
        Self {
            cleanup_policy: CleanupPolicy {
                compact: words_of(&policy).any(|word| word == "compact"),
                delete: words_of(&policy).any(|word| word == "delete"),
            },
            compression_type,
            compression_level: match compression_type {
                CompressionType::Gzip => Some(int("compression.gzip.level")),
                CompressionType::Lz4 => Some(int("compression.lz4.level")),
                CompressionType::Zstd => Some(int("compression.zstd.level")),
                CompressionType::Producer
                | CompressionType::Uncompressed
                | CompressionType::Snappy => None,
            },
            delete_retention_ms: long("delete.retention.ms"),
            file_delete_delay_ms: long("file.delete.delay.ms"),
            flush_messages: long("flush.messages"),
            flush_ms: long("flush.ms"),
            flush_policy: flush_policy(&value("flush.policy")),
            index_interval_bytes: int("index.interval.bytes"),
            max_compaction_lag_ms: long("max.compaction.lag.ms"),
            max_message_bytes: int("max.message.bytes"),
            message_timestamp_after_max_ms: long("message.timestamp.after.max.ms"),
            message_timestamp_before_max_ms: long("message.timestamp.before.max.ms"),
            message_timestamp_type: match value("message.timestamp.type").as_str() {
                "LogAppendTime" => MessageTimestampType::LogAppendTime,
                _ => MessageTimestampType::CreateTime,
            },
            min_cleanable_dirty_ratio: double("min.cleanable.dirty.ratio"),
            min_compaction_lag_ms: long("min.compaction.lag.ms"),
            min_insync_replicas: int("min.insync.replicas"),
            retention_bytes: long("retention.bytes"),
            retention_ms: long("retention.ms"),
            segment_bytes: int("segment.bytes"),
            segment_index_bytes: int("segment.index.bytes"),
            segment_jitter_ms: long("segment.jitter.ms"),
            segment_ms: long("segment.ms"),
            // Kafka takes TRUE as well, and keeps it as it was written.
            unclean_leader_election_enable: value("unclean.leader.election.enable")
                .eq_ignore_ascii_case("true"),
        }
    }
}

/// One value of [`TopicConfig::effective`] alone.
pub fn min_insync_replicas(
    own: Option<&BTreeMap<String, String>>,
    broker_default: &dyn Fn(&str) -> Option<String>,
) -> i32 {
    number(&effective_value("min.insync.replicas", own, broker_default))
}

fn effective_value(
    name: &str,
    own: Option<&BTreeMap<String, String>>,
    broker_default: &dyn Fn(&str) -> Option<String>,
) -> String {
    let key = topic_key(name).expect("only names of the table are asked for");
    let fits = |text: &String| key.check(text).is_ok();
    own.and_then(|own| own.get(name).cloned())
        .filter(fits)
        .or_else(|| key.synonym.and_then(broker_default).filter(fits))
        .unwrap_or_else(|| key.default.to_owned())
}

/// Reads a value that was found to fit its key.
fn number<T: FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.trim()
        .parse()
        .expect("only values that fit are effective")
}

fn flush_policy(word: &str) -> FlushPolicy {
    match word {
        "none" => FlushPolicy::None,
        "group" => FlushPolicy::Group,
        _ => FlushPolicy::Interval,
    }
}

fn compression_type(word: &str) -> CompressionType {
    match word {
        "uncompressed" => CompressionType::Uncompressed,
        "gzip" => CompressionType::Gzip,
        "snappy" => CompressionType::Snappy,
        "lz4" => CompressionType::Lz4,
        "zstd" => CompressionType::Zstd,
        _ => CompressionType::Producer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_default_fits() {
        assert!(
            TOPIC_KEYS
                .windows(2)
                .all(|pair| pair[0].name < pair[1].name)
        );
        for key in TOPIC_KEYS {
            assert_eq!(key.check(key.default), Ok(()), "{}", key.name);
        }
    }

    #[test]
    fn a_topics_value_wins_over_the_brokers_and_that_over_the_default() {
        let own = BTreeMap::from([("retention.ms".to_owned(), "5".to_owned())]);
        let broker = |synonym: &str| match synonym {
            "log.retention.ms" => Some("6".to_owned()),
            "log.segment.bytes" => Some("2097152".to_owned()),
            _ => None,
        };
        let config = TopicConfig::effective(Some(&own), &broker);
        assert_eq!(config.retention_ms, 5);
        assert_eq!(config.segment_bytes, 2_097_152);
        assert_eq!(config.max_message_bytes, 1_048_588);
        assert_eq!(TopicConfig::effective(None, &broker).retention_ms, 6);
    }

    #[test]
    fn values_that_do_not_fit_are_named() {
        let check = |name: &str, value: &str| topic_key(name).map(|key| key.check(value));
        assert_eq!(check("retention.ms", " 7 "), Some(Ok(())));
        for (name, value) in [
            ("retention.ms", "-2"),
            ("retention.ms", "soon"),
            ("segment.bytes", "14"),
            ("cleanup.policy", "delete,shred"),
            ("compression.type", "none"),
            ("preallocate", "yes"),
            ("min.cleanable.dirty.ratio", "1.5"),
        ] {
            let error = check(name, value).expect("a known key").expect_err(value);
            assert!(error.to_string().contains(name), "{error}");
        }
        assert_eq!(check("no.such.key", "1"), None);
    }
}
