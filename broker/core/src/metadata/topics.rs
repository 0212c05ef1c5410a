//! Decisions on topics: create, grow, delete.
//!
//! Each takes the image and what clients ask for, and yields one verdict per topic plus the
//! records that make the accepted ones true. Nothing here changes an image; entropy (topic ids,
//! where the placement starts) comes in as arguments. Words and codes are Kafka's.

use super::placement::{UsableBroker, place};
use super::{ConfigResource, MetadataImage, MetadataRecord};
use crate::config::check_topic_configs;
use crate::topic_name::{self, CLUSTER_METADATA_TOPIC};
use isthmus_wire::messages::{ConfigRecord, PartitionRecord, RemoveTopicRecord, TopicRecord};
use isthmus_wire::{ErrorCode, Uuid};
use std::collections::{BTreeMap, BTreeSet};

/// Most partitions one topic may have; a request beyond it is a slip, not a wish.
const PARTITIONS_MAX: i32 = 1_000_000;

/// Most partitions one request may create: each is a record and, on its broker, a directory.
const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;

/// A refusal: the client's error code, and the sentence for its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicError {
    pub code: ErrorCode,
    pub message: String,
}

impl TopicError {
    /// What a client is told. Of a quota that was exceeded Kafka says no more than that.
    pub fn told(self) -> Option<String> {
        Some(self.message).filter(|_| self.code != ErrorCode::THROTTLING_QUOTA_EXCEEDED)
    }

    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// Replica lists written by hand, by partition.
pub type Assignments = BTreeMap<i32, Vec<i32>>;

/// What a client wants created; -1 asks for the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateTopic {
    pub name: String,
    pub num_partitions: i32,
    pub replication_factor: i16,
    /// Pairs as sent: a partition may stand twice, which is an error.
    pub assignments: Vec<(i32, Vec<i32>)>,
    pub configs: Vec<(String, Option<String>)>,
}

impl CreateTopic {
    /// A topic of which only the name is given, as auto-creation wants it.
    pub fn with_defaults(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            num_partitions: -1,
            replication_factor: -1,
            ..Self::default()
        }
    }
}

/// The broker's values where a request has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicDefaults {
    pub num_partitions: i32,
    pub replication_factor: i16,
}

/// A topic as it will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    pub id: Uuid,
    pub num_partitions: i32,
    pub replication_factor: i16,
    pub configs: BTreeMap<String, String>,
}

/// Whether whoever asks may still change so many partitions (KIP-599); asked once for each topic,
/// when nothing else is in its way.
pub type MayChange<'a> = &'a mut dyn FnMut(usize) -> bool;

/// Verdicts in the order of the request, and the records of all accepted topics.
pub fn create_topics(
    image: &MetadataImage,
    requested: &[CreateTopic],
    defaults: TopicDefaults,
    mut new_id: impl FnMut() -> Uuid,
    may_change: MayChange<'_>,
) -> (Vec<Result<CreatedTopic, TopicError>>, Vec<MetadataRecord>) {
    let mut records = Vec::new();
    let mut budget = PARTITIONS_PER_REQUEST_MAX;
    let twice = names_given_twice(requested.iter().map(|topic| topic.name.as_str()));
    // Several topics of one request may collide with each other too.
    let mut accepted: Vec<&str> = Vec::new();
    let mut verdicts = Vec::with_capacity(requested.len());
    for topic in requested {
        let verdict = if twice.contains(topic.name.as_str()) {
            Err(TopicError::new(
                ErrorCode::INVALID_REQUEST,
                "Duplicate topic name.",
            ))
        } else {
            create_topic(image, topic, defaults, &accepted, &mut budget, &mut new_id).and_then(
                |made| {
                    let partitions = usize::try_from(made.0.num_partitions).unwrap_or(0);
                    within_quota(may_change, partitions).map(|()| made)
                },
            )
        };
        verdicts.push(verdict.map(|(created, mut made)| {
            records.append(&mut made);
            accepted.push(&topic.name);
            created
        }));
    }
    (verdicts, records)
}

fn create_topic(
    image: &MetadataImage,
    topic: &CreateTopic,
    defaults: TopicDefaults,
    accepted: &[&str],
    budget: &mut usize,
    new_id: &mut impl FnMut() -> Uuid,
) -> Result<(CreatedTopic, Vec<MetadataRecord>), TopicError> {
    check_name(image, &topic.name, accepted)?;
    let id = new_id();
    let assignments = if topic.assignments.is_empty() {
        assign(image, topic, defaults, id, *budget)?
    } else {
        assigned_by_hand(image, topic)?
    };
    let configs = check_configs(&topic.configs)?;
    take_budget(budget, assignments.len())?;

    let factor = assignments.first().map_or(0, Vec::len);
    let created = CreatedTopic {
        id,
        num_partitions: i32::try_from(assignments.len()).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(factor).unwrap_or(i16::MAX),
        configs,
    };
    let mut records = vec![
        TopicRecord {
            name: topic.name.clone(),
            topic_id: id,
        }
        .into(),
    ];
    records.extend(
        created
            .configs
            .iter()
            .map(|(name, value)| topic_config(&topic.name, name, value)),
    );
    records.extend(
        (0..)
            .zip(assignments)
            .map(|(index, replicas)| new_partition(image, id, index, replicas)),
    );
    Ok((created, records))
}

