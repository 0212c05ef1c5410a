//! Batches whose content can be told from all others.

use bytes::Bytes;
use isthmus_wire::batch::{BatchBuilder, BatchParams, BatchView};

/// Most bytes that a batch of these tests unpacks to.
pub(crate) const UNPACKED_MAX: usize = 64 << 20;

/// Milliseconds since 1970, by the machine's clock.
pub(crate) fn now_ms() -> i64 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// A batch of these values at one timestamp.
pub(crate) fn batch(params: BatchParams, timestamp: i64, values: &[Vec<u8>]) -> Bytes {
    let mut builder = BatchBuilder::new(params);
    for value in values {
        builder.append(timestamp, None, Some(value), &[]).unwrap();
    }
    builder.finish().unwrap()
}

/// The values of a batch.
pub(crate) fn values(batch: &BatchView) -> Vec<Vec<u8>> {
    let records = batch.records(UNPACKED_MAX).unwrap();
    records
        .map(|record| record.unwrap().value.unwrap_or_default().to_vec())
        .collect()
}
