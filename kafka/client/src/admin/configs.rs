//! DescribeConfigs 1-4 and IncrementalAlterConfigs 0-1.
//!
//! A broker's own configuration is asked of and changed at that broker; everything else at any
//! broker, which passes a change on to the controller.

use std::collections::BTreeMap;

use isthmus_wire::messages::describe_configs_request::DescribeConfigsResource;
use isthmus_wire::messages::describe_configs_response::DescribeConfigsResourceResult;
use isthmus_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use isthmus_wire::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

use super::Admin;
use crate::cluster::{Destination, Refusal, RequestError, Verdict};

/// Kinds of things that have a configuration; the numbers are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    Topic,
    Broker,
    BrokerLogger,
    ClientMetrics,
    Group,
}

impl ResourceType {
    fn code(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLogger => 8,
            Self::ClientMetrics => 16,
            Self::Group => 32,
        }
    }
}

/// One thing that has a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    pub kind: ResourceType,
    /// The topic's name or the broker's id; empty for the default of all brokers.
    pub name: String,
}

impl ConfigResource {
    pub fn topic(name: impl Into<String>) -> Self {
        Self {
            kind: ResourceType::Topic,
            name: name.into(),
        }
    }

    pub fn broker(id: i32) -> Self {
        Self {
            kind: ResourceType::Broker,
            name: id.to_string(),
        }
    }

    /// Only the broker itself knows its own configuration.
    fn destination(&self) -> Destination<'static> {
        let own = matches!(self.kind, ResourceType::Broker | ResourceType::BrokerLogger);
        match self.name.parse() {
            Ok(broker) if own => Destination::Broker(broker),
            Ok(_) | Err(_) => Destination::Any,
        }
    }
}

/// One key of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: String,
    /// `None` for a secret.
    pub value: Option<String>,
    pub is_read_only: bool,
    pub is_sensitive: bool,
    /// Where the value comes from, as Kafka numbers it: 1 topic, 2 dynamic broker, 3 dynamic default
    /// broker, 4 static broker, 5 default.
    pub source: i8,
}

impl ConfigEntry {
    /// Kafka's number for a default of the program.
    pub const DEFAULT_SOURCE: i8 = 5;
    /// Kafka's number for a value set on the topic itself.
    pub const TOPIC_SOURCE: i8 = 1;
}

impl From<DescribeConfigsResourceResult> for ConfigEntry {
    fn from(it: DescribeConfigsResourceResult) -> Self {
        Self {
            name: it.name,
            value: it.value,
            is_read_only: it.read_only,
            is_sensitive: it.is_sensitive,
            source: it.config_source,
        }
    }
}

/// What to do with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOperation {
    Set(String),
    /// Back to the default.
    Delete,
    /// For lists.
    Append(String),
    Subtract(String),
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    pub name: String,
    pub operation: ConfigOperation,
}

impl ConfigChange {
    pub fn set(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            operation: ConfigOperation::Set(value.into()),
        }
    }

    pub fn delete(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            operation: ConfigOperation::Delete,
        }
    }

    fn to_wire(&self) -> AlterableConfig {
        let (config_operation, value) = match &self.operation {
            ConfigOperation::Set(value) => (0, Some(value.clone())),
            ConfigOperation::Delete => (1, None),
            ConfigOperation::Append(value) => (2, Some(value.clone())),
            ConfigOperation::Subtract(value) => (3, Some(value.clone())),
        };
        AlterableConfig {
            name: self.name.clone(),
            config_operation,
            value,
        }
    }
}

impl Admin {
    /// The configuration of topics, in one request; by name.
    pub async fn describe_topic_configs(
        &self,
        topics: &[&str],
    ) -> Result<BTreeMap<String, Result<Vec<ConfigEntry>, Refusal>>, RequestError> {
        let resource = |&name: &&str| ConfigResource::topic(name);
        let resources: Vec<_> = topics.iter().map(resource).collect();
        self.describe_configs_at(Destination::Any, &resources).await
    }

    /// The configuration of one thing, with the defaults of what is not set.
    pub async fn describe_config(
        &self,
        resource: &ConfigResource,
    ) -> Result<Result<Vec<ConfigEntry>, Refusal>, RequestError> {
        let resources = std::slice::from_ref(resource);
        let mut rows = self
            .describe_configs_at(resource.destination(), resources)
            .await?;
        let api = isthmus_wire::ApiKey::DescribeConfigs;
        rows.remove(&resource.name)
            .ok_or(RequestError::Incomplete { api })
    }

    async fn describe_configs_at(
        &self,
        to: Destination<'_>,
        resources: &[ConfigResource],
    ) -> Result<BTreeMap<String, Result<Vec<ConfigEntry>, Refusal>>, RequestError> {
        let row = |it: &ConfigResource| DescribeConfigsResource {
            resource_type: it.kind.code(),
            resource_name: it.name.clone(),
            configuration_keys: None,
        };
        let build = |_version| DescribeConfigsRequest {
            resources: resources.iter().map(row).collect(),
            ..Default::default()
        };
        let judge = |response: &DescribeConfigsResponse| {
            Verdict::of_items(response.results.iter().map(|it| it.error_code))
        };
        let request = self
            .cluster
            .request(to, i16::MAX, self.deadline(), build, judge);
        let rows = request.await?.results.into_iter().map(|it| {
            let entries = || it.configs.into_iter().map(ConfigEntry::from).collect();
            (
                it.resource_name,
                Refusal::unless_ok(it.error_code, it.error_message, entries),
            )
        });
        Ok(rows.collect())
    }

    /// Changes some keys of one thing and leaves the others.
    pub async fn alter_config(
        &self,
        resource: &ConfigResource,
        changes: &[ConfigChange],
        validate_only: bool,
    ) -> Result<Result<(), Refusal>, RequestError> {
        let build = |_version| IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: resource.kind.code(),
                resource_name: resource.name.clone(),
                configs: changes.iter().map(ConfigChange::to_wire).collect(),
            }],
            validate_only,
        };
        let judge = |response: &IncrementalAlterConfigsResponse| {
            Verdict::of_items(response.responses.iter().map(|it| it.error_code))
        };
        let to = resource.destination();
        let request = self
            .cluster
            .request(to, i16::MAX, self.deadline(), build, judge);
        let first = request.await?.responses.into_iter().next();
        let api = isthmus_wire::ApiKey::IncrementalAlterConfigs;
        let it = first.ok_or(RequestError::Incomplete { api })?;
        Ok(Refusal::unless_ok(it.error_code, it.error_message, || ()))
    }
}
