//! Keys of metrics, client telemetry and remote storage.

use super::super::key::ConfigType::{Boolean, Double, List, Text};
use super::super::key::{FOREVER, INT_FROM_0, INT_FROM_1, LONG_FROM_1};
use super::Update::{ClusterWide, Internal, ReadOnly};
use super::effect::{NO_JMX, NO_REMOTE, NO_TELEMETRY};
use super::{BrokerKey, keys};

pub(super) const KEYS: &[BrokerKey] = keys! {
    "kafka.metrics.polling.interval.secs", INT_FROM_1, Some("10"), ReadOnly, NO_JMX,
        "Interval of Kafka's older metrics reporters.";
    "kafka.metrics.reporters", List, Some(""), ReadOnly, NO_JMX,
        "Classes of Kafka's older metrics reporters.";
    "metric.reporters", List, Some("org.apache.kafka.common.metrics.JmxReporter"), ClusterWide, NO_JMX,
        "Classes that report metrics.";
    "metrics.num.samples", INT_FROM_1, Some("2"), ReadOnly, NO_JMX,
        "Samples over which a metric is computed.";
    "metrics.recording.level", Text, Some("INFO"), ReadOnly, NO_JMX,
        "Which metrics are recorded: INFO, DEBUG or TRACE.";
    "metrics.sample.window.ms", LONG_FROM_1, Some("30000"), ReadOnly, NO_JMX,
        "Length of a metric's sample.";
    "remote.fetch.max.wait.ms", INT_FROM_1, Some("500"), ClusterWide, NO_REMOTE,
        "How long a fetch waits for remote storage.";
    "remote.list.offsets.request.timeout.ms", LONG_FROM_1, Some("30000"), ClusterWide, NO_REMOTE,
        "How long a search for offsets waits for remote storage.";
    "remote.log.index.file.cache.total.size.bytes", LONG_FROM_1, Some("1073741824"), ClusterWide, NO_REMOTE,
        "Disk used to keep indexes of remote segments.";
    "remote.log.manager.copier.thread.pool.size", INT_FROM_1, Some("10"), ClusterWide, NO_REMOTE,
        "Threads that copy segments to remote storage.";
    "remote.log.manager.copy.max.bytes.per.second", LONG_FROM_1, Some(FOREVER), ClusterWide, NO_REMOTE,
        "Most bytes per second copied to remote storage.";
    "remote.log.manager.copy.quota.window.num", INT_FROM_1, Some("11"), ReadOnly, NO_REMOTE,
        "Samples over which copying to remote storage is throttled.";
    "remote.log.manager.copy.quota.window.size.seconds", INT_FROM_1, Some("1"), ReadOnly, NO_REMOTE,
        "Length of a sample when copying to remote storage is throttled.";
    "remote.log.manager.expiration.thread.pool.size", INT_FROM_1, Some("10"), ClusterWide, NO_REMOTE,
        "Threads that delete expired segments of remote storage.";
    "remote.log.manager.fetch.max.bytes.per.second", LONG_FROM_1, Some(FOREVER), ClusterWide, NO_REMOTE,
        "Most bytes per second read from remote storage.";
    "remote.log.manager.fetch.quota.window.num", INT_FROM_1, Some("11"), ReadOnly, NO_REMOTE,
        "Samples over which reading from remote storage is throttled.";
    "remote.log.manager.fetch.quota.window.size.seconds", INT_FROM_1, Some("1"), ReadOnly, NO_REMOTE,
        "Length of a sample when reading from remote storage is throttled.";
    "remote.log.manager.follower.thread.pool.size", INT_FROM_1, Some("2"), ClusterWide, NO_REMOTE,
        "Threads that do a follower's part of remote storage.";
    "remote.log.manager.task.interval.ms", LONG_FROM_1, Some("30000"), ReadOnly, NO_REMOTE,
        "Time between two looks for work with remote storage.";
    "remote.log.manager.task.retry.backoff.max.ms", LONG_FROM_1, Some("30000"), Internal, NO_REMOTE,
        "Longest pause before failed work with remote storage is tried again.";
    "remote.log.manager.task.retry.backoff.ms", LONG_FROM_1, Some("500"), Internal, NO_REMOTE,
        "First pause before failed work with remote storage is tried again.";
    "remote.log.manager.task.retry.jitter", Double { min: 0.0, max: 0.5 }, Some("0.2"), Internal, NO_REMOTE,
        "Random part of the pause before failed work with remote storage is tried again.";
    "remote.log.manager.thread.pool.size", INT_FROM_1, Some("2"), ReadOnly, NO_REMOTE,
        "Threads that plan the work with remote storage.";
    "remote.log.metadata.custom.metadata.max.bytes", INT_FROM_0, Some("128"), ReadOnly, NO_REMOTE,
        "Most bytes a remote storage may keep with a segment.";
    "remote.log.metadata.manager.class.name", Text, Some("org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager"), ReadOnly, NO_REMOTE,
        "Class that keeps account of remote segments.";
    "remote.log.metadata.manager.class.path", Text, None, ReadOnly, NO_REMOTE,
        "Where that class is.";
    "remote.log.metadata.manager.impl.prefix", Text, Some("rlmm.config."), ReadOnly, NO_REMOTE,
        "Prefix of the keys handed to that class.";
    "remote.log.metadata.manager.listener.name", Text, None, ReadOnly, NO_REMOTE,
        "Listener by which that class reaches the brokers.";
    "remote.log.reader.max.pending.tasks", INT_FROM_1, Some("100"), ReadOnly, NO_REMOTE,
        "How many reads from remote storage may wait.";
    "remote.log.reader.threads", INT_FROM_1, Some("10"), ClusterWide, NO_REMOTE,
        "Threads that read from remote storage.";
    "remote.log.storage.manager.class.name", Text, None, ReadOnly, NO_REMOTE,
        "Class that talks to the remote storage.";
    "remote.log.storage.manager.class.path", Text, None, ReadOnly, NO_REMOTE,
        "Where that class is.";
    "remote.log.storage.manager.impl.prefix", Text, Some("rsm.config."), ReadOnly, NO_REMOTE,
        "Prefix of the keys handed to that class.";
    "remote.log.storage.system.enable", Boolean, Some("false"), ReadOnly, NO_REMOTE,
        "Whether there is remote storage.";
    "telemetry.max.bytes", INT_FROM_1, Some("1048576"), ReadOnly, NO_TELEMETRY,
        "Most bytes of metrics a client may push at a time.";
};
