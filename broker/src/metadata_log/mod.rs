//! The metadata log: the committed changes, in order, agreed on by the quorum and on disk.
//!
//! [`MetadataLog`] is narrow on purpose: the controller hands in records and hears whether they are
//! committed. What stands behind it is openraft with its log and vote in redb (`quorum`, `store`,
//! `rows`), whose committed entries become the image (`machine`) and, now and then, a `snapshot`.
//! A replay after a start goes the way of a live change. A log whose quorum lost its majority goes on by
//! `recover`, and `bond` keeps what belongs to the quorum before apart from it.
//!
//! ```text
//! <data>/__cluster_metadata-0/quorum.redb                     log and vote
//! <data>/__cluster_metadata-0/<end offset>-<term>.checkpoint  snapshots: the latest, the one before
//! ```
//!
//! Must not know: what the records decide.

mod bond;
mod file;
mod follow;
mod format;
mod load;
mod machine;
mod network;
mod quorum;
mod receive;
mod recover;
mod rows;
mod rpc;
mod service;
mod snapshot;
mod store;
mod succession;
#[cfg(test)]
mod tests;
mod timing;
mod types;
mod watch;

pub(crate) use bond::QuorumBond;
pub(crate) use follow::FollowedLog;
pub(crate) use format::{finish, format, is_there};
pub(crate) use network::{Lane, QuorumTransport, TransportError};
pub(crate) use quorum::{QuorumMetadataLog, QuorumOptions};
pub(crate) use recover::{Survivor, recover, survey};
pub(crate) use service::QuorumService;
pub(crate) use timing::QuorumTiming;
pub(crate) use types::Voter;
pub(crate) use watch::{QuorumWatch, VoterState};

use crate::features::METADATA_LEVEL;
use bytes::Bytes;
use futures::future::BoxFuture;
use isthmus_broker_core::metadata::{
    MetadataDelta, MetadataImage, MetadataRecord, RecordFrameError,
};
use isthmus_broker_core::topic_name::CLUSTER_METADATA_TOPIC;
use isthmus_wire::codec::EncodeError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where committed changes go.
pub(crate) trait MetadataLog: Send {
    /// Commits the records as one, decided on the image whose last record is `last_offset`. When
    /// this returns, they survive a power loss, and the publisher was told. Given up half-way, they
    /// may yet be committed.
    fn append<'a>(
        &'a mut self,
        last_offset: i64,
        records: &'a [MetadataRecord],
    ) -> BoxFuture<'a, Result<(), MetadataLogError>>;

    /// Begins to lead: commits the record by which this incarnation of the controller begins, and
    /// gives its place, the controller epoch. Only once this voter was elected.
    fn lead(&mut self) -> BoxFuture<'_, Result<i64, MetadataLogError>>;

    /// From now on `publisher` is told of every change. Gives what there was before.
    fn publish_to(&mut self, publisher: Arc<dyn Publish>) -> (Arc<MetadataImage>, MetadataDelta);

    /// Ends the log for a clean stop.
    fn close(&mut self) -> BoxFuture<'_, Result<(), MetadataLogError>>;
}

/// Who is told of every committed change, in order, before anyone is answered. It may block.
pub(crate) trait Publish: Send + Sync {
    fn publish(&self, image: &Arc<MetadataImage>, delta: &MetadataDelta);
}

