//! What the replicator remembers, as records of one compacted topic at the target.
//!
//! Owns: keys and values, frozen from their first landing, and what a sequence of them adds up to
//! ([`StateImage`]). Must not know when one is written. The byte layouts are in
//! `docs/formats/replicator-state.md`; the golden records in `testdata/state` hold them.
//!
//! Each kind has a file: its number in the key, its version in the value. A key, kind or version
//! of a later release is an error with the remedy: to skip it would be to forget it.

mod bytes;
mod cluster;
mod end_samples;
mod gap;
mod group_offset;
mod image;
mod key;
mod offset_map;
mod pauses;
mod progress;
mod role;
mod topic;

pub use cluster::SavedCluster;
pub use end_samples::SavedEndSamples;
pub use gap::{Gap, GapCause};
pub use group_offset::SavedGroupOffset;
pub use image::{PartitionKey, SavedPartition, StateImage};
pub use key::{KEY_LAYOUT, StateKey};
pub use offset_map::{ChunkChange, OffsetMapChunk, RUNS_PER_CHUNK, SavedChunks, offset_map_of};
pub use progress::{Progress, Totals};
pub use role::SavedRole;
pub use topic::SavedTopic;

use isthmus_wire::codec::{DecodeError, EncodeError};

/// The topic that holds the state of all instances of one daemon name. Two underscores in front
/// keep it out of every mirror.
pub fn state_topic(daemon: &str) -> String {
    format!("__isthmus_replicator.{daemon}")
}

/// A state record that cannot be read. Fits after "could not read the replicator's state:".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error(
        "{what} {found} was written by a later release (this one reads up to {known}): run that \
         release, or a later one; going on without it would copy again or leave out"
    )]
    Newer {
        what: &'static str,
        found: i8,
        known: i8,
    },
    #[error("{what} {found} does not exist")]
    NeverWas { what: &'static str, found: i8 },
    #[error("the {what} record is damaged: {problem}")]
    Damaged { what: &'static str, problem: String },
}

/// A record that cannot be written: a name longer than a string may be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not write a {what} record: {problem}")]
pub struct StateWriteError {
    what: &'static str,
    problem: String,
}

impl StateError {
    fn damaged(what: &'static str, problem: impl std::fmt::Display) -> Self {
        Self::Damaged {
            what,
            problem: problem.to_string(),
        }
    }

    fn decode(what: &'static str) -> impl Fn(DecodeError) -> Self {
        move |error| Self::damaged(what, error)
    }
}

impl StateWriteError {
    fn encode(what: &'static str) -> impl Fn(EncodeError) -> Self {
        move |error| Self {
            what,
            problem: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
