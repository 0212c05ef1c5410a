//! The broker's configuration as tables of keys.
//!
//! Keys that Kafka has carry Kafka's names and stand in `[kafka]`. They are taken from the core's
//! table of all broker keys, so that a default stands in one place.

use isthmus_broker_core::config::{BrokerKey, ConfigType, Effect, broker_keys};
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

const CLUSTER: &[Key] = &[
    Key::optional("controllers", Kind::List)
        .doc("The quorum's voters as id@host:port; without it this node is its own controller. Addresses may change at a restart; who votes stands in the quorum itself."),
    Key::optional("secret_file", Kind::Path)
        .doc("File with what all nodes of the cluster know, 32 characters or more; nodes prove to each other that they know it.")
        .worst("it does not hide what nodes say to each other: where others can listen, use TLS"),
];

const LEASE: &[Key] = &[
    Key::with_default("fencing", Kind::Bool, "true")
        .doc("Whether a leader that is cut off stops acknowledging writes by itself, before another one is elected; without it, as in Kafka, what it acknowledges with acks=1 is lost for as long as the cut lasts."),
];

const LISTENERS: &[Key] = &[
    Key::required("name", Kind::Text).doc("Name of the listener; clients are shown addresses of the listener they came through."),
    Key::with_default("kind", Kind::Choice(&["client", "broker", "controller"]), "client")
        .doc("Who comes: clients; brokers, and clients as well; controllers. Requests that only nodes may make are answered on the latter two.")
        .worst("beyond loopback, those two need cluster.secret_file or tls.client_auth = required"),
    Key::required("bind", Kind::Address).doc("Address to listen at; port 0 takes any free port."),
    Key::optional("advertised", Kind::Address)
        .doc("Address that clients are told to connect to; without it the bound address."),
    Key::optional("tls.cert_file", Kind::Path)
        .doc("TLS: PEM file with the certificate to show and those between it and its authority. Read again on change."),
    Key::optional("tls.key_file", Kind::Path)
        .doc("TLS: PEM file with the certificate's private key, not encrypted; may be the same file."),
    Key::optional("tls.client_ca_file", Kind::Path)
        .doc("TLS: PEM file with the authorities whose signature makes a client's certificate good."),
    Key::with_default("tls.client_auth", Kind::Choice(&["none", "requested", "required"]), "none")
        .doc("TLS: whether clients show a certificate; its subject is then the principal. Kafka's ssl.client.auth.")
        .worst("with none or requested, whoever reaches the port comes in as User:ANONYMOUS"),
    Key::optional("tls.principal_mapping_rules", Kind::Text)
        .doc("TLS: from a certificate's subject to a principal's name, as Kafka's ssl.principal.mapping.rules."),
    Key::optional("sasl.mechanisms", Kind::Choices(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]))
        .doc("SASL: how clients prove who they are; none: they need not. Users of SCRAM are kept in the cluster's metadata.")
        .worst("PLAIN without TLS shows passwords to everyone on the way"),
    Key::optional("sasl.plain_users_file", Kind::Path)
        .doc("SASL: file with the users of PLAIN, name:password on each line. Read again on change."),
    Key::optional("sasl.plain_jaas", Kind::Secret)
        .doc("SASL: the users of PLAIN as Kafka's plain.sasl.jaas.config has them, in place of the file."),
    Key::with_default("max_connections", Kind::Int { min: 1, max: 1_000_000 }, "20000")
        .doc("Open connections of this listener; at the bound new ones wait until others end.")
        .worst("each costs about 20 kB, under TLS twice that"),
    Key::optional("max_connection_creation_rate", Kind::POSITIVE_INT)
        .doc("New connections of this listener in a second; beyond it they wait."),
];

