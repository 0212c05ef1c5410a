//! A data directory: whose it is, which partitions it holds, what it remembers of them.
//!
//! Owns: `meta.properties`, `.lock`, the checkpoint files, the clean-shutdown marker, the partition
//! directories by name, deletion by renaming.
//! Must not know: what is in a partition directory (`Log`), which partitions should be there.
//! Invariants: a directory of another cluster, another node or a newer version is refused and
//! nothing in it is touched; one process owns it at a time.
//!
//! ```text
//! meta.properties                     version=1, cluster.id, node.id, directory.id
//! .lock                               held while in use
//! .kafka_cleanshutdown                present only between a clean stop and the next start
//! recovery-point-offset-checkpoint    per partition: below it everything is synced
//! log-start-offset-checkpoint         per partition: the log start, where not a segment's
//! replication-offset-checkpoint       per partition: the high watermark
//! cleaner-offset-checkpoint           per partition: below it the log is compacted
//! <topic>-<partition>/                a partition
//! <topic>-<partition>.<hex>-delete/   a partition being deleted
//! __truncated/                        what followers cut off (`evidence`)
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use isthmus_wire::Uuid;

use crate::checkpoint::{
    CheckpointError, OffsetCheckpoint, parse_clean_shutdown, print_clean_shutdown, read_offsets,
    read_partition_metadata, write_offsets, write_partition_metadata,
};
use crate::disk::Disk;
use crate::names::{DELETE_DIR_SUFFIX, PARTITION_METADATA, delete_dir, parse_partition_dir};

const META_PROPERTIES: &str = "meta.properties";
const META_VERSION: i32 = 1;
const LOCK: &str = ".lock";
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";

/// Whose directory it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    pub cluster_id: String,
    pub node_id: i32,
    pub directory_id: Uuid,
}

/// Why a data directory could not be opened; nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("open data directory {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("open data directory {}: it is not formatted", path.display())]
    NotFormatted { path: PathBuf },
    #[error("open data directory {}: another process holds its lock", path.display())]
    Locked { path: PathBuf },
    #[error("open data directory {}: it is of cluster {found}, this is {expected}", path.display())]
    ForeignCluster {
        path: PathBuf,
        found: String,
        expected: String,
    },
    #[error("open data directory {}: it is of node {found}, this is {expected}", path.display())]
    ForeignNode {
        path: PathBuf,
        found: i32,
        expected: i32,
    },
    #[error("open data directory {}: its version is {found}, known is {META_VERSION}", path.display())]
    UnknownVersion { path: PathBuf, found: String },
    #[error("open data directory {}: meta.properties has no valid {key}", path.display())]
    InvalidMeta { path: PathBuf, key: &'static str },
}

/// The checkpoint files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointKind {
    RecoveryPoint,
    LogStartOffset,
    HighWatermark,
    /// Up to where each compacted log was cleaned.
    Cleaner,
}

impl CheckpointKind {
    fn file_name(self) -> &'static str {
        match self {
            CheckpointKind::RecoveryPoint => "recovery-point-offset-checkpoint",
            CheckpointKind::LogStartOffset => "log-start-offset-checkpoint",
            CheckpointKind::HighWatermark => "replication-offset-checkpoint",
            CheckpointKind::Cleaner => "cleaner-offset-checkpoint",
        }
    }
}

/// How the last owner stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanShutdown {
    /// It crashed, or this is the first start.
    No,
    /// −1 when the marker names no epoch.
    Yes { broker_epoch: i64 },
}

/// A partition that the directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDir {
    pub topic: String,
    pub partition: i32,
    pub path: PathBuf,
    /// From `partition.metadata`; `None` when the file is missing.
    pub topic_id: Option<Uuid>,
}

/// A partition directory renamed for deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingDeletion {
    path: PathBuf,
}

/// An open data directory.
#[derive(Debug)]
pub struct LogDirectory<D: Disk> {
    disk: Arc<D>,
    path: PathBuf,
    meta: MetaProperties,
    _lock: D::Lock,
}

