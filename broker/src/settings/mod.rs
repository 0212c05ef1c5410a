//! What the broker was told: its settings as types, from file, environment and flags.

mod cleaner;
mod cluster;
mod doors;
mod dynamic;
mod kafka_names;
mod limits;
mod listeners;
mod racks;
mod schema;
mod security;
mod server_properties;

pub use cluster::Roles;
pub use kafka_names::{kafka_place, key_effect};
pub use limits::{ConnectionLimits, LimitError};
pub use listeners::{
    ClientAuth, Listener, ListenerKind, PlainUsersPlace, SaslSettings, SecurityProtocol,
    TlsSettings,
};
pub use schema::schema;
pub use server_properties::read_config;

pub(crate) use cleaner::CleanerSettings;
pub(crate) use cluster::ClusterSettings;
pub(crate) use dynamic::DynamicSettings;
pub(crate) use listeners::host_and_port;

use crate::replication::ReplicationSettings;
use cluster::{CONTROLLERS, COPIES, GUARDED, KINDS, OWN_ADDRESS, ROLES, SESSION, TRUST};
use isthmus_broker_core::config::{TopicConfig, broker_key, min_insync_replicas};
use isthmus_broker_core::groups::GroupConfig;
use isthmus_broker_core::metadata::{ConfigResource, MetadataImage, Sufficiency, TopicDefaults};
use isthmus_broker_core::quotas::QuotaWindow;
use isthmus_broker_core::replica::ReplicaSelector;
use isthmus_broker_core::security::Authorizer;
use isthmus_config::{Breach, ConfigProblem, ConfigProblems, Layers, Loaded, Rule, Setting, load};
use listeners::{LISTENER_NAMES, LISTENERS, dev_listeners, file_listeners};
use racks::{PLACEMENT, SELECTOR};
use security::SUPER_USERS;
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
    /// `None`: there are no ACLs and everything is allowed.
    pub authorizer: Option<Authorizer>,
    pub socket_request_max_bytes: usize,
    pub queued_max_request_bytes: Option<usize>,
    pub connections_max_idle: Duration,
    pub connection_limits: ConnectionLimits,
    pub failed_authentication_delay: Duration,
    pub fetch_max_bytes: usize,
    pub request_timeout: Duration,
    pub retention_check_interval: Duration,
    pub recovery_point_checkpoint_interval: Duration,
    pub high_watermark_checkpoint_interval: Duration,
    /// How long a follower may lag before it leaves the ISR.
    pub replica_lag_time_max: Duration,
    pub(crate) replication: ReplicationSettings,
    /// Which replica consumers are told to read from.
    pub(crate) replica_selector: ReplicaSelector,
    /// Between two looks for partitions that their preferred replica does not lead; none where
    /// nobody is to look.
    pub(crate) leader_balance_interval: Option<Duration>,
    /// Where neither a topic nor the cluster says anything.
    pub(crate) unclean_leader_election: bool,
    /// Bound on the files that keep what followers cut off; 0: nothing is kept.
    pub(crate) evidence_max_bytes: u64,
    /// Bytes of metadata records behind which a snapshot is taken.
    pub metadata_snapshot_bytes: u64,
    pub(crate) cluster: ClusterSettings,
    /// How long a broker may be silent before the controller fences it.
    pub broker_session_timeout: Duration,
    pub broker_heartbeat_interval: Duration,
    /// Leaders acknowledge nothing without a lease; never at a node that has no others beside it.
    pub(crate) lease_fencing: bool,
    pub initial_broker_registration_timeout: Duration,
    pub groups: GroupConfig,
    /// Over which the use of clients is measured.
    pub quota_window: QuotaWindow,
    /// Over which their changes of metadata are.
    pub controller_quota_window: QuotaWindow,
    pub offsets_topic_num_partitions: i32,
    pub offsets_topic_replication_factor: i16,
    pub offsets_topic_segment_bytes: i32,
    /// What may change while the broker runs; all clones share it.
    pub(crate) dynamic: Arc<DynamicSettings>,
    /// What a person should look at, though the configuration holds.
    notices: Vec<ConfigProblem>,
    idle: Vec<ConfigProblem>,
}

