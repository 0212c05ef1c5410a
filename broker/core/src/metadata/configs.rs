//! Decisions on configurations: what AlterConfigs and IncrementalAlterConfigs come to.
//!
//! Each resource gets its own verdict; the accepted ones become records. Words, codes and the order
//! of the checks are Kafka's: first what is wrong with the request, then what its resource says of
//! the values that would hold afterwards.
//! Must not know: what the values do. Whoever works by them reads them from the image.

use super::features::{METADATA_LEVEL, RACKS_LEVEL, metadata_level};
use super::min_isr::recounted;
use super::session::check_session;
use super::spread::check_placement;
use super::sufficiency::{MIN_INSYNC_RACKS, MIN_INSYNC_REPLICAS, too_few_racks, wanted_replicas};
use super::{ConfigResource, MetadataImage, MetadataRecord};
use crate::config::{
    BrokerKey, ConfigValues, Update, broker_key, check_topic_configs, listener_key, topic_key,
};
use crate::rules::Rules;
use crate::topic_name;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::ConfigRecord;
use std::collections::{BTreeMap, BTreeSet};

/// Most changes one request may make: each is a record of the metadata log.
const CHANGES_MAX: usize = 10_000;

/// A string of the wire holds no more.
const VALUE_BYTES_MAX: usize = 32_767;

/// What is done to a key (KIP-339).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigOperation {
    Set,
    Delete,
    /// Adds words to a list.
    Append,
    /// Takes words off a list.
    Subtract,
}

impl ConfigOperation {
    pub fn from_wire(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Set),
            1 => Some(Self::Delete),
            2 => Some(Self::Append),
            3 => Some(Self::Subtract),
            _ => None,
        }
    }
}

/// One key's change; an operation that is not known is refused with its resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigChange {
    pub name: String,
    pub operation: Option<ConfigOperation>,
    pub value: Option<String>,
}

/// What a client wants of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterConfigs {
    pub resource: ConfigResource,
    /// AlterConfigs: what is not named loses its value.
    pub replaces_all: bool,
    pub changes: Vec<ConfigChange>,
}

/// A refusal: the client's error code, and the sentence for its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub code: ErrorCode,
    pub message: String,
}

/// Where the decision is taken: which broker answers for its own keys, and what topics take from it.
pub struct ConfigContext<'a> {
    pub node_id: i32,
    /// What the broker was started with.
    pub fixed: &'a dyn Fn(&str) -> Option<String>,
    pub broker_default: &'a dyn Fn(&str) -> Option<String>,
    pub rules: Rules,
}

type Verdict = Result<Vec<MetadataRecord>, ConfigError>;

/// Verdicts in the order of the request, and the records of all accepted resources.
pub fn alter_configs(
    image: &MetadataImage,
    requested: &[AlterConfigs],
    context: &ConfigContext<'_>,
) -> (Vec<Result<(), ConfigError>>, Vec<MetadataRecord>) {
    let too_many = requested.iter().map(|one| one.changes.len()).sum::<usize>() > CHANGES_MAX;
    let twice = named_twice(requested.iter().map(|one| &one.resource));
    let mut records = Vec::new();
    let verdicts = requested.iter().map(|one| {
        let verdict = if too_many {
            refuse(
                ErrorCode::POLICY_VIOLATION,
                format!("Excessively large number of changes per request: at most {CHANGES_MAX}."),
            )
        } else if twice.contains(&one.resource) {
            refuse(
                ErrorCode::INVALID_REQUEST,
                "Each resource must appear at most once.",
            )
        } else {
            alter(image, one, context)
        };
        verdict.map(|mut made| records.append(&mut made))
    });
    (verdicts.collect(), records)
}

fn alter(image: &MetadataImage, one: &AlterConfigs, context: &ConfigContext<'_>) -> Verdict {
    check_request(one)?;
    let mut records = match one.resource.kind {
        ConfigResource::TOPIC => alter_topic(image, one, context),
        ConfigResource::BROKER => alter_broker(image, one, context),
        other => refuse(
            ErrorCode::INVALID_REQUEST,
            format!("Unknown resource type {other}"),
        ),
    }?;
    let replicas = (context.broker_default)(MIN_INSYNC_REPLICAS);
    let replicas = replicas.and_then(|it| it.trim().parse().ok()).unwrap_or(1);
    let mut recounted = recounted(image, &one.resource, &records, replicas, context.rules);
    records.append(&mut recounted);
    Ok(records)
}

