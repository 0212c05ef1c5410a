//! The controller: the one place where metadata changes.
//!
//! A change is decided on the latest image, its records are committed to the metadata log, which
//! applies them to a new image and publishes it here, and are made true on the partitions, one
//! change after the other. Each runs to its end on a blocking thread even when the client that
//! asked has left.

use crate::groups::Groups;
use crate::metadata_log::{MetadataLog, MetadataLogError, Publish};
use crate::partitions::Partitions;
use crate::quotas::{Mutations, Quotas};
use arc_swap::ArcSwap;
use isthmus_broker_core::metadata::{
    CreatePartitions, CreateTopic, CreatedTopic, DeletionVerdict, MetadataDelta, MetadataImage,
    MetadataRecord, TopicDefaults, TopicError, TopicKey, create_partitions, create_topics,
    delete_topics,
};
use isthmus_wire::{ErrorCode, Uuid};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

pub(crate) struct Controller {
    /// Held while a change is on its way: changes queue up behind it in the order they came.
    log: Arc<Mutex<Box<dyn MetadataLog>>>,
    image: Arc<ArcSwap<MetadataImage>>,
    topic_defaults: TopicDefaults,
    /// Cancelled when the log can take no more records: nothing may go on without it.
    failed: CancellationToken,
}

/// Why a change did not happen, or may not have.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ControllerFailure {
    #[error("other changes took the whole time allowed")]
    TimedOut,
    #[error("the metadata log failed: {0}")]
    Log(String),
}

impl ControllerFailure {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::TimedOut => ErrorCode::REQUEST_TIMED_OUT,
            Self::Log(_) => ErrorCode::KAFKA_STORAGE_ERROR,
        }
    }
}

impl Controller {
    pub(crate) fn new(
        mut log: Box<dyn MetadataLog>,
        image: Arc<ArcSwap<MetadataImage>>,
        partitions: Arc<Partitions>,
        groups: Arc<Groups>,
        quotas: Arc<Quotas>,
        topic_defaults: TopicDefaults,
        failed: CancellationToken,
    ) -> Self {
        log.publish_to(Arc::new(Target {
            image: Arc::clone(&image),
            partitions,
            groups,
            quotas,
            runtime: tokio::runtime::Handle::current(),
        }));
        Self {
            log: Arc::new(Mutex::new(log)),
            image,
            topic_defaults,
            failed,
        }
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

    pub(crate) async fn create_partitions(
        &self,
        topics: Vec<CreatePartitions>,
        mutations: Mutations,
        timeout: Duration,
    ) -> Result<Vec<Result<(), TopicError>>, ControllerFailure> {
        self.change(timeout, move |image| {
            create_partitions(image, &topics, &mut may_change(Some(&mutations)))
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
        let turn = tokio::time::timeout(timeout, Arc::clone(&self.log).lock_owned()).await;
        let mut log = turn.map_err(|_| ControllerFailure::TimedOut)?;
        let image = Arc::clone(&self.image);
        let run = move || {
            let before = image.load_full();
            let (answer, records) = decide(&before);
            if !records.is_empty() {
                let failed = |error: MetadataLogError| ControllerFailure::Log(error.to_string());
                log.append(before.offset, &records).map_err(failed)?;
            }
            Ok(answer)
        };
        let outcome = tokio::task::spawn_blocking(run).await;
        outcome
            .unwrap_or_else(|panic| Err(ControllerFailure::Log(panic.to_string())))
            .inspect_err(|failure| {
                tracing::error!(event = "metadata_log_failed", %failure);
                self.failed.cancel();
            })
    }

    /// Completes the log for a clean stop; later changes fail.
    pub(crate) async fn close(&self) -> Result<(), String> {
        let mut log = Arc::clone(&self.log).lock_owned().await;
        let closed = tokio::task::spawn_blocking(move || log.close()).await;
        closed
            .map_err(|panic| panic.to_string())?
            .map_err(|error| error.to_string())
    }
}

/// What a committed change is made true on.
struct Target {
    image: Arc<ArcSwap<MetadataImage>>,
    partitions: Arc<Partitions>,
    groups: Arc<Groups>,
    quotas: Arc<Quotas>,
    runtime: tokio::runtime::Handle,
}

impl Publish for Target {
    fn publish(&self, image: &Arc<MetadataImage>, delta: &MetadataDelta) {
        // Whoever sees a topic in the image finds its partitions: they come before and go after.
        self.partitions.add(image, delta);
        self.groups
            .start_shards(image, &self.partitions, &self.runtime);
        self.image.store(Arc::clone(image));
        self.quotas.follow(image, delta);
        self.partitions.remove(delta);
        self.groups.topics_deleted(delta);
    }
}

/// Whether a client may change so many partitions more; the broker itself always may.
fn may_change(mutations: Option<&Mutations>) -> impl FnMut(usize) -> bool {
    move |partitions| mutations.is_none_or(|mutations| mutations.may_change(partitions))
}

/// A random topic id, never one of Kafka's reserved ones.
fn random_id() -> Uuid {
    crate::ids::random_uuid()
}
