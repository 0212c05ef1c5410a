//! The partitions of this broker: which there are, their files, and what is done to all of them.
//!
//! Follows the metadata: a partition is opened when the image assigns it here, takes its role as
//! soon as this broker has applied its own registration (rule 23), and its files are renamed for
//! removal when its topic is gone or its replica is wanted here no more. A partition whose log is
//! damaged is refused, told in the log, and leaves all others alone.

mod checkpoints;
mod cleaning;
mod evidence;
mod flushing;
mod following;
mod group_commit;
mod leading;
mod leases;
mod partition;
mod reading;
mod replica_log;
mod role;
mod rules;
mod watchers;

pub(crate) use cleaning::CleanerTools;
pub(crate) use following::{Cut, Due, Fetched, Turn};
pub(crate) use leading::{Answered, ReplicaRead};
pub(crate) use leases::Leases;
pub(crate) use partition::{Acks, AppendFailure, Appended, Attached, Partition};
pub(crate) use reading::{FoundOffset, Isolation, OffsetQuery, ReadFailure, ReadRequest, ServedBy};
pub(crate) use watchers::Ready;

use crate::clocks;
use crate::disk_failure::DiskFailure;
use crate::ids;
use crate::metrics::PartitionMetrics;
use crate::settings::Settings;
use checkpoints::Checkpoints;
use group_commit::Commits;
use isthmus_broker_core::config::TopicConfig;
use isthmus_broker_core::metadata::{
    ConfigResource, MetadataDelta, MetadataImage, PartitionImage, TopicImage,
};
use isthmus_broker_core::replica::AlterPartition;
use isthmus_log::disk::Disk as _;
use isthmus_log::disk::ProcessDisk;
use isthmus_log::{
    CheckpointError, CleanShutdown, Deleted, LogDirectory, OffsetCheckpoint, OpenContext,
    OpenError, PartitionDir, PendingDeletion, StorageError,
};
use isthmus_wire::Uuid;
use parking_lot::{Mutex, RwLock};
use partition::{Remembered, Shared};
use rules::log_config;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

type Disk = ProcessDisk;

/// How long a stray or deleted directory's files stay before they are removed, if its topic's
/// `file.delete.delay.ms` is not known any more.
const REMOVAL_DELAY: Duration = Duration::from_secs(60);

/// A topic's id and a partition's number.
pub(crate) type PartitionKey = (Uuid, i32);

/// A leader's proposal to the controller.
#[derive(Debug)]
pub(crate) struct IsrProposal {
    pub(crate) key: PartitionKey,
    pub(crate) change: AlterPartition,
}

/// Proposals that wait for the controller's attention, at most one per partition; what finds no
/// room is sent again later.
const PROPOSALS_MAX: usize = 4_096;

/// This broker was not registered yet.
const UNREGISTERED: i64 = -1;

