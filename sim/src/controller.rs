//! A controller's process: a voter that may be the active one. Around the core it does what the
//! broker's shell does: one change at a time, answered when it is committed.

use crate::message::{Call, Message};
use crate::scenario::{MS, Micros, Mutation, Scenario, TOPIC_NAME};
use crate::world::Context;
use isthmus_broker_core::controller::{
    Controller, ControllerConfig, ControllerEvent, ControllerReply,
};
use isthmus_broker_core::metadata::{
    AlterConfigs, ConfigChange, ConfigContext, ConfigOperation, ConfigResource, MIN_INSYNC_RACKS,
    MetadataChange, MetadataImage, MetadataRecord, RackPlacement, alter_configs,
};
use isthmus_wire::ErrorCode;
use std::collections::VecDeque;
use std::time::Duration;

/// `broker.session.timeout.ms`.
pub(crate) const SESSION: Micros = 1_500 * MS;
/// How long a broker is waited for whose connections have ended.
const HANG_UP_TIMEOUT: Micros = SESSION * 3 / 8;
/// Events that wait for the one before; more are refused.
const QUEUE_MAX: usize = 64;
/// How long a broker's request for more metadata waits.
const METADATA_WAIT: Micros = 400 * MS;

#[derive(Debug)]
pub(crate) struct ControllerNode {
    pub(crate) id: i32,
    pub(crate) image: MetadataImage,
    /// Committed changes that are applied here.
    pub(crate) index: usize,
    /// The term this voter believes it leads.
    pub(crate) active: Option<u64>,
    core: Controller,
    queue: VecDeque<(i32, Call, Asked)>,
    /// The change that is on its way, and who waits for it.
    waiting: Option<(u64, i32, Call, ControllerReply)>,
    metadata_waiters: Vec<(i32, Call, usize, Micros)>,
}

/// What is to be decided.
#[derive(Debug)]
enum Asked {
    Of(ControllerEvent),
    MinInsyncRacks(usize),
}

/// What a controller wants of the quorum.
pub(crate) struct Proposed {
    pub(crate) term: u64,
    pub(crate) change: MetadataChange,
}

impl ControllerNode {
    pub(crate) fn new(id: i32, scenario: &Scenario, image: &MetadataImage) -> Self {
        let config = ControllerConfig {
            broker_session_timeout: Duration::from_micros(SESSION),
            broker_hang_up_timeout: Duration::from_micros(HANG_UP_TIMEOUT),
            min_insync_replicas: scenario.min_insync_replicas,
            unclean_leader_election: scenario.unclean_leader_election,
            rack_placement: RackPlacement::Any,
            leader_balance_interval: Some(Duration::from_secs(4)),
            unclean_election_interval: Duration::from_secs(3),
        };
        Self {
            id,
            image: image.clone(),
            index: 0,
            active: None,
            core: Controller::new(config, scenario.rules),
            queue: VecDeque::new(),
            waiting: None,
            metadata_waiters: Vec::new(),
        }
    }

    /// What is left of it when its process ends: the log that it has.
    pub(crate) fn stopped(&self) -> Self {
        Self {
            id: self.id,
            image: self.image.clone(),
            index: self.index,
            active: None,
            core: self.core.clone(),
            queue: VecDeque::new(),
            waiting: None,
            metadata_waiters: Vec::new(),
        }
    }

    pub(crate) fn activate(&mut self, boot: Duration, term: u64) {
        self.active = Some(term);
        self.core.activate(boot, &self.image);
    }

    /// This voter learns that it leads no more.
    pub(crate) fn step_down(&mut self, context: &mut Context<'_>) {
        self.active = None;
        let waiting = self.waiting.take().map(|(_, to, call, _)| (to, call));
        let queued = self.queue.drain(..).map(|(to, call, _)| (to, call));
        for (to, call) in waiting.into_iter().chain(queued).filter(|(to, _)| *to != 0) {
            refuse(context, to, call, ErrorCode::NOT_CONTROLLER);
        }
    }

    /// The last connection by which it heard of that broker has ended.
    pub(crate) fn hung_up(&mut self, context: &Context<'_>, broker: i32) {
        self.core.hung_up(context.boot, broker);
    }

    /// A message, or a tick (from nobody).
    pub(crate) fn receive(&mut self, context: &mut Context<'_>, from: i32, message: Message) {
        match message {
            Message::ToController { call, event } => self.event(context, from, call, event),
            Message::MinInsyncRacks { call, racks } => {
                self.enqueue(context, (from, call), Asked::MinInsyncRacks(racks));
            }
            Message::FetchMetadata { call, from: index } => {
                let until = context.now + METADATA_WAIT;
                self.metadata_waiters.push((from, call, index, until));
                self.serve_metadata(context);
            }
            other => unreachable!("a controller is not sent {other:?}"),
        }
    }

    fn event(&mut self, context: &mut Context<'_>, from: i32, call: Call, event: ControllerEvent) {
        if self.active.is_none() {
            if let ControllerEvent::Heartbeat(beat) = &event {
                self.core.heard(context.boot, beat);
            }
            refuse(context, from, call, ErrorCode::NOT_CONTROLLER);
        } else if let Some(reply) = self.answered_at_once(context, &event) {
            self.answer(context, from, call, reply);
        } else {
            self.enqueue(context, (from, call), Asked::Of(event));
        }
    }

