//! The tables and keys of a model file. From them come the loader's checks, the JSON schema and the
//! page of docs.

use super::outcome::REPLICAS_MAX;
use crate::{Form, Key, KeyTable, Kind, Schema};

/// A model file.
pub static SCHEMA: Schema = Schema {
    tables: &[
        KeyTable {
            name: "model",
            form: Form::Plain,
            keys: MODEL,
            doc: "What the model is.",
        },
        repeated("sites", SITES, "Places that fail as a whole."),
        repeated("links", LINKS, "What lies between two sites."),
        repeated("clusters", CLUSTERS, "Clusters, each with its own quorum."),
        repeated("nodes", NODES, "Brokers and controllers."),
        repeated(
            "topics",
            TOPICS,
            "Topics as they are made before the load begins.",
        ),
        repeated(
            "flows",
            FLOWS,
            "What is mirrored from one cluster to another.",
        ),
        repeated(
            "clients",
            CLIENTS,
            "Who produces and consumes, where, and how much.",
        ),
        KeyTable {
            name: "load",
            form: Form::Plain,
            keys: LOAD,
            doc: "The times of a drill.",
        },
        repeated(
            "cells",
            CELLS,
            "What a drill does to the deployment. A placebo, the same without the fault, stands beside each.",
        ),
        repeated("claims", CLAIMS, "What somebody says of the model."),
        repeated("predictions", PREDICTIONS, "What the numbers should be."),
        repeated("prices", PRICES, "What things cost, and on which day."),
    ],
    rules: &[],
    env_ignored: &[],
};

const fn repeated(name: &'static str, keys: &'static [Key], doc: &'static str) -> KeyTable {
    KeyTable {
        name,
        form: Form::Repeated,
        keys,
        doc,
    }
}

const COUNT: Kind = Kind::POSITIVE_INT;
const PORT: Kind = Kind::Int {
    min: 1,
    max: u16::MAX as i32,
};
/// Every set of replicas is looked at.
const REPLICAS: Kind = Kind::Int {
    min: 1,
    max: REPLICAS_MAX as i32,
};
const LINK_KIND: Kind = Kind::Choice(&["between-zones", "between-regions"]);
/// A round trip longer than this is a mistake in the unit.
const RTT: Kind = Kind::Duration {
    min_ms: 0,
    max_ms: 10_000,
};
/// A drill that takes longer is a mistake in the unit.
const SPAN: Kind = Kind::Duration {
    min_ms: 1_000,
    max_ms: 86_400_000,
};

const MODEL: &[Key] = &[
    Key::required("name", Kind::Text).doc("The model's name, in reports and folders."),
    Key::required("title", Kind::Text).doc("One sentence for who does not know the model."),
    Key::optional("accepts", Kind::Choices(&["unsafe-quorum"]))
        .doc("Dangers that it asks for on purpose; without that they are refused. unsafe-quorum: one site takes the quorum along."),
];

const SITES: &[Key] = &[
    Key::required("name", Kind::Text).doc("The site's name."),
    Key::optional("racks", Kind::List).doc("Its racks; brokers know racks only, never sites. Without any the site is one rack of its own name."),
];

const LINKS: &[Key] = &[
    Key::required("between", Kind::List).doc("The two sites."),
    Key::required("rtt", RTT).doc("Round trip, both ways together."),
    Key::with_default("jitter", RTT, "0").doc("How much a round trip varies."),
    Key::optional(
        "rate",
        Kind::Bytes {
            min: 1_000,
            max: i64::MAX,
        },
    )
    .doc("Bytes per second in each direction. Without it there is no limit."),
    Key::with_default("loss", Kind::Double { min: 0.0, max: 0.5 }, "0")
        .doc("Share of packets that are lost, 0.01 for one in a hundred."),
    Key::optional("kind", LINK_KIND)
        .doc("What its bytes are billed as. Without it no price is told."),
];

const CLUSTERS: &[Key] = &[
    Key::required("name", Kind::Text)
        .doc("The cluster's name, which prefixes the names of its mirrored topics; no dot in it."),
    Key::optional("settings", Kind::List)
        .doc("Kafka's own broker keys for all its nodes, each as \"key=value\"."),
];

const NODES: &[Key] = &[
    Key::required("id", COUNT).doc("Its number, unique in its cluster."),
    Key::required("cluster", Kind::Text).doc("Its cluster."),
    Key::required("site", Kind::Text).doc("Where it stands."),
    Key::optional("rack", Kind::Text)
        .doc("Its rack, one of its site's. Without it the site's only rack."),
    Key::with_default(
        "roles",
        Kind::Choices(&["broker", "controller"]),
        "broker,controller",
    )
    .doc("What it does; a witness is a controller only."),
    Key::with_default("host", Kind::Text, "127.0.0.1")
        .doc("The name or address that clients and nodes reach it by."),
    Key::required("port", PORT).doc("Where clients reach it."),
    Key::optional("controller_port", PORT)
        .doc("Where controllers talk. Without it the number after port."),
    Key::optional("broker_port", PORT)
        .doc("Where brokers of Isthmus talk to each other, if its cluster has several nodes. Without it the second number after port."),
];

