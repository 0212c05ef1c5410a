//! DescribeConfigs (32), versions 1–4, for topics and for this broker.
//!
//! Lists every key with its effective value, where that comes from, and what would hold without
//! it: clients read all of it, change something and write it back (pitfall 9). A secret's value is
//! never shown.
//!
//! Versions: 1 sources and synonyms (KIP-226); 3 types and documentation (KIP-569).

use super::{Call, Reply, Serve};
use crate::broker::Broker;
use isthmus_broker_core::config::{ConfigKey, TOPIC_KEYS};
use isthmus_broker_core::metadata::ConfigResource;
use isthmus_broker_core::topic_name;
use isthmus_wire::messages::describe_configs_request::DescribeConfigsResource;
use isthmus_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use isthmus_wire::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use isthmus_wire::{ErrorCode, VersionRange};
use std::collections::BTreeMap;

/// Kafka's `ConfigSource` codes.
pub(super) const DYNAMIC_TOPIC: i8 = 1;
pub(super) const STATIC_BROKER: i8 = 4;
pub(super) const DEFAULT: i8 = 5;

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
        let results = request.resources.iter().map(|resource| {
            describe(call.broker, resource, shown).unwrap_or_else(|(code, message)| {
                DescribeConfigsResult {
                    error_code: code,
                    error_message: Some(message),
                    resource_type: resource.resource_type,
                    resource_name: resource.resource_name.clone(),
                    configs: Vec::new(),
                }
            })
        });
        let results = results.collect();
        Reply::Now(DescribeConfigsResponse {
            results,
            ..DescribeConfigsResponse::default()
        })
    }
}

#[derive(Clone, Copy)]
struct Shown {
    synonyms: bool,
    documentation: bool,
}

/// A key of a topic with the values that stand behind each other.
pub(super) struct TopicEntry {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) source: i8,
    key: &'static ConfigKey,
    /// The effective value first: (name of the key that holds it, value, source).
    layers: Vec<(&'static str, String, i8)>,
}

/// Every topic key, with `own` as the values set on the topic itself.
pub(super) fn topic_entries(
    broker: &Broker,
    own: Option<&BTreeMap<String, String>>,
) -> impl Iterator<Item = TopicEntry> {
    TOPIC_KEYS.iter().map(move |key| {
        let mut layers = Vec::with_capacity(3);
        if let Some(value) = own.and_then(|own| own.get(key.name)) {
            layers.push((key.name, value.clone(), DYNAMIC_TOPIC));
        }
        if let Some(synonym) = key.synonym {
            if let Some(value) = broker.settings.static_value(synonym) {
                layers.push((synonym, value, STATIC_BROKER));
            }
            layers.push((synonym, key.default.to_owned(), DEFAULT));
        }
        let (value, source) = match layers.first() {
            Some((_, value, source)) => (value.clone(), *source),
            None => (key.default.to_owned(), DEFAULT),
        };
        TopicEntry {
            name: key.name,
            value,
            source,
            key,
            layers,
        }
    })
}

fn describe(
    broker: &Broker,
    resource: &DescribeConfigsResource,
    shown: Shown,
) -> Result<DescribeConfigsResult, (ErrorCode, String)> {
    let wanted = |name: &str| {
        let keys = resource.configuration_keys.as_ref();
        keys.is_none_or(|keys| keys.is_empty() || keys.iter().any(|key| key == name))
    };
    let configs = match resource.resource_type {
        ConfigResource::TOPIC => describe_topic(broker, &resource.resource_name, shown)?,
        ConfigResource::BROKER => describe_broker(broker, &resource.resource_name, shown)?,
        other => {
            let message = format!("Unsupported resource type: {other}");
            return Err((ErrorCode::INVALID_REQUEST, message));
        }
    };
    Ok(DescribeConfigsResult {
        error_code: ErrorCode::NONE,
        error_message: None,
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        configs: configs
            .into_iter()
            .filter(|entry| wanted(&entry.name))
            .collect(),
    })
}

fn describe_topic(
    broker: &Broker,
    name: &str,
    shown: Shown,
) -> Result<Vec<DescribeConfigsResourceResult>, (ErrorCode, String)> {
    topic_name::validate(name).map_err(|error| {
        (
            ErrorCode::INVALID_TOPIC_EXCEPTION,
            format!("Topic name is invalid: {error}"),
        )
    })?;
    let image = broker.image();
    if image.topic(name).is_none() {
        let message = "This server does not host this topic-partition.".to_owned();
        return Err((ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message));
    }
    let own = image.config(&ConfigResource::topic(name));
    Ok(topic_entries(broker, own)
        .map(|entry| topic_answer(entry, shown))
        .collect())
}

fn topic_answer(entry: TopicEntry, shown: Shown) -> DescribeConfigsResourceResult {
    let synonyms = entry
        .layers
        .into_iter()
        .map(|(name, value, source)| DescribeConfigsSynonym {
            name: name.to_owned(),
            value: Some(value),
            source,
        });
    DescribeConfigsResourceResult {
        name: entry.name.to_owned(),
        value: Some(entry.value),
        read_only: false,
        config_source: entry.source,
        is_sensitive: false,
        synonyms: if shown.synonyms {
            synonyms.collect()
        } else {
            Vec::new()
        },
        config_type: entry.key.kind.code(),
        documentation: shown.documentation.then(|| entry.key.doc.to_owned()),
    }
}

fn describe_broker(
    broker: &Broker,
    name: &str,
    shown: Shown,
) -> Result<Vec<DescribeConfigsResourceResult>, (ErrorCode, String)> {
    // The empty name asks for cluster-wide dynamic defaults, of which there are none.
    if name.is_empty() {
        return Ok(Vec::new());
    }
    if name.parse() != Ok(broker.node_id) {
        let message = format!(
            "Unexpected broker id, expected {} or empty string, but received {name}",
            broker.node_id
        );
        return Err((ErrorCode::INVALID_REQUEST, message));
    }
    let entries = broker.settings.broker_entries().map(|entry| {
        let synonym = DescribeConfigsSynonym {
            name: entry.name.clone(),
            value: entry.value.clone(),
            source: if entry.is_set { STATIC_BROKER } else { DEFAULT },
        };
        DescribeConfigsResourceResult {
            name: entry.name,
            value: entry.value,
            read_only: true,
            config_source: synonym.source,
            is_sensitive: entry.is_sensitive,
            synonyms: if shown.synonyms {
                vec![synonym]
            } else {
                Vec::new()
            },
            config_type: entry.type_code,
            documentation: shown.documentation.then_some(entry.doc),
        }
    });
    Ok(entries.collect())
}
