//! DescribeConfigs (32), versions 1–4, for topics, for this broker, and for all brokers.
//!
//! Lists every key with its effective value, where that comes from, and what would hold without
//! it: clients read all of it, change something and write it back (pitfall 9). A secret's value is
//! never shown, and that of a key nobody knows might be one.
//!
//! Versions: 1 sources and synonyms (KIP-226); 3 types and documentation (KIP-569).

use super::{Call, Reply, Serve};
use crate::broker::Broker;
use isthmus_broker_core::config::{
    BrokerKey, BrokerLayers, ConfigKey, ConfigSource, ConfigSynonym, TOPIC_KEYS, Update,
    broker_key, broker_keys, listener_key,
};
use isthmus_broker_core::metadata::ConfigResource;
use isthmus_broker_core::security::Operation;
use isthmus_broker_core::topic_name;
use isthmus_wire::messages::describe_configs_request::DescribeConfigsResource;
use isthmus_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use isthmus_wire::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use isthmus_wire::{ErrorCode, VersionRange};
use std::collections::BTreeMap;

pub(super) struct DescribeConfigs;

impl Serve for DescribeConfigs {
    type Request = DescribeConfigsRequest;
    const VERSIONS: VersionRange = VersionRange { min: 1, max: 4 };

    async fn serve(
        call: Call<'_>,
        request: DescribeConfigsRequest,
    ) -> Reply<DescribeConfigsResponse> {
        let shown = Shown {
            synonyms: request.include_synonyms,
            documentation: request.include_documentation,
        };
        let access = call.access();
        let results = request.resources.iter().map(|resource| {
            let asked = ConfigResource {
                kind: resource.resource_type,
                name: resource.resource_name.clone(),
            };
            let allowed = access.config(Operation::DescribeConfigs, &asked);
            let described = allowed
                .map_err(|code| (code, access_refused(code).to_owned()))
                .and_then(|()| describe(call.broker, resource, shown));
            described.unwrap_or_else(|(code, message)| DescribeConfigsResult {
                error_code: code,
                error_message: Some(message),
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                configs: Vec::new(),
            })
        });
        let results = results.collect();
        Reply::Now(DescribeConfigsResponse {
            results,
            ..DescribeConfigsResponse::default()
        })
    }
}

/// Kafka's words for a refusal.
pub(super) fn access_refused(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::TOPIC_AUTHORIZATION_FAILED => "Topic authorization failed.",
        ErrorCode::GROUP_AUTHORIZATION_FAILED => "Group authorization failed.",
        _ => "Cluster authorization failed.",
    }
}

#[derive(Clone, Copy)]
struct Shown {
    synonyms: bool,
    documentation: bool,
}

/// A key of a topic with the values that stand behind each other.
pub(super) struct TopicEntry {
    pub(super) value: String,
    pub(super) key: &'static ConfigKey,
    /// The effective value first, where it is one of these.
    synonyms: Vec<ConfigSynonym>,
}

impl TopicEntry {
    pub(super) fn source(&self) -> ConfigSource {
        source(&self.synonyms)
    }
}

/// Every topic key, with `own` as the values set on the topic itself.
pub(super) fn topic_entries(
    broker: &Broker,
    own: Option<&BTreeMap<String, String>>,
) -> impl Iterator<Item = TopicEntry> {
    let layers = broker.settings.dynamic.current();
    TOPIC_KEYS.iter().map(move |key| {
        let own = own.and_then(|own| own.get(key.name));
        let own = own.map(|value| key.kind.shown(value));
        let from_broker = key.synonym.and_then(|name| layers.topic_default(name));
        let value = own.clone().or(from_broker);
        let mut synonyms = Vec::new();
        synonyms.extend(own.map(|value| ConfigSynonym {
            name: key.name.to_owned(),
            value: Some(value),
            source: ConfigSource::DynamicTopic,
        }));
        synonyms.extend(key.synonym.iter().flat_map(|name| layers.synonyms(name)));
        TopicEntry {
            value: key.kind.shown(value.as_deref().unwrap_or(key.default)),
            key,
            synonyms,
        }
    })
}

fn source(synonyms: &[ConfigSynonym]) -> ConfigSource {
    synonyms
        .first()
        .map_or(ConfigSource::Default, |first| first.source)
}

type Refused = (ErrorCode, String);

