//! Registration, heartbeats, fencing and controlled shutdown of brokers.
//!
//! | State | Event | Then |
//! |---|---|---|
//! | any | registration of another incarnation, session alive | DUPLICATE_BROKER_REGISTRATION |
//! | any | registration of the registered incarnation | its epoch again |
//! | any | registration without a rack, where replicas must be spread over racks (S4-01) | INVALID_REGISTRATION |
//! | any | registration | out of every ISR; out of ELR too if the stop was unclean (rule 23); fenced, new epoch |
//! | any | registration with another directory than its replicas are in | the same, and it is no last known leader: they are gone (rule 23) |
//! | any | an operator unregisters it | out of every ISR and ELR (rule 23), successors elected; not registered |
//! | fenced | heartbeat, registration applied | unfenced, leads what has no leader (rule 8) |
//! | fenced | heartbeat that wants to stop | may stop (rule 17) |
//! | unfenced | silent for a session, or for a shorter time since its connection ended | fenced: out of every ISR, successors elected (rule 8) |
//! | unfenced | heartbeat that wants to stop | in controlled shutdown: out of every ISR, leaders moved |
//! | in controlled shutdown | heartbeat, all others have passed it | may stop, fenced (rule 17) |
//!
//! A heartbeat of an epoch that is not the registered one is answered STALE_BROKER_EPOCH.

use super::assignment::directory_of;
use super::heartbeats::{Patience, is_active};
use super::partition_change::{Broker, PartitionChange};
use super::successor::Election;
use super::{Controller, ControllerReply, Decision};
use crate::metadata::{
    BrokerRegistration, MetadataImage, MetadataRecord, PartitionImage, RackPlacement, Sufficiency,
    committed_session,
};
use crate::rules::Rule;
use isthmus_wire::messages::{
    BrokerRegistrationChangeRecord, RegisterBrokerRecord, UnregisterBrokerRecord,
};
use isthmus_wire::{ErrorCode, Uuid};
use std::time::Duration;

