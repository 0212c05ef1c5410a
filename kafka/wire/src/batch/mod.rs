//! Owns the record batch of magic 2: its header, views over received or stored bytes, the records
//! inside, the edits a broker or mirror makes, and building new ones.
//!
//! Must not know messages, frames, logs or topics; time comes in with the caller.
//!
//! ```text
//!  0 base offset i64            |  outside the CRC
//!  8 length i32                 |  of all that follows it
//! 12 partition leader epoch i32 |
//! 16 magic i8 = 2               |
//! 17 crc u32                    |  CRC-32C of everything from 21
//! 21 attributes i16             |  0-2 codec, 3 log append time, 4 transactional, 5 control,
//!                               |  6 delete horizon
//! 23 last offset delta i32      |
//! 27 base timestamp i64         |  the delete horizon if bit 6 is set
//! 35 max timestamp i64          |  the time of all records if bit 3 is set
//! 43 producer id i64            |  -1: none
//! 51 producer epoch i16         |
//! 53 base sequence i32          |  -1: none
//! 57 records count i32          |
//! 61 records                    |  compressed as one piece
//! ```
//!
//! Invariants: no bytes of a peer or a file make it panic; memory taken is proportional to the
//! bytes received or, for compressed records, bounded by the caller's limit.

mod attributes;
mod builder;
mod control;
mod crc_shift;
mod error;
mod header;
pub mod patch;
mod record;
mod scan;
mod varint;
mod view;

pub use attributes::{Attributes, TimestampType};
pub use builder::{BatchBuilder, BatchParams, BuildError};
pub use control::{ControlRecordType, EndTransactionMarker};
pub use error::{BatchError, RecordError};
pub use header::{BATCH_HEADER_LEN, BatchHeader, LENGTH_PREFIX_LEN, MAGIC};
pub use record::{Record, RecordHeader, RecordIter, RecordRef};
pub use scan::{OffsetRule, RecordSummary, ScanRules, ScanSummary, for_each_record, scan_records};
pub use view::{BatchIter, BatchView, split_batches, verify_crc};

pub use crate::compression::Compression;

/// No producer id in a batch header.
pub const NO_PRODUCER_ID: i64 = -1;
/// No producer epoch in a batch header.
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// No sequence in a batch header.
pub const NO_SEQUENCE: i32 = -1;
/// No timestamp, in a batch header or of a record.
pub const NO_TIMESTAMP: i64 = -1;
/// No leader epoch in a batch header; what clients write.
pub const NO_PARTITION_LEADER_EPOCH: i32 = -1;

#[cfg(test)]
mod tests;
