//! One change of a partition: from a wanted ISR follow replicas, ELR and leader (Kafka's
//! `PartitionChangeBuilder`; KIP-966 part 1, rules 14 to 16; KIP-455).
//!
//! | Step | Rule |
//! |---|---|
//! | a move is complete once the ISR has all who are added and somebody who stays: the others go, from ISR and ELR too | 455 |
//! | who leaves an insufficient ISR joins the ELR, unless it stopped uncleanly | 14, 21, 23 |
//! | leader: the present one, or the first replica in the ISR; in the ELR, when the ISR is empty | 14, 16 |
//! | else the last known leader, if it lives and ISR and ELR are empty: unclean | 14, 23 |
//! | else, where the topic says so, the first that lives: unclean | 15 |
//! | an unclean leader is alone in the ISR, recovering, and nobody is eligible beside it | 15 |
//! | a sufficient ISR empties the ELR | 14, 21 |
//! | whose directory is another one than before has nothing: it leaves ISR and ELR and is no last known leader | 23 |

use super::assignment::{Assignment, directory_of};
use super::successor::{Candidates, Election, Successor};
use crate::metadata::{MetadataImage, PartitionImage, Sufficiency};
use crate::rules::{Rule, Rules};
use isthmus_wire::Uuid;
use isthmus_wire::messages::PartitionChangeRecord;

const NO_LEADER: i32 = -1;
/// Kafka's `LeaderRecoveryState`.
pub(super) const RECOVERED: i8 = 0;
pub(super) const RECOVERING: i8 = 1;

/// A broker whose coming or going changes partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broker {
    Leaves(i32),
    LeavesUncleanly(i32),
    /// It comes with another directory than its replicas were in: they are gone.
    ReplacedDisk(i32, Uuid),
    Joins(i32),
}

impl Broker {
    pub(super) fn touches(self, partition: &PartitionImage) -> bool {
        let serves = |id| partition.isr.contains(&id) || partition.leader == id;
        match self {
            Self::Leaves(id) => serves(id),
            Self::LeavesUncleanly(id) => {
                serves(id) || partition.eligible_leader_replicas.contains(&id)
            }
            Self::ReplacedDisk(id, _) => partition.replicas.contains(&id),
            Self::Joins(id) => partition.leader == NO_LEADER && partition.replicas.contains(&id),
        }
    }

    pub(super) fn isr(self, partition: &PartitionImage) -> Vec<i32> {
        let mut isr = partition.isr.clone();
        match self {
            Self::Leaves(id) | Self::LeavesUncleanly(id) | Self::ReplacedDisk(id, _) => {
                isr.retain(|it| *it != id);
            }
            Self::Joins(_) => {}
        }
        isr
    }

    pub(super) fn assignment(self, partition: &PartitionImage) -> Assignment {
        let assignment = Assignment::of(partition);
        match self {
            Self::ReplacedDisk(id, directory) => assignment.with_directory(id, directory),
            Self::Leaves(_) | Self::LeavesUncleanly(_) | Self::Joins(_) => assignment,
        }
    }

    pub(super) fn uncleanly_stopped(self) -> Option<i32> {
        match self {
            Self::LeavesUncleanly(id) | Self::ReplacedDisk(id, _) => Some(id),
            Self::Leaves(_) | Self::Joins(_) => None,
        }
    }
}

/// What is wanted of a partition.
pub(super) struct PartitionChange<'a> {
    pub(super) topic_id: Uuid,
    pub(super) index: i32,
    pub(super) partition: &'a PartitionImage,
    /// The wanted replicas.
    pub(super) assignment: Assignment,
    /// The wanted ISR.
    pub(super) isr: Vec<i32>,
    pub(super) election: Election,
    /// What the topic asks of an ISR, and who is in which rack.
    pub(super) sufficiency: Sufficiency,
    pub(super) image: &'a MetadataImage,
    pub(super) uncleanly_stopped: Option<i32>,
    pub(super) rules: Rules,
}

