//! The coordinator of one `__consumer_offsets` partition, and the way through it.
//!
//! | phase | entered by | answers |
//! |---|---|---|
//! | unloaded | [`Shard::new`], [`Shard::unload`] | NOT_COORDINATOR |
//! | loading | [`Shard::start_loading`], then [`Shard::replay`] for each record | COORDINATOR_LOAD_IN_PROGRESS; heartbeats: NONE, so that members stay |
//! | active | [`Shard::loaded`] | all requests; every member's session starts anew |
//!
//! A shell keeps one shard per partition for as long as it runs, and per partition does, in this
//! order: hand in an event, carry out the actions, sleep until [`Shard::next_deadline`] (which may
//! be past already) and call [`Shard::on_time`]. Appends are made in the order they come out.

use super::api::{self, Action, Now, Reply, Request, Token};
use super::appends::{AppendId, Waiter};
use super::config::GroupConfig;
use super::counters::Counters;
use super::group::{Group, GroupState};
use super::join::Join;
use super::offsets::Offsets;
use super::outbox::Outbox;
use super::timers::{Timer, Timers};
use super::turn::Turn;
use crate::retention_clock::RetentionClock;
use isthmus_wire::{ErrorCode, Uuid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Unloaded,
    Loading,
    Active,
}

/// All groups of one partition.
#[derive(Debug)]
pub struct Shard {
    pub(super) config: GroupConfig,
    phase: Phase,
    pub(super) groups: BTreeMap<Arc<str>, Group>,
    pub(super) offsets: Offsets,
    pub(super) timers: Timers,
    pub(super) out: Outbox,
    pub(super) counters: Counters,
    clock: Option<RetentionClock>,
}

impl Shard {
    pub fn new(config: GroupConfig) -> Self {
        let problems = config.problems();
        assert!(
            problems.is_empty(),
            "an unchecked configuration: {problems:?}"
        );
        Self {
            config,
            phase: Phase::Unloaded,
            groups: BTreeMap::new(),
            offsets: Offsets::default(),
            timers: Timers::default(),
            out: Outbox::default(),
            counters: Counters::default(),
            clock: None,
        }
    }

    // Phases.

    /// This broker has become the partition's leader.
    pub fn start_loading(&mut self) {
        let phase = self.phase;
        assert_eq!(phase, Phase::Unloaded, "loading starts while {phase:?}");
        self.phase = Phase::Loading;
    }

    /// All records are replayed. Members get a whole session to find us.
    pub fn loaded(&mut self, now: Now) -> Vec<Action> {
        assert!(self.is_loading(), "loaded while {:?}", self.phase);
        self.phase = Phase::Active;
        self.clock = Some(RetentionClock::new(boot(now), now.wall_ms));
        self.schedule_expiry(now);
        let ids: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        for id in ids {
            self.settle(&id);
            if let Some(mut turn) = self.turn(now, &id) {
                turn.start_sessions();
            }
        }
        self.out.take_actions()
    }

    /// This broker leads no more, or the load failed. Everybody who waits is told so; completions
    /// of appends that were in flight change nothing any more.
    pub fn unload(&mut self) -> Vec<Action> {
        let waiters: Vec<Waiter> = self.out.appends.drain().collect();
        for waiter in waiters {
            self.refuse_waiter(waiter, ErrorCode::NOT_COORDINATOR);
        }
        for group in self.groups.values_mut() {
            answer_all_parked(group, &mut self.out, ErrorCode::NOT_COORDINATOR);
        }
        let waiting = self.out.waiting();
        assert_eq!(waiting, 0, "{waiting} requests wait for nothing");
        self.phase = Phase::Unloaded;
        self.groups.clear();
        self.offsets.clear();
        self.timers.clear();
        self.clock = None;
        self.out.take_actions()
    }

    pub(super) fn is_loading(&self) -> bool {
        self.phase == Phase::Loading
    }

    // Events.