/// A failure that concerns the whole data directory.
#[derive(Debug, thiserror::Error)]
pub enum PartitionsError {
    #[error("could not {0}")]
    Storage(#[from] StorageError),
    #[error("could not read the data directory: {0}")]
    Read(#[from] CheckpointError),
    #[error("could not write into the data directory: {0}")]
    Write(#[from] io::Error),
}

/// Why one partition is not served.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("could not {0}")]
    Open(#[from] OpenError),
    #[error("could not prepare its directory: {0}")]
    Directory(#[from] CheckpointError),
}

impl Refused {
    /// The disk could not be written or read, rather than that what was read is damaged.
    fn is_of_the_disk(&self) -> bool {
        match self {
            Self::Open(OpenError::Storage(_)) | Self::Directory(CheckpointError::Io(_)) => true,
            Self::Open(OpenError::CorruptMiddle { .. })
            | Self::Directory(CheckpointError::Malformed(_)) => false,
        }
    }
}

pub(crate) struct Partitions {
    disk: Arc<Disk>,
    directory: LogDirectory<Disk>,
    /// Held while offsets are gathered and written: two writers of one checkpoint would take
    /// each other's temporary file away, and the older offsets might be the ones that stay.
    checkpointing: Mutex<()>,
    /// Held while a file of evidence is made: the bound is on all of them together.
    keeping_evidence: Mutex<()>,
    settings: Settings,
    open: RwLock<BTreeMap<(Uuid, i32), Arc<Partition>>>,
    /// Offset of this incarnation's first registration.
    broker_epoch: AtomicI64,
    /// Replicas have roles: nothing but newer metadata takes them away (rule 9).
    has_roles: AtomicBool,
    proposals: mpsc::Sender<IsrProposal>,
    /// Shared with the partitions and with the task that syncs.
    commits: Arc<Commits>,
    /// Shared with the partitions, which ask it, and with whoever sends heartbeats.
    leases: Arc<Leases>,
    /// Until somebody takes them to the controller.
    proposed: Mutex<Option<mpsc::Receiver<IsrProposal>>>,
    removals: Mutex<VecDeque<Removal>>,
    metrics: PartitionMetrics,
    failure: DiskFailure,
}

/// Files that are out of use and wait for their removal.
struct Removal {
    /// On the boot clock: a jump of the wall clock must not remove what readers still need.
    due: Duration,
    what: Removed,
}

enum Removed {
    Segments(Deleted<Disk>),
    Directory(PendingDeletion),
}

impl Partitions {
    pub(crate) fn new(
        disk: Arc<Disk>,
        directory: LogDirectory<Disk>,
        settings: &Settings,
        metrics: PartitionMetrics,
        failure: DiskFailure,
    ) -> Self {
        let (proposals, proposed) = mpsc::channel(PROPOSALS_MAX);
        Self {
            proposals,
            commits: Arc::new(Commits::new()),
            leases: Arc::new(Leases::new(
                settings.lease_fencing,
                metrics.lease_refusals.clone(),
            )),
            proposed: Mutex::new(Some(proposed)),
            disk,
            directory,
            checkpointing: Mutex::default(),
            keeping_evidence: Mutex::default(),
            settings: settings.clone(),
            open: RwLock::default(),
            broker_epoch: AtomicI64::new(UNREGISTERED),
            has_roles: AtomicBool::new(false),
            removals: Mutex::default(),
            metrics,
            failure,
        }
    }

    /// What the leaders here propose to the controller; for whoever asks first.
    pub(crate) fn take_proposals(&self) -> Option<mpsc::Receiver<IsrProposal>> {
        self.proposed.lock().take()
    }

    /// Where it is told that the disk failed.
    pub(crate) fn failure(&self) -> &DiskFailure {
        &self.failure
    }

    pub(crate) fn leases(&self) -> &Arc<Leases> {
        &self.leases
    }

    pub(crate) fn get(&self, topic: Uuid, index: i32) -> Option<Arc<Partition>> {
        self.open.read().get(&(topic, index)).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Partition>> {
        self.open.read().values().cloned().collect()
    }

    /// At start: takes the clean-shutdown marker away, settles what does not belong into the
    /// directory, and opens every partition of the image. `replayed` tells which topics were ever
    /// deleted.
    pub(crate) fn open_all(
        &self,
        image: &MetadataImage,
        replayed: &MetadataDelta,
    ) -> Result<(), PartitionsError> {
        self.settings.dynamic.follow(image);
        let stopped = self.directory.take_clean_shutdown()?;
        let checkpoints = self.read_checkpoints(matches!(stopped, CleanShutdown::Yes { .. }));
        self.settle_directories(image, replayed)?;
        for topic in image.topics() {
            self.open_topic(image, topic, &checkpoints);
        }
        self.take_roles(image, image.topics());
        Ok(())
    }

    /// Opens what was created or grown, takes over new configurations and roles.
    pub(crate) fn add(&self, image: &MetadataImage, delta: &MetadataDelta) {
        let broker_changed = self.settings.dynamic.is_touched(delta);
        if broker_changed {
            self.settings.dynamic.follow(image);
        }
        let fresh = Checkpoints::none();
        let changed = || {
            let ids = delta.topics_changed.iter();
            ids.filter_map(|&id| image.topic_by_id(id))
        };
        for topic in changed() {
            self.open_topic(image, topic, &fresh);
        }
        if self.has_roles.load(Ordering::Acquire) {
            self.take_roles(image, changed());
        } else {
            self.take_roles(image, image.topics());
        }
        if broker_changed {
            // Any topic may take a default from the broker.
            image
                .topics()
                .for_each(|topic| self.configure(image, topic));
            return;
        }
        let topics = delta
            .configs_changed
            .iter()
            .filter(|resource| resource.kind == ConfigResource::TOPIC);
        for topic in topics.filter_map(|resource| image.topic(&resource.name)) {
            self.configure(image, topic);
        }
    }

    /// Lets go of deleted topics and of replicas that are elsewhere now: their directories are
    /// renamed now and removed later.
    pub(crate) fn remove(&self, image: &MetadataImage, delta: &MetadataDelta) {
        let deleted = delta.topics_removed.keys().map(|&id| (id, Vec::new()));
        let changed = delta.topics_changed.iter().filter_map(|&id| {
            let is_here = |it: &PartitionImage| it.replicas.contains(&self.settings.node_id);
            let topic = image.topic_by_id(id)?;
            Some((id, topic.partitions.iter().map(is_here).collect()))
        });
        for (id, stays) in deleted.chain(changed) {
            let stays =
                |index: i32| usize::try_from(index).is_ok_and(|at| stays.get(at) == Some(&true));
            let of_topic: Vec<Arc<Partition>> = {
                let mut open = self.open.write();
                let keys: Vec<_> = open
                    .range((id, 0)..=(id, i32::MAX))
                    .map(|(key, _)| *key)
                    .filter(|(_, index)| !stays(*index))
                    .collect();
                keys.iter().filter_map(|key| open.remove(key)).collect()
            };
            // A topic that is made again under this name must not find how far this one was cleaned.
            let was_cleaned = |partition: &Arc<Partition>| partition.was_cleaned();
            if of_topic.iter().any(was_cleaned)
                && let Err(error) = self.checkpoint_cleaned()
            {
                self.failure.end_by(&error);
            }
            for partition in of_topic {
                partition.leave();
                let delay = u64::try_from(partition.file_delete_delay_ms()).unwrap_or(0);
                self.discard(
                    partition.topic(),
                    partition.index(),
                    Duration::from_millis(delay),
                );
            }
        }
        self.note_count();
    }

    fn open_topic(&self, image: &MetadataImage, topic: &TopicImage, checkpoints: &Checkpoints) {
        let own = image.config(&ConfigResource::topic(&topic.name));
        let config = self.settings.topic_config(own);
        for (index, partition) in (0..).zip(&topic.partitions) {
            let here = partition.replicas.contains(&self.settings.node_id);
            if !here || self.get(topic.id, index).is_some() {
                continue;
            }
            match self.open_one(topic, index, config.clone(), checkpoints) {
                Ok(opened) => drop(
                    self.open
                        .write()
                        .insert((topic.id, index), Arc::new(opened)),
                ),
                Err(error) if error.is_of_the_disk() => self.failure.end_by(&error),
                Err(error) => tracing::error!(
                    event = "partition_refused",
                    topic = %topic.name, partition = index, %error,
                    "the partition is not served; its files are untouched"
                ),
            }
        }
        self.note_count();
    }

    fn open_one(
        &self,
        topic: &TopicImage,
        index: i32,
        config: TopicConfig,
        checkpoints: &Checkpoints,
    ) -> Result<Partition, Refused> {
        let key = (topic.name.to_string(), index);
        let offset = |checkpoint: &OffsetCheckpoint| checkpoint.get(&key).copied().unwrap_or(0);
        let context = OpenContext {
            recovery_point: offset(&checkpoints.recovery_points),
            log_start_offset: offset(&checkpoints.log_starts),
            clean_shutdown: checkpoints.clean_shutdown,
            now_ms: clocks::wall_ms(),
        };
        // After a crash the log may end below what was committed, and go on with other records.
        let believed = Some(&checkpoints.high_watermarks).filter(|_| checkpoints.clean_shutdown);
        let remembered = Remembered {
            high_watermark: believed.map_or(0, offset),
            cleaned_to: checkpoints.cleaned.get(&key).copied(),
        };
        let dir = self.directory.create_partition(&key.0, key.1, topic.id)?;
        let log_config = self.log_config(&config);
        let (partition, report) = Partition::open(
            &self.disk,
            dir,
            (Arc::clone(&topic.name), (topic.id, index)),
            Shared {
                proposals: self.proposals.clone(),
                commits: Arc::clone(&self.commits),
                leases: Arc::clone(&self.leases),
                failure: self.failure.clone(),
            },
            config,
            log_config,
            context,
            remembered,
        )?;
        if report.truncated_bytes > 0 {
            tracing::warn!(
                event = "log_tail_truncated",
                topic = key.0,
                partition = key.1,
                bytes = report.truncated_bytes,
                synced_data_lost = report.synced_data_lost,
                "cut at the last whole batch"
            );
        }
        Ok(partition)
    }

    fn log_config(&self, config: &TopicConfig) -> isthmus_log::LogConfig {
        let expiration_ms = self.settings.producer_id_expiration_ms();
        log_config(config, expiration_ms, ids::random_share())
    }

    fn configure(&self, image: &MetadataImage, topic: &TopicImage) {
        let own = image.config(&ConfigResource::topic(&topic.name));
        let config = self.settings.topic_config(own);
        for index in (0..).take(topic.partitions.len()) {
            if let Some(partition) = self.get(topic.id, index) {
                partition.update_config(config.clone(), self.log_config(&config));
            }
        }
    }

    /// Directories that belong to no partition of the image. Of a deleted topic: removed, the
    /// deletion was cut short. Of a topic this cluster never had: put aside, never removed.
    fn settle_directories(
        &self,
        image: &MetadataImage,
        replayed: &MetadataDelta,
    ) -> Result<(), PartitionsError> {
        let found: Vec<PartitionDir> = self.directory.partitions()?;
        for dir in found {
            let (topic, partition) = (&dir.topic, dir.partition);
            let known = image.topic(topic).filter(|known| {
                dir.topic_id.is_none_or(|id| id == known.id)
                    && usize::try_from(partition).is_ok_and(|at| at < known.partitions.len())
            });
            if known.is_some() || topic == isthmus_broker_core::topic_name::CLUSTER_METADATA_TOPIC {
                continue;
            }
            if dir
                .topic_id
                .is_some_and(|id| replayed.topics_removed.contains_key(&id))
            {
                self.discard(topic, partition, REMOVAL_DELAY);
            } else {
                let aside = self.set_aside(&dir)?;
                tracing::warn!(
                    event = "stray_partition", topic, partition, aside = %aside.display(),
                    "no such partition in this cluster's metadata; its files were put aside"
                );
            }
        }
        for leftover in self.directory.pending_deletions()? {
            self.remove_later(Duration::ZERO, Removed::Directory(leftover));
        }
        Ok(())
    }

    fn set_aside(&self, dir: &PartitionDir) -> io::Result<PathBuf> {
        let mut name = dir.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}-stray", ids::random_uuid()));
        let aside = dir.path.with_file_name(name);
        self.disk.rename(&dir.path, &aside)?;
        self.disk.sync_dir(self.directory.path())?;
        Ok(aside)
    }

    fn discard(&self, topic: &str, partition: i32, delay: Duration) {
        match self
            .directory
            .delete_partition(topic, partition, ids::random_uuid().0)
        {
            Ok(renamed) => self.remove_later(delay, Removed::Directory(renamed)),
            Err(error) => tracing::error!(
                event = "partition_not_deleted", topic, partition, %error,
                "its files stay until the next start"
            ),
        }
    }

    fn remove_later(&self, delay: Duration, what: Removed) {
        self.removals.lock().push_back(Removal {
            due: clocks::boot() + delay,
            what,
        });
    }

    /// Removes files whose time has come.
    pub(crate) fn remove_files(&self, boot: Duration) {
        let due: VecDeque<Removal> = {
            let mut removals = self.removals.lock();
            let (due, later) = removals
                .drain(..)
                .partition(|removal: &Removal| removal.due <= boot);
            *removals = later;
            due
        };
        for removal in due {
            let outcome = match removal.what {
                Removed::Segments(deleted) => deleted.remove_files(),
                Removed::Directory(renamed) => self.directory.remove(&renamed),
            };
            if let Err(error) = outcome {
                tracing::warn!(event = "files_not_removed", %error, "they stay until the next start");
            }
        }
    }

    /// Retention of all partitions.
    pub(crate) fn clean_up(&self, retention_now_ms: i64, now_ms: i64) -> Result<(), StorageError> {
        for partition in self.all() {
            if let Some(deleted) = partition.clean_up(retention_now_ms, now_ms)? {
                tracing::info!(
                    event = "segments_deleted",
                    topic = partition.topic(),
                    partition = partition.index(),
                    segments = deleted.segments.len()
                );
                let delay = u64::try_from(partition.file_delete_delay_ms()).unwrap_or(0);
                self.remove_later(Duration::from_millis(delay), Removed::Segments(deleted));
            }
        }
        Ok(())
    }

    /// Flushes the partitions whose time has come.
    pub(crate) fn flush_due(&self, boot: Duration) -> Result<(), StorageError> {
        for partition in self.all() {
            if partition.is_flush_due(boot) {
                partition.flush_blocking()?;
            }
        }
        Ok(())
    }

    /// Closes all logs, writes the checkpoints, and marks the directory as cleanly closed.
    pub(crate) fn close(&self, broker_epoch: i64) -> Result<(), PartitionsError> {
        // What still waits is flushed as its log is closed.
        self.commits.end();
        let partitions = self.all();
        for partition in &partitions {
            partition.complete()?;
        }
        self.checkpoint_recovery_points()?;
        self.checkpoint_log_starts()?;
        self.checkpoint_high_watermarks()?;
        self.directory.mark_clean_shutdown(broker_epoch)?;
        Ok(())
    }

    fn note_count(&self) {
        self.metrics
            .count
            .set(i64::try_from(self.open.read().len()).unwrap_or(i64::MAX));
    }
}
