//! One partition's log on disk, in Apache Kafka's own formats.
//!
//! Owns: segments and their indexes, the epoch history, the producer state, recovery, retention,
//! compaction, and the data directory around them, over a small [`disk::Disk`] trait.
//! Must not know: leaders and followers, requests, clocks, threads. Time is handed in.
//! Invariants: what was synced is never lost by opening, and what opens is a prefix of what was
//! appended; a disk that failed once is not trusted again.
//!
//! In the order of a record's way: [`LogDirectory`] → [`Log::open`] → [`Log::append_as_leader`]
//! (`validate`, `producers`, `roll`, `segment`) → [`Log::flush_plan`] → [`Log::read`] →
//! [`Log::apply_retention`], [`Log::cleanable`] (`compaction`).

mod append;
mod checkpoint;
mod compaction;
mod config;
mod directory;
pub mod disk;
mod epochs;
mod error;
mod evidence;
mod flush;
mod index;
mod leftovers;
mod load;
mod log;
mod lookup;
mod names;
mod open;
mod producers;
mod read;
mod recall;
mod recovery;
mod replay;
mod retention;
mod roll;
mod scanner;
mod segment;
mod truncate;
mod validate;

pub use append::AppendInfo;
pub use checkpoint::{CheckpointError, MalformedCheckpoint, OffsetCheckpoint};
pub use compaction::{
    BadBatch, CleanError, Cleanable, CleanedGroup, CleanerLimits, Cleaning, CleaningPlan,
    CleaningStats, Pace,
};
pub use config::{AppendOrigin, AppendRules, CleanupPolicy, LogConfig, OpenContext};
pub use directory::{
    CheckpointKind, CleanShutdown, DirectoryError, LogDirectory, MetaProperties, PartitionDir,
    PendingDeletion,
};
pub use epochs::{EpochEntry, UNDEFINED_EPOCH, UNDEFINED_EPOCH_OFFSET};
pub use error::{AppendError, OpenError, ProducerError, ReadError, RecordError, StorageError};
pub use evidence::{CutOff, Evidence, Suffix};
pub use flush::FlushPlan;
pub use index::AbortedTxn;
pub use log::{Log, SegmentInfo};
pub use open::RecoveryReport;
pub use producers::ActiveProducer;
pub use read::{LogRead, TimestampedOffset};
pub use retention::Deleted;
