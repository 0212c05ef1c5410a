//! What the active controller decides about brokers and partitions.
//!
//! One event at a time, on the latest committed image: a verdict, and the records that make it
//! true. The shell commits the records, and answers when they are; when they are not, nothing
//! happened (design, decision 6). The next event is decided on the image that has them.
//!
//! All that is remembered beside the image is who was heard from when. Each voter keeps that for
//! itself, active or not, so that a new controller can fence at once (design, decision 7).
//!
//! Reading order: [`heartbeats`], [`brokers`] (registration, fencing, controlled shutdown),
//! [`alter_partition`], [`partition_change`] (how a partition's ISR, ELR and leader follow from
//! each other), [`successor`] (who leads next), [`assignment`] and [`reassignment`], [`elections`],
//! [`unclean`] (what an election may have cost), [`offline`] (what nobody leads, and why),
//! [`given_up`] (brokers that are lost with most voters). The tables of events stand in docs/replication.md.

mod alter_partition;
mod assignment;
mod brokers;
mod elections;
mod given_up;
mod heartbeats;
mod offline;
mod partition_change;
mod reassignment;
mod successor;
mod unclean;

pub use alter_partition::{AlterPartitionRequest, PartitionState};
pub use brokers::{BrokerHeartbeat, BrokerRegistrationRequest, HeartbeatReply, replaced_leader};
pub use elections::ElectionType;
pub use given_up::{GivenUp, give_up_brokers};
pub use offline::{Offline, QuorumStanding};
pub use reassignment::{check_reassigned, is_reassigning};
pub use successor::{Candidates, Election, Successor};
pub use unclean::{UncleanElection, UncleanKind, unclean_elections};

use crate::metadata::{ConfigResource, MetadataImage, MetadataRecord, RackPlacement, Sufficiency};
use crate::rules::{Rule, Rules};
use heartbeats::Heartbeats;
use isthmus_wire::{ErrorCode, Uuid};
use std::collections::BTreeMap;
use std::time::Duration;

/// The cluster's settings that a controller decides by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerConfig {
    /// `broker.session.timeout.ms`.
    pub broker_session_timeout: Duration,
    /// How long a broker is waited for whose connections have ended; see [`hang_up_timeout`].
    pub broker_hang_up_timeout: Duration,
    /// Where a topic says nothing.
    pub min_insync_replicas: usize,
    /// Where a topic says nothing.
    pub unclean_leader_election: bool,
    /// Where neither a topic nor the cluster says anything.
    pub rack_placement: RackPlacement,
    /// `auto.leader.rebalance.enable` and `leader.imbalance.check.interval.seconds`.
    pub leader_balance_interval: Option<Duration>,
    /// `unclean.leader.election.interval.ms`.
    pub unclean_election_interval: Duration,
}

/// How long a broker is waited for whose connections have ended: long enough that one which lives has sent
/// its next heartbeat by a new one, and no longer than in silence. `interval` is
/// `broker.heartbeat.interval.ms`.
pub fn hang_up_timeout(session: Duration, interval: Duration) -> Duration {
    (session * 3 / 8).max(interval * 3 / 2).min(session)
}

impl Default for ControllerConfig {
    fn default() -> Self {
        Self {
            broker_session_timeout: Duration::from_secs(2),
            broker_hang_up_timeout: Duration::from_millis(750),
            min_insync_replicas: 1,
            unclean_leader_election: false,
            rack_placement: RackPlacement::Any,
            leader_balance_interval: Some(Duration::from_secs(300)),
            unclean_election_interval: Duration::from_secs(300),
        }
    }
}

/// What reaches a controller.
#[derive(Debug, Clone, PartialEq)]
pub enum ControllerEvent {
    Register(BrokerRegistrationRequest),
    Heartbeat(BrokerHeartbeat),
    /// An operator says that this broker is gone for good.
    Unregister {
        broker_id: i32,
    },
    AlterPartition(AlterPartitionRequest),
    ElectLeader {
        election: ElectionType,
        topic_id: Uuid,
        partition: i32,
    },
    /// Other replicas for a partition; none ends the move that is under way.
    Reassign {
        topic_id: Uuid,
        partition: i32,
        replicas: Option<Vec<i32>>,
    },
    /// Time has passed: see [`Controller::next_tick_at`].
    Tick,
}

/// What the asker is told once the records are committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControllerReply {
    Registered {
        broker_epoch: i64,
    },
    Heartbeat(HeartbeatReply),
    Unregistered,
    AlterPartition(PartitionState),
    Elected,
    /// It moves, or has moved, or stays as it was.
    Reassigned,
    /// Nobody asked.
    None,
    Refused(ErrorCode),
}

/// A verdict and what makes it true.
pub type Decision = (ControllerReply, Vec<MetadataRecord>);

#[derive(Debug, Clone)]
pub struct Controller {
    config: ControllerConfig,
    heartbeats: Heartbeats,
    /// When elections by time were last looked at.
    balanced_at: Duration,
    unclean_looked_at: Duration,
    rules: Rules,
}

