//! The replicator's file as tables of keys (`docs/configuration.md`).

use isthmus_config::{Form, Key, KeyTable, Kind, Schema};

static SCHEMA: Schema = Schema {
    tables: &[
        KeyTable {
            name: "daemon",
            form: Form::Plain,
            keys: DAEMON,
            doc: "This daemon. May be left out to try one instance.",
        },
        KeyTable {
            name: CLUSTERS,
            form: Form::Named,
            keys: CLUSTER,
            doc: "A cluster, by the name that stands in front of its topics elsewhere.",
        },
        KeyTable {
            name: FLOWS,
            form: Form::Repeated,
            keys: FLOW,
            doc: "Topics and groups that go from one cluster to another.",
        },
    ],
    rules: &[],
    env_ignored: &["ISTHMUS_LOG", "ISTHMUS_TEST_", "ISTHMUS_FAULT"],
};

pub(super) const CLUSTERS: &str = "clusters";
pub(super) const FLOWS: &str = "flows";

/// The schema of the replicator's file.
pub fn schema() -> &'static Schema {
    &SCHEMA
}

/// Below this a daemon of a few hundred partitions stands still half of the time.
const MEMORY_MIN: i64 = 8 << 20;

/// One byte a second still moves; nothing is a pause, which is said otherwise.
const RATE: Kind = Kind::Bytes {
    min: 1,
    max: i64::MAX,
};

const DAEMON: &[Key] = &[
    Key::optional("name", Kind::Text)
        .doc("Name of the daemon: instances of one name share the work and the saved state."),
    Key::optional("observe", Kind::Address)
        .doc("Address of /metrics, /healthz, /readyz and /status. Answers GET only; absent: not served."),
    Key::optional("control", Kind::Address)
        .doc("Address for pause and resume; absent: not served. Beyond loopback only with a control_token."),
    Key::optional("control_token", Kind::Secret)
        .doc("What a client of `control` must show as a bearer token; read again for each request."),
    Key::with_default(
        "memory",
        Kind::Bytes {
            min: MEMORY_MIN,
            max: i64::MAX,
        },
        "64MiB",
    )
    .doc("Bytes of records under way, of all flows together.")
    .worst("too little leaves the links idle, and too much is memory of this machine"),
];

const CLUSTER: &[Key] = &[
    Key::required("bootstrap", Kind::List)
        .doc("Brokers to ask first, host:port each; one text is fine too."),
    Key::optional("tls.ca_file", Kind::Path)
        .doc("TLS: PEM file with the authorities that may have signed the brokers' certificates; no others are trusted. Read again on each connection."),
    Key::optional("tls.cert_file", Kind::Path)
        .doc("Mutual TLS: PEM file with the certificate to show and those between it and its authority."),
    Key::optional("tls.key_file", Kind::Path)
        .doc("Mutual TLS: PEM file with the certificate's private key, not encrypted."),
    Key::optional("tls.server_name", Kind::Text)
        .doc("TLS: the name that every broker's certificate must carry, in place of the host that was dialled."),
    Key::optional(
        "sasl.mechanism",
        Kind::Choice(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]),
    )
    .doc("SASL: how to log in."),
    Key::optional("sasl.username", Kind::Text).doc("SASL: as whom."),
    Key::optional("sasl.password_file", Kind::Path)
        .doc("SASL: file with the password on its first line. Read again at each login."),
    Key::optional("sasl.password", Kind::Secret)
        .doc("SASL: where else the password stands, as \"env:NAME\" or \"file:PATH\"."),
];

const FLOW: &[Key] = &[
    Key::optional("name", Kind::Text)
        .doc("Name of the flow in commands, metrics, saved state and client ids; without it source-to-target."),
    Key::required("source", Kind::Text).doc("Cluster to copy from, by its name above."),
    Key::required("target", Kind::Text).doc("Cluster to copy to, by its name above."),
    Key::required("topics", Kind::List)
        .doc("Topics to copy: regular expressions that match the whole name. Topics of the brokers and of mirrors are never copied."),
    Key::with_default("exclude", Kind::List, r"mm2.*\.internal,.*\.replica,__.*")
        .doc("Topics to leave out, whatever `topics` says. The default is MirrorMaker's."),
    Key::with_default(
        "naming",
        Kind::Choice(&["source-prefix", "owner-prefix", "identity"]),
        "source-prefix",
    )
    .doc("Names at the target. source-prefix: `orders` of east is `east.orders`. owner-prefix: names carry their owner's name from birth and stay; only the owner's flows copy them. identity: as at the source, only where no cycle of flows is possible."),
    Key::optional(
        "replication_factor",
        Kind::Int {
            min: 1,
            max: i16::MAX as i32,
        },
    )
    .doc("Replicas of topics made at the target; without it the target's default."),
    Key::with_default("groups", Kind::List, ".*")
        .doc("Consumer groups whose offsets are carried along, for topics that are copied: regular expressions that match the whole name."),
    Key::with_default("groups_exclude", Kind::List, "console-consumer-.*,connect-.*,__.*")
        .doc("Groups to leave out, whatever `groups` says. The default is MirrorMaker's."),
    Key::with_default("start", Kind::Text, "earliest")
        .doc("Where to begin in topics without saved progress: earliest, latest, or a time such as 2026-11-22T06:00:00Z."),
    Key::with_default(
        "existing",
        Kind::Choice(&["refuse", "append", "mm2"]),
        "refuse",
    )
    .doc("A target topic that holds records and of which no progress is saved: refuse it, or append behind what is there."),
    Key::optional("max_bytes_per_second", RATE)
        .doc("Bytes fetched in a second, on average; without it no bound."),
    Key::optional("catch_up_bytes_per_second", RATE)
        .doc("The bound while the lag is over five minutes; without it the ordinary one."),
    Key::with_default(
        "rpo_target",
        Kind::Duration {
            min_ms: 1,
            max_ms: i64::MAX,
        },
        "30s",
    )
    .doc("How much of the past may be missing at the target; alerts and status measure against it."),
    Key::with_default("source_writes", Kind::Bool, "false")
        .doc("Whether heartbeats and a canary may be written at the source. This build never writes there."),
];
