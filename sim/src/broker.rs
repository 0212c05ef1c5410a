//! A broker's process: the replicas' cores, and around them what the broker's shell does: it asks
//! controllers, pulls metadata, holds logs, parks writes and fetches.

mod flushing;
mod following;
mod leading;
mod replica;

pub(crate) use replica::{Replica, Role};

use crate::disk::Log;
use crate::message::{Call, Message};
use crate::scenario::{MS, Micros, Mutation, Scenario, TOPIC};
use crate::troubles::DiskOperation;
use crate::world::Context;
use flushing::Flushes;
use isthmus_broker_core::controller::{
    BrokerRegistrationRequest, ControllerEvent, ControllerReply,
};
use isthmus_broker_core::lease::Lease;
use isthmus_broker_core::lifecycle::{BrokerLifecycle, LifecycleAction, LifecycleConfig};
use isthmus_broker_core::metadata::{MetadataImage, PartitionImage};
use isthmus_broker_core::replica::{AlterPartitionAnswer, NewIsr};
use isthmus_wire::messages::RegisterBrokerRecord;
use isthmus_wire::{ErrorCode, Uuid};
use std::collections::BTreeMap;
use std::time::Duration;

/// `replica.lag.time.max.ms`.
const LAG_MAX: Duration = Duration::from_millis(1_200);
const HEARTBEAT_EVERY: Micros = 300 * MS;
/// `replica.fetch.wait.max.ms`.
const FETCH_WAIT: Micros = 400 * MS;
const FETCH_TIMEOUT: Micros = 900 * MS;
const CONTROLLER_TIMEOUT: Micros = 500 * MS;
const METADATA_TIMEOUT: Micros = 900 * MS;
/// How long a lease is for (rule 20), which is less than a session.
pub(crate) const LEASE: Duration = Duration::from_millis(1_000);
/// A producer's `request.timeout.ms`.
const PRODUCE_TIMEOUT: Micros = 1_000 * MS;

#[derive(Debug)]
pub(crate) struct BrokerNode {
    pub(crate) id: i32,
    /// Registration, heartbeats, the wish to stop.
    pub(crate) life: BrokerLifecycle,
    /// `broker.rack` of this life.
    rack: Option<&'static str>,
    pub(crate) image: MetadataImage,
    pub(super) lease: Lease,
    index: usize,
    pub(crate) replicas: BTreeMap<usize, Replica>,
    flushes: Flushes,
    /// Deleted, but not yet from the disk itself.
    deleted: BTreeMap<usize, Log>,
    calls: BTreeMap<Call, (Asked, Micros)>,
    next_call: Call,
    /// The controller that last behaved as the active one.
    controller: i32,
}

#[derive(Debug, Clone, Copy)]
enum Asked {
    Register,
    Heartbeat {
        broker_epoch: i64,
        /// By this broker's clock.
        sent: Duration,
    },
    Metadata,
    AlterPartition {
        partition: usize,
        leader_epoch: i32,
        proposal: u64,
    },
    Fetch {
        partition: usize,
        leader_epoch: i32,
        session: u64,
    },
}

impl BrokerNode {
    /// A process that starts on those logs. `life` tells it from its earlier ones.
    pub(crate) fn start(
        id: i32,
        life: u32,
        previous_epoch: i64,
        scenario: &Scenario,
        image: &MetadataImage,
        logs: BTreeMap<usize, Log>,
    ) -> Self {
        let mut incarnation = Uuid([0; 16]);
        incarnation.0[0] = u8::try_from(id).unwrap_or(0);
        incarnation.0[12..].copy_from_slice(&life.to_be_bytes());
        let replicas = logs.into_iter().map(|(partition, mut log)| {
            log.reopen();
            (partition, Replica::on(log))
        });
        Self {
            id,
            life: BrokerLifecycle::new(
                life_config(),
                id,
                incarnation,
                previous_epoch,
                Duration::ZERO,
            ),
            rack: scenario.rack(id, life),
            image: image.clone(),
            lease: Lease::new(LEASE, scenario.rules),
            index: 0,
            replicas: replicas.collect(),
            flushes: Flushes::new(),
            deleted: BTreeMap::new(),
            calls: BTreeMap::new(),
            // Calls of an earlier life are never mistaken for this one's.
            next_call: u64::from(life) << 32,
            controller: scenario.controllers[0],
        }
    }

    /// The process ends; what it leaves, and what it deleted lately.
    pub(crate) fn into_logs(self) -> (BTreeMap<usize, Log>, BTreeMap<usize, Log>) {
        let logs = self.replicas.into_iter();
        let logs = logs.map(|(partition, it)| (partition, it.log));
        (logs.collect(), self.deleted)
    }

