//! What goes over the wire between a follower and its leader, for one partition.
//!
//! A follower holds a session with up to K requests out, its credits (design, decision 5). Every
//! request says how far the follower's log reaches: that is its acknowledgement. The leader reads
//! on from where it last sent. One credit is Kafka's own protocol. Below stands the leader's half;
//! the other is [`super::follower`].

use super::epochs::{EpochHistory, diverging};
use super::leader::{Leader, LeaderEffects};
use crate::metadata::MetadataImage;
use crate::rules::Rule;
use isthmus_wire::ErrorCode;
use std::time::Duration;

/// A follower's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaFetch {
    pub replica_id: i32,
    /// Of the incarnation that asks (KIP-903).
    pub broker_epoch: i64,
    pub leader_epoch: i32,
    /// Grows with every start over of this incarnation under this leader epoch.
    pub session: u64,
    /// Where the follower's log begins: what is deleted everywhere is deleted (KIP-107).
    pub log_start: i64,
    pub log_end: i64,
    pub last_fetched_epoch: Option<i32>,
    /// When the newest answer was sent that had come before this was asked, by the leader's own clock
    /// (rule 20). The shells of both carry it.
    pub follows: Option<Duration>,
}

/// Where the leader's history of an epoch ends, told to a follower that has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DivergingEpoch {
    pub epoch: i32,
    pub end_offset: i64,
}

/// Why a request is not answered with records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchRefused {
    Diverging(DivergingEpoch),
    /// The follower asks for what the leader no longer has, or does not have yet.
    OutOfRange {
        log_start: i64,
        log_end: i64,
    },
    /// A later start over of the same follower was here already.
    SessionOver,
    Error(ErrorCode),
}

/// A leader's answer, as it reaches the follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaFetchAnswer {
    /// Records from `base` to before `end`; none when they are the same.
    Records {
        base: i64,
        end: i64,
        high_watermark: i64,
    },
    Refused(FetchRefused),
}

impl Leader {
    /// A follower asks. When it is not refused, it is owed an answer as soon as
    /// [`Self::owes`] says so.
    pub fn fetched(
        &mut self,
        now: Duration,
        image: &MetadataImage,
        fetch: &ReplicaFetch,
        log: &impl EpochHistory,
    ) -> (Result<(), FetchRefused>, LeaderEffects) {
        self.hear_of(fetch.leader_epoch);
        if let Err(refused) = self.check_fetch(fetch, log) {
            return (Err(refused), LeaderEffects::default());
        }
        let log_end = self.log_end;
        let follows = if self.rules.obeys(Rule::LeaseFromAnswer) {
            fetch.follows
        } else {
            Some(now)
        };
        if let Some(follower) = self.followers.get_mut(&fetch.replica_id) {
            follower.fetched(now, fetch, log_end);
            follower.follows = follower.follows.max(follows);
        }
        (Ok(()), self.settle(now, image, Some(fetch.replica_id)))
    }

    fn check_fetch(
        &self,
        fetch: &ReplicaFetch,
        log: &impl EpochHistory,
    ) -> Result<(), FetchRefused> {
        let error = |code| Err(FetchRefused::Error(code));
        if fetch.leader_epoch < self.epoch {
            return error(ErrorCode::FENCED_LEADER_EPOCH);
        }
        let follower = self.followers.get(&fetch.replica_id);
        // A replica that is none yet for this leader will be one by metadata to come.
        let Some(follower) = follower.filter(|_| fetch.leader_epoch == self.epoch) else {
            return error(ErrorCode::UNKNOWN_LEADER_EPOCH);
        };
        if follower.is_past(fetch) {
            return Err(FetchRefused::SessionOver);
        }
        let parts = diverging(log, fetch.log_end, fetch.last_fetched_epoch);
        if let Some(parts) = parts.filter(|_| self.rules.obeys(Rule::DivergenceCheck)) {
            return Err(FetchRefused::Diverging(parts));
        }
        if fetch.log_end < log.log_start() || fetch.log_end > log.log_end() {
            return Err(FetchRefused::OutOfRange {
                log_start: log.log_start(),
                log_end: log.log_end(),
            });
        }
        Ok(())
    }

    /// Whether a follower with a request out should get its answer now: there are records it was
    /// not sent, or the high watermark or the log start moved.
    pub fn owes(&self, replica_id: i32) -> bool {
        self.followers.get(&replica_id).is_some_and(|it| {
            it.log_end.is_some()
                && (it.sent < self.log_end
                    || it.told_high_watermark < self.high_watermark
                    || it.told_log_start < self.log_start)
        })
    }

    /// From where the next answer to that session reads; nothing when the follower has started over
    /// since.
    pub fn sent(&self, replica_id: i32, session: u64) -> Option<i64> {
        let follower = self.followers.get(&replica_id);
        let follower = follower.filter(|it| it.log_end.is_some() && it.session == session);
        follower.map(|it| it.sent)
    }

    /// The answer to a credit of that session, with at most `records_max` records, which the shell
    /// reads. Nothing when the follower has started over since: nobody waits for it.
    pub fn answer(
        &mut self,
        replica_id: i32,
        session: u64,
        records_max: i64,
    ) -> Option<ReplicaFetchAnswer> {
        let (log_end, high_watermark) = (self.log_end, self.high_watermark);
        let log_start = self.log_start;
        let ack_is_log_end = self.rules.obeys(Rule::AckIsLogEnd);
        let follower = self.followers.get_mut(&replica_id);
        let follower = follower.filter(|it| it.log_end.is_some() && it.session == session)?;
        let base = follower.sent;
        follower.sent = log_end.min(base.saturating_add(records_max));
        follower.told_high_watermark = high_watermark;
        follower.told_log_start = log_start;
        if !ack_is_log_end {
            follower.log_end = Some(follower.sent);
        }
        Some(ReplicaFetchAnswer::Records {
            base,
            end: follower.sent,
            high_watermark,
        })
    }
}
