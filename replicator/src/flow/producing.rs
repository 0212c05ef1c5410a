//! Produce requests: one batch per partition, many partitions in each, several under way.
//!
//! A lane is one connection to one leader. A partition always takes the same lane of its leader, and
//! a lane sends one request after the other, so the order of a partition's batches is the order on
//! the wire; answers are waited for beside it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use isthmus_client::connection::CallError;
use isthmus_client::produce::{
    self, PartitionBatch, ProduceAnswer, ProduceOptions, ProducerIdentity, RawBatch,
};
use isthmus_client::{Deadline, Lane, RequestError};
use isthmus_replicator_core::lane::Producer;
use isthmus_replicator_core::partition::{BatchId, Event, Failure};
use isthmus_wire::ErrorCode;

use super::mirrored::At;
use super::{Done, Flow};
use crate::clock::wall_ms;
use crate::fault::{self, FaultPoint};

/// Connections per leader that produce.
const LANES: usize = 2;

/// Produce requests of one lane without an answer.
pub(super) const REQUESTS_MAX: usize = 5;

/// Batches of one request together; a larger one travels alone.
const REQUEST_BYTES_MAX: usize = 4 << 20;

const CONNECT_MAX: Duration = Duration::from_secs(15);

/// What was certainly not sent is in no doubt; it is sent again.
const NOT_SENT: Failure = Failure::Code(ErrorCode::LEADER_NOT_AVAILABLE);

/// One try to get a producer id, and the pause after one that failed.
const PRODUCER_ID_MAX: Duration = Duration::from_secs(15);
const PRODUCER_ID_AGAIN_MS: i64 = 1_000;

#[derive(Default)]
pub(super) struct Producing {
    lanes: BTreeMap<(i32, usize), ProduceLane>,
    /// The id under which partitions write; their sequences are their own.
    current: Option<(i64, i16)>,
    waiting: BTreeSet<At>,
    is_asking: bool,
    pub(super) again_ms: Option<i64>,
}

#[derive(Default)]
struct ProduceLane {
    queue: VecDeque<(At, BatchId)>,
    /// A request is being written.
    is_sending: bool,
    under_way: usize,
}

type LaneKey = (i32, usize);

/// A request is on its way, or could not be sent.
pub(super) struct Sent {
    lane: LaneKey,
    batches: Vec<(At, BatchId)>,
    answer: Result<ProduceAnswer, Failure>,
}

pub(super) struct Produced {
    lane: LaneKey,
    batches: Vec<(At, BatchId)>,
    outcome: Result<produce::Produced, CallError>,
}

pub(super) type ProducerIdDone = Result<Option<ProducerIdentity>, RequestError>;

impl Producing {
    pub(super) fn want_producer(&mut self, at: At) {
        self.waiting.insert(at);
    }
}

impl Flow {
    pub(super) fn queue_produce(&mut self, at: At, id: BatchId, producer: Producer) {
        let mirrored = &mut self.partitions[at];
        let Some(kept) = mirrored.batches.get_mut(&id) else {
            unreachable!("batch {id} of {} is not kept", mirrored.topic);
        };
        if let Err(error) = kept.outgoing.set_producer(producer) {
            unreachable!("batch {id} of {}: {error}", mirrored.topic);
        }
        let metadata = self.ctx.target.metadata();
        match metadata.leader(&mirrored.target_topic, mirrored.partition) {
            Ok(leader) => {
                let lane = (leader.broker, at % LANES);
                let lane = self.producing.lanes.entry(lane).or_default();
                lane.queue.push_back((at, id));
            }
            Err(code) => self.events.push_back((at, failed(id, Failure::Code(code)))),
        }
    }

    pub(super) fn start_produces(&mut self) {
        // What was handed out waits until the role is known again.
        if !self.ctx.permit().records {
            return;
        }
        let keys: Vec<LaneKey> = self.producing.lanes.keys().copied().collect();
        for key in keys {
            let Some(lane) = self.producing.lanes.get(&key) else {
                continue;
            };
            let is_free = !lane.is_sending && lane.under_way < REQUESTS_MAX;
            if is_free && !lane.queue.is_empty() {
                self.start_produce(key);
            }
        }
    }

