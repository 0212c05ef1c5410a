//! A follower's end: fetches from one leader all that is followed here.
//!
//! One task per leader. It connects, begins a session, and keeps the leader in credits: requests that
//! wait there until there is something to answer with. What comes is handed to the partitions in the
//! order it came, and what they then have to say goes out with the next request. Only those are looked
//! at to which something happened ([`Agenda`]). When anything about the connection is not as it should
//! be, it ends, all partitions start over, and after a pause a new one is made.

use super::agenda::Agenda;
use super::messages;
use super::peers::PeerFailure;
use super::{CREDITS, CREDITS_MAX, Replication};
use crate::clocks;
use crate::cluster::{
    CONNECT_MAX, CallError, NodeAnswer, NodeConnection, NodeReceiver, NodeSender,
};
use crate::partitions::{
    AppendFailure, Due, Partition, PartitionKey, PartitionsError, Ready, Turn,
};
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
#[derive(Default)]
pub(super) struct Assigned {
    inner: Mutex<AssignedInner>,
    changed: Notify,
}

#[derive(Default)]
struct AssignedInner {
    followed: Followed,
    /// Those that came, went, or follow in another epoch since the fetcher last asked.
    changed: BTreeSet<PartitionKey>,
}

/// A partition to be fetched from now on, or none any more.
pub(super) type Change = (PartitionKey, Option<Arc<Partition>>);

impl Assigned {
    /// In order: the last word on a partition holds.
    pub(super) fn change(&self, changes: Vec<Change>) {
        let mut inner = self.inner.lock();
        for (key, partition) in changes {
            match partition {
                Some(partition) => drop(inner.followed.insert(key, partition)),
                None => drop(inner.followed.remove(&key)),
            }
            inner.changed.insert(key);
        }
        drop(inner);
        self.changed.notify_one();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inner.lock().followed.is_empty()
    }

    /// All there are; what changed before is told with them.
    fn begin(&self) -> Followed {
        let mut inner = self.inner.lock();
        inner.changed.clear();
        inner.followed.clone()
    }

    /// What changed since it was last asked for.
    fn changes(&self) -> Vec<Change> {
        let mut inner = self.inner.lock();
        let changed = std::mem::take(&mut inner.changed).into_iter();
        changed
            .map(|key| (key, inner.followed.get(&key).cloned()))
            .collect()
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
    #[error("could not flush what was fetched: {0}")]
    Flush(AppendFailure),
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
            for partition in self.assigned.begin().values() {
                partition.leader_lost(now, self.leader);
            }
            if matches!(ended, Ended::Storage(_) | Ended::Cut(_) | Ended::Flush(_)) {
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
            let patience = self.shared.settings.socket_timeout.min(CONNECT_MAX);
            let deadline = Instant::now() + patience;
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
    agenda: Agenda,
    /// What the leader is still to be told of.
    forgotten: BTreeSet<PartitionKey>,
    /// What was flushed, and may be acknowledged.
    flushed: Arc<Ready>,
    /// When the newest answer was sent that has come, by the leader's clock.
    answered_micros: i64,
    /// As the leader was told last (rule 20).
    follows_micros: i64,
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
            followed: fetcher.assigned.begin(),
            agenda: Agenda::default(),
            forgotten: BTreeSet::new(),
            flushed: Arc::default(),
            answered_micros: -1,
            follows_micros: -1,
        };
        for (key, partition) in &exchange.followed {
            partition.fetched_by(&exchange.flushed);
            exchange.agenda.add(*key);
        }
        let idle_max = exchange.answer_max();
        let mut reading = Box::pin(next_answer(receiver, idle_max));
        let assigned = Arc::clone(&fetcher.assigned);
        let flushed = Arc::clone(&exchange.flushed);
        loop {
            while let Some(request) = exchange.next_request() {
                exchange.send(&request).await?;
            }
            let partitions = &fetcher.shared.partitions;
            let is_full = !partitions.has_room_to_append();
            let wakes_at = exchange.wakes_at();
            tokio::select! {
                (receiver, answer) = &mut reading => {
                    reading = Box::pin(next_answer(receiver, idle_max));
                    exchange.take(answer?).await?;
                }
                () = assigned.changed.notified() => exchange.follow_changes(),
                () = flushed.changed() => {
                    let keys = flushed.take(None);
                    keys.into_iter().for_each(|key| exchange.agenda.add(key));
                }
                _ = partitions.room_to_append(wakes_at), if is_full => {}
                () = tokio::time::sleep_until(wakes_at) => exchange.woken()?,
            }
        }
    }

