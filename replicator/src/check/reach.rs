//! A cluster that answered, and what is the same for all flows that touch it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use isthmus_client::admin::{Admin, ConfigResource, GroupListing};
use isthmus_client::cluster::{Destination, Verdict};
use isthmus_client::{ClientConfig, Cluster, Deadline, Metadata, RequestError};
use isthmus_replicator_core::config_check::{Operation, broker_keys, operations};
use isthmus_replicator_core::names::ClusterName;
use isthmus_replicator_core::state::{StateImage, state_topic};
use isthmus_wire::messages::{DescribeClusterRequest, DescribeClusterResponse};

use super::{OnlineError, at};
use crate::settings::{ClusterSettings, Settings};
use crate::state_topic::{StateTopicError, look};

/// How long a cluster may take to answer at all, and then for each question.
const REACH_MAX: Duration = Duration::from_secs(20);

/// Group coordinators keep their offsets here.
const GROUPS_TOPIC: &str = "__consumer_offsets";

const CLIENT_ID: &str = "isthmus-check";

pub(super) struct Reached {
    pub(super) name: ClusterName,
    pub(super) bootstrap: String,
    pub(super) principal: String,
    /// It watches all topics that we may see.
    pub(super) cluster: Cluster,
    pub(super) metadata: Arc<Metadata>,
    /// What we may do to the cluster as a whole, if it says so.
    pub(super) own_operations: Option<BTreeSet<Operation>>,
    /// Groups that we may see.
    pub(super) groups: Vec<GroupListing>,
    /// Kafka's names of a broker's settings; empty if we may not read them.
    pub(super) broker_configs: BTreeMap<String, String>,
    /// Bytes of each partition, of one replica; none if we may not ask.
    pub(super) sizes: Option<BTreeMap<(String, i32), u64>>,
    pub(super) bytes_free: Option<u64>,
    /// What this daemon has saved here.
    pub(super) state: StateImage,
    pub(super) state_topic: String,
}

impl Reached {
    pub(super) async fn reach(
        settings: &Settings,
        name: &ClusterName,
    ) -> Result<Self, OnlineError> {
        let Some(found) = settings.clusters.get(name) else {
            unreachable!("the graph knows cluster {name} and the settings do not");
        };
        let told = |problem: &dyn std::fmt::Display| OnlineError::of(name, problem);
        let config = found.client_config(CLIENT_ID).map_err(|it| told(&it))?;
        let cluster = Cluster::new(config.clone()).map_err(|it| told(&it))?;
        cluster.watch_all_topics();
        let metadata = cluster.ready(Deadline::after(REACH_MAX)).await;
        let mut reached = Self {
            name: name.clone(),
            bootstrap: found.bootstrap.join(","),
            principal: principal(found),
            metadata: metadata.map_err(|it| told(&it))?,
            cluster,
            own_operations: None,
            groups: Vec::new(),
            broker_configs: BTreeMap::new(),
            sizes: None,
            bytes_free: None,
            state: StateImage::default(),
            state_topic: state_topic(&settings.daemon.name),
        };
        reached.ask(config, &settings.daemon.name).await?;
        Ok(reached)
    }

    pub(super) fn admin(&self) -> Admin {
        self.cluster.admin().with_timeout(REACH_MAX)
    }

    /// Whether asking for a group's coordinator makes no topic.
    pub(super) fn has_groups_topic(&self) -> bool {
        self.metadata.topics.contains_key(GROUPS_TOPIC) || !self.groups.is_empty()
    }

    pub(super) fn saved_ids(&self) -> BTreeMap<ClusterName, String> {
        let saved = self.state.clusters.iter();
        let named = saved.filter_map(|(name, it)| {
            let name = ClusterName::parse(name).ok()?;
            Some((name, it.cluster_id.clone()))
        });
        named.collect()
    }

