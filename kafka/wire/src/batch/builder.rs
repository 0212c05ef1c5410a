//! Builds one batch, record by record: for clients, coordinators, compaction and the re-encoding
//! lane of the replicator.
//!
//! Invariant: a refused record leaves the builder as it was.

use bytes::Bytes;

use super::header::{CRC, CRC_START};
use super::varint::{put_varint, put_varlong, varint_len, varlong_len};
use super::{
    Attributes, BATCH_HEADER_LEN, BatchHeader, Compression, ControlRecordType,
    EndTransactionMarker, LENGTH_PREFIX_LEN, MAGIC, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP, Record, RecordHeader, TimestampType,
};
use crate::compression::{self, CompressionError};

/// The length field is an i32.
const BATCH_BYTES_MAX: usize = i32::MAX as usize;

/// What stands in the header. The default is a plain client's batch at offset 0.
#[derive(Clone, Debug)]
pub struct BatchParams {
    pub base_offset: i64,
    pub partition_leader_epoch: i32,
    pub compression: Compression,
    /// `compression.<codec>.level`; `None` is the codec's default.
    pub compression_level: Option<i32>,
    /// With [`TimestampType::LogAppendTime`] append with the append time, or set it by
    /// [`BatchBuilder::set_max_timestamp`].
    pub timestamp_type: TimestampType,
    /// Set by compaction in batches with tombstones or markers (KIP-534).
    pub delete_horizon_ms: Option<i64>,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub transactional: bool,
    pub control: bool,
}

impl Default for BatchParams {
    fn default() -> Self {
        Self {
            base_offset: 0,
            partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
            compression: Compression::None,
            compression_level: None,
            timestamp_type: TimestampType::CreateTime,
            delete_horizon_ms: None,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            transactional: false,
            control: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    #[error(
        "offset {offset} does not follow the last offset delta {last_offset_delta} of base offset {base_offset}"
    )]
    InvalidOffset {
        offset: i64,
        base_offset: i64,
        last_offset_delta: i32,
    },
    #[error("last offset delta {given} is below that of the last record, {last}")]
    InvalidLastOffsetDelta { given: i32, last: i32 },
    #[error("base offset {base_offset} and last offset delta {last_offset_delta} make no range")]
    InvalidRange {
        base_offset: i64,
        last_offset_delta: i32,
    },
    #[error("batch would be larger than {BATCH_BYTES_MAX} bytes")]
    TooLarge,
    #[error("no record, and no last offset delta for an empty batch")]
    Empty,
    #[error(transparent)]
    Compression(#[from] CompressionError),
}

#[derive(Debug)]
pub struct BatchBuilder {
    params: BatchParams,
    /// Room for the header, then the records, uncompressed.
    buffer: Vec<u8>,
    count: i32,
    /// -1 before the first record.
    last_delta: i32,
    base_timestamp: Option<i64>,
    max_timestamp: i64,
    given_last_offset_delta: Option<i32>,
    given_max_timestamp: Option<i64>,
}

impl BatchBuilder {
    pub fn new(params: BatchParams) -> Self {
        Self {
            base_timestamp: params.delete_horizon_ms,
            params,
            buffer: vec![0; BATCH_HEADER_LEN],
            count: 0,
            last_delta: -1,
            max_timestamp: NO_TIMESTAMP,
            given_last_offset_delta: None,
            given_max_timestamp: None,
        }
    }