    /// A request; `token` names it in the reply.
    pub fn handle(&mut self, now: Now, token: Token, request: Request) -> Vec<Action> {
        let full = self.out.waiting() >= self.config.requests_waiting_max && request.may_wait();
        self.out.expect(token);
        match (self.phase, &request) {
            (Phase::Unloaded, _) => self.refuse(token, &request, ErrorCode::NOT_COORDINATOR),
            (Phase::Loading, Request::Heartbeat(_)) => {
                self.out.reply(token, api::heartbeat_reply(ErrorCode::NONE));
            }
            (Phase::Loading, _) => {
                self.refuse(token, &request, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
            }
            (Phase::Active, _) if full => {
                self.refuse(token, &request, ErrorCode::COORDINATOR_NOT_AVAILABLE);
            }
            (Phase::Active, _) => self.dispatch(now, token, request),
        }
        self.out.take_actions()
    }

    /// The client of a request went away. Its reply is dropped; what it asked for goes on, as in
    /// Kafka: a member that joins again takes the place of its own older request.
    pub fn forget(&mut self, token: Token) {
        self.out.forget(token);
    }

    /// The records of an append are behind the high watermark.
    pub fn committed(&mut self, now: Now, id: AppendId) -> Vec<Action> {
        let Some(append) = self.out.appends.commit(id) else {
            return Vec::new();
        };
        self.timers.cancel(&Timer::Append(id));
        for record in &append.records {
            self.replay_committed(now, record);
        }
        for waiter in append.waiters {
            self.satisfy_waiter(now, waiter);
        }
        self.out.take_actions()
    }

    /// An append did not reach the log, and never will. One that reached it and is only late is
    /// not told: what waits for it gives up by itself (`offsets.commit.timeout.ms`).
    pub fn append_failed(&mut self, now: Now, id: AppendId, error: ErrorCode) -> Vec<Action> {
        let Some(append) = self.out.appends.fail(id) else {
            return Vec::new();
        };
        self.timers.cancel(&Timer::Append(id));
        self.counters.appends_failed += 1;
        for waiter in append.waiters {
            self.fail_waiter(now, waiter, error);
        }
        self.out.take_actions()
    }

    /// Topics were deleted; the offsets of their partitions go.
    pub fn topics_deleted(&mut self, now: Now, topics: &BTreeSet<&str>) -> Vec<Action> {
        if self.phase == Phase::Active {
            self.delete_topic_offsets(now, topics);
        }
        self.out.take_actions()
    }

    /// Once after a load: only offsets of topics that are there stay. `is_there` is asked with a
    /// name and an id, which is zero where the offset does not say it.
    pub fn keep_topics(&mut self, now: Now, is_there: &dyn Fn(&str, Uuid) -> bool) -> Vec<Action> {
        if self.phase == Phase::Active {
            self.delete_stray_offsets(now, is_there);
        }
        self.out.take_actions()
    }

    /// Runs all that is due.
    pub fn on_time(&mut self, now: Now) -> Vec<Action> {
        while let Some(timer) = self.timers.pop_due(now.mono_ms) {
            self.fire(now, timer);
        }
        self.out.take_actions()
    }

    /// When [`Shard::on_time`] is to be called, by the monotonic clock.
    pub fn next_deadline(&self) -> Option<i64> {
        self.timers.next_deadline_ms()
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// How many groups are in each state.
    pub fn groups_by_state(&self) -> BTreeMap<GroupState, usize> {
        let mut counts = BTreeMap::new();
        for group in self.groups.values() {
            *counts.entry(group.state()).or_default() += 1;
        }
        counts
    }

    /// Things held that grow with what clients do: requests, appends and timers.
    pub fn load(&self) -> [usize; 3] {
        [
            self.out.waiting(),
            self.out.appends.len(),
            self.timers.len(),
        ]
    }

    fn dispatch(&mut self, now: Now, token: Token, request: Request) {
        match request {
            Request::Join {
                request,
                version,
                client,
                member_uuid,
            } => {
                let join = Join {
                    token,
                    request,
                    version,
                    client,
                    member_uuid,
                };
                self.join(now, &join);
            }
            Request::Sync { request, version } => self.sync(now, token, &request, version),
            Request::Heartbeat(request) => self.heartbeat(now, token, &request),
            Request::Leave { request, version } => self.leave(now, token, request, version),
            Request::OffsetCommit { request, version } => {
                self.offset_commit(now, token, &request, version);
            }
            Request::OffsetFetch {
                group,
                require_stable,
                version,
            } => self.offset_fetch(token, Box::new(group), require_stable, version),
            Request::OffsetDelete(request) => self.offset_delete(now, token, &request),
            Request::ListGroups(request) => {
                let reply = Reply::ListGroups(self.list_groups(&request));
                self.out.reply(token, reply);
            }
            Request::DescribeGroups { groups, version } => {
                let reply = Reply::DescribeGroups(self.describe_groups(&groups, version));
                self.out.reply(token, reply);
            }
            Request::DeleteGroups { groups } => self.delete_groups(now, token, &groups),
        }
    }

    fn refuse(&mut self, token: Token, request: &Request, error: ErrorCode) {
        self.out.reply(token, api::refusal(request, error));
    }

    fn fire(&mut self, now: Now, timer: Timer) {
        match timer {
            Timer::Session { group, member } => {
                if let Some(mut turn) = self.turn(now, &group) {
                    turn.expire_session(&member);
                }
            }
            Timer::Join(group) => {
                if let Some(mut turn) = self.turn(now, &group) {
                    turn.expire_join();
                }
            }
            Timer::Sync(group) => {
                if let Some(mut turn) = self.turn(now, &group) {
                    turn.expire_sync();
                }
            }
            Timer::Append(id) => {
                self.counters.appends_timed_out += 1;
                for waiter in self.out.appends.time_out(id) {
                    self.fail_waiter(now, waiter, ErrorCode::REQUEST_TIMED_OUT);
                }
            }
            Timer::Expiry => self.expire_offsets(now),
        }
    }

    // What the handlers share.

    pub(super) fn turn<'a>(&'a mut self, now: Now, group_id: &str) -> Option<Turn<'a>> {
        Some(Turn {
            now,
            config: &self.config,
            group: self.groups.get_mut(group_id)?,
            timers: &mut self.timers,
            out: &mut self.out,
            counters: &mut self.counters,
        })
    }

