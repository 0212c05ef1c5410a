//! A broker's process: the replicas' cores, and around them what the broker's shell does: it asks
//! controllers, pulls metadata, holds logs, parks writes and fetches.

mod following;
mod leading;
mod replica;

pub(crate) use replica::{Replica, Role};

use crate::disk::Log;
use crate::message::{Call, Message};
use crate::scenario::{MS, Micros, Scenario, TOPIC};
use crate::world::Context;
use isthmus_broker_core::controller::{
    BrokerHeartbeat, BrokerRegistrationRequest, ControllerEvent, ControllerReply,
};
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
/// A producer's `request.timeout.ms`.
const PRODUCE_TIMEOUT: Micros = 1_000 * MS;

#[derive(Debug)]
pub(crate) struct BrokerNode {
    pub(crate) id: i32,
    incarnation: Uuid,
    /// What the clean-shutdown marker said when this process began; -1 without one.
    previous_epoch: i64,
    pub(crate) broker_epoch: Option<i64>,
    fenced: bool,
    /// Wants to stop in an orderly way.
    pub(crate) stopping: bool,
    pub(crate) image: MetadataImage,
    index: usize,
    pub(crate) replicas: BTreeMap<usize, Replica>,
    calls: BTreeMap<Call, (Asked, Micros)>,
    next_call: Call,
    /// The controller that last behaved as the active one.
    controller: i32,
    next_heartbeat: Micros,
}

#[derive(Debug, Clone, Copy)]
enum Asked {
    Register,
    Heartbeat,
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
        mut logs: BTreeMap<usize, Log>,
    ) -> Self {
        let mut incarnation = Uuid([0; 16]);
        incarnation.0[0] = u8::try_from(id).unwrap_or(0);
        incarnation.0[12..].copy_from_slice(&life.to_be_bytes());
        let held = scenario.partitions.iter().enumerate();
        let held = held.filter(|(_, replicas)| replicas.contains(&id));
        let replicas = held.map(|(partition, _)| {
            let mut log = logs.remove(&partition).unwrap_or_default();
            log.reopen();
            let replica = Replica {
                kept: log.high_watermark_checkpoint,
                shown: 0,
                log,
                role: Role::Unknown,
            };
            (partition, replica)
        });
        Self {
            id,
            incarnation,
            previous_epoch,
            broker_epoch: None,
            fenced: true,
            stopping: false,
            image: image.clone(),
            index: 0,
            replicas: replicas.collect(),
            calls: BTreeMap::new(),
            // Calls of an earlier life are never mistaken for this one's.
            next_call: u64::from(life) << 32,
            controller: scenario.controllers[0],
            next_heartbeat: 0,
        }
    }

    /// The process ends; what it leaves.
    pub(crate) fn into_logs(self) -> BTreeMap<usize, Log> {
        self.replicas
            .into_iter()
            .map(|(partition, it)| (partition, it.log))
            .collect()
    }

    pub(crate) fn receive(&mut self, context: &mut Context<'_>, from: i32, message: Message) {
        match message {
            Message::FromController { call, reply } => {
                self.controller_says(context, from, call, reply);
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
                answer,
                records,
            } => self.fetched(context, call, answer, &records),
            Message::Produce {
                id,
                partition,
                acks,
            } => self.produce(context, from, id, partition, acks),
            other => unreachable!("a broker is not sent {other:?}"),
        }
        self.ask_for_metadata(context);
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
                if context.random.one_in(12) {
                    replica.log.sync();
                }
                if context.random.one_in(8) {
                    replica.log.high_watermark_checkpoint = replica.high_watermark();
                }
            }
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
                Asked::Register => self.another_controller(context),
                Asked::Heartbeat | Asked::Metadata => {}
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
        let Some(broker_epoch) = self.broker_epoch else {
            if self.is_asking(|it| matches!(it, Asked::Register)) {
                return;
            }
            let record = RegisterBrokerRecord {
                broker_id: self.id,
                incarnation_id: self.incarnation,
                ..RegisterBrokerRecord::default()
            };
            let event = ControllerEvent::Register(BrokerRegistrationRequest {
                record,
                previous_broker_epoch: self.previous_epoch,
            });
            let call = self.call(Asked::Register, deadline);
            context.send(self.controller, Message::ToController { call, event });
            return;
        };
        if context.now < self.next_heartbeat {
            return;
        }
        self.next_heartbeat = context.now + HEARTBEAT_EVERY;
        for controller in context.scenario.controllers.clone() {
            let event = ControllerEvent::Heartbeat(BrokerHeartbeat {
                broker_id: self.id,
                broker_epoch,
                metadata_offset: self.image.offset,
                want_fence: false,
                want_shut_down: self.stopping,
            });
            let call = self.call(Asked::Heartbeat, deadline);
            context.send(controller, Message::ToController { call, event });
        }
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
        reply: ControllerReply,
    ) {
        let Some((asked, _)) = self.calls.remove(&call) else {
            return;
        };
        match (asked, reply) {
            (Asked::Register, ControllerReply::Registered { broker_epoch }) => {
                self.broker_epoch = self.broker_epoch.max(Some(broker_epoch));
                self.previous_epoch = -1;
                self.controller = from;
                self.metadata_changed(context);
            }
            (Asked::Register, _) => self.another_controller(context),
            (Asked::Heartbeat, ControllerReply::Heartbeat(reply)) => {
                self.controller = from;
                self.fenced = reply.is_fenced;
                context.stops |= reply.should_shut_down && self.stopping;
                self.check_unfenced(context);
            }
            (Asked::Heartbeat, ControllerReply::Refused(code)) => {
                let unknown = [
                    ErrorCode::STALE_BROKER_EPOCH,
                    ErrorCode::BROKER_ID_NOT_REGISTERED,
                ];
                if unknown.contains(&code) {
                    self.broker_epoch = None;
                }
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
        let (id, offset, epoch) = (self.id, self.image.offset, self.broker_epoch);
        if !self.fenced && epoch.is_some_and(|it| offset < it) {
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
        self.metadata_changed(context);
    }

    /// Rule 23: no role before this broker's own registration is applied.
    fn metadata_changed(&mut self, context: &mut Context<'_>) {
        let registered = self.broker_epoch.is_some_and(|it| self.image.offset >= it);
        let started = self
            .replicas
            .values()
            .any(|it| it.role.leader_epoch().is_some());
        if !registered && !started {
            return;
        }
        let partitions: Vec<usize> = self.replicas.keys().copied().collect();
        for partition in partitions {
            let image = partition_image(&self.image, partition).clone();
            self.take_role(context, partition, &image);
        }
    }
}

fn partition_image(image: &MetadataImage, partition: usize) -> &PartitionImage {
    let topic = image.topic_by_id(TOPIC);
    &topic.expect("the topic is never deleted").partitions[partition]
}