const SESSION_TIMEOUTS: Rule = Rule {
    keys: &[
        "group.min.session.timeout.ms",
        "group.max.session.timeout.ms",
    ],
    test: session_timeouts_in_order,
};
const GZIP_LEVEL: Rule = Rule {
    keys: &["compression.gzip.level"],
    test: gzip_level_exists,
};
const DATA: Rule = Rule {
    keys: &["node.data"],
    test: one_directory,
};
/// Rules that always hold, and with them the one for listeners that a file must give.
pub(super) const RULES: &[Rule] = &[
    SUPER_USERS,
    SESSION_TIMEOUTS,
    GZIP_LEVEL,
    DATA,
    SELECTOR,
    PLACEMENT,
    ROLES,
    CONTROLLERS,
    KINDS,
    OWN_ADDRESS,
    COPIES,
    GUARDED,
    TRUST,
    SESSION,
    LISTENER_NAMES,
];
pub(super) const FILE_RULES: &[Rule] = &[
    SUPER_USERS,
    SESSION_TIMEOUTS,
    GZIP_LEVEL,
    DATA,
    SELECTOR,
    PLACEMENT,
    ROLES,
    CONTROLLERS,
    KINDS,
    OWN_ADDRESS,
    COPIES,
    GUARDED,
    TRUST,
    SESSION,
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

/// What `--dev` says of listeners.
#[derive(Debug, Clone, Copy, Default)]
pub struct DevListeners<'a> {
    /// Address of the only listener, which takes the place of the file's.
    pub listen: Option<&'a str>,
    /// What its clients are told, in place of the bound address.
    pub advertised: Option<&'a str>,
}