    /// Appends at the next offset.
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader],
    ) -> Result<(), BuildError> {
        let offset = self.next_offset();
        self.append_with_offset(offset, timestamp, key, value, headers)
    }

    /// Appends at an offset that may leave a gap, as compaction does.
    pub fn append_with_offset(
        &mut self,
        offset: i64,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader],
    ) -> Result<(), BuildError> {
        self.put(&NewRecord {
            attributes: 0,
            offset,
            timestamp,
            key,
            value,
            headers,
        })
    }

    /// Appends a record of another batch as it is, its offset included.
    pub fn append_record(&mut self, record: &Record) -> Result<(), BuildError> {
        self.put(&NewRecord {
            attributes: record.attributes,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &record.headers,
        })
    }

    /// Appends a commit or abort marker; the batch must be a control batch.
    pub fn append_end_transaction(
        &mut self,
        timestamp: i64,
        kind: ControlRecordType,
        marker: EndTransactionMarker,
    ) -> Result<(), BuildError> {
        assert!(
            self.params.control && self.params.transactional,
            "marker {kind:?} in a batch that is not of control and transactional"
        );
        self.append(timestamp, Some(&kind.key()), Some(&marker.encode()), &[])
    }

    /// What the header says instead of the delta of the last record: compaction keeps the range
    /// of the original batch, also when no record is left.
    pub fn set_last_offset_delta(&mut self, last_offset_delta: i32) {
        self.given_last_offset_delta = Some(last_offset_delta);
    }

    /// What the header says instead of the highest timestamp of the records.
    pub fn set_max_timestamp(&mut self, max_timestamp: i64) {
        self.given_max_timestamp = Some(max_timestamp);
    }

    pub fn count(&self) -> usize {
        self.count as usize
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Header and records so far, uncompressed.
    pub fn size_in_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// What [`Self::size_in_bytes`] would be after this record.
    pub fn size_with(
        &self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader],
    ) -> usize {
        let record = NewRecord {
            attributes: 0,
            offset: self.next_offset(),
            timestamp,
            key,
            value,
            headers,
        };
        let delta = self.last_delta.saturating_add(1);
        let len = record.len(self.timestamp_delta(timestamp), delta);
        self.buffer.len() + varint_len(i32::try_from(len).unwrap_or(i32::MAX)) + len
    }

    pub fn next_offset(&self) -> i64 {
        self.params
            .base_offset
            .saturating_add(i64::from(self.last_delta) + 1)
    }

    /// Compresses, and writes header and CRC.
    pub fn finish(self) -> Result<Bytes, BuildError> {
        let header = self.header()?;
        let mut batch = match header.attributes.compression()? {
            Compression::None => self.buffer,
            codec => {
                let records = &self.buffer[BATCH_HEADER_LEN..];
                let mut out = Vec::with_capacity(BATCH_HEADER_LEN + records.len() / 2);
                out.resize(BATCH_HEADER_LEN, 0);
                compression::compress(codec, self.params.compression_level, records, &mut out)?;
                out
            }
        };
        seal(header, &mut batch)?;
        Ok(Bytes::from(batch))
    }

    fn put(&mut self, record: &NewRecord<'_>) -> Result<(), BuildError> {
        let delta = self.offset_delta(record.offset)?;
        let timestamp_delta = self.timestamp_delta(record.timestamp);
        let len = record.len(timestamp_delta, delta);
        if len > BATCH_BYTES_MAX.saturating_sub(self.buffer.len() + varint_len(i32::MAX)) {
            return Err(BuildError::TooLarge);
        }
        put_varint(&mut self.buffer, len as i32);
        let start = self.buffer.len();
        record.write(timestamp_delta, delta, &mut self.buffer);
        assert_eq!(
            self.buffer.len() - start,
            len,
            "length of the record written"
        );
        self.base_timestamp.get_or_insert(record.timestamp);
        self.max_timestamp = match self.count {
            0 => record.timestamp,
            _ => self.max_timestamp.max(record.timestamp),
        };
        self.last_delta = delta;
        self.count += 1;
        Ok(())
    }

    fn offset_delta(&self, offset: i64) -> Result<i32, BuildError> {
        offset
            .checked_sub(self.params.base_offset)
            .and_then(|delta| i32::try_from(delta).ok())
            .filter(|delta| *delta > self.last_delta && offset < i64::MAX)
            .ok_or(BuildError::InvalidOffset {
                offset,
                base_offset: self.params.base_offset,
                last_offset_delta: self.last_delta,
            })
    }

    fn timestamp_delta(&self, timestamp: i64) -> i64 {
        timestamp.wrapping_sub(self.base_timestamp.unwrap_or(timestamp))
    }

    fn header(&self) -> Result<BatchHeader, BuildError> {
        let params = &self.params;
        let last_offset_delta = match self.given_last_offset_delta {
            None if self.is_empty() => return Err(BuildError::Empty),
            None => self.last_delta,
            Some(given) if given < self.last_delta.max(0) => {
                return Err(BuildError::InvalidLastOffsetDelta {
                    given,
                    last: self.last_delta,
                });
            }
            Some(given) => given,
        };
        check_range(params.base_offset, last_offset_delta)?;
        // Nothing to compress: an empty batch has no codec, as Kafka writes it.
        let codec = match self.is_empty() {
            true => Compression::None,
            false => params.compression,
        };
        Ok(BatchHeader {
            base_offset: params.base_offset,
            batch_length: 0,
            partition_leader_epoch: params.partition_leader_epoch,
            magic: MAGIC,
            crc: 0,
            attributes: Attributes::default()
                .with_compression(codec)
                .with_timestamp_type(params.timestamp_type)
                .with_transactional(params.transactional)
                .with_control(params.control)
                .with_delete_horizon(params.delete_horizon_ms.is_some()),
            last_offset_delta,
            base_timestamp: self.base_timestamp.unwrap_or(NO_TIMESTAMP),
            max_timestamp: self.given_max_timestamp.unwrap_or(self.max_timestamp),
            producer_id: params.producer_id,
            producer_epoch: params.producer_epoch,
            base_sequence: params.base_sequence,
            records_count: self.count,
        })
    }
}

