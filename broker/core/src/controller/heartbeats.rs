//! Who was heard from, when, and how far its metadata was (Kafka's `BrokerHeartbeatManager`).
//!
//! Soft state: a controller that starts knows nothing, and loses nothing but time by it.

use crate::metadata::{BrokerRegistration, MetadataImage};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Clone, Default)]
pub(super) struct Heartbeats {
    brokers: BTreeMap<i32, Sighting>,
    /// When this controller became active: sessions of brokers it never heard from begin there.
    active_since: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Sighting {
    at: Duration,
    epoch: i64,
    metadata_offset: i64,
    /// What everyone must have applied before this broker may stop (rule 17).
    shutdown_offset: Option<i64>,
}

impl Heartbeats {
    pub(super) fn heard(&mut self, now: Duration, broker: i32, epoch: i64, metadata_offset: i64) {
        let before = self.brokers.get(&broker).copied();
        if before.is_some_and(|it| it.epoch > epoch) {
            return;
        }
        let same_life = before.filter(|it| it.epoch == epoch);
        let sighting = Sighting {
            at: now,
            epoch,
            metadata_offset: metadata_offset.max(same_life.map_or(-1, |it| it.metadata_offset)),
            shutdown_offset: same_life.and_then(|it| it.shutdown_offset),
        };
        self.brokers.insert(broker, sighting);
    }

    pub(super) fn activate(&mut self, now: Duration, image: &MetadataImage) {
        self.active_since = now;
        self.brokers.retain(|id, _| image.broker(*id).is_some());
    }

    fn of(&self, broker: &BrokerRegistration) -> Option<&Sighting> {
        let sighting = self.brokers.get(&broker.id);
        sighting.filter(|it| it.epoch == broker.epoch)
    }

    /// Whether the broker is silent for longer than a session.
    pub(super) fn is_stale(
        &self,
        now: Duration,
        broker: &BrokerRegistration,
        session: Duration,
    ) -> bool {
        let heard = self.of(broker).map_or(self.active_since, |it| it.at);
        now.saturating_sub(heard) > session
    }

    /// Whether the broker was heard from within a session.
    pub(super) fn has_session(
        &self,
        now: Duration,
        broker: &BrokerRegistration,
        session: Duration,
    ) -> bool {
        self.of(broker)
            .is_some_and(|it| now.saturating_sub(it.at) <= session)
    }

    /// When a broker was last heard from in this life, and the last record it had applied then.
    pub(super) fn sighting(&self, broker: &BrokerRegistration) -> Option<(Duration, i64)> {
        self.of(broker).map(|it| (it.at, it.metadata_offset))
    }

    /// The record offset that others must have passed before the broker may stop: as noted first.
    pub(super) fn shutdown_offset(&mut self, broker: i32, offset: i64) -> i64 {
        match self.brokers.get_mut(&broker) {
            Some(sighting) => *sighting.shutdown_offset.get_or_insert(offset),
            None => offset,
        }
    }

    /// The least metadata offset of the active brokers; those never heard from have none yet.
    pub(super) fn lowest_active_offset(&self, image: &MetadataImage) -> i64 {
        let active = image.brokers().filter(|it| is_active(it));
        let offsets = active.map(|it| self.of(it).map_or(-1, |it| it.metadata_offset));
        offsets.min().unwrap_or(i64::MAX)
    }
}

/// Neither fenced nor about to stop: may lead, and may join an ISR.
pub(super) fn is_active(broker: &BrokerRegistration) -> bool {
    !broker.fenced && !broker.in_controlled_shutdown
}
