//! Fetches: many partitions of one leader in each, on a few connections per leader.
//!
//! A partition asks for its next records and waits until a lane of its leader is free; a free lane
//! takes all that ask, the latest first, since a broker fills its answer in the order of the request.
//! Two lanes per leader, so that one may wait for new records while the other works off a backlog.
//! Before a request leaves it has memory from the budget and leave from the flow's pace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt;
use isthmus_client::fetch::{FetchError, FetchOptions, FetchPosition, FetchRefusal, Fetched};
use isthmus_client::{Deadline, Lane, RequestError};
use isthmus_replicator_core::budget::{FETCH_BYTES_MIN, LinkEstimate};
use isthmus_replicator_core::names::SourceOffset;
use isthmus_replicator_core::partition::{Event, Failure, Side};

use super::mirrored::At;
use super::prepare::{self, Prepared, Rules};
use super::{Done, Flow, outcome_of};
use crate::budget::{Asker, Hold};
use crate::clock::{millis, wall_ms};
use crate::context::FlowContext;
use crate::fault::{self, FaultPoint};

/// Connections per leader that fetch.
const LANES: u16 = 2;

/// Partitions of one request: what a broker looks through before it answers.
const PARTITIONS_MAX: usize = 2_000;

/// How long the broker may wait for new records. An ask that comes meanwhile waits for the other
/// lane, or for this long.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// Opening the connection of a lane, if it has none.
const CONNECT_MAX: Duration = Duration::from_secs(15);

/// An answer smaller than this shows the round trip, a larger one the bandwidth.
const SMALL_ANSWER_BYTES: u64 = 4 * 1024;

/// Numbers of lanes in the budget of the process.
static NEXT_ASKER: AtomicU64 = AtomicU64::new(0);

#[derive(Default)]
pub(super) struct Fetching {
    /// By leader.
    asks: BTreeMap<i32, BTreeMap<At, SourceOffset>>,
    lanes: BTreeMap<(i32, u16), FetchLane>,
    links: BTreeMap<i32, LinkEstimate>,
    /// The pace said no until then.
    pub(super) again_ms: Option<i64>,
}

struct FetchLane {
    asker: Asker,
    is_busy: bool,
}

/// A partition in a request.
struct Ask {
    at: At,
    position: FetchPosition,
    rules: Rules,
}

/// A request to one leader.
struct Request {
    broker: i32,
    lane: u16,
    asker: Asker,
    /// Of the latest partition in it.
    since_ms: i64,
    /// What all partitions together may want.
    bytes: u64,
    asks: Vec<Ask>,
}

pub(super) struct FetchDone {
    broker: i32,
    lane: u16,
    throttle: Duration,
    elapsed: Duration,
    bytes: u64,
    partitions: Vec<(At, SourceOffset, Result<Prepared, Failure>)>,
}

impl Flow {
    pub(super) fn ask_fetch(&mut self, at: At, from: SourceOffset) {
        let mirrored = &self.partitions[at];
        let metadata = self.ctx.source.metadata();
        match metadata.leader(&mirrored.topic, mirrored.partition) {
            Ok(leader) => {
                let asks = self.fetching.asks.entry(leader.broker).or_default();
                asks.insert(at, from);
            }
            Err(code) => {
                let failure = Failure::Code(code);
                self.events
                    .push_back((at, Event::FetchFailed { from, failure }));
            }
        }
    }

    /// Gives what is asked to free lanes.
    pub(super) fn start_fetches(&mut self) {
        let brokers: Vec<i32> = self.fetching.asks.keys().copied().collect();
        for broker in brokers {
            while let Some(lane) = self.fetching.free_lane(broker) {
                if let Err(again_ms) = self.pace.may_start(self.ctx.clock.steady_ms()) {
                    self.fetching.again_ms = Some(again_ms);
                    return;
                }
                let Some(request) = self.request(broker, lane) else {
                    break;
                };
                let ctx = Arc::clone(&self.ctx);
                // On a thread of its own accord: answers are large, and are checked and sorted there.
                let fetch = tokio::spawn(run(ctx, request));
                self.work.push(outcome_of(fetch).map(Done::Fetched).boxed());
            }
        }
    }