fn check_range(base_offset: i64, last_offset_delta: i32) -> Result<(), BuildError> {
    match base_offset.checked_add(i64::from(last_offset_delta) + 1) {
        Some(_) => Ok(()),
        None => Err(BuildError::InvalidRange {
            base_offset,
            last_offset_delta,
        }),
    }
}

/// Writes the header in front of the finished records.
fn seal(mut header: BatchHeader, batch: &mut [u8]) -> Result<(), BuildError> {
    header.batch_length =
        i32::try_from(batch.len() - LENGTH_PREFIX_LEN).map_err(|_| BuildError::TooLarge)?;
    let Some(front) = batch.first_chunk_mut::<BATCH_HEADER_LEN>() else {
        unreachable!("builder without room for the header");
    };
    header.write(front);
    let crc = crc32c::crc32c(&batch[CRC_START..]);
    batch[CRC].copy_from_slice(&crc.to_be_bytes());
    Ok(())
}

struct NewRecord<'a> {
    attributes: i8,
    offset: i64,
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: &'a [RecordHeader],
}

impl NewRecord<'_> {
    /// Without the length in front. Lengths beyond an i32 are counted right and refused later.
    fn len(&self, timestamp_delta: i64, offset_delta: i32) -> usize {
        let headers = self.headers.iter();
        1 + varlong_len(timestamp_delta)
            + varint_len(offset_delta)
            + nullable_len(self.key)
            + nullable_len(self.value)
            + varint_len(i32::try_from(self.headers.len()).unwrap_or(i32::MAX))
            + headers
                .map(|header| {
                    nullable_len(Some(&header.key)) + nullable_len(header.value.as_deref())
                })
                .sum::<usize>()
    }

    fn write(&self, timestamp_delta: i64, offset_delta: i32, out: &mut Vec<u8>) {
        out.push(self.attributes as u8);
        put_varlong(out, timestamp_delta);
        put_varint(out, offset_delta);
        put_nullable(out, self.key);
        put_nullable(out, self.value);
        put_varint(out, self.headers.len() as i32);
        for header in self.headers {
            put_nullable(out, Some(&header.key));
            put_nullable(out, header.value.as_deref());
        }
    }
}

fn nullable_len(bytes: Option<&[u8]>) -> usize {
    match bytes {
        None => varint_len(-1),
        Some(bytes) => varint_len(i32::try_from(bytes.len()).unwrap_or(i32::MAX)) + bytes.len(),
    }
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, bytes.len() as i32);
            out.extend_from_slice(bytes);
        }
    }
}
