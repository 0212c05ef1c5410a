//! Admin calls: thin typed functions over the messages, each routed as Kafka demands.
//!
//! Owns: who must take which request (controller, coordinator, leader, a certain broker, anybody),
//! and how several outcomes in one answer are told apart. Must not know: what the caller wants it
//! for. Requests not served here go through [`Cluster::request`](crate::cluster::Cluster::request).
//!
//! A file per family: `cluster` (description), `features`, `topics`, `configs`, `offsets` (list, delete records,
//! end of a leader epoch), `log_dirs`, `groups`, `quorum`, `elections`, `replicas` (what single replicas have).

mod cluster;
mod configs;
mod elections;
mod features;
mod groups;
mod log_dirs;
mod offsets;
mod quorum;
mod replicas;
mod topics;

use std::time::Duration;

use crate::cluster::Cluster;
use crate::deadline::Deadline;
pub use cluster::{ClusterDescription, DescribedBroker};
pub use configs::{ConfigChange, ConfigEntry, ConfigOperation, ConfigResource, ResourceType};
pub use elections::ElectionType;
pub use features::{FeatureUpdate, Features, UpgradeType};
pub use groups::{
    CommittedOffset, GroupDescription, GroupListing, GroupMember, OffsetToCommit,
    OffsetsByPartition,
};
pub use log_dirs::{LogDir, LogDirPartition};
pub use offsets::{ByPartition, EpochEnd, ListedOffset, OffsetSpec};
pub use quorum::{QuorumDescription, QuorumReplica, VoterListener};
pub use replicas::{OfPartitions, OffsetAndEpoch, PartitionDescription, ReplicaOffset};
pub use topics::{CreatedTopic, NewPartitions, NewTopic};

/// Admin calls on one cluster; cheap to clone.
#[derive(Clone, Debug)]
pub struct Admin {
    cluster: Cluster,
    timeout: Duration,
}

impl Admin {
    /// Each call may take the configured time of an operation.
    pub fn new(cluster: Cluster) -> Self {
        let timeout = cluster.config().operation_timeout;
        Self { cluster, timeout }
    }

    /// Each call, with its retries, may take this long.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout)
    }

    /// How long the broker may work on a request: no longer than this client waits.
    fn broker_timeout_ms(&self) -> i32 {
        let timeout = self.timeout.min(self.cluster.config().request_timeout);
        i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
    }
}

impl Cluster {
    /// Admin calls on this cluster.
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }
}