fn check_name(image: &MetadataImage, name: &str, accepted: &[&str]) -> Result<(), TopicError> {
    topic_name::validate(name).map_err(|error| {
        TopicError::new(
            ErrorCode::INVALID_TOPIC_EXCEPTION,
            format!("Topic name is invalid: {error}"),
        )
    })?;
    if name == CLUSTER_METADATA_TOPIC {
        return Err(TopicError::new(
            ErrorCode::INVALID_REQUEST,
            format!("Creation of internal topic {CLUSTER_METADATA_TOPIC} is prohibited."),
        ));
    }
    if image.topic(name).is_some() {
        return Err(TopicError::new(
            ErrorCode::TOPIC_ALREADY_EXISTS,
            format!("Topic '{name}' already exists."),
        ));
    }
    let existing = colliding(image, name);
    let collision = existing.or_else(|| {
        accepted
            .iter()
            .copied()
            .find(|other| topic_name::collide(other, name))
    });
    collision.map_or(Ok(()), |other| {
        Err(TopicError::new(
            ErrorCode::INVALID_TOPIC_EXCEPTION,
            format!("Topic '{name}' collides with existing topic: {other}"),
        ))
    })
}

fn colliding<'a>(image: &'a MetadataImage, name: &str) -> Option<&'a str> {
    // Colliding names share the part before their first `.` or `_`.
    let stem = name.split(['.', '_']).next().unwrap_or_default();
    image
        .topics_from(stem)
        .map(|topic| topic.name.as_ref())
        .take_while(|other| other.starts_with(stem))
        .find(|other| topic_name::collide(other, name))
}

fn assign(
    image: &MetadataImage,
    topic: &CreateTopic,
    defaults: TopicDefaults,
    id: Uuid,
    budget: usize,
) -> Result<Vec<Vec<i32>>, TopicError> {
    let factor = match topic.replication_factor {
        -1 => defaults.replication_factor,
        factor if factor >= 1 => factor,
        _ => {
            return Err(TopicError::new(
                ErrorCode::INVALID_REPLICATION_FACTOR,
                "Replication factor must be larger than 0, or -1 to use the default value.",
            ));
        }
    };
    let partitions = match topic.num_partitions {
        -1 => defaults.num_partitions,
        partitions if (1..=PARTITIONS_MAX).contains(&partitions) => partitions,
        _ => {
            return Err(TopicError::new(
                ErrorCode::INVALID_PARTITIONS,
                "Number of partitions was set to an invalid non-positive value.",
            ));
        }
    };
    let partitions = usize::try_from(partitions).unwrap_or_default();
    // Before any list is made: a count in a small request must not cost memory.
    if partitions > budget {
        return Err(too_many_partitions());
    }
    place_new(
        image,
        id,
        partitions,
        usize::try_from(factor).unwrap_or_default(),
        0,
    )
}

fn place_new(
    image: &MetadataImage,
    id: Uuid,
    partitions: usize,
    factor: usize,
    first: usize,
) -> Result<Vec<Vec<i32>>, TopicError> {
    // Kafka's words. Of those that are there, the replicas on fenced ones come into the ISR later.
    if image.brokers().all(|broker| broker.fenced) && image.brokers().next().is_some() {
        let message = format!(
            "Unable to replicate the partition {factor} time(s): All brokers are currently fenced."
        );
        let code = ErrorCode::INVALID_REPLICATION_FACTOR;
        return Err(TopicError::new(code, message));
    }
    let brokers = usable_brokers(image);
    let start = usize::from(u16::from_be_bytes([id.0[0], id.0[1]])) + first;
    place(&brokers, partitions, factor, start)
        .map_err(|error| TopicError::new(ErrorCode::INVALID_REPLICATION_FACTOR, error.to_string()))
}

fn usable_brokers(image: &MetadataImage) -> Vec<UsableBroker> {
    let brokers = image
        .brokers()
        .filter(|broker| !broker.in_controlled_shutdown);
    brokers
        .map(|broker| UsableBroker {
            id: broker.id,
            rack: broker.rack.clone(),
            fenced: broker.fenced,
        })
        .collect()
}

