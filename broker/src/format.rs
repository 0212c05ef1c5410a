//! Formatting a data directory: giving a node its identity, and its quorum the first voter, once.
//!
//! An empty controller never forms a quorum by itself, so a broker refuses an unformatted
//! directory; only `--dev` formats without being asked.

use crate::ids::random_uuid;
use crate::metadata_log::{self, Voter};
use crate::settings::Settings;
use isthmus_log::disk::{FaultPlanError, ProcessDisk, process_disk};
use isthmus_log::{DirectoryError, LogDirectory, MetaProperties};
use isthmus_wire::Uuid;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("could not {0}")]
    Directory(#[from] DirectoryError),
    #[error("{} is formatted already, for node {node_id} of cluster {cluster_id}", data.display())]
    AlreadyFormatted {
        data: PathBuf,
        cluster_id: String,
        node_id: i32,
    },
    #[error("the cluster id {0:?} is not 1 to 64 letters, digits, '-' or '_'")]
    ClusterId(String),
    #[error(
        "{} holds a metadata log but no meta.properties; nothing was touched: restore that file, \
         or give an empty directory",
        data.display()
    )]
    LeftoverLog { data: PathBuf },
    #[error("could not found the quorum: {0}")]
    Quorum(String),
    #[error("could not prepare the disk: {0}")]
    FaultPlan(#[from] FaultPlanError),
}

impl FormatError {
    /// Whether the configuration or the directory is wrong, rather than the machine.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Directory(DirectoryError::Io { .. }) | Self::Quorum(_) => false,
            Self::Directory(_)
            | Self::AlreadyFormatted { .. }
            | Self::ClusterId(_)
            | Self::LeftoverLog { .. }
            | Self::FaultPlan(_) => true,
        }
    }
}

/// The identity that a directory was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formatted {
    pub data: PathBuf,
    pub cluster_id: String,
    pub node_id: i32,
    pub directory_id: Uuid,
}

/// Formats the directory of these settings; without a cluster id a new one is made.
pub fn format_directory(
    settings: &Settings,
    cluster_id: Option<&str>,
) -> Result<Formatted, FormatError> {
    let disk = process_disk(None)?;
    let meta = format(&disk, &settings.data, settings.node_id, cluster_id)?;
    Ok(Formatted {
        data: settings.data.clone(),
        cluster_id: meta.cluster_id,
        node_id: meta.node_id,
        directory_id: meta.directory_id,
    })
}

/// Writes the identity into an empty or new directory; returns it.
pub(crate) fn format(
    disk: &ProcessDisk,
    data: &Path,
    node_id: i32,
    cluster_id: Option<&str>,
) -> Result<MetaProperties, FormatError> {
    let cluster_id = match cluster_id {
        Some(given) => given.to_owned(),
        None => random_uuid().to_string(),
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if cluster_id.is_empty() || cluster_id.len() > 64 || !cluster_id.bytes().all(legal) {
        return Err(FormatError::ClusterId(cluster_id));
    }
    if let Ok(MetaProperties {
        cluster_id,
        node_id,
        ..
    }) = LogDirectory::read_meta(disk, data)
    {
        return Err(FormatError::AlreadyFormatted {
            data: data.to_owned(),
            cluster_id,
            node_id,
        });
    }
    let meta = MetaProperties {
        cluster_id,
        node_id,
        directory_id: random_uuid(),
    };
    found_quorum(disk, data, &meta)?;
    LogDirectory::format(disk, data, &meta)?;
    metadata_log::finish(disk, data).map_err(|error| FormatError::Quorum(error.to_string()))?;
    Ok(meta)
}

/// Writes the quorum's first log, with this node as its only voter.
fn found_quorum(disk: &ProcessDisk, data: &Path, meta: &MetaProperties) -> Result<(), FormatError> {
    let failed = |error: &dyn std::fmt::Display| FormatError::Quorum(error.to_string());
    if metadata_log::is_there(disk, data).map_err(|error| failed(&error))? {
        let data = data.to_owned();
        return Err(FormatError::LeftoverLog { data });
    }
    let voter = Voter {
        node_id: meta.node_id,
        directory_id: meta.directory_id,
    };
    metadata_log::format(disk, data, voter).map_err(|error| failed(&error))
}

/// What to do about a directory that was refused.
pub(crate) fn remedy(error: &DirectoryError) -> &'static str {
    match error {
        DirectoryError::Io { .. } => "; look at the path, its owner and its rights",
        DirectoryError::NotFormatted { .. } => {
            "; run `isthmus format -c FILE --cluster-id new` once"
        }
        DirectoryError::Locked { .. } => {
            "; stop the broker that uses it, or give another directory"
        }
        DirectoryError::ForeignCluster { .. } | DirectoryError::ForeignNode { .. } => {
            "; nothing was touched: give this node its own directory"
        }
        DirectoryError::UnknownVersion { .. } => "; nothing was touched: start the newer build",
        DirectoryError::InvalidMeta { .. } => "; nothing was touched: restore the file",
    }
}
