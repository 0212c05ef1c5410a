//! A follower of a partition: it asks its leader for records, appends them, and cuts off what the
//! leader does not have.
//!
//! | Event | Condition | Then |
//! |---|---|---|
//! | poll | a credit is free, no pause, own copy whole (rule 24) | request with own log end and last epoch |
//! | answer | of an earlier session | nothing |
//! | records | they begin at the log end | append, then take the leader's high watermark |
//! | | they do not | start over |
//! | diverging epoch | | truncate to where histories part, start over (rule 13) |
//! | out of range | the leader's log ends earlier | truncate to its end, start over |
//! | | it begins later | drop everything, start at its log start |
//! | | neither, by now | start over: an earlier answer came in between |
//! | error, or no answer | | start over after a pause |
//!
//! To start over is a new session: what is under way of the old one is ignored on both sides.
//!
//! Invariant: the high watermark is within the log, and goes back only where the log is cut.

use super::epochs::{EpochHistory, truncation_point};
use super::fetch::{FetchRefused, ReplicaFetch, ReplicaFetchAnswer};
use super::own_copy::OwnCopy;
use crate::rules::{Rule, Rules};
use isthmus_wire::ErrorCode;
use std::time::Duration;

/// The pause after an error: `replica.fetch.backoff.ms`.
pub const FETCH_BACKOFF: Duration = Duration::from_secs(1);

/// The first pause where the leader only has not heard yet that it leads; each further one is twice as
/// long, up to [`FETCH_BACKOFF`]. Kafka waits as after any error, and acks=all of a new leader with it.
pub const NOT_YET_BACKOFF: Duration = Duration::from_millis(50);

/// What the shell does with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowerStep {
    Nothing,
    /// Append the answer's records, then call [`Follower::appended`].
    Append,
    /// Cut the log so that it ends at `to`, then call [`Follower::truncated`].
    Truncate {
        to: i64,
    },
    /// Drop all records and begin the log at `at`, then call [`Follower::started_at`].
    StartAt {
        at: i64,
    },
}

#[derive(Debug, Clone)]
pub struct Follower {
    broker_id: i32,
    leader: i32,
    leader_epoch: i32,
    high_watermark: i64,
    session: u64,
    /// Requests of this session without an answer.
    outstanding: usize,
    credits: usize,
    pause_until: Duration,
    /// The pause before this one, if the leader did not know yet then.
    waited: Duration,
    rules: Rules,
}

impl Follower {
    /// Follows `leader` in `leader_epoch`, with at most `credits` requests out.
    pub fn new(
        broker_id: i32,
        leader: i32,
        leader_epoch: i32,
        high_watermark: i64,
        credits: usize,
        rules: Rules,
    ) -> Self {
        assert!(credits > 0, "without a credit nothing is ever fetched");
        Self {
            broker_id,
            leader,
            leader_epoch,
            high_watermark,
            session: 1,
            outstanding: 0,
            credits,
            pause_until: Duration::ZERO,
            waited: Duration::ZERO,
            rules,
        }
    }

    pub fn leader(&self) -> i32 {
        self.leader
    }

    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// The next request, if one may go out. Ask again until there is none, after every event, and
    /// when the time it names in [`Self::pause_until`] has come. A request acknowledges all there is,
    /// so none goes out while a part of it does not count yet.
    pub fn poll(
        &mut self,
        now: Duration,
        broker_epoch: i64,
        log: &impl EpochHistory,
        own_copy: OwnCopy,
    ) -> Option<ReplicaFetch> {
        if !own_copy.is_whole(log.log_end()) && self.rules.obeys(Rule::FlushBeforeFetch) {
            return None;
        }
        if self.outstanding >= self.credits || now < self.pause_until {
            return None;
        }
        self.outstanding += 1;
        Some(ReplicaFetch {
            replica_id: self.broker_id,
            broker_epoch,
            leader_epoch: self.leader_epoch,
            session: self.session,
            log_start: log.log_start(),
            log_end: log.log_end(),
            last_fetched_epoch: log.latest_epoch(),
            follows: None,
        })
    }

    pub fn pause_until(&self) -> Duration {
        self.pause_until
    }

    /// An answer to a request of `session`.
    pub fn answered(
        &mut self,
        now: Duration,
        session: u64,
        answer: ReplicaFetchAnswer,
        log: &impl EpochHistory,
    ) -> FollowerStep {
        if session != self.session {
            return FollowerStep::Nothing;
        }
        self.outstanding = self.outstanding.saturating_sub(1);
        match answer {
            ReplicaFetchAnswer::Records { base, .. } => {
                let follows = base == log.log_end() || !self.rules.obeys(Rule::GapResets);
                if follows {
                    self.waited = Duration::ZERO;
                    return FollowerStep::Append;
                }
                self.start_over();
                FollowerStep::Nothing
            }
            ReplicaFetchAnswer::Refused(refused) => self.refused(now, refused, log),
        }
    }

