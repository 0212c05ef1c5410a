//! JoinGroup, versions 0-9.
//!
//! Parked until the rebalance it starts or takes part in is complete. Version notes: 0 has no
//! rebalance time-out; 4 asks a dynamic member to come back with the id it is given (KIP-394);
//! 5 knows instance ids (KIP-345); 7 tells the protocol type and a null name (KIP-559); 8 carries
//! a reason (KIP-800); 9 may tell the leader that nothing is to be assigned (KIP-814).

use super::api::{self, Client, Now, Token};
use super::config::NEW_MEMBER_JOIN_TIMEOUT_MS;
use super::coordinator::Shard;
use super::event::reason_of;
use super::group::{Group, GroupState};
use super::member::{Member, ParkedJoin, Subscription};
use super::turn::Turn;
use bytes::Bytes;
use isthmus_wire::messages::JoinGroupRequest;
use isthmus_wire::{ErrorCode, Uuid};
use std::sync::Arc;

/// First version whose members must come back with the id they are given.
const MEMBER_ID_REQUIRED_SINCE: i16 = 4;

/// A JoinGroup with what else is needed to answer it.
pub(super) struct Join {
    pub(super) token: Token,
    pub(super) request: Box<JoinGroupRequest>,
    pub(super) version: i16,
    pub(super) client: Client,
    pub(super) member_uuid: Uuid,
}

impl Join {
    pub(super) fn parked(&self) -> ParkedJoin {
        ParkedJoin {
            token: self.token,
            version: self.version,
        }
    }

    pub(super) fn subscription(&self) -> Subscription {
        Subscription::of(&self.request, self.version)
    }

    pub(super) fn reason(&self) -> String {
        reason_of(self.request.reason.as_deref())
    }

    /// Kafka's form, `<instance id or client id>-<uuid>`, which tools cut apart.
    pub(super) fn new_member_id(&self) -> Arc<str> {
        let instance_id = self.request.group_instance_id.as_deref();
        let prefix = instance_id.unwrap_or(&self.client.id);
        format!("{prefix}-{}", random_uuid(self.member_uuid)).into()
    }

    pub(super) fn new_member(&self, id: Arc<str>) -> Member {
        let subscription = self.subscription();
        Member {
            id,
            instance_id: self.request.group_instance_id.as_deref().map(Into::into),
            client_id: self.client.id.clone(),
            client_host: self.client.host.clone(),
            rebalance_timeout_ms: subscription.rebalance_timeout_ms,
            session_timeout_ms: subscription.session_timeout_ms,
            protocols: subscription.protocols,
            assignment: Bytes::new(),
            join: Some(self.parked()),
            sync: None,
            is_new: true,
        }
    }
}