const TOPICS: &[Key] = &[
    Key::required("name", Kind::Text).doc("The topic's name on the clusters where it is made, without a prefix of the mirror."),
    Key::required("clusters", Kind::List).doc("The clusters on which it is made."),
    Key::required("partitions", COUNT).doc("Its partitions."),
    Key::required("replication_factor", REPLICAS).doc("Replicas of each partition, at most as many as the cluster has brokers."),
    Key::required("min_insync_replicas", COUNT).doc("Replicas that must have a record before it is acknowledged to acks=all."),
    Key::with_default("min_insync_racks", COUNT, "1").doc("Racks, besides, in which those replicas must be; at most as many as its replicas can be in. Apache Kafka knows nothing of it, and its files leave it out."),
    Key::with_default("observers", Kind::Int { min: 0, max: i32::MAX }, "0").doc("Of the replicas: those that never count for the in-sync set by themselves."),
    Key::with_default("unclean", Kind::Bool, "false").doc("Whether a replica that lacks records may lead when no other is left.").worst("true loses acknowledged records for availability."),
    Key::optional("retention", Kind::Duration { min_ms: -1, max_ms: i64::MAX }).doc("How long records are kept. Without it as long as the broker's default says; shorter than a drill, and nothing can be judged."),
];

const FLOWS: &[Key] = &[
    Key::optional("name", Kind::Text).doc("Without it SOURCE-to-TARGET."),
    Key::required("source", Kind::Text).doc("The cluster that is read."),
    Key::required("target", Kind::Text).doc("The cluster that is written."),
    Key::required("site", Kind::Text).doc("Where the replicator runs; near the target as a rule, since reading over a long way hurts less than writing."),
    Key::with_default("topics", Kind::List, ".*").doc("Regular expressions for the names of topics, full match."),
    Key::optional("exclude", Kind::List).doc("Regular expressions for topics that are left out."),
    Key::with_default("naming", Kind::Choice(&["source-prefix", "owner-prefix", "identity"]), "source-prefix").doc("How a topic is called on the target.").worst("identity in both directions would mirror records in a circle, and is refused."),
    Key::with_default("groups", Kind::List, ".*").doc("Regular expressions for consumer groups whose offsets are translated."),
    Key::optional("replication_factor", COUNT).doc("Of mirrored topics. Without it the target's default."),
];

const CLIENTS: &[Key] = &[
    Key::required("name", Kind::Text).doc("The client's name, in the ledgers and the report."),
    Key::required("kind", Kind::Choice(&["producer", "consumer"])).doc("What it does."),
    Key::required("site", Kind::Text).doc("Where it stands."),
    Key::required("cluster", Kind::Text).doc("The cluster it is pointed at."),
    Key::optional("switch_to", Kind::Text).doc("The cluster to which its team switches it when its own is lost. Without it the client waits."),
    Key::required("topics", Kind::List).doc("A producer's only topic; a consumer's topics, or a regular expression that begins with ^."),
    Key::optional("group", Kind::Text).doc("A consumer's group."),
    Key::optional("rate", Kind::Int { min: 1, max: 1_000_000 }).doc("A producer's records per second."),
    Key::optional("record_bytes", Kind::Int { min: 1, max: 100_000_000 }).doc("Bytes of each of its values, 200 without it."),
    Key::optional("keys", COUNT).doc("Its distinct keys, 64 without it."),
    Key::optional("settings", Kind::List).doc("Settings of the client library, each as \"key=value\"."),
];

const LOAD: &[Key] = &[
    Key::with_default("run", SPAN, "60s").doc("How long records are intended."),
    Key::with_default("fault_after", SPAN, "20s").doc("From the first record to the fault."),
    Key::with_default("switch_after", SPAN, "5s")
        .doc("From the fault to the switch of the clients: how long the operators take."),
];

const CELLS: &[Key] = &[
    Key::required("name", Kind::Text).doc("The cell's name, in reports and folders."),
    Key::required("kill", Kind::Text)
        .doc("The cluster whose nodes are all killed with SIGKILL, at once."),
    Key::optional("returns_after", SPAN)
        .doc("From the fault until its nodes are started again on their old data. Without it the cluster never comes back."),
];

const CLAIMS: &[Key] = &[
    Key::optional("cell", Kind::Text).doc("The cell that is measured against it."),
    Key::optional("fails", Kind::Text).doc("The site whose loss it is about, for `isthmus plan`."),
    Key::optional("leaves", Kind::Choice(&["W", "R+", "R", "U", "X"]))
        .doc("What it says is left then, of the worst partition."),
    Key::optional("topic", Kind::Text).doc("The topic it is about. Without it all."),
    Key::with_default("isr", Kind::Choice(&["full", "worst"]), "full")
        .doc("Who was in sync before: all, or the worst set with which acks=all is accepted."),
    Key::optional("corrected", Kind::Text)
        .doc("The id of the contradiction by which it does not hold."),
    Key::required("text", Kind::Text).doc("The claim."),
    Key::required("source", Kind::Text).doc("Who says so, as an id that can be looked up."),
];

const ANY_NUMBER: Kind = Kind::Double {
    min: 0.0,
    max: 1e15,
};

const PREDICTIONS: &[Key] = &[
    Key::required("cell", Kind::Text).doc("The cell."),
    Key::required(
        "quantity",
        Kind::Choice(&[
            "lost_records",
            "lost_seconds",
            "produce_outage_seconds",
            "fetch_outage_seconds",
            "duplicates",
        ]),
    )
    .doc("The number."),
    Key::required("min", ANY_NUMBER).doc("It is not smaller."),
    Key::required("max", ANY_NUMBER).doc("It is not larger."),
];

const PRICES: &[Key] = &[
    Key::required("what", LINK_KIND).doc("What is paid for."),
    Key::required("amount", ANY_NUMBER).doc("How much, for 10^9 bytes in one direction."),
    Key::required("unit", Kind::Text).doc("Of which money."),
    Key::required("day", Kind::Text).doc("The day on which it was so, as 2026-11-22."),
    Key::required("source", Kind::Text).doc("Where it was read."),
];
