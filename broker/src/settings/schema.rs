//! The broker's configuration as tables of keys.
//!
//! Keys that Kafka has carry Kafka's names and stand in `[kafka]`. The broker-wide defaults of
//! topic keys are taken from the topics' own table, so that a default stands in one place.

use isthmus_broker_core::config::{ConfigType, TOPIC_KEYS};
use isthmus_config::{DefaultValue, Form, Key, KeyTable, Kind, Rule, Schema};
use std::sync::LazyLock;

static SCHEMA: LazyLock<&'static Schema> =
    LazyLock::new(|| Box::leak(Box::new(build(super::FILE_RULES))));
static DEV_SCHEMA: LazyLock<&'static Schema> =
    LazyLock::new(|| Box::leak(Box::new(build(super::RULES))));

/// The schema; made once and kept for the life of the process.
pub fn schema() -> &'static Schema {
    *SCHEMA
}

/// The schema with `--dev`, where a flag gives the listener.
pub(super) fn dev_schema() -> &'static Schema {
    *DEV_SCHEMA
}

/// Synonyms of topic keys that have a shape of their own: Kafka gives them in several units.
pub(super) const SEVERAL_UNITS: [&str; 4] = [
    "log.retention.ms",
    "log.roll.ms",
    "log.roll.jitter.ms",
    "log.flush.interval.ms",
];

const NODE: &[Key] = &[
    Key::required(
        "id",
        Kind::Int {
            min: 0,
            max: i32::MAX,
        },
    )
    .doc("Number of this node, unique in the cluster and written into its data directory."),
    Key::with_default(
        "roles",
        Kind::Choices(&["broker", "controller"]),
        "broker,controller",
    )
    .doc("What this node does."),
    Key::optional("rack", Kind::Text)
        .doc("Rack, zone or site this node stands in; clients see it."),
    Key::required("data", Kind::List)
        .doc("Data directory: one path. It must have been formatted, except with --dev."),
    Key::optional("observe", Kind::Address)
        .doc("Address of /metrics, /healthz and /readyz. Answers GET only; absent: not served."),
];

const CLUSTER: &[Key] = &[Key::optional("controllers", Kind::List)
    .doc("The quorum's voters as id@host:port. This build runs a quorum of one: this node.")];

const LISTENERS: &[Key] = &[
    Key::required("name", Kind::Text).doc("Name of the listener; clients are shown addresses of the listener they came through."),
    Key::with_default("kind", Kind::Choice(&["client"]), "client")
        .doc("Who may come: clients. Inter-broker and controller listeners come with clusters of several nodes."),
    Key::required("bind", Kind::Address).doc("Address to listen at; port 0 takes any free port."),
    Key::optional("advertised", Kind::Address)
        .doc("Address that clients are told to connect to; without it the bound address."),
];

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;

