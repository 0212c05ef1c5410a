//! The 61 bytes in front of the records, parsed and written. The layout is in `batch`'s head.

use std::ops::Range;

use super::{Attributes, BatchError, Compression, NO_PRODUCER_ID, NO_SEQUENCE, TimestampType};
use crate::compression::CompressionError;

/// The only magic read and written here; 0 and 1 are the formats before Kafka 0.11.
pub const MAGIC: i8 = 2;
pub const BATCH_HEADER_LEN: usize = 61;
/// Base offset and length: what the length field does not count.
pub const LENGTH_PREFIX_LEN: usize = 12;

pub(super) const BASE_OFFSET: Range<usize> = 0..8;
pub(super) const LENGTH: Range<usize> = 8..12;
pub(super) const PARTITION_LEADER_EPOCH: Range<usize> = 12..16;
pub(super) const MAGIC_AT: usize = 16;
pub(super) const CRC: Range<usize> = 17..21;
/// Where the bytes start that the CRC covers.
pub(super) const CRC_START: usize = 21;
pub(super) const ATTRIBUTES: Range<usize> = 21..23;
pub(super) const LAST_OFFSET_DELTA: Range<usize> = 23..27;
pub(super) const BASE_TIMESTAMP: Range<usize> = 27..35;
pub(super) const MAX_TIMESTAMP: Range<usize> = 35..43;
pub(super) const PRODUCER_ID: Range<usize> = 43..51;
pub(super) const PRODUCER_EPOCH: Range<usize> = 51..53;
pub(super) const BASE_SEQUENCE: Range<usize> = 53..57;
pub(super) const RECORDS_COUNT: Range<usize> = 57..61;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: i64,
    pub batch_length: i32,
    pub partition_leader_epoch: i32,
    pub magic: i8,
    pub crc: u32,
    pub attributes: Attributes,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub records_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`; the records need not be there. What it accepts
    /// has a length that holds a header, offsets that do not overflow, and not more records than
    /// offsets. The codec is judged where it is used.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        // The magic stands at the same place in all versions, in front of all that differs.
        match bytes.get(MAGIC_AT).map(|magic| *magic as i8) {
            None => return Err(too_short(bytes)),
            Some(MAGIC) => {}
            Some(magic) => return Err(BatchError::UnsupportedMagic(magic)),
        }
        let header: &[u8; BATCH_HEADER_LEN] =
            bytes.first_chunk().ok_or_else(|| too_short(bytes))?;
        let header = Self {
            base_offset: i64::from_be_bytes(field(header, BASE_OFFSET)),
            batch_length: i32::from_be_bytes(field(header, LENGTH)),
            partition_leader_epoch: i32::from_be_bytes(field(header, PARTITION_LEADER_EPOCH)),
            magic: MAGIC,
            crc: u32::from_be_bytes(field(header, CRC)),
            attributes: Attributes(i16::from_be_bytes(field(header, ATTRIBUTES))),
            last_offset_delta: i32::from_be_bytes(field(header, LAST_OFFSET_DELTA)),
            base_timestamp: i64::from_be_bytes(field(header, BASE_TIMESTAMP)),
            max_timestamp: i64::from_be_bytes(field(header, MAX_TIMESTAMP)),
            producer_id: i64::from_be_bytes(field(header, PRODUCER_ID)),
            producer_epoch: i16::from_be_bytes(field(header, PRODUCER_EPOCH)),
            base_sequence: i32::from_be_bytes(field(header, BASE_SEQUENCE)),
            records_count: i32::from_be_bytes(field(header, RECORDS_COUNT)),
        };
        header.check()?;
        Ok(header)
    }

    /// The bytes of this header, with the CRC as the field says.
    pub(super) fn write(&self, out: &mut [u8; BATCH_HEADER_LEN]) {
        out[BASE_OFFSET].copy_from_slice(&self.base_offset.to_be_bytes());
        out[LENGTH].copy_from_slice(&self.batch_length.to_be_bytes());
        out[PARTITION_LEADER_EPOCH].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        out[MAGIC_AT] = self.magic as u8;
        out[CRC].copy_from_slice(&self.crc.to_be_bytes());
        out[ATTRIBUTES].copy_from_slice(&self.attributes.0.to_be_bytes());
        out[LAST_OFFSET_DELTA].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        out[BASE_TIMESTAMP].copy_from_slice(&self.base_timestamp.to_be_bytes());
        out[MAX_TIMESTAMP].copy_from_slice(&self.max_timestamp.to_be_bytes());
        out[PRODUCER_ID].copy_from_slice(&self.producer_id.to_be_bytes());
        out[PRODUCER_EPOCH].copy_from_slice(&self.producer_epoch.to_be_bytes());
        out[BASE_SEQUENCE].copy_from_slice(&self.base_sequence.to_be_bytes());
        out[RECORDS_COUNT].copy_from_slice(&self.records_count.to_be_bytes());
    }

    /// The whole batch, header and records.
    pub fn size_in_bytes(&self) -> usize {
        LENGTH_PREFIX_LEN + self.batch_length as usize
    }

    pub fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    pub fn next_offset(&self) -> i64 {
        self.last_offset() + 1
    }

    /// The sequence of the last offset; after `i32::MAX` comes 0. [`NO_SEQUENCE`] if there is none.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence == NO_SEQUENCE {
            return NO_SEQUENCE;
        }
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        (last % (i64::from(i32::MAX) + 1)) as i32
    }

    pub fn compression(&self) -> Result<Compression, CompressionError> {
        self.attributes.compression()
    }

    pub fn timestamp_type(&self) -> TimestampType {
        self.attributes.timestamp_type()
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes.is_transactional()
    }

    pub fn is_control(&self) -> bool {
        self.attributes.is_control()
    }

    pub fn has_producer_id(&self) -> bool {
        self.producer_id > NO_PRODUCER_ID
    }

    /// From when on tombstones and markers of this batch may be removed (KIP-534).
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        self.attributes
            .has_delete_horizon()
            .then_some(self.base_timestamp)
    }

    /// The timestamp of a record with this delta.
    pub(super) fn timestamp(&self, delta: i64) -> i64 {
        match self.timestamp_type() {
            TimestampType::CreateTime => self.base_timestamp.wrapping_add(delta),
            TimestampType::LogAppendTime => self.max_timestamp,
        }
    }

    fn check(&self) -> Result<(), BatchError> {
        check_length(self.batch_length)?;
        let next_offset = self
            .base_offset
            .checked_add(i64::from(self.last_offset_delta))
            .and_then(|last| last.checked_add(1));
        if self.last_offset_delta < 0 || next_offset.is_none() {
            return Err(BatchError::InvalidOffsets {
                base_offset: self.base_offset,
                last_offset_delta: self.last_offset_delta,
            });
        }
        let offsets = i64::from(self.last_offset_delta) + 1;
        if self.records_count < 0 || i64::from(self.records_count) > offsets {
            return Err(BatchError::InvalidCount {
                count: self.records_count,
                last_offset_delta: self.last_offset_delta,
            });
        }
        Ok(())
    }
}

/// A length field of a batch of magic 2.
pub(super) fn check_length(length: i32) -> Result<usize, BatchError> {
    match usize::try_from(length) {
        Ok(len) if len + LENGTH_PREFIX_LEN >= BATCH_HEADER_LEN => Ok(len + LENGTH_PREFIX_LEN),
        _ => Err(BatchError::InvalidLength(length)),
    }
}

pub(super) fn field<const N: usize>(header: &[u8; BATCH_HEADER_LEN], at: Range<usize>) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at]);
    bytes
}

fn too_short(bytes: &[u8]) -> BatchError {
    BatchError::TooShort {
        needed: BATCH_HEADER_LEN,
        available: bytes.len(),
    }
}
