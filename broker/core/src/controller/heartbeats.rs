//! Who was heard from, when, and how far its metadata was (Kafka's `BrokerHeartbeatManager`).
//!
//! Soft state: a controller that starts knows nothing, and loses nothing but time by it.
//!
//! | A broker | counts as silent |
//! |---|---|
//! | was heard from | a session later |
//! | … and the last connection by which it was has ended since | a shorter time after that end, if that comes first |
//! | was never heard from | a session after this controller became active |

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
    /// When the last connection that heartbeats came by ended, if none has come since.
    hung_up_at: Option<Duration>,
}

/// How long brokers are waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) session: Duration,
    pub(super) hung_up: Duration,
}

impl Sighting {
    /// Until when it is waited for.
    fn silent_at(&self, patience: Patience) -> Duration {
        let silent = self.at.saturating_add(patience.session);
        let hung_up = self
            .hung_up_at
            .map(|at| at.saturating_add(patience.hung_up));
        hung_up.map_or(silent, |hung_up| silent.min(hung_up))
    }
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
            hung_up_at: None,
        };
        self.brokers.insert(broker, sighting);
    }

    /// The last connection by which the broker was heard from has ended. Whether its process has, or
    /// only a cable was pulled, nobody can tell: it is waited for, but not as long as in silence.
    pub(super) fn hung_up(&mut self, now: Duration, broker: i32) {
        if let Some(sighting) = self.brokers.get_mut(&broker) {
            sighting.hung_up_at.get_or_insert(now);
        }
    }

    pub(super) fn activate(&mut self, now: Duration, image: &MetadataImage) {
        self.active_since = now;
        self.brokers.retain(|id, _| image.broker(*id).is_some());
    }

    fn of(&self, broker: &BrokerRegistration) -> Option<&Sighting> {
        let sighting = self.brokers.get(&broker.id);
        sighting.filter(|it| it.epoch == broker.epoch)
    }

    /// Until when the broker is waited for: behind that it is silent.
    pub(super) fn silent_at(&self, broker: &BrokerRegistration, patience: Patience) -> Duration {
        match self.of(broker) {
            Some(sighting) => sighting.silent_at(patience),
            None => self.active_since.saturating_add(patience.session),
        }
    }

    /// Whether the broker was heard from in this life, and is waited for.
    pub(super) fn has_session(
        &self,
        now: Duration,
        broker: &BrokerRegistration,
        patience: Patience,
    ) -> bool {
        self.of(broker)
            .is_some_and(|it| now <= it.silent_at(patience))
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
