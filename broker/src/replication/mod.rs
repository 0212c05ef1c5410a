//! Replication between brokers: what the leaders here give, what the followers here fetch, and what
//! the controller is asked (design, decision 5; docs/replication.md).
//!
//! Followers pull. For each other broker that leads something followed here there is one [`fetcher`]
//! with one connection, and on it one session with credits; the leader's end of it is a [`session`].
//! The requests are our own ([`messages`]): Kafka's Fetch with a replica id is answered nowhere.
//! [`isr`] brings the leaders' proposals to the controller. Who is reached how is behind two small
//! traits, [`Peers`] and [`IsrController`].
//!
//! Must not know: how brokers prove to each other who they are, which controller is the active one.
//!
//! Bounds: one session per registered broker, [`CREDITS_MAX`] requests on a connection, one answer of
//! bounded bytes per request, one proposal per partition. Every wait has a deadline.

mod agenda;
mod fetcher;
mod isr;
mod messages;
mod peers;
mod session;
#[cfg(test)]
mod tests;

pub(crate) use isr::IsrController;
#[cfg(test)]
pub(crate) use peers::PeerFailure;
pub(crate) use peers::Peers;

use crate::clocks;
use crate::partitions::{Partition, PartitionKey, Partitions};
use crate::vital::vital;
use arc_swap::ArcSwap;
use fetcher::{Assigned, Change, Fetcher};
use isthmus_broker_core::metadata::{MetadataDelta, MetadataImage};
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::{ReplicaFetchRequest, ReplicaFetchResponse};
use parking_lot::Mutex;
use session::{Limits, Session};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Most requests of one connection without an answer: the credits, and as many that only say
/// something new while all credits wait.
const CREDITS_MAX: usize = 2 * CREDITS;

/// Requests that wait at the leader for something to answer with.
const CREDITS: usize = 8;

/// Longest wait of a request at a leader, whatever it asks for.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// How replication goes about it.
#[derive(Debug, Clone)]
pub(crate) struct ReplicationSettings {
    pub(crate) broker_id: i32,
    /// `replica.fetch.wait.max.ms`.
    pub(crate) wait_max: Duration,
    /// `replica.fetch.max.bytes`.
    pub(crate) partition_max_bytes: usize,
    /// `replica.fetch.response.max.bytes`.
    pub(crate) response_max_bytes: usize,
    /// `replica.socket.timeout.ms`: how long a connection may take to be made, or an answer to come
    /// beyond the time that it may wait at the leader.
    pub(crate) socket_timeout: Duration,
    /// `replica.lag.time.max.ms`.
    pub(crate) lag_time_max: Duration,
}

/// What all of it shares.
pub(crate) struct Replication {
    settings: ReplicationSettings,
    partitions: Arc<Partitions>,
    image: Arc<ArcSwap<MetadataImage>>,
    /// Of this broker's present registration.
    broker_epoch: Arc<AtomicI64>,
    peers: Arc<dyn Peers>,
    /// The newest of each follower.
    sessions: Mutex<BTreeMap<i32, Arc<Session>>>,
    fetchers: Mutex<Fetchers>,
    next_session: AtomicI64,
    /// Changes of metadata whose roles are being taken, and which the fetchers do not know yet.
    changing: AtomicUsize,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Cancelled when the disk failed: the broker must not go on.
    failed: CancellationToken,
}

/// Who is fetched from, and what.
#[derive(Default)]
struct Fetchers {
    /// By the leader they fetch from.
    running: BTreeMap<i32, RunningFetcher>,
    /// Each replica that follows, as its fetcher was last told.
    followed: BTreeMap<PartitionKey, Following>,
}

/// A replica here, whom it follows, and in which leader epoch.
struct Following {
    partition: Arc<Partition>,
    leader: i32,
    leader_epoch: i32,
}

impl Following {
    fn of(partition: Arc<Partition>) -> Option<Self> {
        let (leader, leader_epoch) = partition.followed()?;
        Some(Self {
            partition,
            leader,
            leader_epoch,
        })
    }

    /// Whether nothing has happened that its fetcher would want to know.
    fn is(&self, other: &Self) -> bool {
        let order = |it: &Self| (it.leader, it.leader_epoch);
        order(self) == order(other) && Arc::ptr_eq(&self.partition, &other.partition)
    }
}

