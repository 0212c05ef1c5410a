//! A shard with a virtual clock and a log that answers when it is told to.

use bytes::Bytes;
use isthmus_broker_core::groups::{
    Action, AppendId, GroupConfig, GroupEvent, Now, Replayed, Reply, Request, Shard, Token,
};
use isthmus_wire::ErrorCode;
use std::collections::VecDeque;

pub(crate) type Record = (Bytes, Option<Bytes>);

/// What a step handed out; appends are kept for the log to answer.
#[derive(Debug, Clone)]
pub(crate) enum Output {
    Reply(Token, Reply),
    Append(Vec<Record>),
    Event(GroupEvent),
}

pub(crate) struct Bench {
    pub(crate) shard: Shard,
    pub(crate) now: Now,
    config: GroupConfig,
    /// Committed records, oldest first.
    pub(crate) log: Vec<Record>,
    pub(crate) in_flight: VecDeque<(AppendId, Vec<Record>)>,
    next_token: u64,
}

impl Bench {
    pub(crate) fn new(config: GroupConfig) -> Self {
        let mut bench = Self {
            shard: Shard::new(config.clone()),
            now: Now {
                mono_ms: 1_000_000,
                wall_ms: 1_700_000_000_000,
            },
            config,
            log: Vec::new(),
            in_flight: VecDeque::new(),
            next_token: 0,
        };
        bench.shard.start_loading();
        bench.shard.loaded(bench.now);
        bench
    }

    pub(crate) fn send(&mut self, request: Request) -> (Token, Vec<Output>) {
        self.next_token += 1;
        let token = Token(self.next_token);
        let actions = self.shard.handle(self.now, token, request);
        (token, self.take(actions))
    }

    /// Lets time pass, timer by timer.
    pub(crate) fn advance(&mut self, ms: i64) -> Vec<Output> {
        let target = self.now.mono_ms + ms;
        let mut outputs = Vec::new();
        while let Some(deadline) = self.shard.next_deadline().filter(|it| *it <= target) {
            let step = (deadline - self.now.mono_ms).max(0);
            self.now.mono_ms += step;
            self.now.wall_ms += step;
            let actions = self.shard.on_time(self.now);
            outputs.extend(self.take(actions));
        }
        let rest = target - self.now.mono_ms;
        self.now.mono_ms += rest;
        self.now.wall_ms += rest;
        outputs
    }

    /// The oldest append is committed.
    pub(crate) fn commit(&mut self) -> Vec<Output> {
        let Some((id, records)) = self.in_flight.pop_front() else {
            return Vec::new();
        };
        self.log.extend(records);
        let actions = self.shard.committed(self.now, id);
        self.take(actions)
    }

    pub(crate) fn commit_all(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while !self.in_flight.is_empty() {
            outputs.extend(self.commit());
        }
        outputs
    }

    /// The newest append never reaches the log.
    pub(crate) fn fail(&mut self, error: ErrorCode) -> Vec<Output> {
        let Some((id, _)) = self.in_flight.pop_back() else {
            return Vec::new();
        };
        let actions = self.shard.append_failed(self.now, id, error);
        self.take(actions)
    }

    pub(crate) fn unload(&mut self) -> Vec<Output> {
        let actions = self.shard.unload();
        self.in_flight.clear();
        self.take(actions)
    }

    /// Takes the shard up from the log.
    pub(crate) fn load(&mut self) -> Vec<Output> {
        self.shard.start_loading();
        for (key, value) in &self.log {
            let replayed = self.shard.replay(key, value.as_ref());
            assert_eq!(
                replayed.expect("own records can be replayed"),
                Replayed::Applied
            );
        }
        let actions = self.shard.loaded(self.now);
        self.take(actions)
    }

    /// Settings for the next shard.
    pub(crate) fn set_config(&mut self, config: GroupConfig) {
        self.config = config;
    }

    /// A crash: all memory is gone.
    pub(crate) fn forget_everything(&mut self) {
        self.in_flight.clear();
        self.shard = Shard::new(self.config.clone());
    }

    pub(crate) fn take(&mut self, actions: Vec<Action>) -> Vec<Output> {
        self.shard.check();
        let outputs = actions.into_iter().map(|action| match action {
            Action::Reply { token, reply } => Output::Reply(token, reply),
            Action::Append { id, records } => {
                self.in_flight.push_back((id, records.clone()));
                Output::Append(records)
            }
            Action::Event { event, .. } => Output::Event(event),
        });
        outputs.collect()
    }
}
