//! Keys of consumer groups and their offsets.

use super::super::key::ConfigType::{Boolean, ChoiceAnyCase, ChoiceList, Int, List, Text};
use super::super::key::{ANY_INT, INT_FROM_0, INT_FROM_1, LONG_FROM_1, SHORT_FROM_1};
use super::Update::{ClusterWide, Internal, ReadOnly};
use super::effect::{
    Applied, NO_LINGER, NO_NEW_GROUPS, NO_SHARE, NO_STREAMS, NO_TXN, ONE_BUFFER, ONE_POOL,
    PLAIN_STATE,
};
use super::{BrokerKey, keys};

pub(super) const KEYS: &[BrokerKey] = keys! {
    "group.consumer.assignors", List, Some("uniform,range"), ReadOnly, NO_NEW_GROUPS,
        "Assignors that the broker offers to groups of the new protocol.";
    "group.consumer.heartbeat.interval.ms", INT_FROM_1, Some("5000"), ReadOnly, NO_NEW_GROUPS,
        "Heartbeat interval given to members of the new protocol.";
    "group.consumer.max.heartbeat.interval.ms", INT_FROM_1, Some("15000"), ReadOnly, NO_NEW_GROUPS,
        "Longest heartbeat interval a group of the new protocol may be given.";
    "group.consumer.max.session.timeout.ms", INT_FROM_1, Some("60000"), ReadOnly, NO_NEW_GROUPS,
        "Longest session a group of the new protocol may be given.";
    "group.consumer.max.size", INT_FROM_1, Some("2147483647"), ReadOnly, NO_NEW_GROUPS,
        "Most members of one group of the new protocol.";
    "group.consumer.migration.policy", ChoiceAnyCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"]), Some("bidirectional"), ReadOnly, NO_NEW_GROUPS,
        "Which way a group may move between the classic and the new protocol.";
    "group.consumer.min.heartbeat.interval.ms", INT_FROM_1, Some("5000"), ReadOnly, NO_NEW_GROUPS,
        "Shortest heartbeat interval a group of the new protocol may be given.";
    "group.consumer.min.session.timeout.ms", INT_FROM_1, Some("45000"), ReadOnly, NO_NEW_GROUPS,
        "Shortest session a group of the new protocol may be given.";
    "group.consumer.regex.refresh.interval.ms", Int { min: 10_000, max: i32::MAX }, Some("600000"), Internal, NO_NEW_GROUPS,
        "How often regular expressions of subscriptions are matched again.";
    "group.consumer.session.timeout.ms", INT_FROM_1, Some("45000"), ReadOnly, NO_NEW_GROUPS,
        "Session given to members of the new protocol.";
    "group.coordinator.append.linger.ms", Int { min: -1, max: i32::MAX }, Some("-1"), ReadOnly, NO_LINGER,
        "How long the group coordinator gathers records before it writes them; -1 adapts to the load.";
    "group.coordinator.rebalance.protocols", ChoiceList(&["consumer", "classic", "share", "streams"]), Some("classic,consumer,streams"), ReadOnly, NO_NEW_GROUPS,
        "Protocols of groups that are served; only classic is here.";
    "group.coordinator.threads", INT_FROM_1, Some("4"), ReadOnly, ONE_POOL,
        "Threads of the group coordinator.";
    "group.initial.rebalance.delay.ms", ANY_INT, Some("3000"), ReadOnly, Applied,
        "How long an empty group waits for more members before its first generation; it delays the first record of every group that starts.";
    "group.max.session.timeout.ms", ANY_INT, Some("1800000"), ReadOnly, Applied,
        "Longest session a group member may ask for; the partitions of a dead member wait that long.";
    "group.max.size", INT_FROM_1, Some("2147483647"), ReadOnly, Applied,
        "Most members of one group.";
    "group.min.session.timeout.ms", ANY_INT, Some("6000"), ReadOnly, Applied,
        "Shortest session a group member may ask for; short sessions mean heartbeats in masses.";
    "group.share.assignors", List, Some("simple"), ReadOnly, NO_SHARE,
        "Assignors that the broker offers to share groups.";
    "group.share.delivery.count.limit", Int { min: 2, max: 10 }, Some("5"), ReadOnly, NO_SHARE,
        "How often a record is tried before a share group gives it up.";
    "group.share.enable", Boolean, Some("false"), Internal, NO_SHARE,
        "Whether share groups are served.";
    "group.share.heartbeat.interval.ms", INT_FROM_1, Some("5000"), ReadOnly, NO_SHARE,
        "Heartbeat interval given to members of share groups.";
    "group.share.initialize.retry.interval.ms", INT_FROM_1, Some("30000"), Internal, NO_SHARE,
        "Pause before the state of a share group is set up again after a failure.";
    "group.share.max.heartbeat.interval.ms", INT_FROM_1, Some("15000"), ReadOnly, NO_SHARE,
        "Longest heartbeat interval a share group may be given.";
    "group.share.max.record.lock.duration.ms", Int { min: 30_000, max: 3_600_000 }, Some("60000"), ReadOnly, NO_SHARE,
        "Longest time a share group may keep a record for one member.";
    "group.share.max.session.timeout.ms", INT_FROM_1, Some("60000"), ReadOnly, NO_SHARE,
        "Longest session a share group may be given.";
    "group.share.max.share.sessions", INT_FROM_1, Some("2000"), ReadOnly, NO_SHARE,
        "Most share sessions a broker keeps.";
    "group.share.max.size", Int { min: 1, max: 1_000 }, Some("200"), ReadOnly, NO_SHARE,
        "Most members of one share group.";
    "group.share.min.heartbeat.interval.ms", INT_FROM_1, Some("5000"), ReadOnly, NO_SHARE,
        "Shortest heartbeat interval a share group may be given.";
    "group.share.min.record.lock.duration.ms", Int { min: 1_000, max: 30_000 }, Some("15000"), ReadOnly, NO_SHARE,
        "Shortest time a share group may keep a record for one member.";
    "group.share.min.session.timeout.ms", INT_FROM_1, Some("45000"), ReadOnly, NO_SHARE,
        "Shortest session a share group may be given.";
    "group.share.partition.max.record.locks", Int { min: 100, max: 10_000 }, Some("2000"), ReadOnly, NO_SHARE,
        "Most records of one partition that members of a share group hold at a time.";
    "group.share.persister.class.name", Text, Some("org.apache.kafka.server.share.persister.DefaultStatePersister"), Internal, NO_SHARE,
        "Class that keeps the state of share groups.";
    "group.share.record.lock.duration.ms", Int { min: 1_000, max: 3_600_000 }, Some("30000"), ReadOnly, NO_SHARE,
        "How long a record is kept for the member of a share group that took it.";
    "group.share.session.timeout.ms", INT_FROM_1, Some("45000"), ReadOnly, NO_SHARE,
        "Session given to members of share groups.";
    "group.streams.heartbeat.interval.ms", INT_FROM_1, Some("5000"), ReadOnly, NO_STREAMS,
        "Heartbeat interval given to members of streams groups.";
    "group.streams.initial.rebalance.delay.ms", INT_FROM_0, Some("3000"), ReadOnly, NO_STREAMS,
        "How long a new streams group waits for more members.";
    "group.streams.max.heartbeat.interval.ms", INT_FROM_1, Some("15000"), ReadOnly, NO_STREAMS,
        "Longest heartbeat interval a streams group may be given.";
    "group.streams.max.session.timeout.ms", INT_FROM_1, Some("60000"), ReadOnly, NO_STREAMS,
        "Longest session a streams group may be given.";
    "group.streams.max.size", INT_FROM_1, Some("2147483647"), ReadOnly, NO_STREAMS,
        "Most members of one streams group.";
    "group.streams.max.standby.replicas", INT_FROM_0, Some("2"), ReadOnly, NO_STREAMS,
        "Most standby replicas of a task that a streams group may ask for.";
    "group.streams.min.heartbeat.interval.ms", INT_FROM_1, Some("5000"), ReadOnly, NO_STREAMS,
        "Shortest heartbeat interval a streams group may be given.";
    "group.streams.min.session.timeout.ms", INT_FROM_1, Some("45000"), ReadOnly, NO_STREAMS,
        "Shortest session a streams group may be given.";
    "group.streams.num.standby.replicas", INT_FROM_0, Some("0"), ReadOnly, NO_STREAMS,
        "Standby replicas of a task in streams groups.";
    "group.streams.session.timeout.ms", INT_FROM_1, Some("45000"), ReadOnly, NO_STREAMS,
        "Session given to members of streams groups.";
    "offset.metadata.max.bytes", ANY_INT, Some("4096"), ReadOnly, Applied,
        "Longest text kept with a committed offset; this much per partition and group, in memory and in the log.";
    "offsets.commit.timeout.ms", INT_FROM_1, Some("5000"), ReadOnly, Applied,
        "How long a commit may wait for its record to be replicated.";
    "offsets.load.buffer.size", INT_FROM_1, Some("5242880"), ReadOnly, ONE_BUFFER,
        "Bytes read at a time when offsets are loaded.";
    "offsets.retention.check.interval.ms", LONG_FROM_1, Some("600000"), ReadOnly, Applied,
        "Time between two looks for expired offsets.";
    "offsets.retention.minutes", INT_FROM_1, Some("10080"), ReadOnly, Applied,
        "How long the offsets of a group without members are kept, in minutes; a group idle for longer starts over.";
    "offsets.topic.compression.codec", ANY_INT, Some("0"), ReadOnly, PLAIN_STATE,
        "Codec of the offsets topic: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.";
    "offsets.topic.num.partitions", INT_FROM_1, Some("50"), ReadOnly, Applied,
        "Partitions of __consumer_offsets when it is created; not to be changed later.";
    "offsets.topic.replication.factor", SHORT_FROM_1, Some("3"), ReadOnly, Applied,
        "Replicas of __consumer_offsets when it is created; more than there are brokers means no groups.";
    "offsets.topic.segment.bytes", INT_FROM_1, Some("104857600"), ReadOnly, Applied,
        "Segment size of __consumer_offsets.";
    "share.coordinator.append.linger.ms", Int { min: -1, max: i32::MAX }, Some("-1"), ReadOnly, NO_SHARE,
        "How long the share coordinator gathers records before it writes them; -1 adapts to the load.";
    "share.coordinator.cold.partition.snapshot.interval.ms", INT_FROM_1, Some("300000"), Internal, NO_SHARE,
        "Time after which the state of a quiet share partition is written whole.";
    "share.coordinator.load.buffer.size", INT_FROM_1, Some("5242880"), ReadOnly, NO_SHARE,
        "Bytes read at a time when the state of share groups is loaded.";
    "share.coordinator.snapshot.update.records.per.snapshot", INT_FROM_0, Some("500"), ReadOnly, NO_SHARE,
        "Updates between two whole states of a share partition.";
    "share.coordinator.state.topic.compression.codec", ANY_INT, Some("0"), ReadOnly, NO_SHARE,
        "Codec of the share groups' state topic: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.";
    "share.coordinator.state.topic.min.isr", SHORT_FROM_1, Some("2"), ReadOnly, NO_SHARE,
        "Members the ISR of the share groups' state topic must have.";
    "share.coordinator.state.topic.num.partitions", INT_FROM_1, Some("50"), ReadOnly, NO_SHARE,
        "Partitions of the share groups' state topic.";
    "share.coordinator.state.topic.prune.interval.ms", INT_FROM_1, Some("300000"), Internal, NO_SHARE,
        "Time between two removals of old state of share groups.";
    "share.coordinator.state.topic.replication.factor", SHORT_FROM_1, Some("3"), ReadOnly, NO_SHARE,
        "Replicas of the share groups' state topic.";
    "share.coordinator.state.topic.segment.bytes", INT_FROM_1, Some("104857600"), ReadOnly, NO_SHARE,
        "Segment size of the share groups' state topic.";
    "share.coordinator.threads", INT_FROM_1, Some("1"), ReadOnly, NO_SHARE,
        "Threads of the share coordinator.";
    "share.coordinator.write.timeout.ms", INT_FROM_1, Some("5000"), ReadOnly, NO_SHARE,
        "How long a write of the share coordinator may take.";
    "share.fetch.purgatory.purge.interval.requests", ANY_INT, Some("1000"), ReadOnly, NO_SHARE,
        "How many finished waits of share fetches pile up before they are cleared.";
    "transaction.abort.timed.out.transaction.cleanup.interval.ms", INT_FROM_1, Some("10000"), ReadOnly, NO_TXN,
        "Time between two looks for transactions that took too long.";
    "transaction.max.timeout.ms", INT_FROM_1, Some("900000"), ReadOnly, NO_TXN,
        "Longest time a client may let a transaction stand open.";
    "transaction.partition.verification.enable", Boolean, Some("true"), ClusterWide, NO_TXN,
        "Whether a write is checked against its transaction.";
    "transaction.remove.expired.transaction.cleanup.interval.ms", INT_FROM_1, Some("3600000"), ReadOnly, NO_TXN,
        "Time between two removals of expired transactional ids.";
    "transaction.state.log.load.buffer.size", INT_FROM_1, Some("5242880"), ReadOnly, NO_TXN,
        "Bytes read at a time when transactions are loaded.";
    "transaction.state.log.min.isr", INT_FROM_1, Some("2"), ReadOnly, NO_TXN,
        "Members the ISR of the transactions' topic must have.";
    "transaction.state.log.num.partitions", INT_FROM_1, Some("50"), ReadOnly, NO_TXN,
        "Partitions of the transactions' topic.";
    "transaction.state.log.replication.factor", SHORT_FROM_1, Some("3"), ReadOnly, NO_TXN,
        "Replicas of the transactions' topic.";
    "transaction.state.log.segment.bytes", INT_FROM_1, Some("104857600"), ReadOnly, NO_TXN,
        "Segment size of the transactions' topic.";
    "transaction.two.phase.commit.enable", Boolean, Some("false"), ReadOnly, NO_TXN,
        "Whether outside coordinators may prepare transactions.";
    "transactional.id.expiration.ms", INT_FROM_1, Some("604800000"), ReadOnly, NO_TXN,
        "How long a transactional id without a transaction is remembered.";
};
