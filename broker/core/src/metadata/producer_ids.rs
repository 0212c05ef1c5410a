//! Producer ids, handed to brokers in blocks.
//!
//! Isthmus begins at `(1 + h) << 32` with `h` a 30-bit hash of the cluster id, so that the ids of
//! two clusters never meet when batches are copied unchanged from one to the other
//! (design, decision 11).

use super::{MetadataImage, MetadataRecord};
use isthmus_wire::messages::ProducerIdsRecord;

/// Ids in a block, as in Kafka.
pub const PRODUCER_ID_BLOCK: i64 = 1_000;

/// Ids `first..first + length` that belong to one broker's incarnation alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIdBlock {
    pub first: i64,
    pub length: i64,
}

/// The first id of a cluster.
pub fn first_producer_id(cluster_id: &str) -> i64 {
    (1 + i64::from(hash30(cluster_id))) << 32
}

/// The next block; it may be used once the record is committed.
pub fn allocate_producer_ids(
    image: &MetadataImage,
    cluster_id: &str,
    broker_id: i32,
    broker_epoch: i64,
) -> (MetadataRecord, ProducerIdBlock) {
    let first = image
        .next_producer_id()
        .unwrap_or_else(|| first_producer_id(cluster_id));
    let record = ProducerIdsRecord {
        broker_id,
        broker_epoch,
        next_producer_id: first + PRODUCER_ID_BLOCK,
    };
    (
        record.into(),
        ProducerIdBlock {
            first,
            length: PRODUCER_ID_BLOCK,
        },
    )
}

/// FNV-1a, folded to 30 bits. Frozen: a change would let the ids of two clusters meet.
fn hash30(text: &str) -> u32 {
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (hash >> 30) ^ (hash & 0x3fff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::MetadataDelta;

    #[test]
    fn blocks_follow_each_other_and_start_far_from_kafkas() {
        let mut image = MetadataImage::default();
        let (record, first) = allocate_producer_ids(&image, "cluster-a", 1, 0);
        assert!(first.first >= 1 << 32 && first.first & 0xffff_ffff == 0);
        image.apply(0, &record, &mut MetadataDelta::default());
        let (_, second) = allocate_producer_ids(&image, "cluster-a", 1, 0);
        assert_eq!(second.first, first.first + PRODUCER_ID_BLOCK);
    }

    #[test]
    fn the_hash_is_frozen() {
        assert_eq!(
            hash30(""),
            (0x811c_9dc5_u32 >> 30) ^ (0x811c_9dc5 & 0x3fff_ffff)
        );
        assert_eq!(
            first_producer_id("cluster-a") >> 32,
            i64::from(hash30("cluster-a")) + 1
        );
        assert_ne!(hash30("cluster-a"), hash30("cluster-b"));
    }
}