    async fn ask(&mut self, config: ClientConfig, daemon: &str) -> Result<(), OnlineError> {
        self.own_operations = own_operations(&self.cluster).await.map_err(at(self))?;
        self.groups = self.admin().list_groups().await.map_err(at(self))?;
        self.ask_brokers().await?;
        // By name, as of a topic that we may not see nothing is told otherwise.
        let named = Cluster::new(config).map_err(|it| OnlineError::of(&self.name, it))?;
        self.state = match look(&named, daemon).await {
            Ok(state) => state,
            // The missing right is found out by itself.
            Err(StateTopicError::Refused { .. }) => StateImage::default(),
            Err(StateTopicError::Request(error)) if is_refusal(&error) => StateImage::default(),
            Err(error) => return Err(OnlineError::of(&self.name, error)),
        };
        Ok(())
    }

    /// Settings and disks; each takes a right of its own that a mirror does not need.
    async fn ask_brokers(&mut self) -> Result<(), OnlineError> {
        let brokers: Vec<i32> = self.metadata.brokers.keys().copied().collect();
        if let Some(first) = brokers.first() {
            let broker = ConfigResource::broker(*first);
            let described = self.admin().describe_config(&broker).await;
            let entries = described.map_err(at(self))?.unwrap_or_default();
            let keys: BTreeSet<&str> = broker_keys().chain([REPLICATION_FACTOR]).collect();
            let wanted = entries.into_iter().filter(|it| keys.contains(&*it.name));
            let pairs = wanted.filter_map(|it| Some((it.name, it.value?)));
            self.broker_configs = pairs.collect();
        }
        let (mut sizes, mut free) = (BTreeMap::new(), Some(0_u64));
        let mut told = !brokers.is_empty();
        for broker in brokers {
            let dirs = match self.admin().describe_log_dirs(broker).await {
                Ok(dirs) => dirs,
                Err(error) if is_refusal(&error) => Vec::new(),
                Err(error) => return Err(at(self)(error)),
            };
            // Without the right to ask, Kafka answers with no directory.
            told &= !dirs.is_empty();
            for dir in dirs {
                let Ok(dir) = dir else {
                    told = false;
                    continue;
                };
                let usable = dir.usable_bytes.and_then(|it| u64::try_from(it).ok());
                free = free.zip(usable).map(|(sum, it)| sum.saturating_add(it));
                for it in dir.partitions.into_iter().filter(|it| !it.is_future) {
                    let size = u64::try_from(it.size_bytes).unwrap_or(0);
                    let place = sizes.entry((it.topic, it.partition)).or_insert(0);
                    *place = size.max(*place);
                }
            }
        }
        self.sizes = told.then_some(sizes);
        self.bytes_free = free.filter(|_| told);
        Ok(())
    }
}

pub(super) const REPLICATION_FACTOR: &str = "default.replication.factor";

/// Of the cluster as a whole. Empty is no answer: it takes a right to be told.
async fn own_operations(cluster: &Cluster) -> Result<Option<BTreeSet<Operation>>, RequestError> {
    let build = |_version| DescribeClusterRequest {
        include_cluster_authorized_operations: true,
        ..Default::default()
    };
    let judge = |response: &DescribeClusterResponse| Verdict::from(response.error_code);
    let by = Deadline::after(REACH_MAX);
    let asked = cluster.request(Destination::Any, i16::MAX, by, build, judge);
    match asked.await {
        Ok(response) => Ok(operations(response.cluster_authorized_operations)
            .filter(|operations| !operations.is_empty())),
        // Brokers before 2.8 do not know the question.
        Err(error) if !error.class().is_retriable() => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn is_refusal(error: &RequestError) -> bool {
    use isthmus_wire::ErrorCode;
    error.code().is_some_and(|code| {
        code == ErrorCode::TOPIC_AUTHORIZATION_FAILED
            || code == ErrorCode::GROUP_AUTHORIZATION_FAILED
            || code == ErrorCode::CLUSTER_AUTHORIZATION_FAILED
    })
}

/// As kafka-acls.sh takes it.
fn principal(cluster: &ClusterSettings) -> String {
    match (cluster.username(), cluster.certificate_file()) {
        (Some(name), _) => format!("User:{name}"),
        (None, Some(file)) => format!("User:<subject of {}>", file.display()),
        (None, None) => "User:ANONYMOUS".to_owned(),
    }
}
