//! The controller: the one place where metadata changes.
//!
//! A change is decided on the latest image, its records are committed to the metadata log, which
//! applies them to a new image and publishes it here, and are made true on the partitions, one
//! change after the other. Each runs to its end in a task of its own even when the client that
//! asked has left.
//!
//! Of several controllers one is active: the voter that leads the quorum, once its own first record
//! is committed. The others say NOT_CONTROLLER, and note whom they hear from, and who hung up (design,
//! decision 7; `lines`).
//!
//! | State | Event | Then |
//! |---|---|---|
//! | inactive | this voter was elected, and its first record is committed | active; sessions as this voter heard them |
//! | active | it leads no more, or a change cannot be committed for that | inactive; the asker gets NOT_CONTROLLER |
//! | any | the log itself failed | the node stops |

mod lines;

pub(crate) use lines::HeartbeatLine;

use crate::clocks;
use crate::metadata_log::{MetadataLog, MetadataLogError, QuorumWatch};
use crate::metrics::ControllerMetrics;
use crate::quotas::Mutations;
use crate::rules_kept;
use arc_swap::ArcSwap;
use isthmus_broker_core::controller::{
    BrokerHeartbeat, Controller as Core, ControllerConfig, ControllerEvent, ControllerReply,
    Offline, QuorumStanding, UncleanElection, UncleanKind, replaced_leader, unclean_elections,
};
use isthmus_broker_core::metadata::{
    CreatePartitions, CreateTopic, CreatedTopic, DeletionVerdict, MetadataDelta, MetadataImage,
    MetadataRecord, TopicDefaults, TopicError, TopicKey, commit_session, committed_session,
    create_partitions, create_topics, delete_topics,
};
use isthmus_wire::{ErrorCode, Uuid};
use lines::Lines;
use parking_lot::Mutex as CoreMutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

/// After a first record, or a tick's, that could not be committed: wait before the next try. Whoever keeps
/// it from being committed tells nobody when that ends.
const LEAD_PAUSE: Duration = Duration::from_millis(100);

/// How many times in a session an active controller looks when the next broker will be silent: who has
/// come meanwhile may be that.
const LOOKS_PER_SESSION: u32 = 8;

/// Between two ticks, whatever is due: those who are silent are fenced one at a time.
const TICK_PAUSE: Duration = Duration::from_millis(5);

pub(crate) struct Controller {
    /// Held while a change is on its way: changes queue up behind it in the order they came. None at
    /// a node that is no controller.
    log: Option<Arc<Mutex<Box<dyn MetadataLog>>>>,
    image: Arc<ArcSwap<MetadataImage>>,
    topic_defaults: TopicDefaults,
    /// What is decided about brokers and partitions, and who was heard from when.
    core: Arc<CoreMutex<Core>>,
    lines: Arc<Lines>,
    /// Told when a broker may be silent sooner than it was thought.
    look: Arc<Notify>,
    is_active: AtomicBool,
    /// The only one of its cluster: nobody can take its place, so a change that is not committed ends
    /// the node.
    is_alone: bool,
    session: Duration,
    metrics: ControllerMetrics,
    /// Cancelled when the log can take no more records: nothing may go on without it.
    failed: CancellationToken,
}

/// What a controller is told at its start.
pub(crate) struct ControllerOptions {
    pub(crate) topic_defaults: TopicDefaults,
    pub(crate) config: ControllerConfig,
    pub(crate) is_alone: bool,
    pub(crate) metrics: ControllerMetrics,
    /// Cancelled when this node ends its connections.
    pub(crate) stop: CancellationToken,
    pub(crate) failed: CancellationToken,
}

/// Why a change did not happen, or may not have.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ControllerFailure {
    #[error("other changes took the whole time allowed")]
    TimedOut,
    #[error("the metadata log failed: {0}")]
    Log(String),
    #[error("this is not the active controller")]
    NotController,
}

impl ControllerFailure {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::TimedOut => ErrorCode::REQUEST_TIMED_OUT,
            Self::Log(_) => ErrorCode::KAFKA_STORAGE_ERROR,
            Self::NotController => ErrorCode::NOT_CONTROLLER,
        }
    }
}

impl Controller {
    pub(crate) fn new(
        log: Option<Box<dyn MetadataLog>>,
        image: Arc<ArcSwap<MetadataImage>>,
        options: ControllerOptions,
    ) -> Self {
        let session = options.config.broker_session_timeout;
        let core = Arc::new(CoreMutex::new(Core::new(
            options.config,
            rules_kept::rules(),
        )));
        let look = Arc::new(Notify::new());
        let lines = Lines::new(Arc::clone(&core), Arc::clone(&look), options.stop);
        Self {
            log: log.map(|log| Arc::new(Mutex::new(log))),
            image,
            topic_defaults: options.topic_defaults,
            core,
            lines: Arc::new(lines),
            look,
            is_active: AtomicBool::new(options.is_alone),
            is_alone: options.is_alone,
            session,
            metrics: options.metrics,
            failed: options.failed,
        }
    }

