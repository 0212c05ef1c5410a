//! The one writer of a daemon into a state topic, and what it finds of others while it writes.
//!
//! Saves that wait while one is under way leave together in the next batch. Each acknowledged save must
//! begin where the last one ended; if it does not, what stands between is read: a higher generation
//! means that another instance has taken over, an act on a role goes to [`Roles`]. Where there is
//! nothing to save the end is asked for, twice a second.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use isthmus_client::admin::OffsetSpec;
use isthmus_client::produce::{ProduceOptions, Producer, ProducerBatch};
use isthmus_client::{Cluster, Deadline};
use isthmus_replicator_core::naming::NamingPolicy;
use isthmus_replicator_core::roles::{LEASE_MS, RECHECK_MS};
use isthmus_replicator_core::state::{StateWriteError, state_topic};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::{ATTEMPT, Opened, StateRecord, batch, newest_generation, offset, read_until};
use crate::roles::Roles;

/// Saves that wait for the writer. Each partition has one under way at most; beyond the bound the
/// next one waits to be queued.
const SAVES_MAX: usize = 1_024;

/// Bytes of one batch, before compression; below the default of `max.message.bytes`. One save is
/// never cut.
const BATCH_BYTES_MAX: usize = 512 << 10;

/// Between two looks at what others wrote, and how long one may take: beyond the lease it comes too
/// late.
const RECHECK: Duration = Duration::from_millis(RECHECK_MS as u64);
const LOOK_MAX: Duration = Duration::from_millis(LEASE_MS as u64);

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
    of: Owner,
    records: Vec<StateRecord>,
    done: oneshot::Sender<Result<(), SaveError>>,
}

/// Whose records they are: the role of that flow must allow it to write.
type Owner = (Arc<str>, NamingPolicy);

/// The way into the topic for all flows of one target.
#[derive(Clone)]
pub(crate) struct Savers(mpsc::Sender<Save>);

impl Savers {
    pub(crate) fn of(&self, flow: &str, naming: NamingPolicy) -> Saver {
        Saver {
            of: (flow.into(), naming),
            queue: self.0.clone(),
        }
    }
}

/// The way into the topic for one flow; cheap to clone.
#[derive(Clone)]
pub(crate) struct Saver {
    of: Owner,
    queue: mpsc::Sender<Save>,
}

impl Saver {
    /// Writes the records in one batch, in their order.
    pub(crate) async fn save(&self, records: Vec<StateRecord>) -> Result<(), SaveError> {
        let (done, outcome) = oneshot::channel();
        let gone = || SaveError("the writer of the state topic has ended".to_owned());
        let save = Save {
            of: self.of.clone(),
            records,
            done,
        };
        let queued = self.queue.send(save).await;
        queued.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }
}

/// Starts the writer. `fenced` is told if another instance has taken over, `roles` what operators
/// did.
pub(crate) fn start_writer(
    cluster: Cluster,
    daemon: &str,
    generation: i64,
    opened: &Opened,
    fenced: watch::Sender<Option<String>>,
    roles: Arc<Roles>,
) -> Savers {
    let (saver, saves) = mpsc::channel(SAVES_MAX);
    let writer = Writer {
        producer: Producer::new(cluster.clone(), ProduceOptions::default()),
        topic: state_topic(daemon).into(),
        cluster,
        generation,
        end: opened.end,
        fenced,
        roles,
        looked: None,
        is_blind: false,
    };
    tokio::spawn(writer.run(saves));
    Savers(saver)
}

struct Writer {
    cluster: Cluster,
    producer: Producer,
    topic: Arc<str>,
    generation: i64,
    /// Where the next of our batches should begin.
    end: i64,
    fenced: watch::Sender<Option<String>>,
    roles: Arc<Roles>,
    /// When it was last tried to see what others wrote.
    looked: Option<Instant>,
    /// The last look failed.
    is_blind: bool,
}

impl Writer {
    async fn run(mut self, mut saves: mpsc::Receiver<Save>) {
        let mut waiting: Option<Save> = None;
        loop {
            let first = match waiting.take() {
                Some(save) => save,
                None => match self.next(&mut saves).await {
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
            if !self.roles.is_confirmed() || self.time_to_look().is_zero() {
                self.look().await;
            }
            let group = self.those_allowed(group);
            if group.is_empty() {
                continue;
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

    /// The next save. Until it comes, what others write is looked for.
    async fn next(&mut self, saves: &mut mpsc::Receiver<Save>) -> Option<Save> {
        let roles = Arc::clone(&self.roles);
        loop {
            tokio::select! {
                biased;
                save = saves.recv() => return save,
                () = roles.asked() => {}
                () = tokio::time::sleep(self.time_to_look()) => {}
            }
            self.look().await;
        }
    }

    fn time_to_look(&self) -> Duration {
        let since = self.looked.map(|at| at.elapsed());
        since.map_or(Duration::ZERO, |since| RECHECK.saturating_sub(since))
    }

    /// Sees what others wrote since. A look that fails leaves all flows without leave to write.
    async fn look(&mut self) {
        self.looked = Some(Instant::now());
        let look = self.roles.begin();
        let outcome = match tokio::time::timeout(LOOK_MAX, self.see()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no answer within {} ms", LOOK_MAX.as_millis())),
        };
        match outcome {
            Ok(()) => {
                self.roles.confirm(look);
                if std::mem::take(&mut self.is_blind) {
                    tracing::info!(event = "roles_confirmed", topic = &*self.topic);
                }
            }
            Err(error) => {
                self.roles.look_failed();
                // One line for the whole of it; the next line says that it is over.
                if !std::mem::replace(&mut self.is_blind, true) {
                    tracing::warn!(event = "roles_not_confirmed", topic = &*self.topic, error);
                }
            }
        }
    }

    async fn see(&mut self) -> Result<(), String> {
        let end = offset(&self.cluster, &self.topic, OffsetSpec::Latest, LOOK_MAX).await;
        let end = end.map_err(|error| error.to_string())?;
        self.judge(end).await?;
        self.end = self.end.max(end);
        Ok(())
    }

    /// Those of flows whose role allows it; the others are told why not.
    fn those_allowed(&self, group: Vec<Save>) -> Vec<Save> {
        let is_allowed = |save: &Save| self.roles.permit(&save.of.0, save.of.1).records;
        let (allowed, refused): (Vec<Save>, Vec<Save>) = group.into_iter().partition(is_allowed);
        for save in refused {
            let why = "the role of the flow does not allow it, or is not confirmed".to_owned();
            save.done.send(Err(SaveError(why))).ok();
        }
        allowed
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
        let look = self.roles.begin();
        let began = Instant::now();
        let produced = self.producer.produce(vec![batch], Deadline::after(ATTEMPT));
        let produced = produced.await.map_err(|error| error.to_string())?;
        for outcome in produced {
            let appended = outcome.map_err(|error| error.to_string())?;
            if let Some(base) = appended.base_offset {
                self.judge(base).await?;
                self.end = base + count;
                // All that stood in front of it is known: as good as a look.
                self.roles.confirm(look);
                self.looked = Some(began);
            }
        }
        Ok(())
    }

    /// Up to `base` somebody wrote in between: an older instance on its way out, a newer one, or an
    /// operator.
    async fn judge(&mut self, base: i64) -> Result<(), String> {
        if base <= self.end {
            return Ok(());
        }
        let mut between = Opened {
            end: self.end,
            ..Opened::default()
        };
        let read = read_until(&self.cluster, &self.topic, &mut between, base).await;
        read.map_err(|error| error.to_string())?;
        let newest = newest_generation(&between.image);
        self.roles.learn(between.image.roles);
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