    pub(crate) fn receive(&mut self, context: &mut Context<'_>, from: i32, message: Message) {
        match message {
            Message::FromController {
                call,
                reply,
                confirmed,
            } => {
                self.controller_says(context, from, call, (reply, confirmed));
            }
            Message::Metadata { call, to } => {
                self.calls.remove(&call);
                self.follow_metadata(context, to);
            }
            Message::Fetch {
                call,
                partition,
                fetch,
            } => self.fetch(context, from, call, partition, &fetch),
            Message::Fetched {
                call,
                at,
                answer,
                records,
            } => self.fetched(context, call, at, answer, &records),
            Message::Produce {
                id,
                partition,
                acks,
            } => self.produce(context, from, id, partition, acks),
            other => unreachable!("a broker is not sent {other:?}"),
        }
        self.ask_for_metadata(context);
        self.flush_what_waits(context);
    }

    pub(crate) fn tick(&mut self, context: &mut Context<'_>) {
        self.expire_calls(context);
        self.ask_controllers(context);
        self.ask_for_metadata(context);
        let partitions: Vec<usize> = self.replicas.keys().copied().collect();
        for partition in partitions {
            self.lead(context, partition, |leader, context, image, _| {
                leader.tick(context.boot, image)
            });
            self.poll(context, partition);
            if let Some(replica) = self.replicas.get_mut(&partition) {
                if context.random.one_in(12) && context.disk_does(DiskOperation::Flush) {
                    replica.log.write_back();
                }
                if context.random.one_in(8) && context.disk_does(DiskOperation::Checkpoint) {
                    replica.log.high_watermark_checkpoint = replica.high_watermark();
                }
            }
        }
        if !self.deleted.is_empty() && context.random.one_in(12) {
            self.deleted.clear();
        }
        self.flush_what_waits(context);
    }

    /// An answer has come and waits for the disk: nobody gives up on it any more.
    pub(crate) fn has_come(&mut self, call: Call) {
        if let Some((_, deadline)) = self.calls.get_mut(&call) {
            *deadline = Micros::MAX;
        }
    }

    fn expire_calls(&mut self, context: &mut Context<'_>) {
        let now = context.now;
        let late: Vec<(Call, Asked)> = (self.calls.iter())
            .filter(|(_, (_, deadline))| *deadline <= now)
            .map(|(call, (asked, _))| (*call, *asked))
            .collect();
        for (call, asked) in late {
            self.calls.remove(&call);
            match asked {
                Asked::Register => {
                    self.another_controller(context);
                    self.life.not_registered(None);
                }
                Asked::Heartbeat { .. } | Asked::Metadata => {}
                Asked::AlterPartition { .. } => {
                    self.another_controller(context);
                    self.isr_answered(context, asked, AlterPartitionAnswer::Lost);
                }
                Asked::Fetch {
                    partition,
                    leader_epoch,
                    session,
                } => {
                    if let Some((follower, _)) = self.following(partition, leader_epoch) {
                        follower.lost(context.mono, session);
                    }
                }
            }
        }
    }

    fn another_controller(&mut self, context: &mut Context<'_>) {
        let others = &context.scenario.controllers;
        self.controller = context.random.pick(others).unwrap_or(self.controller);
    }

    fn call(&mut self, asked: Asked, deadline: Micros) -> Call {
        self.next_call += 1;
        self.calls.insert(self.next_call, (asked, deadline));
        self.next_call
    }

    fn is_asking(&self, what: fn(&Asked) -> bool) -> bool {
        self.calls.values().any(|(asked, _)| what(asked))
    }

    /// Registers, or tells every voter that this broker lives (design, decision 7).
    fn ask_controllers(&mut self, context: &mut Context<'_>) {
        let deadline = context.now + CONTROLLER_TIMEOUT;
        let now = Duration::from_micros(context.now);
        match self.life.tick(now, self.image.offset) {
            None => {}
            Some(LifecycleAction::Register {
                incarnation,
                previous_broker_epoch,
            }) => {
                let record = RegisterBrokerRecord {
                    broker_id: self.id,
                    incarnation_id: incarnation,
                    rack: self.rack.map(str::to_owned),
                    ..RegisterBrokerRecord::default()
                };
                let event = ControllerEvent::Register(BrokerRegistrationRequest {
                    record,
                    previous_broker_epoch,
                });
                let call = self.call(Asked::Register, deadline);
                context.send(self.controller, Message::ToController { call, event });
            }
            Some(LifecycleAction::Heartbeat(beat)) => {
                for controller in context.scenario.controllers.clone() {
                    let asked = Asked::Heartbeat {
                        broker_epoch: beat.broker_epoch,
                        sent: context.boot,
                    };
                    let call = self.call(asked, deadline);
                    let event = ControllerEvent::Heartbeat(beat);
                    context.send(controller, Message::ToController { call, event });
                }
            }
            Some(LifecycleAction::GiveUp(_)) => unreachable!("there is no end to its patience"),
        }
        context.stops |= self.life.may_stop();
    }