/// Entropy in the text form of a random UUID (RFC 9562, version 4).
fn random_uuid(entropy: Uuid) -> String {
    let mut bits = u128::from_be_bytes(entropy.0);
    bits = bits & !(0xf << 76) | 0x4 << 76;
    bits = bits & !(0x3 << 62) | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

impl Shard {
    pub(super) fn join(&mut self, now: Now, join: &Join) {
        let group_id: Arc<str> = join.request.group_id.as_str().into();
        match self.admit_join(now, join, &group_id) {
            Ok(()) => {
                if let Some(mut turn) = self.turn(now, &group_id) {
                    turn.join(join);
                }
                self.settle(&group_id);
            }
            Err(error) => {
                let reply = api::refused_join(join.version, error, &join.request.member_id);
                self.out.reply(join.token, reply);
            }
        }
    }

    /// Checks what needs no group, and makes the group for its first member.
    fn admit_join(&mut self, now: Now, join: &Join, group_id: &Arc<str>) -> Result<(), ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        let session_timeouts =
            self.config.min_session_timeout_ms..=self.config.max_session_timeout_ms;
        if !session_timeouts.contains(&join.request.session_timeout_ms) {
            return Err(ErrorCode::INVALID_SESSION_TIMEOUT);
        }
        if self.groups.contains_key(group_id) {
            return Ok(());
        }
        if !join.request.member_id.is_empty() {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        self.admit_new_group()?;
        let group = Group::new(Arc::clone(group_id), Some(now.wall_ms));
        self.groups.insert(Arc::clone(group_id), group);
        Ok(())
    }
}

impl Turn<'_> {
    fn join(&mut self, join: &Join) {
        let is_unknown = join.request.member_id.is_empty();
        if !self.has_room_for(&join.request.member_id) {
            // The last ones to join again go first when the limit was lowered.
            let member_id: Arc<str> = join.request.member_id.as_str().into();
            self.drop_member(&member_id);
            self.refuse_join(join, ErrorCode::GROUP_MAX_SIZE_REACHED, "");
            self.maybe_complete_join();
            return;
        }
        let protocols = join.subscription().protocols;
        if !self.group.supports(&join.request.protocol_type, &protocols) {
            let member_id = &join.request.member_id;
            self.refuse_join(join, ErrorCode::INCONSISTENT_GROUP_PROTOCOL, member_id);
        } else if is_unknown {
            self.join_unknown(join);
        } else {
            self.join_known(join);
        }
    }

    pub(super) fn refuse_join(&mut self, join: &Join, error: ErrorCode, member_id: &str) {
        let reply = api::refused_join(join.version, error, member_id);
        self.reply(join.token, reply);
    }

    /// `group.max.size`. While it prepares, a group counts those who joined already: its size may
    /// be above a limit that was lowered, and those who never come back are dropped anyway.
    fn has_room_for(&self, member_id: &str) -> bool {
        let max = usize::try_from(self.config.max_size).unwrap_or(0);
        let member = self.group.member(member_id);
        match self.group.state() {
            GroupState::Empty => true,
            GroupState::PreparingRebalance => {
                member.is_some_and(Member::is_awaiting_join) || self.group.awaiting_join() < max
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                member.is_some() || self.group.len() < max
            }
        }
    }

    /// One that has no member id, or not any more.
    fn join_unknown(&mut self, join: &Join) {
        let new_id = join.new_member_id();
        match join.request.group_instance_id.as_deref() {
            Some(instance_id) => match self.group.static_member(instance_id).cloned() {
                Some(old_id) => self.replace_static_member(join, &old_id, new_id),
                None => self.add_member(join, &new_id),
            },
            None if join.version >= MEMBER_ID_REQUIRED_SINCE => {
                self.require_member_id(join, new_id);
            }
            None => self.add_member(join, &new_id),
        }
    }

    /// KIP-394: a member counts only once it has shown that it knows its id, so that a client
    /// which retries JoinGroup does not leave a member behind each time.
    fn require_member_id(&mut self, join: &Join, new_id: Arc<str>) {
        if self.group.pending.len() >= self.config.pending_members_max {
            self.refuse_join(join, ErrorCode::COORDINATOR_NOT_AVAILABLE, "");
            return;
        }
        self.refuse_join(join, ErrorCode::MEMBER_ID_REQUIRED, &new_id);
        self.keep_alive_for(&new_id, i64::from(join.request.session_timeout_ms));
        self.group.pending.insert(new_id);
    }

    fn add_member(&mut self, join: &Join, member_id: &Arc<str>) {
        if self.group.initial_delay.is_some() {
            self.group.new_member_added = true;
        }
        let member = join.new_member(Arc::clone(member_id));
        self.group.add(member, &join.request.protocol_type);
        self.keep_alive_for(member_id, NEW_MEMBER_JOIN_TIMEOUT_MS);
        let reason = format!("new member {member_id}; client reason: {}", join.reason());
        self.rebalance_or_complete(&reason);
    }

    /// One that brings a member id.
    fn join_known(&mut self, join: &Join) {
        let member_id: Arc<str> = join.request.member_id.as_str().into();
        let instance_id = join.request.group_instance_id.as_deref();
        if self.group.pending.contains(&member_id) {
            match instance_id {
                None => self.add_member(join, &member_id),
                // No client does it: ids are pending for dynamic members only. Kafka fails inside.
                Some(_) => self.refuse_join(join, ErrorCode::UNKNOWN_SERVER_ERROR, &member_id),
            }
            return;
        }
        if let Err(error) = self.group.validate_member(&member_id, instance_id) {
            self.refuse_join(join, error, &member_id);
            return;
        }
        self.join_member(join, &member_id);
    }

    fn join_member(&mut self, join: &Join, member_id: &Arc<str>) {
        let Some(member) = self.group.member(member_id) else {
            panic!("member {member_id} of {} was just validated", self.group.id);
        };
        let unchanged = member.protocols == join.subscription().protocols;
        let why = match self.group.state() {
            GroupState::PreparingRebalance => Some("joins the rebalance"),
            // It may not have got the first answer.
            GroupState::CompletingRebalance if unchanged => None,
            // By this the leader says that what it assigned by has changed.
            GroupState::Stable if self.group.is_leader(member_id) => Some("leads and joins again"),
            GroupState::Stable if unchanged => None,
            GroupState::CompletingRebalance | GroupState::Stable => Some("changed its metadata"),
            GroupState::Empty => {
                panic!(
                    "group {} is Empty and has member {member_id}",
                    self.group.id
                )
            }
        };
        let Some(why) = why else {
            let response = self.joined(member_id, false);
            self.reply(join.token, api::join_reply(join.version, response));
            return;
        };
        let reason = format!("member {member_id} {why}; client reason: {}", join.reason());
        self.park_join(join, member_id);
        self.rebalance_or_complete(&reason);
    }

    /// Lets the JoinGroup wait in the place of an earlier one, whose client has moved on.
    pub(super) fn park_join(&mut self, join: &Join, member_id: &Arc<str>) {
        let superseded = self
            .group
            .rejoin(member_id, join.subscription(), join.parked());
        if let Some(older) = superseded {
            let error = ErrorCode::REBALANCE_IN_PROGRESS;
            self.reply(
                older.token,
                api::refused_join(older.version, error, member_id),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_ids_end_in_a_random_uuid() {
        assert_eq!(
            random_uuid(Uuid([0xff; 16])),
            "ffffffff-ffff-4fff-bfff-ffffffffffff"
        );
        assert_eq!(
            random_uuid(Uuid([0; 16])),
            "00000000-0000-4000-8000-000000000000"
        );
    }
}
