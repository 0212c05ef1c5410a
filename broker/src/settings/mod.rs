//! What the broker was told: its settings as types, from file, environment and flags.

mod listeners;
mod schema;

pub use listeners::Listener;
pub use schema::schema;

use isthmus_broker_core::config::TopicConfig;
use isthmus_broker_core::groups::GroupConfig;
use isthmus_broker_core::metadata::TopicDefaults;
use isthmus_config::{
    Breach, ConfigProblems, Effective, Kind, Layers, Loaded, Rule, Setting, Value, load,
};
use listeners::{LISTENER_NAMES, LISTENERS, dev_listener, file_listeners};
use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// All settings of one broker, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    pub node_id: i32,
    pub rack: Option<String>,
    pub data: PathBuf,
    pub observe: Option<SocketAddr>,
    pub listeners: Vec<Arc<Listener>>,
    /// `--dev`: an unformatted directory is formatted without being asked.
    pub dev: bool,
    pub auto_create_topics_enable: bool,
    pub delete_topic_enable: bool,
    pub topic_defaults: TopicDefaults,
    pub socket_request_max_bytes: usize,
    pub queued_max_request_bytes: Option<usize>,
    pub connections_max_idle: Duration,
    pub fetch_max_bytes: usize,
    pub request_timeout: Duration,
    pub retention_check_interval: Duration,
    pub recovery_point_checkpoint_interval: Duration,
    pub high_watermark_checkpoint_interval: Duration,
    pub producer_id_expiration: Duration,
    pub groups: GroupConfig,
    pub offsets_topic_num_partitions: i32,
    pub offsets_topic_replication_factor: i16,
    pub offsets_topic_segment_bytes: i32,
    loaded: Arc<Loaded>,
}

/// A broker key as DescribeConfigs shows it.
pub(crate) struct BrokerEntry {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    pub(crate) is_set: bool,
    pub(crate) is_sensitive: bool,
    pub(crate) type_code: i8,
    pub(crate) doc: String,
}

const SESSION_TIMEOUTS: Rule = Rule {
    keys: &[
        "group.min.session.timeout.ms",
        "group.max.session.timeout.ms",
    ],
    test: session_timeouts_in_order,
};
const DATA: Rule = Rule {
    keys: &["node.data"],
    test: one_directory,
};
const ROLES: Rule = Rule {
    keys: &["node.roles"],
    test: both_roles,
};
const CONTROLLERS: Rule = Rule {
    keys: &["cluster.controllers", "node.id"],
    test: one_controller,
};
/// Rules that always hold, and with them the one for listeners that a file must give.
pub(super) const RULES: &[Rule] = &[SESSION_TIMEOUTS, DATA, ROLES, CONTROLLERS, LISTENER_NAMES];
pub(super) const FILE_RULES: &[Rule] = &[
    SESSION_TIMEOUTS,
    DATA,
    ROLES,
    CONTROLLERS,
    LISTENER_NAMES,
    LISTENERS,
];

/// What `--dev` says when nobody says otherwise: node 1, one listener, one replica everywhere.
pub fn dev_presets() -> Vec<Setting> {
    vec![
        Setting::new("--dev", "node.id", "1"),
        Setting::new("--dev", "node.data", "isthmus-data"),
        Setting::new("--dev", "node.observe", "127.0.0.1:0"),
        Setting::new("--dev", "default.replication.factor", "1"),
        Setting::new("--dev", "offsets.topic.replication.factor", "1"),
        Setting::new("--dev", "group.initial.rebalance.delay.ms", "0"),
    ]
}