impl PartitionChange<'_> {
    /// The record of the change; `None` when nothing changes.
    pub(super) fn record(&self, acceptable: &dyn Fn(i32) -> bool) -> Option<PartitionChangeRecord> {
        let record = self.decide(acceptable);
        let nothing = PartitionChangeRecord {
            topic_id: self.topic_id,
            partition_id: self.index,
            ..PartitionChangeRecord::default()
        };
        (record != nothing).then_some(record)
    }

    fn decide(&self, acceptable: &dyn Fn(i32) -> bool) -> PartitionChangeRecord {
        let before = self.partition;
        let (assignment, mut isr) = self.settled(self.assignment.clone(), self.isr.clone());
        let mut elr = self.eligible(&assignment.replicas, &isr);
        let mut recovery = before.leader_recovery_state;
        let candidates = Candidates {
            replicas: &assignment.replicas,
            isr: &isr,
            eligible_leader_replicas: &elr,
            last_known_elr: &before.last_known_elr,
            leader: before.leader,
        };
        let leader = match candidates.successor(self.election, self.rules, acceptable) {
            Successor::Cleanly(id) => {
                if !isr.contains(&id) {
                    isr = vec![id];
                    elr.retain(|it| *it != id);
                }
                id
            }
            Successor::LastKnown(id) | Successor::FirstLive(id) => {
                // What was eligible is so no longer: the new leader's log is the truth now.
                (isr, elr, recovery) = (vec![id], Vec::new(), RECOVERING);
                id
            }
            Successor::Nobody => NO_LEADER,
        };
        // Who was elected from outside may be all that the move waited for. Kafka looks at the next
        // change only: if nobody joins, the move can neither end nor be undone until then.
        let (assignment, isr) = self.settled(assignment, isr);
        let replicas = &assignment.replicas;
        elr.retain(|id| self.may_be_eligible(replicas, *id));
        let mut last_known = match (leader, before.leader) {
            (NO_LEADER, NO_LEADER) => before.last_known_elr.clone(),
            (NO_LEADER, leader) => vec![leader],
            _ => Vec::new(),
        };
        last_known.retain(|id| replicas.contains(id) && !self.has_replaced_disk(*id));
        let suffices = self.suffices(replicas, &isr, Rule::RacksClearElr);
        if suffices && self.rules.obeys(Rule::ElrClears) {
            elr = Vec::new();
        }
        let changed = |new: Vec<i32>, old: &Vec<i32>| (new != *old).then_some(new);
        let directories_change = assignment.replicas != before.replicas
            || before.replicas.iter().any(|id| self.has_replaced_disk(*id));
        PartitionChangeRecord {
            topic_id: self.topic_id,
            partition_id: self.index,
            leader: if leader == before.leader {
                LEADER_STAYS
            } else {
                leader
            },
            leader_recovery_state: if recovery == before.leader_recovery_state {
                RECOVERY_STAYS
            } else {
                recovery
            },
            isr: changed(isr, &before.isr),
            eligible_leader_replicas: changed(elr, &before.eligible_leader_replicas),
            last_known_elr: changed(last_known, &before.last_known_elr),
            directories: directories_change.then_some(assignment.directories),
            replicas: changed(assignment.replicas, &before.replicas),
            adding_replicas: changed(assignment.adding, &before.adding_replicas),
            removing_replicas: changed(assignment.removing, &before.removing_replicas),
            ..PartitionChangeRecord::default()
        }
    }

    /// What becomes of replicas and ISR: the move may be over (rule 455).
    fn settled(&self, assignment: Assignment, isr: Vec<i32>) -> (Assignment, Vec<i32>) {
        let completed = assignment.completed(&isr, self.rules);
        completed.unwrap_or((assignment, isr))
    }

    /// Rule 23: an empty log must not become the truth because its node once led.
    fn has_replaced_disk(&self, id: i32) -> bool {
        let known = directory_of(self.partition, id).filter(|it| *it != Uuid::ZERO);
        let now = self.assignment.directory(id);
        known.is_some_and(|known| now.is_some_and(|now| now != known))
    }

    fn may_be_eligible(&self, replicas: &[i32], id: i32) -> bool {
        replicas.contains(&id) || !self.rules.obeys(Rule::GoneFromElr)
    }

    /// Rule 14: who is not in the wanted ISR, but has everything up to the high watermark.
    fn eligible(&self, replicas: &[i32], isr: &[i32]) -> Vec<i32> {
        let before = self.partition;
        let mut elr = before.eligible_leader_replicas.clone();
        let suffices = self.suffices(replicas, isr, Rule::RacksKeepElr);
        if !suffices && self.rules.obeys(Rule::ElrKeeps) {
            elr.extend(&before.isr);
        }
        elr.retain(|id| {
            let lost = isr.contains(id) || self.uncleanly_stopped == Some(*id);
            self.may_be_eligible(replicas, *id) && !lost
        });
        elr.sort_unstable();
        elr.dedup();
        elr
    }

    /// Racks count by `racks` (rule 21).
    fn suffices(&self, replicas: &[i32], isr: &[i32], racks: Rule) -> bool {
        self.sufficiency.has_members(isr.len(), replicas.len())
            && (self.sufficiency.has_racks_of(self.image, isr) || !self.rules.obeys(racks))
    }
}

/// In a change record, these say that nothing changes.
const LEADER_STAYS: i32 = -2;
const RECOVERY_STAYS: i8 = -1;
