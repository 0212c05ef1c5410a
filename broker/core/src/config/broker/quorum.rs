//! Keys of the node and of the metadata quorum.

use super::super::key::ConfigType::{Boolean, ChoiceList, Class, Int, List, Long, Text};
use super::super::key::{
    ANY_INT, ANY_LONG, FOREVER, INT_FROM_0, INT_FROM_1, LONG_FROM_0, LONG_FROM_1,
};
use super::Update::{ClusterWide, Internal, ReadOnly};
use super::effect::{
    ALWAYS_LEAVES, Applied, NO_PERFORMANCE_LOG, NO_PLUGINS, NO_START_LIMIT, NO_UNSTABLE,
    NODE_DEADLINES, OWN_METADATA_LOG,
};
use super::{BrokerKey, Effect, keys};

pub(super) const KEYS: &[BrokerKey] = keys! {
    "alter.config.policy.class.name", Class, None, ReadOnly, NO_PLUGINS,
        "Class that may refuse changes of configurations.";
    "broker.heartbeat.interval.ms", ANY_INT, Some("500"), ReadOnly, Applied,
        "Time between two heartbeats of a broker to the controller.";
    "broker.id", ANY_INT, Some("-1"), ReadOnly, Effect::At("node.id"),
        "Number of this node, by its older name.";
    "broker.rack", Text, None, ReadOnly, Effect::At("node.rack"),
        "Rack, zone or site this node stands in; clients see it.";
    "broker.session.timeout.ms", ANY_INT, Some("2000"), ClusterWide, Applied,
        "How long a broker may be silent before the controller fences it. Among several nodes one value of the cluster: the file's counts until the first controller has committed its own.";
    "client.quota.callback.class", Class, None, ReadOnly, NO_PLUGINS,
        "Class that decides on client quotas.";
    "config.providers", List, Some(""), ClusterWide, NO_PLUGINS,
        "Providers that fill in ${provider:path:key} in values.";
    "controlled.shutdown.enable", Boolean, Some("true"), ReadOnly, ALWAYS_LEAVES,
        "Whether a broker hands over its leaderships before it stops.";
    "controller.listener.names", List, None, ReadOnly, Effect::At("[[listeners]]"),
        "Names of the listeners for controllers.";
    "controller.performance.always.log.threshold.ms", LONG_FROM_0, Some("2000"), Internal, NO_PERFORMANCE_LOG,
        "Length from which an act of the controller is always logged.";
    "controller.performance.sample.period.ms", Long { min: 100, max: i64::MAX }, Some("60000"), Internal, NO_PERFORMANCE_LOG,
        "Time between two summaries of the controller's acts.";
    "controller.quorum.append.linger.ms", INT_FROM_0, Some("25"), ReadOnly, OWN_METADATA_LOG,
        "How long the quorum's leader gathers records before it writes them.";
    "controller.quorum.auto.join.enable", Boolean, Some("false"), ReadOnly, OWN_METADATA_LOG,
        "Whether a controller joins the quorum by itself.";
    "controller.quorum.bootstrap.servers", List, Some(""), ReadOnly, Effect::At("cluster.controllers"),
        "Controllers to ask who leads the quorum.";
    "controller.quorum.election.backoff.max.ms", INT_FROM_0, Some("1000"), ReadOnly, OWN_METADATA_LOG,
        "Longest pause before a new election.";
    "controller.quorum.election.timeout.ms", INT_FROM_0, Some("1000"), ReadOnly, OWN_METADATA_LOG,
        "How long a candidate waits for votes.";
    "controller.quorum.fetch.timeout.ms", INT_FROM_0, Some("2000"), ReadOnly, OWN_METADATA_LOG,
        "How long a voter may hear nothing of its leader before it stands for election.";
    "controller.quorum.request.timeout.ms", INT_FROM_0, Some("2000"), ReadOnly, OWN_METADATA_LOG,
        "How long a request within the quorum may take.";
    "controller.quorum.retry.backoff.ms", INT_FROM_0, Some("20"), ReadOnly, OWN_METADATA_LOG,
        "Pause before a request within the quorum is repeated.";
    "controller.quorum.voters", List, Some(""), ReadOnly, Effect::At("cluster.controllers"),
        "The quorum's voters, as id@host:port.";
    "controller.quota.window.num", INT_FROM_1, Some("11"), ReadOnly, Applied,
        "Samples over which changes of metadata are measured.";
    "controller.quota.window.size.seconds", INT_FROM_1, Some("1"), ReadOnly, Applied,
        "Length of a sample when changes of metadata are measured.";
    "controller.socket.timeout.ms", ANY_INT, Some("30000"), ReadOnly, NODE_DEADLINES,
        "How long a broker waits for the controller's answer.";
    "create.topic.policy.class.name", Class, None, ReadOnly, NO_PLUGINS,
        "Class that may refuse new topics.";
    "initial.broker.registration.timeout.ms", ANY_INT, Some("60000"), ReadOnly, Applied,
        "How long a starting broker tries to register.";
    "inter.broker.listener.name", Text, None, ReadOnly, Effect::At("[[listeners]]"),
        "Name of the listener that brokers use among each other.";
    "internal.metadata.delete.delay.millis", ANY_LONG, Some("60000"), Internal, OWN_METADATA_LOG,
        "Time between the removal of a metadata segment and of its files.";
    "internal.metadata.log.segment.bytes", ANY_INT, None, Internal, OWN_METADATA_LOG,
        "Size of a metadata segment, for Kafka's own tests.";
    "internal.metadata.max.batch.size.in.bytes", ANY_INT, Some("8388608"), Internal, OWN_METADATA_LOG,
        "Largest batch of metadata records.";
    "internal.metadata.max.fetch.size.in.bytes", ANY_INT, Some("8388608"), Internal, OWN_METADATA_LOG,
        "Bytes of metadata that a controller asks for at a time.";
    "log.dir", List, Some("/tmp/kafka-logs"), ReadOnly, Effect::At("node.data"),
        "Data directory, when log.dirs is not set.";
    "log.dirs", List, None, ReadOnly, Effect::At("node.data"),
        "Data directories; here exactly one.";
    "metadata.log.dir", Text, None, ReadOnly, OWN_METADATA_LOG,
        "Directory of the metadata log, if not the data directory.";
    "metadata.log.max.record.bytes.between.snapshots", LONG_FROM_1, Some("20971520"), ReadOnly, Applied,
        "Bytes of metadata between two snapshots.";
    "metadata.log.max.snapshot.interval.ms", LONG_FROM_0, Some("3600000"), ReadOnly, OWN_METADATA_LOG,
        "Time between two snapshots of the metadata.";
    "metadata.log.segment.bytes", Int { min: 8_388_608, max: i32::MAX }, Some("1073741824"), ReadOnly, OWN_METADATA_LOG,
        "Size of a metadata segment.";
    "metadata.log.segment.ms", ANY_LONG, Some("604800000"), ReadOnly, OWN_METADATA_LOG,
        "Age at which a metadata segment is closed.";
    "metadata.max.idle.interval.ms", INT_FROM_0, Some("500"), ReadOnly, OWN_METADATA_LOG,
        "How often the leader writes a record that says nothing, when nothing else happens.";
    "metadata.max.retention.bytes", ANY_LONG, Some("104857600"), ReadOnly, OWN_METADATA_LOG,
        "Bytes of metadata log and snapshots that are kept.";
    "metadata.max.retention.ms", ANY_LONG, Some("604800000"), ReadOnly, OWN_METADATA_LOG,
        "How long metadata log and snapshots are kept.";
    "node.id", INT_FROM_0, None, ReadOnly, Effect::At("node.id"),
        "Number of this node, unique in the cluster.";
    "process.roles", ChoiceList(&["broker", "controller"]), None, ReadOnly, Effect::At("node.roles"),
        "What this node does: broker, controller, or both.";
    "server.max.startup.time.ms", LONG_FROM_0, Some(FOREVER), Internal, NO_START_LIMIT,
        "How long a start may take before it is given up.";
    "unstable.feature.versions.enable", Boolean, Some("false"), Internal, NO_UNSTABLE,
        "Whether levels of features that are still in work may be chosen.";
};
