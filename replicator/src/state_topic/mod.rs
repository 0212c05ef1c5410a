//! The compacted topic at a target that holds what the daemon remembers.
//!
//! Owns: creating it, reading it to its end, writing saves into it ([`writer`]), and seeing that nobody
//! else does. Must not know what the records mean (the core's `state` does).
//!
//! One partition, so that all records have one order. One writer task per target.
//!
//! Who owns it. Two instances of one name would copy everything twice, so
//! 1. an instance that starts waits while somebody else appends;
//! 2. it takes a generation above all that are saved, and writes it with each record;
//! 3. each acknowledged save must begin where the last one ended. If it does not, what stands
//!    between is read: a higher generation there means that another instance has taken over, and
//!    this one ends.
//!
//! The same reading finds what operators did (the roles of flows): a save that begins where it should
//! proves that nobody did anything. Where there is nothing to save the topic is looked at, twice a
//! second. While that fails flows write nothing ([`crate::roles`]).

mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use isthmus_client::admin::{NewTopic, OffsetSpec};
use isthmus_client::fetch::{FetchError, FetchOptions, FetchPosition, IsolationLevel};
use isthmus_client::produce::{ProduceFailure, ProduceOptions, Producer, ProducerBatch};
use isthmus_client::{Cluster, Deadline, Lane, RequestError};
use isthmus_replicator_core::state::{StateError, StateImage, state_topic};
use isthmus_wire::batch::{BatchBuilder, BatchError, BatchParams, Compression, split_batches};
use isthmus_wire::{ApiKey, ErrorCode};

pub(crate) use writer::{SaveError, Saver, Savers, start_writer};

use crate::clock::{boot_ms, wall_ms};

/// Most that a batch of state may be decompressed to: a save of a whole offset map is below 2 MiB.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// How long one write or read may take, with its retries, before it counts as failed.
const ATTEMPT: Duration = Duration::from_secs(20);

/// An instance that lives writes each second. If the last record is younger than this, somebody may
/// still be there, and for [`WATCHED`] the topic must not grow.
const YOUNG_MS: i64 = 4_000;
const WATCHED: Duration = Duration::from_millis(2_500);

/// Replicas of the topic, where there are as many brokers.
const REPLICAS: usize = 3;

/// Only what stands in closed segments is compacted, and all of the topic is read at a start; with the
/// usual gigabyte that would be much more than the state.
const SEGMENT_BYTES: &str = "16777216";

/// A record of state: key and value; none removes.
pub(crate) type StateRecord = (Bytes, Option<Bytes>);

