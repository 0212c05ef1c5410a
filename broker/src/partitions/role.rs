//! What this broker's replica of a partition is for now, and how metadata makes it something else.
//!
//! | Metadata | Then |
//! |---|---|
//! | nothing of this incarnation is applied yet | unknown: nobody is served (rule 23) |
//! | a newer leader epoch, led by this broker | the epoch is noted at the log end, and the replica leads |
//! | a newer leader epoch, led by another | it follows; nothing is truncated before that leader was asked (rule 13) |
//! | a newer leader epoch without a leader | the log is kept |
//! | the same leader epoch | the role stays, a leader looks at the ISR |
//!
//! Nothing else takes a role away (rule 9). The high watermark goes from role to role.

use super::partition::State;
use super::replica_log::ReplicaLog;
use super::{Partitions, UNREGISTERED};
use crate::clocks;
use crate::rules_kept;
use isthmus_broker_core::metadata::{MetadataImage, PartitionImage, Sufficiency, TopicImage};
use isthmus_broker_core::replica::{
    Follower, Leader, LeaderEffects, Leadership, RoleChange, role_change,
};
use isthmus_log::StorageError;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Requests of a follower that may be out for one partition: what they bring is one answer's worth,
/// since the session they belong to has the credits (design, decision 5).
const REQUESTS_PER_PARTITION: usize = 1;

pub(super) enum Role {
    Unknown {
        high_watermark: i64,
    },
    Waiting {
        leader_epoch: i32,
        high_watermark: i64,
    },
    Leader(Box<Leader>),
    Follower(Follower),
}

/// With what replicas take their roles.
pub(crate) struct Taking<'a> {
    pub(crate) broker_id: i32,
    /// On the boot clock.
    pub(crate) now: Duration,
    pub(crate) image: &'a MetadataImage,
    pub(crate) replica_lag_time_max: Duration,
    /// What the topic asks of an ISR: of the same image as the ISR (rule 21).
    pub(crate) sufficiency: Sufficiency,
}

impl Role {
    pub(super) fn leader_epoch(&self) -> Option<i32> {
        match self {
            Self::Unknown { .. } => None,
            Self::Waiting { leader_epoch, .. } => Some(*leader_epoch),
            Self::Leader(leader) => Some(leader.epoch()),
            Self::Follower(follower) => Some(follower.leader_epoch()),
        }
    }

    pub(super) fn high_watermark(&self) -> i64 {
        match self {
            Self::Unknown { high_watermark } | Self::Waiting { high_watermark, .. } => {
                *high_watermark
            }
            Self::Leader(leader) => leader.high_watermark(),
            Self::Follower(follower) => follower.high_watermark(),
        }
    }
}

impl Partitions {
    /// From the first image on that holds this registration, replicas take roles (rule 23).
    pub(crate) fn registered(&self, broker_epoch: i64) {
        self.broker_epoch.store(broker_epoch, Ordering::Release);
    }

    /// Every partition of those topics that is open here becomes what metadata makes of it.
    pub(super) fn take_roles<'a>(
        &self,
        image: &MetadataImage,
        topics: impl Iterator<Item = &'a Arc<TopicImage>>,
    ) {
        if !self.may_have_roles(image) {
            return;
        }
        let now = clocks::boot();
        for topic in topics {
            let taking = Taking {
                broker_id: self.settings.node_id,
                now,
                image,
                replica_lag_time_max: self.settings.replica_lag_time_max,
                sufficiency: self.settings.sufficiency(image, &topic.name),
            };
            for (index, decided) in (0..).zip(&topic.partitions) {
                let Some(partition) = self.get(topic.id, index) else {
                    continue;
                };
                if let Err(error) = partition.take_role(&taking, decided) {
                    self.failure.end_by(&error);
                }
            }
        }
    }

    fn may_have_roles(&self, image: &MetadataImage) -> bool {
        let registered = self.broker_epoch.load(Ordering::Acquire);
        if registered != UNREGISTERED && image.offset >= registered {
            self.has_roles.store(true, Ordering::Release);
        }
        self.has_roles.load(Ordering::Acquire)
    }
}

impl State {
    pub(super) fn high_watermark(&self) -> i64 {
        self.role.high_watermark()
    }

    pub(super) fn leader(&self) -> Option<&Leader> {
        match &self.role {
            Role::Leader(leader) => Some(leader),
            Role::Unknown { .. } | Role::Waiting { .. } | Role::Follower(_) => None,
        }
    }

    pub(super) fn leader_mut(&mut self) -> Option<&mut Leader> {
        match &mut self.role {
            Role::Leader(leader) => Some(leader),
            Role::Unknown { .. } | Role::Waiting { .. } | Role::Follower(_) => None,
        }
    }

    pub(super) fn take_role(
        &mut self,
        taking: &Taking<'_>,
        partition: &PartitionImage,
    ) -> Result<LeaderEffects, StorageError> {
        let high_watermark = self.high_watermark();
        let known = self.role.leader_epoch();
        self.role = match role_change(taking.broker_id, known, partition) {
            RoleChange::Stay => return Ok(self.stay(taking, partition)),
            RoleChange::Wait { leader_epoch } => Role::Waiting {
                leader_epoch,
                high_watermark,
            },
            RoleChange::Follow {
                leader,
                leader_epoch,
            } => Role::Follower(Follower::new(
                taking.broker_id,
                leader,
                leader_epoch,
                high_watermark,
                REQUESTS_PER_PARTITION,
                rules_kept::rules(),
            )),
            RoleChange::Lead { leader_epoch } => {
                self.log.note_epoch(leader_epoch)?;
                Role::Leader(Box::new(self.lead(taking, partition)))
            }
        };
        // A cut that was not made is not this role's.
        self.cut_to = None;
        self.log.on_high_watermark(self.role.high_watermark());
        Ok(LeaderEffects {
            // Who waits for the role before must hear that it is over.
            high_watermark_moved: true,
            alter_partition: None,
        })
    }

    fn stay(&mut self, taking: &Taking<'_>, partition: &PartitionImage) -> LeaderEffects {
        let (now, image) = (taking.now, taking.image);
        let effects = self
            .leader_mut()
            .map(|leader| leader.metadata_changed(now, image, partition, taking.sufficiency));
        self.log.on_high_watermark(self.role.high_watermark());
        effects.unwrap_or_default()
    }

    fn lead(&self, taking: &Taking<'_>, partition: &PartitionImage) -> Leader {
        let leadership = Leadership {
            broker_id: taking.broker_id,
            partition,
            sufficiency: taking.sufficiency,
            image: taking.image,
            unclean_leader_election: self.config.unclean_leader_election_enable,
            replica_lag_time_max: taking.replica_lag_time_max,
            own_copy: self.own_copy(),
            rules: rules_kept::rules(),
        };
        let log = ReplicaLog(&self.log).range();
        Leader::lead(taking.now, &leadership, log, self.high_watermark())
    }
}
