//! The life of a broker in its cluster, from its own side (Kafka's `BrokerLifecycleManager`).
//!
//! It registers, tells every voter that it lives, hears whether it is fenced, and leaves in good
//! order. What the controller makes of that stands in `controller/brokers`.
//!
//! | State | Event | Then |
//! |---|---|---|
//! | unregistered | time | asks a controller to register it, one request at a time |
//! | unregistered | refused, or no answer | asks again at the next tick |
//! | unregistered | never registered, and `initial.broker.registration.timeout.ms` is over | gives up |
//! | unregistered, and never asked, or no clean stop to lose | wants to stop | may stop: nobody counts on it |
//! | unregistered, and asked in vain | wants to stop | goes on asking: it may be registered, and the marker has to name that registration (rule 23) |
//! | unregistered | registered | fenced, with that epoch (rule 7) |
//! | registered | every `broker.heartbeat.interval.ms` | a heartbeat to every voter (design, decision 7), which says whether it wants to stop |
//! | registered | the active controller's answer | fenced or not, as told (rule 8) |
//! | registered | STALE_BROKER_EPOCH, BROKER_ID_NOT_REGISTERED | unregistered, the same incarnation |
//! | stopping | granted (rule 17) | may stop |
//! | stopping | no controller answers for longer than elections take, or no leave comes for as long as a stop may take | may stop |
//!
//! Must not know: which controller is the active one, and how anybody is reached.
//! Invariant: fencing is one-sided (rule 9): nothing here takes a role away from a partition.

use crate::controller::{BrokerHeartbeat, HeartbeatReply};
use isthmus_wire::{ErrorCode, Uuid};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// How often and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleConfig {
    /// `broker.heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// `initial.broker.registration.timeout.ms`.
    pub initial_registration_timeout: Duration,
    /// How long a broker that wants to stop waits for the controller's leave: Kafka's five minutes.
    pub controlled_shutdown_timeout: Duration,
    /// Silence of all controllers after which it waits no more: the cluster goes down as a whole.
    pub controller_silence_timeout: Duration,
}

impl Default for LifecycleConfig {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(500),
            initial_registration_timeout: Duration::from_secs(60),
            controlled_shutdown_timeout: Duration::from_secs(300),
            controller_silence_timeout: Duration::from_secs(300),
        }
    }
}

/// What the shell is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LifecycleAction {
    /// To the controller that seems to be the active one.
    Register {
        incarnation: Uuid,
        /// What the clean-shutdown marker names (rule 23); -1 without one.
        previous_broker_epoch: i64,
    },
    /// To every voter.
    Heartbeat(BrokerHeartbeat),
    /// Never registered in all the time there was; the last refusal.
    GiveUp(Option<ErrorCode>),
}

/// One life of one broker.
#[derive(Debug, Clone)]
pub struct BrokerLifecycle {
    config: LifecycleConfig,
    broker_id: i32,
    incarnation: Uuid,
    previous_broker_epoch: i64,
    /// What the marker is to name if this life ends cleanly.
    last_epoch: i64,
    began: Duration,
    epoch: Option<i64>,
    is_asking: bool,
    /// A request is out, or one went without an answer that says that it is registered.
    may_be_registered: bool,
    was_registered: bool,
    last_refusal: Option<ErrorCode>,
    is_fenced: bool,
    next_heartbeat: Duration,
    stopping_since: Option<Duration>,
    /// When the active controller last answered a heartbeat.
    answered_at: Duration,
    may_stop: bool,
}

impl BrokerLifecycle {
    /// A process that begins; `previous_broker_epoch` is what the clean-shutdown marker names, -1
    /// without one.
    pub fn new(
        config: LifecycleConfig,
        broker_id: i32,
        incarnation: Uuid,
        previous_broker_epoch: i64,
        now: Duration,
    ) -> Self {
        Self {
            config,
            broker_id,
            incarnation,
            previous_broker_epoch,
            last_epoch: previous_broker_epoch,
            began: now,
            epoch: None,
            is_asking: false,
            may_be_registered: false,
            was_registered: false,
            last_refusal: None,
            is_fenced: true,
            next_heartbeat: Duration::ZERO,
            stopping_since: None,
            answered_at: now,
            may_stop: false,
        }
    }

    /// Epoch of the present registration.
    pub fn epoch(&self) -> Option<i64> {
        self.epoch
    }