impl Settings {
    /// Checks everything at once. `dev_listen`: the address of `--dev`'s only listener, which
    /// takes the place of the file's.
    pub fn load(layers: &Layers, dev_listen: Option<&str>) -> Result<Self, ConfigProblems> {
        let schema = if dev_listen.is_some() {
            schema::dev_schema()
        } else {
            schema()
        };
        let loaded = load(layers, schema)?;
        let listeners = match dev_listen {
            Some(listen) => vec![dev_listener(&loaded, listen)?],
            None => file_listeners(&loaded)?,
        };
        let observe = loaded.find::<&str>("node.observe");
        let observe = observe
            .map(|text| resolve(&loaded, "node.observe", text))
            .transpose()?;
        let long = |key: &str| loaded.get::<i64>(key);
        let duration = |key: &str| loaded.get::<Duration>(key);
        let size = |key: &str| usize::try_from(loaded.get::<i32>(key)).unwrap_or(usize::MAX);
        Ok(Self {
            node_id: loaded.get("node.id"),
            rack: loaded.find("node.rack"),
            data: loaded
                .get::<&[String]>("node.data")
                .first()
                .map(PathBuf::from)
                .unwrap_or_default(),
            observe,
            listeners,
            dev: dev_listen.is_some(),
            auto_create_topics_enable: loaded.get("auto.create.topics.enable"),
            delete_topic_enable: loaded.get("delete.topic.enable"),
            topic_defaults: TopicDefaults {
                num_partitions: loaded.get("num.partitions"),
                replication_factor: i16::try_from(loaded.get::<i32>("default.replication.factor"))
                    .unwrap_or(i16::MAX),
            },
            socket_request_max_bytes: size("socket.request.max.bytes"),
            queued_max_request_bytes: usize::try_from(long("queued.max.request.bytes")).ok(),
            connections_max_idle: duration("connections.max.idle.ms"),
            fetch_max_bytes: size("fetch.max.bytes"),
            request_timeout: duration("request.timeout.ms"),
            retention_check_interval: duration("log.retention.check.interval.ms"),
            recovery_point_checkpoint_interval: duration("log.flush.offset.checkpoint.interval.ms"),
            high_watermark_checkpoint_interval: duration(
                "replica.high.watermark.checkpoint.interval.ms",
            ),
            producer_id_expiration: duration("producer.id.expiration.ms"),
            groups: group_config(&loaded),
            offsets_topic_num_partitions: loaded.get("offsets.topic.num.partitions"),
            offsets_topic_replication_factor: i16::try_from(
                loaded.get::<i32>("offsets.topic.replication.factor"),
            )
            .unwrap_or(i16::MAX),
            offsets_topic_segment_bytes: loaded.get("offsets.topic.segment.bytes"),
            loaded: Arc::new(loaded),
        })
    }

    /// The configuration a topic's partitions work with.
    pub(crate) fn topic_config(&self, own: Option<&BTreeMap<String, String>>) -> TopicConfig {
        TopicConfig::effective(own, &|synonym| self.static_value(synonym))
    }

    /// The value that file, environment or flags gave a broker key, in Kafka's plain form.
    pub(crate) fn static_value(&self, name: &str) -> Option<String> {
        if schema::SEVERAL_UNITS.contains(&name) {
            return self.in_millis(name);
        }
        let known = schema().single_key(name).is_some();
        let set = known && self.loaded.is_set(name);
        set.then(|| {
            self.loaded
                .effective(name)
                .value
                .as_ref()
                .map(ToString::to_string)
        })?
    }

    /// Keys that Kafka has in several units: the finer one comes first.
    fn in_millis(&self, name: &str) -> Option<String> {
        const MINUTE_MS: i64 = 60_000;
        let stem = name.strip_suffix("ms")?;
        [("ms", 1), ("minutes", MINUTE_MS), ("hours", 60 * MINUTE_MS)]
            .iter()
            .find_map(|(unit, ms)| {
                let key = format!("{stem}{unit}");
                if schema().single_key(&key).is_none() || !self.loaded.is_set(&key) {
                    return None;
                }
                let value = self.loaded.effective(&key).value.as_ref()?.to_string();
                let number = value.parse::<i64>().ok()?;
                Some(
                    if number < 0 {
                        number
                    } else {
                        number.saturating_mul(*ms)
                    }
                    .to_string(),
                )
            })
    }

    /// All of Kafka's keys with their effective values.
    pub(crate) fn broker_entries(&self) -> impl Iterator<Item = BrokerEntry> {
        let kafka = schema().table("kafka").map_or(&[][..], |table| table.keys);
        kafka.iter().map(|key| {
            let effective: &Effective = self.loaded.effective(key.name);
            let is_sensitive = key.kind == Kind::Secret;
            let shown = effective.value.as_ref().filter(|_| !is_sensitive);
            BrokerEntry {
                name: key.name.to_owned(),
                value: shown.map(Value::to_string),
                is_set: self.loaded.is_set(key.name),
                is_sensitive,
                type_code: type_code(key.kind),
                doc: key.doc.to_owned(),
            }
        })
    }
}

