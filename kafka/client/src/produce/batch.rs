//! A record batch on its way out: its header may be edited, its records stay where they are.
//!
//! Invariant: `bytes` is exactly one batch of format 2, and the edited header describes the same
//! records: only fields outside the records change, with the checksum kept right by
//! `isthmus_wire::batch::patch`.

use bytes::{Bytes, BytesMut};
use isthmus_wire::batch::{BATCH_HEADER_LEN, BatchError, BatchHeader, BatchView, patch};

/// One record batch with a header of its own.
#[derive(Clone, Debug)]
pub struct RawBatch {
    header: [u8; BATCH_HEADER_LEN],
    bytes: Bytes,
}

/// Who produced a batch, and where it stands in that producer's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerStamp {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
}

impl RawBatch {
    /// Takes exactly one batch. Neither checksum nor records are looked at.
    pub fn new(bytes: Bytes) -> Result<Self, BatchError> {
        let view = BatchView::new(bytes)?;
        Ok(Self::from(view))
    }

    /// The header as edited.
    pub fn parsed(&self) -> BatchHeader {
        BatchHeader::parse(&self.header).expect("an edited header stays one")
    }

    /// Length in bytes, header included.
    pub fn size_in_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Records that the broker will count: it refuses batches with holes.
    pub fn records_count(&self) -> i32 {
        self.parsed().records_count
    }

    /// A producer sends every batch from offset 0 on; anything else makes the broker write the
    /// whole batch anew.
    pub fn set_base_offset(&mut self, offset: i64) {
        patch::set_base_offset(&mut self.header, offset).expect("a whole header");
    }

    pub fn set_producer(&mut self, stamp: ProducerStamp) -> Result<(), BatchError> {
        let ProducerStamp {
            producer_id,
            producer_epoch,
            base_sequence,
        } = stamp;
        patch::set_producer(&mut self.header, producer_id, producer_epoch, base_sequence)
    }

    /// For any other edit of `isthmus_wire::batch::patch`, which needs only the header.
    pub fn edit(
        &mut self,
        edit: impl FnOnce(&mut [u8]) -> Result<(), BatchError>,
    ) -> Result<(), BatchError> {
        edit(&mut self.header)
    }

    /// Whether the header differs from the one in `bytes`.
    pub(super) fn is_edited(&self) -> bool {
        self.header[..] != self.bytes[..BATCH_HEADER_LEN]
    }

    /// The bytes with the header they came with.
    pub(super) fn unedited(&self) -> &Bytes {
        &self.bytes
    }

    /// Header and records apart, without copying the records.
    pub(super) fn parts(&self) -> (Bytes, Bytes) {
        (
            Bytes::copy_from_slice(&self.header),
            self.bytes.slice(BATCH_HEADER_LEN..),
        )
    }

    /// One piece, copied.
    pub(super) fn copied(&self) -> Bytes {
        let mut copy = BytesMut::with_capacity(self.bytes.len());
        copy.extend_from_slice(&self.header);
        copy.extend_from_slice(&self.bytes[BATCH_HEADER_LEN..]);
        copy.freeze()
    }
}

impl From<BatchView> for RawBatch {
    fn from(view: BatchView) -> Self {
        let bytes = view.into_bytes();
        let header = bytes
            .first_chunk()
            .copied()
            .expect("a batch has a whole header");
        Self { header, bytes }
    }
}
