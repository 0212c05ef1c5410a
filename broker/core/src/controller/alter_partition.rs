//! AlterPartition: a leader asks for another ISR (rule 6).
//!
//! | The request | Verdict |
//! |---|---|
//! | sender's broker epoch is not the registered one | STALE_BROKER_EPOCH |
//! | topic unknown, partition unknown | UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION |
//! | leader or partition epoch ahead of the controller | NOT_CONTROLLER |
//! | leader epoch behind | FENCED_LEADER_EPOCH |
//! | sender is not the leader | INVALID_REQUEST |
//! | partition epoch behind | INVALID_UPDATE_VERSION |
//! | members that are no replicas, twice, or without the leader | INVALID_REQUEST |
//! | recovering with more than one member, or again | INVALID_REQUEST |
//! | a member fenced, stopping, unknown, or of another incarnation | INELIGIBLE_REPLICA |
//! | it completes a move in which the sender goes | carried out, and NEW_LEADER_ELECTED |

use super::assignment::Assignment;
use super::heartbeats::is_active;
use super::partition_change::{PartitionChange, RECOVERED, RECOVERING};
use super::{Controller, ControllerReply, Decision};
use crate::metadata::{MetadataImage, PartitionImage};
use crate::replica::IsrMember;
use crate::rules::Rule;
use isthmus_wire::messages::PartitionChangeRecord;
use isthmus_wire::{ErrorCode, Uuid};
use std::collections::BTreeSet;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterPartitionRequest {
    pub broker_id: i32,
    pub broker_epoch: i64,
    pub topic_id: Uuid,
    pub partition: i32,
    pub leader_epoch: i32,
    pub partition_epoch: i32,
    pub leader_recovery_state: i8,
    pub isr: Vec<IsrMember>,
}

/// A partition as it stands once the request is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    pub leader: i32,
    pub leader_epoch: i32,
    pub partition_epoch: i32,
    pub leader_recovery_state: i8,
    pub isr: Vec<i32>,
}

impl Controller {
    pub(super) fn alter_partition(
        &self,
        image: &MetadataImage,
        request: &AlterPartitionRequest,
    ) -> Result<Decision, ErrorCode> {
        let sender = image.broker(request.broker_id);
        if sender.is_none_or(|it| it.epoch != request.broker_epoch) {
            return Err(ErrorCode::STALE_BROKER_EPOCH);
        }
        let topic = image.topic_by_id(request.topic_id);
        let topic = topic.ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?;
        let index = usize::try_from(request.partition).unwrap_or(usize::MAX);
        let partition = topic.partitions.get(index);
        let partition = partition.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        self.check_epochs(partition, request)?;
        check_members(partition, request)?;
        self.check_eligible(image, request)?;
        let (sufficiency, election) = self.election_of(image, &topic.name);
        let change = PartitionChange {
            topic_id: topic.id,
            index: request.partition,
            partition,
            assignment: Assignment::of(partition),
            isr: request.isr.iter().map(|it| it.broker_id).collect(),
            election,
            sufficiency,
            image,
            uncleanly_stopped: None,
            rules: self.rules,
        };
        let acceptable = |id| image.broker(id).is_some_and(|it| is_active(it));
        let mut record = change.record(&acceptable).unwrap_or(PartitionChangeRecord {
            topic_id: topic.id,
            partition_id: request.partition,
            ..PartitionChangeRecord::default()
        });
        if request.leader_recovery_state != partition.leader_recovery_state {
            record.leader_recovery_state = request.leader_recovery_state;
        }
        let state = state_after(partition, &record);
        let reply = if state.leader == partition.leader {
            ControllerReply::AlterPartition(state)
        } else {
            // Both at once: it is committed, and the sender must hear that it leads no more.
            ControllerReply::Refused(ErrorCode::NEW_LEADER_ELECTED)
        };
        Ok((reply, vec![record.into()]))
    }

    fn check_epochs(
        &self,
        partition: &PartitionImage,
        request: &AlterPartitionRequest,
    ) -> Result<(), ErrorCode> {
        if !self.rules.obeys(Rule::VerdictEpochs) {
            return Ok(());
        }
        if request.leader_epoch > partition.leader_epoch
            || request.partition_epoch > partition.partition_epoch
        {
            return Err(ErrorCode::NOT_CONTROLLER);
        }
        if request.leader_epoch < partition.leader_epoch {
            return Err(ErrorCode::FENCED_LEADER_EPOCH);
        }
        if request.broker_id != partition.leader {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        if request.partition_epoch < partition.partition_epoch {
            return Err(ErrorCode::INVALID_UPDATE_VERSION);
        }
        Ok(())
    }

    /// KIP-903: what was fetched by an incarnation that is gone says nothing about the present one.
    fn check_eligible(
        &self,
        image: &MetadataImage,
        request: &AlterPartitionRequest,
    ) -> Result<(), ErrorCode> {
        let is_eligible = |member: &IsrMember| {
            image.broker(member.broker_id).is_some_and(|broker| {
                let same_life = member.broker_epoch == -1 || member.broker_epoch == broker.epoch;
                let any_life = !self.rules.obeys(Rule::BrokerEpochOfMembers);
                is_active(broker) && (same_life || any_life)
            })
        };
        if request.isr.iter().all(is_eligible) {
            Ok(())
        } else {
            Err(ErrorCode::INELIGIBLE_REPLICA)
        }
    }
}

fn check_members(
    partition: &PartitionImage,
    request: &AlterPartitionRequest,
) -> Result<(), ErrorCode> {
    let members: BTreeSet<i32> = request.isr.iter().map(|it| it.broker_id).collect();
    let replicas_once = members.len() == request.isr.len()
        && members.iter().all(|id| partition.replicas.contains(id));
    let recovery = match (
        request.leader_recovery_state,
        partition.leader_recovery_state,
    ) {
        (RECOVERED, _) => true,
        (RECOVERING, RECOVERING) => members.len() == 1,
        _ => false,
    };
    if replicas_once && recovery && members.contains(&partition.leader) {
        Ok(())
    } else {
        Err(ErrorCode::INVALID_REQUEST)
    }
}

/// As [`MetadataImage::apply`] will leave it. The leader that asks is active, so it stays, unless a
/// move is completed.
fn state_after(before: &PartitionImage, record: &PartitionChangeRecord) -> PartitionState {
    /// In a change record, -2 says that the leader stays.
    const LEADER_STAYS: i32 = -2;
    let recovery = record.leader_recovery_state;
    let is_led_anew = record.leader != LEADER_STAYS;
    let lost = |new: &Vec<i32>| before.replicas.iter().any(|id| !new.contains(id));
    let next_epoch = is_led_anew || record.replicas.as_ref().is_some_and(lost);
    PartitionState {
        leader: if is_led_anew {
            record.leader
        } else {
            before.leader
        },
        leader_epoch: before.leader_epoch + i32::from(next_epoch),
        partition_epoch: before.partition_epoch + 1,
        leader_recovery_state: if recovery >= 0 {
            recovery
        } else {
            before.leader_recovery_state
        },
        isr: record.isr.clone().unwrap_or_else(|| before.isr.clone()),
    }
}
