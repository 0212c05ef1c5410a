//! Records inside a batch.
//!
//! ```text
//! record: length varint | attributes i8 | timestamp delta varlong | offset delta varint
//!         | key | value | headers count varint | headers
//! key, value: length varint (-1: null) | bytes
//! header:     key length varint | key | value length varint (-1: null) | value
//! ```
//! One parser serves both the borrowed form, which allocates nothing, and the iterator.

use bytes::Bytes;

use super::scan::{OffsetCheck, OffsetRule};
use super::varint::Cursor;
use super::{BatchError, BatchHeader, BatchView, RecordError};
use crate::compression::{self, Compression};

/// A header is at least a key length and a value length.
const HEADER_LEN_MIN: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// No bit has a meaning yet.
    pub attributes: i8,
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<RecordHeader>,
}

/// The key should be UTF-8 and is kept as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    pub key: Bytes,
    pub value: Option<Bytes>,
}

/// A record borrowed from uncompressed bytes; all of it, headers included, has been checked.
#[derive(Clone, Copy)]
pub struct RecordRef<'a> {
    pub attributes: i8,
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers_count: u32,
    /// With the length in front.
    pub size: usize,
    headers: Cursor<'a>,
}

impl<'a> RecordRef<'a> {
    /// The record at the front of `cursor`.
    #[inline]
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, RecordError> {
        let before = cursor.remaining();
        let len = cursor.varint()?;
        let len = usize::try_from(len).map_err(|_| RecordError::InvalidLength(len))?;
        let mut body = Cursor::new(cursor.take(len)?);
        let attributes = body.i8()?;
        let timestamp_delta = body.varlong()?;
        let offset_delta = body.varint()?;
        let key = nullable(&mut body)?;
        let value = nullable(&mut body)?;
        let headers_count = body.varint()?;
        let headers = body;
        if headers_count != 0 {
            skip_headers(&mut body, headers_count)?;
        }
        if body.remaining() != 0 {
            return Err(RecordError::TrailingBytes(body.remaining()));
        }
        Ok(Self {
            attributes,
            timestamp_delta,
            offset_delta,
            key,
            value,
            headers_count: headers_count as u32,
            size: before - cursor.remaining(),
            headers,
        })
    }

    /// Key and value of each header.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut cursor = self.headers;
        (0..self.headers_count).map_while(move |_| read_header(&mut cursor).ok())
    }

    fn to_record(self, header: &BatchHeader, memory: &Bytes) -> Record {
        let owned = |slice: &[u8]| memory.slice_ref(slice);
        Record {
            attributes: self.attributes,
            offset: header.base_offset + i64::from(self.offset_delta),
            timestamp: header.timestamp(self.timestamp_delta),
            key: self.key.map(owned),
            value: self.value.map(owned),
            headers: self
                .headers()
                .map(|(key, value)| RecordHeader {
                    key: owned(key),
                    value: value.map(owned),
                })
                .collect(),
        }
    }
}

impl std::fmt::Debug for RecordRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordRef")
            .field("attributes", &self.attributes)
            .field("timestamp_delta", &self.timestamp_delta)
            .field("offset_delta", &self.offset_delta)
            .field("key", &self.key)
            .field("value", &self.value)
            .field("headers", &self.headers().collect::<Vec<_>>())
            .finish()
    }
}

#[inline]
fn nullable<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, RecordError> {
    match cursor.varint()? {
        -1 => Ok(None),
        len => match usize::try_from(len) {
            Ok(len) => cursor.take(len).map(Some),
            Err(_) => Err(RecordError::InvalidLength(len)),
        },
    }
}

fn skip_headers(cursor: &mut Cursor<'_>, count: i32) -> Result<(), RecordError> {
    match usize::try_from(count) {
        Ok(len) if len <= cursor.remaining() / HEADER_LEN_MIN => {}
        _ => return Err(RecordError::InvalidHeadersCount(count)),
    }
    for _ in 0..count {
        read_header(cursor)?;
    }
    Ok(())
}

fn read_header<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a [u8], Option<&'a [u8]>), RecordError> {
    let key = nullable(cursor)?.ok_or(RecordError::HeaderWithoutKey)?;
    Ok((key, nullable(cursor)?))
}

/// The records of one batch. Checks count, lengths and that offsets grow within the batch; ends
/// after the first error.
#[derive(Clone, Debug)]
pub struct RecordIter {
    header: BatchHeader,
    memory: Bytes,
    position: usize,
    offsets: OffsetCheck,
    done: bool,
}

impl RecordIter {
    pub(super) fn new(view: &BatchView, decompressed_bytes_max: usize) -> Result<Self, BatchError> {
        let stored = view.stored_records();
        let memory = match view.records_codec()? {
            Compression::None => stored,
            codec => compression::decompress(codec, &stored, decompressed_bytes_max)?,
        };
        Ok(Self {
            header: view.header().clone(),
            memory,
            position: 0,
            offsets: OffsetCheck::new(OffsetRule::Increasing, view.header())?,
            done: false,
        })
    }

    fn next_record(&mut self) -> Result<Option<Record>, BatchError> {
        let rest = &self.memory[self.position..];
        if self.offsets.is_complete() {
            return match rest.len() {
                0 => Ok(None),
                more => Err(BatchError::TrailingBytes(more)),
            };
        }
        let record = RecordRef::read(&mut Cursor::new(rest))
            .map_err(|error| error.at(self.offsets.index()))?;
        self.offsets.check(&record)?;
        self.position += record.size;
        Ok(Some(record.to_record(&self.header, &self.memory)))
    }
}

impl Iterator for RecordIter {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.next_record();
        self.done = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

impl std::iter::FusedIterator for RecordIter {}