/// A broker that starts. Endpoints, racks, directories and features stand in the record.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerRegistrationRequest {
    /// As it is to be committed, but for the epoch and the fence.
    pub record: RegisterBrokerRecord,
    /// The epoch that the clean-shutdown marker names; -1 without one.
    pub previous_broker_epoch: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerHeartbeat {
    pub broker_id: i32,
    pub broker_epoch: i64,
    /// The last metadata record it has applied.
    pub metadata_offset: i64,
    pub want_fence: bool,
    pub want_shut_down: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatReply {
    pub is_caught_up: bool,
    pub is_fenced: bool,
    pub should_shut_down: bool,
}

impl Controller {
    pub(super) fn register(
        &self,
        now: Duration,
        image: &MetadataImage,
        request: &BrokerRegistrationRequest,
    ) -> Result<Decision, ErrorCode> {
        let (id, incarnation) = (request.record.broker_id, request.record.incarnation_id);
        let before = image.broker(id);
        if let Some(before) = before {
            if before.incarnation == incarnation {
                // Asked again, because the answer was lost: it may be in ISRs by now.
                let broker_epoch = before.epoch;
                return Ok((ControllerReply::Registered { broker_epoch }, Vec::new()));
            }
            let alive = self
                .heartbeats
                .has_session(now, before, self.patience(image));
            if alive && !before.in_controlled_shutdown {
                return Err(ErrorCode::DUPLICATE_BROKER_REGISTRATION);
            }
        }
        let placement = RackPlacement::of_cluster(image, self.config.rack_placement);
        if placement == RackPlacement::Spread && request.record.rack.is_none() {
            return Err(ErrorCode::INVALID_REGISTRATION);
        }
        let ended = match (replaced_disk(image, &request.record), before) {
            (Some(directory), _) => Some(Broker::ReplacedDisk(id, directory)),
            (None, Some(before)) => Some(self.stopped(before, request.previous_broker_epoch)),
            (None, None) => None,
        };
        let mut records = ended.map_or_else(Vec::new, |it| self.change_partitions(image, it));
        // Rule 7: the epoch is the place where the record will stand.
        let broker_epoch = image.offset + 1 + i64::try_from(records.len()).unwrap_or(i64::MAX);
        let record = RegisterBrokerRecord {
            broker_epoch,
            fenced: true,
            in_controlled_shutdown: false,
            ..request.record.clone()
        };
        records.push(record.into());
        Ok((ControllerReply::Registered { broker_epoch }, records))
    }

    /// The broker's earlier life has ended: rule 23.
    fn stopped(&self, before: &BrokerRegistration, marker: i64) -> Broker {
        let clean = marker == before.epoch || !self.rules.obeys(Rule::UncleanRestart);
        if clean {
            Broker::Leaves(before.id)
        } else {
            Broker::LeavesUncleanly(before.id)
        }
    }

    /// As in Kafka, a broker that lives may be unregistered too: it loses what it leads, and registers
    /// again by itself. What becomes of its disk meanwhile nobody knows, so that it has stopped uncleanly;
    /// Kafka leaves it in the ELR until it registers, to the same end.
    pub(super) fn unregister(
        &self,
        image: &MetadataImage,
        broker_id: i32,
    ) -> Result<Decision, ErrorCode> {
        let broker = image.broker(broker_id);
        let broker = broker.ok_or(ErrorCode::BROKER_ID_NOT_REGISTERED)?;
        let mut records = self.change_partitions(image, Broker::LeavesUncleanly(broker_id));
        let record = UnregisterBrokerRecord {
            broker_id,
            broker_epoch: broker.epoch,
        };
        records.push(record.into());
        Ok((ControllerReply::Unregistered, records))
    }

    pub(super) fn heartbeat(
        &mut self,
        now: Duration,
        image: &MetadataImage,
        beat: &BrokerHeartbeat,
    ) -> Result<Decision, ErrorCode> {
        let broker = image
            .broker(beat.broker_id)
            .ok_or(ErrorCode::BROKER_ID_NOT_REGISTERED)?;
        if broker.epoch != beat.broker_epoch {
            return Err(ErrorCode::STALE_BROKER_EPOCH);
        }
        self.heard(now, beat);
        let is_caught_up = beat.metadata_offset >= broker.epoch;
        let (records, should_shut_down) = if broker.fenced {
            self.fenced_beat(image, broker, beat, is_caught_up)
        } else {
            self.unfenced_beat(image, broker, beat)
        };
        let reply = HeartbeatReply {
            is_caught_up,
            is_fenced: is_fenced_after(broker, &records),
            should_shut_down,
        };
        Ok((ControllerReply::Heartbeat(reply), records))
    }

    fn fenced_beat(
        &self,
        image: &MetadataImage,
        broker: &BrokerRegistration,
        beat: &BrokerHeartbeat,
        is_caught_up: bool,
    ) -> (Vec<MetadataRecord>, bool) {
        let may_serve = is_caught_up || !self.rules.obeys(Rule::UnfenceCaughtUp);
        if beat.want_shut_down || beat.want_fence || !may_serve {
            return (Vec::new(), beat.want_shut_down);
        }
        let mut records = vec![registration_change(broker, -1, 0)];
        records.extend(self.change_partitions(image, Broker::Joins(broker.id)));
        (records, false)
    }

    fn unfenced_beat(
        &mut self,
        image: &MetadataImage,
        broker: &BrokerRegistration,
        beat: &BrokerHeartbeat,
    ) -> (Vec<MetadataRecord>, bool) {
        if beat.want_fence {
            return (self.fence(image, broker), beat.want_shut_down);
        }
        if !beat.want_shut_down {
            return (Vec::new(), false);
        }
        if !broker.in_controlled_shutdown && self.rules.obeys(Rule::ShutdownGranted) {
            let mut records = vec![registration_change(broker, 0, 1)];
            records.extend(self.change_partitions(image, Broker::Leaves(broker.id)));
            return (records, false);
        }
        // Rule 17: everyone who serves must know that this broker leads nothing any more.
        let offset = self.heartbeats.shutdown_offset(broker.id, image.offset);
        let known = self.heartbeats.lowest_active_offset(image) >= offset;
        if known || !self.rules.obeys(Rule::ShutdownGranted) {
            return (self.fence(image, broker), true);
        }
        (Vec::new(), false)
    }

    /// Rule 8: brokers are fenced one at a time.
    pub(super) fn fence_one_stale(
        &self,
        now: Duration,
        image: &MetadataImage,
    ) -> Vec<MetadataRecord> {
        let patience = self.patience(image);
        let stale = image
            .brokers()
            .find(|it| !it.fenced && now > self.heartbeats.silent_at(it, patience));
        match stale.filter(|_| self.rules.obeys(Rule::Fence)) {
            Some(broker) => self.fence(image, broker),
            None => Vec::new(),
        }
    }

    /// When the next of those who serve is silent, unless it is heard from before.
    pub(super) fn next_silent_at(&self, image: &MetadataImage) -> Option<Duration> {
        let patience = self.patience(image);
        let serving = image.brokers().filter(|it| !it.fenced);
        let silent = serving.map(|it| self.heartbeats.silent_at(it, patience));
        silent.min()
    }

    /// The cluster's session, or before there is one, that of this controller's own file.
    pub(super) fn patience(&self, image: &MetadataImage) -> Patience {
        let own = self.config.broker_hang_up_timeout;
        match committed_session(image) {
            Some(session) => Patience {
                session,
                hung_up: own.max(session * 3 / 8).min(session),
            },
            None => Patience {
                session: self.config.broker_session_timeout,
                hung_up: own,
            },
        }
    }

    fn fence(&self, image: &MetadataImage, broker: &BrokerRegistration) -> Vec<MetadataRecord> {
        let mut records = vec![registration_change(broker, 1, 0)];
        records.extend(self.change_partitions(image, Broker::Leaves(broker.id)));
        records
    }

    /// What the coming or going of a broker means for all partitions.
    fn change_partitions(&self, image: &MetadataImage, broker: Broker) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        for topic in image.topics() {
            let (sufficiency, election) = self.election_of(image, &topic.name);
            for (index, partition) in (0..).zip(&topic.partitions) {
                if !broker.touches(partition) {
                    continue;
                }
                let change = PartitionChange {
                    topic_id: topic.id,
                    index,
                    partition,
                    assignment: broker.assignment(partition),
                    isr: broker.isr(partition),
                    election,
                    sufficiency,
                    image,
                    uncleanly_stopped: broker.uncleanly_stopped(),
                    rules: self.rules,
                };
                let acceptable = |id| broker.is_acceptable(id, image);
                records.extend(change.record(&acceptable).map(MetadataRecord::from));
            }
        }
        records
    }

    /// Rule 15: a topic says whether anything at all is better than no leader.
    pub(super) fn election_of(
        &self,
        image: &MetadataImage,
        topic: &str,
    ) -> (Sufficiency, Election) {
        let election = if self.unclean_leader_election(image, topic) {
            Election::Unclean
        } else {
            Election::Online
        };
        (self.sufficiency(image, topic), election)
    }
}

