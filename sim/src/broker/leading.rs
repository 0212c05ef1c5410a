//! The leader's side of a broker: roles as metadata says, writes, followers' fetches, and the ISR.

use super::flushing::own_copy;
use super::replica::{Leading, Replica, Role, Write, may_acknowledge};
use super::{
    Asked, BrokerNode, CONTROLLER_TIMEOUT, FETCH_WAIT, LAG_MAX, PRODUCE_TIMEOUT, partition_image,
};
use crate::disk::{Log, Record};
use crate::judge::racks_of_isr;
use crate::message::{Acks, Call, Message};
use crate::scenario::{Mutation, TOPIC};
use crate::troubles::DiskOperation;
use crate::world::Context;
use isthmus_broker_core::controller::{AlterPartitionRequest, ControllerEvent};
use isthmus_broker_core::metadata::{MetadataImage, PartitionImage};
use isthmus_broker_core::replica::{
    AlterPartition, AlterPartitionAnswer, EpochHistory, FetchRefused, Follower, Leader,
    LeaderEffects, Leadership, ReplicaFetch, ReplicaFetchAnswer, RoleChange, role_change,
};
use isthmus_wire::ErrorCode;
use std::collections::BTreeMap;

impl BrokerNode {
    pub(super) fn take_role(
        &mut self,
        context: &mut Context<'_>,
        partition: usize,
        image: &PartitionImage,
    ) {
        let Some(replica) = self.replicas.get_mut(&partition) else {
            return;
        };
        match role_change(self.id, replica.role.leader_epoch(), image) {
            RoleChange::Stay => self.lead(context, partition, |leader, context, whole, _| {
                let asked = context.scenario.sufficiency(whole);
                leader.metadata_changed(context.boot, whole, image, asked)
            }),
            RoleChange::Wait { leader_epoch } => {
                replica.leave_role(context);
                replica.role = Role::Waiting(leader_epoch);
            }
            RoleChange::Follow {
                leader,
                leader_epoch,
            } => {
                replica.leave_role(context);
                replica.role = Role::Follower(Follower::new(
                    self.id,
                    leader,
                    leader_epoch,
                    replica.kept,
                    context.scenario.credits,
                    context.scenario.rules,
                ));
                self.poll(context, partition);
            }
            RoleChange::Lead { leader_epoch } => {
                replica.leave_role(context);
                if !context.scenario.is(Mutation::OldEpoch) {
                    replica.log.assign_epoch(leader_epoch);
                }
                let leader =
                    begin_to_lead(context, self.id, partition, (&self.image, image), replica);
                replica.role = Role::Leader(Box::new(Leading {
                    leader,
                    fetches: BTreeMap::new(),
                    writes: Vec::new(),
                }));
                self.lead(context, partition, |leader, context, image, _| {
                    leader.tick(context.boot, image)
                });
            }
        }
    }