    /// What the clean-shutdown marker names if this life ends cleanly now: the last registration, also
    /// one that a controller does not know any more; of a life that never came to one, that of the life
    /// before, since nothing has happened in between.
    pub fn marker(&self) -> i64 {
        self.last_epoch
    }

    /// As the active controller last told.
    pub fn is_fenced(&self) -> bool {
        self.is_fenced
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping_since.is_some()
    }

    /// Whether a stop that was asked for may be carried out.
    pub fn may_stop(&self) -> bool {
        self.may_stop
    }

    /// From now on the broker wants to leave. Asked twice, the first time counts.
    pub fn stop(&mut self, now: Duration) {
        self.stopping_since.get_or_insert(now);
    }

    /// Something has come about that the controller waits for: the next heartbeat is due at once.
    pub fn hurry(&mut self) {
        self.next_heartbeat = Duration::ZERO;
    }

    /// Time has passed; `metadata_offset` is the last record that this broker has applied.
    pub fn tick(&mut self, now: Duration, metadata_offset: i64) -> Option<LifecycleAction> {
        self.check_stop(now);
        let Some(broker_epoch) = self.epoch else {
            return self.ask(now);
        };
        if now < self.next_heartbeat {
            return None;
        }
        self.next_heartbeat = now + self.config.heartbeat_interval;
        Some(LifecycleAction::Heartbeat(BrokerHeartbeat {
            broker_id: self.broker_id,
            broker_epoch,
            metadata_offset,
            want_fence: false,
            want_shut_down: self.is_stopping(),
        }))
    }

    fn check_stop(&mut self, now: Duration) {
        if let Some(since) = self.stopping_since {
            let waited = now.saturating_sub(since);
            let silent = now.saturating_sub(since.max(self.answered_at));
            self.may_stop |= self.epoch.is_none() && !self.has_to_know()
                || waited >= self.config.controlled_shutdown_timeout
                || silent >= self.config.controller_silence_timeout;
        }
    }

    /// A registration that this life does not know of would make its clean stop an unclean one, and
    /// of a replica that has everything one that lost its memory.
    fn has_to_know(&self) -> bool {
        self.may_be_registered && self.last_epoch != -1
    }

    fn ask(&mut self, now: Duration) -> Option<LifecycleAction> {
        if self.is_asking || self.is_stopping() && !self.has_to_know() {
            return None;
        }
        let waited = now.saturating_sub(self.began);
        if !self.was_registered && waited >= self.config.initial_registration_timeout {
            return Some(LifecycleAction::GiveUp(self.last_refusal));
        }
        (self.is_asking, self.may_be_registered) = (true, true);
        Some(LifecycleAction::Register {
            incarnation: self.incarnation,
            previous_broker_epoch: self.previous_broker_epoch,
        })
    }

    /// A controller registered this broker.
    pub fn registered(&mut self, broker_epoch: i64) {
        (self.is_asking, self.may_be_registered) = (false, false);
        self.was_registered = true;
        // Answers may come out of order; epochs only rise.
        self.epoch = self.epoch.max(Some(broker_epoch));
        self.last_epoch = self.last_epoch.max(broker_epoch);
        // The marker told of the life before this one. It has been used.
        self.previous_broker_epoch = -1;
    }

    /// A controller did not register this broker, or did not answer.
    pub fn not_registered(&mut self, refusal: Option<ErrorCode>) {
        self.is_asking = false;
        self.last_refusal = refusal.or(self.last_refusal);
    }

    /// The active controller answered a heartbeat.
    pub fn heartbeat_answered(&mut self, now: Duration, reply: HeartbeatReply) {
        self.answered_at = self.answered_at.max(now);
        self.is_fenced = reply.is_fenced;
        self.may_stop |= reply.should_shut_down && self.is_stopping();
    }

    /// A controller did not take a heartbeat of that epoch. One of an epoch that is over by now says
    /// nothing about the present one.
    pub fn heartbeat_refused(&mut self, broker_epoch: i64, refusal: ErrorCode) {
        let unknown = [
            ErrorCode::STALE_BROKER_EPOCH,
            ErrorCode::BROKER_ID_NOT_REGISTERED,
        ];
        if unknown.contains(&refusal) && self.epoch == Some(broker_epoch) {
            self.epoch = None;
            self.is_fenced = true;
        }
    }
}