impl Controller {
    pub fn new(config: ControllerConfig, rules: Rules) -> Self {
        Self {
            config,
            heartbeats: Heartbeats::default(),
            balanced_at: Duration::ZERO,
            unclean_looked_at: Duration::ZERO,
            rules,
        }
    }

    /// A voter that is not the active controller hears of a broker.
    pub fn heard(&mut self, now: Duration, heartbeat: &BrokerHeartbeat) {
        self.heartbeats.heard(
            now,
            heartbeat.broker_id,
            heartbeat.broker_epoch,
            heartbeat.metadata_offset,
        );
    }

    /// The last connection has ended by which a voter, active or not, heard of a broker. To be told when
    /// the other side ended it, and only once no other such connection of that broker is open.
    pub fn hung_up(&mut self, now: Duration, broker_id: i32) {
        self.heartbeats.hung_up(now, broker_id);
    }

    /// When a tick has something to do next: at the latest then one is wanted, at once where that is
    /// over. Ask again after every tick, and when a connection has ended.
    pub fn next_tick_at(&self, image: &MetadataImage) -> Duration {
        let unclean = self
            .unclean_looked_at
            .saturating_add(self.config.unclean_election_interval);
        let interval = self.config.leader_balance_interval;
        let balance = interval.map(|it| self.balanced_at.saturating_add(it));
        // Behind the last moment in which it is waited for.
        let silent = self.next_silent_at(image);
        let silent = silent.map(|at| at.saturating_add(Duration::from_millis(1)));
        let others = [balance, silent].into_iter().flatten();
        others.fold(unclean, Duration::min)
    }

    /// When each registered broker was last heard from, and the last record it had applied then.
    pub fn sightings(&self, image: &MetadataImage) -> BTreeMap<i32, (Duration, i64)> {
        let seen = image.brokers().filter_map(|broker| {
            let sighting = self.heartbeats.sighting(broker)?;
            Some((broker.id, sighting))
        });
        seen.collect()
    }

    /// This controller becomes the active one. Whoever it never heard from gets a whole session.
    pub fn activate(&mut self, now: Duration, image: &MetadataImage) {
        self.heartbeats.activate(now, image);
        (self.balanced_at, self.unclean_looked_at) = (now, now);
    }

    /// Decides one event on the latest committed image.
    pub fn on_event(
        &mut self,
        now: Duration,
        image: &MetadataImage,
        event: &ControllerEvent,
    ) -> Decision {
        let decision = match event {
            ControllerEvent::Register(request) => self.register(now, image, request),
            ControllerEvent::Heartbeat(heartbeat) => self.heartbeat(now, image, heartbeat),
            ControllerEvent::Unregister { broker_id } => self.unregister(image, *broker_id),
            ControllerEvent::AlterPartition(request) => self.alter_partition(image, request),
            ControllerEvent::ElectLeader {
                election,
                topic_id,
                partition,
            } => self.elect_leader(image, *election, *topic_id, *partition),
            ControllerEvent::Reassign {
                topic_id,
                partition,
                replicas,
            } => self.reassign(image, *topic_id, *partition, replicas.as_deref()),
            ControllerEvent::Tick => Ok((ControllerReply::None, self.tick(now, image))),
        };
        decision.unwrap_or_else(|code| (ControllerReply::Refused(code), Vec::new()))
    }

    /// One thing per tick: whatever it changes, the next is decided on the image that has it.
    fn tick(&mut self, now: Duration, image: &MetadataImage) -> Vec<MetadataRecord> {
        let records = self.fence_one_stale(now, image);
        if !records.is_empty() {
            return records;
        }
        if now.saturating_sub(self.unclean_looked_at) >= self.config.unclean_election_interval {
            self.unclean_looked_at = now;
            return self.elect_unclean(image);
        }
        let interval = self.config.leader_balance_interval;
        if interval.is_some_and(|it| now.saturating_sub(self.balanced_at) >= it) {
            self.balanced_at = now;
            return self.elect_preferred(image);
        }
        Vec::new()
    }

    /// What the topic asks of an ISR.
    fn sufficiency(&self, image: &MetadataImage, topic: &str) -> Sufficiency {
        Sufficiency::of_topic(image, topic, self.config.min_insync_replicas)
    }

    fn unclean_leader_election(&self, image: &MetadataImage, topic: &str) -> bool {
        let value = setting(image, topic, "unclean.leader.election.enable");
        // Kafka takes TRUE as well, and keeps it as it was written.
        let is_true = |it: &str| it.trim().eq_ignore_ascii_case("true");
        value.map_or(self.config.unclean_leader_election, is_true)
            || !self.rules.obeys(Rule::UncleanWhenEnabled)
    }
}

/// A topic's own value, or the cluster's dynamic default.
fn setting<'a>(image: &'a MetadataImage, topic: &str, key: &str) -> Option<&'a str> {
    let of = |resource: &ConfigResource| image.config(resource)?.get(key);
    let value = of(&ConfigResource::topic(topic)).or_else(|| of(&ConfigResource::broker("")));
    value.map(String::as_str)
}