    /// Whether changes can be made here.
    pub(crate) fn is_active(&self) -> bool {
        self.is_active.load(Ordering::Acquire)
    }

    /// Leads whenever this voter is elected, until `stop` is cancelled.
    pub(crate) async fn follow_elections(&self, mut watch: QuorumWatch, stop: CancellationToken) {
        let mut begun = None;
        // Since when there is no leader, as far as this voter knows.
        let mut without_since = None;
        loop {
            let term = watch.leads();
            if !watch.is_led() && term.is_none() {
                without_since.get_or_insert_with(clocks::boot);
            }
            if term != begun {
                self.is_active.store(false, Ordering::Release);
                begun = None;
            }
            // A change that could not be committed has ended this lead from inside.
            if term.is_some() && !self.is_active() {
                begun = self.begin_to_lead(term).await;
            }
            if watch.is_led() || begun.is_some() {
                let since = without_since.take().filter(|_| begun.is_some());
                if let Some(since) = since {
                    self.metrics.took_over(clocks::boot().saturating_sub(since));
                }
            }
            let is_waiting = term.is_some() && begun.is_none();
            let pause = if is_waiting {
                LEAD_PAUSE
            } else {
                watch.look_every()
            };
            tokio::select! {
                () = stop.cancelled() => break,
                // Whatever kept it from leading would do so again.
                goes_on = watch.changed(), if !is_waiting => if !goes_on { break },
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.is_active.store(false, Ordering::Release);
    }

    /// Commits this incarnation's first record. Gives the term back if it came to that.
    async fn begin_to_lead(&self, term: Option<u64>) -> Option<u64> {
        let mut log = Arc::clone(self.log.as_ref()?).lock_owned().await;
        let led = tokio::spawn(async move { log.lead().await }).await;
        match led.unwrap_or_else(|panic| Err(panicked(&panic))) {
            Ok(epoch) => {
                self.core
                    .lock()
                    .activate(clocks::boot(), &self.image.load());
                self.is_active.store(true, Ordering::Release);
                self.look.notify_one();
                tracing::info!(event = "controller_active", epoch, term);
                term
            }
            Err(error) => {
                tracing::info!(event = "controller_not_active", %error, term);
                None
            }
        }
    }

    /// Fences who was silent, and elects by time, while this controller is the active one.
    pub(crate) async fn tick_until(&self, stop: CancellationToken) {
        loop {
            let session = committed_session(&self.image.load()).unwrap_or(self.session);
            let patience = session / LOOKS_PER_SESSION;
            if self.is_active() && committed_session(&self.image.load()).is_none() {
                self.commit_session().await;
            }
            let due = match self.is_active() {
                true => self.next_tick_in().min(patience),
                false => patience,
            };
            let began = clocks::boot();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look.notified() => {}
                () = tokio::time::sleep(due.max(TICK_PAUSE)) => {}
            }
            if clocks::boot().saturating_sub(began) > due + patience {
                // This node stood still itself. What brokers have sent meanwhile is waiting to be read.
                tokio::time::sleep(patience).await;
            }
            if self.is_active()
                && self.next_tick_in().is_zero()
                && let Err(failure) = self.event(session, ControllerEvent::Tick).await
            {
                tracing::debug!(event = "controller_tick_failed", %failure);
                tokio::time::sleep(LEAD_PAUSE).await;
            }
        }
    }

    /// From here on all controllers fence by the same session.
    async fn commit_session(&self) {
        let own = self.session;
        let decide = move |image: &MetadataImage| ((), commit_session(image, own));
        match self.change(own, decide).await {
            Ok(()) => tracing::info!(event = "session_committed", session = ?own),
            Err(failure) => tracing::debug!(event = "session_not_committed", %failure),
        }
    }

    fn next_tick_in(&self) -> Duration {
        let next = self.core.lock().next_tick_at(&self.image.load());
        next.saturating_sub(clocks::boot())
    }

    /// Heartbeats of that broker come by a connection, until the line is dropped.
    pub(crate) fn heartbeats_come(&self, broker_id: i32) -> HeartbeatLine {
        self.lines.opened(broker_id)
    }

    /// Decides about a broker or a partition; answers once that is committed.
    pub(crate) async fn event(
        &self,
        limit: Duration,
        event: ControllerEvent,
    ) -> Result<ControllerReply, ControllerFailure> {
        let core = Arc::clone(&self.core);
        let decide =
            move |image: &MetadataImage| core.lock().on_event(clocks::boot(), image, &event);
        self.change(limit, decide).await
    }

    /// The same for several, each decided on what the ones before make; all are one change.
    pub(crate) async fn events(
        &self,
        limit: Duration,
        events: Vec<ControllerEvent>,
    ) -> Result<Vec<ControllerReply>, ControllerFailure> {
        let core = Arc::clone(&self.core);
        let decide = move |image: &MetadataImage| {
            let (mut image, mut delta) = (image.clone(), MetadataDelta::default());
            let (mut replies, mut all) = (Vec::with_capacity(events.len()), Vec::new());
            for event in &events {
                let (reply, records) = core.lock().on_event(clocks::boot(), &image, event);
                for record in &records {
                    image.apply(image.offset + 1, record, &mut delta);
                }
                replies.push(reply);
                all.extend(records);
            }
            (replies, all)
        };
        self.change(limit, decide).await
    }

    /// A broker lives. That is noted at once, whatever is under way; only a heartbeat that changes
    /// something waits for its turn.
    pub(crate) async fn heartbeat(
        &self,
        limit: Duration,
        beat: BrokerHeartbeat,
    ) -> Result<ControllerReply, ControllerFailure> {
        let event = ControllerEvent::Heartbeat(beat);
        {
            let (now, mut core) = (clocks::boot(), self.core.lock());
            core.heard(now, &beat);
            if !self.is_active() {
                return Err(ControllerFailure::NotController);
            }
            let (reply, records) = core.on_event(now, &self.image.load(), &event);
            if records.is_empty() {
                return Ok(reply);
            }
        }
        self.event(limit, event).await
    }

    /// How long ago each broker of `image` was heard from, and the last record it had applied then.
    pub(crate) fn sightings(&self, image: &MetadataImage) -> BTreeMap<i32, (Duration, i64)> {
        let now = clocks::boot();
        let mut sightings = self.core.lock().sightings(image);
        for (at, _) in sightings.values_mut() {
            *at = now.saturating_sub(*at);
        }
        sightings
    }

    /// What is offline, and why, as far as this node has to say it: nothing at one that is no controller.
    pub(crate) fn offline(&self, quorum: Option<&QuorumWatch>) -> Offline {
        let standing = match quorum {
            _ if self.is_active() => QuorumStanding::Active,
            Some(quorum) if self.log.is_some() && !quorum.is_led() => QuorumStanding::Alone,
            _ => QuorumStanding::Standby,
        };
        let (image, core) = (self.image.load(), self.core.lock());
        core.offline(clocks::boot(), &image, standing)
    }

    /// `mutations` is what the client may change; `None` where the broker does it for itself.
    pub(crate) async fn create_topics(
        &self,
        topics: Vec<CreateTopic>,
        mutations: Option<Mutations>,
        timeout: Duration,
    ) -> Result<Vec<Result<CreatedTopic, TopicError>>, ControllerFailure> {
        let defaults = self.topic_defaults;
        self.change(timeout, move |image| {
            let mut may_change = may_change(mutations.as_ref());
            create_topics(image, &topics, defaults, random_id, &mut may_change)
        })
        .await
    }

    /// What creating would come to, without doing it.
    pub(crate) fn check_topics(
        &self,
        topics: &[CreateTopic],
        mutations: &Mutations,
    ) -> Vec<Result<CreatedTopic, TopicError>> {
        let (image, defaults) = (self.image.load(), self.topic_defaults);
        let mut may_change = may_change(Some(mutations));
        create_topics(&image, topics, defaults, random_id, &mut may_change).0
    }

    /// What growing would come to, without doing it.
    pub(crate) fn check_partitions(
        &self,
        topics: &[CreatePartitions],
        mutations: &Mutations,
    ) -> Vec<Result<(), TopicError>> {
        let (image, placement) = (self.image.load(), self.topic_defaults.rack_placement);
        let mut may_change = may_change(Some(mutations));
        create_partitions(&image, topics, placement, &mut may_change).0
    }

    pub(crate) async fn create_partitions(
        &self,
        topics: Vec<CreatePartitions>,
        mutations: Mutations,
        timeout: Duration,
    ) -> Result<Vec<Result<(), TopicError>>, ControllerFailure> {
        let placement = self.topic_defaults.rack_placement;
        self.change(timeout, move |image| {
            let mut may_change = may_change(Some(&mutations));
            create_partitions(image, &topics, placement, &mut may_change)
        })
        .await
    }

    pub(crate) async fn delete_topics(
        &self,
        topics: Vec<TopicKey>,
        mutations: Mutations,
        timeout: Duration,
    ) -> Result<Vec<DeletionVerdict>, ControllerFailure> {
        self.change(timeout, move |image| {
            delete_topics(image, &topics, &mut may_change(Some(&mutations)))
        })
        .await
    }

    /// Decides, commits, applies. `timeout` bounds the wait for earlier changes: a change that has
    /// begun is never left half done.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        timeout: Duration,
        decide: impl FnOnce(&MetadataImage) -> (T, Vec<MetadataRecord>) + Send + 'static,
    ) -> Result<T, ControllerFailure> {
        let log = self.log.as_ref().filter(|_| self.is_active());
        let log = Arc::clone(log.ok_or(ControllerFailure::NotController)?);
        let turn = tokio::time::timeout(timeout, log.lock_owned()).await;
        let mut log = turn.map_err(|_| ControllerFailure::TimedOut)?;
        // The change before may have been the last of this lead.
        if !self.is_active() {
            return Err(ControllerFailure::NotController);
        }
        let (image, metrics) = (Arc::clone(&self.image), self.metrics.clone());
        let core = Arc::clone(&self.core);
        let run = async move {
            let before = image.load_full();
            let decided_on = Arc::clone(&before);
            // Deciding about ten thousand partitions takes its time.
            let decided = tokio::task::spawn_blocking(move || decide(&decided_on)).await;
            let (answer, records) = decided.map_err(|panic| panicked(&panic))?;
            if !records.is_empty() {
                log.append(before.offset, &records).await?;
                let unclean = unclean_elections(&before, &records);
                metrics.elected(&unclean);
                unclean.iter().for_each(tell);
                if let Some(gone) = replaced_leader(&records) {
                    let seen = core.lock().sightings(&before).get(&gone).copied();
                    if let Some((heard, _)) = seen {
                        metrics.replaced(clocks::boot().saturating_sub(heard));
                    }
                }
            }
            Ok(answer)
        };
        let outcome = tokio::spawn(run).await;
        let outcome = outcome.unwrap_or_else(|panic| Err(panicked(&panic)));
        outcome.map_err(|error| self.not_committed(&error))
    }