    /// What no request took yet is not to be sent: the machines have it again.
    pub(super) fn take_back(&mut self) {
        let lanes = self.producing.lanes.values_mut();
        let queued: Vec<(At, BatchId)> = lanes.flat_map(|lane| lane.queue.drain(..)).collect();
        let failed = queued
            .into_iter()
            .map(|(at, id)| (at, failed(id, NOT_SENT)));
        self.events.extend(failed);
    }

    fn start_produce(&mut self, key: LaneKey) {
        let (ids, batches) = self.next_request(key);
        if ids.is_empty() {
            return;
        }
        let Some(lane) = self.producing.lanes.get_mut(&key) else {
            return;
        };
        lane.is_sending = true;
        let ctx = Arc::clone(&self.ctx);
        let send = async move {
            let by = Deadline::after(CONNECT_MAX);
            let options = ProduceOptions::default();
            let number = Lane::Produce(key.1 as u16);
            let answer = match ctx.target.connection(key.0, number, by).await {
                // The connection may be a new one, after a while without: asked again.
                Ok(_) if !ctx.permit().records => Err(NOT_SENT),
                Ok(connection) => {
                    let sent = connection.produce(&options, &batches);
                    sent.await.map_err(|error| {
                        ctx.roles.doubt();
                        call_failure(&error)
                    })
                }
                Err(error) => {
                    tracing::debug!(event = "produce_not_sent", broker = key.0, %error);
                    ctx.roles.doubt();
                    Err(NOT_SENT)
                }
            };
            Done::Sent(Sent {
                lane: key,
                batches: ids,
                answer,
            })
        };
        self.work.push(send.boxed());
    }

    /// One batch per partition, in the order of the queue.
    fn next_request(&mut self, key: LaneKey) -> (Vec<(At, BatchId)>, Vec<PartitionBatch>) {
        let (mut ids, mut batches) = (vec![], vec![]);
        let Some(lane) = self.producing.lanes.get_mut(&key) else {
            return (ids, batches);
        };
        let metadata = self.ctx.target.metadata();
        let mut taken = BTreeSet::new();
        let mut bytes = 0;
        let mut rest = VecDeque::with_capacity(lane.queue.len());
        while let Some((at, id)) = lane.queue.pop_front() {
            let mirrored = &self.partitions[at];
            // The machine may have dropped it since.
            let Some(kept) = mirrored.batches.get(&id) else {
                continue;
            };
            let size = kept.outgoing.size_in_bytes();
            let is_full = bytes > 0 && bytes + size > REQUEST_BYTES_MAX;
            if is_full || !taken.insert(at) {
                // Those behind it of the same partition wait too.
                taken.insert(at);
                rest.push_back((at, id));
                continue;
            }
            let header = *kept.outgoing.header();
            let raw = RawBatch::new(kept.outgoing.batch().clone());
            let edited = raw.and_then(|mut raw| {
                raw.edit(|own| {
                    own.copy_from_slice(&header);
                    Ok(())
                })?;
                Ok(raw)
            });
            let batch = match edited {
                Ok(batch) => batch,
                Err(error) => unreachable!("batch {id} of {}: {error}", mirrored.topic),
            };
            bytes += size;
            let topic = metadata.topics.get(&mirrored.target_topic);
            ids.push((at, id));
            batches.push(PartitionBatch {
                topic: Arc::clone(&mirrored.target_topic),
                topic_id: topic.map(|topic| topic.id).unwrap_or_default(),
                partition: mirrored.partition,
                batch,
            });
        }
        lane.queue = rest;
        (ids, batches)
    }

    pub(super) fn sent(&mut self, sent: Sent) {
        let Sent {
            lane: key,
            batches,
            answer,
        } = sent;
        let lane = self.producing.lanes.entry(key).or_default();
        lane.is_sending = false;
        match answer {
            Ok(answer) => {
                lane.under_way += 1;
                fault::pass(FaultPoint::ProducedUnacked);
                let wait = answer.wait().map(move |outcome| {
                    Done::Produced(Produced {
                        lane: key,
                        batches,
                        outcome,
                    })
                });
                self.work.push(wait.boxed());
            }
            Err(failure) => {
                for (at, id) in batches {
                    self.feed(at, failed(id, failure));
                }
            }
        }
    }