/// What can be wrong whatever the resource is.
fn check_request(one: &AlterConfigs) -> Result<(), ConfigError> {
    if !named_twice(one.changes.iter().map(|change| &change.name)).is_empty() {
        return refuse(
            ErrorCode::INVALID_REQUEST,
            "Error due to duplicate config keys",
        );
    }
    let nulls = one.changes.iter().filter(|change| {
        change.value.is_none() && change.operation != Some(ConfigOperation::Delete)
    });
    let nulls: Vec<&str> = nulls.map(|change| change.name.as_str()).collect();
    if !nulls.is_empty() {
        return refuse(
            ErrorCode::INVALID_REQUEST,
            format!("Null value not supported for : {}", nulls.join(", ")),
        );
    }
    match one.changes.iter().find(|change| change.operation.is_none()) {
        Some(change) => refuse(
            ErrorCode::INVALID_REQUEST,
            format!("Unknown operation for {}", change.name),
        ),
        None => Ok(()),
    }
}

fn alter_topic(image: &MetadataImage, one: &AlterConfigs, context: &ConfigContext<'_>) -> Verdict {
    let name = &one.resource.name;
    if name.is_empty() {
        return refuse(
            ErrorCode::INVALID_REQUEST,
            "Default topic resources are not allowed.",
        );
    }
    if let Err(error) = topic_name::validate(name) {
        return refuse(
            ErrorCode::INVALID_TOPIC_EXCEPTION,
            format!("Topic name is invalid: {error}"),
        );
    }
    if image.topic(name).is_none() {
        return refuse(
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            format!("The topic '{name}' does not exist."),
        );
    }
    let list_default = |name: &str| {
        topic_key(name)
            .filter(|key| key.kind.is_list())
            .map(|key| key.default)
    };
    let not_a_list = |operation: ConfigOperation, name: &str| ConfigError {
        code: ErrorCode::INVALID_CONFIG,
        message: format!(
            "Can't {} to key {name} because its type is not LIST.",
            word(operation)
        ),
    };
    let before = image.config(&one.resource);
    let after = changed(before, one, list_default, not_a_list)?;
    if let Err(message) = check_topic_configs(&after, context.broker_default) {
        return refuse(ErrorCode::INVALID_CONFIG, message);
    }
    if let Err(message) = check_racks(image, name, before, &after) {
        return refuse(ErrorCode::INVALID_CONFIG, message);
    }
    Ok(difference(&one.resource, before, &after))
}

/// Rule 21: no partition is asked for more racks than its replicas are in.
fn check_racks(
    image: &MetadataImage,
    topic: &str,
    before: Option<&ConfigValues>,
    after: &ConfigValues,
) -> Result<(), String> {
    let value = |values: &ConfigValues| values.get(MIN_INSYNC_RACKS).cloned();
    if before.and_then(value) == value(after) {
        return Ok(());
    }
    let Some(asked) = asked_racks(image, after)? else {
        return Ok(());
    };
    let partitions = image.topic(topic).into_iter().flat_map(|it| &it.partitions);
    let refused = (0..).zip(partitions).find_map(|(index, partition)| {
        too_few_racks(image, (topic, index), &wanted_replicas(partition), asked)
    });
    refused.map_or(Ok(()), Err)
}

/// In how many racks a topic of those values wants its ISRs, if the cluster can promise that.
pub(super) fn asked_racks(
    image: &MetadataImage,
    values: &ConfigValues,
) -> Result<Option<usize>, String> {
    let Some(value) = values.get(MIN_INSYNC_RACKS) else {
        return Ok(None);
    };
    let level = metadata_level(image);
    if level < RACKS_LEVEL {
        return Err(format!(
            "{MIN_INSYNC_RACKS} needs {METADATA_LEVEL} {RACKS_LEVEL}, and it is {level}: builds that know \
             nothing of it may be among the nodes. Once all run this build, raise it: isthmus level raise"
        ));
    }
    Ok(value.trim().parse().ok())
}

