//! Whole batches as slices of received or stored bytes, cut out of a `records` field.

use bytes::Bytes;

use super::header::{CRC_START, MAGIC_AT, check_length};
use super::{
    BATCH_HEADER_LEN, BatchError, BatchHeader, Compression, LENGTH_PREFIX_LEN, MAGIC, RecordIter,
};

/// One whole batch. Its CRC is not checked unless asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchView {
    header: BatchHeader,
    bytes: Bytes,
}

impl BatchView {
    /// `bytes` must be one batch, no more and no less.
    pub fn new(bytes: Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(&bytes)?;
        if header.size_in_bytes() != bytes.len() {
            return Err(BatchError::LengthMismatch {
                stated: header.size_in_bytes(),
                actual: bytes.len(),
            });
        }
        Ok(Self { header, bytes })
    }

    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The records as they lie in the batch, compressed or not.
    pub fn stored_records(&self) -> Bytes {
        self.bytes.slice(BATCH_HEADER_LEN..)
    }

    pub fn verify_crc(&self) -> Result<(), BatchError> {
        compare_crc(self.header.crc, &self.bytes)
    }

    /// How the stored records are compressed: no bytes are no records, whatever the attributes
    /// say.
    pub(super) fn records_codec(&self) -> Result<Compression, BatchError> {
        let codec = self.header.compression()?;
        let is_bare = self.bytes.len() == BATCH_HEADER_LEN;
        Ok(if is_bare { Compression::None } else { codec })
    }

    /// The records, each a slice of this batch or of one decompression of at most
    /// `decompressed_bytes_max` bytes.
    pub fn records(&self, decompressed_bytes_max: usize) -> Result<RecordIter, BatchError> {
        RecordIter::new(self, decompressed_bytes_max)
    }
}

/// Checks the CRC of one whole batch.
pub fn verify_crc(batch: &[u8]) -> Result<(), BatchError> {
    let header = BatchHeader::parse(batch)?;
    if header.size_in_bytes() != batch.len() {
        return Err(BatchError::LengthMismatch {
            stated: header.size_in_bytes(),
            actual: batch.len(),
        });
    }
    compare_crc(header.crc, batch)
}

fn compare_crc(stored: u32, batch: &[u8]) -> Result<(), BatchError> {
    let computed = crc32c::crc32c(&batch[CRC_START..]);
    if stored != computed {
        return Err(BatchError::WrongCrc { stored, computed });
    }
    Ok(())
}

/// The batches of a `records` field, one behind the other.
pub fn split_batches(records: &Bytes) -> BatchIter {
    BatchIter {
        rest: records.clone(),
        failed: false,
    }
}

/// Ends at the end, at a batch that is cut short (then [`BatchIter::remaining`] is not 0; a Fetch
/// response may end so, a Produce request may not), and after an error.
#[derive(Clone, Debug)]
pub struct BatchIter {
    rest: Bytes,
    failed: bool,
}

impl BatchIter {
    /// Bytes not given out as batches.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    fn next_batch(&mut self) -> Result<Option<BatchView>, BatchError> {
        let Some(prefix) = self.rest.first_chunk::<LENGTH_PREFIX_LEN>() else {
            return Ok(None);
        };
        let [.., a, b, c, d] = *prefix;
        let size = whole_size(i32::from_be_bytes([a, b, c, d]), self.rest.get(MAGIC_AT))?;
        if self.rest.len() < size {
            return Ok(None);
        }
        let header = BatchHeader::parse(&self.rest)?;
        let bytes = self.rest.split_to(size);
        Ok(Some(BatchView { header, bytes }))
    }
}

impl Iterator for BatchIter {
    type Item = Result<BatchView, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_batch();
        self.failed = next.is_err();
        next.transpose()
    }
}

impl std::iter::FusedIterator for BatchIter {}

/// The size of a batch with this length field; an old format is named before its length, which
/// has other bounds, is judged.
fn whole_size(length: i32, magic: Option<&u8>) -> Result<usize, BatchError> {
    match magic.map(|magic| *magic as i8) {
        None | Some(MAGIC) => check_length(length),
        Some(magic) => Err(BatchError::UnsupportedMagic(magic)),
    }
}
