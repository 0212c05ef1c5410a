//! What a leader knows of one follower (Kafka's `Replica`).

use super::fetch::ReplicaFetch;
use std::time::Duration;

#[derive(Debug, Clone)]
pub(super) struct Progress {
    /// As the follower said; unknown before its first request in this leader epoch.
    pub(super) log_end: Option<i64>,
    /// As the follower said; -1 before its first request in this leader epoch.
    pub(super) log_start: i64,
    /// As the follower said; unknown before its first request in this leader epoch.
    pub(super) broker_epoch: Option<i64>,
    /// Registered, neither fenced nor stopping, and the incarnation that asks is the registered one.
    pub(super) eligible: bool,
    pub(super) session: u64,
    /// Up to where records were sent in this session.
    pub(super) sent: i64,
    /// The high watermark as of the last answer.
    pub(super) told_high_watermark: i64,
    /// The log start as of the last answer.
    pub(super) told_log_start: i64,
    /// When the newest answer was sent after which the follower has asked again in this leader epoch
    /// (rule 20).
    pub(super) follows: Option<Duration>,
    /// The latest time at which the follower had everything.
    last_caught_up: Duration,
    /// Where the leader's log ended at the time of an earlier request; what the follower is to reach.
    mark: Option<(Duration, i64)>,
}

impl Progress {
    /// Members of the ISR get the whole of `replica.lag.time.max.ms` under a new leader.
    pub(super) fn new(in_isr_at: Option<Duration>) -> Self {
        Self {
            log_end: None,
            log_start: -1,
            broker_epoch: None,
            eligible: false,
            session: 0,
            sent: -1,
            told_high_watermark: -1,
            told_log_start: -1,
            follows: None,
            last_caught_up: in_isr_at.unwrap_or(Duration::ZERO),
            mark: None,
        }
    }

    /// Whether the request comes from before one that was here already.
    pub(super) fn is_past(&self, fetch: &ReplicaFetch) -> bool {
        self.broker_epoch
            .is_some_and(|epoch| (fetch.broker_epoch, fetch.session) < (epoch, self.session))
    }

    /// Requests of one session may overtake each other: within it the log end only grows, since
    /// a follower that cuts its log starts over.
    pub(super) fn fetched(&mut self, now: Duration, fetch: &ReplicaFetch, leader_end: i64) {
        let started_over = self.broker_epoch != Some(fetch.broker_epoch)
            || self.session != fetch.session
            || self.log_end.is_none();
        if started_over {
            self.broker_epoch = Some(fetch.broker_epoch);
            self.session = fetch.session;
            self.sent = fetch.log_end;
            self.log_end = Some(fetch.log_end);
            self.log_start = fetch.log_start;
        }
        self.log_start = self.log_start.max(fetch.log_start);
        let log_end = self
            .log_end
            .map_or(fetch.log_end, |it| it.max(fetch.log_end));
        self.log_end = Some(log_end);
        self.sent = self.sent.max(log_end);
        self.note_progress(now, log_end, leader_end);
    }

    /// The follower had everything at the latest time whose log end it has reached. Kafka compares with
    /// the request before; where several are on the way at once, a follower that keeps up never
    /// reaches that, so a mark stays until it is reached.
    fn note_progress(&mut self, now: Duration, reached: i64, leader_end: i64) {
        if reached >= leader_end {
            self.last_caught_up = self.last_caught_up.max(now);
            self.mark = None;
            return;
        }
        match self.mark {
            Some((_, end)) if reached < end => {}
            passed => {
                let (at, _) = passed.unwrap_or_default();
                self.last_caught_up = self.last_caught_up.max(at);
                self.mark = Some((now, leader_end));
            }
        }
    }

    /// Records of the leader's log that it has not said to have: all, before its first word in this
    /// leader epoch.
    pub(super) fn lag(&self, leader_start: i64, leader_end: i64) -> i64 {
        let reached = self.log_end.unwrap_or(leader_start).max(leader_start);
        leader_end.saturating_sub(reached).max(0)
    }

    /// Whether that offset is in its log, or the next to be.
    pub(super) fn holds(&self, offset: i64) -> bool {
        self.log_end.is_some_and(|end| end >= offset) && self.log_start <= offset
    }

    /// Greater for whoever keeps up better.
    pub(super) fn standing(&self) -> (Option<i64>, Duration) {
        (self.log_end, self.last_caught_up)
    }

    /// Rule 5: has everything, or had it not longer than `lag_max` ago.
    pub(super) fn is_caught_up(&self, now: Duration, leader_end: i64, lag_max: Duration) -> bool {
        self.log_end == Some(leader_end) || now.saturating_sub(self.last_caught_up) <= lag_max
    }
}