impl Broker {
    fn is_acceptable(self, id: i32, image: &MetadataImage) -> bool {
        let active = image.broker(id).is_some_and(|it| is_active(it));
        match self {
            Self::Leaves(leaving)
            | Self::LeavesUncleanly(leaving)
            | Self::ReplacedDisk(leaving, _) => active && id != leaving,
            Self::Joins(joining) => active || id == joining,
        }
    }
}

/// The directory a broker comes with, if it is another one than metadata has its replicas in. What is
/// in it nobody here knows, but it is not what was acknowledged.
fn replaced_disk(image: &MetadataImage, record: &RegisterBrokerRecord) -> Option<Uuid> {
    let directory = *record.log_dirs.first()?;
    let mut partitions = image.topics().flat_map(|topic| &topic.partitions);
    let is_elsewhere = |partition: &PartitionImage| {
        let known = directory_of(partition, record.broker_id);
        known.is_some_and(|it| it != Uuid::ZERO && it != directory)
    };
    partitions.any(is_elsewhere).then_some(directory)
}

fn is_fenced_after(broker: &BrokerRegistration, records: &[MetadataRecord]) -> bool {
    let changes = records.iter().filter_map(|record| {
        let MetadataRecord::BrokerRegistrationChange(change) = record else {
            return None;
        };
        (change.fenced != 0).then_some(change.fenced == 1)
    });
    changes.last().unwrap_or(broker.fenced)
}

fn registration_change(
    broker: &BrokerRegistration,
    fenced: i8,
    in_controlled_shutdown: i8,
) -> MetadataRecord {
    let record = BrokerRegistrationChangeRecord {
        broker_id: broker.id,
        broker_epoch: broker.epoch,
        fenced,
        in_controlled_shutdown,
        log_dirs: Vec::<Uuid>::new(),
    };
    record.into()
}

/// The broker that these records fence, where partitions get other leaders by it; for those who time
/// elections.
pub fn replaced_leader(records: &[MetadataRecord]) -> Option<i32> {
    let fenced = records.iter().find_map(|record| match record {
        MetadataRecord::BrokerRegistrationChange(change) if change.fenced == 1 => {
            Some(change.broker_id)
        }
        _ => None,
    });
    let elects = |record: &MetadataRecord| match record {
        MetadataRecord::PartitionChange(change) => change.leader >= 0,
        _ => false,
    };
    fenced.filter(|_| records.iter().any(elects))
}
