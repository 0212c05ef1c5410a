//! LeaveGroup, versions 0-5.
//!
//! Up to version 2 a member leaves; from 3 on it is a batch, and an operator may remove a static
//! member by its instance id alone (KIP-345); 5 carries a reason (KIP-800). The reply waits for
//! the record if the group becomes empty by it.

use super::api::{self, Now, Token};
use super::appends::Waiter;
use super::coordinator::Shard;
use super::event::reason_of;
use super::turn::{Turn, Written};
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::LeaveGroupRequest;
use isthmus_wire::messages::leave_group_request::MemberIdentity;
use isthmus_wire::messages::leave_group_response::MemberResponse;
use std::sync::Arc;

impl Shard {
    pub(super) fn leave(
        &mut self,
        now: Now,
        token: Token,
        request: LeaveGroupRequest,
        version: i16,
    ) {
        let group_id = request.group_id.clone();
        if group_id.is_empty() {
            let refused = api::refused_leave(ErrorCode::INVALID_GROUP_ID);
            self.out.reply(token, refused);
            return;
        }
        let members = members_of(request, version);
        match self.turn(now, &group_id) {
            Some(mut turn) => turn.leave(token, &members, version),
            None => {
                let unknown = |it| verdict(it, ErrorCode::UNKNOWN_MEMBER_ID);
                let verdicts = members.iter().map(unknown).collect();
                self.out.reply(token, api::leave_reply(version, verdicts));
            }
        }
    }
}

fn members_of(request: LeaveGroupRequest, version: i16) -> Vec<MemberIdentity> {
    if version >= 3 {
        return request.members;
    }
    vec![MemberIdentity {
        member_id: request.member_id,
        group_instance_id: None,
        reason: None,
    }]
}

fn verdict(member: &MemberIdentity, error_code: ErrorCode) -> MemberResponse {
    MemberResponse {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        error_code,
    }
}

impl Turn<'_> {
    fn leave(&mut self, token: Token, members: &[MemberIdentity], version: i16) {
        let mut verdicts = Vec::with_capacity(members.len());
        let mut left: Vec<String> = Vec::new();
        for member in members {
            let outcome = self.leave_one(member);
            if let Ok(member_id) = &outcome {
                let reason = reason_of(member.reason.as_deref());
                left.push(format!("{member_id} ({reason})"));
            }
            verdicts.push(verdict(member, outcome.err().unwrap_or(ErrorCode::NONE)));
        }
        let reply = api::leave_reply(version, verdicts);
        let written = match left.first() {
            None => Written::Nothing,
            Some(first) if left.len() == 1 => self.go_on_without(&format!("member {first} left")),
            Some(first) => {
                let others = left.len() - 1;
                self.go_on_without(&format!("member {first} and {others} more left"))
            }
        };
        match written {
            Written::Nothing => self.reply(token, reply),
            Written::InFlight(id) => self.out.wait(id, Waiter::Answer { token, reply }),
            Written::Failed(error) => self.reply(token, api::failed(reply, error)),
        }
    }

    fn go_on_without(&mut self, reason: &str) -> Written {
        // A group that is Empty has lost no more than an id it gave out.
        if self.group.is_without_members() && self.group.is(super::GroupState::Empty) {
            return Written::Nothing;
        }
        self.rebalance_or_complete(reason)
    }

    /// Takes one out; tells its member id.
    fn leave_one(&mut self, member: &MemberIdentity) -> Result<Arc<str>, ErrorCode> {
        let instance_id = member.group_instance_id.as_deref();
        let member_id: Arc<str> = if member.member_id.is_empty() {
            let holder = instance_id.and_then(|it| self.group.static_member(it));
            holder.cloned().ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?
        } else {
            member.member_id.as_str().into()
        };
        if !self.group.pending.contains(&member_id) {
            let claimed = instance_id.filter(|_| !member.member_id.is_empty());
            self.group.validate_member(&member_id, claimed)?;
        }
        self.drop_member(&member_id);
        Ok(member_id)
    }
}
