//! The one writer of a daemon into a state topic, and what it finds of others while it writes.
//!
//! Saves that wait while one is under way leave together in the next batch. Each acknowledged save must
//! begin where the last one ended; if it does not, what stands between is read.

use std::sync::Arc;

use bytes::Bytes;
use isthmus_client::produce::{ProduceOptions, Producer, ProducerBatch};
use isthmus_client::{Cluster, Deadline};
use isthmus_replicator_core::state::{StateImage, StateWriteError, state_topic};
use isthmus_wire::batch::{BatchBuilder, BatchParams, Compression};
use tokio::sync::{mpsc, oneshot, watch};

use super::{ATTEMPT, Opened, StateRecord, newest_generation, read_until};
use crate::clock::wall_ms;

/// Saves that wait for the writer. Each partition has one under way at most; beyond the bound the
/// next one waits to be queued.
const SAVES_MAX: usize = 1_024;

/// Bytes of one batch, before compression; below the default of `max.message.bytes`. One save is
/// never cut.
const BATCH_BYTES_MAX: usize = 512 << 10;

/// A save did not happen.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SaveError(String);

impl From<StateWriteError> for SaveError {
    fn from(error: StateWriteError) -> Self {
        Self(error.to_string())
    }
}

struct Save {
    records: Vec<StateRecord>,
    done: oneshot::Sender<Result<(), SaveError>>,
}

/// The way into the topic; cheap to clone.
#[derive(Clone)]
pub(crate) struct Saver(mpsc::Sender<Save>);

impl Saver {
    /// Writes the records in one batch, in their order.
    pub(crate) async fn save(&self, records: Vec<StateRecord>) -> Result<(), SaveError> {
        let (done, outcome) = oneshot::channel();
        let gone = || SaveError("the writer of the state topic has ended".to_owned());
        let queued = self.0.send(Save { records, done }).await;
        queued.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }
}

/// Starts the writer. `fenced` is told if another instance has taken over.
pub(crate) fn start_writer(
    cluster: Cluster,
    daemon: &str,
    generation: i64,
    opened: &Opened,
    fenced: watch::Sender<Option<String>>,
) -> Saver {
    let (saver, saves) = mpsc::channel(SAVES_MAX);
    let writer = Writer {
        producer: Producer::new(cluster.clone(), ProduceOptions::default()),
        topic: state_topic(daemon).into(),
        cluster,
        generation,
        end: opened.end,
        fenced,
    };
    tokio::spawn(writer.run(saves));
    Saver(saver)
}

struct Writer {
    cluster: Cluster,
    producer: Producer,
    topic: Arc<str>,
    generation: i64,
    /// Where the next of our batches should begin.
    end: i64,
    fenced: watch::Sender<Option<String>>,
}

impl Writer {
    async fn run(mut self, mut saves: mpsc::Receiver<Save>) {
        let mut waiting: Option<Save> = None;
        loop {
            let first = match waiting.take() {
                Some(save) => save,
                None => match saves.recv().await {
                    Some(save) => save,
                    None => return,
                },
            };
            let mut bytes = size(&first);
            let mut group = vec![first];
            while let Ok(next) = saves.try_recv() {
                bytes += size(&next);
                if bytes > BATCH_BYTES_MAX {
                    waiting = Some(next);
                    break;
                }
                group.push(next);
            }
            let outcome = self.write(&group).await.map_err(|error| {
                tracing::debug!(event = "state_not_saved", topic = &*self.topic, %error);
                SaveError(error)
            });
            for save in group {
                // Whoever asked may have ended.
                save.done.send(outcome.clone()).ok();
            }
        }
    }

    async fn write(&mut self, group: &[Save]) -> Result<(), String> {
        if let Some(by) = &*self.fenced.borrow() {
            return Err(by.clone());
        }
        let records = group.iter().flat_map(|save| &save.records);
        let records = batch(records).map_err(|error| error.to_string())?;
        let count = records.1;
        let batch = ProducerBatch {
            topic: Arc::clone(&self.topic),
            partition: 0,
            records: records.0,
        };
        let produced = self.producer.produce(vec![batch], Deadline::after(ATTEMPT));
        let produced = produced.await.map_err(|error| error.to_string())?;
        for outcome in produced {
            let appended = outcome.map_err(|error| error.to_string())?;
            if let Some(base) = appended.base_offset {
                self.judge(base).await?;
                self.end = base + count;
            }
        }
        Ok(())
    }

    /// Somebody wrote in between: an older instance on its way out, or a newer one.
    async fn judge(&mut self, base: i64) -> Result<(), String> {
        if base <= self.end {
            return Ok(());
        }
        let mut between = Opened {
            image: StateImage::default(),
            end: self.end,
        };
        let read = read_until(&self.cluster, &self.topic, &mut between, base).await;
        read.map_err(|error| error.to_string())?;
        let newest = newest_generation(&between.image);
        if newest <= self.generation {
            return Ok(());
        }
        let told = format!(
            "another instance took over: {} has records of generation {newest}, this one is {}",
            self.topic, self.generation
        );
        self.fenced.send_replace(Some(told.clone()));
        Err(told)
    }
}

fn size(save: &Save) -> usize {
    let records = save.records.iter();
    records
        .map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len) + 16)
        .sum()
}

fn batch<'a>(
    records: impl Iterator<Item = &'a StateRecord>,
) -> Result<(Bytes, i64), isthmus_wire::batch::BuildError> {
    let mut builder = BatchBuilder::new(BatchParams {
        compression: Compression::Lz4,
        ..BatchParams::default()
    });
    let now_ms = wall_ms();
    for (key, value) in records {
        builder.append(now_ms, Some(key), value.as_deref(), &[])?;
    }
    let count = i64::try_from(builder.count()).unwrap_or(i64::MAX);
    Ok((builder.finish()?, count))
}
