//! Topics that go (DeleteTopics, by name or id: KIP-516).

use super::{MayChange, TopicError, within_quota};
use crate::metadata::{MetadataImage, MetadataRecord};
use isthmus_wire::messages::RemoveTopicRecord;
use isthmus_wire::{ErrorCode, Uuid};
use std::collections::BTreeMap;

/// How a client names a topic to delete.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicKey {
    Name(String),
    Id(Uuid),
}

/// Name and id of the topic that goes, or why it stays.
pub type DeletionVerdict = Result<(String, Uuid), TopicError>;

/// Verdicts in the order of the request, and the records. What is named twice is not deleted.
pub fn delete_topics(
    image: &MetadataImage,
    requested: &[TopicKey],
    may_change: MayChange<'_>,
) -> (Vec<DeletionVerdict>, Vec<MetadataRecord>) {
    let mut named: BTreeMap<Uuid, usize> = BTreeMap::new();
    for key in requested {
        if let Ok((_, id)) = find(image, key) {
            *named.entry(id).or_default() += 1;
        }
    }
    let mut records = Vec::new();
    let mut verdicts = Vec::with_capacity(requested.len());
    for key in requested {
        verdicts.push(find(image, key).and_then(|(name, id)| {
            if named.get(&id) != Some(&1) {
                return Err(named_twice(requested, key));
            }
            let going = image
                .topic_by_id(id)
                .map_or(0, |topic| topic.partitions.len());
            within_quota(may_change, going)?;
            records.push(RemoveTopicRecord { topic_id: id }.into());
            Ok((name, id))
        }));
    }
    (verdicts, records)
}

fn named_twice(requested: &[TopicKey], key: &TopicKey) -> TopicError {
    let alike = requested.iter().filter(|other| *other == key).count() > 1;
    let message = match (alike, key) {
        (true, TopicKey::Name(_)) => "Duplicate topic name.",
        (true, TopicKey::Id(_)) => "Duplicate topic id.",
        (false, _) => "The provided topic name maps to an ID that was already supplied.",
    };
    TopicError::new(ErrorCode::INVALID_REQUEST, message)
}

fn find(image: &MetadataImage, key: &TopicKey) -> Result<(String, Uuid), TopicError> {
    let (found, code, message) = match key {
        TopicKey::Name(name) => (
            image.topic(name),
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            "This server does not host this topic-partition.",
        ),
        TopicKey::Id(id) => (
            image.topic_by_id(*id),
            ErrorCode::UNKNOWN_TOPIC_ID,
            "This server does not host this topic ID.",
        ),
    };
    let topic = found.ok_or_else(|| TopicError::new(code, message))?;
    Ok((topic.name.to_string(), topic.id))
}