const KAFKA: &[Key] = &[
    Key::with_default("auto.create.topics.enable", Kind::Bool, "true")
        .doc("Whether a topic is created when a client asks for its metadata."),
    Key::with_default("delete.topic.enable", Kind::Bool, "true")
        .doc("Whether clients may delete topics."),
    Key::with_default("num.partitions", Kind::POSITIVE_INT, "1")
        .doc("Partitions of a topic whose creator gives no number."),
    Key::with_default("default.replication.factor", Kind::Int { min: 1, max: 32_767 }, "1")
        .doc("Replicas of a partition whose creator gives no number."),
    Key::with_default("socket.request.max.bytes", Kind::Int { min: 1_024, max: i32::MAX }, "104857600")
        .doc("Largest request taken, in bytes.")
        .worst("a larger one ends its connection"),
    Key::with_default("queued.max.request.bytes", Kind::Long { min: -1, max: i64::MAX }, "-1")
        .doc("Bytes that all requests being read or handled may take together; -1 is a quarter of the memory.")
        .worst("at the bound further requests wait in their sockets"),
    Key::with_default("connections.max.idle.ms", Kind::Duration { min_ms: SECOND_MS, max_ms: 24 * HOUR_MS }, "600000")
        .doc("A connection without a request for this long is closed."),
    Key::with_default("fetch.max.bytes", Kind::Int { min: 1_024, max: i32::MAX }, "57671680")
        .doc("Most bytes of records in one fetch answer, whatever the client asks for."),
    Key::with_default("request.timeout.ms", Kind::Duration { min_ms: 100, max_ms: HOUR_MS }, "30000")
        .doc("How long a change of metadata that no client set a time for may take."),
    Key::with_default("log.retention.hours", Kind::ANY_INT, "168")
        .doc("Age from which segments are deleted, in hours; minutes and ms come first."),
    Key::optional("log.retention.minutes", Kind::ANY_INT)
        .doc("Age from which segments are deleted, in minutes; log.retention.ms comes first."),
    Key::optional("log.retention.ms", Kind::Duration { min_ms: -1, max_ms: i64::MAX })
        .doc("Age from which segments are deleted, in ms; -1 is no bound."),
    Key::with_default("log.roll.hours", Kind::POSITIVE_INT, "168")
        .doc("Age at which a segment is closed, in hours; log.roll.ms comes first."),
    Key::optional("log.roll.ms", Kind::Duration { min_ms: 1, max_ms: i64::MAX })
        .doc("Age at which a segment is closed, in ms."),
    Key::with_default("log.roll.jitter.hours", Kind::Int { min: 0, max: i32::MAX }, "0")
        .doc("Random part taken off the roll time, in hours; log.roll.jitter.ms comes first."),
    Key::optional("log.roll.jitter.ms", Kind::Duration { min_ms: 0, max_ms: i64::MAX })
        .doc("Random part taken off the roll time, in ms."),
    Key::optional("log.flush.interval.ms", Kind::Duration { min_ms: 0, max_ms: i64::MAX })
        .doc("Time between two fsyncs of a partition, in ms; without it the page cache decides."),
    Key::with_default("log.retention.check.interval.ms", Kind::Duration { min_ms: 1, max_ms: 24 * HOUR_MS }, "300000")
        .doc("Time between two looks for segments to delete."),
    Key::with_default("log.flush.offset.checkpoint.interval.ms", Kind::Duration { min_ms: 1, max_ms: HOUR_MS }, "60000")
        .doc("Time between two writes of the recovery points.")
        .worst("after a crash, what was written since is read through again"),
    Key::with_default("replica.high.watermark.checkpoint.interval.ms", Kind::Duration { min_ms: 1, max_ms: HOUR_MS }, "5000")
        .doc("Time between two writes of the high watermarks."),
    Key::with_default("producer.id.expiration.ms", Kind::Duration { min_ms: 1, max_ms: 365 * 24 * HOUR_MS }, "86400000")
        .doc("How long the sequence numbers of a silent idempotent producer are remembered.")
        .worst("a producer that retries after a longer silence may double a record"),
    Key::with_default("group.min.session.timeout.ms", Kind::Duration { min_ms: 1, max_ms: 2_147_483_647 }, "6000")
        .doc("Shortest session a group member may ask for.")
        .worst("short sessions mean heartbeats in masses"),
    Key::with_default("group.max.session.timeout.ms", Kind::Duration { min_ms: 1, max_ms: 2_147_483_647 }, "1800000")
        .doc("Longest session a group member may ask for.")
        .worst("the partitions of a dead member wait that long"),
    Key::with_default("group.initial.rebalance.delay.ms", Kind::Duration { min_ms: 0, max_ms: 2_147_483_647 }, "3000")
        .doc("How long an empty group waits for more members before its first generation.")
        .worst("delays the first record of every group that starts"),
    Key::with_default("group.max.size", Kind::POSITIVE_INT, "2147483647")
        .doc("Most members of one group."),
    Key::with_default("offset.metadata.max.bytes", Kind::Int { min: 0, max: i32::MAX }, "4096")
        .doc("Longest text kept with a committed offset.")
        .worst("this much per partition and group, in memory and in the log"),
    Key::with_default("offsets.retention.minutes", Kind::POSITIVE_INT, "10080")
        .doc("How long the offsets of a group without members are kept, in minutes.")
        .worst("a group idle for longer starts over"),
    Key::with_default("offsets.retention.check.interval.ms", Kind::Duration { min_ms: 1, max_ms: 24 * HOUR_MS }, "600000")
        .doc("Time between two looks for expired offsets."),
    Key::with_default("offsets.commit.timeout.ms", Kind::Duration { min_ms: 1, max_ms: HOUR_MS }, "5000")
        .doc("How long a commit may wait for its record to be replicated."),
    Key::with_default("offsets.topic.num.partitions", Kind::POSITIVE_INT, "50")
        .doc("Partitions of __consumer_offsets when it is created; not to be changed later."),
    Key::with_default("offsets.topic.replication.factor", Kind::Int { min: 1, max: 32_767 }, "3")
        .doc("Replicas of __consumer_offsets when it is created; more than there are brokers means no groups."),
    Key::with_default("offsets.topic.segment.bytes", Kind::Int { min: 1_048_576, max: i32::MAX }, "104857600")
        .doc("Segment size of __consumer_offsets."),
];

const ENV_IGNORED: &[&str] = &["ISTHMUS_TEST_", "ISTHMUS_FAULT", "ISTHMUS_LOG"];

fn build(rules: &'static [Rule]) -> Schema {
    let kafka: Vec<Key> = KAFKA.iter().copied().chain(topic_defaults()).collect();
    let table = |name, form, keys, doc| KeyTable {
        name,
        form,
        keys,
        doc,
    };
    let tables = vec![
        table("node", Form::Plain, NODE, "This node."),
        table(
            "cluster",
            Form::Plain,
            CLUSTER,
            "The cluster it belongs to.",
        ),
        table(
            "listeners",
            Form::Repeated,
            LISTENERS,
            "Where clients connect.",
        ),
        table(
            "kafka",
            Form::Flat,
            Vec::leak(kafka),
            "Kafka's own keys, as in server.properties.",
        ),
    ];
    Schema {
        tables: Vec::leak(tables),
        rules,
        env_ignored: ENV_IGNORED,
    }
}

fn topic_defaults() -> impl Iterator<Item = Key> {
    TOPIC_KEYS.iter().filter_map(|key| {
        let name = key.synonym.filter(|name| !SEVERAL_UNITS.contains(name))?;
        let default = DefaultValue::Is(key.default);
        Some(Key {
            name,
            kind: kind_of(key.kind),
            default,
            doc: key.doc,
            worst: "",
        })
    })
}

fn kind_of(kind: ConfigType) -> Kind {
    match kind {
        ConfigType::Boolean => Kind::Bool,
        ConfigType::Int { min, max } => Kind::Int { min, max },
        ConfigType::Long { min, max } => Kind::Long { min, max },
        ConfigType::Double { min, max } => Kind::Double { min, max },
        ConfigType::Choice(words) => Kind::Choice(words),
        ConfigType::ChoiceList(words) => Kind::Choices(words),
        ConfigType::List => Kind::List,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_no_faults() {
        assert_eq!(schema().faults(), Vec::<String>::new());
    }
}
