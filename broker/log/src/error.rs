//! The failures of a log, one enum per operation.
//!
//! Owns: the types, and the client's error code for each refused append or read.
//! Must not know: requests and responses.
//! Invariants: texts are fit to follow "could not"; a storage error once returned comes back from
//! every later call.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use isthmus_wire::ErrorCode;
use isthmus_wire::batch::BatchError;

/// The disk failed; the log accepts nothing from then on.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{action} {}: {source}", path.display())]
pub struct StorageError {
    pub action: &'static str,
    pub path: PathBuf,
    #[source]
    pub source: Arc<io::Error>,
}

impl StorageError {
    pub(crate) fn new(action: &'static str, path: &Path, source: io::Error) -> StorageError {
        StorageError {
            action,
            path: path.to_owned(),
            source: Arc::new(source),
        }
    }
}

/// Why a log could not be opened; its files are as they were.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Bytes that had been synced are damaged, and valid ones follow: cutting would lose data that
    /// was acknowledged, so the partition is refused and left to its replicas.
    #[error(
        "open {}: damaged at position {position}, offset {offset}, below the recovery point \
         {recovery_point} and followed by valid data",
        segment.display()
    )]
    CorruptMiddle {
        segment: PathBuf,
        position: u64,
        offset: i64,
        recovery_point: i64,
    },
}

/// One refused record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// The index of the record in its batch.
    pub batch_index: i32,
    pub message: String,
}

/// Why nothing was appended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The bytes are not what the checksum or the layout says.
    #[error("append a damaged batch: {0}")]
    CorruptRecord(BatchError),
    #[error("append: {0}")]
    InvalidRecord(String),
    /// Single records were refused, and so the batch.
    #[error("append: {} records refused", errors.len())]
    InvalidRecords {
        errors: Vec<RecordError>,
        invalid_timestamp: bool,
    },
    #[error("append: {0}")]
    InvalidTimestamp(String),
    #[error("append a batch of {size} bytes, allowed are {max}")]
    RecordTooLarge { size: usize, max: usize },
    #[error("append {size} bytes to segments of {max}")]
    RecordListTooLarge { size: usize, max: usize },
    #[error("append: unknown codec {0}")]
    UnsupportedCompressionType(u8),
    #[error("append a batch: Invalid magic found in record: {0}")]
    UnsupportedForMessageFormat(i8),
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// A follower got a batch below its log end.
    #[error("append offset {first_offset} to a log that ends at {log_end_offset}")]
    UnexpectedAppendOffset {
        first_offset: i64,
        log_end_offset: i64,
    },
}

/// Why a producer's batch was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    #[error("append for producer {producer_id}: sequence {found}, expected {expected}")]
    OutOfOrderSequence {
        producer_id: i64,
        found: i32,
        expected: i32,
    },
    #[error("append for producer {producer_id}: epoch {found} is older than {current}")]
    InvalidProducerEpoch {
        producer_id: i64,
        found: i16,
        current: i16,
    },
    #[error("append for producer {producer_id}: not transactional while a transaction is open")]
    InvalidTxnState { producer_id: i64 },
    #[error("append for producer {producer_id}: coordinator epoch {found} is older than {current}")]
    TransactionCoordinatorFenced {
        producer_id: i64,
        found: i32,
        current: i32,
    },
}

impl AppendError {
    /// Kafka's code for it.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            AppendError::Storage(_) => ErrorCode::KAFKA_STORAGE_ERROR,
            AppendError::CorruptRecord(_) => ErrorCode::CORRUPT_MESSAGE,
            AppendError::InvalidRecord(_) => ErrorCode::INVALID_RECORD,
            AppendError::InvalidRecords {
                invalid_timestamp: false,
                ..
            } => ErrorCode::INVALID_RECORD,
            AppendError::InvalidRecords {
                invalid_timestamp: true,
                ..
            }
            | AppendError::InvalidTimestamp(_) => ErrorCode::INVALID_TIMESTAMP,
            AppendError::RecordTooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
            AppendError::RecordListTooLarge { .. } => ErrorCode::RECORD_LIST_TOO_LARGE,
            AppendError::UnsupportedCompressionType(_) => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
            // Formats before 2 are read nowhere any more (KIP-724), later ones are unknown.
            AppendError::UnsupportedForMessageFormat(0..=1) => ErrorCode::INVALID_RECORD,
            AppendError::UnsupportedForMessageFormat(_) => ErrorCode::CORRUPT_MESSAGE,
            AppendError::Producer(error) => error.error_code(),
            // Never a client's: only followers meet it.
            AppendError::UnexpectedAppendOffset { .. } => ErrorCode::UNKNOWN_SERVER_ERROR,
        }
    }
}

impl ProducerError {
    pub fn error_code(&self) -> ErrorCode {
        match self {
            ProducerError::OutOfOrderSequence { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
            ProducerError::InvalidProducerEpoch { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
            ProducerError::InvalidTxnState { .. } => ErrorCode::INVALID_TXN_STATE,
            ProducerError::TransactionCoordinatorFenced { .. } => {
                ErrorCode::TRANSACTION_COORDINATOR_FENCED
            }
        }
    }
}

/// Why nothing could be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    #[error("read offset {offset}: the log has {log_start_offset} to {log_end_offset}")]
    OffsetOutOfRange {
        offset: i64,
        log_start_offset: i64,
        log_end_offset: i64,
    },
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The disk holds something else than was written there.
    #[error("read {}: damaged at position {position}", segment.display())]
    Corrupt { segment: PathBuf, position: u64 },
}

impl ReadError {
    pub fn error_code(&self) -> ErrorCode {
        match self {
            ReadError::OffsetOutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
            ReadError::Storage(_) | ReadError::Corrupt { .. } => ErrorCode::KAFKA_STORAGE_ERROR,
        }
    }
}