impl Settings {
    /// Checks everything at once; `dev` is given with `--dev`.
    pub fn load(layers: &Layers, dev: Option<DevListeners<'_>>) -> Result<Self, ConfigProblems> {
        let schema = if dev.is_some() {
            schema::dev_schema()
        } else {
            schema()
        };
        let loaded = load(layers, schema)?;
        let listeners = match dev {
            Some(dev) => dev_listeners(&loaded, dev)?,
            None => file_listeners(&loaded)?,
        };
        let observe = loaded.find::<&str>("node.observe");
        let observe = observe
            .map(|text| resolve(&loaded, "node.observe", text))
            .transpose()?;
        let fixed = kafka_names::fixed_values(&loaded, &listeners);
        let idle = kafka_names::idle_keys(&loaded, &fixed);
        let dynamic = DynamicSettings::new(loaded.get("node.id"), fixed);
        let size = |key: &str| usize::try_from(loaded.get::<i32>(key)).unwrap_or(usize::MAX);
        let cluster = ClusterSettings::of(&loaded);
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
            dev: dev.is_some(),
            auto_create_topics_enable: loaded.get("auto.create.topics.enable"),
            delete_topic_enable: loaded.get("delete.topic.enable"),
            authorizer: security::authorizer(&loaded),
            topic_defaults: TopicDefaults {
                num_partitions: loaded.get("num.partitions"),
                replication_factor: i16::try_from(loaded.get::<i32>("default.replication.factor"))
                    .unwrap_or(i16::MAX),
                rack_placement: racks::rack_placement(&loaded),
            },
            socket_request_max_bytes: size("socket.request.max.bytes"),
            queued_max_request_bytes: usize::try_from(
                loaded.get::<i64>("queued.max.request.bytes"),
            )
            .ok()
            .filter(|bytes| *bytes > 0),
            connections_max_idle: bounded(&loaded, "connections.max.idle.ms", UNBOUNDED),
            connection_limits: connection_limits(&loaded, &dynamic)?,
            failed_authentication_delay: bounded(
                &loaded,
                "connection.failed.authentication.delay.ms",
                UNBOUNDED,
            ),
            fetch_max_bytes: size("fetch.max.bytes"),
            request_timeout: bounded(&loaded, "request.timeout.ms", TICK_MIN),
            retention_check_interval: bounded(&loaded, "log.retention.check.interval.ms", TICK_MIN),
            recovery_point_checkpoint_interval: bounded(
                &loaded,
                "log.flush.offset.checkpoint.interval.ms",
                TICK_MIN,
            ),
            high_watermark_checkpoint_interval: bounded(
                &loaded,
                "replica.high.watermark.checkpoint.interval.ms",
                TICK_MIN,
            ),
            replica_lag_time_max: bounded(&loaded, "replica.lag.time.max.ms", TICK_MIN),
            replication: ReplicationSettings {
                broker_id: loaded.get("node.id"),
                wait_max: bounded(&loaded, "replica.fetch.wait.max.ms", TICK_MIN),
                partition_max_bytes: size("replica.fetch.max.bytes"),
                response_max_bytes: size("replica.fetch.response.max.bytes"),
                socket_timeout: bounded(&loaded, "replica.socket.timeout.ms", TICK_MIN),
                lag_time_max: bounded(&loaded, "replica.lag.time.max.ms", TICK_MIN),
            },
            replica_selector: racks::replica_selector(&loaded),
            leader_balance_interval: (loaded.get::<bool>("auto.leader.rebalance.enable")).then(
                || {
                    Duration::from_secs(
                        loaded
                            .get::<i64>("leader.imbalance.check.interval.seconds")
                            .unsigned_abs(),
                    )
                },
            ),
            unclean_leader_election: loaded.get("unclean.leader.election.enable"),
            evidence_max_bytes: u64::try_from(loaded.get::<i64>("evidence.max_bytes")).unwrap_or(0),
            metadata_snapshot_bytes: u64::try_from(
                loaded.get::<i64>("metadata.log.max.record.bytes.between.snapshots"),
            )
            .unwrap_or(u64::MAX),
            lease_fencing: loaded.get::<bool>("lease.fencing") && !cluster.is_alone(),
            cluster,
            broker_session_timeout: bounded(&loaded, "broker.session.timeout.ms", TICK_MIN),
            broker_heartbeat_interval: bounded(&loaded, "broker.heartbeat.interval.ms", TICK_MIN),
            initial_broker_registration_timeout: bounded(
                &loaded,
                "initial.broker.registration.timeout.ms",
                TICK_MIN,
            ),
            groups: group_config(&loaded),
            quota_window: quota_window(&loaded, ["quota.window.num", "quota.window.size.seconds"]),
            controller_quota_window: quota_window(
                &loaded,
                [
                    "controller.quota.window.num",
                    "controller.quota.window.size.seconds",
                ],
            ),
            offsets_topic_num_partitions: loaded.get("offsets.topic.num.partitions"),
            offsets_topic_replication_factor: i16::try_from(
                loaded.get::<i32>("offsets.topic.replication.factor"),
            )
            .unwrap_or(i16::MAX),
            offsets_topic_segment_bytes: loaded.get("offsets.topic.segment.bytes"),
            dynamic: Arc::new(dynamic),
            notices: [
                loaded.notices(),
                &cluster::notices(&loaded),
                &racks::notices(&loaded),
            ]
            .concat(),
            idle,
        })
    }

    /// The configuration a topic's partitions work with, as of now.
    pub(crate) fn topic_config(&self, own: Option<&BTreeMap<String, String>>) -> TopicConfig {
        let layers = self.dynamic.current();
        TopicConfig::effective(own, &|synonym| layers.topic_default(synonym))
    }

    /// What a topic asks of an ISR, as of that image: those two keys of it alone, because every change of
    /// a partition asks.
    pub(crate) fn sufficiency(&self, image: &MetadataImage, topic: &str) -> Sufficiency {
        let layers = self.dynamic.current();
        let own = image.config(&ConfigResource::topic(topic));
        let replicas = min_insync_replicas(own, &|synonym| layers.topic_default(synonym));
        Sufficiency {
            min_insync_replicas: usize::try_from(replicas).unwrap_or(1),
            ..Sufficiency::of_topic(image, topic, 1)
        }
    }

    /// How long a silent producer is remembered, as of now.
    pub(crate) fn producer_id_expiration_ms(&self) -> i64 {
        let layers = self.dynamic.current();
        let value = layers.value("producer.id.expiration.ms");
        value
            .and_then(|value| value.parse().ok())
            .unwrap_or(i64::MAX)
    }

    /// How compacted logs are compacted, as of now.
    pub(crate) fn cleaner(&self) -> CleanerSettings {
        let layers = self.dynamic.current();
        CleanerSettings::of(&|key| layers.value(key).map(str::to_owned))
    }

    /// What this node does.
    pub fn roles(&self) -> Roles {
        self.cluster.roles
    }

    /// What a person should look at, though the configuration holds.
    pub fn notices(&self) -> &[ConfigProblem] {
        &self.notices
    }

    /// Keys that were set to something other than their default and do nothing, each as a problem
    /// that can be lived with.
    pub fn idle(&self) -> impl Iterator<Item = ConfigProblem> {
        self.idle.iter().cloned()
    }

    /// Says once what the configuration asks for in vain.
    pub(crate) fn tell_of_idle_keys(&self) {
        for notice in &self.notices {
            tracing::warn!(event = "configuration_notice", "{notice}");
        }
        if self.idle.is_empty() {
            return;
        }
        let keys = self.idle.iter();
        let keys: Vec<String> = keys
            .map(|idle| format!("{} {}", idle.key, idle.what))
            .collect();
        tracing::warn!(
            event = "configs_without_effect",
            keys = keys.join("; "),
            "these keys are set and do nothing here"
        );
    }
}

