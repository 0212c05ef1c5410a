//! SyncGroup, versions 0-5.
//!
//! The leader brings the assignment, the others ask for theirs; all are answered once its record
//! is committed. No answer is ever an assignment of a generation that is still rebalancing.
//! Version notes: 3 knows instance ids (KIP-345); 5 must name the protocol's type and name, and
//! gets them back (KIP-559).

use super::api::{self, Now, Token};
use super::appends::Waiter;
use super::coordinator::Shard;
use super::event::GroupEvent;
use super::group::GroupState;
use super::turn::Turn;
use bytes::Bytes;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::{SyncGroupRequest, SyncGroupResponse};
use std::collections::BTreeMap;
use std::sync::Arc;

/// First version that must name the protocol.
const PROTOCOL_REQUIRED_SINCE: i16 = 5;

impl Shard {
    pub(super) fn sync(
        &mut self,
        now: Now,
        token: Token,
        request: &SyncGroupRequest,
        version: i16,
    ) {
        let unnamed = request.protocol_type.is_none() || request.protocol_name.is_none();
        let error = if version >= PROTOCOL_REQUIRED_SINCE && unnamed {
            ErrorCode::INCONSISTENT_GROUP_PROTOCOL
        } else if request.group_id.is_empty() {
            ErrorCode::INVALID_GROUP_ID
        } else {
            match self.turn(now, &request.group_id) {
                Some(mut turn) => return turn.sync(token, request),
                None => ErrorCode::UNKNOWN_MEMBER_ID,
            }
        };
        self.out.reply(token, api::refused_sync(error));
    }
}

impl Turn<'_> {
    fn sync(&mut self, token: Token, request: &SyncGroupRequest) {
        if let Err(error) = self.validate_sync(request) {
            self.reply(token, api::refused_sync(error));
            return;
        }
        let member_id: Arc<str> = request.member_id.as_str().into();
        match self.group.state() {
            GroupState::Empty => self.reply(token, api::refused_sync(ErrorCode::UNKNOWN_MEMBER_ID)),
            GroupState::PreparingRebalance => {
                self.reply(token, api::refused_sync(ErrorCode::REBALANCE_IN_PROGRESS));
            }
            GroupState::CompletingRebalance => {
                if let Some(older) = self.group.park_sync(&member_id, token) {
                    // Its client has moved on to this one.
                    self.reply(older, api::refused_sync(ErrorCode::REBALANCE_IN_PROGRESS));
                }
                self.has_synced(&member_id);
                if self.group.is_leader(&member_id) {
                    self.write_assignment(request);
                }
            }
            GroupState::Stable => {
                self.has_synced(&member_id);
                let assignment = self
                    .group
                    .member(&member_id)
                    .map(|it| it.assignment.clone());
                let reply = self.synced(assignment.unwrap_or_default());
                self.reply(token, api::Reply::Sync(reply));
            }
        }
    }

    fn validate_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        let instance_id = request.group_instance_id.as_deref();
        self.group
            .validate_member(&request.member_id, instance_id)?;
        if request.generation_id != self.group.generation() {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        let differs = |asked: &Option<String>, has: Option<&str>| match (asked, has) {
            (Some(asked), Some(has)) => asked != has,
            (None, _) | (_, None) => false,
        };
        if differs(&request.protocol_type, self.group.protocol_type())
            || differs(&request.protocol_name, self.group.protocol())
        {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        Ok(())
    }

    fn has_synced(&mut self, member_id: &str) {
        self.group.pending_sync.remove(member_id);
        if self.group.pending_sync.is_empty() {
            self.timers.cancel(&self.sync_timer());
        }
    }

    /// Proposes the leader's assignment. One that is in flight already is not written again: what
    /// the log has last must be what members get.
    fn write_assignment(&mut self, request: &SyncGroupRequest) {
        if self.group.assignment_in_flight {
            return;
        }
        let assignments: BTreeMap<&str, Bytes> = (request.assignments.iter())
            .map(|it| {
                (
                    it.member_id.as_str(),
                    Bytes::copy_from_slice(&it.assignment),
                )
            })
            .collect();
        let generation = self.group.generation();
        match self.write_group(&assignments) {
            Ok(id) => {
                self.group.assignment_in_flight = true;
                let group = Arc::clone(&self.group.id);
                self.out.wait(id, Waiter::Assignment { group, generation });
            }
            Err(error) => self.assignment_failed(generation, error),
        }
    }

    /// The record was replayed: everybody who waits gets what it says.
    pub(super) fn assignment_committed(&mut self, generation: i32) {
        if !self.group.is(GroupState::Stable) || self.group.generation() != generation {
            return;
        }
        self.counters.rebalances_completed += 1;
        self.event(GroupEvent::Stable {
            generation,
            members: self.group.len(),
        });
        for member_id in self.group.member_ids() {
            let Some(token) = self.group.unpark_sync(&member_id) else {
                continue;
            };
            let assignment = self
                .group
                .member(&member_id)
                .map(|it| it.assignment.clone());
            let reply = self.synced(assignment.unwrap_or_default());
            self.reply(token, api::Reply::Sync(reply));
            // Its session may have run out unnoticed while it was excused.
            self.keep_alive(&member_id);
        }
        self.group.check();
    }

    /// The record could not be written: nobody gets an assignment, and all join again. If the
    /// group has gone on meanwhile, everybody was told so.
    pub(super) fn assignment_failed(&mut self, generation: i32, error: ErrorCode) {
        self.event(GroupEvent::RecordNotWritten { error });
        let completing = self.group.is(GroupState::CompletingRebalance);
        if !completing || self.group.generation() != generation {
            return;
        }
        self.group.assignment_in_flight = false;
        self.reset_and_propagate(error);
        self.prepare_rebalance(&format!("the assignment was not written: {error}"));
    }

    fn synced(&self, assignment: Bytes) -> SyncGroupResponse {
        SyncGroupResponse {
            protocol_type: self.group.protocol_type().map(ToOwned::to_owned),
            protocol_name: self.group.protocol().map(ToOwned::to_owned),
            assignment,
            ..Default::default()
        }
    }
}