    fn refused(
        &mut self,
        now: Duration,
        refused: FetchRefused,
        log: &impl EpochHistory,
    ) -> FollowerStep {
        self.start_over();
        match refused {
            FetchRefused::Diverging(diverging) => {
                let parted = truncation_point(log, diverging);
                let to = if self.rules.obeys(Rule::TruncateByEpoch) {
                    parted
                } else {
                    self.high_watermark
                };
                FollowerStep::Truncate { to }
            }
            FetchRefused::OutOfRange { log_end, .. } if log_end < log.log_end() => {
                FollowerStep::Truncate { to: log_end }
            }
            FetchRefused::OutOfRange { log_start, .. } if log_start > log.log_end() => {
                FollowerStep::StartAt { at: log_start }
            }
            // Records of this session have come since it was asked: dropping them now would take
            // back what the leader counts on.
            FetchRefused::OutOfRange { .. } => FollowerStep::Nothing,
            FetchRefused::SessionOver => FollowerStep::Nothing,
            // Metadata reaches the two of them one after the other.
            FetchRefused::Error(
                ErrorCode::UNKNOWN_LEADER_EPOCH | ErrorCode::NOT_LEADER_OR_FOLLOWER,
            ) => {
                self.waited = (self.waited * 2).clamp(NOT_YET_BACKOFF, FETCH_BACKOFF);
                self.pause_until = now + self.waited;
                FollowerStep::Nothing
            }
            FetchRefused::Error(_) => {
                self.pause_until = now + FETCH_BACKOFF;
                FollowerStep::Nothing
            }
        }
    }

    /// No answer to a request of `session` came in time, or its connection ended.
    pub fn lost(&mut self, now: Duration, session: u64) {
        if session == self.session {
            self.start_over();
            self.pause_until = now + FETCH_BACKOFF;
        }
    }

    /// The connection to the leader ended: whatever was out is lost.
    pub fn disconnected(&mut self, now: Duration) {
        self.lost(now, self.session);
    }

    /// The log now ends at `log_end`; returns whether the high watermark moved. It is what the
    /// leader said, within what is here (rule 18).
    pub fn appended(&mut self, log_end: i64, leader_high_watermark: i64) -> bool {
        let shown = if self.rules.obeys(Rule::FollowerHighWatermark) {
            leader_high_watermark.min(log_end)
        } else {
            log_end
        };
        let moved = shown > self.high_watermark;
        self.high_watermark = self.high_watermark.max(shown);
        moved
    }

    /// The log was cut to end at `log_end`, or will be.
    pub fn truncated(&mut self, log_end: i64) {
        self.high_watermark = self.high_watermark.min(log_end);
    }

    /// The log was emptied and goes on at `at`, where the leader's begins: what was before is
    /// committed, and deleted.
    pub fn started_at(&mut self, at: i64) {
        self.high_watermark = at;
    }

