//! One shard of the group coordinator: a task that owns the state machine of one
//! `__consumer_offsets` partition, and does what it says.
//!
//! Requests come through a bounded channel and are taken up one by one. Records are appended in
//! the order the shard asks, and it is told in that order when they are committed; until then it goes
//! on with other requests, so that a round trip to the followers is no bound on how many there are.

use crate::clocks;
use crate::partitions::{AppendFailure, Partition};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use isthmus_broker_core::groups::{
    Action, AppendId, GroupEvent, Now, Reply, Request, Shard, Token,
};
use isthmus_broker_core::metadata::MetadataImage;
use isthmus_wire::batch::{BatchBuilder, BatchParams, BuildError};
use isthmus_wire::{ErrorCode, Uuid};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What comes to a shard from outside.
pub(super) enum Command {
    Request {
        request: Box<Request>,
        reply: oneshot::Sender<Reply>,
    },
    /// Topics were deleted: their offsets go too.
    TopicsDeleted(Vec<Arc<str>>),
}

/// An append, and whether it is there for good or this leadership over.
type Commit = (AppendId, Result<(), AppendFailure>);

pub(super) struct ShardTask {
    shard: Shard,
    partition: Arc<Partition>,
    /// As it was when the shard was loaded.
    image: Arc<MetadataImage>,
    waiting: BTreeMap<Token, oneshot::Sender<Reply>>,
    /// Appends that are in the log and not committed yet, in their order. The shard bounds them.
    commits: FuturesOrdered<BoxFuture<'static, Commit>>,
    next_token: u64,
    began: Instant,
}

impl ShardTask {
    /// `shard` has replayed its log; it counts as loaded when the task runs.
    pub(super) fn new(
        shard: Shard,
        partition: Arc<Partition>,
        image: Arc<MetadataImage>,
        began: Instant,
    ) -> Self {
        Self {
            shard,
            partition,
            image,
            waiting: BTreeMap::new(),
            commits: FuturesOrdered::new(),
            next_token: 0,
            began,
        }
    }

