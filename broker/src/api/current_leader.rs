//! Where a partition went (KIP-951): who was asked in vain says who leads now, and how to reach that
//! broker through the listener asked, so that clients need no metadata first (pitfall 12).

use crate::endpoints::{Reachable, reachable};
use isthmus_broker_core::metadata::{MetadataImage, TopicImage};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Leader and leader epoch, as far as the metadata here knows.
pub(super) fn current_leader(topic: Option<&Arc<TopicImage>>, index: i32) -> Option<(i32, i32)> {
    let at = usize::try_from(index).ok()?;
    let partition = topic?.partitions.get(at)?;
    Some((partition.leader, partition.leader_epoch))
}

/// The live ones of those brokers.
pub(super) fn nodes<'a>(
    image: &'a MetadataImage,
    listener: &'a str,
    ids: &'a BTreeSet<i32>,
) -> impl Iterator<Item = Reachable<'a>> {
    reachable(image, listener).filter(|broker| ids.contains(&broker.id))
}
