//! Keys of sockets, requests, threads and connections.

use super::super::key::ConfigType::{Boolean, Class, Int, List, Text};
use super::super::key::{ANY_INT, ANY_LONG, INT_FROM_0, INT_FROM_1};
use super::Update::{ClusterWide, Internal, PerBroker, ReadOnly};
use super::effect::{
    ALWAYS_EARLY, Applied, BYTES_NOT_COUNT, FIXED_BACKLOG, NO_PLUGINS, NO_PURGATORY, NO_SESSIONS,
    NO_TXN, NO_UNSTABLE, NODE_DEADLINES, ONE_POOL, SYSTEM_BUFFERS,
};
use super::{BrokerKey, Effect, keys};

pub(super) const KEYS: &[BrokerKey] = keys! {
    "add.partitions.to.txn.retry.backoff.max.ms", INT_FROM_0, Some("100"), ReadOnly, NO_TXN,
        "Longest pause before a failed check of a transaction is tried again on the server.";
    "add.partitions.to.txn.retry.backoff.ms", INT_FROM_1, Some("20"), ReadOnly, NO_TXN,
        "Pause before a failed check of a transaction is tried again on the server.";
    "advertised.listeners", List, None, ReadOnly, Effect::At("[[listeners]]"),
        "Addresses that clients are told, as NAME://host:port; without it those of listeners.";
    "background.threads", INT_FROM_1, Some("10"), ClusterWide, ONE_POOL,
        "Threads for housekeeping.";
    "connection.failed.authentication.delay.ms", INT_FROM_0, Some("100"), ReadOnly, Applied,
        "How long a failed authentication keeps its connection waiting before it is closed.";
    "connections.max.idle.ms", ANY_LONG, Some("600000"), ReadOnly, Applied,
        "A connection without a request for this long is closed.";
    "connections.max.reauth.ms", ANY_LONG, Some("0"), ReadOnly, Applied,
        "How long an authentication holds before the client must authenticate again; 0 is for ever.";
    "delete.records.purgatory.purge.interval.requests", ANY_INT, Some("1"), ReadOnly, NO_PURGATORY,
        "How many finished waits of DeleteRecords pile up before they are cleared.";
    "early.start.listeners", List, None, ReadOnly, ALWAYS_EARLY,
        "Listeners that take connections before the authorizer is ready.";
    "fetch.max.bytes", Int { min: 1_024, max: i32::MAX }, Some("57671680"), ReadOnly, Applied,
        "Most bytes of records in one fetch answer, whatever the client asks for.";
    "fetch.purgatory.purge.interval.requests", ANY_INT, Some("1000"), ReadOnly, NO_PURGATORY,
        "How many finished waits of fetches pile up before they are cleared.";
    "listener.security.protocol.map", Text, Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"), ReadOnly, Effect::At("[[listeners]]"),
        "Security protocol of each listener name, as NAME:PROTOCOL pairs.";
    "listeners", List, Some("PLAINTEXT://:9092"), ReadOnly, Effect::At("[[listeners]]"),
        "Addresses to listen at, as NAME://host:port; no host means every address.";
    "max.connection.creation.rate", INT_FROM_0, Some("2147483647"), ClusterWide, Applied,
        "Most new connections per second, all listeners together or per listener.";
    "max.connections", INT_FROM_0, Some("2147483647"), ClusterWide, Applied,
        "Most connections at a time, all listeners together or per listener.";
    "max.connections.per.ip", INT_FROM_0, Some("2147483647"), ClusterWide, Applied,
        "Most connections from one address at a time.";
    "max.connections.per.ip.overrides", Text, Some(""), ClusterWide, Applied,
        "Most connections from some addresses, as host:number pairs.";
    "max.incremental.fetch.session.cache.slots", INT_FROM_0, Some("1000"), ReadOnly, NO_SESSIONS,
        "How many incremental fetch sessions are kept.";
    "num.io.threads", INT_FROM_1, Some("8"), ClusterWide, ONE_POOL,
        "Threads that work on requests.";
    "num.network.threads", INT_FROM_1, Some("3"), ClusterWide, ONE_POOL,
        "Threads that read requests and write answers.";
    "principal.builder.class", Class, Some("org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder"), PerBroker, NO_PLUGINS,
        "Class that makes a principal out of what a connection proved.";
    "producer.purgatory.purge.interval.requests", ANY_INT, Some("1000"), ReadOnly, NO_PURGATORY,
        "How many finished waits of produce requests pile up before they are cleared.";
    "queued.max.request.bytes", ANY_LONG, Some("-1"), ReadOnly, Applied,
        "Bytes that all requests being read or handled may take together; -1 is a quarter of the memory. At the bound further requests wait in their sockets.";
    "queued.max.requests", INT_FROM_1, Some("500"), ReadOnly, BYTES_NOT_COUNT,
        "How many requests may wait before no more are read.";
    "request.timeout.ms", ANY_INT, Some("30000"), ReadOnly, Applied,
        "How long a change of metadata that no client set a time for may take.";
    "socket.connection.setup.timeout.max.ms", ANY_LONG, Some("30000"), ReadOnly, NODE_DEADLINES,
        "Longest time to set up a connection to another node.";
    "socket.connection.setup.timeout.ms", ANY_LONG, Some("10000"), ReadOnly, NODE_DEADLINES,
        "Time to set up a connection to another node; it grows with each failure.";
    "socket.listen.backlog.size", INT_FROM_1, Some("50"), ReadOnly, FIXED_BACKLOG,
        "How many connections may wait in the system to be accepted.";
    "socket.receive.buffer.bytes", ANY_INT, Some("102400"), ReadOnly, SYSTEM_BUFFERS,
        "Size of a socket's receive buffer; -1 leaves it to the system.";
    "socket.request.max.bytes", INT_FROM_1, Some("104857600"), ReadOnly, Applied,
        "Largest request taken; a larger one ends its connection.";
    "socket.send.buffer.bytes", ANY_INT, Some("102400"), ReadOnly, SYSTEM_BUFFERS,
        "Size of a socket's send buffer; -1 leaves it to the system.";
    "unstable.api.versions.enable", Boolean, Some("false"), Internal, NO_UNSTABLE,
        "Whether versions of requests that are still in work are served.";
};
