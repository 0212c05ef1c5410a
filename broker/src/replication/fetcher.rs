//! A follower's end: fetches from one leader all that is followed here.
//!
//! One task per leader. It connects, begins a session, and keeps the leader in credits: requests that
//! wait there until there is something to answer with. What comes is handed to the partitions in the
//! order it came, and what they then have to say goes out with the next request. When anything about
//! the connection is not as it should be, it ends, all partitions start over, and after a pause a new
//! one is made.

use super::messages;
use super::peers::PeerFailure;
use super::{CREDITS, CREDITS_MAX, Replication};
use crate::clocks;
use crate::cluster::{CallError, NodeAnswer, NodeConnection, NodeReceiver, NodeSender};
use crate::partitions::{Due, Partition, PartitionKey, PartitionsError, Turn};
use isthmus_broker_core::replica::ReplicaFetch;
use isthmus_broker_core::replica::follower::FETCH_BACKOFF;
use isthmus_log::StorageError;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::{ReplicaFetchRequest, ReplicaFetchResponse};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Partitions named in one request; more go into the next.
const MENTIONS_MAX: usize = 4_096;

const VERSION: i16 = 0;

type Followed = BTreeMap<PartitionKey, Arc<Partition>>;

pub(super) struct Fetcher {
    pub(super) shared: Arc<Replication>,
    pub(super) leader: i32,
    pub(super) assigned: Arc<Assigned>,
    pub(super) stop: CancellationToken,
}

/// What a fetcher is to fetch.
pub(super) struct Assigned {
    followed: Mutex<Followed>,
    changed: Notify,
}

impl Assigned {
    pub(super) fn new(followed: Followed) -> Self {
        Self {
            followed: Mutex::new(followed),
            changed: Notify::new(),
        }
    }

    /// The partitions, of which some may have taken another role than before.
    pub(super) fn set(&self, followed: Followed) {
        *self.followed.lock() = followed;
        self.changed.notify_one();
    }
}

/// Why a connection came to its end.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Peer(#[from] PeerFailure),
    #[error(transparent)]
    Connection(#[from] CallError),
    #[error("no answer in time")]
    NoAnswer,
    #[error("refused with {}", .0.name())]
    Refused(ErrorCode),
    #[error("could not {0}")]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Cut(#[from] PartitionsError),
    #[error("a task ended: {0}")]
    Task(String),
}

impl Fetcher {
    pub(super) async fn run(self) {
        let mut was_unreachable = false;
        loop {
            let ended = tokio::select! {
                () = self.stop.cancelled() => return,
                ended = self.exchange() => ended,
            };
            let now = clocks::boot();
            let followed = self.assigned.followed.lock().clone();
            for partition in followed.values() {
                partition.leader_lost(now, self.leader);
            }
            if matches!(ended, Ended::Storage(_) | Ended::Cut(_)) {
                return self.shared.storage_failed(&ended);
            }
            let is_unreachable = matches!(ended, Ended::Peer(_));
            // Told once per outage, not once per attempt.
            if !(is_unreachable && was_unreachable) {
                tracing::info!(event = "replica_fetcher_lost", leader = self.leader, %ended);
            }
            was_unreachable = is_unreachable;
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(FETCH_BACKOFF) => {}
            }
        }
    }

    /// One connection, until it ends.
    async fn exchange(&self) -> Ended {
        let outcome = async {
            let deadline = Instant::now() + self.shared.settings.socket_timeout;
            let connection = self.shared.peers.reach(self.leader, deadline).await?;
            Exchange::run(self, connection).await
        };
        match outcome.await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }
}

/// A connection with its session.
struct Exchange<'a> {
    fetcher: &'a Fetcher,
    sender: NodeSender,
    session_id: i64,
    session_epoch: i32,
    /// Of each request without an answer, when that is overdue.
    overdue: VecDeque<Instant>,
    followed: Followed,
    /// Partitions that may have something to say.
    due: BTreeSet<PartitionKey>,
    /// Until when (boot clock) a partition has nothing to say.
    paused: BTreeMap<PartitionKey, Duration>,
    forgotten: Vec<PartitionKey>,
}

impl<'a> Exchange<'a> {
    async fn run(fetcher: &'a Fetcher, connection: NodeConnection) -> Result<Infallible, Ended> {
        let (sender, receiver) = connection.split();
        let mut exchange = Self {
            fetcher,
            sender,
            session_id: fetcher.shared.next_session(),
            session_epoch: 0,
            overdue: VecDeque::new(),
            followed: Followed::new(),
            due: BTreeSet::new(),
            paused: BTreeMap::new(),
            forgotten: Vec::new(),
        };
        let idle_max = exchange.answer_max();
        let mut reading = Box::pin(next_answer(receiver, idle_max));
        let assigned = Arc::clone(&fetcher.assigned);
        exchange.follow_assigned();
        loop {
            while let Some(request) = exchange.next_request() {
                exchange.send(&request).await?;
            }
            tokio::select! {
                (receiver, answer) = &mut reading => {
                    reading = Box::pin(next_answer(receiver, idle_max));
                    exchange.take(answer?).await?;
                }
                () = assigned.changed.notified() => exchange.follow_assigned(),
                () = tokio::time::sleep_until(exchange.wakes_at()) => exchange.woken()?,
            }
        }
    }

    /// Longest silence while a request is out.
    fn answer_max(&self) -> Duration {
        let settings = &self.fetcher.shared.settings;
        settings.wait_max + settings.socket_timeout
    }

