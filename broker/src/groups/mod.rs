//! The group coordinator's shell: finds the shard of a group, and gets its answer.
//!
//! Groups are spread over the partitions of `__consumer_offsets` by a hash of their id. Each
//! partition led here has a task that owns its shard ([`shard_task`]), which begins and ends with the
//! leadership. The topic is created when a client first looks for a coordinator.
//!
//! A shard answers once it has read its log and all of that is committed: what it read beyond the high
//! watermark might vanish again with this leadership. Until then it says COORDINATOR_LOAD_IN_PROGRESS.
//! Where too few replicas are in sync to commit anything it does not wait: groups would stand still for
//! as long as that lasts, and an offset that vanishes costs a repetition.

mod shard_task;

use crate::broker::Broker;
use crate::partitions::{Partition, Partitions};
use crate::settings::Settings;
use futures::future::BoxFuture;
use isthmus_broker_core::groups::{
    GroupConfig, NotReplayable, Reply, Request, Shard, partition_for,
};
use isthmus_broker_core::metadata::{CreateTopic, MetadataDelta, MetadataImage};
use isthmus_wire::ErrorCode;
use parking_lot::RwLock;
use shard_task::{Command, ShardTask};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Requests that wait for one shard; beyond it clients are told to come again.
const COMMANDS_MAX: usize = 1_024;

/// Longest wait of any group request: JoinGroup waits for the other members, whose rebalance
/// time-out is an i32 of milliseconds; this is the coordinator's own bound.
const ANSWER_MAX: Duration = Duration::from_secs(3_600);

pub(crate) struct Groups {
    config: GroupConfig,
    replication_factor: i16,
    num_partitions: i32,
    segment_bytes: i32,
    shards: RwLock<BTreeMap<i32, RunningShard>>,
    began: Instant,
    stop: CancellationToken,
}

struct RunningShard {
    commands: mpsc::Sender<Command>,
    /// Of the leadership that it was loaded under: under another one the log may be another.
    leader_epoch: i32,
    is_loaded: Arc<AtomicBool>,
}

/// When the log of a shard is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// Before anything else happens: nobody is there yet who would wait.
    First,
    /// While others take their roles and clients are served.
    Beside,
}

impl Groups {
    pub(crate) fn new(settings: &Settings, stop: CancellationToken) -> Self {
        Self {
            config: settings.groups.clone(),
            replication_factor: settings.offsets_topic_replication_factor,
            num_partitions: settings.offsets_topic_num_partitions,
            segment_bytes: settings.offsets_topic_segment_bytes,
            shards: RwLock::default(),
            began: Instant::now(),
            stop,
        }
    }

    /// Starts the shards of the partitions of `__consumer_offsets` that this broker has begun to
    /// lead, and ends those it leads no more. Where it reads their logs itself, to be called where
    /// blocking is allowed.
    pub(crate) fn follow(
        &self,
        image: &Arc<MetadataImage>,
        partitions: &Partitions,
        runtime: &tokio::runtime::Handle,
        load: Load,
    ) {
        let Some(topic) = image.topic(OFFSETS_TOPIC) else {
            return;
        };
        for index in (0..).take(topic.partitions.len()) {
            let partition = partitions.get(topic.id, index);
            let led = partition.and_then(|it| Some((it.led_epoch()?, it)));
            let runs = self.shards.read().get(&index).map(|it| it.leader_epoch);
            if runs == led.as_ref().map(|(leader_epoch, _)| *leader_epoch) {
                continue;
            }
            // Its task unloads when its last sender is gone: those who wait look for another.
            self.shards.write().remove(&index);
            let Some((leader_epoch, partition)) = led else {
                continue;
            };
            let shard = self.begin(partition, leader_epoch, image, runtime, load);
            self.shards.write().insert(index, shard);
        }
    }

