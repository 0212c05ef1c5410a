//! Keys of replicas, leaders and quotas.

use super::super::key::ConfigType::{Boolean, Text};
use super::super::key::{ANY_INT, ANY_LONG, INT_FROM_0, INT_FROM_1, LONG_FROM_1, RACK_PLACEMENT};
use super::Update::{ClusterWide, Internal, ReadOnly};
use super::effect::{
    Applied, FIXED_PAUSE, NO_LINGERING, NO_THROTTLE, ONE_DIRECTORY, ONE_FETCHER, SYSTEM_BUFFERS,
};
use super::{BrokerKey, keys};

pub(super) const KEYS: &[BrokerKey] = keys! {
    "alter.log.dirs.replication.quota.window.num", INT_FROM_1, Some("11"), ReadOnly, ONE_DIRECTORY,
        "Samples over which moves between directories are throttled.";
    "alter.log.dirs.replication.quota.window.size.seconds", INT_FROM_1, Some("1"), ReadOnly, ONE_DIRECTORY,
        "Length of a sample when moves between directories are throttled.";
    "auto.leader.rebalance.enable", Boolean, Some("true"), ReadOnly, Applied,
        "Whether leadership moves back to preferred replicas by itself.";
    "default.replication.factor", ANY_INT, Some("1"), ReadOnly, Applied,
        "Replicas of a partition whose creator gives no number.";
    "leader.imbalance.check.interval.seconds", LONG_FROM_1, Some("300"), ReadOnly, Applied,
        "Time between two looks for partitions not led by their preferred replica.";
    "log.dir.failure.timeout.ms", LONG_FROM_1, Some("30000"), ReadOnly, ONE_DIRECTORY,
        "How long a failed log directory may stay unknown to the controller before the broker stops.";
    "num.replica.alter.log.dirs.threads", ANY_INT, None, ReadOnly, ONE_DIRECTORY,
        "Threads that move replicas between directories.";
    "num.replica.fetchers", INT_FROM_1, Some("1"), ClusterWide, ONE_FETCHER,
        "Threads that replicate from each other broker.";
    "quota.window.num", INT_FROM_1, Some("11"), ReadOnly, Applied,
        "Samples over which client quotas are measured.";
    "quota.window.size.seconds", INT_FROM_1, Some("1"), ReadOnly, Applied,
        "Length of a sample of client quotas.";
    "rack.placement", RACK_PLACEMENT, Some("any"), ClusterWide, Applied,
        "Where replicas of new and moved partitions may stand: spread over the racks so that none has two more of them than another, which then every broker must name (spread), or anywhere (any). Not a key of Kafka.";
    "replica.fetch.backoff.ms", INT_FROM_0, Some("1000"), ReadOnly, FIXED_PAUSE,
        "Pause of a follower after an error of a partition.";
    "replica.fetch.max.bytes", INT_FROM_0, Some("1048576"), ReadOnly, Applied,
        "Bytes of a partition that a follower asks for at a time.";
    "replica.fetch.min.bytes", ANY_INT, Some("1"), ReadOnly, NO_LINGERING,
        "Bytes a follower waits for.";
    "replica.fetch.response.max.bytes", INT_FROM_0, Some("10485760"), ReadOnly, Applied,
        "Bytes of all partitions that a follower asks for at a time.";
    "replica.fetch.wait.max.ms", ANY_INT, Some("500"), ReadOnly, Applied,
        "How long a follower's fetch may wait for bytes.";
    "replica.high.watermark.checkpoint.interval.ms", ANY_LONG, Some("5000"), ReadOnly, Applied,
        "Time between two writes of the high watermarks.";
    "replica.lag.time.max.ms", ANY_LONG, Some("30000"), ReadOnly, Applied,
        "How long a follower may lag before it leaves the ISR.";
    "replica.selector.class", Text, None, ReadOnly, Applied,
        "What chooses the replica a consumer reads from: org.apache.kafka.common.replica.RackAwareReplicaSelector; without it, leaders.";
    "replica.socket.receive.buffer.bytes", ANY_INT, Some("65536"), ReadOnly, SYSTEM_BUFFERS,
        "Receive buffer of a follower's connection.";
    "replica.socket.timeout.ms", ANY_INT, Some("30000"), ReadOnly, Applied,
        "How long a follower waits for an answer.";
    "replication.quota.window.num", INT_FROM_1, Some("11"), ReadOnly, NO_THROTTLE,
        "Samples over which replication is throttled.";
    "replication.quota.window.size.seconds", INT_FROM_1, Some("1"), ReadOnly, NO_THROTTLE,
        "Length of a sample when replication is throttled.";
    "unclean.leader.election.enable", Boolean, Some("false"), ClusterWide, Applied,
        "Whether a replica outside the ISR may lead when no other is left: data may be lost.";
    "unclean.leader.election.interval.ms", LONG_FROM_1, Some("300000"), Internal, Applied,
        "Time between two looks for partitions that need an unclean election.";
};