    /// Which partitions there are, and that all of them may have taken another role.
    fn follow_assigned(&mut self) {
        let assigned = self.fetcher.assigned.followed.lock().clone();
        let gone = self
            .followed
            .keys()
            .filter(|key| !assigned.contains_key(key));
        self.forgotten.extend(gone);
        self.due = assigned.keys().copied().collect();
        self.paused.clear();
        self.followed = assigned;
    }

    /// The next request, if there is something to say or a credit to give.
    fn next_request(&mut self) -> Option<ReplicaFetchRequest> {
        if self.overdue.len() >= CREDITS_MAX {
            return None;
        }
        let mentions = self.mentions();
        let says_something = !mentions.is_empty() || !self.forgotten.is_empty();
        if !says_something && self.overdue.len() >= CREDITS {
            return None;
        }
        let settings = &self.fetcher.shared.settings;
        let int = |size: usize| i32::try_from(size).unwrap_or(i32::MAX);
        let request = ReplicaFetchRequest {
            replica_id: settings.broker_id,
            broker_epoch: self.fetcher.shared.broker_epoch(),
            session_id: self.session_id,
            session_epoch: self.session_epoch,
            max_wait_ms: i32::try_from(settings.wait_max.as_millis()).unwrap_or(i32::MAX),
            max_bytes: int(settings.response_max_bytes),
            partition_max_bytes: int(settings.partition_max_bytes),
            topics: messages::topics(mentions),
            forgotten: messages::forgotten(std::mem::take(&mut self.forgotten)),
        };
        self.session_epoch = self.session_epoch.wrapping_add(1);
        Some(request)
    }

    fn mentions(&mut self) -> Vec<(PartitionKey, ReplicaFetch)> {
        let (now, shared) = (clocks::boot(), &self.fetcher.shared);
        let mut mentions = Vec::new();
        while mentions.len() < MENTIONS_MAX
            && let Some(key) = self.due.pop_first()
        {
            let Some(partition) = self.followed.get(&key) else {
                continue;
            };
            match partition.ask_leader(now, self.fetcher.leader, shared.broker_epoch()) {
                Due::Ask(fetch) => mentions.push((key, fetch)),
                Due::Later(at) => drop(self.paused.insert(key, at)),
                Due::Nothing => {}
            }
        }
        mentions
    }

    async fn send(&mut self, request: &ReplicaFetchRequest) -> Result<(), Ended> {
        let timeout = self.fetcher.shared.settings.socket_timeout;
        let sent = tokio::time::timeout(timeout, self.sender.send(request, VERSION)).await;
        sent.map_err(|_| Ended::NoAnswer)??;
        self.overdue.push_back(Instant::now() + self.answer_max());
        Ok(())
    }

    /// When there is something to do without an answer.
    fn wakes_at(&self) -> Instant {
        let now = clocks::boot();
        let pauses = self
            .paused
            .values()
            .map(|at| Instant::now() + at.saturating_sub(now));
        let overdue = self.overdue.front().copied();
        let earliest = pauses.chain(overdue).min();
        earliest.unwrap_or_else(|| Instant::now() + self.answer_max())
    }

    fn woken(&mut self) -> Result<(), Ended> {
        let overdue = self.overdue.front().copied();
        if overdue.is_some_and(|at| at <= Instant::now()) {
            return Err(Ended::NoAnswer);
        }
        let now = clocks::boot();
        let over = self.paused.extract_if(.., |_, at| *at <= now);
        self.due.extend(over.map(|(key, _)| key));
        Ok(())
    }

    /// An answer has come.
    async fn take(&mut self, answer: NodeAnswer<ReplicaFetchResponse>) -> Result<(), Ended> {
        let NodeAnswer {
            message: response,
            pooled,
        } = answer;
        self.overdue.pop_front();
        if response.error_code.is_error() {
            return Err(Ended::Refused(response.error_code));
        }
        let (now, now_ms) = (clocks::boot(), clocks::wall_ms());
        let (mut cuts, mut flushes) = (Vec::new(), Vec::new());
        for topic in &response.topics {
            for answer in &topic.partitions {
                let key = (topic.topic_id, answer.partition);
                let Some(partition) = self.followed.get(&key) else {
                    continue;
                };
                self.due.insert(key);
                let fetched = messages::fetched(answer);
                match partition.leader_answered(now, now_ms, &fetched)? {
                    Turn::Done => {}
                    Turn::Flush => flushes.push(Arc::clone(partition)),
                    Turn::Cut(cut) => cuts.push((Arc::clone(partition), cut)),
                }
            }
        }
        drop((response, pooled));
        if !cuts.is_empty() {
            let partitions = Arc::clone(&self.fetcher.shared.partitions);
            let cut = tokio::task::spawn_blocking(move || partitions.cut(&cuts)).await;
            cut.map_err(|panic| Ended::Task(panic.to_string()))??;
        }
        for partition in flushes {
            // A failure is the log's, which says so again at the next append.
            partition.flush().await.ok();
        }
        Ok(())
    }
}

/// Reading an answer cannot be left half done: the receiver goes in, and comes back with it.
async fn next_answer(
    mut receiver: NodeReceiver,
    idle_max: Duration,
) -> (
    NodeReceiver,
    Result<NodeAnswer<ReplicaFetchResponse>, CallError>,
) {
    let deadline = Instant::now() + idle_max;
    let answer = receiver.receive::<ReplicaFetchRequest>(VERSION, deadline);
    let answer = answer.await;
    (receiver, answer)
}