    pub(super) fn produced(&mut self, produced: Produced) {
        if let Some(lane) = self.producing.lanes.get_mut(&produced.lane) {
            lane.under_way -= 1;
        }
        let answer = match produced.outcome {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(event = "produce_failed", broker = produced.lane.0, %error);
                self.ctx.roles.doubt();
                let failure = call_failure(&error);
                for (at, id) in produced.batches {
                    self.feed(at, failed(id, failure));
                }
                return;
            }
        };
        self.throttled += answer.throttle;
        let leaders: Vec<_> = answer.new_leaders().cloned().collect();
        self.ctx.target.learn_leaders(&leaders);
        for ((at, id), outcome) in produced.batches.into_iter().zip(answer.partitions) {
            let event = match outcome {
                Ok(appended) => {
                    self.note_age(at, id);
                    Event::Acked {
                        id,
                        base_offset: appended.base_offset.unwrap_or(-1),
                    }
                }
                Err(refusal) => {
                    self.log_refusal(at, &refusal);
                    failed(id, Failure::Code(refusal.code))
                }
            };
            self.feed(at, event);
        }
        fault::pass(FaultPoint::AckedUnsaved);
    }

    /// MirrorMaker's record-age-ms: of the newest record of the batch.
    fn note_age(&mut self, at: At, id: BatchId) {
        let mirrored = &mut self.partitions[at];
        if let Some(kept) = mirrored.batches.get(&id) {
            mirrored.record_age_ms = Some((wall_ms() - kept.newest_ms).max(0));
        }
    }

    fn log_refusal(&self, at: At, refusal: &produce::ProduceRefusal) {
        let mirrored = &self.partitions[at];
        tracing::debug!(
            event = "batch_refused",
            topic = &*mirrored.target_topic,
            partition = mirrored.partition,
            %refusal,
        );
    }

    /// Asks for a producer id if somebody waits for one; whoever lost a sequence needs another than
    /// it had.
    pub(super) fn start_producer_id(&mut self) {
        if self.producing.waiting.is_empty() || self.producing.again_ms.is_some() {
            return;
        }
        if !self.ctx.permit().records {
            return;
        }
        if let Some(current) = self.producing.current {
            let is_new = |at: &At| self.partitions[*at].producer != Some(current);
            let waiting = std::mem::take(&mut self.producing.waiting);
            let (ready, used): (BTreeSet<At>, BTreeSet<At>) = waiting.into_iter().partition(is_new);
            self.producing.waiting = used;
            for at in ready {
                self.give_producer(at, Some(current));
            }
        }
        if self.producing.waiting.is_empty() || self.producing.is_asking {
            return;
        }
        self.producing.is_asking = true;
        let cluster = self.ctx.target.clone();
        let ask = async move {
            let outcome = cluster
                .init_producer_id(Deadline::after(PRODUCER_ID_MAX))
                .await;
            Done::ProducerId(match outcome {
                Ok(identity) => Ok(Some(identity)),
                // Without the right to it, copies are made without sequences.
                Err(error) if is_refused(&error) => {
                    tracing::warn!(event = "not_idempotent", %error);
                    Ok(None)
                }
                Err(error) => Err(error),
            })
        };
        self.work.push(ask.boxed());
    }

    pub(super) fn producer_id(&mut self, outcome: ProducerIdDone) {
        self.producing.is_asking = false;
        match outcome {
            Ok(identity) => {
                let id = identity.map(|it| (it.id, it.epoch));
                self.producing.current = id;
                for at in std::mem::take(&mut self.producing.waiting) {
                    self.give_producer(at, id);
                }
            }
            Err(error) => {
                tracing::debug!(event = "no_producer_id", %error);
                let again_ms = self.ctx.clock.steady_ms() + PRODUCER_ID_AGAIN_MS;
                self.producing.again_ms = Some(again_ms);
            }
        }
    }

    fn give_producer(&mut self, at: At, id: Option<(i64, i16)>) {
        self.partitions[at].producer = id;
        self.feed(at, Event::ProducerReady(id));
    }
}

fn failed(id: BatchId, failure: Failure) -> Event {
    Event::ProduceFailed { id, failure }
}

/// What was certainly not sent is no doubt.
fn call_failure(error: &CallError) -> Failure {
    if error.may_have_happened() {
        Failure::NoAnswer
    } else {
        NOT_SENT
    }
}

fn is_refused(error: &RequestError) -> bool {
    let rights = [
        ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
        ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    ];
    error.code().is_some_and(|code| rights.contains(&code))
}
