//! An idempotent producer of whole batches: it keeps the sequences, finds the leaders and sends
//! again what may succeed, with the same sequence, so that no batch is in the log twice.
//!
//! One call is under way at a time, with one batch per partition, so a partition never has two
//! batches in flight and order needs no thought. A batch whose fate is unknown at the deadline ends
//! the producer id: the next call takes a new one, because the old sequence can neither be used
//! again nor passed over.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use isthmus_wire::batch::BatchError;

use super::{
    Appended, PartitionBatch, ProduceOptions, ProduceRefusal, Produced, RawBatch, Sequences,
};
use crate::cluster::{Cluster, Lane, RequestError};
use crate::deadline::Deadline;
use crate::retry::{Backoff, ErrorClass};

/// One batch and where it goes; its base offset and producer fields are overwritten.
#[derive(Clone, Debug)]
pub struct ProducerBatch {
    pub topic: Arc<str>,
    pub partition: i32,
    pub records: Bytes,
}

/// Why a batch was not produced, or is not known to be.
#[derive(Debug, thiserror::Error)]
pub enum ProduceFailure {
    #[error("the bytes are not one record batch: {0}")]
    Batch(#[from] BatchError),
    #[error("{0}")]
    Refused(#[from] ProduceRefusal),
    #[error("{0}")]
    Request(#[from] RequestError),
}

impl ProduceFailure {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Batch(_) => ErrorClass::Fatal,
            Self::Refused(refusal) => refusal.class(),
            Self::Request(error) => error.class(),
        }
    }

    fn may_have_happened(&self) -> bool {
        match self {
            Self::Batch(_) => false,
            Self::Refused(refusal) => refusal.may_have_happened(),
            Self::Request(error) => error.may_have_happened(),
        }
    }
}

/// A producer; see the head of this file.
#[derive(Debug)]
pub struct Producer {
    cluster: Cluster,
    options: ProduceOptions,
    lane: Lane,
    sequences: Option<Sequences>,
}

/// One batch while it is being produced.
struct Task {
    batch: PartitionBatch,
    outcome: Option<Result<Appended, ProduceFailure>>,
    /// Some attempt had an unknown end.
    in_doubt: bool,
}

impl Producer {
    pub fn new(cluster: Cluster, options: ProduceOptions) -> Self {
        Self {
            cluster,
            options,
            lane: Lane::Produce(0),
            sequences: None,
        }
    }

    /// Produces one batch per partition; the outcomes are in the order of the batches. Fails as a
    /// whole only if no producer id is to be had.
    ///
    /// # Panics
    /// If a partition occurs twice.
    pub async fn produce(
        &mut self,
        batches: Vec<ProducerBatch>,
        deadline: Deadline,
    ) -> Result<Vec<Result<Appended, ProduceFailure>>, RequestError> {
        let mut sequences = match self.sequences.take() {
            Some(sequences) => sequences,
            None => Sequences::new(self.cluster.init_producer_id(deadline).await?),
        };
        let mut tasks: Vec<Result<Task, ProduceFailure>> = Vec::with_capacity(batches.len());
        for batch in batches {
            tasks.push(stamped(batch, &sequences));
        }
        let mut running: Vec<&mut Task> = tasks.iter_mut().flatten().collect();
        self.run(&mut running, deadline).await;
        let mut lost = false;
        for task in &running {
            match &task.outcome {
                Some(Ok(_)) => {
                    sequences.advance(&task.batch.topic, task.batch.partition, &task.batch.batch);
                }
                Some(Err(ProduceFailure::Refused(refusal))) if refusal.ends_producer() => {
                    lost = true;
                }
                Some(Err(_)) | None => lost |= task.in_doubt,
            }
        }
        self.sequences = (!lost).then_some(sequences);
        Ok(tasks
            .into_iter()
            .map(|task| task.and_then(Task::into_outcome))
            .collect())
    }

    async fn run(&self, tasks: &mut [&mut Task], deadline: Deadline) {
        let config = self.cluster.config();
        let mut backoff = Backoff::new(config.retry_backoff_min, config.retry_backoff_max);
        loop {
            let generation = self.one_round(tasks, deadline).await;
            let again: Vec<usize> = open_again(tasks);
            let Some(&first) = again.first() else { return };
            if deadline.sleep(backoff.next_wait()).await.is_err() {
                return;
            }
            let refresh = |&at: &usize| {
                let failure = tasks[at].outcome.as_ref().and_then(|it| it.as_ref().err());
                failure.is_some_and(|failure| failure.class() == ErrorClass::RefreshMetadata)
            };
            if again.iter().any(refresh) {
                tracing::debug!(
                    event = "produce_retried",
                    topic = &*tasks[first].batch.topic,
                    partition = tasks[first].batch.partition,
                    batches = again.len(),
                );
                self.cluster.refresh_after(generation, deadline).await.ok();
            }
            for at in again {
                tasks[at].outcome = None;
            }
        }
    }

