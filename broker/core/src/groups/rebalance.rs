//! The round all triggers lead to: everybody joins again, a generation starts, the leader assigns.
//!
//! 1. [`Turn::prepare_rebalance`] asks all members to join; those that wait for an assignment are
//!    told REBALANCE_IN_PROGRESS.
//! 2. [`Turn::complete_join`] runs when all are here or the longest rebalance time-out is over. It
//!    drops who is not, starts the generation and answers every JoinGroup at once.
//! 3. SyncGroup ends it (`sync`); who does not send one in time is dropped by
//!    [`Turn::expire_sync`], and it starts over.

use super::api;
use super::appends::Waiter;
use super::event::GroupEvent;
use super::group::{GroupState, InitialDelay};
use super::member::ParkedJoin;
use super::records::GroupRecord;
use super::turn::{Turn, Written};
use bytes::Bytes;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::JoinGroupResponse;
use isthmus_wire::messages::join_group_response::JoinGroupResponseMember;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Least time to wait again for static members of which none came back, whatever their own
/// rebalance time-outs: a time-out of 0 would spin.
const NOBODY_JOINED_RETRY_MS_MIN: i64 = 1_000;

impl Turn<'_> {
    pub(super) fn rebalance_or_complete(&mut self, reason: &str) -> Written {
        match self.group.state() {
            GroupState::PreparingRebalance => self.maybe_complete_join(),
            GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable => {
                self.prepare_rebalance(reason)
            }
        }
    }

    pub(super) fn prepare_rebalance(&mut self, reason: &str) -> Written {
        if self.group.is(GroupState::CompletingRebalance) {
            self.reset_and_propagate(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        self.timers.cancel(&self.sync_timer());
        let initial = self
            .group
            .is(GroupState::Empty)
            .then(|| self.initial_delay());
        self.group.prepare_rebalance(initial, self.now.wall_ms);
        self.counters.rebalances_started += 1;
        self.event(GroupEvent::PreparingRebalance {
            generation: self.group.generation(),
            reason: reason.to_owned(),
        });
        match initial {
            Some(delay) => {
                let deadline_ms = self.in_ms(delay.last_ms);
                self.timers.set(self.join_timer(), deadline_ms);
                Written::Nothing
            }
            None if self.group.all_joined() => self.complete_join(),
            None => {
                let deadline_ms = self.in_ms(self.group.rebalance_timeout_ms());
                self.timers.set(self.join_timer(), deadline_ms);
                Written::Nothing
            }
        }
    }

    /// An empty group gives more members the time to come, at most their rebalance time-out
    /// (KIP-134).
    fn initial_delay(&self) -> InitialDelay {
        let last_ms = i64::from(self.config.initial_rebalance_delay_ms);
        InitialDelay {
            last_ms,
            remaining_ms: (self.group.rebalance_timeout_ms() - last_ms).max(0),
        }
    }

    /// Goes on if nobody is missing, except during the initial delay, which runs to its end.
    pub(super) fn maybe_complete_join(&mut self) -> Written {
        let preparing = self.group.is(GroupState::PreparingRebalance);
        if preparing && self.group.initial_delay.is_none() && self.group.all_joined() {
            return self.complete_join();
        }
        Written::Nothing
    }

    /// The same where a member went away: nobody else is waited for then, delay or not.
    pub(super) fn complete_join_without(&mut self) -> Written {
        if self.group.is(GroupState::PreparingRebalance) && self.group.all_joined() {
            return self.complete_join();
        }
        Written::Nothing
    }

    /// The time to join is over, or a part of the initial delay.
    pub(super) fn expire_join(&mut self) {
        if !self.group.is(GroupState::PreparingRebalance) {
            return;
        }
        if let Some(delay) = self.group.initial_delay
            && self.group.new_member_added
            && delay.remaining_ms > 0
        {
            let step_ms = i64::from(self.config.initial_rebalance_delay_ms);
            let next = InitialDelay {
                last_ms: step_ms.min(delay.remaining_ms),
                remaining_ms: (delay.remaining_ms - delay.last_ms).max(0),
            };
            self.group.new_member_added = false;
            self.group.initial_delay = Some(next);
            let deadline_ms = self.in_ms(next.last_ms);
            self.timers.set(self.join_timer(), deadline_ms);
            return;
        }
        self.complete_join();
    }

    pub(super) fn complete_join(&mut self) -> Written {
        self.timers.cancel(&self.join_timer());
        self.drop_members_not_joined();
        if !self.group.elect_joined_leader() {
            // Only static members are left, and none came back. They are kept until their
            // sessions end (KIP-345), so the round cannot close.
            self.group.new_member_added = false;
            let wait_ms = self
                .group
                .rebalance_timeout_ms()
                .max(NOBODY_JOINED_RETRY_MS_MIN);
            let deadline_ms = self.in_ms(wait_ms);
            self.timers.set(self.join_timer(), deadline_ms);
            return Written::Nothing;
        }
        let ids = self.group.member_ids();
        let joins: Vec<(Arc<str>, Option<ParkedJoin>)> = (ids.into_iter())
            .map(|id| {
                let join = self.group.unpark_join(&id);
                (id, join)
            })
            .collect();
        self.group.start_generation(self.now.wall_ms);
        if self.group.is(GroupState::Empty) {
            return self.write_empty_group();
        }
        for (member_id, join) in joins {
            if let Some(join) = join {
                let response = self.joined(&member_id, false);
                self.reply(join.token, api::join_reply(join.version, response));
            }
            self.keep_alive(&member_id);
        }
        let deadline_ms = self.in_ms(self.group.rebalance_timeout_ms());
        self.timers.set(self.sync_timer(), deadline_ms);
        self.event(GroupEvent::CompletingRebalance {
            generation: self.group.generation(),
            members: self.group.len(),
            protocol: self.group.protocol().unwrap_or_default().to_owned(),
        });
        Written::Nothing
    }

    /// Dynamic members are dropped; static ones may be restarting and have their session's time
    /// for it (KIP-345).
    fn drop_members_not_joined(&mut self) {
        let missing = self
            .group
            .members()
            .filter(|it| !it.is_awaiting_join() && !it.is_static());
        let missing: Vec<Arc<str>> = missing.map(|it| Arc::clone(&it.id)).collect();
        for member_id in missing {
            self.drop_expired(member_id);
        }
    }

    fn drop_expired(&mut self, member_id: Arc<str>) {
        self.drop_member(&member_id);
        self.counters.members_expired += 1;
        self.event(GroupEvent::MemberExpired { member_id });
    }

    /// What a member is told of the generation it is in. The leader gets everybody's metadata, and
    /// with `assigned` the word that there is nothing to assign (KIP-814).
    pub(super) fn joined(&self, member_id: &str, assigned: bool) -> JoinGroupResponse {
        let leads = self.group.is_leader(member_id);
        let protocol = self.group.protocol().unwrap_or_default();
        let members = self.group.members().filter(|_| leads);
        let members = members.map(|member| JoinGroupResponseMember {
            member_id: member.id.to_string(),
            group_instance_id: member.instance_id.as_deref().map(ToOwned::to_owned),
            metadata: member.metadata(protocol),
        });
        JoinGroupResponse {
            generation_id: self.group.generation(),
            protocol_type: self.group.protocol_type().map(ToOwned::to_owned),
            protocol_name: Some(protocol.to_owned()),
            leader: self
                .group
                .leader()
                .map(ToString::to_string)
                .unwrap_or_default(),
            skip_assignment: leads && assigned,
            member_id: member_id.to_owned(),
            members: members.collect(),
            ..Default::default()
        }
    }

    fn write_empty_group(&mut self) -> Written {
        self.event(GroupEvent::Empty {
            generation: self.group.generation(),
        });
        match self.write_group(&BTreeMap::new()) {
            Ok(id) => {
                let group = Arc::clone(&self.group.id);
                self.out.wait(id, Waiter::EmptyGroup { group });
                Written::InFlight(id)
            }
            Err(error) => {
                self.event(GroupEvent::RecordNotWritten { error });
                Written::Failed(error)
            }
        }
    }

    /// Proposes the record of the group as it is.
    pub(super) fn write_group(
        &mut self,
        assignments: &BTreeMap<&str, Bytes>,
    ) -> Result<super::AppendId, ErrorCode> {
        let record = GroupRecord::Group {
            group: Arc::clone(&self.group.id),
            value: Some(self.group.to_record(assignments)),
        };
        let id = self
            .out
            .append(self.now, self.config, self.timers, vec![record])?;
        self.group.recorded = true;
        Ok(id)
    }

    /// Nobody gets an assignment of this generation: who waits for one is told why.
    pub(super) fn reset_and_propagate(&mut self, error: ErrorCode) {
        self.group.reset_assignments();
        for member_id in self.group.member_ids() {
            if let Some(token) = self.group.unpark_sync(&member_id) {
                self.reply(token, api::refused_sync(error));
                // Its session may have run out unnoticed while it was excused.
                self.keep_alive(&member_id);
            }
        }
    }

    /// The time to send SyncGroup is over: who did not is dropped, and the group starts over.
    pub(super) fn expire_sync(&mut self) {
        match self.group.state() {
            GroupState::Empty | GroupState::PreparingRebalance => return,
            GroupState::CompletingRebalance | GroupState::Stable => {}
        }
        let late: Vec<Arc<str>> = self.group.pending_sync.iter().cloned().collect();
        if late.is_empty() {
            return;
        }
        for member_id in &late {
            self.drop_expired(Arc::clone(member_id));
        }
        let reason = format!("{} members did not sync in time", late.len());
        self.prepare_rebalance(&reason);
    }

    /// A session ran out.
    pub(super) fn expire_session(&mut self, member_id: &Arc<str>) {
        if self.group.pending.contains(member_id) {
            self.drop_member(member_id);
            self.complete_join_without();
            return;
        }
        let Some(member) = self.group.member(member_id) else {
            return;
        };
        if member.is_excused_from_heartbeats() {
            return;
        }
        self.drop_expired(Arc::clone(member_id));
        let reason = format!("session of member {member_id} ran out");
        match self.group.state() {
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.prepare_rebalance(&reason);
            }
            GroupState::Empty | GroupState::PreparingRebalance => {
                self.complete_join_without();
            }
        }
    }
}