    /// What a change that was not committed means for this controller.
    fn not_committed(&self, error: &MetadataLogError) -> ControllerFailure {
        if error.is_about_the_lead() && !self.is_alone {
            tracing::info!(event = "controller_resigned", %error);
            self.is_active.store(false, Ordering::Release);
            return ControllerFailure::NotController;
        }
        let failure = ControllerFailure::Log(error.to_string());
        tracing::error!(event = "metadata_log_failed", %failure);
        self.failed.cancel();
        failure
    }

    /// Completes the log for a clean stop; later changes fail.
    pub(crate) async fn close(&self) -> Result<(), String> {
        let Some(log) = &self.log else {
            return Ok(());
        };
        let mut log = Arc::clone(log).lock_owned().await;
        log.close().await.map_err(|error| error.to_string())
    }
}

/// A person should look where a leader was made that others may have had more than; who led alone and
/// comes back is as good as there ever was.
fn tell(election: &UncleanElection<'_>) {
    let UncleanElection {
        topic,
        partition,
        leader,
        kind,
        before,
    } = election;
    let (isr, elr) = (&before.isr, &before.eligible_leader_replicas);
    let (last_known, kind_name) = (&before.last_known_elr, kind.name());
    match kind {
        UncleanKind::LastKnown => tracing::info!(
            event = "unclean_election",
            topic,
            partition,
            leader,
            kind = kind_name,
            ?isr,
            ?elr,
            ?last_known,
            "it led alone before, and may have lost records as it stopped"
        ),
        UncleanKind::FirstLive => tracing::warn!(
            event = "unclean_election",
            topic,
            partition,
            leader,
            kind = kind_name,
            ?isr,
            ?elr,
            ?last_known,
            "it was not in sync: what it does not have is cut off wherever it is"
        ),
    }
}

fn panicked(panic: &JoinError) -> MetadataLogError {
    MetadataLogError::Stopped(panic.to_string())
}

/// Whether a client may change so many partitions more; the broker itself always may.
fn may_change(mutations: Option<&Mutations>) -> impl FnMut(usize) -> bool {
    move |partitions| mutations.is_none_or(|mutations| mutations.may_change(partitions))
}

/// A random topic id, never one of Kafka's reserved ones.
fn random_id() -> Uuid {
    crate::ids::random_uuid()
}
