//! The follower's side of a broker: it keeps its credits out, and does what the core says of answers.

use super::flushing::own_copy;
use super::replica::{Replica, Role};
use super::{Asked, BrokerNode, FETCH_TIMEOUT};
use crate::disk::{Log, Record};
use crate::message::{Call, Message};
use crate::troubles::DiskOperation;
use crate::world::Context;
use isthmus_broker_core::replica::{EpochHistory, Follower, FollowerStep, ReplicaFetchAnswer};
use std::time::Duration;

impl BrokerNode {
    pub(super) fn following(
        &mut self,
        partition: usize,
        leader_epoch: i32,
    ) -> Option<(&mut Follower, &mut Log)> {
        match self.replicas.get_mut(&partition)? {
            Replica {
                role: Role::Follower(follower),
                log,
                ..
            } if follower.leader_epoch() == leader_epoch => Some((follower, log)),
            _ => None,
        }
    }

    pub(super) fn fetched(
        &mut self,
        context: &mut Context<'_>,
        call: Call,
        at: Duration,
        answer: ReplicaFetchAnswer,
        records: &[Record],
    ) {
        let Some((
            Asked::Fetch {
                partition,
                leader_epoch,
                session,
            },
            _,
        )) = self.calls.remove(&call)
        else {
            return;
        };
        if let Some(replica) = self.replicas.get_mut(&partition)
            && replica.role.leader_epoch() == Some(leader_epoch)
        {
            replica.follows = replica.follows.max(Some(at));
        }
        let Some((follower, log)) = self.following(partition, leader_epoch) else {
            return;
        };
        match follower.answered(context.mono, session, answer, log) {
            FollowerStep::Nothing => {}
            FollowerStep::Append if !context.disk_does(DiskOperation::Append) => {
                // A first part of it is there.
                let kept = context.disk_dice.below(records.len() + 1);
                records[..kept].iter().for_each(|it| log.append(*it));
                return;
            }
            FollowerStep::Truncate { to } if !context.disk_does(DiskOperation::Truncate) => {
                if context.disk_dice.one_in(2) {
                    log.truncate(to);
                }
                return;
            }
            FollowerStep::Append => {
                records.iter().for_each(|record| log.append(*record));
                if let ReplicaFetchAnswer::Records { high_watermark, .. } = answer {
                    follower.appended(log.log_end(), high_watermark);
                }
            }
            FollowerStep::Truncate { to } => {
                context.judge.counts.truncations += 1;
                log.truncate(to);
                follower.truncated(log.log_end());
            }
            FollowerStep::StartAt { .. } => {
                log.truncate(0);
                follower.started_at(0);
            }
        }
        let id = self.id;
        if let Some(replica) = self.replicas.get_mut(&partition) {
            replica.show(context, id, partition);
        }
        self.poll(context, partition);
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>, partition: usize) {
        let Some(broker_epoch) = self.life.epoch() else {
            return;
        };
        loop {
            let Some(replica) = self.replicas.get_mut(&partition) else {
                return;
            };
            let Role::Follower(follower) = &mut replica.role else {
                return;
            };
            let own_copy = own_copy(context, &replica.log);
            let poll = follower.poll(context.mono, broker_epoch, &replica.log, own_copy);
            let Some(mut fetch) = poll else {
                return;
            };
            fetch.follows = replica.follows;
            let leader = follower.leader();
            let asked = Asked::Fetch {
                partition,
                leader_epoch: fetch.leader_epoch,
                session: fetch.session,
            };
            let call = self.call(asked, context.now + FETCH_TIMEOUT);
            let message = Message::Fetch {
                call,
                partition,
                fetch,
            };
            context.send(leader, message);
        }
    }
}