    fn request(&mut self, broker: i32, lane: u16) -> Option<Request> {
        let asks = self.fetching.asks.remove(&broker)?;
        let wall_ms = wall_ms();
        let order = |at: &At| self.partitions[*at].since_ms(wall_ms);
        let mut sorted: Vec<(i64, At, SourceOffset)> = asks
            .iter()
            .map(|(at, from)| (order(at), *at, *from))
            .collect();
        sorted.sort_unstable();
        // The rest asks again.
        let rest = sorted.split_off(sorted.len().min(PARTITIONS_MAX));
        if !rest.is_empty() {
            let rest = rest.into_iter().map(|(_, at, from)| (at, from));
            self.fetching.asks.insert(broker, rest.collect());
        }
        let lagging = sorted
            .iter()
            .filter(|(_, at, from)| self.is_behind(*at, *from));
        let lagging = (lagging.count() as u64).max(1);
        let each = self
            .fetching
            .links
            .entry(broker)
            .or_default()
            .fetch_bytes(lagging);
        let since_ms = sorted.first()?.0;
        let asks: Vec<Ask> = sorted
            .into_iter()
            .filter_map(|(_, at, from)| self.ask(at, from, each))
            .collect();
        let state = self.fetching.lanes.get_mut(&(broker, lane))?;
        state.is_busy = true;
        Some(Request {
            broker,
            lane,
            asker: state.asker,
            since_ms,
            bytes: each.saturating_mul(lagging).max(FETCH_BYTES_MIN),
            asks,
        })
    }

    /// More records are known to be there.
    fn is_behind(&self, at: At, from: SourceOffset) -> bool {
        let newest = self.partitions[at].lag.samples().newest();
        newest.is_some_and(|sample| sample.end > from)
    }

    fn ask(&self, at: At, from: SourceOffset, bytes: u64) -> Option<Ask> {
        let mirrored = &self.partitions[at];
        let metadata = self.ctx.source.metadata();
        let leader = metadata.leader(&mirrored.topic, mirrored.partition).ok();
        let id = metadata.topics.get(&mirrored.topic).map(|topic| topic.id);
        let position = FetchPosition {
            leader_epoch: leader.map_or(isthmus_client::cluster::NO_EPOCH, |it| it.epoch),
            bytes_max: i32::try_from(bytes).unwrap_or(i32::MAX),
            ..FetchPosition::new(
                Arc::clone(&mirrored.topic),
                id.unwrap_or_default(),
                mirrored.partition,
                from.0,
            )
        };
        // Without limits its topic was never looked at, and it does not ask.
        let rules = Rules {
            limits: mirrored.limits?,
            lane: self.ctx.lane_rules(),
        };
        Some(Ask {
            at,
            position,
            rules,
        })
    }

    pub(super) fn fetched(&mut self, done: FetchDone) {
        let now_ms = self.ctx.clock.steady_ms();
        if let Some(lane) = self.fetching.lanes.get_mut(&(done.broker, done.lane)) {
            lane.is_busy = false;
        }
        let link = self.fetching.links.entry(done.broker).or_default();
        let elapsed_ms = u64::try_from(millis(done.elapsed)).unwrap_or(0);
        if done.bytes > SMALL_ANSWER_BYTES {
            link.fetched(now_ms, elapsed_ms, done.bytes);
        }
        self.throttled += done.throttle;
        self.pace.charge(now_ms, done.bytes);
        if done.bytes > 0 {
            fault::pass(FaultPoint::Fetched);
        }
        for (at, from, outcome) in done.partitions {
            let event = match outcome {
                Ok(prepared) => self.keep(at, from, prepared),
                Err(failure) => Event::FetchFailed { from, failure },
            };
            self.feed(at, event);
        }
    }

