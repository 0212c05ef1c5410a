//! One group at one moment, with all that a step may touch.
//!
//! The handlers and the rebalance are written on it, each in its own file. Knows nothing of other
//! groups, of offsets, or of what is in the log.

use super::api::{self, Now, Reply, Token};
use super::appends::AppendId;
use super::config::GroupConfig;
use super::counters::Counters;
use super::event::GroupEvent;
use super::group::Group;
use super::outbox::Outbox;
use super::timers::{Timer, Timers};
use isthmus_wire::ErrorCode;
use std::sync::Arc;

pub(super) struct Turn<'a> {
    pub(super) now: Now,
    pub(super) config: &'a GroupConfig,
    pub(super) group: &'a mut Group,
    pub(super) timers: &'a mut Timers,
    pub(super) out: &'a mut Outbox,
    pub(super) counters: &'a mut Counters,
}

/// Whether a step had a record to write, which its reply may have to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Nothing,
    InFlight(AppendId),
    Failed(ErrorCode),
}

impl Turn<'_> {
    pub(super) fn reply(&mut self, token: Token, reply: Reply) {
        self.out.reply(token, reply);
    }

    pub(super) fn event(&mut self, event: GroupEvent) {
        self.out.event(&self.group.id, event);
    }

    pub(super) fn in_ms(&self, delay_ms: i64) -> i64 {
        self.now.mono_ms.saturating_add(delay_ms)
    }

    pub(super) fn join_timer(&self) -> Timer {
        Timer::Join(Arc::clone(&self.group.id))
    }

    pub(super) fn sync_timer(&self) -> Timer {
        Timer::Sync(Arc::clone(&self.group.id))
    }

    pub(super) fn session_timer(&self, member_id: &Arc<str>) -> Timer {
        Timer::Session {
            group: Arc::clone(&self.group.id),
            member: Arc::clone(member_id),
        }
    }

    /// A sign of life: the member's session starts anew.
    pub(super) fn keep_alive(&mut self, member_id: &str) {
        if let Some(member) = self.group.member(member_id) {
            let timeout_ms = i64::from(member.session_timeout_ms);
            let member_id = Arc::clone(&member.id);
            self.keep_alive_for(&member_id, timeout_ms);
        }
    }

    pub(super) fn keep_alive_for(&mut self, member_id: &Arc<str>, timeout_ms: i64) {
        let deadline_ms = self.in_ms(timeout_ms);
        self.timers.set(self.session_timer(member_id), deadline_ms);
    }

    /// Takes a member out, or an id given out. What it waits for is answered with UNKNOWN_MEMBER_ID,
    /// so that it joins as a new one if it is alive.
    pub(super) fn drop_member(&mut self, member_id: &Arc<str>) {
        self.answer_parked(member_id, ErrorCode::UNKNOWN_MEMBER_ID);
        self.timers.cancel(&self.session_timer(member_id));
        self.group.remove(member_id);
    }

    /// Answers all that a member waits for with an error.
    pub(super) fn answer_parked(&mut self, member_id: &Arc<str>, error: ErrorCode) {
        if let Some(join) = self.group.unpark_join(member_id) {
            // The old id is worth naming only to one who is to stop using it.
            let named = match error {
                ErrorCode::UNKNOWN_MEMBER_ID => "",
                _ => member_id,
            };
            let reply = api::refused_join(join.version, error, named);
            self.reply(join.token, reply);
        }
        if let Some(token) = self.group.unpark_sync(member_id) {
            self.reply(token, api::refused_sync(error));
        }
    }
}