struct RunningFetcher {
    assigned: Arc<Assigned>,
    stop: CancellationToken,
}

/// What replication is built from.
pub(crate) struct ReplicationParts {
    pub(crate) settings: ReplicationSettings,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) image: Arc<ArcSwap<MetadataImage>>,
    pub(crate) broker_epoch: Arc<AtomicI64>,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) failed: CancellationToken,
}

/// A follower's request that was taken up and waits for its answer.
pub(crate) struct Parked {
    session: Arc<Session>,
    deadline: Instant,
    limits: Limits,
    stop: CancellationToken,
}

impl Replication {
    pub(crate) fn new(parts: ReplicationParts) -> Self {
        Self {
            settings: parts.settings,
            partitions: parts.partitions,
            image: parts.image,
            broker_epoch: parts.broker_epoch,
            peers: parts.peers,
            sessions: Mutex::default(),
            fetchers: Mutex::default(),
            next_session: AtomicI64::new(0),
            changing: AtomicUsize::new(0),
            tasks: parts.tasks,
            stop: parts.stop,
            failed: parts.failed,
        }
    }

    /// From now on the leaders here look after their in-sync replicas.
    pub(crate) fn start(self: &Arc<Self>, controller: Arc<dyn IsrController>) {
        let ticks = Arc::clone(self).tick_leaders();
        let ticks = vital("leaders' ticks", self.failed.clone(), ticks);
        self.tasks.spawn(ticks);
        if let Some(proposed) = self.partitions.take_proposals() {
            let task = isr::send_proposals(Arc::clone(self), controller, proposed);
            let task = vital("isr proposals", self.failed.clone(), task);
            self.tasks.spawn(task);
        }
    }

    /// All partitions here have their first roles.
    pub(crate) fn roles_taken(self: &Arc<Self>) {
        let all = self.partitions.all().into_iter();
        self.follow(all.map(|it| (it.key(), Some(it))));
    }