    /// A request without records took this long: the round trip to all leaders is not longer.
    pub(super) fn note_round_trip(&mut self, elapsed: Duration) {
        let now_ms = self.ctx.clock.steady_ms();
        let elapsed_ms = u64::try_from(millis(elapsed)).unwrap_or(0);
        for link in self.fetching.links.values_mut() {
            link.answered(now_ms, elapsed_ms);
        }
    }
}

impl Fetching {
    fn free_lane(&mut self, broker: i32) -> Option<u16> {
        if !self.asks.contains_key(&broker) {
            return None;
        }
        (0..LANES).find(|lane| {
            let state = self.lanes.entry((broker, *lane));
            let state = state.or_insert_with(|| FetchLane {
                asker: NEXT_ASKER.fetch_add(1, Ordering::Relaxed),
                is_busy: false,
            });
            !state.is_busy
        })
    }
}

async fn run(ctx: Arc<FlowContext>, request: Request) -> FetchDone {
    let mut hold = ctx
        .budget
        .acquire(request.asker, request.since_ms, request.bytes)
        .await;
    let began = Instant::now();
    let outcome = fetch(&ctx, &request, hold.bytes()).await;
    let elapsed = began.elapsed();
    let mut done = FetchDone {
        broker: request.broker,
        lane: request.lane,
        throttle: Duration::ZERO,
        elapsed,
        bytes: 0,
        partitions: vec![],
    };
    match outcome {
        Ok(fetched) => {
            done.throttle = fetched.throttle;
            done.bytes = size(&fetched);
            hold.settle(done.bytes);
            let leaders: Vec<_> = fetched.new_leaders().cloned().collect();
            ctx.source.learn_leaders(&leaders);
            done.partitions = prepare_all(request.asks, fetched, hold).await;
        }
        Err(failure) => {
            hold.settle(0);
            let failed = |ask: Ask| (ask.at, SourceOffset(ask.position.offset), Err(failure));
            done.partitions = request.asks.into_iter().map(failed).collect();
        }
    }
    done
}

async fn fetch(ctx: &FlowContext, request: &Request, bytes_max: u64) -> Result<Fetched, Failure> {
    let lane = Lane::Fetch(request.lane);
    let by = Deadline::after(CONNECT_MAX);
    let connection = ctx
        .cluster(Side::Source)
        .connection(request.broker, lane, by)
        .await;
    let connection = connection.map_err(|error: RequestError| {
        tracing::debug!(event = "fetch_not_sent", broker = request.broker, %error);
        super::acts::failure(error.code())
    })?;
    let options = FetchOptions {
        wait_max: WAIT_MAX,
        bytes_max: i32::try_from(bytes_max).unwrap_or(i32::MAX),
        ..FetchOptions::default()
    };
    let positions: Vec<FetchPosition> = request.asks.iter().map(|it| it.position.clone()).collect();
    let fetched = async { connection.fetch(&options, &positions).await?.wait().await };
    fetched.await.map_err(|error| {
        tracing::debug!(event = "fetch_failed", broker = request.broker, %error);
        match error {
            FetchError::Refused(code) => Failure::Code(code),
            FetchError::Call(_) => Failure::NoAnswer,
        }
    })
}

fn size(fetched: &Fetched) -> u64 {
    let partitions = fetched.partitions.iter().flatten();
    partitions.map(|it| it.records.len() as u64).sum()
}

async fn prepare_all(
    asks: Vec<Ask>,
    fetched: Fetched,
    hold: Hold,
) -> Vec<(At, SourceOffset, Result<Prepared, Failure>)> {
    let hold = Arc::new(hold);
    let now_ms = wall_ms();
    let mut partitions = Vec::with_capacity(asks.len());
    for (ask, outcome) in asks.into_iter().zip(fetched.partitions) {
        let from = SourceOffset(ask.position.offset);
        let outcome = match outcome {
            Ok(answer) => {
                Ok(prepare::prepare(now_ms, from, answer, ask.rules, Arc::clone(&hold)).await)
            }
            Err(FetchRefusal { code, .. }) => Err(Failure::Code(code)),
        };
        partitions.push((ask.at, from, outcome));
    }
    partitions
}
