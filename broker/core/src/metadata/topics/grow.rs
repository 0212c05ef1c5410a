//! More partitions for topics that are there (CreatePartitions, KIP-195).

use super::replicas::{
    check_replica_lists, invalid_assignment, must_be_spread, new_partition, place_new,
};
use super::{
    MayChange, PARTITIONS_PER_REQUEST_MAX, TopicError, names_given_twice, take_budget, within_quota,
};
use crate::metadata::spread::RackPlacement;
use crate::metadata::{ConfigResource, MetadataImage, MetadataRecord, Sufficiency, too_few_racks};
use isthmus_wire::ErrorCode;

/// A wish for more partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatePartitions {
    pub name: String,
    /// Total afterwards, not the increase.
    pub count: i32,
    /// Replica lists of the new partitions only; `None` leaves the choice to the cluster.
    pub assignments: Option<Vec<Vec<i32>>>,
}

/// Verdicts in the order of the request, and the records of the accepted growth. `given`: the placement where
/// neither topic nor cluster say one.
pub fn create_partitions(
    image: &MetadataImage,
    requested: &[CreatePartitions],
    given: RackPlacement,
    may_change: MayChange<'_>,
) -> (Vec<Result<(), TopicError>>, Vec<MetadataRecord>) {
    let twice = names_given_twice(requested.iter().map(|topic| topic.name.as_str()));
    let mut records = Vec::new();
    let mut budget = PARTITIONS_PER_REQUEST_MAX;
    let mut verdicts = Vec::with_capacity(requested.len());
    for topic in requested {
        let verdict = if twice.contains(topic.name.as_str()) {
            Err(TopicError::new(
                ErrorCode::INVALID_REQUEST,
                "Duplicate topic name.",
            ))
        } else {
            grow_topic(image, topic, given, &mut budget, may_change)
        };
        verdicts.push(verdict.map(|mut made| records.append(&mut made)));
    }
    (verdicts, records)
}

fn grow_topic(
    image: &MetadataImage,
    topic: &CreatePartitions,
    given: RackPlacement,
    budget: &mut usize,
    may_change: MayChange<'_>,
) -> Result<Vec<MetadataRecord>, TopicError> {
    let existing = image.topic(&topic.name).ok_or_else(|| {
        TopicError::new(
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            "This server does not host this topic-partition.",
        )
    })?;
    let have = existing.partitions.len();
    let invalid = |message: String| Err(TopicError::new(ErrorCode::INVALID_PARTITIONS, message));
    let want = usize::try_from(topic.count).unwrap_or(0);
    if want == have {
        return invalid(format!("Topic already has {have} partition(s)."));
    }
    if want < have {
        return invalid(format!(
            "The topic {} currently has {have} partition(s); {} would not be an increase.",
            topic.name, topic.count
        ));
    }
    let more = want - have;
    take_budget(budget, more)?;
    if let Some(lists) = topic
        .assignments
        .as_ref()
        .filter(|lists| lists.len() != more)
    {
        return Err(invalid_assignment(format!(
            "Attempted to add {more} additional partition(s), but only {} assignment(s) were \
             specified.",
            lists.len()
        )));
    }
    within_quota(may_change, more)?;
    let factor = existing
        .partitions
        .first()
        .map_or(1, |partition| partition.replicas.len());
    let own = image.config(&ConfigResource::topic(&topic.name));
    let placement = RackPlacement::of_topic(image, own, given);
    let lists = match &topic.assignments {
        None => place_new(image, existing.id, (have, more), factor, placement)?,
        Some(lists) => {
            check_replica_lists(image, lists, factor)?;
            lists.clone()
        }
    };
    must_be_spread(image, placement, &lists)?;
    let first = i32::try_from(have).unwrap_or(i32::MAX);
    // Rule 21: what is new is not asked for more racks than it has.
    let asked = Sufficiency::of_topic(image, &topic.name, 1).min_insync_racks;
    let refused = (first..)
        .zip(&lists)
        .find_map(|(index, list)| too_few_racks(image, (&topic.name, index), list, asked));
    if let Some(message) = refused {
        return Err(invalid_assignment(message));
    }
    let numbered = (first..).zip(lists);
    Ok(numbered
        .map(|(index, list)| new_partition(image, existing.id, index, list))
        .collect())
}