    /// Roles are about to be taken; they are settled once what this gives is dropped, behind
    /// [`Self::roles_changed`].
    pub(crate) fn changes_roles(&self) -> RolesChange<'_> {
        self.changing.fetch_add(1, Ordering::SeqCst);
        RolesChange(&self.changing)
    }

    /// Whether the fetchers were told of every role that was taken.
    fn roles_are_settled(&self) -> bool {
        self.changing.load(Ordering::SeqCst) == 0
    }

    /// Metadata has changed: what it changed, and nothing else, may follow another leader now, or none.
    pub(crate) fn roles_changed(self: &Arc<Self>, image: &MetadataImage, delta: &MetadataDelta) {
        let changed = delta.topics_changed.iter();
        let changed = changed.filter_map(|id| image.topic_by_id(*id));
        let changed = changed.flat_map(|topic| {
            let indexes = (0..).take(topic.partitions.len());
            indexes.map(|index| ((topic.id, index), self.partitions.get(topic.id, index)))
        });
        self.follow(changed);
        for id in delta.topics_removed.keys() {
            let gone: Vec<PartitionKey> = {
                let fetchers = self.fetchers.lock();
                let of_topic = fetchers.followed.range((*id, 0)..=(*id, i32::MAX));
                of_topic.map(|(key, _)| *key).collect()
            };
            self.follow(gone.into_iter().map(|key| (key, None)));
        }
    }

    /// Every follower among these gets to the fetcher of its leader; a fetcher of nothing ends.
    fn follow(
        self: &Arc<Self>,
        partitions: impl Iterator<Item = (PartitionKey, Option<Arc<Partition>>)>,
    ) {
        let mut fetchers = self.fetchers.lock();
        let mut changes: BTreeMap<i32, Vec<Change>> = BTreeMap::new();
        for (key, partition) in partitions {
            let now = partition.and_then(Following::of);
            let before = fetchers.followed.get(&key);
            if let (Some(before), Some(now)) = (before, &now)
                && before.is(now)
            {
                continue;
            }
            if let Some(before) = fetchers.followed.remove(&key) {
                changes.entry(before.leader).or_default().push((key, None));
            }
            if let Some(now) = now {
                let change = (key, Some(Arc::clone(&now.partition)));
                changes.entry(now.leader).or_default().push(change);
                fetchers.followed.insert(key, now);
            }
        }
        for (leader, changes) in changes {
            let running = fetchers.running.entry(leader);
            let fetcher = running.or_insert_with(|| self.fetch_from(leader));
            fetcher.assigned.change(changes);
            if fetcher.assigned.is_empty() {
                fetcher.stop.cancel();
                fetchers.running.remove(&leader);
            }
        }
    }

    fn fetch_from(self: &Arc<Self>, leader: i32) -> RunningFetcher {
        let assigned = Arc::<Assigned>::default();
        let stop = self.stop.child_token();
        let fetcher = Fetcher {
            shared: Arc::clone(self),
            leader,
            assigned: Arc::clone(&assigned),
            stop: stop.clone(),
        };
        let fetches = vital("replica fetcher", self.failed.clone(), fetcher.run());
        self.tasks.spawn(fetches);
        RunningFetcher { assigned, stop }
    }

    /// A follower asks. What it says counts when this returns; its answer may take a while.
    pub(crate) fn serve(&self, request: &ReplicaFetchRequest) -> Result<Parked, ErrorCode> {
        let image = self.image.load();
        let session = self.session(&image, request)?;
        session.take_up(clocks::boot(), &image, &self.partitions, request)?;
        let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
        let bytes = |asked: i32, most: usize| usize::try_from(asked).unwrap_or(0).clamp(1, most);
        Ok(Parked {
            session,
            deadline: Instant::now() + wait.min(WAIT_MAX),
            limits: Limits {
                bytes: bytes(request.max_bytes, self.settings.response_max_bytes),
                partition_bytes: bytes(
                    request.partition_max_bytes,
                    self.settings.partition_max_bytes,
                ),
            },
            stop: self.stop.clone(),
        })
    }

    /// The session that a request belongs to; its first one makes it, in place of an earlier one.
    fn session(
        &self,
        image: &MetadataImage,
        request: &ReplicaFetchRequest,
    ) -> Result<Arc<Session>, ErrorCode> {
        let replica_id = request.replica_id;
        // Whoever is not registered for all this broker knows has no session that takes memory.
        let registered = image.broker(replica_id);
        let registered = registered.ok_or(ErrorCode::BROKER_ID_NOT_REGISTERED)?;
        if registered.epoch > request.broker_epoch {
            return Err(ErrorCode::STALE_BROKER_EPOCH);
        }
        let asked = (request.broker_epoch, request.session_id);
        let mut sessions = self.sessions.lock();
        if let Some(present) = sessions.get(&replica_id) {
            if present.identity() == asked {
                return Ok(Arc::clone(present));
            }
            if present.identity() > asked {
                return Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
            }
        }
        if request.session_epoch != 0 {
            return Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        }
        let session = Arc::new(Session::new(replica_id, asked));
        if let Some(before) = sessions.insert(replica_id, Arc::clone(&session)) {
            before.end();
        }
        Ok(session)
    }

    /// Followers may lag, proposals may be due again (rule 5).
    async fn tick_leaders(self: Arc<Self>) {
        let interval = (self.settings.lag_time_max / 2).max(Duration::from_millis(1));
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let (now, image) = (clocks::boot(), self.image.load_full());
            for partition in self.partitions.all() {
                partition.tick(now, &image);
            }
        }
    }

    fn next_session(&self) -> i64 {
        self.next_session.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn broker_epoch(&self) -> i64 {
        self.broker_epoch.load(Ordering::Acquire)
    }

    fn storage_failed(&self, error: &(dyn std::error::Error + 'static)) {
        self.partitions.failure().end_by(error);
    }
}

/// Roles are being taken.
pub(crate) struct RolesChange<'a>(&'a AtomicUsize);

impl Drop for RolesChange<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Parked {
    /// As soon as there is something to say, or the wait is over. Nothing is held back to be sent with
    /// more: what comes while all credits are under way is answered together (decision 5).
    pub(crate) async fn answer(self) -> ReplicaFetchResponse {
        loop {
            let found = self.session.collect(self.limits);
            if !found.topics.is_empty() || found.error_code.is_error() {
                return found;
            }
            tokio::select! {
                () = self.session.changed() => {}
                () = tokio::time::sleep_until(self.deadline) => return found,
                () = self.stop.cancelled() => return found,
            }
        }
    }
}
