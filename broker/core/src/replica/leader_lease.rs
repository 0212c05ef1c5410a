//! Whether a leader may acknowledge writes (rule 20): by its broker's lease, or by its followers.
//!
//! | It may | when |
//! |---|---|
//! | by the broker's lease | that is not over ([`crate::lease`]) |
//! | by its followers | unclean elections are off, and everyone else who could be elected has fetched in this leader epoch after an answer that was sent less than a lease's length ago |
//! | not at all | it was asked something in a newer leader epoch: another one leads |
//!
//! Elected is who is in the ISR or eligible (rule 14), as the controller has it: so the maximal ISR
//! counts, the known ELR, and whoever left the ISR by an answer whose metadata is still to come. A
//! follower that takes the lead, or hears that another does, fetches here no more. Where nobody else
//! could be elected, nobody has to be asked. This is what keeps partitions writable while there is no
//! active controller, or no quorum.

use super::leader::Leader;
use crate::lease::BrokerLease;
use crate::metadata::PartitionImage;
use crate::rules::Rule;
use std::collections::BTreeSet;
use std::time::Duration;

/// What a leader knows for that, beside its followers' fetches.
#[derive(Debug, Clone)]
pub(super) struct LeaderLease {
    unclean_leader_election: bool,
    /// The ELR, for all that is known.
    eligible: BTreeSet<i32>,
    /// A newer leader epoch was heard of.
    has_ended: bool,
}

impl LeaderLease {
    pub(super) fn new(partition: &PartitionImage, unclean_leader_election: bool) -> Self {
        Self {
            unclean_leader_election,
            eligible: eligible(partition),
            has_ended: false,
        }
    }

    /// As the controller has it now.
    pub(super) fn metadata_changed(&mut self, partition: &PartitionImage) {
        self.eligible = eligible(partition);
    }

    /// These left the ISR by an answer of the controller, which does not say whether they are eligible.
    pub(super) fn may_be_eligible<'a>(&mut self, left: impl Iterator<Item = &'a i32>) {
        self.eligible.extend(left);
    }
}

fn eligible(partition: &PartitionImage) -> BTreeSet<i32> {
    partition.eligible_leader_replicas.iter().copied().collect()
}

impl Leader {
    /// Whether a write may be acknowledged now, whatever its acks: to be asked before it is appended, and
    /// again just before it is answered.
    pub fn may_acknowledge(&self, now: Duration, lease: BrokerLease) -> bool {
        if self.lease.has_ended && self.rules.obeys(Rule::LeaseEnds) {
            return false;
        }
        now < lease.until || self.is_followed(now, lease.length)
    }

    /// A change of `unclean.leader.election.enable`.
    pub fn set_unclean_leader_election(&mut self, enabled: bool) {
        self.lease.unclean_leader_election = enabled;
    }

    /// Somebody asked in that leader epoch.
    pub(super) fn hear_of(&mut self, leader_epoch: i32) {
        self.lease.has_ended |= leader_epoch > self.epoch;
    }

    fn is_followed(&self, now: Duration, length: Duration) -> bool {
        if self.lease.unclean_leader_election && self.rules.obeys(Rule::LeaseUnclean) {
            return false;
        }
        let mut electable = self.maximal_isr();
        if self.rules.obeys(Rule::LeaseOfEligible) {
            electable.extend(&self.lease.eligible);
        }
        electable.remove(&self.broker_id);
        electable.iter().all(|id| {
            let follows = self.followers.get(id).and_then(|it| it.follows);
            follows.is_some_and(|at| now < at + length)
        })
    }
}