    /// Serves until the broker stops or the last sender is gone; then tells those who wait.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        stop: CancellationToken,
    ) {
        let actions = self.shard.loaded(self.now());
        self.act(actions);
        self.let_go_of_stray_offsets();
        self.serve(&mut commands, &stop).await;
        let actions = self.shard.unload();
        self.act(actions);
    }

    /// A stop between a topic's deletion and that of its offsets leaves these behind.
    fn let_go_of_stray_offsets(&mut self) {
        let image = std::mem::take(&mut self.image);
        let is_there = |name: &str, id: Uuid| {
            let topic = image.topic(name);
            topic.is_some_and(|topic| id == Uuid::ZERO || id == topic.id)
        };
        let actions = self.shard.keep_topics(self.now(), &is_there);
        self.act(actions);
    }

    async fn serve(&mut self, commands: &mut mpsc::Receiver<Command>, stop: &CancellationToken) {
        loop {
            let deadline = self.shard.next_deadline().map(|ms| self.instant(ms));
            tokio::select! {
                () = stop.cancelled() => return,
                command = commands.recv() => match command {
                    Some(command) => self.take(command),
                    None => return,
                },
                Some((id, outcome)) = self.commits.next() => {
                    // Another leader has the log now, and what became of the append.
                    if outcome.is_err() {
                        return;
                    }
                    let actions = self.shard.committed(self.now(), id);
                    self.act(actions);
                }
                () = until(deadline) => {
                    let actions = self.shard.on_time(self.now());
                    self.act(actions);
                }
            }
        }
    }

    fn take(&mut self, command: Command) {
        let actions = match command {
            Command::Request { request, reply } => {
                self.forget_those_who_left();
                let token = Token(self.next_token);
                self.next_token += 1;
                self.waiting.insert(token, reply);
                self.shard.handle(self.now(), token, *request)
            }
            Command::TopicsDeleted(topics) => {
                let topics = topics.iter().map(AsRef::as_ref).collect();
                self.shard.topics_deleted(self.now(), &topics)
            }
        };
        self.act(actions);
    }

    /// Clients that closed their connection while they waited.
    fn forget_those_who_left(&mut self) {
        let left: Vec<Token> = self
            .waiting
            .iter()
            .filter(|(_, reply)| reply.is_closed())
            .map(|(token, _)| *token)
            .collect();
        for token in left {
            self.waiting.remove(&token);
            self.shard.forget(token);
        }
    }

    fn act(&mut self, actions: Vec<Action>) {
        let mut todo = VecDeque::from(actions);
        while let Some(action) = todo.pop_front() {
            match action {
                Action::Reply { token, reply } => {
                    if let Some(waiting) = self.waiting.remove(&token) {
                        // The client may have left: then nobody wants to know.
                        waiting.send(reply).ok();
                    }
                }
                Action::Append { id, records } => todo.extend(self.append(id, &records)),
                Action::Event { group, event } => log_event(&group, &event),
            }
        }
    }

    /// Appends, and tells the shard what is known at once: committed, or not in the log. Of records
    /// that are in the log and not committed yet it is told when they are; what waits for them too long
    /// gives up by itself (`offsets.commit.timeout.ms`).
    fn append(&mut self, id: AppendId, records: &[(Bytes, Option<Bytes>)]) -> Vec<Action> {
        let appended = match batch(records) {
            Ok(batch) => self.partition.append_own(&batch, clocks::wall_ms()),
            Err(error) => {
                tracing::error!(event = "group_record_not_built", %error);
                return self
                    .shard
                    .append_failed(self.now(), id, ErrorCode::UNKNOWN_SERVER_ERROR);
            }
        };
        match appended {
            Err(failure) => self.shard.append_failed(self.now(), id, failure.code()),
            Ok(appended) if appended.committed && self.commits.is_empty() => {
                self.shard.committed(self.now(), id)
            }
            Ok(appended) => {
                let partition = Arc::clone(&self.partition);
                self.commits.push_back(Box::pin(async move {
                    (id, partition.in_log_for_good(&appended).await)
                }));
                Vec::new()
            }
        }
    }

    fn now(&self) -> Now {
        let mono_ms = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        Now {
            mono_ms,
            wall_ms: clocks::wall_ms(),
        }
    }

    fn instant(&self, mono_ms: i64) -> Instant {
        self.began + Duration::from_millis(u64::try_from(mono_ms).unwrap_or(0))
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn batch(records: &[(Bytes, Option<Bytes>)]) -> Result<Bytes, BuildError> {
    let now_ms = clocks::wall_ms();
    let mut batch = BatchBuilder::new(BatchParams::default());
    for (key, value) in records {
        batch.append(now_ms, Some(key), value.as_deref(), &[])?;
    }
    batch.finish()
}

fn log_event(group: &str, event: &GroupEvent) {
    match event {
        GroupEvent::PreparingRebalance { generation, reason } => {
            tracing::info!(
                event = "group_preparing_rebalance",
                group,
                generation,
                reason
            );
        }
        GroupEvent::CompletingRebalance {
            generation,
            members,
            protocol,
        } => {
            tracing::debug!(
                event = "group_completing_rebalance",
                group,
                generation,
                members,
                protocol
            );
        }
        GroupEvent::Stable {
            generation,
            members,
        } => {
            tracing::info!(event = "group_stable", group, generation, members);
        }
        GroupEvent::Empty { generation } => {
            tracing::info!(event = "group_empty", group, generation);
        }
        GroupEvent::MemberExpired { member_id } => {
            tracing::info!(event = "group_member_expired", group, member = %member_id);
        }
        GroupEvent::StaticMemberReplaced {
            instance_id,
            old_member_id,
            new_member_id,
        } => {
            tracing::info!(
                event = "group_static_member_replaced", group,
                instance = %instance_id, old = %old_member_id, new = %new_member_id
            );
        }
        GroupEvent::RecordNotWritten { error } => {
            tracing::error!(
                event = "group_record_not_written",
                group,
                error = error.name()
            );
        }
    }
}
