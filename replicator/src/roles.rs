//! What this process knows of the roles at one target, and for how long.
//!
//! Owns: the newest acts that were read, and the lease on them. The writer of the state topic looks
//! and tells; flows ask before they write. What an act means, and how long a look holds, the core
//! says ([`isthmus_replicator_core::roles`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use isthmus_replicator_core::naming::NamingPolicy;
use isthmus_replicator_core::roles::{
    Look, Permit, RoleAct, RoleLease, RoleLog, permit, permit_now,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::clock::boot_ms;

/// Of one target.
#[derive(Debug)]
pub(crate) struct Roles {
    known: Mutex<Known>,
    /// Somebody wants a look now.
    asked: Notify,
    /// Counts changes: another role, or a lease that holds again.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Known {
    lease: RoleLease,
    logs: BTreeMap<String, RoleLog>,
}

impl Roles {
    /// As they were read at the start: the first look, which began then.
    pub(crate) fn new(logs: BTreeMap<String, RoleLog>, began_ms: i64) -> Arc<Self> {
        let mut lease = RoleLease::default();
        lease.confirm(lease.begin(began_ms));
        let known = Known { lease, logs };
        Arc::new(Self {
            known: Mutex::new(known),
            asked: Notify::new(),
            changes: watch::channel(0).0,
        })
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The act that holds for a flow; `None`: nobody ever acted.
    pub(crate) fn current(&self, flow: &str) -> Option<RoleAct> {
        let known = self.known.lock();
        known.logs.get(flow)?.current().cloned()
    }

    /// Whether a look was had lately.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.known.lock().lease.holds(boot_ms())
    }

    /// What may be written now.
    pub(crate) fn permit(&self, flow: &str, naming: NamingPolicy) -> Permit {
        let known = self.known.lock();
        let role = known.logs.get(flow).map(RoleLog::role).unwrap_or_default();
        permit_now(role, naming, known.lease.holds(boot_ms()))
    }

    /// What the role that was seen last allows, however long ago that was.
    pub(crate) fn allowed(&self, flow: &str, naming: NamingPolicy) -> Permit {
        let known = self.known.lock();
        let role = known.logs.get(flow).map(RoleLog::role).unwrap_or_default();
        permit(role, naming)
    }

    /// How much longer what [`Self::permit`] says holds.
    pub(crate) fn time_left(&self) -> Duration {
        let left_ms = self.known.lock().lease.left_ms(boot_ms());
        Duration::from_millis(u64::try_from(left_ms).unwrap_or(0))
    }

    /// Returns when somebody wants a look.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// The way to the target broke: what happened there meanwhile nobody knows.
    pub(crate) fn doubt(&self) {
        self.known.lock().lease.doubt();
        self.asked.notify_one();
    }

    /// A look failed. The next one comes in its time.
    pub(crate) fn look_failed(&self) {
        self.known.lock().lease.doubt();
    }

    pub(crate) fn begin(&self) -> Look {
        self.known.lock().lease.begin(boot_ms())
    }

    /// All that was there when the look began has been read.
    pub(crate) fn confirm(&self, look: Look) {
        let mut known = self.known.lock();
        let held = known.lease.holds(boot_ms());
        known.lease.confirm(look);
        let holds = known.lease.holds(boot_ms());
        drop(known);
        if holds && !held {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// What a later part of the topic says.
    pub(crate) fn learn(&self, later: BTreeMap<String, RoleLog>) {
        if later.is_empty() {
            return;
        }
        let mut known = self.known.lock();
        for (flow, log) in later {
            known.logs.entry(flow).or_default().extend(log);
        }
        drop(known);
        self.changes.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use isthmus_replicator_core::roles::{LEASE_MS, Role};
    use isthmus_replicator_core::state::SavedRole;
    use isthmus_wire::Uuid;

    use super::*;

    fn log(epoch: i32, role: Role) -> RoleLog {
        let mut log = RoleLog::default();
        let saved = SavedRole {
            role,
            at_ms: 0,
            who: "w".to_owned(),
            why: String::new(),
        };
        log.apply(epoch, Uuid([u8::try_from(epoch).unwrap(); 16]), Some(saved));
        log
    }

    #[test]
    fn nothing_is_written_before_a_look_or_after_a_doubt() {
        let roles = Roles::new(BTreeMap::new(), boot_ms() - LEASE_MS);
        let of = |roles: &Roles| roles.permit("f", NamingPolicy::Identity);
        assert_eq!(of(&roles), Permit::NOTHING);
        let mut changes = roles.subscribe();
        let look = roles.begin();
        roles.confirm(look);
        assert_eq!(of(&roles), Permit::ALL);
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        // Each look after it is nothing new.
        roles.confirm(roles.begin());
        assert!(!changes.has_changed().unwrap());
        let begun_before = roles.begin();
        roles.doubt();
        roles.confirm(begun_before);
        assert_eq!(of(&roles), Permit::NOTHING);
        roles.confirm(roles.begin());
        assert_eq!(of(&roles), Permit::ALL);
        assert!(changes.has_changed().unwrap());
    }

    #[test]
    fn what_is_learned_holds_for_its_flow_only() {
        let roles = Roles::new(BTreeMap::new(), boot_ms());
        let changes = roles.subscribe();
        roles.learn(BTreeMap::new());
        assert!(!changes.has_changed().unwrap());
        let promoted = log(1, Role::Promoted);
        roles.learn(BTreeMap::from([("f".to_owned(), promoted)]));
        assert!(changes.has_changed().unwrap());
        let naming = NamingPolicy::Identity;
        assert_eq!(roles.permit("f", naming), Permit::NOTHING);
        assert_eq!(roles.permit("g", naming), Permit::ALL);
        assert_eq!(roles.current("f").unwrap().epoch, 1);
        // The role is known, whether anybody looked lately or not.
        roles.look_failed();
        assert_eq!(roles.permit("g", naming), Permit::NOTHING);
        assert_eq!(roles.allowed("g", naming), Permit::ALL);
        assert_eq!(roles.allowed("f", naming), Permit::NOTHING);
    }
}
