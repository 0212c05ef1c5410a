//! The broker's lease, for all who acknowledge writes (rule 20): one writer, many readers, no lock.

use crate::clocks;
use isthmus_broker_core::lease::BrokerLease;
use isthmus_broker_core::replica::Leader;
use prometheus::IntCounter;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub(crate) struct Leases {
    /// `lease.fencing`, among other nodes; a lone broker has nobody who could be elected in its place.
    is_wanted: bool,
    /// All nodes know of leases: the metadata level says so.
    is_given: AtomicBool,
    /// On the boot clock, in microseconds.
    until: AtomicU64,
    length: AtomicU64,
    /// Writes that were not taken.
    pub(crate) refusals: IntCounter,
}

impl Leases {
    pub(super) fn new(is_wanted: bool, refusals: IntCounter) -> Self {
        Self {
            is_wanted,
            is_given: AtomicBool::new(false),
            until: AtomicU64::new(0),
            length: AtomicU64::new(0),
            refusals,
        }
    }

    /// Whether this broker asks for leases; it does before the others know of them.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// Whether the metadata level allows to rely on them.
    pub(crate) fn set_given(&self, is_given: bool) {
        self.is_given.store(is_given, Ordering::Release);
    }

    /// It is longer now, or counts for another session.
    pub(crate) fn set(&self, lease: BrokerLease) {
        let micros = |it: Duration| u64::try_from(it.as_micros()).unwrap_or(u64::MAX);
        self.length.store(micros(lease.length), Ordering::Release);
        self.until.store(micros(lease.until), Ordering::Release);
    }

    pub(crate) fn get(&self) -> BrokerLease {
        BrokerLease {
            until: Duration::from_micros(self.until.load(Ordering::Acquire)),
            length: Duration::from_micros(self.length.load(Ordering::Acquire)),
        }
    }

    /// For how long this broker's lease lasts yet.
    pub(crate) fn remaining(&self, now: Duration) -> Duration {
        self.get().until.saturating_sub(now)
    }

    /// Whether that leader may acknowledge a write now.
    pub(super) fn allow(&self, leader: &Leader) -> bool {
        let is_on = self.is_wanted && self.is_given.load(Ordering::Acquire);
        !is_on || leader.may_acknowledge(clocks::boot(), self.get())
    }
}