#[derive(Debug, thiserror::Error)]
pub(crate) enum StateTopicError {
    #[error("{0}")]
    Request(#[from] RequestError),
    #[error("{0}")]
    Fetch(#[from] FetchError),
    #[error("{what}: {code}")]
    Refused { what: String, code: ErrorCode },
    #[error("read the replicator's state: {0}")]
    State(#[from] StateError),
    #[error("read the replicator's state: {0}")]
    Batch(#[from] BatchError),
    #[error(
        "topic {topic} has cleanup.policy = {policy:?}, and must be compacted: what is older than \
         its retention would be forgotten"
    )]
    NotCompacted { topic: String, policy: String },
}

/// What was read, and where it ends.
#[derive(Default)]
pub(crate) struct Opened {
    pub(crate) image: StateImage,
    end: i64,
    /// When the newest reading began, by the clock of leases.
    pub(crate) began_ms: i64,
}

/// Creates the topic if need be, waits while another instance writes to it, and reads it.
/// `waiting` is told why it takes so long.
pub(crate) async fn open(
    cluster: &Cluster,
    daemon: &str,
    waiting: impl Fn(String),
) -> Result<Opened, StateTopicError> {
    let topic: Arc<str> = state_topic(daemon).into();
    create(cluster, &topic).await?;
    check_compacted(cluster, &topic).await?;
    let mut opened = Opened::default();
    let mut youngest = read(cluster, &topic, &mut opened).await?;
    while youngest.is_some_and(|at_ms| (wall_ms() - at_ms) < YOUNG_MS) {
        let before = opened.end;
        tokio::time::sleep(WATCHED).await;
        youngest = read(cluster, &topic, &mut opened).await?;
        if opened.end == before {
            break;
        }
        waiting(format!(
            "another instance called {daemon} writes to {topic}; this one waits until it is silent"
        ));
    }
    Ok(opened)
}

/// Reads what is saved, and creates nothing: for who only looks.
pub(crate) async fn look(cluster: &Cluster, daemon: &str) -> Result<StateImage, StateTopicError> {
    Ok(peek(cluster, daemon).await?.unwrap_or_default().image)
}

/// The same, to be read on from there; `None` where there is no such topic.
pub(crate) async fn peek(
    cluster: &Cluster,
    daemon: &str,
) -> Result<Option<Opened>, StateTopicError> {
    let topic: Arc<str> = state_topic(daemon).into();
    let metadata = cluster.with_topics([&*topic], Deadline::after(ATTEMPT));
    if !metadata.await?.topics.contains_key(&topic) {
        return Ok(None);
    }
    let mut opened = Opened::default();
    read(cluster, &topic, &mut opened).await?;
    Ok(Some(opened))
}

/// Reads what came since.
pub(crate) async fn read_on(
    cluster: &Cluster,
    daemon: &str,
    opened: &mut Opened,
) -> Result<(), StateTopicError> {
    let topic: Arc<str> = state_topic(daemon).into();
    read(cluster, &topic, opened).await?;
    Ok(())
}

/// An append that is not known to have happened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// Nothing was written.
    #[error("{0}")]
    Not(String),
    /// It may stand there, or may still come.
    #[error("{0}")]
    Unknown(String),
}

/// Appends records in one batch, acknowledged by all replicas in sync. For who acts from outside of a
/// daemon.
pub(crate) async fn append(
    cluster: &Cluster,
    daemon: &str,
    records: &[StateRecord],
) -> Result<(), AppendError> {
    let (records, _) =
        batch(records.iter()).map_err(|error| AppendError::Not(error.to_string()))?;
    let batch = ProducerBatch {
        topic: state_topic(daemon).into(),
        partition: 0,
        records,
    };
    let mut producer = Producer::new(cluster.clone(), ProduceOptions::default());
    let produced = producer.produce(vec![batch], Deadline::after(ATTEMPT));
    let produced = produced
        .await
        .map_err(|error| AppendError::Not(error.to_string()))?;
    for outcome in produced {
        outcome.map_err(|error| match is_certain(&error) {
            true => AppendError::Not(error.to_string()),
            false => AppendError::Unknown(error.to_string()),
        })?;
    }
    Ok(())
}

/// Nothing of it was written, at no try. Whatever was tried again may have been, at an earlier one.
fn is_certain(error: &ProduceFailure) -> bool {
    match error {
        ProduceFailure::Batch(_) => true,
        ProduceFailure::Refused(refusal) => {
            !refusal.class().is_retriable() && !refusal.may_have_happened()
        }
        ProduceFailure::Request(_) => false,
    }
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

/// The highest generation that any record tells of; 0 without one.
pub(crate) fn newest_generation(image: &StateImage) -> i64 {
    let partitions = image.partitions.values();
    let all = partitions.flat_map(|saved| {
        let progress = saved.progress.iter().map(|it| it.owner_generation);
        let samples = saved.end_samples.iter().map(|it| it.owner_generation);
        let maps = saved.offset_map.values().map(|it| it.owner_generation);
        let gaps = saved.gaps.values().map(|it| it.owner_generation);
        progress.chain(samples).chain(maps).chain(gaps)
    });
    all.max().unwrap_or(0)
}

async fn create(cluster: &Cluster, topic: &str) -> Result<(), StateTopicError> {
    let metadata = cluster
        .with_topics([topic], Deadline::after(ATTEMPT))
        .await?;
    if metadata.topics.contains_key(topic) {
        return Ok(());
    }
    let replicas = i16::try_from(metadata.brokers.len().clamp(1, REPLICAS)).unwrap_or(1);
    let wanted = NewTopic::new(topic, 1, replicas)
        .config("cleanup.policy", "compact")
        .config("segment.bytes", SEGMENT_BYTES);
    let admin = cluster.admin().with_timeout(ATTEMPT);
    for (name, outcome) in admin.create_topics(&[wanted], false).await? {
        match outcome {
            Ok(_) => tracing::info!(event = "state_topic_created", topic = name, replicas),
            Err(refusal) if refusal.code == ErrorCode::TOPIC_ALREADY_EXISTS => {}
            Err(refusal) => {
                return Err(StateTopicError::Refused {
                    what: format!("create topic {name}"),
                    code: refusal.code,
                });
            }
        }
    }
    Ok(())
}

async fn check_compacted(cluster: &Cluster, topic: &str) -> Result<(), StateTopicError> {
    let admin = cluster.admin().with_timeout(ATTEMPT);
    let described: BTreeMap<_, _> = admin.describe_topic_configs(&[topic]).await?;
    for (_, outcome) in described {
        // Without the right to describe, the operator's word holds.
        let entries = outcome.unwrap_or_default();
        let policy = entries.into_iter().find(|it| it.name == "cleanup.policy");
        if let Some(policy) = policy.and_then(|it| it.value)
            && policy != "compact"
        {
            return Err(StateTopicError::NotCompacted {
                topic: topic.to_owned(),
                policy,
            });
        }
    }
    Ok(())
}

/// Reads from `opened.end` to the end that the topic has now. Returns the time of the last record.
async fn read(
    cluster: &Cluster,
    topic: &Arc<str>,
    opened: &mut Opened,
) -> Result<Option<i64>, StateTopicError> {
    opened.began_ms = boot_ms();
    let start = offset(cluster, topic, OffsetSpec::Earliest, ATTEMPT).await?;
    let end = offset(cluster, topic, OffsetSpec::Latest, ATTEMPT).await?;
    opened.end = opened.end.max(start);
    read_until(cluster, topic, opened, end).await
}

async fn offset(
    cluster: &Cluster,
    topic: &Arc<str>,
    spec: OffsetSpec,
    limit: Duration,
) -> Result<i64, RequestError> {
    let admin = cluster.admin().with_timeout(limit);
    let asked = [(Arc::clone(topic), 0, spec)];
    let listed = admin.list_offsets(&asked, IsolationLevel::ReadUncommitted);
    match listed.await.pop() {
        Some(listed) => Ok(listed?.offset.unwrap_or(0)),
        None => Err(RequestError::Incomplete {
            api: ApiKey::ListOffsets,
        }),
    }
}

async fn read_until(
    cluster: &Cluster,
    topic: &Arc<str>,
    opened: &mut Opened,
    end: i64,
) -> Result<Option<i64>, StateTopicError> {
    let mut youngest = None;
    let mut deadline = Deadline::after(ATTEMPT);
    while opened.end < end {
        // The end may have gone back meanwhile: then nothing more comes.
        if deadline.has_passed() {
            return Err(RequestError::from(deadline.elapsed()).into());
        }
        let before = opened.end;
        let leader = cluster.leader(topic, 0, deadline).await?;
        let id = cluster.metadata().topics.get(topic).map(|it| it.id);
        let lane = Lane::Fetch(0);
        let connection = cluster.connection(leader.broker, lane, deadline).await?;
        let at = FetchPosition {
            bytes_max: 8 << 20,
            ..FetchPosition::new(Arc::clone(topic), id.unwrap_or_default(), 0, opened.end)
        };
        let answer = connection.fetch(&FetchOptions::default(), &[at]).await;
        let fetched = answer.map_err(FetchError::from)?.wait().await?;
        for partition in fetched.partitions {
            let partition = partition.map_err(|refusal| StateTopicError::Refused {
                what: format!("read {topic}"),
                code: refusal.code,
            })?;
            youngest = apply(&partition.records, opened)?.or(youngest);
        }
        if opened.end > before {
            deadline = Deadline::after(ATTEMPT);
        }
    }
    Ok(youngest)
}

fn apply(records: &Bytes, opened: &mut Opened) -> Result<Option<i64>, StateTopicError> {
    let mut youngest = None;
    for batch in split_batches(records) {
        let batch = batch?;
        batch.verify_crc()?;
        let header = batch.header();
        if !header.is_control() {
            for record in batch.records(DECOMPRESSED_BYTES_MAX)? {
                let record = record?;
                if record.offset >= opened.end
                    && let Some(key) = &record.key
                {
                    opened.image.apply(key, record.value.as_ref())?;
                }
            }
            youngest = Some(header.max_timestamp);
        }
        opened.end = opened.end.max(header.next_offset());
    }
    Ok(youngest)
}
