//! New topics: names, counts, configs (CreateTopics, KIP-4).

use super::replicas::{
    check_replica_lists, invalid_assignment, must_be_spread, new_partition, place_new,
};
use super::{
    MayChange, PARTITIONS_PER_REQUEST_MAX, TopicError, names_given_twice, take_budget,
    too_many_partitions, within_quota,
};
use crate::config::check_topic_configs;
use crate::metadata::configs::asked_racks;
use crate::metadata::spread::{RACK_PLACEMENT, RackPlacement};
use crate::metadata::sufficiency::too_few_racks;
use crate::metadata::{ConfigResource, MetadataImage, MetadataRecord};
use crate::topic_name::{self, CLUSTER_METADATA_TOPIC};
use isthmus_wire::messages::{ConfigRecord, TopicRecord};
use isthmus_wire::{ErrorCode, Uuid};
use std::collections::BTreeMap;

/// Most partitions one topic may have; a request beyond it is a slip, not a wish.
const PARTITIONS_MAX: i32 = 1_000_000;

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
    /// Where the cluster has no value either.
    pub rack_placement: RackPlacement,
}

/// A topic as it will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    pub id: Uuid,
    pub num_partitions: i32,
    pub replication_factor: i16,
    pub configs: BTreeMap<String, String>,
}

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
    let placement = placement(image, topic, defaults);
    let assignments = if topic.assignments.is_empty() {
        assign(image, topic, (defaults, placement), id, *budget)?
    } else {
        assigned_by_hand(image, topic)?
    };
    must_be_spread(image, placement, &assignments)?;
    let configs = check_configs(&topic.configs)?;
    check_racks(image, &topic.name, &configs, &assignments)?;
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

/// As the topic asks for itself; of values that are refused later any is as good.
fn placement(image: &MetadataImage, topic: &CreateTopic, defaults: TopicDefaults) -> RackPlacement {
    let mut own = topic.configs.iter();
    let own = own.find(|(name, _)| name == RACK_PLACEMENT);
    let own = own.and_then(|(_, value)| RackPlacement::from_word(value.as_deref()?));
    own.unwrap_or_else(|| RackPlacement::of_cluster(image, defaults.rack_placement))
}

fn assign(
    image: &MetadataImage,
    topic: &CreateTopic,
    (defaults, placement): (TopicDefaults, RackPlacement),
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
        (0, partitions),
        usize::try_from(factor).unwrap_or_default(),
        placement,
    )
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

/// Rule 21: no partition is asked for more racks than its replicas are in.
fn check_racks(
    image: &MetadataImage,
    topic: &str,
    configs: &BTreeMap<String, String>,
    assignments: &[Vec<i32>],
) -> Result<(), TopicError> {
    let invalid = |message: String| TopicError::new(ErrorCode::INVALID_CONFIG, message);
    let Some(asked) = asked_racks(image, configs).map_err(invalid)? else {
        return Ok(());
    };
    let mut numbered = (0..).zip(assignments);
    let refused =
        numbered.find_map(|(index, list)| too_few_racks(image, (topic, index), list, asked));
    refused.map_or(Ok(()), |message| Err(invalid(message)))
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
