//! What must hold of a group between steps.

use super::super::member::count_protocols;
use super::{Group, GroupState};

impl Group {
    /// Asserts what must hold between steps.
    pub(in crate::groups) fn check(&self) {
        let (id, state) = (&self.id, self.state);
        let empty = self.members.is_empty();
        match state {
            GroupState::Empty => assert!(empty, "group {id} is Empty and has members"),
            GroupState::CompletingRebalance | GroupState::Stable => {
                assert!(!empty, "group {id} is {state:?} and has no members");
                assert!(
                    self.protocol.is_some(),
                    "group {id} is {state:?} without protocol"
                );
            }
            GroupState::PreparingRebalance => {}
        }
        let leads = self.leader.as_ref().map(|it| self.members.contains_key(it));
        assert_eq!(
            leads,
            (!empty).then_some(true),
            "group {id}: leader {:?}",
            self.leader
        );
        assert!(
            self.pending_sync
                .iter()
                .all(|it| self.members.contains_key(it)),
            "group {id} waits for SyncGroup of {:?}",
            self.pending_sync
        );
        assert!(
            self.pending.iter().all(|it| !self.members.contains_key(it)),
            "group {id} has members among {:?}",
            self.pending
        );
        let completing = state == GroupState::CompletingRebalance;
        assert!(
            completing || !self.assignment_in_flight,
            "group {id} is {state:?} with an assignment in flight"
        );
        self.check_members(completing);
    }

    fn check_members(&self, completing: bool) {
        let id = &self.id;
        let counts = count_protocols(self.members.values());
        let kept = self
            .protocol_counts
            .iter()
            .map(|(name, n)| (name.as_str(), *n));
        assert!(
            counts.into_iter().eq(kept),
            "group {id} miscounts its protocols"
        );
        let awaiting = self.members.values().filter(|it| it.is_awaiting_join());
        assert_eq!(
            awaiting.count(),
            self.awaiting_join,
            "group {id} miscounts joins"
        );
        let instances = self.members.values().filter(|it| it.is_static()).count();
        assert_eq!(
            instances,
            self.static_members.len(),
            "group {id} miscounts instances"
        );
        for (instance_id, member_id) in &self.static_members {
            let holder = self
                .members
                .get(member_id)
                .and_then(|it| it.instance_id.as_ref());
            assert_eq!(holder, Some(instance_id), "group {id}: member {member_id}");
        }
        for member in self.members.values() {
            assert!(
                completing || member.sync.is_none(),
                "group {id} is {:?} and lets the SyncGroup of {} wait",
                self.state,
                member.id
            );
            assert!(
                !completing || member.join.is_none(),
                "group {id} completes and lets the JoinGroup of {} wait",
                member.id
            );
        }
    }
}