    /// Sends every batch without outcome to its leader; returns the generation of the metadata that
    /// named the leaders.
    async fn one_round(&self, tasks: &mut [&mut Task], deadline: Deadline) -> u64 {
        let open: Vec<usize> = (0..tasks.len())
            .filter(|&at| tasks[at].outcome.is_none())
            .collect();
        let topics = open.iter().map(|&at| &*tasks[at].batch.topic);
        let metadata = match self.cluster.with_topics(topics, deadline).await {
            Ok(metadata) => metadata,
            Err(error) => {
                fail(tasks, &open, error);
                return self.cluster.metadata().generation;
            }
        };
        let mut by_leader: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for at in open {
            let batch = &mut tasks[at].batch;
            if let Some(topic) = metadata.topics.get(&batch.topic) {
                batch.topic_id = topic.id;
            }
            match metadata.leader(&batch.topic, batch.partition) {
                Ok(leader) => by_leader.entry(leader.broker).or_default().push(at),
                Err(code) => {
                    let (topic, partition) = (batch.topic.to_string(), batch.partition);
                    let error = RequestError::NoLeader {
                        topic,
                        partition,
                        code,
                    };
                    tasks[at].outcome = Some(Err(error.into()));
                }
            }
        }
        let sent = by_leader.iter().map(|(&leader, places)| {
            let batches = places.iter().map(|&at| tasks[at].batch.clone()).collect();
            Box::pin(self.send(leader, batches, deadline))
        });
        let answers = join_all(sent).await;
        for (places, answer) in by_leader.values().zip(answers) {
            match answer {
                Ok(produced) => {
                    let leaders: Vec<_> = produced.new_leaders().cloned().collect();
                    self.cluster.learn_leaders(&leaders);
                    for (&at, outcome) in places.iter().zip(produced.partitions) {
                        tasks[at].note(outcome.map_err(ProduceFailure::from));
                    }
                }
                Err(error) => fail(tasks, places, error),
            }
        }
        metadata.generation
    }

    async fn send(
        &self,
        leader: i32,
        batches: Vec<PartitionBatch>,
        deadline: Deadline,
    ) -> Result<Produced, RequestError> {
        let connection = self.cluster.connection(leader, self.lane, deadline).await?;
        // Bounded by the request's own time, so that a batch under way at the deadline is not left
        // in doubt for nothing.
        let answer = connection.produce(&self.options, &batches).await?;
        Ok(answer.wait().await?)
    }
}

impl Task {
    fn note(&mut self, outcome: Result<Appended, ProduceFailure>) {
        self.in_doubt |= outcome
            .as_ref()
            .is_err_and(ProduceFailure::may_have_happened);
        self.outcome = Some(outcome);
    }

    fn into_outcome(self) -> Result<Appended, ProduceFailure> {
        self.outcome
            .expect("every batch that was sent has an outcome")
    }
}

fn stamped(batch: ProducerBatch, sequences: &Sequences) -> Result<Task, ProduceFailure> {
    let mut raw = RawBatch::new(batch.records)?;
    raw.set_base_offset(0);
    raw.set_producer(sequences.stamp(&batch.topic, batch.partition))?;
    let batch = PartitionBatch {
        topic: batch.topic,
        topic_id: isthmus_wire::Uuid::ZERO,
        partition: batch.partition,
        batch: raw,
    };
    Ok(Task {
        batch,
        outcome: None,
        in_doubt: false,
    })
}

fn fail(tasks: &mut [&mut Task], places: &[usize], error: RequestError) {
    let shared = Arc::new(error);
    for &at in places {
        tasks[at].note(Err(RequestError::Shared(Arc::clone(&shared)).into()));
    }
}

/// The batches whose failure may pass.
fn open_again(tasks: &[&mut Task]) -> Vec<usize> {
    let failed = |at: &usize| {
        let outcome = tasks[*at].outcome.as_ref();
        outcome.is_some_and(|it| {
            it.as_ref()
                .is_err_and(|failure| failure.class().is_retriable())
        })
    };
    (0..tasks.len()).filter(failed).collect()
}