    /// One event of a leader, and all that follows from it.
    pub(super) fn lead(
        &mut self,
        context: &mut Context<'_>,
        partition: usize,
        event: impl FnOnce(&mut Leader, &mut Context<'_>, &MetadataImage, &mut Log) -> LeaderEffects,
    ) {
        let Some(replica) = self.replicas.get_mut(&partition) else {
            return;
        };
        let Role::Leader(leading) = &mut replica.role else {
            return;
        };
        let effects = event(&mut leading.leader, context, &self.image, &mut replica.log);
        replica.show(context, self.id, partition);
        replica.complete_writes(context, partition, &self.image, self.lease.get());
        replica.answer_fetches(context);
        if let Some(proposal) = effects.alter_partition {
            self.alter_partition(context, partition, proposal);
        }
        self.check_isr(context, partition);
    }

    pub(super) fn isr_answered(
        &mut self,
        context: &mut Context<'_>,
        asked: Asked,
        answer: AlterPartitionAnswer,
    ) {
        let Asked::AlterPartition {
            partition,
            leader_epoch,
            proposal,
        } = asked
        else {
            return;
        };
        self.lead(context, partition, |leader, context, image, _| {
            if leader.epoch() != leader_epoch {
                return LeaderEffects::default();
            }
            leader.alter_partition_answered(context.boot, image, proposal, answer)
        });
    }

    fn alter_partition(
        &mut self,
        context: &mut Context<'_>,
        partition: usize,
        proposal: AlterPartition,
    ) {
        let asked = Asked::AlterPartition {
            partition,
            leader_epoch: proposal.leader_epoch,
            proposal: proposal.proposal,
        };
        let call = self.call(asked, context.now + CONTROLLER_TIMEOUT);
        let event = ControllerEvent::AlterPartition(AlterPartitionRequest {
            broker_id: self.id,
            broker_epoch: self.life.epoch().unwrap_or(-1),
            topic_id: TOPIC,
            partition: i32::try_from(partition).unwrap_or(-1),
            leader_epoch: proposal.leader_epoch,
            partition_epoch: proposal.partition_epoch,
            leader_recovery_state: 0,
            isr: proposal.isr,
        });
        context.send(self.controller, Message::ToController { call, event });
    }

    /// The invariant between controller and newest leader (rule 3).
    pub(crate) fn check_isr(&self, context: &mut Context<'_>, partition: usize) {
        let Some(Role::Leader(leading)) = self.replicas.get(&partition).map(|it| &it.role) else {
            return;
        };
        let (leader, truth) = (&leading.leader, context.judge.partition(partition));
        if truth.leader != self.id || truth.leader_epoch != leader.epoch() {
            return;
        }
        let stranger = truth
            .isr
            .iter()
            .copied()
            .find(|id| !leader.may_be_in_isr(*id));
        if let Some(stranger) = stranger {
            let maximal = leader.maximal_isr();
            let (isr, id) = (truth.isr.clone(), self.id);
            context.judge.accuse(|| {
                format!(
                    "partition {partition}: the ISR is {isr:?}, and its leader {id} does not count \
                     with {stranger}, only with {maximal:?}"
                )
            });
        }
    }

    pub(super) fn produce(
        &mut self,
        context: &mut Context<'_>,
        client: i32,
        id: u64,
        partition: usize,
        acks: Acks,
    ) {
        let role = self.replicas.get(&partition).map(|it| &it.role);
        if !matches!(role, Some(Role::Leader(_))) {
            let result = Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
            context.send(client, Message::Produced { id, result });
            return;
        }
        let (mut parked, lease) = (None, self.lease.get());
        self.lead(context, partition, |leader, context, image, log| {
            if !may_acknowledge(context, leader, lease)
                && !context.scenario.is(Mutation::AppendsWithoutLease)
            {
                context.judge.counts.lease_refusals += 1;
                let result = Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
                context.send(client, Message::Produced { id, result });
                return LeaderEffects::default();
            }
            let refused = (acks == Acks::All).then(|| leader.admit_acks_all().err());
            if let Some(refused) = refused.flatten() {
                let few_racks = !refused.needed.has_racks(refused.racks);
                context.judge.counts.racks_refused += u64::from(few_racks);
                let result = Err(ErrorCode::NOT_ENOUGH_REPLICAS);
                context.send(client, Message::Produced { id, result });
                return LeaderEffects::default();
            }
            let epoch = if context.scenario.is(Mutation::OldEpoch) {
                log.latest_epoch().unwrap_or(0)
            } else {
                leader.epoch()
            };
            let (record, offset) = (Record { epoch, id }, log.log_end());
            let deadline = context.now + PRODUCE_TIMEOUT;
            if !context.disk_does(DiskOperation::Append) {
                // Whole or not at all: a batch that is torn is cut off at the next opening.
                if context.disk_dice.one_in(2) {
                    log.append(record);
                }
                let result = Err(ErrorCode::KAFKA_STORAGE_ERROR);
                context.send(client, Message::Produced { id, result });
                return LeaderEffects::default();
            }
            log.append(record);
            leader.appended(log.log_end());
            match acks {
                Acks::None => {}
                Acks::Leader if leader.holds(offset + 1) => {
                    let is_durable = log.is_durable(offset + 1);
                    let by = (leader.epoch(), context.now);
                    context
                        .judge
                        .acknowledged_one(partition, by, record, is_durable);
                    let result = Ok(offset);
                    context.send(client, Message::Produced { id, result });
                }
                Acks::Leader => parked = Some(Write::new(client, acks, (offset, record), deadline)),
                Acks::All => {
                    let isr = leader.isr().len();
                    let known = partition_image(image, partition);
                    let needed = context.scenario.needed(known);
                    let racks = racks_of_isr(image, leader.isr());
                    let members = (isr, needed);
                    context.judge.appended_for_all(partition, members, racks);
                    parked = Some(Write::new(client, acks, (offset, record), deadline));
                }
            }
            LeaderEffects::default()
        });
        if let (Some(write), Some(replica)) = (parked, self.replicas.get_mut(&partition)) {
            if let Role::Leader(leading) = &mut replica.role {
                leading.writes.push(write);
            }
            replica.complete_writes(context, partition, &self.image, lease);
        }
    }

    pub(super) fn fetch(
        &mut self,
        context: &mut Context<'_>,
        from: i32,
        call: Call,
        partition: usize,
        fetch: &ReplicaFetch,
    ) {
        let refuse = |context: &mut Context<'_>, refused| {
            let message = Message::Fetched {
                call,
                at: context.boot,
                answer: ReplicaFetchAnswer::Refused(refused),
                records: Vec::new(),
            };
            context.send(from, message);
        };
        let replica = self.replicas.get_mut(&partition);
        let Some(Replica {
            role: Role::Leader(leading),
            log,
            ..
        }) = replica
        else {
            return refuse(
                context,
                FetchRefused::Error(ErrorCode::NOT_LEADER_OR_FOLLOWER),
            );
        };
        let epoch = leading.leader.epoch();
        context.judge.asked(partition, epoch, fetch.leader_epoch);
        let (verdict, effects) = leading
            .leader
            .fetched(context.boot, &self.image, fetch, log);
        match verdict {
            Ok(()) => {
                let until = context.now + FETCH_WAIT;
                let parked = leading.fetches.entry(from).or_default();
                parked.push_back((call, fetch.session, until));
                // A follower that started over has forgotten what it asked before.
                while parked.len() > context.scenario.credits {
                    parked.pop_front();
                }
            }
            Err(refused) => refuse(context, refused),
        }
        self.lead(context, partition, |_, _, _, _| effects);
    }
}

fn begin_to_lead(
    context: &mut Context<'_>,
    id: i32,
    partition: usize,
    (whole, image): (&MetadataImage, &PartitionImage),
    replica: &Replica,
) -> Leader {
    let epoch = image.leader_epoch;
    context
        .judge
        .leads(partition, epoch, id, context.now, replica.log.records());
    let leadership = Leadership {
        broker_id: id,
        partition: image,
        sufficiency: context.scenario.sufficiency(whole),
        image: whole,
        unclean_leader_election: context.scenario.unclean_leader_election,
        replica_lag_time_max: LAG_MAX,
        own_copy: own_copy(context, &replica.log),
        rules: context.scenario.rules,
    };
    let log = 0..replica.log.log_end();
    Leader::lead(context.boot, &leadership, log, replica.kept)
}
