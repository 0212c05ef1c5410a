//! One batch on its way to the target: the header to send, and the records as they lie.
//!
//! The header is patched, the records are a slice of the fetch answer or of what was rebuilt; both
//! leave by one vectored write. The CRC is patched, never computed over the payload (5.2).

use bytes::Bytes;
use isthmus_wire::batch::patch::{HeaderEdit, set_base_offset, set_partition_leader_epoch};
use isthmus_wire::batch::{
    Attributes, BATCH_HEADER_LEN, BatchError, BatchHeader, BatchView, NO_PARTITION_LEADER_EPOCH,
    NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, TimestampType,
};

use crate::names::SourceOffset;

/// Records that stood one behind the other in the source, and do so in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceRun {
    pub source: SourceOffset,
    pub count: i64,
}

/// Whose batch it is at the target. A mirror writes under an id of its own, never the source's: a
/// second cluster's ids mean nothing there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
    pub base_sequence: i32,
}

impl Producer {
    /// Not idempotent.
    pub const NONE: Self = Self {
        id: NO_PRODUCER_ID,
        epoch: NO_PRODUCER_EPOCH,
        base_sequence: NO_SEQUENCE,
    };
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    header: [u8; BATCH_HEADER_LEN],
    /// The whole batch, with the header that it came with.
    batch: Bytes,
    count: i32,
    runs: Vec<SourceRun>,
}

impl Outgoing {
    /// A source batch as it is, but for what a client must not send (5.3): base offset 0, no leader
    /// epoch, not transactional, no append time, no producer. `source` is where its first record
    /// stood.
    pub(super) fn raw(batch: &BatchView) -> Result<Self, BatchError> {
        let header = batch.header();
        let run = SourceRun {
            source: SourceOffset(header.base_offset),
            count: i64::from(header.records_count),
        };
        Self::patched(batch, vec![run])
    }

    /// A batch made here; `runs` say where its records stood.
    pub(super) fn rebuilt(batch: Bytes, runs: Vec<SourceRun>) -> Result<Self, BatchError> {
        Self::patched(&BatchView::new(batch)?, runs)
    }

    fn patched(batch: &BatchView, runs: Vec<SourceRun>) -> Result<Self, BatchError> {
        let Some(header) = batch.bytes().first_chunk::<BATCH_HEADER_LEN>() else {
            unreachable!("a view without a header");
        };
        let mut outgoing = Self {
            header: *header,
            batch: batch.bytes().clone(),
            count: batch.header().records_count,
            runs,
        };
        set_base_offset(&mut outgoing.header, 0)?;
        set_partition_leader_epoch(&mut outgoing.header, NO_PARTITION_LEADER_EPOCH)?;
        outgoing.edit(clean(batch.header().attributes), Producer::NONE)?;
        Ok(outgoing)
    }

    /// Gives the batch its place in the sequence of an idempotent producer.
    pub fn set_producer(&mut self, producer: Producer) -> Result<(), BatchError> {
        let attributes = BatchHeader::parse(&self.header)?.attributes;
        self.edit(attributes, producer)
    }

    pub fn header(&self) -> &[u8; BATCH_HEADER_LEN] {
        &self.header
    }

    /// The batch with the header that it came with, not the one to send: for a writer that sends
    /// [`Outgoing::header`] and shares the rest.
    pub fn batch(&self) -> &Bytes {
        &self.batch
    }

    pub fn records(&self) -> Bytes {
        self.batch.slice(BATCH_HEADER_LEN..)
    }

    pub fn size_in_bytes(&self) -> usize {
        self.batch.len()
    }

    pub fn count(&self) -> i32 {
        self.count
    }

    /// Where its records stood, in order; their counts add up to [`Outgoing::count`].
    pub fn runs(&self) -> &[SourceRun] {
        &self.runs
    }

    /// The source offset behind its last record.
    pub fn source_end(&self) -> SourceOffset {
        let last = self.runs.last();
        last.map_or(SourceOffset(0), |run| {
            SourceOffset(run.source.0 + run.count)
        })
    }

    fn edit(&mut self, attributes: Attributes, producer: Producer) -> Result<(), BatchError> {
        HeaderEdit::new()
            .attributes(attributes)
            .producer(producer.id, producer.epoch, producer.base_sequence)
            .apply(&mut self.header)
    }
}

fn clean(attributes: Attributes) -> Attributes {
    attributes
        .with_transactional(false)
        .with_timestamp_type(TimestampType::CreateTime)
}
