//! One flow: topics of one cluster, copied to another.
//!
//! Owns: the loop that feeds every partition's machine and does what it says. The machines decide;
//! here are the batches' bytes, the requests under way and the clocks. Must not know other flows.
//!
//! One task owns all partitions of the flow, so nothing in it is locked. What takes time is a future
//! in `work`, and comes back as a [`Done`]: there is no channel inside a flow, and what is under way
//! is bounded by what the machines may ask for ([`BATCHES_MAX`] batches a partition) and by the
//! lanes, each with one fetch or [`REQUESTS_MAX`] produce requests. Answers are decoded and batches
//! rebuilt on other threads.
//!
//! [`BATCHES_MAX`]: isthmus_replicator_core::partition::BATCHES_MAX
//! [`REQUESTS_MAX`]: producing::REQUESTS_MAX

mod acts;
mod fetching;
pub(crate) mod groups;
mod mirrored;
mod pausing;
mod prepare;
mod producing;
mod roles;
mod sampling;
mod saving;
mod seeking;
mod show;
mod topics;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use isthmus_replicator_core::budget::Pace;
use isthmus_replicator_core::lane::LaneCounts;
use isthmus_replicator_core::partition::{Event, Side};
use isthmus_replicator_core::pauses::{PauseOrder, Pauses};
use isthmus_replicator_core::roles::Permit;
use isthmus_replicator_core::state::{SavedPartition, SavedTopic, StateError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::board::Board;
use crate::clock::wall_ms;
use crate::context::FlowContext;
use crate::control::{ControlDone, ControlRefused};
use crate::scan::{Look, Scan, ScanFailed};
use mirrored::{At, Mirrored};

/// New topics are found within five seconds: a look each two, and the look itself.
const SCAN_EVERY: Duration = Duration::from_secs(2);

/// Of so many looks one takes settled topics in: their settings may have changed.
const FULL_SCAN_EACH: u64 = 15;

/// Ends of the source are sampled, and the status is made, each second.
const SECOND: Duration = Duration::from_secs(1);

/// How long a stop waits for what is under way. What is not acknowledged by then is copied again by
/// the next start.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Outcomes taken up in one turn before new requests are made.
const TURN_MAX: usize = 1_024;

/// An order, and where its outcome is told.
pub(crate) type FlowCommand = (
    PauseOrder,
    oneshot::Sender<Result<ControlDone, ControlRefused>>,
);

/// Something under way has come to its end.
enum Done {
    Scanned(Result<Scan, ScanFailed>),
    Sampled(sampling::Sampled),
    Sought(Vec<seeking::Sought>),
    Fetched(fetching::FetchDone),
    Sent(producing::Sent),
    Produced(producing::Produced),
    Saved(saving::SaveDone),
    SamplesSaved,
    PausesSaved(bool),
    ProducerId(producing::ProducerIdDone),
    Refreshed(Side),
    Inspected(prepare::Inspected),
    GroupsListed(groups::Listed),
    GroupsCarried(groups::Carried),
}

pub(crate) struct Flow {
    ctx: Arc<FlowContext>,
    board: Arc<Board>,
    partitions: Vec<Mirrored>,
    index: BTreeMap<(Arc<str>, i32), At>,
    topics: BTreeMap<String, topics::FlowTopic>,
    saved_topics: BTreeMap<String, SavedTopic>,
    settled: BTreeMap<String, Look>,
    /// Topics that should be carried and cannot be.
    refused: Vec<(String, String)>,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Events that follow from what was just done.
    events: VecDeque<(At, Event)>,
    timers: BTreeSet<(i64, At)>,
    pace: Pace,
    fetching: fetching::Fetching,
    producing: producing::Producing,
    seeking: seeking::Seeking,
    sampling: sampling::Sampling,
    groups: groups::Groups,
    refreshing: [bool; 2],
    scanning: bool,
    scans: u64,
    /// A look is wanted soon, and a full one.
    scan_wanted: Option<bool>,
    pauses: Pauses,
    pausing: pausing::Pausing,
    /// By the role that was seen last.
    allowed: Permit,
    role_changes: watch::Receiver<u64>,
    counts: LaneCounts,
    throttled: Duration,
    next_batch: u64,
    /// The last look at a side failed for this reason.
    side_errors: [Option<String>; 2],
    /// When this process began with it, and when both sides were last looked at.
    since_ms: i64,
    scanned_ms: Option<i64>,
    is_first_scan: bool,
    /// Why all of it stands still.
    error: Option<String>,
}

impl Flow {
    /// With what was saved of its partitions, its topics and its pauses.
    pub(crate) fn new(
        ctx: FlowContext,
        board: Arc<Board>,
        partitions: impl IntoIterator<
            Item = (isthmus_replicator_core::state::PartitionKey, SavedPartition),
        >,
        topics: BTreeMap<String, SavedTopic>,
        pauses: Pauses,
    ) -> Result<Self, StateError> {
        let steady_ms = ctx.clock.steady_ms();
        let rate = ctx.settings.pace.rate(0);
        let role_changes = ctx.roles.subscribe();
        let mut flow = Self {
            ctx: Arc::new(ctx),
            board,
            partitions: vec![],
            index: BTreeMap::new(),
            topics: BTreeMap::new(),
            saved_topics: topics,
            settled: BTreeMap::new(),
            refused: vec![],
            work: FuturesUnordered::new(),
            events: VecDeque::new(),
            timers: BTreeSet::new(),
            pace: Pace::new(steady_ms, rate),
            fetching: fetching::Fetching::default(),
            producing: producing::Producing::default(),
            seeking: seeking::Seeking::default(),
            sampling: sampling::Sampling::default(),
            groups: groups::Groups::default(),
            refreshing: [false; 2],
            scanning: false,
            scans: 0,
            scan_wanted: Some(true),
            pauses,
            pausing: pausing::Pausing::default(),
            allowed: Permit::ALL,
            role_changes,
            counts: LaneCounts::default(),
            throttled: Duration::ZERO,
            next_batch: 0,
            side_errors: [None, None],
            since_ms: wall_ms(),
            scanned_ms: None,
            is_first_scan: true,
            error: None,
        };
        for (key, saved) in partitions {
            flow.restore(key, saved)?;
        }
        Ok(flow)
    }

    /// Runs until it is told to stop, then lets what is under way come to its end and saves.
    pub(crate) async fn run(
        mut self,
        mut commands: mpsc::Receiver<FlowCommand>,
        stop: CancellationToken,
    ) {
        let mut second = tokio::time::interval(SECOND);
        let mut scan = tokio::time::interval(SCAN_EVERY);
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        scan.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        self.obey_role();
        self.show();
        loop {
            self.pump();
            let wake = self.wake();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(done) = self.work.next(), if !self.work.is_empty() => self.take(done),
                Some(command) = commands.recv() => self.obey(command),
                Ok(()) = self.role_changes.changed() => self.obey_role(),
                _ = second.tick() => self.each_second(),
                _ = scan.tick() => self.scan_wanted = self.scan_wanted.or(Some(false)),
                () = sleep_until(wake) => self.tick(),
            }
        }
        self.drain().await;
    }

    /// Takes up one outcome and all others that are there already.
    fn take(&mut self, first: Done) {
        self.done(first);
        for _ in 0..TURN_MAX {
            match self.work.next().now_or_never() {
                Some(Some(done)) => self.done(done),
                Some(None) | None => return,
            }
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Scanned(outcome) => self.scanned(outcome),
            Done::Sampled(sampled) => self.sampled(sampled),
            Done::Sought(sought) => self.sought(sought),
            Done::Fetched(fetched) => self.fetched(fetched),
            Done::Sent(sent) => self.sent(sent),
            Done::Produced(produced) => self.produced(produced),
            Done::Saved(saved) => self.saved(saved),
            Done::SamplesSaved => self.sampling.is_saving = false,
            Done::PausesSaved(is_saved) => self.pauses_saved(is_saved),
            Done::ProducerId(outcome) => self.producer_id(outcome),
            Done::Refreshed(side) => self.refreshing[index_of(side)] = false,
            Done::Inspected(inspected) => self.inspected(inspected),
            Done::GroupsListed(listed) => self.groups_listed(listed),
            Done::GroupsCarried(carried) => self.groups_carried(carried),
        }
    }

    /// Feeds what follows from what was done, and makes the requests that are due.
    fn pump(&mut self) {
        while let Some((at, event)) = self.events.pop_front() {
            self.feed(at, event);
        }
        self.start_scan();
        self.start_seeks();
        self.start_producer_id();
        self.start_produces();
        self.start_fetches();
    }

    /// One event to one machine, and all that it wants done.
    fn feed(&mut self, at: At, event: Event) {
        let now_ms = self.ctx.clock.steady_ms();
        let mirrored = &mut self.partitions[at];
        let actions = mirrored.machine.on_event(now_ms, event);
        mirrored.note_progress();
        let deadline_ms = mirrored.machine.deadline();
        let before = std::mem::replace(&mut mirrored.deadline_ms, deadline_ms);
        if before != deadline_ms {
            if let Some(before) = before {
                self.timers.remove(&(before, at));
            }
            self.timers.extend(deadline_ms.map(|it| (it, at)));
        }
        for action in actions {
            self.act(at, action);
        }
    }

    /// When the next machine, the pace or the producer's id wants to be asked again.
    fn wake(&self) -> Option<tokio::time::Instant> {
        let timer = self.timers.first().map(|(at_ms, _)| *at_ms);
        let pace = self.fetching.again_ms;
        let producer = self.producing.again_ms;
        let next_ms = [timer, pace, producer].into_iter().flatten().min()?;
        Some(self.ctx.clock.instant(next_ms))
    }

    fn tick(&mut self) {
        let now_ms = self.ctx.clock.steady_ms();
        self.fetching.again_ms = self.fetching.again_ms.filter(|at_ms| *at_ms > now_ms);
        self.producing.again_ms = self.producing.again_ms.filter(|at_ms| *at_ms > now_ms);
        // One event each: a machine that asks for the same moment again is fed in the next turn.
        let due: Vec<(i64, At)> = self.timers.range(..=(now_ms, At::MAX)).copied().collect();
        for (_, at) in due {
            self.feed(at, Event::Tick);
        }
    }

    fn each_second(&mut self) {
        let wall_ms = wall_ms();
        let worst = self.partitions.iter().filter_map(|it| it.reading(wall_ms));
        let rpo_ms = worst.map(|reading| reading.rpo_ms).max().unwrap_or(0);
        let rate = self.ctx.settings.pace.rate(rpo_ms);
        self.pace.set_rate(self.ctx.clock.steady_ms(), rate);
        self.start_sample();
        self.save_samples();
        self.save_pauses();
        self.start_groups();
        self.show();
    }

    /// Nothing new is fetched; what was sent is waited for; what is acknowledged is saved.
    async fn drain(mut self) {
        for at in 0..self.partitions.len() {
            self.feed(at, Event::Pause);
        }
        let by = tokio::time::Instant::now() + DRAIN_MAX;
        while !self.partitions.iter().all(|it| it.machine.is_settled()) {
            // What a machine has handed out and a lane has not sent yet is under way, too.
            match self.ctx.permit().records {
                true => self.start_produces(),
                false => self.take_back(),
            }
            while let Some((at, event)) = self.events.pop_front() {
                self.feed(at, event);
            }
            match tokio::time::timeout_at(by, self.work.next()).await {
                Ok(Some(done)) => self.take(done),
                Ok(None) | Err(_) => break,
            }
            while let Some((at, event)) = self.events.pop_front() {
                self.feed(at, event);
            }
        }
        for at in 0..self.partitions.len() {
            self.feed(at, Event::Revoked);
        }
        while self.pausing.is_saving || self.partitions.iter().any(|it| it.is_saving) {
            match tokio::time::timeout_at(by, self.work.next()).await {
                Ok(Some(done)) => self.take(done),
                Ok(None) | Err(_) => break,
            }
        }
        self.show();
    }
}

fn index_of(side: Side) -> usize {
    match side {
        Side::Source => 0,
        Side::Target => 1,
    }
}

/// The outcome of a task; its panic is ours. One that was cancelled has no outcome: the runtime is
/// about to end, and nobody will ask.
async fn outcome_of<T>(task: tokio::task::JoinHandle<T>) -> T {
    match task.await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