fn alter_broker(image: &MetadataImage, one: &AlterConfigs, context: &ConfigContext<'_>) -> Verdict {
    let node_id = context.node_id;
    let name = &one.resource.name;
    if !name.is_empty() {
        match name.parse::<i32>() {
            Err(_) => {
                return refuse(
                    ErrorCode::INVALID_REQUEST,
                    format!("Node id must be an integer, but it is: {name}"),
                );
            }
            Ok(id) if id != node_id => {
                return refuse(
                    ErrorCode::INVALID_REQUEST,
                    format!("Unexpected broker id, expected {node_id}, but received {name}"),
                );
            }
            Ok(_) => {}
        }
    }
    let list_default = |name: &str| {
        let key = broker_key(name).filter(|key| key.kind.is_list());
        key.map(|key| key.default.unwrap_or_default())
    };
    let not_a_list = |operation: ConfigOperation, name: &str| ConfigError {
        code: ErrorCode::INVALID_CONFIG,
        message: format!(
            "Config value {} is not allowed for config key: {name}",
            word(operation).to_ascii_lowercase()
        ),
    };
    // "1" and "01" are the same broker, and one of them must be the name.
    let resource = match name.parse::<i32>() {
        Ok(id) => ConfigResource::broker(&id.to_string()),
        Err(_) => ConfigResource::broker(""),
    };
    let before = image.config(&resource);
    let after = changed(before, one, list_default, not_a_list)?;
    let cluster = image.config(&ConfigResource::broker(""));
    let cluster = cluster.filter(|_| !name.is_empty());
    let effective = |name: &str| {
        let dynamic = after.get(name).or_else(|| cluster?.get(name)).cloned();
        let given = dynamic.or_else(|| (context.fixed)(name));
        given.or_else(|| broker_key(name)?.default.map(str::to_owned))
    };
    let checked = check_broker_configs(&after, name.is_empty());
    let heartbeat = effective("broker.heartbeat.interval.ms");
    let heartbeat = heartbeat.and_then(|it| it.trim().parse().ok());
    let checked = checked.and_then(|()| check_session(name.is_empty(), before, &after, heartbeat));
    let checked = checked.and_then(|()| check_placement(image, name.is_empty(), &after));
    if let Err(message) = checked.and_then(|()| check_together(&effective)) {
        return refuse(ErrorCode::INVALID_REQUEST, message);
    }
    Ok(difference(&resource, before, &after))
}

/// What must hold of values that may come from different layers; the words are `KafkaConfig`'s.
fn check_together(effective: &dyn Fn(&str) -> Option<String>) -> Result<(), String> {
    let (key, others) = ("max.connections.per.ip", "max.connections.per.ip.overrides");
    let is_zero = effective(key).is_some_and(|value| value.trim().parse() == Ok(0_i32));
    let overrides = effective(others).unwrap_or_default();
    let parts = overrides.split(',').map(str::trim);
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    if is_zero && parts.is_empty() {
        return Err(format!(
            "requirement failed: {key} can be set to zero only if {others} property is set."
        ));
    }
    match parts.iter().find(|part| !is_override(part)) {
        // Java's words for what it stumbles over would help nobody.
        Some(part) => Err(format!(
            "Error parsing configuration property '{others}': {part} is not address:number"
        )),
        None => Ok(()),
    }
}

/// `address:number`; whether the address has a meaning is found out where it is looked up.
fn is_override(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(address, number)| {
        !address.trim().is_empty() && number.trim().parse::<u32>().is_ok()
    })
}

/// Whether a broker may be given these values while it runs; the words are `DynamicBrokerConfig`'s.
/// Keys that are not known are kept for plugins, as in Kafka.
fn check_broker_configs(values: &ConfigValues, for_all_brokers: bool) -> Result<(), String> {
    let names = |wanted: &dyn Fn(&str) -> bool| -> Vec<&str> {
        let names = values.keys().map(String::as_str);
        names.filter(|name| wanted(name)).collect()
    };
    let update = |name: &str| broker_key(name).map(|key| key.update);
    // Kafka would take a listener's secret. Here secrets stay in files, which metadata is not.
    let is_secret = |name: &str| {
        let key = broker_key(name).filter(|key| key.update != Update::PerListener);
        key.or_else(|| listener_key(name))
            .is_some_and(BrokerKey::is_sensitive)
    };
    let fixed = names(&|name| {
        is_secret(name) || matches!(update(name), Some(Update::ReadOnly | Update::Internal))
    });
    if !fixed.is_empty() {
        let fixed = fixed.join(", ");
        return Err(format!(
            "Cannot update these configs dynamically: Set({fixed})"
        ));
    }
    let without_prefix = names(&|name| update(name) == Some(Update::PerListener));
    if !without_prefix.is_empty() {
        return Err(format!(
            "These security configs can be dynamically updated only per-listener using the listener \
             prefix: HashSet({})",
            without_prefix.join(", ")
        ));
    }
    if values.contains_key(MIN_INSYNC_RACKS) {
        return Err(format!(
            "{MIN_INSYNC_RACKS} is a key of topics: set it at each topic that is to have it"
        ));
    }
    for (name, value) in values {
        if let Some(key) = broker_key(name).or_else(|| listener_key(name)) {
            key.check(value).map_err(|error| error.to_string())?;
        }
    }
    let of_one_broker = names(&|name| {
        let key = broker_key(name).or_else(|| listener_key(name));
        key.is_some_and(|key| matches!(key.update, Update::PerBroker | Update::PerListener))
    });
    if for_all_brokers && !of_one_broker.is_empty() {
        return Err(format!(
            "Cannot update these configs at default cluster level, broker id must be specified: \
             Set({})",
            of_one_broker.join(", ")
        ));
    }
    Ok(())
}