    fn begin(
        &self,
        partition: Arc<Partition>,
        leader_epoch: i32,
        image: &Arc<MetadataImage>,
        runtime: &tokio::runtime::Handle,
        load: Load,
    ) -> RunningShard {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let is_loaded = Arc::new(AtomicBool::new(load == Load::First));
        let shard = RunningShard {
            commands,
            leader_epoch,
            is_loaded: Arc::clone(&is_loaded),
        };
        let (config, log) = (self.config.clone(), Arc::clone(&partition));
        let read = move || read_log(config, &log);
        let loading: BoxFuture<'static, _> = match load {
            Load::First => Box::pin(std::future::ready(Ok(read()))),
            Load::Beside => Box::pin(runtime.spawn_blocking(read)),
        };
        let (image, began, stop) = (Arc::clone(image), self.began, self.stop.clone());
        runtime.spawn(async move {
            let index = partition.index();
            let loaded = loading.await;
            let loaded = loaded.unwrap_or_else(|panic| Err(LoadError::Log(panic.to_string())));
            let shard = match loaded {
                Ok(shard) => shard,
                Err(error) => {
                    tracing::error!(
                        event = "group_shard_refused", partition = index, %error,
                        "its groups have no coordinator until the log is mended"
                    );
                    return;
                }
            };
            let committed = tokio::select! {
                () = stop.cancelled() => return,
                committed = partition.all_committed(leader_epoch) => committed,
            };
            // The next leader loads them.
            if committed.is_err() {
                return;
            }
            is_loaded.store(true, Ordering::Release);
            let task = ShardTask::new(shard, partition, image, began);
            task.run(receiver, stop).await;
        });
        shard
    }

    /// Deleted topics take the offsets committed for them along. To be called where blocking is
    /// allowed: a full queue is waited for.
    pub(crate) fn topics_deleted(&self, delta: &MetadataDelta) {
        let topics: Vec<Arc<str>> = delta.topics_removed.values().cloned().collect();
        if topics.is_empty() {
            return;
        }
        for shard in self.shards.read().values() {
            shard
                .commands
                .blocking_send(Command::TopicsDeleted(topics.clone()))
                .ok();
        }
    }

    /// Hands a request to the shard of `group`. `Err`: this broker coordinates no such group.
    pub(crate) fn ask(
        &self,
        image: &MetadataImage,
        group: &str,
        request: Request,
    ) -> Result<Answer, ErrorCode> {
        let topic = image
            .topic(OFFSETS_TOPIC)
            .ok_or(ErrorCode::NOT_COORDINATOR)?;
        let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
        let shard = i32::try_from(partition_for(group, count)).unwrap_or(i32::MAX);
        self.ask_shard(shard, request)
    }

    /// The numbers of the shards that run here.
    pub(crate) fn shards(&self) -> Vec<i32> {
        self.shards.read().keys().copied().collect()
    }

    /// When this returns, the request has its place in the shard's queue.
    pub(crate) fn ask_shard(&self, shard: i32, request: Request) -> Result<Answer, ErrorCode> {
        let shards = self.shards.read();
        let shard = shards.get(&shard).ok_or(ErrorCode::NOT_COORDINATOR)?;
        if shard.commands.is_closed() {
            return Err(ErrorCode::NOT_COORDINATOR);
        }
        if !shard.is_loaded.load(Ordering::Acquire) {
            return Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
        }
        let (reply, answer) = oneshot::channel();
        let command = Command::Request {
            request: Box::new(request),
            reply,
        };
        match shard.commands.try_send(command) {
            Ok(()) => Ok(Box::pin(settled(answer))),
            Err(_) => Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
        }
    }

    /// Creates `__consumer_offsets` if there is none.
    pub(crate) async fn ensure_topic(&self, broker: &Broker) -> Result<(), ErrorCode> {
        let topic = CreateTopic {
            name: OFFSETS_TOPIC.to_owned(),
            num_partitions: self.num_partitions,
            replication_factor: self.replication_factor,
            configs: [
                ("cleanup.policy", "compact".to_owned()),
                ("compression.type", "producer".to_owned()),
                ("segment.bytes", self.segment_bytes.to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), Some(value)))
            .to_vec(),
            ..CreateTopic::default()
        };
        match broker.create_topics(vec![topic], None).await {
            Ok(verdicts) => match verdicts.into_iter().next() {
                Some(Err(error)) if error.code != ErrorCode::TOPIC_ALREADY_EXISTS => {
                    tracing::warn!(
                        event = "offsets_topic_not_created",
                        error = error.message,
                        "set offsets.topic.replication.factor to the number of brokers or less"
                    );
                    Err(ErrorCode::COORDINATOR_NOT_AVAILABLE)
                }
                _ => Ok(()),
            },
            Err(_) => Err(ErrorCode::COORDINATOR_NOT_AVAILABLE),
        }
    }
}

/// A shard as its log left it.
fn read_log(config: GroupConfig, partition: &Partition) -> Result<Shard, LoadError> {
    let mut shard = Shard::new(config);
    shard.start_loading();
    partition.for_each_record(|key, value| {
        let Some(key) = key else { return Ok(()) };
        shard
            .replay(key, value)
            .map(drop)
            .map_err(LoadError::Record)
    })?;
    Ok(shard)
}

/// A shard's reply, when it comes.
pub(crate) type Answer = BoxFuture<'static, Result<Reply, ErrorCode>>;

async fn settled(answer: oneshot::Receiver<Reply>) -> Result<Reply, ErrorCode> {
    match tokio::time::timeout(ANSWER_MAX, answer).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(_)) => Err(ErrorCode::NOT_COORDINATOR),
        Err(_) => Err(ErrorCode::REQUEST_TIMED_OUT),
    }
}

/// Why a shard could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("could not read its log: {0}")]
    Log(String),
    #[error("a record of its log: {0}")]
    Record(NotReplayable),
}
