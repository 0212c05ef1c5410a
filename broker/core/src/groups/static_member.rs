//! A static member that comes back without its member id (KIP-345).
//!
//! It takes the place of the member that holds its instance id, under a new member id; whoever
//! still uses the old one is fenced. In a stable group this costs no rebalance if the selected
//! protocol stays: the record with the new id is written, then JoinGroup is answered.
//!
//! 1. The old member leaves with FENCED_INSTANCE_ID for what it waits for, the new one parks.
//! 2. Committed: JoinGroup is answered with the present generation.
//! 3. Not written: the old member is put back and JoinGroup refused, as if nothing had been.
//! 4. Between 1 and 2 a rebalance may start: the member is in it then like all others, and its
//!    JoinGroup is answered by that.

use super::api;
use super::appends::Waiter;
use super::event::GroupEvent;
use super::group::GroupState;
use super::join::Join;
use super::member::Member;
use super::turn::Turn;
use bytes::Bytes;
use isthmus_wire::ErrorCode;
use std::collections::BTreeMap;
use std::sync::Arc;

/// First version that can tell the leader to skip the assignment (KIP-814).
const SKIP_ASSIGNMENT_SINCE: i16 = 9;

impl Turn<'_> {
    pub(super) fn replace_static_member(
        &mut self,
        join: &Join,
        old_id: &Arc<str>,
        new_id: Arc<str>,
    ) {
        let old_leader = self.group.leader().cloned();
        self.answer_parked(old_id, ErrorCode::FENCED_INSTANCE_ID);
        let old = self.swap_in(join, old_id, &new_id);
        let reason = format!(
            "static member {new_id} takes the place of {old_id}; client reason: {}",
            join.reason()
        );
        match self.group.state() {
            GroupState::Stable => {
                if self.group.protocol() == Some(&self.group.select_protocol()) {
                    self.write_replacement(new_id, old, old_leader);
                } else {
                    self.prepare_rebalance(&reason);
                }
            }
            // The leader may have been told the old id already, and would assign to that.
            GroupState::CompletingRebalance => {
                self.prepare_rebalance(&reason);
            }
            GroupState::PreparingRebalance => {
                self.maybe_complete_join();
            }
            GroupState::Empty => {
                panic!("group {} is Empty and has member {old_id}", self.group.id)
            }
        }
    }

    /// Puts the new member in, with what the old one was assigned.
    fn swap_in(&mut self, join: &Join, old_id: &Arc<str>, new_id: &Arc<str>) -> Member {
        let assignment = self.group.member(old_id).map(|it| it.assignment.clone());
        let new = Member {
            assignment: assignment.unwrap_or_default(),
            is_new: false,
            ..join.new_member(Arc::clone(new_id))
        };
        let instance_id = new.instance_id.clone().unwrap_or_default();
        let old = self.group.replace(old_id, new);
        self.timers.cancel(&self.session_timer(old_id));
        self.keep_alive(new_id);
        self.event(GroupEvent::StaticMemberReplaced {
            instance_id,
            old_member_id: Arc::clone(old_id),
            new_member_id: Arc::clone(new_id),
        });
        old
    }

    fn write_replacement(&mut self, new_id: Arc<str>, old: Member, old_leader: Option<Arc<str>>) {
        let kept = self
            .group
            .members()
            .map(|it| (Arc::clone(&it.id), it.assignment.clone()));
        let kept: Vec<(Arc<str>, Bytes)> = kept.collect();
        let assignments: BTreeMap<&str, Bytes> = kept
            .iter()
            .map(|(id, assignment)| (&**id, assignment.clone()))
            .collect();
        match self.write_group(&assignments) {
            Ok(id) => {
                let waiter = Waiter::StaticMember {
                    group: Arc::clone(&self.group.id),
                    member: new_id,
                    old: Box::new(old),
                    old_leader,
                };
                self.out.wait(id, waiter);
            }
            Err(error) => self.replacement_failed(&new_id, old, old_leader, error),
        }
    }

    /// The record with the new member id is committed.
    pub(super) fn replacement_committed(&mut self, new_id: &Arc<str>, old_leader: Option<&str>) {
        if !self.group.is(GroupState::Stable) {
            return;
        }
        let Some(join) = self.group.unpark_join(new_id) else {
            return;
        };
        let mut response = self.joined(new_id, true);
        if join.version < SKIP_ASSIGNMENT_SINCE {
            // It must not assign; so if it led, it is told its old id as the leader's.
            response.leader = old_leader.unwrap_or_default().to_owned();
            response.members.clear();
            response.skip_assignment = false;
        }
        self.reply(join.token, api::join_reply(join.version, response));
        self.keep_alive(new_id);
    }

    /// The record with the new member id could not be written.
    pub(super) fn replacement_failed(
        &mut self,
        new_id: &Arc<str>,
        old: Member,
        old_leader: Option<Arc<str>>,
        error: ErrorCode,
    ) {
        self.event(GroupEvent::RecordNotWritten { error });
        if !self.group.is(GroupState::Stable) {
            return;
        }
        let Some(join) = self.group.unpark_join(new_id) else {
            return;
        };
        let mut response = self.joined(new_id, false);
        response.error_code = error;
        response.member_id.clear();
        response.members.clear();
        response.leader = old_leader.map(|it| it.to_string()).unwrap_or_default();
        self.reply(join.token, api::join_reply(join.version, response));

        let old_id = Arc::clone(&old.id);
        self.group.replace(new_id, old);
        self.timers.cancel(&self.session_timer(new_id));
        self.keep_alive(&old_id);
    }
}
