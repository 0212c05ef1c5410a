//! Keys of logs and topics: how long records stay, how segments are cut, what is checked.

use super::super::key::ConfigType::{Boolean, Choice, ChoiceList, Double, Int, Long};
use super::super::key::{
    ANY_DOUBLE, ANY_INT, ANY_LONG, FLUSH_POLICY, FOREVER, GZIP_LEVEL, INT_FROM_0, INT_FROM_1,
    LONG_FROM_0, LONG_FROM_1,
};
use super::Update::{ClusterWide, Internal, ReadOnly};
use super::effect::{
    Applied, FIXED_TICK, GROWING_FILES, NO_REMOTE, ONE_BUFFER, ONE_CHECKPOINT, ONE_POOL,
    UNSHARED_LIMIT,
};
use super::{BrokerKey, keys};

pub(super) const KEYS: &[BrokerKey] = keys! {
    "auto.create.topics.enable", Boolean, Some("true"), ReadOnly, Applied,
        "Whether a topic is created when a client asks for its metadata.";
    "compression.gzip.level", GZIP_LEVEL, Some("-1"), ClusterWide, Applied,
        "Level used when the broker compresses with gzip; -1 is the codec's own default.";
    "compression.lz4.level", Int { min: 1, max: 17 }, Some("9"), ClusterWide, Applied,
        "Level used when the broker compresses with lz4.";
    "compression.type", Choice(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), Some("producer"), ClusterWide, Applied,
        "Codec in which batches are kept; producer keeps what the producer chose, without work.";
    "compression.zstd.level", Int { min: -131_072, max: 22 }, Some("3"), ClusterWide, Applied,
        "Level used when the broker compresses with zstd.";
    "delete.topic.enable", Boolean, Some("true"), ReadOnly, Applied,
        "Whether clients may delete topics.";
    "log.cleaner.backoff.ms", LONG_FROM_0, Some("15000"), ClusterWide, Applied,
        "How long the cleaner rests when no log is dirty enough.";
    "log.cleaner.dedupe.buffer.size", ANY_LONG, Some("134217728"), ClusterWide, Applied,
        "Memory in which all cleaner threads together keep the newest offset of each key.";
    "log.cleaner.delete.retention.ms", LONG_FROM_0, Some("86400000"), ClusterWide, Applied,
        "How long tombstones of compacted topics stay readable.";
    "log.cleaner.enable", Boolean, Some("true"), ReadOnly, Applied,
        "Whether compacted topics are compacted.";
    "log.cleaner.io.buffer.load.factor", ANY_DOUBLE, Some("0.9"), ClusterWide, Applied,
        "How full the cleaner's table of keys may get; fuller means more keys per pass and more collisions.";
    "log.cleaner.io.buffer.size", INT_FROM_0, Some("524288"), ClusterWide, ONE_BUFFER,
        "Memory for the reads and writes of all cleaner threads together.";
    "log.cleaner.io.max.bytes.per.second", ANY_DOUBLE, Some("1.7976931348623157E308"), ClusterWide, Applied,
        "Most bytes the cleaner reads and writes per second.";
    "log.cleaner.max.compaction.lag.ms", LONG_FROM_1, Some(FOREVER), ClusterWide, Applied,
        "Longest time a record may stay uncompacted.";
    "log.cleaner.min.cleanable.ratio", Double { min: 0.0, max: 1.0 }, Some("0.5"), ClusterWide, Applied,
        "Share of uncompacted bytes from which a log is compacted.";
    "log.cleaner.min.compaction.lag.ms", LONG_FROM_0, Some("0"), ClusterWide, Applied,
        "Shortest time a record stays uncompacted.";
    "log.cleaner.threads", INT_FROM_0, Some("1"), ClusterWide, Applied,
        "Threads that compact logs.";
    "log.cleanup.policy", ChoiceList(&["compact", "delete"]), Some("delete"), ClusterWide, Applied,
        "What happens to old records: deleted by age and size, compacted by key, or both.";
    "log.flush.interval.messages", LONG_FROM_1, Some(FOREVER), ClusterWide, Applied,
        "Records of a partition between two fsyncs.";
    "log.flush.interval.ms", ANY_LONG, None, ClusterWide, Applied,
        "Time between two fsyncs of a partition; without it the page cache decides.";
    "log.flush.offset.checkpoint.interval.ms", INT_FROM_0, Some("60000"), ReadOnly, Applied,
        "Time between two writes of the recovery points; what was written since is read through again after a crash.";
    "log.flush.policy", FLUSH_POLICY, Some("interval"), ClusterWide, Applied,
        "When records are synced to the disk: none leaves it to the page cache, interval goes by log.flush.interval.messages and log.flush.interval.ms, group syncs all that wait in one go before it is acknowledged. Not a key of Kafka.";
    "log.flush.scheduler.interval.ms", ANY_LONG, Some(FOREVER), ReadOnly, Applied,
        "Stands in for log.flush.interval.ms where that is not set.";
    "log.flush.start.offset.checkpoint.interval.ms", INT_FROM_0, Some("60000"), ReadOnly, ONE_CHECKPOINT,
        "Time between two writes of the log start offsets.";
    "log.index.interval.bytes", INT_FROM_0, Some("4096"), ClusterWide, Applied,
        "Bytes of log between two entries of the offset index.";
    "log.index.size.max.bytes", Int { min: 4, max: i32::MAX }, Some("10485760"), ClusterWide, Applied,
        "Largest index of a segment; a full index closes the segment.";
    "log.initial.task.delay.ms", LONG_FROM_0, Some("30000"), Internal, FIXED_TICK,
        "How long after start the log's housekeeping begins.";
    "log.local.retention.bytes", Long { min: -2, max: i64::MAX }, Some("-2"), ClusterWide, NO_REMOTE,
        "Bytes kept on local disk with remote storage; -2 means the topic's retention.bytes.";
    "log.local.retention.ms", Long { min: -2, max: i64::MAX }, Some("-2"), ClusterWide, NO_REMOTE,
        "Time kept on local disk with remote storage; -2 means the topic's retention.ms.";
    "log.message.timestamp.after.max.ms", LONG_FROM_0, Some("3600000"), ClusterWide, Applied,
        "How far a record's timestamp may lie ahead of the broker's clock.";
    "log.message.timestamp.before.max.ms", LONG_FROM_0, Some(FOREVER), ClusterWide, Applied,
        "How far a record's timestamp may lie behind the broker's clock.";
    "log.message.timestamp.type", Choice(&["CreateTime", "LogAppendTime"]), Some("CreateTime"), ClusterWide, Applied,
        "Whether records keep the producer's time or get the broker's.";
    "log.preallocate", Boolean, Some("false"), ClusterWide, GROWING_FILES,
        "Whether a segment's file gets its full size when it is made.";
    "log.retention.bytes", ANY_LONG, Some("-1"), ClusterWide, Applied,
        "Bytes per partition from which old segments are deleted; -1 is no bound.";
    "log.retention.check.interval.ms", LONG_FROM_1, Some("300000"), ReadOnly, Applied,
        "Time between two looks for segments to delete.";
    "log.retention.hours", ANY_INT, Some("168"), ReadOnly, Applied,
        "Age from which segments are deleted, in hours; log.retention.minutes and log.retention.ms come first.";
    "log.retention.minutes", ANY_INT, None, ReadOnly, Applied,
        "Age from which segments are deleted, in minutes; log.retention.ms comes first.";
    "log.retention.ms", ANY_LONG, None, ClusterWide, Applied,
        "Age from which segments are deleted; -1 is no bound.";
    "log.roll.hours", INT_FROM_1, Some("168"), ReadOnly, Applied,
        "Age at which a segment is closed, in hours; log.roll.ms comes first.";
    "log.roll.jitter.hours", INT_FROM_0, Some("0"), ReadOnly, Applied,
        "Random part taken off the roll time, in hours; log.roll.jitter.ms comes first.";
    "log.roll.jitter.ms", ANY_LONG, None, ClusterWide, Applied,
        "Random part taken off the roll time, so that segments do not all roll at once.";
    "log.roll.ms", ANY_LONG, None, ClusterWide, Applied,
        "Age at which a segment is closed even when it is not full.";
    "log.segment.bytes", Int { min: 1_048_576, max: i32::MAX }, Some("1073741824"), ClusterWide, Applied,
        "Size at which a segment is closed and the next one begun.";
    "log.segment.delete.delay.ms", LONG_FROM_0, Some("60000"), ClusterWide, Applied,
        "Time between a segment's removal from the log and the removal of its files.";
    "max.request.partition.size.limit", INT_FROM_1, Some("2000"), ReadOnly, UNSHARED_LIMIT,
        "Most partitions in one answer to a request for topic descriptions.";
    "message.max.bytes", INT_FROM_0, Some("1048588"), ClusterWide, Applied,
        "Largest record batch taken, after compression.";
    "min.insync.replicas", INT_FROM_1, Some("1"), ClusterWide, Applied,
        "Members the ISR must have for an acks=all write to be taken.";
    "num.partitions", INT_FROM_1, Some("1"), ReadOnly, Applied,
        "Partitions of a topic whose creator gives no number.";
    "num.recovery.threads.per.data.dir", INT_FROM_1, Some("2"), ClusterWide, ONE_POOL,
        "Threads that read logs through at start and flush them at stop.";
    "producer.id.expiration.check.interval.ms", INT_FROM_1, Some("600000"), Internal, FIXED_TICK,
        "Time between two looks for silent producers.";
    "producer.id.expiration.ms", INT_FROM_1, Some("86400000"), ClusterWide, Applied,
        "How long the sequence numbers of a silent idempotent producer are remembered; one that retries after a longer silence may double a record.";
};
