//! The frame of a produce request, whose large batches are neither copied nor touched.
//!
//! The request is encoded with every batch as it came; then, in the list of parts, a batch with an
//! edited header is replaced by that header and a slice with the rest. Both have the same length, so
//! no length in the frame changes. Small batches are copied with their edited header beforehand.

use isthmus_wire::Records;
use isthmus_wire::codec::{EncodeError, Part};
use isthmus_wire::header::encode_request;
use isthmus_wire::messages::ProduceRequest;
use isthmus_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};

use super::{PartitionBatch, ProduceOptions, RawBatch};

/// Below this length an edited batch is copied: cheaper than two more slices in the write. Above
/// it the encoder keeps batches as parts of their own.
const COPY_BELOW: usize = 4 << 10;

/// A produce request that is not encoded yet.
pub(super) struct ProduceFrame<'a> {
    pub(super) options: &'a ProduceOptions,
    pub(super) batches: &'a [PartitionBatch],
    /// The batches by topic, as places in `batches`.
    pub(super) topics: &'a [Vec<usize>],
}

impl ProduceFrame<'_> {
    pub(super) fn encode(
        &self,
        correlation_id: i32,
        client_id: &str,
        version: i16,
    ) -> Result<Vec<Part>, EncodeError> {
        let request = self.request(|batch| {
            if batch.is_edited() && !is_large(batch) {
                batch.copied()
            } else {
                batch.unedited().clone()
            }
        });
        let parts = encode_request(correlation_id, Some(client_id), version, &request)?;
        let order = self.topics.iter().flatten();
        let batches = order.map(|&place| &self.batches[place].batch);
        let large: Vec<&RawBatch> = batches.filter(|batch| is_large(batch)).collect();
        if let Some(parts) = splice(parts, &large) {
            return Ok(parts);
        }
        // The encoder copied what it was expected to share: right, if slower, without sharing.
        let request = self.request(RawBatch::copied);
        encode_request(correlation_id, Some(client_id), version, &request)
    }

    fn request(&self, bytes: impl Fn(&RawBatch) -> bytes::Bytes) -> ProduceRequest {
        let partition = |&place: &usize| PartitionProduceData {
            index: self.batches[place].partition,
            records: Some(Records::from(bytes(&self.batches[place].batch))),
        };
        let topic = |places: &Vec<usize>| TopicProduceData {
            name: self.batches[places[0]].topic.to_string(),
            topic_id: self.batches[places[0]].topic_id,
            partition_data: places.iter().map(partition).collect(),
        };
        ProduceRequest {
            transactional_id: self.options.transactional_id.clone(),
            acks: self.options.acks.into(),
            timeout_ms: i32::try_from(self.options.timeout.as_millis()).unwrap_or(i32::MAX),
            topic_data: self.topics.iter().map(topic).collect(),
        }
    }
}

fn is_large(batch: &RawBatch) -> bool {
    batch.size_in_bytes() >= COPY_BELOW
}

/// Puts the edited headers in; `None` if one of the large batches is not a part of its own. Those
/// with the header they came with are counted too: the same bytes may go to several partitions.
fn splice(parts: Vec<Part>, large: &[&RawBatch]) -> Option<Vec<Part>> {
    let mut waiting = large.iter().peekable();
    let mut spliced = Vec::with_capacity(parts.len() + large.len());
    for part in parts {
        let is_it = |batch: &&&RawBatch| is_same(&part, batch.unedited());
        match waiting.next_if(is_it) {
            Some(batch) if batch.is_edited() => {
                let (header, records) = batch.parts();
                spliced.extend([Part::Bytes(header), Part::Bytes(records)]);
            }
            Some(_) | None => spliced.push(part),
        }
    }
    waiting.peek().is_none().then_some(spliced)
}

/// The very same memory, not only the same content.
fn is_same(part: &Part, bytes: &bytes::Bytes) -> bool {
    match part {
        Part::Bytes(it) => it.as_ptr() == bytes.as_ptr() && it.len() == bytes.len(),
        Part::File(_) => false,
    }
}

#[cfg(test)]
mod tests;