/// A broker that does something more often than this does nothing else.
const TICK_MIN: Duration = Duration::from_millis(1);

/// Longer than any broker lives, and still far from the clocks' own bounds.
const UNBOUNDED: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A time of Kafka's, whose own range has no bounds: `outside` stands for what is not positive.
fn bounded(loaded: &Loaded, key: &str, outside: Duration) -> Duration {
    match u64::try_from(loaded.get::<i64>(key)) {
        Ok(millis @ 1..) => Duration::from_millis(millis).min(UNBOUNDED),
        Ok(0) | Err(_) => outside,
    }
}

fn connection_limits(
    loaded: &Loaded,
    dynamic: &DynamicSettings,
) -> Result<ConnectionLimits, ConfigProblems> {
    let limits = ConnectionLimits::of(&dynamic.current()).map_err(|error| {
        let remedy = "write address:number for each, as 10.0.0.7:100, with commas between";
        loaded.problem(limits::OVERRIDES, error.to_string(), remedy)
    })?;
    if limits.lets_nobody_in() {
        let what = "lets nobody in";
        let remedy = "name the addresses that may in max.connections.per.ip.overrides";
        return Err(loaded.problem(limits::PER_IP, what, remedy).into());
    }
    Ok(limits)
}

/// Number and length of the samples.
fn quota_window(loaded: &Loaded, keys: [&str; 2]) -> QuotaWindow {
    let [samples, seconds] = keys.map(|key| loaded.get::<i32>(key).unsigned_abs());
    QuotaWindow::new(samples, seconds)
}

fn group_config(loaded: &Loaded) -> GroupConfig {
    let millis = |key: &str| loaded.get::<i64>(key);
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
    if loaded.get::<i64>(min) <= loaded.get::<i64>(max) {
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

fn gzip_level_exists(loaded: &Loaded) -> Result<(), Breach> {
    let name = "compression.gzip.level";
    let level = loaded.get::<i32>(name).to_string();
    match broker_key(name).map(|key| key.check(&level)) {
        Some(Err(_)) => breach(
            name,
            "is no level of gzip",
            "write 1 to 9, or -1 for the codec's own",
        ),
        Some(Ok(())) | None => Ok(()),
    }
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
