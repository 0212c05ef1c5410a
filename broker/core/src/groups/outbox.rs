//! What a step hands out, and which requests still wait for a reply.
//!
//! Invariant: a token is answered exactly once, or forgotten; both ways it leaves here.

use super::api::{Action, Now, Reply, Token};
use super::appends::{AppendId, Appends, Waiter};
use super::config::GroupConfig;
use super::event::GroupEvent;
use super::records::GroupRecord;
use super::timers::{Timer, Timers};
use isthmus_wire::ErrorCode;
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: BTreeSet<Token>,
    /// Waiting too, but nobody listens any more.
    forgotten: BTreeSet<Token>,
    actions: Vec<Action>,
    pub(super) appends: Appends,
}

impl Outbox {
    pub(super) fn expect(&mut self, token: Token) {
        let fresh = self.waiting.insert(token) && !self.forgotten.contains(&token);
        assert!(fresh, "{token:?} already names a request that waits");
    }

    pub(super) fn reply(&mut self, token: Token, reply: Reply) {
        if self.forgotten.remove(&token) {
            return;
        }
        assert!(
            self.waiting.remove(&token),
            "{token:?} is answered twice, or was never asked: {reply:?}"
        );
        self.actions.push(Action::Reply { token, reply });
    }

    pub(super) fn forget(&mut self, token: Token) {
        if self.waiting.remove(&token) {
            self.forgotten.insert(token);
        }
    }

    /// Requests without a reply, also those nobody listens for.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len() + self.forgotten.len()
    }

    pub(super) fn event(&mut self, group: &Arc<str>, event: GroupEvent) {
        let group = Arc::clone(group);
        self.actions.push(Action::Event { group, event });
    }

    /// Proposes records as one append. On an error nothing was proposed and nothing waits.
    pub(super) fn append(
        &mut self,
        now: Now,
        config: &GroupConfig,
        timers: &mut Timers,
        records: Vec<GroupRecord>,
    ) -> Result<AppendId, ErrorCode> {
        if self.appends.len() >= config.appends_in_flight_max {
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        let encoded: Result<Vec<_>, _> = records.iter().map(GroupRecord::encode).collect();
        // A text too long for the record's form; Kafka fails inside and says no more.
        let encoded = encoded.map_err(|_| ErrorCode::UNKNOWN_SERVER_ERROR)?;
        let id = self.appends.begin(records, Vec::new());
        timers.set(
            Timer::Append(id),
            now.mono_ms.saturating_add(config.offsets_commit_timeout_ms),
        );
        self.actions.push(Action::Append {
            id,
            records: encoded,
        });
        Ok(id)
    }

    /// Lets a reply wait for an append just proposed.
    pub(super) fn wait(&mut self, id: AppendId, waiter: Waiter) {
        let waits = self.appends.attach(id, waiter);
        assert!(waits.is_ok(), "{id:?} ended before {waits:?} could wait");
    }

    pub(super) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }
}

/// What clients are told when an append failed (Kafka's own translation).
pub(super) fn append_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::NOT_ENOUGH_REPLICAS
        | ErrorCode::REQUEST_TIMED_OUT => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::KAFKA_STORAGE_ERROR => {
            ErrorCode::NOT_COORDINATOR
        }
        ErrorCode::MESSAGE_TOO_LARGE
        | ErrorCode::RECORD_LIST_TOO_LARGE
        | ErrorCode::INVALID_FETCH_SIZE => ErrorCode::UNKNOWN_SERVER_ERROR,
        other => other,
    }
}

/// The same for OffsetFetch: consumers before 3.9 know no COORDINATOR_NOT_AVAILABLE there, and
/// NOT_COORDINATOR makes them look for the coordinator again, which helps at a stale one.
pub(super) fn fetch_error(error: ErrorCode) -> ErrorCode {
    match append_error(error) {
        ErrorCode::COORDINATOR_NOT_AVAILABLE => ErrorCode::NOT_COORDINATOR,
        other => other,
    }
}