    fn start_over(&mut self) {
        self.session += 1;
        self.outstanding = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::DivergingEpoch;
    use crate::replica::epochs::tests::Epochs;

    fn follower(credits: usize) -> Follower {
        Follower::new(2, 1, 5, 0, credits, Rules::ALL)
    }

    fn records(base: i64, end: i64) -> ReplicaFetchAnswer {
        ReplicaFetchAnswer::Records {
            base,
            end,
            high_watermark: end,
        }
    }

    #[test]
    fn what_is_not_flushed_is_not_acknowledged() {
        let mut it = follower(2);
        let log = Epochs::of("1 1 5");
        let ask = |it: &mut Follower, own| it.poll(Duration::ZERO, 7, &log, own);
        assert_eq!(ask(&mut it, OwnCopy::Flushed(2)), None);
        assert!(ask(&mut it, OwnCopy::Flushed(3)).is_some());
        // Flushed further once, then cut: what is not there is not owed either.
        assert!(ask(&mut it, OwnCopy::Flushed(9)).is_some());
    }

    #[test]
    fn as_many_requests_are_out_as_there_are_credits() {
        let (mut it, log) = (follower(2), Epochs::of("1 1"));
        let first = it.poll(Duration::ZERO, 7, &log, OwnCopy::Written).unwrap();
        assert_eq!(
            (first.log_end, first.last_fetched_epoch, first.session),
            (2, Some(1), 1)
        );
        assert!(it.poll(Duration::ZERO, 7, &log, OwnCopy::Written).is_some());
        assert_eq!(it.poll(Duration::ZERO, 7, &log, OwnCopy::Written), None);
        let step = it.answered(Duration::ZERO, 1, records(2, 3), &log);
        assert_eq!(step, FollowerStep::Append);
        assert!(it.appended(3, 9));
        assert_eq!(it.high_watermark(), 3);
        assert!(
            it.poll(Duration::ZERO, 7, &Epochs::of("1 1 5"), OwnCopy::Written)
                .is_some()
        );
    }

    #[test]
    fn a_gap_starts_over_and_the_rest_of_the_session_is_ignored() {
        let (mut it, log) = (follower(3), Epochs::of("1 1"));
        for _ in 0..3 {
            it.poll(Duration::ZERO, 7, &log, OwnCopy::Written).unwrap();
        }
        let gap = it.answered(Duration::ZERO, 1, records(4, 6), &log);
        assert_eq!(gap, FollowerStep::Nothing);
        let late = it.answered(Duration::ZERO, 1, records(2, 4), &log);
        assert_eq!(late, FollowerStep::Nothing);
        assert_eq!(
            it.poll(Duration::ZERO, 7, &log, OwnCopy::Written)
                .unwrap()
                .session,
            2
        );
    }

    #[test]
    fn a_parted_history_is_cut_and_the_high_watermark_with_it() {
        let (mut it, log) = (follower(1), Epochs::of("1 1 1"));
        it.appended(3, 3);
        let parted = FetchRefused::Diverging(DivergingEpoch {
            epoch: 1,
            end_offset: 2,
        });
        let step = it.answered(Duration::ZERO, 1, ReplicaFetchAnswer::Refused(parted), &log);
        assert_eq!(step, FollowerStep::Truncate { to: 2 });
        it.truncated(2);
        assert_eq!(it.high_watermark(), 2);
    }

    #[test]
    fn an_error_is_followed_by_a_pause() {
        let (mut it, log) = (follower(1), Epochs::of("1"));
        it.poll(Duration::ZERO, 7, &log, OwnCopy::Written).unwrap();
        let fenced = FetchRefused::Error(ErrorCode::FENCED_LEADER_EPOCH);
        it.answered(Duration::ZERO, 1, ReplicaFetchAnswer::Refused(fenced), &log);
        assert_eq!(it.poll(Duration::ZERO, 7, &log, OwnCopy::Written), None);
        assert!(
            it.poll(it.pause_until(), 7, &log, OwnCopy::Written)
                .is_some()
        );
        it.lost(Duration::from_secs(9), 1);
        assert!(
            it.poll(Duration::from_secs(9), 7, &log, OwnCopy::Written)
                .is_none(),
            "its one credit is out"
        );
    }

    #[test]
    fn a_leader_that_does_not_know_yet_is_asked_again_soon_and_then_less_often() {
        let (mut it, log) = (follower(1), Epochs::of("1"));
        let mut now = Duration::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            it.poll(now, 7, &log, OwnCopy::Written).unwrap();
            let refused = FetchRefused::Error(ErrorCode::UNKNOWN_LEADER_EPOCH);
            let answer = ReplicaFetchAnswer::Refused(refused);
            it.answered(now, it.session, answer, &log);
            pauses.push((it.pause_until() - now).as_millis());
            now = it.pause_until();
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1_000, 1_000]);
        it.poll(now, 7, &log, OwnCopy::Written).unwrap();
        let step = it.answered(now, it.session, records(1, 2), &log);
        assert_eq!(step, FollowerStep::Append);
        assert!(it.waited.is_zero());
    }

    #[test]
    fn outside_the_leaders_log_it_meets_it_at_its_ends() {
        let range = |log_start, log_end| {
            ReplicaFetchAnswer::Refused(FetchRefused::OutOfRange { log_start, log_end })
        };
        let log = Epochs::of("1 1 1");
        let short = follower(1).answered(Duration::ZERO, 1, range(0, 1), &log);
        assert_eq!(short, FollowerStep::Truncate { to: 1 });
        let mut behind = follower(1);
        let later = behind.answered(Duration::ZERO, 1, range(8, 12), &log);
        assert_eq!(later, FollowerStep::StartAt { at: 8 });
        let overtaken = follower(1).answered(Duration::ZERO, 1, range(2, 12), &log);
        assert_eq!(overtaken, FollowerStep::Nothing);
        behind.started_at(8);
        assert_eq!(
            behind.high_watermark(),
            8,
            "nothing before it is to be read"
        );
    }
}