    fn ask_for_metadata(&mut self, context: &mut Context<'_>) {
        if self.is_asking(|it| matches!(it, Asked::Metadata)) {
            return;
        }
        let controllers = &context.scenario.controllers;
        let Some(to) = context.random.pick(controllers) else {
            return;
        };
        let from = self.index;
        let call = self.call(Asked::Metadata, context.now + METADATA_TIMEOUT);
        context.send(to, Message::FetchMetadata { call, from });
    }

    fn controller_says(
        &mut self,
        context: &mut Context<'_>,
        from: i32,
        call: Call,
        (reply, confirmed): (ControllerReply, Option<i64>),
    ) {
        let Some((asked, _)) = self.calls.remove(&call) else {
            return;
        };
        match (asked, reply) {
            (Asked::Register, ControllerReply::Registered { broker_epoch }) => {
                self.life.registered(broker_epoch);
                self.controller = from;
                self.metadata_changed(context);
            }
            (Asked::Register, _) => {
                self.another_controller(context);
                self.life.not_registered(None);
            }
            (Asked::Heartbeat { sent, .. }, ControllerReply::Heartbeat(reply)) => {
                self.controller = from;
                self.life
                    .heartbeat_answered(Duration::from_micros(context.now), reply);
                if let Some(offset) = confirmed {
                    self.lease.confirmed(context.boot, sent, offset);
                    self.lease.applied(self.image.offset);
                }
                context.stops |= self.life.may_stop();
                self.check_unfenced(context);
            }
            (Asked::Heartbeat { broker_epoch, .. }, ControllerReply::Refused(code)) => {
                self.life.heartbeat_refused(broker_epoch, code);
            }
            (Asked::AlterPartition { .. }, ControllerReply::AlterPartition(state)) => {
                let new = NewIsr {
                    leader_epoch: state.leader_epoch,
                    partition_epoch: state.partition_epoch,
                    isr: state.isr,
                };
                self.isr_answered(context, asked, AlterPartitionAnswer::Accepted(new));
            }
            (Asked::AlterPartition { .. }, ControllerReply::Refused(code)) => {
                if code == ErrorCode::NOT_CONTROLLER {
                    self.another_controller(context);
                }
                self.isr_answered(context, asked, AlterPartitionAnswer::Refused(code));
            }
            (asked, reply) => unreachable!("{asked:?} is answered {reply:?}"),
        }
    }

    /// Rule 8.
    fn check_unfenced(&self, context: &mut Context<'_>) {
        let (id, offset, epoch) = (self.id, self.image.offset, self.life.epoch());
        if !self.life.is_fenced() && epoch.is_some_and(|it| offset < it) {
            context.judge.accuse(|| {
                format!("broker {id} is unfenced at offset {offset}, registered at {epoch:?}")
            });
        }
    }

    fn follow_metadata(&mut self, context: &mut Context<'_>, to: usize) {
        if self.index >= to {
            return;
        }
        while self.index < to {
            context.apply(&mut self.image, self.index);
            self.index += 1;
        }
        self.lease.applied(self.image.offset);
        self.metadata_changed(context);
    }

    /// Rule 23: no role before this broker's own registration is applied.
    fn metadata_changed(&mut self, context: &mut Context<'_>) {
        let registered = self.life.epoch().is_some_and(|it| self.image.offset >= it);
        let started = self
            .replicas
            .values()
            .any(|it| it.role.leader_epoch().is_some());
        if !registered && !started {
            return;
        }
        for partition in 0..context.scenario.partitions.len() {
            let image = partition_image(&self.image, partition).clone();
            self.hold(context, partition, &image);
            self.take_role(context, partition, &image);
        }
    }

    /// Replicas come and go as metadata says (KIP-455): one that comes is empty.
    fn hold(&mut self, context: &mut Context<'_>, partition: usize, image: &PartitionImage) {
        let goes = image.removing_replicas.contains(&self.id);
        let gone_early = goes && context.scenario.is(Mutation::DeletesEarly);
        let is_replica = image.replicas.contains(&self.id) && !gone_early;
        if is_replica {
            let begin = || Replica::on(Log::default());
            self.replicas.entry(partition).or_insert_with(begin);
        } else if let Some(mut replica) = self.replicas.remove(&partition) {
            replica.leave_role(context);
            self.flushes.forget(partition);
            context.judge.deleted(partition, self.id);
            self.deleted.insert(partition, replica.log);
        }
    }
}

/// A run has no end to its patience: whoever wants to stop waits for the controller.
fn life_config() -> LifecycleConfig {
    LifecycleConfig {
        heartbeat_interval: Duration::from_micros(HEARTBEAT_EVERY),
        initial_registration_timeout: Duration::MAX,
        controlled_shutdown_timeout: Duration::MAX,
        controller_silence_timeout: Duration::MAX,
    }
}

fn partition_image(image: &MetadataImage, partition: usize) -> &PartitionImage {
    let topic = image.topic_by_id(TOPIC);
    &topic.expect("the topic is never deleted").partitions[partition]
}