fn assigned_by_hand(
    image: &MetadataImage,
    topic: &CreateTopic,
) -> Result<Vec<Vec<i32>>, TopicError> {
    for (set, what) in [
        (topic.replication_factor != -1, "replication factor"),
        (topic.num_partitions != -1, "numPartitions"),
    ] {
        if set {
            return Err(TopicError::new(
                ErrorCode::INVALID_REQUEST,
                format!(
                    "A manual partition assignment was specified, but {what} was not set to -1."
                ),
            ));
        }
    }
    let mut assignments = Assignments::new();
    for (index, replicas) in &topic.assignments {
        if assignments.insert(*index, replicas.clone()).is_some() {
            return Err(invalid_assignment(format!(
                "Found multiple manual partition assignments for partition {index}"
            )));
        }
    }
    if !assignments
        .keys()
        .copied()
        .zip(0..)
        .all(|(index, expected)| index == expected)
    {
        return Err(invalid_assignment(
            "partitions should be a consecutive 0-based integer sequence".to_owned(),
        ));
    }
    let lists: Vec<Vec<i32>> = assignments.into_values().collect();
    check_replica_lists(image, &lists, lists.first().map_or(0, Vec::len))?;
    Ok(lists)
}

fn check_replica_lists(
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

fn first_repeated(replicas: &[i32]) -> i32 {
    let mut seen = BTreeSet::new();
    replicas
        .iter()
        .copied()
        .find(|&id| !seen.insert(id))
        .unwrap_or(-1)
}

fn invalid_assignment(message: String) -> TopicError {
    TopicError::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message)
}

fn check_configs(
    configs: &[(String, Option<String>)],
) -> Result<BTreeMap<String, String>, TopicError> {
    let mut checked = BTreeMap::new();
    let invalid = |message: String| TopicError::new(ErrorCode::INVALID_CONFIG, message);
    for (name, value) in configs {
        let Some(value) = value else {
            return Err(invalid(format!(
                "Null value not supported for topic configs: {name}"
            )));
        };
        checked.insert(name.clone(), value.clone());
    }
    check_topic_configs(&checked, &|_| None).map_err(invalid)?;
    Ok(checked)
}

fn take_budget(budget: &mut usize, partitions: usize) -> Result<(), TopicError> {
    *budget = budget
        .checked_sub(partitions)
        .ok_or_else(too_many_partitions)?;
    Ok(())
}

fn within_quota(may_change: MayChange<'_>, partitions: usize) -> Result<(), TopicError> {
    if may_change(partitions) {
        return Ok(());
    }
    Err(TopicError::new(
        ErrorCode::THROTTLING_QUOTA_EXCEEDED,
        "the client is over its quota of changes",
    ))
}

fn too_many_partitions() -> TopicError {
    TopicError::new(
        ErrorCode::POLICY_VIOLATION,
        format!(
            "Excessively large number of partitions per request: at most {PARTITIONS_PER_REQUEST_MAX}."
        ),
    )
}

fn topic_config(topic: &str, name: &str, value: &str) -> MetadataRecord {
    let resource = ConfigResource::topic(topic);
    ConfigRecord {
        resource_type: resource.kind,
        resource_name: resource.name,
        name: name.to_owned(),
        value: Some(value.to_owned()),
    }
    .into()
}

/// The first live replica leads and only live ones are in sync from the start.
fn new_partition(
    image: &MetadataImage,
    topic_id: Uuid,
    partition_id: i32,
    replicas: Vec<i32>,
) -> MetadataRecord {
    let live = |id: &i32| image.broker(*id).is_some_and(|broker| !broker.fenced);
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

/// A wish for more partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatePartitions {
    pub name: String,
    /// Total afterwards, not the increase.
    pub count: i32,
    /// Replica lists of the new partitions only; `None` leaves the choice to the cluster.
    pub assignments: Option<Vec<Vec<i32>>>,
}

/// Verdicts in the order of the request, and the records of the accepted growth.
pub fn create_partitions(
    image: &MetadataImage,
    requested: &[CreatePartitions],
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
            grow_topic(image, topic, &mut budget, may_change)
        };
        verdicts.push(verdict.map(|mut made| records.append(&mut made)));
    }
    (verdicts, records)
}

fn grow_topic(
    image: &MetadataImage,
    topic: &CreatePartitions,
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
    let lists = match &topic.assignments {
        None => place_new(image, existing.id, more, factor, have)?,
        Some(lists) => {
            check_replica_lists(image, lists, factor)?;
            lists.clone()
        }
    };
    let first = i32::try_from(have).unwrap_or(i32::MAX);
    let numbered = (first..).zip(lists);
    Ok(numbered
        .map(|(index, list)| new_partition(image, existing.id, index, list))
        .collect())
}

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

fn names_given_twice<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    names.filter(|name| !seen.insert(*name)).collect()
}