const EVIDENCE: &[Key] = &[
    Key::with_default(
        "max_bytes",
        Kind::Bytes {
            min: 0,
            max: i64::MAX,
        },
        "64MiB",
    )
    .doc("Most bytes of files in the data directory that keep what followers cut off their logs because their leaders do not have it; the oldest go first. 0: nothing is kept.")
    .worst("so much less is free on the data directory's disk"),
];

/// Keys of Kafka's own authorizer, which the broker's table does not have.
const AUTHORIZER: &[Key] = &[
    Key::optional("super.users", Kind::Text)
        .doc("Principals that may do everything, as User:a;User:b.")
        .worst("a wrong name here has every right"),
    Key::with_default("allow.everyone.if.no.acl.found", Kind::Bool, "false")
        .doc("Whether everything is allowed on a resource on which no ACL stands."),
];

/// Variables that are no keys. The last one is there in builds with fault points only: any other build refuses
/// to start where it is set, rather than keep a rule unasked.
const ENV_IGNORED: &[&str] = match cfg!(feature = "fault-points") {
    false => &["ISTHMUS_TEST_", "ISTHMUS_FAULT", "ISTHMUS_LOG"],
    true => &[
        "ISTHMUS_TEST_",
        "ISTHMUS_FAULT",
        "ISTHMUS_LOG",
        "ISTHMUS_FAULT_RULE",
    ],
};

fn build(rules: &'static [Rule]) -> Schema {
    let kafka = broker_keys().filter_map(kafka_key);
    let kafka: Vec<Key> = kafka.chain(AUTHORIZER.iter().copied()).collect();
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
            "lease",
            Form::Plain,
            LEASE,
            "What a broker needs to acknowledge writes.",
        ),
        table(
            "listeners",
            Form::Repeated,
            LISTENERS,
            "Where clients and nodes connect.",
        ),
        table(
            "evidence",
            Form::Plain,
            EVIDENCE,
            "What is kept of records that are cut off.",
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

/// A key of Kafka's as one of `[kafka]`, unless a key of ours takes its place.
fn kafka_key(key: &BrokerKey) -> Option<Key> {
    match key.effect {
        Effect::At(_) => return None,
        Effect::Applied | Effect::Nothing(_) => {}
    }
    let default = match key.default {
        Some(default) => DefaultValue::Is(default),
        None => DefaultValue::Unset,
    };
    Some(Key {
        name: key.name,
        kind: kind_of(key),
        default,
        doc: key.doc,
        worst: "",
    })
}

/// Kafka tells units by the end of a name; those we read as durations and sizes.
fn kind_of(key: &BrokerKey) -> Kind {
    let whole = |min: i64, max: i64| {
        if key.name.ends_with(".ms") {
            Some(Kind::Duration {
                min_ms: min,
                max_ms: max,
            })
        } else if key.name.ends_with(".bytes") || key.name.ends_with(".buffer.size") {
            Some(Kind::Bytes { min, max })
        } else {
            None
        }
    };
    match key.kind {
        ConfigType::Boolean => Kind::Bool,
        ConfigType::Short { min, max } => Kind::Int {
            min: min.into(),
            max: max.into(),
        },
        ConfigType::Int { min, max } => {
            whole(min.into(), max.into()).unwrap_or(Kind::Int { min, max })
        }
        // The number outside the range lies below it; what lies between is refused by a rule.
        ConfigType::IntOr { min, max, or } => Kind::Int {
            min: min.min(or),
            max: max.max(or),
        },
        ConfigType::Long { min, max } => whole(min, max).unwrap_or(Kind::Long { min, max }),
        ConfigType::Double { min, max } => Kind::Double { min, max },
        ConfigType::Choice(words) | ConfigType::ChoiceAnyCase(words) => Kind::Choice(words),
        ConfigType::ChoiceList(words) => Kind::Choices(words),
        ConfigType::List | ConfigType::ReplicaList => Kind::List,
        ConfigType::Text | ConfigType::Class => Kind::Text,
        ConfigType::Password => Kind::Secret,
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
