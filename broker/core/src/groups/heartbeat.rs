//! Heartbeat, versions 0-4: a sign of life, and how members learn of a rebalance.
//!
//! Version 3 knows instance ids (KIP-345).

use super::api::{self, Now, Token};
use super::coordinator::Shard;
use super::group::GroupState;
use super::turn::Turn;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::HeartbeatRequest;

impl Shard {
    pub(super) fn heartbeat(&mut self, now: Now, token: Token, request: &HeartbeatRequest) {
        let verdict = if request.group_id.is_empty() {
            ErrorCode::INVALID_GROUP_ID
        } else {
            match self.turn(now, &request.group_id) {
                Some(mut turn) => turn.heartbeat(request).err().unwrap_or(ErrorCode::NONE),
                None => ErrorCode::UNKNOWN_MEMBER_ID,
            }
        };
        self.out.reply(token, api::heartbeat_reply(verdict));
    }
}

impl Turn<'_> {
    fn heartbeat(&mut self, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
        let instance_id = request.group_instance_id.as_deref();
        self.group
            .validate_member(&request.member_id, instance_id)?;
        if request.generation_id != self.group.generation() {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        match self.group.state() {
            GroupState::Empty => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            GroupState::PreparingRebalance => {
                self.keep_alive(&request.member_id);
                Err(ErrorCode::REBALANCE_IN_PROGRESS)
            }
            // Between JoinGroup and SyncGroup members may already send heartbeats.
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.keep_alive(&request.member_id);
                Ok(())
            }
        }
    }
}
