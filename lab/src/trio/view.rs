//! What one node says of the cluster.
//!
//! Each look is a client of its own that knows no other address than the node's, so that what it
//! hears is what this node says and no other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use isthmus_client::{ClientConfig, Cluster, ConfigError, Metadata, RequestError};

/// A node on loopback that takes longer is dead, frozen, or as good as that.
const CONNECT_MAX: Duration = Duration::from_secs(2);
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// The feature that says which metadata records may be written.
const METADATA_LEVEL: &str = "isthmus.metadata.level";

/// For acts of an administrator, which the controller may have to think over.
const ACT_MAX: Duration = Duration::from_secs(60);

/// Nothing was learned. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error("make a client: {0}")]
    Client(#[from] ConfigError),
    #[error("ask node {id}: {cause}")]
    Ask { id: i32, cause: RequestError },
}

/// What a node answered.
#[derive(Clone, Debug)]
pub struct View {
    metadata: Arc<Metadata>,
    topics: Vec<String>,
}

/// A partition as a node told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub leader: Option<i32>,
    /// The preferred leader first.
    pub replicas: &'a [i32],
    pub isr: &'a [i32],
}

/// A client with patience, for acts.
pub(crate) fn client(bootstrap: &str) -> Result<Cluster, ConfigError> {
    Cluster::new(ClientConfig {
        operation_timeout: ACT_MAX,
        ..ClientConfig::new(bootstrap.split(','))
    })
}

fn hasty(address: SocketAddr) -> Result<Cluster, ConfigError> {
    Cluster::new(ClientConfig {
        connect_timeout: CONNECT_MAX,
        request_timeout: ANSWER_MAX,
        operation_timeout: ANSWER_MAX,
        ..ClientConfig::new([address.to_string()])
    })
}

pub(crate) async fn ask(id: i32, address: SocketAddr, topics: &[&str]) -> Result<View, LookError> {
    let cluster = hasty(address)?;
    let deadline = cluster.operation_deadline();
    let asked = cluster.with_topics(topics.iter().copied(), deadline).await;
    Ok(View {
        metadata: asked.map_err(|cause| LookError::Ask { id, cause })?,
        topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
    })
}

/// Who leads the quorum of the metadata; none while it elects.
pub(super) async fn controller(id: i32, address: SocketAddr) -> Result<Option<i32>, LookError> {
    let described = hasty(address)?.admin().describe_quorum().await;
    let described = described.map_err(|cause| LookError::Ask { id, cause })?;
    Ok(described.leader)
}

/// The metadata level of the cluster, as far as a node has heard of it.
pub(super) async fn level(id: i32, address: SocketAddr) -> Result<Option<i16>, LookError> {
    let told = hasty(address)?.admin().broker_features(id).await;
    let told = told.map_err(|cause| LookError::Ask { id, cause })?;
    Ok(told.finalized.get(METADATA_LEVEL).copied())
}

impl View {
    /// All partitions of the topics that were asked for.
    pub fn partitions(&self) -> impl Iterator<Item = Seen<'_>> {
        let topics = self.metadata.topics.values();
        topics.flat_map(|topic| {
            topic.partitions.values().map(|partition| Seen {
                topic: &topic.name,
                partition: partition.index,
                leader: partition.leader,
                replicas: &partition.replicas,
                isr: &partition.isr,
            })
        })
    }

    /// What is not as it should be, if anything: a topic that is not there, a partition that has no
    /// leader or fewer than `replicas` in sync.
    pub fn ailment(&self, replicas: usize) -> Option<String> {
        let is_missing = |topic: &&String| !self.metadata.topics.contains_key(topic.as_str());
        if let Some(topic) = self.topics.iter().find(is_missing) {
            return Some(format!("{topic} is not there"));
        }
        let mut partitions = self.partitions();
        let ill = partitions.find(|it| it.leader.is_none() || it.isr.len() < replicas)?;
        let Seen {
            topic,
            partition,
            leader,
            isr,
            replicas: _,
        } = ill;
        let leader = leader.map_or("no leader".to_owned(), |id| format!("leader {id}"));
        Some(format!(
            "{topic}-{partition} has {leader} and {isr:?} in sync"
        ))
    }

    /// Partitions that this node would send clients to another for, since `id` leads them.
    pub fn led_by(&self, id: i32) -> usize {
        self.partitions().filter(|it| it.leader == Some(id)).count()
    }

    /// Whether every partition is led by its preferred leader.
    pub fn is_led_as_preferred(&self) -> bool {
        self.partitions()
            .all(|it| it.leader.is_some() && it.leader.as_ref() == it.replicas.first())
    }

    /// Partitions without a leader.
    pub fn leaderless(&self) -> usize {
        self.partitions().filter(|it| it.leader.is_none()).count()
    }

    /// Whether `id` is in sync anywhere.
    pub fn has_in_sync(&self, id: i32) -> bool {
        self.partitions().any(|it| it.isr.contains(&id))
    }
}
