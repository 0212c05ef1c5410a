//! Who holds a new partition: chosen by the cluster, or checked where an operator chose.

use super::TopicError;
use crate::metadata::placement::{UsableBroker, place};
use crate::metadata::spread::{RackPlacement, check_spread};
use crate::metadata::{MetadataImage, MetadataRecord};
use isthmus_wire::messages::PartitionRecord;
use isthmus_wire::{ErrorCode, Uuid};
use std::collections::BTreeSet;

pub(super) fn place_new(
    image: &MetadataImage,
    id: Uuid,
    (first, partitions): (usize, usize),
    factor: usize,
    placement: RackPlacement,
) -> Result<Vec<Vec<i32>>, TopicError> {
    // Kafka's words. Of those that are there, the replicas on fenced ones come into the ISR later.
    if image.brokers().all(|broker| broker.fenced) && image.brokers().next().is_some() {
        let message = format!(
            "Unable to replicate the partition {factor} time(s): All brokers are currently fenced."
        );
        let code = ErrorCode::INVALID_REPLICATION_FACTOR;
        return Err(TopicError::new(code, message));
    }
    let brokers = usable_brokers(image, placement);
    let start = usize::from(u16::from_be_bytes([id.0[0], id.0[1]])) + first;
    place(&brokers, partitions, factor, start)
        .map_err(|error| TopicError::new(ErrorCode::INVALID_REPLICATION_FACTOR, error.to_string()))
}

/// Nobody gets a replica who is stopping; where replicas must be spread, such a broker counts as one that is
/// away, since its rack may have no other.
fn usable_brokers(image: &MetadataImage, placement: RackPlacement) -> Vec<UsableBroker> {
    let brokers = image.brokers().filter(|broker| match placement {
        RackPlacement::Any => !broker.in_controlled_shutdown,
        RackPlacement::Spread => true,
    });
    brokers
        .map(|broker| UsableBroker {
            id: broker.id,
            rack: broker.rack.clone(),
            fenced: broker.fenced || broker.in_controlled_shutdown,
        })
        .collect()
}

/// Refused where replicas must be spread over the racks and are not (requirement S0-06).
pub(super) fn must_be_spread(
    image: &MetadataImage,
    placement: RackPlacement,
    lists: &[Vec<i32>],
) -> Result<(), TopicError> {
    let verdict = check_spread(image, placement, lists.iter().map(Vec::as_slice));
    verdict.map_err(|error| TopicError::new(ErrorCode::POLICY_VIOLATION, error.to_string()))
}

pub(super) fn check_replica_lists(
    image: &MetadataImage,
    lists: &[Vec<i32>],
    factor: usize,
) -> Result<(), TopicError> {
    for replicas in lists {
        if replicas.is_empty() {
            return Err(invalid_assignment(
                "The manual partition assignment includes an empty replica list.".to_owned(),
            ));
        }
        let distinct: BTreeSet<_> = replicas.iter().collect();
        if distinct.len() != replicas.len() {
            return Err(invalid_assignment(format!(
                "The manual partition assignment includes the broker {} more than once.",
                first_repeated(replicas)
            )));
        }
        if let Some(unknown) = replicas.iter().find(|&&id| image.broker(id).is_none()) {
            return Err(invalid_assignment(format!(
                "The manual partition assignment includes broker {unknown}, but no such broker is \
                 registered."
            )));
        }
        if replicas.len() != factor {
            return Err(invalid_assignment(format!(
                "The manual partition assignment includes a partition with {} replica(s), but this \
                 is not consistent with previous partitions, which have {factor} replica(s).",
                replicas.len()
            )));
        }
    }
    Ok(())
}

pub(super) fn first_repeated(replicas: &[i32]) -> i32 {
    let mut seen = BTreeSet::new();
    replicas
        .iter()
        .copied()
        .find(|&id| !seen.insert(id))
        .unwrap_or(-1)
}

pub(super) fn invalid_assignment(message: String) -> TopicError {
    TopicError::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message)
}

/// The first live replica leads and only live ones are in sync from the start.
pub(super) fn new_partition(
    image: &MetadataImage,
    topic_id: Uuid,
    partition_id: i32,
    replicas: Vec<i32>,
) -> MetadataRecord {
    let live = |id: &i32| {
        let broker = image.broker(*id);
        broker.is_some_and(|it| !it.fenced && !it.in_controlled_shutdown)
    };
    let isr: Vec<i32> = replicas.iter().copied().filter(live).collect();
    let directories = replicas.iter().map(|&id| directory_of(image, id)).collect();
    PartitionRecord {
        partition_id,
        topic_id,
        leader: isr.first().copied().unwrap_or(-1),
        isr,
        replicas,
        leader_epoch: 0,
        partition_epoch: 0,
        directories,
        ..PartitionRecord::default()
    }
    .into()
}

fn directory_of(image: &MetadataImage, broker: i32) -> Uuid {
    let registration = image.broker(broker);
    registration
        .and_then(|broker| broker.directories.first().copied())
        .unwrap_or(Uuid::ZERO)
}
