//! Why a batch or one of its records could not be read.

use crate::compression::CompressionError;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("batch of {available} bytes, at least {needed} are needed")]
    TooShort { needed: usize, available: usize },
    #[error("invalid batch length {0}")]
    InvalidLength(i32),
    #[error("batch says it has {stated} bytes but {actual} are given")]
    LengthMismatch { stated: usize, actual: usize },
    #[error("unsupported batch magic {0}")]
    UnsupportedMagic(i8),
    #[error("base offset {base_offset} and last offset delta {last_offset_delta} make no range")]
    InvalidOffsets {
        base_offset: i64,
        last_offset_delta: i32,
    },
    #[error("records count {count} does not fit last offset delta {last_offset_delta}")]
    InvalidCount { count: i32, last_offset_delta: i32 },
    #[error("crc is {computed:#010x}, the header says {stored:#010x}")]
    WrongCrc { stored: u32, computed: u32 },
    #[error("{0} bytes follow the last record")]
    TrailingBytes(usize),
    #[error("record {index}: {error}")]
    Record { index: u32, error: RecordError },
    #[error(transparent)]
    Compression(#[from] CompressionError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("cut short")]
    CutShort,
    #[error("varint too long")]
    VarintTooLong,
    #[error("invalid length {0}")]
    InvalidLength(i32),
    #[error("{0} bytes too many inside the record")]
    TrailingBytes(usize),
    #[error("invalid headers count {0}")]
    InvalidHeadersCount(i32),
    #[error("header without a key")]
    HeaderWithoutKey,
    #[error("reserved attribute bits set: {0:#04x}")]
    ReservedAttributes(i8),
    #[error("offset delta {found}, expected {expected}")]
    OffsetNotConsecutive { found: i32, expected: i32 },
    #[error("offset delta {found} after {previous}")]
    OffsetNotIncreasing { found: i32, previous: i32 },
    #[error("offset delta {found} beyond the last of the batch, {last}")]
    OffsetBeyondLast { found: i32, last: i32 },
}

impl RecordError {
    pub(super) fn at(self, index: u32) -> BatchError {
        BatchError::Record { index, error: self }
    }
}