    pub(super) fn admit_new_group(&self) -> Result<(), ErrorCode> {
        match self.groups.len() < self.config.groups_max {
            true => Ok(()),
            false => Err(ErrorCode::COORDINATOR_NOT_AVAILABLE),
        }
    }

    /// Lets go of a group of which nothing is left, here or in the log. A group that merely ran
    /// empty is listed until the next check for expiry, as in Kafka.
    pub(super) fn settle(&mut self, group_id: &str) {
        let traceless = self.groups.get(group_id).is_some_and(Group::is_traceless);
        if traceless && !self.offsets.has_group(group_id) {
            self.groups.remove(group_id);
        }
    }

    /// The time of day that the age of offsets is judged by.
    pub(super) fn believed_wall_ms(&mut self, now: Now) -> i64 {
        match &mut self.clock {
            Some(clock) => clock.now_ms(boot(now), now.wall_ms),
            None => now.wall_ms,
        }
    }

    /// Asserts the invariants of the module; for tests and simulators, as it looks at everything.
    pub fn check(&self) {
        self.offsets.check();
        self.timers.check();
        let idle = self.phase != Phase::Active;
        for group in self.groups.values() {
            group.check();
            for member in group.members().filter(|_| !idle) {
                let session = Timer::Session {
                    group: Arc::clone(&group.id),
                    member: Arc::clone(&member.id),
                };
                assert!(
                    self.timers.is_set(&session) || member.join.is_some() || member.sync.is_some(),
                    "member {} of {} has no session timer and waits for nothing",
                    member.id,
                    group.id
                );
            }
        }
        for group in self.offsets.groups() {
            assert!(
                self.groups.contains_key(group),
                "offsets of no group {group}"
            );
        }
    }
}

impl Turn<'_> {
    /// After a load: sessions start, and a group above a lowered limit shrinks by a rebalance, in
    /// which members get to commit.
    fn start_sessions(&mut self) {
        for member_id in self.group.member_ids() {
            self.keep_alive(&member_id);
        }
        let max = usize::try_from(self.config.max_size).unwrap_or(0);
        if self.group.len() > max {
            let reason = format!("{} members are over the limit of {max}", self.group.len());
            self.prepare_rebalance(&reason);
        }
    }
}

fn answer_all_parked(group: &mut Group, out: &mut Outbox, error: ErrorCode) {
    for member_id in group.member_ids() {
        if let Some(join) = group.unpark_join(&member_id) {
            out.reply(
                join.token,
                api::refused_join(join.version, error, &member_id),
            );
        }
        if let Some(token) = group.unpark_sync(&member_id) {
            out.reply(token, api::refused_sync(error));
        }
    }
}

fn boot(now: Now) -> Duration {
    Duration::from_millis(u64::try_from(now.mono_ms).unwrap_or(0))
}