impl<D: Disk> LogDirectory<D> {
    /// Makes an empty or missing directory a data directory.
    pub fn format(disk: &D, path: &Path, meta: &MetaProperties) -> Result<(), DirectoryError> {
        let io = |source| DirectoryError::Io {
            path: path.to_owned(),
            source,
        };
        disk.create_dir_all(path).map_err(io)?;
        let file = path.join(META_PROPERTIES);
        if disk.exists(&file).map_err(io)? {
            return Err(io(io::ErrorKind::AlreadyExists.into()));
        }
        disk.write_atomic(&file, print_meta(meta).as_bytes())
            .map_err(io)?;
        disk.sync_dir(parent_of(path)).map_err(io)
    }

    /// Opens a directory that belongs to this node of this cluster. Looks before it locks, so that a
    /// refused directory stays as it was.
    pub fn open(
        disk: &Arc<D>,
        path: &Path,
        cluster_id: &str,
        node_id: i32,
    ) -> Result<LogDirectory<D>, DirectoryError> {
        let meta = Self::read_meta(disk, path)?;
        let path = path.to_owned();
        if meta.cluster_id != cluster_id {
            let (found, expected) = (meta.cluster_id, cluster_id.to_owned());
            return Err(DirectoryError::ForeignCluster {
                path,
                found,
                expected,
            });
        }
        if meta.node_id != node_id {
            let (found, expected) = (meta.node_id, node_id);
            return Err(DirectoryError::ForeignNode {
                path,
                found,
                expected,
            });
        }
        match disk.lock(&path.join(LOCK)) {
            Ok(Some(lock)) => Ok(LogDirectory {
                disk: disk.clone(),
                path,
                meta,
                _lock: lock,
            }),
            Ok(None) => Err(DirectoryError::Locked { path }),
            Err(source) => Err(DirectoryError::Io { path, source }),
        }
    }