/// The `ConfigType` code of DescribeConfigs (KIP-569).
fn type_code(kind: Kind) -> i8 {
    match kind {
        Kind::Bool => 1,
        Kind::Text | Kind::Path | Kind::Address | Kind::Choice(_) => 2,
        Kind::Int { .. } => 3,
        Kind::Long { .. } | Kind::Bytes { .. } | Kind::Duration { .. } => 5,
        Kind::Double { .. } => 6,
        Kind::List | Kind::Choices(_) => 7,
        Kind::Secret => 9,
    }
}

fn group_config(loaded: &Loaded) -> GroupConfig {
    let millis =
        |key: &str| i64::try_from(loaded.get::<Duration>(key).as_millis()).unwrap_or(i64::MAX);
    let int = |key: &str| i32::try_from(millis(key)).unwrap_or(i32::MAX);
    GroupConfig {
        min_session_timeout_ms: int("group.min.session.timeout.ms"),
        max_session_timeout_ms: int("group.max.session.timeout.ms"),
        initial_rebalance_delay_ms: int("group.initial.rebalance.delay.ms"),
        max_size: loaded.get("group.max.size"),
        offset_metadata_max_bytes: loaded.get("offset.metadata.max.bytes"),
        offsets_retention_ms: i64::from(loaded.get::<i32>("offsets.retention.minutes")) * 60_000,
        offsets_retention_check_interval_ms: millis("offsets.retention.check.interval.ms"),
        offsets_commit_timeout_ms: millis("offsets.commit.timeout.ms"),
        ..GroupConfig::default()
    }
}

fn session_timeouts_in_order(loaded: &Loaded) -> Result<(), Breach> {
    let (min, max) = (
        "group.min.session.timeout.ms",
        "group.max.session.timeout.ms",
    );
    if loaded.get::<Duration>(min) <= loaded.get::<Duration>(max) {
        return Ok(());
    }
    breach(
        max,
        "is less than group.min.session.timeout.ms",
        "set it to that or more",
    )
}

fn resolve(loaded: &Loaded, key: &str, text: &str) -> Result<SocketAddr, ConfigProblems> {
    let mut found = text.to_socket_addrs().map_err(|error| {
        let what = format!("{text} cannot be resolved: {error}");
        loaded.problem(key, what, "write an address of this machine as host:port")
    })?;
    found.next().ok_or_else(|| {
        let what = format!("{text} has no address");
        loaded
            .problem(key, what, "write an address of this machine as host:port")
            .into()
    })
}

fn breach(key: &str, what: &str, remedy: &str) -> Result<(), Breach> {
    Err(Breach {
        key: key.to_owned(),
        what: what.to_owned(),
        remedy: remedy.to_owned(),
    })
}

fn one_directory(loaded: &Loaded) -> Result<(), Breach> {
    match loaded.get::<&[String]>("node.data").len() {
        1 => Ok(()),
        _ => breach(
            "node.data",
            "must be one directory",
            "put several disks under one file system",
        ),
    }
}

fn both_roles(loaded: &Loaded) -> Result<(), Breach> {
    let roles = loaded.get::<&[String]>("node.roles");
    let has = |role: &str| roles.iter().any(|word| word == role);
    if has("broker") && has("controller") {
        return Ok(());
    }
    let remedy = "write roles = [\"broker\", \"controller\"]: this build runs clusters of one node";
    breach("node.roles", "must name both roles", remedy)
}

fn one_controller(loaded: &Loaded) -> Result<(), Breach> {
    let controllers = loaded
        .find::<&[String]>("cluster.controllers")
        .unwrap_or_default();
    let own = format!("{}@", loaded.get::<i32>("node.id"));
    match controllers {
        [] => Ok(()),
        [only] if only.starts_with(&own) => Ok(()),
        _ => {
            let remedy = "name this node alone: this build runs clusters of one node";
            breach("cluster.controllers", "names other nodes", remedy)
        }
    }
}
