//! Who is in a group: members, instance ids, the leader, what all know and who waits.
//!
//! Owns every change of them, and the counts kept with them. Invariants: see [`Group::check`].

use super::super::api::Token;
use super::super::member::{Member, ParkedJoin, Protocol, Subscription};
use super::{Group, GroupState};
use bytes::Bytes;
use isthmus_wire::ErrorCode;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Group {
    pub(in crate::groups) fn static_member(&self, instance_id: &str) -> Option<&Arc<str>> {
        self.static_members.get(instance_id)
    }

    /// Whoever claims an instance id must hold its member id too (KIP-345).
    pub(in crate::groups) fn validate_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(holder) if **holder != *member_id => {
                    return Err(ErrorCode::FENCED_INSTANCE_ID);
                }
                Some(_) => {}
            }
        }
        match self.members.contains_key(member_id) {
            true => Ok(()),
            false => Err(ErrorCode::UNKNOWN_MEMBER_ID),
        }
    }

    /// Whether one who knows these protocols could work with all who are here.
    pub(in crate::groups) fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.is(GroupState::Empty) {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let all = self.members.len();
        let count = |name: &str| self.protocol_counts.get(name).copied().unwrap_or(0);
        self.protocol_type() == Some(protocol_type)
            && protocols.iter().any(|it| count(&it.name) == all)
    }

    /// The protocol with the most votes among those that all know; of several the first by name,
    /// where Kafka leaves it to the order of a hash map.
    pub(in crate::groups) fn select_protocol(&self) -> String {
        let known_to_all = (self.protocol_counts.iter())
            .filter(|(_, count)| **count == self.members.len())
            .map(|(name, _)| name.as_str());
        let candidates: BTreeSet<&str> = known_to_all.collect();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for name in self.members.values().filter_map(|it| it.vote(&candidates)) {
            *votes.entry(name).or_default() += 1;
        }
        let most = votes.values().copied().max();
        let winner = votes.iter().find(|(_, count)| Some(**count) == most);
        let Some((winner, _)) = winner else {
            panic!(
                "group {} has no protocol that all its members know",
                self.id
            );
        };
        (*winner).to_owned()
    }

    /// Adds a member, which leads if it is the first.
    pub(in crate::groups) fn add(&mut self, member: Member, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        if self.leader.is_none() {
            self.leader = Some(Arc::clone(&member.id));
        }
        self.pending.remove(&member.id);
        self.insert(member);
    }

    pub(super) fn insert(&mut self, member: Member) {
        if let Some(instance_id) = &member.instance_id {
            let id = Arc::clone(&member.id);
            let holder = self.static_members.insert(Arc::clone(instance_id), id);
            assert_eq!(
                holder, None,
                "instance id {instance_id} is held in {}",
                self.id
            );
        }
        self.count(&member, true);
        let id = Arc::clone(&member.id);
        let before = self.members.insert(id, member);
        assert!(before.is_none(), "a member of {} was added twice", self.id);
    }

    /// Takes a member out; the next in line leads if it did.
    pub(in crate::groups) fn remove(&mut self, member_id: &str) -> Option<Member> {
        self.pending.remove(member_id);
        self.pending_sync.remove(member_id);
        let member = self.take(member_id)?;
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    fn take(&mut self, member_id: &str) -> Option<Member> {
        let member = self.members.remove(member_id)?;
        if let Some(instance_id) = &member.instance_id {
            self.static_members.remove(instance_id);
        }
        self.count(&member, false);
        Some(member)
    }

    /// Puts `new` in the place of `old_id`, as holder of its instance id and as leader.
    pub(in crate::groups) fn replace(&mut self, old_id: &str, new: Member) -> Member {
        let Some(old) = self.take(old_id) else {
            panic!("group {} has no member {old_id} to replace", self.id);
        };
        if self.pending_sync.remove(old_id) {
            self.pending_sync.insert(Arc::clone(&new.id));
        }
        if self.is_leader(old_id) {
            self.leader = Some(Arc::clone(&new.id));
        }
        self.insert(new);
        old
    }

    /// Sets what a member wants and lets its JoinGroup wait. A request it supersedes is handed
    /// back: it is to be answered.
    pub(in crate::groups) fn rejoin(
        &mut self,
        member_id: &str,
        to: Subscription,
        join: ParkedJoin,
    ) -> Option<ParkedJoin> {
        let Some(mut member) = self.members.remove(member_id) else {
            panic!("group {} has no member {member_id} to rejoin", self.id);
        };
        self.count(&member, false);
        member.subscribe(to);
        let superseded = member.join.replace(join);
        self.count(&member, true);
        self.members.insert(Arc::clone(&member.id), member);
        superseded
    }

    /// Takes the JoinGroup that waits, which ends the member's newness.
    pub(in crate::groups) fn unpark_join(&mut self, member_id: &str) -> Option<ParkedJoin> {
        let member = self.members.get_mut(member_id)?;
        let join = member.join.take()?;
        member.is_new = false;
        self.awaiting_join -= 1;
        Some(join)
    }

    /// Lets a SyncGroup wait; one that it supersedes is handed back.
    pub(in crate::groups) fn park_sync(&mut self, member_id: &str, token: Token) -> Option<Token> {
        self.members.get_mut(member_id)?.sync.replace(token)
    }

    pub(in crate::groups) fn unpark_sync(&mut self, member_id: &str) -> Option<Token> {
        self.members.get_mut(member_id)?.sync.take()
    }

    /// No assignment of this generation came to be.
    pub(in crate::groups) fn reset_assignments(&mut self) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
        }
    }

    fn count(&mut self, member: &Member, add: bool) {
        for protocol in &member.protocols {
            let count = self
                .protocol_counts
                .entry(protocol.name.clone())
                .or_default();
            *count = if add { *count + 1 } else { *count - 1 };
            if *count == 0 {
                self.protocol_counts.remove(&protocol.name);
            }
        }
        if member.is_awaiting_join() {
            self.awaiting_join = if add {
                self.awaiting_join + 1
            } else {
                self.awaiting_join - 1
            };
        }
    }
}