/// The values that would hold. `list_default` gives the words that a list without a value starts
/// from, and nothing for a key that is no list.
fn changed<'a>(
    before: Option<&ConfigValues>,
    one: &AlterConfigs,
    list_default: impl Fn(&str) -> Option<&'a str>,
    not_a_list: impl Fn(ConfigOperation, &str) -> ConfigError,
) -> Result<ConfigValues, ConfigError> {
    let mut after = match before {
        Some(before) if !one.replaces_all => before.clone(),
        _ => ConfigValues::new(),
    };
    for ConfigChange {
        name,
        operation,
        value,
    } in &one.changes
    {
        let value = value.clone().unwrap_or_default();
        let words = |operation| -> Result<Vec<String>, ConfigError> {
            let start = list_default(name).ok_or_else(|| not_a_list(operation, name))?;
            let start = after.get(name).map_or(start, String::as_str);
            Ok(split(start).map(str::to_owned).collect())
        };
        let new = match operation {
            None => continue,
            Some(ConfigOperation::Delete) => {
                after.remove(name);
                continue;
            }
            Some(ConfigOperation::Set) => value,
            Some(operation @ ConfigOperation::Append) => {
                let mut words = words(*operation)?;
                for word in split(&value) {
                    if !words.iter().any(|known| known == word) {
                        words.push(word.to_owned());
                    }
                }
                words.join(",")
            }
            Some(operation @ ConfigOperation::Subtract) => {
                let mut words = words(*operation)?;
                words.retain(|word| !split(&value).any(|gone| gone == word));
                words.join(",")
            }
        };
        if new.len() > VALUE_BYTES_MAX {
            return refuse(
                ErrorCode::INVALID_CONFIG,
                format!(
                    "The configuration value cannot be added because it exceeds the maximum value \
                     size of {VALUE_BYTES_MAX} bytes."
                ),
            );
        }
        after.insert(name.clone(), new);
    }
    Ok(after)
}

fn split(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').filter(|word| !word.is_empty())
}

/// The records that lead from one set of values to the other.
fn difference(
    resource: &ConfigResource,
    before: Option<&ConfigValues>,
    after: &ConfigValues,
) -> Vec<MetadataRecord> {
    let none = BTreeMap::new();
    let before = before.unwrap_or(&none);
    let record = |name: &String, value: Option<&String>| {
        MetadataRecord::from(ConfigRecord {
            resource_type: resource.kind,
            resource_name: resource.name.clone(),
            name: name.clone(),
            value: value.cloned(),
        })
    };
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let new = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(value));
    gone.map(|name| record(name, None))
        .chain(new.map(|(name, value)| record(name, Some(value))))
        .collect()
}

fn named_twice<'a, T: Ord + 'a>(items: impl Iterator<Item = &'a T>) -> BTreeSet<&'a T> {
    let mut seen = BTreeSet::new();
    items.filter(|item| !seen.insert(*item)).collect()
}

fn word(operation: ConfigOperation) -> &'static str {
    match operation {
        ConfigOperation::Set => "SET",
        ConfigOperation::Delete => "DELETE",
        ConfigOperation::Append => "APPEND",
        ConfigOperation::Subtract => "SUBTRACT",
    }
}

fn refuse<T>(code: ErrorCode, message: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError {
        code,
        message: message.into(),
    })
}
