//! Partitions that nobody leads, by the reason for it (requirement S2-03).

use super::Controller;
use super::heartbeats::is_active;
use crate::metadata::{MetadataImage, PartitionImage};
use std::time::Duration;

/// No broker leads it.
const NO_LEADER: i32 = -1;

/// How a controller stands in its quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuorumStanding {
    /// It makes the changes.
    Active,
    /// Another one does, and says what is offline.
    Standby,
    /// As far as this one knows nobody does: leaders that are gone are not replaced.
    Alone,
}

/// How many partitions nobody leads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offline {
    /// None of its replicas is on a broker that lives.
    pub brokers_gone: usize,
    /// A replica lives, but nobody who was in sync.
    pub no_in_sync_replica: usize,
    /// Its leader is gone, and there is no quorum to elect another.
    pub no_quorum: usize,
}

impl Controller {
    /// What is offline, as this controller knows it. One that stands by leaves it to the active one, and
    /// one without a quorum counts whom it hears itself.
    pub fn offline(
        &self,
        now: Duration,
        image: &MetadataImage,
        standing: QuorumStanding,
    ) -> Offline {
        let mut offline = Offline::default();
        if standing == QuorumStanding::Standby {
            return offline;
        }
        let patience = self.patience(image);
        let is_heard = |id: i32| {
            let broker = image.broker(id);
            broker.is_some_and(|it| self.heartbeats.has_session(now, it, patience))
        };
        for partition in image.topics().flat_map(|topic| &topic.partitions) {
            if partition.leader == NO_LEADER {
                *offline.reason(image, partition) += 1;
            } else if standing == QuorumStanding::Alone && !is_heard(partition.leader) {
                offline.no_quorum += 1;
            }
        }
        offline
    }
}

impl Offline {
    fn reason(&mut self, image: &MetadataImage, partition: &PartitionImage) -> &mut usize {
        let lives = |id: &i32| image.broker(*id).is_some_and(|it| is_active(it));
        match partition.replicas.iter().any(lives) {
            true => &mut self.no_in_sync_replica,
            false => &mut self.brokers_gone,
        }
    }
}