/// Why the metadata log cannot be opened, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetadataLogError {
    #[error("could not use {}: {source}", path.display())]
    Store {
        path: PathBuf,
        source: store::StoreError,
    },
    #[error("could not use the snapshot {}: {source}; restore the file from a copy", path.display())]
    Snapshot {
        path: PathBuf,
        source: snapshot::SnapshotError,
    },
    #[error(
        "{} holds no snapshot from which the log goes on; restore the files *.checkpoint from a \
         copy",
        path.display()
    )]
    NoSnapshot { path: PathBuf },
    #[error(
        "{} holds a metadata log of a build before the first release; nothing was touched: give \
         this node an empty directory and format it",
        path.display()
    )]
    BeforeTheQuorum { path: PathBuf },
    #[error(
        "{} has no quorum file: the directory was wiped in part; restore it, or give this node an \
         empty directory and format it",
        path.display()
    )]
    NoQuorum { path: PathBuf },
    #[error(
        "its metadata log is not that of directory {directory}: a voter that lost its log is a new \
         voter; give this node an empty directory, format it, and add it to the quorum"
    )]
    NotAVoter { directory: isthmus_wire::Uuid },
    #[error("{}", not_alone(voters))]
    OtherVoters { voters: Vec<Voter> },
    #[error("record {offset}: {source}")]
    Record {
        offset: i64,
        source: RecordFrameError,
    },
    #[error(
        "the directory has metadata level {found}, this build knows levels up to {}; start the \
         build that wrote it",
        METADATA_LEVEL.max
    )]
    NewerLevel { found: i16 },
    #[error("could not encode a record: {0}")]
    Encode(#[from] EncodeError),
    #[error("{} holds no metadata: the node was formatted, and never joined a quorum", path.display())]
    NoMetadata { path: PathBuf },
    #[error("could not look at {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the quorum stopped: {0}")]
    Stopped(String),
    #[error("this voter does not lead the quorum")]
    NotLeader { leader: Option<i32> },
    #[error("another voter was elected before it was committed, and may have committed it: {0}")]
    Unsure(String),
    #[error("another change of the voters is not committed yet")]
    VotersChanging,
    #[error("could not change the voters: {0}")]
    Voters(String),
    #[error("the quorum did not {what} within {limit:?}")]
    TimedOut { what: &'static str, limit: Duration },
    #[error(
        "the change was decided behind record {expected} of controller {epoch}, and another one \
         came before it"
    )]
    Stale { expected: i64, epoch: i64 },
}

impl MetadataLogError {
    /// Whether another voter can do what this one could not.
    pub(crate) fn is_about_the_lead(&self) -> bool {
        match self {
            Self::NotLeader { .. }
            | Self::Unsure(_)
            | Self::Stale { .. }
            | Self::TimedOut { .. } => true,
            Self::Store { .. }
            | Self::Snapshot { .. }
            | Self::NoSnapshot { .. }
            | Self::BeforeTheQuorum { .. }
            | Self::NoQuorum { .. }
            | Self::NotAVoter { .. }
            | Self::OtherVoters { .. }
            | Self::NoMetadata { .. }
            | Self::Record { .. }
            | Self::NewerLevel { .. }
            | Self::Encode(_)
            | Self::Io { .. }
            | Self::Stopped(_)
            | Self::VotersChanging
            | Self::Voters(_) => false,
        }
    }

    /// Whether the directory is another build's or incomplete, rather than the machine at fault.
    pub(crate) fn is_about_the_directory(&self) -> bool {
        match self {
            Self::BeforeTheQuorum { .. }
            | Self::NoQuorum { .. }
            | Self::NotAVoter { .. }
            | Self::OtherVoters { .. }
            | Self::NoMetadata { .. }
            | Self::NewerLevel { .. } => true,
            Self::Record { source, .. } => matches!(source, RecordFrameError::UnknownKind { .. }),
            Self::Store { source, .. } => source.is_of_a_newer_build(),
            Self::Snapshot { .. }
            | Self::NoSnapshot { .. }
            | Self::Encode(_)
            | Self::Io { .. }
            | Self::Stopped(_)
            | Self::NotLeader { .. }
            | Self::Unsure(_)
            | Self::VotersChanging
            | Self::Voters(_)
            | Self::TimedOut { .. }
            | Self::Stale { .. } => false,
        }
    }
}

fn not_alone(voters: &[Voter]) -> String {
    let ids: Vec<String> = voters.iter().map(|it| it.node_id.to_string()).collect();
    match ids.is_empty() {
        true => {
            "it founds no quorum, and the configuration names no other controllers: write them \
                 in cluster.controllers, or format an empty directory without \
                 --no-initial-controllers"
                .to_owned()
        }
        false => format!(
            "its quorum has the voters {}, and the configuration has this node alone: write all of \
             them in cluster.controllers",
            ids.join(", ")
        ),
    }
}

fn directory_of(data: &Path) -> PathBuf {
    data.join(format!("{CLUSTER_METADATA_TOPIC}-0"))
}

/// Reads a record, and refuses a level that a newer build raised.
fn decode_record(offset: i64, value: Bytes) -> Result<MetadataRecord, MetadataLogError> {
    let record = MetadataRecord::from_bytes(value)
        .map_err(|source| MetadataLogError::Record { offset, source })?;
    check_level(&record)?;
    Ok(record)
}

fn check_level(record: &MetadataRecord) -> Result<(), MetadataLogError> {
    match record {
        MetadataRecord::FeatureLevel(level)
            if level.name == METADATA_LEVEL.name && level.feature_level > METADATA_LEVEL.max =>
        {
            Err(MetadataLogError::NewerLevel {
                found: level.feature_level,
            })
        }
        _ => Ok(()),
    }
}
