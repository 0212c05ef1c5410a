//! AlterPartitionReassignments: a partition is to have other replicas (KIP-455).
//!
//! | State | Asked for | Then |
//! |---|---|---|
//! | any | replicas that are none, twice, or unknown | INVALID_REPLICA_ASSIGNMENT |
//! | any | replicas in fewer racks than `min.insync.racks` (rule 21) | INVALID_REPLICA_ASSIGNMENT |
//! | any | replicas that are not spread over the racks, where they must be (S0-06) | POLICY_VIOLATION |
//! | settled | another list | moving, or settled at once where nobody is added |
//! | settled | the end of the move | NO_REASSIGNMENT_IN_PROGRESS |
//! | moving | another list | as if the present move had never begun |
//! | moving | the end of the move | settled, as before it |
//! | moving | either, and only those that were added are in sync | INVALID_REPLICA_ASSIGNMENT |
//!
//! Each is one record. How a move completes stands in [`super::partition_change`].

use super::assignment::{Assignment, staying};
use super::heartbeats::is_active;
use super::partition_change::PartitionChange;
use super::{Controller, ControllerReply, Decision};
use crate::metadata::{
    ConfigResource, MetadataImage, NotSpread, PartitionImage, RackPlacement, check_spread,
};
use crate::rules::Rule;
use isthmus_wire::{ErrorCode, Uuid};
use std::collections::BTreeSet;

/// Whether the partition is on its way to other replicas.
pub fn is_reassigning(partition: &PartitionImage) -> bool {
    Assignment::of(partition).is_moving()
}

impl Controller {
    /// `wanted`: the replicas to be, the preferred leader first; nothing ends the present move.
    pub(super) fn reassign(
        &self,
        image: &MetadataImage,
        topic_id: Uuid,
        index: i32,
        wanted: Option<&[i32]>,
    ) -> Result<Decision, ErrorCode> {
        let topic = image.topic_by_id(topic_id);
        let topic = topic.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let partition = topic.partitions.get(at);
        let partition = partition.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        let present = Assignment::of(partition);
        let before = present.reverted();
        let (sufficiency, election) = self.election_of(image, &topic.name);
        let assignment = match wanted {
            Some(wanted) => {
                check(image, wanted)?;
                if !sufficiency.has_racks_of(image, wanted) {
                    return Err(ErrorCode::INVALID_REPLICA_ASSIGNMENT);
                }
                check_reassigned(image, &topic.name, wanted, self.config.rack_placement)
                    .map_err(|_| ErrorCode::POLICY_VIOLATION)?;
                before.towards(wanted, |id| directory(image, id))
            }
            None if present.is_moving() => before,
            None => return Err(ErrorCode::NO_REASSIGNMENT_IN_PROGRESS),
        };
        let isr = staying(&partition.isr, &present.adding, self.rules);
        let is_emptied = isr.is_empty() && !partition.isr.is_empty();
        if is_emptied && self.rules.obeys(Rule::MoveUndoable) {
            // Whoever has the records would go.
            return Err(ErrorCode::INVALID_REPLICA_ASSIGNMENT);
        }
        let change = PartitionChange {
            topic_id,
            index,
            partition,
            assignment,
            isr,
            election,
            sufficiency,
            image,
            uncleanly_stopped: None,
            rules: self.rules,
        };
        let record = change.record(&|id| image.broker(id).is_some_and(|it| is_active(it)));
        let records = record.into_iter().map(Into::into).collect();
        Ok((ControllerReply::Reassigned, records))
    }
}

/// Whether a partition may go to those replicas by `rack.placement`; `given` counts where neither the topic
/// nor the cluster says. The end of a move is never refused for it.
pub fn check_reassigned(
    image: &MetadataImage,
    topic: &str,
    wanted: &[i32],
    given: RackPlacement,
) -> Result<(), NotSpread> {
    let own = image.config(&ConfigResource::topic(topic));
    let placement = RackPlacement::of_topic(image, own, given);
    check_spread(image, placement, [wanted])
}

fn check(image: &MetadataImage, wanted: &[i32]) -> Result<(), ErrorCode> {
    let distinct: BTreeSet<i32> = wanted.iter().copied().collect();
    let are_known = wanted.iter().all(|id| image.broker(*id).is_some());
    if wanted.is_empty() || distinct.len() != wanted.len() || !are_known {
        return Err(ErrorCode::INVALID_REPLICA_ASSIGNMENT);
    }
    Ok(())
}

fn directory(image: &MetadataImage, broker: i32) -> Uuid {
    let registration = image.broker(broker);
    let directory = registration.and_then(|it| it.directories.first().copied());
    directory.unwrap_or(Uuid::ZERO)
}
