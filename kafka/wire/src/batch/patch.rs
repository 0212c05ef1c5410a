//! Edits of a batch header in place, by a leader that appends or a mirror that copies.
//!
//! Base offset and leader epoch lie outside the CRC. For all else the CRC is patched without
//! reading the records: a CRC is affine, so changing the 40 covered header bytes from `a` to `b`
//! changes the CRC of the batch by the CRC difference of `a` and `b` shifted over the `n` bytes of
//! records, in O(log n).
//!
//! Only the first 61 bytes are needed: the records may lie elsewhere, for a vectored write.
//! A damaged batch stays damaged: the patched CRC is as wrong as the old one was. Check it before
//! an edit all the same, or the damage is found far from its cause.

use super::crc_shift::shift_crc;
use super::header::{
    ATTRIBUTES, BASE_OFFSET, BASE_SEQUENCE, CRC, CRC_START, MAX_TIMESTAMP, PARTITION_LEADER_EPOCH,
    PRODUCER_EPOCH, PRODUCER_ID, field,
};
use super::{Attributes, BATCH_HEADER_LEN, BatchError, BatchHeader, TimestampType};

/// Outside the CRC.
pub fn set_base_offset(batch: &mut [u8], base_offset: i64) -> Result<(), BatchError> {
    let header = BatchHeader::parse(batch)?;
    let last_offset_delta = header.last_offset_delta;
    if base_offset
        .checked_add(i64::from(last_offset_delta) + 1)
        .is_none()
    {
        return Err(BatchError::InvalidOffsets {
            base_offset,
            last_offset_delta,
        });
    }
    batch[BASE_OFFSET].copy_from_slice(&base_offset.to_be_bytes());
    Ok(())
}

/// Outside the CRC.
pub fn set_partition_leader_epoch(batch: &mut [u8], epoch: i32) -> Result<(), BatchError> {
    let _ = BatchHeader::parse(batch)?;
    batch[PARTITION_LEADER_EPOCH].copy_from_slice(&epoch.to_be_bytes());
    Ok(())
}

pub fn set_max_timestamp(batch: &mut [u8], max_timestamp: i64) -> Result<(), BatchError> {
    HeaderEdit::new().max_timestamp(max_timestamp).apply(batch)
}

/// The codec must stay: the records are not touched.
pub fn set_attributes(batch: &mut [u8], attributes: Attributes) -> Result<(), BatchError> {
    HeaderEdit::new().attributes(attributes).apply(batch)
}

pub fn set_producer(
    batch: &mut [u8],
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
) -> Result<(), BatchError> {
    HeaderEdit::new()
        .producer(producer_id, producer_epoch, base_sequence)
        .apply(batch)
}

/// What `message.timestamp.type=LogAppendTime` asks of a leader.
pub fn set_log_append_time(batch: &mut [u8], now_ms: i64) -> Result<(), BatchError> {
    let attributes = BatchHeader::parse(batch)?
        .attributes
        .with_timestamp_type(TimestampType::LogAppendTime);
    HeaderEdit::new()
        .attributes(attributes)
        .max_timestamp(now_ms)
        .apply(batch)
}

/// Several edits below the CRC, which is then patched once.
#[derive(Clone, Debug, Default)]
pub struct HeaderEdit {
    attributes: Option<Attributes>,
    max_timestamp: Option<i64>,
    producer: Option<(i64, i16, i32)>,
}

impl HeaderEdit {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = Some(attributes);
        self
    }

    #[must_use]
    pub fn max_timestamp(mut self, max_timestamp: i64) -> Self {
        self.max_timestamp = Some(max_timestamp);
        self
    }

    #[must_use]
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Self {
        self.producer = Some((id, epoch, base_sequence));
        self
    }

    pub fn apply(&self, batch: &mut [u8]) -> Result<(), BatchError> {
        let header = BatchHeader::parse(batch)?;
        let Some(bytes) = batch.first_chunk_mut::<BATCH_HEADER_LEN>() else {
            unreachable!("parse accepted a batch shorter than its header");
        };
        let before = crc32c::crc32c(&bytes[CRC_START..]);
        self.write(&header, bytes);
        let after = crc32c::crc32c(&bytes[CRC_START..]);
        let records_len = header.size_in_bytes() - BATCH_HEADER_LEN;
        let change = shift_crc(before ^ after, records_len);
        let crc = u32::from_be_bytes(field(bytes, CRC)) ^ change;
        bytes[CRC].copy_from_slice(&crc.to_be_bytes());
        Ok(())
    }

    fn write(&self, header: &BatchHeader, bytes: &mut [u8; BATCH_HEADER_LEN]) {
        if let Some(attributes) = self.attributes {
            assert_eq!(
                attributes.codec_id(),
                header.attributes.codec_id(),
                "an edit of the header cannot recompress the records"
            );
            bytes[ATTRIBUTES].copy_from_slice(&attributes.0.to_be_bytes());
        }
        if let Some(max_timestamp) = self.max_timestamp {
            bytes[MAX_TIMESTAMP].copy_from_slice(&max_timestamp.to_be_bytes());
        }
        if let Some((id, epoch, base_sequence)) = self.producer {
            bytes[PRODUCER_ID].copy_from_slice(&id.to_be_bytes());
            bytes[PRODUCER_EPOCH].copy_from_slice(&epoch.to_be_bytes());
            bytes[BASE_SEQUENCE].copy_from_slice(&base_sequence.to_be_bytes());
        }
    }
}
