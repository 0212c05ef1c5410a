//! Decisions on topics: create, grow, delete.
//!
//! Each takes the image and what clients ask for, and yields one verdict per topic plus the
//! records that make the accepted ones true. Nothing here changes an image; entropy (topic ids,
//! where the placement starts) comes in as arguments. Words and codes are Kafka's.
//!
//! Reading order: this file (what they share), [`create`], [`grow`], [`delete`], [`replicas`] (who
//! holds a new partition).

mod create;
mod delete;
mod grow;
mod replicas;

pub use create::{Assignments, CreateTopic, CreatedTopic, TopicDefaults, create_topics};
pub use delete::{DeletionVerdict, TopicKey, delete_topics};
pub use grow::{CreatePartitions, create_partitions};

use isthmus_wire::ErrorCode;
use std::collections::BTreeSet;

/// Most partitions one request may create: each is a record and, on its broker, a directory.
const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;

/// A refusal: the client's error code, and the sentence for its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicError {
    pub code: ErrorCode,
    pub message: String,
}

impl TopicError {
    /// What a client is told. Of a quota that was exceeded Kafka says no more than that.
    pub fn told(self) -> Option<String> {
        Some(self.message).filter(|_| self.code != ErrorCode::THROTTLING_QUOTA_EXCEEDED)
    }

    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// Whether whoever asks may still change so many partitions (KIP-599); asked once for each topic,
/// when nothing else is in its way.
pub type MayChange<'a> = &'a mut dyn FnMut(usize) -> bool;

fn take_budget(budget: &mut usize, partitions: usize) -> Result<(), TopicError> {
    *budget = budget
        .checked_sub(partitions)
        .ok_or_else(too_many_partitions)?;
    Ok(())
}

fn within_quota(may_change: MayChange<'_>, partitions: usize) -> Result<(), TopicError> {
    if may_change(partitions) {
        return Ok(());
    }
    Err(TopicError::new(
        ErrorCode::THROTTLING_QUOTA_EXCEEDED,
        "the client is over its quota of changes",
    ))
}

fn too_many_partitions() -> TopicError {
    TopicError::new(
        ErrorCode::POLICY_VIOLATION,
        format!(
            "Excessively large number of partitions per request: at most {PARTITIONS_PER_REQUEST_MAX}."
        ),
    )
}

fn names_given_twice<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    names.filter(|name| !seen.insert(*name)).collect()
}
