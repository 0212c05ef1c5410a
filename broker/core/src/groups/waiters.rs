//! What is done with that which waits for an append, once its outcome is known.
//!
//! Three outcomes: committed, not in the log (or not in time), and the end of the shard.

use super::api::{self, Now, Reply};
use super::appends::Waiter;
use super::coordinator::Shard;
use super::event::GroupEvent;
use super::outbox::append_error;
use isthmus_wire::ErrorCode;

impl Shard {
    pub(super) fn satisfy_waiter(&mut self, now: Now, waiter: Waiter) {
        match waiter {
            Waiter::Answer { token, reply } => self.out.reply(token, reply),
            Waiter::Assignment { group, generation } => {
                if let Some(mut turn) = self.turn(now, &group) {
                    turn.assignment_committed(generation);
                }
            }
            Waiter::StaticMember {
                group,
                member,
                old: _,
                old_leader,
            } => {
                if let Some(mut turn) = self.turn(now, &group) {
                    turn.replacement_committed(&member, old_leader.as_deref());
                }
            }
            Waiter::StableFetch { token, request, .. } => {
                let reply = Reply::OffsetFetch(self.committed_offsets(&request));
                self.out.reply(token, reply);
            }
            Waiter::EmptyGroup { group: _ } => {}
        }
    }

    pub(super) fn fail_waiter(&mut self, now: Now, waiter: Waiter, cause: ErrorCode) {
        let error = append_error(cause);
        match waiter {
            Waiter::Answer { token, reply } => {
                self.out.reply(token, api::failed(reply, error));
            }
            Waiter::Assignment { group, generation } => {
                if let Some(mut turn) = self.turn(now, &group) {
                    turn.assignment_failed(generation, error);
                }
            }
            Waiter::StaticMember {
                group,
                member,
                old,
                old_leader,
            } => {
                if let Some(mut turn) = self.turn(now, &group) {
                    turn.replacement_failed(&member, *old, old_leader, error);
                }
            }
            // Writes that never were do not keep anybody from reading the others.
            waiter @ Waiter::StableFetch { .. } if cause != ErrorCode::REQUEST_TIMED_OUT => {
                self.satisfy_waiter(now, waiter);
            }
            waiter @ Waiter::StableFetch { .. } => self.stable_fetch_failed(waiter, cause),
            // The last generation with members becomes the present one again if we fail now; its
            // members are gone, and their sessions end there too.
            Waiter::EmptyGroup { group } => {
                self.out
                    .event(&group, GroupEvent::RecordNotWritten { error });
            }
        }
    }

    /// For an end of the shard: answers what has a token of its own. Members are answered with
    /// their group.
    pub(super) fn refuse_waiter(&mut self, waiter: Waiter, error: ErrorCode) {
        match waiter {
            Waiter::Answer { token, reply } => {
                self.out.reply(token, api::failed(reply, error));
            }
            waiter @ Waiter::StableFetch { .. } => self.stable_fetch_failed(waiter, error),
            Waiter::Assignment { .. } | Waiter::StaticMember { .. } | Waiter::EmptyGroup { .. } => {
            }
        }
    }
}