    /// Whose directory it is, without taking it.
    pub fn read_meta(disk: &D, path: &Path) -> Result<MetaProperties, DirectoryError> {
        match disk.read(&path.join(META_PROPERTIES)) {
            Ok(content) => parse_meta(path, &String::from_utf8_lossy(&content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(DirectoryError::NotFormatted {
                    path: path.to_owned(),
                })
            }
            Err(source) => Err(DirectoryError::Io {
                path: path.to_owned(),
                source,
            }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn meta(&self) -> &MetaProperties {
        &self.meta
    }

    pub fn disk(&self) -> &Arc<D> {
        &self.disk
    }

    /// The partitions in the directory, by name. Directories that are none are left alone.
    pub fn partitions(&self) -> Result<Vec<PartitionDir>, CheckpointError> {
        let mut partitions = Vec::new();
        for entry in self
            .disk
            .list(&self.path)?
            .into_iter()
            .filter(|entry| entry.is_dir)
        {
            let Some((topic, partition)) = parse_partition_dir(&entry.name) else {
                continue;
            };
            let path = self.path.join(&entry.name);
            let topic_id = read_partition_metadata(&*self.disk, &path.join(PARTITION_METADATA))?;
            partitions.push(PartitionDir {
                topic: topic.to_owned(),
                partition,
                path,
                topic_id,
            });
        }
        Ok(partitions)
    }

    pub fn partition_path(&self, topic: &str, partition: i32) -> PathBuf {
        self.path.join(format!("{topic}-{partition}"))
    }

    /// Creates the directory of a partition with its `partition.metadata`, durably. One that is
    /// there already is kept, and its topic id written if it had none.
    pub fn create_partition(
        &self,
        topic: &str,
        partition: i32,
        topic_id: Uuid,
    ) -> Result<PathBuf, CheckpointError> {
        let path = self.partition_path(topic, partition);
        if !self.disk.exists(&path)? {
            self.disk.create_dir_all(&path)?;
            self.disk.sync_dir(&self.path)?;
        }
        let metadata = path.join(PARTITION_METADATA);
        if read_partition_metadata(&*self.disk, &metadata)?.is_none() {
            write_partition_metadata(&*self.disk, &metadata, topic_id)?;
        }
        Ok(path)
    }

    /// Takes a partition out of sight: its directory is renamed, durably, and can be removed later.
    /// `unique` keeps two deletions of one name apart.
    pub fn delete_partition(
        &self,
        topic: &str,
        partition: i32,
        unique: [u8; 16],
    ) -> io::Result<PendingDeletion> {
        let path = self.path.join(delete_dir(topic, partition, unique));
        self.disk
            .rename(&self.partition_path(topic, partition), &path)?;
        self.disk.sync_dir(&self.path)?;
        Ok(PendingDeletion { path })
    }

    /// Deletions that an earlier run began.
    pub fn pending_deletions(&self) -> io::Result<Vec<PendingDeletion>> {
        let entries = self.disk.list(&self.path)?;
        let pending = entries
            .into_iter()
            .filter(|e| e.is_dir && e.name.ends_with(DELETE_DIR_SUFFIX));
        Ok(pending
            .map(|entry| PendingDeletion {
                path: self.path.join(entry.name),
            })
            .collect())
    }

    /// Ends a deletion. Of a directory that is gone already nothing is said.
    pub fn remove(&self, deletion: &PendingDeletion) -> io::Result<()> {
        match self.disk.remove_dir_all(&deletion.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    pub fn read_checkpoint(
        &self,
        kind: CheckpointKind,
    ) -> Result<OffsetCheckpoint, CheckpointError> {
        read_offsets(&*self.disk, &self.path.join(kind.file_name()))
    }

    pub fn write_checkpoint(
        &self,
        kind: CheckpointKind,
        offsets: &OffsetCheckpoint,
    ) -> io::Result<()> {
        write_offsets(&*self.disk, &self.path.join(kind.file_name()), offsets)
    }

    /// The epoch that the clean-shutdown marker names, which stays; -1 without a marker, or an epoch
    /// in it. What [`Self::take_clean_shutdown`] will say.
    pub fn previous_broker_epoch(&self) -> io::Result<i64> {
        match self.disk.read(&self.path.join(CLEAN_SHUTDOWN)) {
            Ok(content) => Ok(parse_clean_shutdown(&String::from_utf8_lossy(&content))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(-1),
            Err(error) => Err(error),
        }
    }

    /// Reads the clean-shutdown marker and removes it, durably: from here on a crash is a crash.
    pub fn take_clean_shutdown(&self) -> io::Result<CleanShutdown> {
        let path = self.path.join(CLEAN_SHUTDOWN);
        let content = match self.disk.read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(CleanShutdown::No),
            Err(error) => return Err(error),
        };
        self.disk.remove_file(&path)?;
        self.disk.sync_dir(&self.path)?;
        let broker_epoch = parse_clean_shutdown(&String::from_utf8_lossy(&content));
        Ok(CleanShutdown::Yes { broker_epoch })
    }

    /// Marks a clean stop; every log was closed and the checkpoints are written.
    pub fn mark_clean_shutdown(&self, broker_epoch: i64) -> io::Result<()> {
        let content = print_clean_shutdown(broker_epoch);
        self.disk
            .write_atomic(&self.path.join(CLEAN_SHUTDOWN), content.as_bytes())
    }
}

/// The directory above; of a bare relative name that is the current one.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn print_meta(meta: &MetaProperties) -> String {
    format!(
        "#\nversion={META_VERSION}\ncluster.id={}\nnode.id={}\ndirectory.id={}\n",
        meta.cluster_id, meta.node_id, meta.directory_id
    )
}

fn parse_meta(path: &Path, text: &str) -> Result<MetaProperties, DirectoryError> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'));
    let properties: BTreeMap<&str, &str> = lines
        .filter_map(|line| line.split_once('='))
        .map(|(k, v)| (k.trim(), v.trim()))
        .collect();
    let invalid = |key| DirectoryError::InvalidMeta {
        path: path.to_owned(),
        key,
    };
    let version = *properties
        .get("version")
        .ok_or_else(|| invalid("version"))?;
    if version.parse() != Ok(META_VERSION) {
        let (path, found) = (path.to_owned(), version.to_owned());
        return Err(DirectoryError::UnknownVersion { path, found });
    }
    let get = |key| {
        properties
            .get(key)
            .copied()
            .filter(|v| !v.is_empty())
            .ok_or_else(|| invalid(key))
    };
    Ok(MetaProperties {
        cluster_id: get("cluster.id")?.to_owned(),
        node_id: get("node.id")?.parse().map_err(|_| invalid("node.id"))?,
        directory_id: get("directory.id")?
            .parse()
            .map_err(|_| invalid("directory.id"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_relative_name_lies_in_the_current_directory() {
        for (path, parent) in [("data", "."), ("a/data", "a"), ("/data", "/"), ("/", ".")] {
            assert_eq!(parent_of(Path::new(path)), Path::new(parent), "{path}");
        }
    }
}
