//! Progress of one partition: kind 1.
//!
//! ```text
//! INT8 version = 1 | INT64 owner generation | UUID source topic | UUID target topic
//! INT64 source began | INT64 source next | INT64 target next
//! INT64 producer id | INT16 producer epoch | INT32 next sequence     (-1: none)
//! INT64 saved at, ms | INT64 records | INT64 bytes | INT64 duplicates | INT64 missing
//! ```
//! Saved only after the target acknowledged what it says (at-least-once).

use bytes::Bytes;
use isthmus_wire::Uuid;

use super::bytes::{read, write};
use super::{StateError, StateWriteError};
use crate::names::{SourceOffset, TargetOffset};

const WHAT: &str = "progress";
const VERSION: i8 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Of the instance that owns the partition; rises with each hand-over.
    pub owner_generation: i64,
    /// The zero id where the source has none.
    pub source_topic_id: Uuid,
    pub target_topic_id: Uuid,
    /// Where the first copy began: from there it is copied again if the target loses all of it.
    pub source_began: SourceOffset,
    /// The first source offset that is not copied.
    pub source_next: SourceOffset,
    /// The target's end behind our last record.
    pub target_next: TargetOffset,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub next_sequence: i32,
    pub saved_at_ms: i64,
    pub totals: Totals,
}

/// Counted since the partition was first mirrored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub records: i64,
    pub bytes: i64,
    /// Records that the target holds twice after restarts.
    pub duplicates: i64,
    /// Source offsets that retention took before us.
    pub missing: i64,
}

impl Progress {
    /// Of two records of one partition the later one, by whoever wrote it: an owner that was
    /// replaced may still write after its successor.
    pub fn supersedes(&self, other: &Self) -> bool {
        self.owner_generation >= other.owner_generation
    }

    pub fn encode(&self) -> Result<Bytes, StateWriteError> {
        write(WHAT, VERSION, |e| {
            e.put_i64(self.owner_generation);
            e.put_uuid(self.source_topic_id);
            e.put_uuid(self.target_topic_id);
            e.put_i64(self.source_began.0);
            e.put_i64(self.source_next.0);
            e.put_i64(self.target_next.0);
            e.put_i64(self.producer_id);
            e.put_i16(self.producer_epoch);
            e.put_i32(self.next_sequence);
            e.put_i64(self.saved_at_ms);
            e.put_i64(self.totals.records);
            e.put_i64(self.totals.bytes);
            e.put_i64(self.totals.duplicates);
            e.put_i64(self.totals.missing);
            Ok(())
        })
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, StateError> {
        read(WHAT, VERSION, bytes, |d| {
            Ok(Self {
                owner_generation: d.get_i64()?,
                source_topic_id: d.get_uuid()?,
                target_topic_id: d.get_uuid()?,
                source_began: SourceOffset(d.get_i64()?),
                source_next: SourceOffset(d.get_i64()?),
                target_next: TargetOffset(d.get_i64()?),
                producer_id: d.get_i64()?,
                producer_epoch: d.get_i16()?,
                next_sequence: d.get_i32()?,
                saved_at_ms: d.get_i64()?,
                totals: Totals {
                    records: d.get_i64()?,
                    bytes: d.get_i64()?,
                    duplicates: d.get_i64()?,
                    missing: d.get_i64()?,
                },
            })
        })
    }
}