    fn enqueue(&mut self, context: &mut Context<'_>, (from, call): (i32, Call), asked: Asked) {
        if self.active.is_none() || self.queue.len() >= QUEUE_MAX {
            refuse(context, from, call, ErrorCode::NOT_CONTROLLER);
        } else {
            self.queue.push_back((from, call, asked));
        }
    }

    /// A heartbeat that changes nothing waits for nothing, whatever is under way: also at one that has been
    /// replaced, and whose changes are never committed.
    fn answered_at_once(
        &mut self,
        context: &mut Context<'_>,
        event: &ControllerEvent,
    ) -> Option<ControllerReply> {
        if !matches!(event, ControllerEvent::Heartbeat(_)) {
            return None;
        }
        let (reply, records) = self.core.on_event(context.boot, &self.image, event);
        if !records.is_empty() {
            return None;
        }
        context.note_grant(&self.image, event, &reply);
        Some(reply)
    }

    pub(crate) fn tick(&mut self, context: &mut Context<'_>) {
        if self.active.is_some() && self.queue.is_empty() {
            self.queue
                .push_back((0, 0, Asked::Of(ControllerEvent::Tick)));
        }
        self.serve_metadata(context);
    }

    /// Decides events until one needs a change of metadata, which is returned.
    pub(crate) fn decide(&mut self, context: &mut Context<'_>) -> Option<Proposed> {
        let term = self.active?;
        while self.waiting.is_none() {
            let (from, call, asked) = self.queue.pop_front()?;
            let (reply, records) = match asked {
                Asked::Of(event) => {
                    let decision = self.core.on_event(context.boot, &self.image, &event);
                    context.note_grant(&self.image, &event, &decision.0);
                    decision
                }
                Asked::MinInsyncRacks(racks) => {
                    let records = min_insync_racks(context.scenario, &self.image, racks);
                    (ControllerReply::None, records)
                }
            };
            if records.is_empty() {
                self.answer(context, from, call, reply);
                continue;
            }
            self.waiting = Some((0, from, call, reply));
            let change = MetadataChange {
                controller_epoch: self.image.controller_epoch,
                expected_last_offset: self.image.offset,
                records,
            };
            return Some(Proposed { term, change });
        }
        None
    }

    /// The quorum took the change under that number.
    pub(crate) fn proposed(&mut self, number: u64) {
        if let Some(waiting) = &mut self.waiting {
            waiting.0 = number;
        }
    }

    /// The change under that number is committed, and applied here or a no-op.
    pub(crate) fn settled(&mut self, context: &mut Context<'_>, number: u64, applied: bool) {
        let ours = self.waiting.take_if(|waiting| waiting.0 == number);
        let Some((_, from, call, reply)) = ours else {
            return;
        };
        if applied {
            self.answer(context, from, call, reply);
        } else {
            refuse(context, from, call, ErrorCode::NOT_CONTROLLER);
        }
    }

    /// Applies what is committed up to before `to`.
    pub(crate) fn follow(&mut self, context: &mut Context<'_>, to: usize) {
        while self.index < to {
            context.apply(&mut self.image, self.index);
            self.index += 1;
        }
        self.serve_metadata(context);
    }

    /// A heartbeat is confirmed with a majority first (rule 20): it has come by now.
    fn answer(&self, context: &mut Context<'_>, to: i32, call: Call, reply: ControllerReply) {
        let asks_voters = !context.scenario.is(Mutation::NoMajority);
        let is_active = context.leads_voters || !asks_voters;
        let is_heartbeat = matches!(reply, ControllerReply::Heartbeat(_));
        let confirmed = (is_heartbeat && is_active).then_some(self.image.offset);
        send_answer(context, to, call, (reply, confirmed));
    }

    fn serve_metadata(&mut self, context: &mut Context<'_>) {
        let (index, now) = (self.index, context.now);
        self.metadata_waiters.retain(|(to, call, from, until)| {
            let due = *from < index || *until <= now;
            if due {
                let message = Message::Metadata {
                    call: *call,
                    to: index.max(*from),
                };
                context.send(*to, message);
            }
            !due
        });
    }
}

/// As the broker's shell decides an operator's IncrementalAlterConfigs; more racks than the replicas are in
/// are refused.
fn min_insync_racks(
    scenario: &Scenario,
    image: &MetadataImage,
    racks: usize,
) -> Vec<MetadataRecord> {
    let asked = AlterConfigs {
        resource: ConfigResource::topic(TOPIC_NAME),
        replaces_all: false,
        changes: vec![ConfigChange {
            name: MIN_INSYNC_RACKS.to_owned(),
            operation: Some(ConfigOperation::Set),
            value: Some(racks.to_string()),
        }],
    };
    let replicas = scenario.min_insync_replicas.to_string();
    let context = ConfigContext {
        node_id: 0,
        fixed: &|_| None,
        broker_default: &|key| (key == "min.insync.replicas").then(|| replicas.clone()),
        rules: scenario.rules,
    };
    alter_configs(image, &[asked], &context).1
}

fn send_answer(
    context: &mut Context<'_>,
    to: i32,
    call: Call,
    (reply, confirmed): (ControllerReply, Option<i64>),
) {
    if to != 0 {
        let message = Message::FromController {
            call,
            reply,
            confirmed,
        };
        context.send(to, message);
    }
}

fn refuse(context: &mut Context<'_>, to: i32, call: Call, code: ErrorCode) {
    send_answer(context, to, call, (ControllerReply::Refused(code), None));
}