fn describe(
    broker: &Broker,
    resource: &DescribeConfigsResource,
    shown: Shown,
) -> Result<DescribeConfigsResult, Refused> {
    let wanted = |name: &str| {
        let keys = resource.configuration_keys.as_ref();
        keys.is_none_or(|keys| keys.is_empty() || keys.iter().any(|key| key == name))
    };
    let name = &resource.resource_name;
    let mut configs = match resource.resource_type {
        ConfigResource::TOPIC => describe_topic(broker, name, shown)?,
        ConfigResource::BROKER if name.is_empty() => describe_all_brokers(broker, shown),
        ConfigResource::BROKER => describe_broker(broker, name, shown)?,
        other => {
            let message = format!("Unsupported resource type: {other}");
            return Err((ErrorCode::INVALID_REQUEST, message));
        }
    };
    configs.retain(|entry| wanted(&entry.name));
    Ok(DescribeConfigsResult {
        error_code: ErrorCode::NONE,
        // Apache Kafka says nothing in an empty text, not in none.
        error_message: Some(String::new()),
        resource_type: resource.resource_type,
        resource_name: name.clone(),
        configs,
    })
}

fn describe_topic(
    broker: &Broker,
    name: &str,
    shown: Shown,
) -> Result<Vec<DescribeConfigsResourceResult>, Refused> {
    topic_name::validate(name).map_err(|error| {
        let message = format!("Topic name is invalid: {error}");
        (ErrorCode::INVALID_TOPIC_EXCEPTION, message)
    })?;
    let image = broker.image();
    if image.topic(name).is_none() {
        return Err((ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, String::new()));
    }
    let own = image.config(&ConfigResource::topic(name));
    let answer = |entry: TopicEntry| DescribeConfigsResourceResult {
        name: entry.key.name.to_owned(),
        config_source: entry.source() as i8,
        value: Some(entry.value),
        read_only: false,
        is_sensitive: false,
        synonyms: synonyms(entry.synonyms, shown),
        config_type: entry.key.kind.code(),
        documentation: shown.documentation.then(|| entry.key.doc.to_owned()),
    };
    Ok(topic_entries(broker, own).map(answer).collect())
}

fn synonyms(synonyms: Vec<ConfigSynonym>, shown: Shown) -> Vec<DescribeConfigsSynonym> {
    let synonyms = synonyms.into_iter().filter(|_| shown.synonyms);
    let answer = |synonym: ConfigSynonym| DescribeConfigsSynonym {
        name: synonym.name,
        value: synonym.value,
        source: synonym.source as i8,
    };
    synonyms.map(answer).collect()
}

/// Only what was set for all brokers together.
fn describe_all_brokers(broker: &Broker, shown: Shown) -> Vec<DescribeConfigsResourceResult> {
    let image = broker.image();
    let own = image.config(&ConfigResource::broker(""));
    let own = own.into_iter().flatten();
    let entry = |(name, value): (&String, &String)| {
        let key = broker_key(name).or_else(|| listener_key(name));
        let key = key.filter(|key| !key.is_sensitive());
        let only = ConfigSynonym {
            name: name.clone(),
            value: key.map(|key| key.kind.shown(value)),
            source: ConfigSource::DynamicDefaultBroker,
        };
        broker_answer(name, vec![only], shown)
    };
    own.map(entry).collect()
}

fn describe_broker(
    broker: &Broker,
    name: &str,
    shown: Shown,
) -> Result<Vec<DescribeConfigsResourceResult>, Refused> {
    let invalid = |message: String| (ErrorCode::INVALID_REQUEST, message);
    let not_a_number = |_| invalid(format!("Broker id must be an integer, but it is: {name}"));
    let id: i32 = name.parse().map_err(not_a_number)?;
    if id != broker.node_id {
        return Err(invalid(format!(
            "Unexpected broker id, expected {} or empty string, but received {name}",
            broker.node_id
        )));
    }
    let layers: &BrokerLayers = &broker.settings.dynamic.current();
    let known = broker_keys().filter(|key| key.update != Update::Internal);
    let known = known.map(|key| key.name);
    let added = layers.added_names();
    let entry = |name: &str| broker_answer(name, layers.synonyms(name), shown);
    Ok(known.chain(added).map(entry).collect())
}

fn broker_answer(
    name: &str,
    values: Vec<ConfigSynonym>,
    shown: Shown,
) -> DescribeConfigsResourceResult {
    let key = broker_key(name);
    let of_kind = key.or_else(|| listener_key(name));
    DescribeConfigsResourceResult {
        name: name.to_owned(),
        value: values.first().and_then(|first| first.value.clone()),
        read_only: key.is_none_or(is_read_only),
        config_source: source(&values) as i8,
        is_sensitive: of_kind.is_none_or(BrokerKey::is_sensitive),
        synonyms: synonyms(values, shown),
        config_type: of_kind.map_or(0, |key| key.kind.code()),
        documentation: key
            .filter(|_| shown.documentation)
            .map(|key| key.doc.to_owned()),
    }
}

fn is_read_only(key: &BrokerKey) -> bool {
    match key.update {
        Update::Internal | Update::ReadOnly => true,
        Update::PerBroker | Update::PerListener | Update::ClusterWide => false,
    }
}