    /// Longest silence while a request is out.
    fn answer_max(&self) -> Duration {
        let settings = &self.fetcher.shared.settings;
        settings.wait_max + settings.socket_timeout
    }

    /// Some came, went, or have another role.
    fn follow_changes(&mut self) {
        for (key, partition) in self.fetcher.assigned.changes() {
            match partition {
                Some(partition) => {
                    partition.fetched_by(&self.flushed);
                    self.followed.insert(key, partition);
                    self.forgotten.remove(&key);
                    self.agenda.add(key);
                }
                None => {
                    self.agenda.remove(key);
                    if self.followed.remove(&key).is_some() {
                        self.forgotten.insert(key);
                    }
                }
            }
        }
    }

    /// The next request, if there is something to say or a credit to give.
    ///
    /// By it the leader may take for granted that what is not forgotten here is followed still, after the
    /// answer that the request names. So it names a newer one only where no role is being changed, and all
    /// that changed is told (rule 20).
    fn next_request(&mut self) -> Option<ReplicaFetchRequest> {
        if self.overdue.len() >= CREDITS_MAX {
            return None;
        }
        let is_settled = self.fetcher.shared.roles_are_settled();
        if is_settled {
            self.follow_changes();
        }
        let mentions = self.mentions();
        let says_something = !mentions.is_empty() || !self.forgotten.is_empty();
        // Where more is written than the disk takes, no more is asked for.
        let is_full = !self.fetcher.shared.partitions.has_room_to_append();
        if !says_something && (self.overdue.len() >= CREDITS || is_full) {
            return None;
        }
        let forgotten = self.next_forgotten();
        if is_settled && self.forgotten.is_empty() {
            self.follows_micros = self.answered_micros;
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
            forgotten: messages::forgotten(forgotten),
            follows_micros: self.follows_micros,
        };
        self.session_epoch = self.session_epoch.wrapping_add(1);
        Some(request)
    }

    fn next_forgotten(&mut self) -> Vec<PartitionKey> {
        let next = std::iter::from_fn(|| self.forgotten.pop_first());
        next.take(MENTIONS_MAX).collect()
    }

    fn mentions(&mut self) -> Vec<(PartitionKey, ReplicaFetch)> {
        let (now, shared) = (clocks::boot(), &self.fetcher.shared);
        let mut mentions = Vec::new();
        while mentions.len() < MENTIONS_MAX
            && let Some(key) = self.agenda.next()
        {
            let Some(partition) = self.followed.get(&key) else {
                continue;
            };
            match partition.ask_leader(now, self.fetcher.leader, shared.broker_epoch()) {
                Due::Ask(fetch) => mentions.push((key, fetch)),
                Due::Later(at) => self.agenda.pause(key, at),
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
        let pause = self.agenda.next_wake();
        let pause = pause.map(|at| Instant::now() + at.saturating_sub(now));
        let overdue = self.overdue.front().copied();
        let earliest = pause.into_iter().chain(overdue).min();
        earliest.unwrap_or_else(|| Instant::now() + self.answer_max())
    }

    fn woken(&mut self) -> Result<(), Ended> {
        let overdue = self.overdue.front().copied();
        if overdue.is_some_and(|at| at <= Instant::now()) {
            return Err(Ended::NoAnswer);
        }
        self.agenda.wake(clocks::boot());
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
        self.answered_micros = self.answered_micros.max(response.sent_micros);
        let (now, now_ms) = (clocks::boot(), clocks::wall_ms());
        let (mut cuts, mut flushes) = (Vec::new(), Vec::new());
        for topic in &response.topics {
            for answer in &topic.partitions {
                let key = (topic.topic_id, answer.partition);
                let Some(partition) = self.followed.get(&key) else {
                    continue;
                };
                self.agenda.add(key);
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
            // What is not on disk must not be told to the leader as if it were.
            partition.flush().await.map_err(Ended::Flush)?;
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
