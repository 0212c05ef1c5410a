//! CreateTopics 2-7, DeleteTopics 1-6, CreatePartitions 0-3: to the controller.
//!
//! Every topic has an outcome of its own. A request is sent again only if no topic succeeded.

use std::collections::BTreeMap;

use isthmus_wire::Uuid;
use isthmus_wire::messages::create_partitions_request::CreatePartitionsTopic;
use isthmus_wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use isthmus_wire::messages::delete_topics_request::DeleteTopicState;
use isthmus_wire::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse,
};

use super::Admin;
use crate::cluster::{Destination, Refusal, RequestError, Verdict};

/// First version of DeleteTopics with ids beside the names.
const DELETE_STATES_FROM: i16 = 6;

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    /// -1 for the broker's default; -1 too where `assignments` are given.
    pub partitions: i32,
    /// -1 for the broker's default; -1 too where `assignments` are given.
    pub replication_factor: i16,
    /// The replicas of every partition, the preferred leader first; empty leaves it to the broker.
    pub assignments: BTreeMap<i32, Vec<i32>>,
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    pub fn new(name: impl Into<String>, partitions: i32, replication_factor: i16) -> Self {
        Self {
            name: name.into(),
            partitions,
            replication_factor,
            assignments: BTreeMap::new(),
            configs: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.insert(key.into(), value.into());
        self
    }

    fn to_wire(&self) -> CreatableTopic {
        let assignments = self.assignments.iter();
        let configs = self.configs.iter();
        CreatableTopic {
            name: self.name.clone(),
            num_partitions: self.partitions,
            replication_factor: self.replication_factor,
            assignments: assignments
                .map(
                    |(&partition_index, broker_ids)| CreatableReplicaAssignment {
                        partition_index,
                        broker_ids: broker_ids.clone(),
                    },
                )
                .collect(),
            configs: configs
                .map(|(name, value)| CreatableTopicConfig {
                    name: name.clone(),
                    value: Some(value.clone()),
                })
                .collect(),
        }
    }
}

/// A topic that was made, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Zero where the broker tells none.
    pub id: Uuid,
    /// -1 where the broker does not say.
    pub partitions: i32,
    pub replication_factor: i16,
}

/// A topic that shall have more partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPartitions {
    pub topic: String,
    /// In all, not in addition.
    pub count: i32,
}

impl Admin {
    /// Makes topics; `validate_only` only says what would happen. Outcomes by name.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<BTreeMap<String, Result<CreatedTopic, Refusal>>, RequestError> {
        let build = |_version| CreateTopicsRequest {
            topics: topics.iter().map(NewTopic::to_wire).collect(),
            timeout_ms: self.broker_timeout_ms(),
            validate_only,
        };
        let judge = |response: &CreateTopicsResponse| {
            Verdict::of_items(response.topics.iter().map(|it| it.error_code))
        };
        let to = Destination::Controller;
        let request = self
            .cluster
            .request(to, i16::MAX, self.deadline(), build, judge);
        let rows = request.await?.topics.into_iter().map(|it| {
            let created = CreatedTopic {
                id: it.topic_id,
                partitions: it.num_partitions,
                replication_factor: it.replication_factor,
            };
            (
                it.name,
                Refusal::unless_ok(it.error_code, it.error_message, || created),
            )
        });
        Ok(rows.collect())
    }

    /// Deletes topics by name. Outcomes by name.
    pub async fn delete_topics(
        &self,
        names: &[&str],
    ) -> Result<BTreeMap<String, Result<(), Refusal>>, RequestError> {
        let named = || names.iter().map(|&name| name.to_owned());
        let state = |name| DeleteTopicState {
            name: Some(name),
            topic_id: Uuid::ZERO,
        };
        let build = |version| DeleteTopicsRequest {
            topics: if version >= DELETE_STATES_FROM {
                named().map(state).collect()
            } else {
                vec![]
            },
            topic_names: if version < DELETE_STATES_FROM {
                named().collect()
            } else {
                vec![]
            },
            timeout_ms: self.broker_timeout_ms(),
        };
        let judge = |response: &DeleteTopicsResponse| {
            Verdict::of_items(response.responses.iter().map(|it| it.error_code))
        };
        let to = Destination::Controller;
        let request = self
            .cluster
            .request(to, i16::MAX, self.deadline(), build, judge);
        let rows = request.await?.responses.into_iter().map(|it| {
            let outcome = Refusal::unless_ok(it.error_code, it.error_message, || ());
            (it.name.unwrap_or_default(), outcome)
        });
        Ok(rows.collect())
    }

    /// Adds partitions. Outcomes by topic.
    pub async fn create_partitions(
        &self,
        topics: &[NewPartitions],
        validate_only: bool,
    ) -> Result<BTreeMap<String, Result<(), Refusal>>, RequestError> {
        let topic = |it: &NewPartitions| CreatePartitionsTopic {
            name: it.topic.clone(),
            count: it.count,
            assignments: None,
        };
        let build = |_version| CreatePartitionsRequest {
            topics: topics.iter().map(topic).collect(),
            timeout_ms: self.broker_timeout_ms(),
            validate_only,
        };
        let judge = |response: &CreatePartitionsResponse| {
            Verdict::of_items(response.results.iter().map(|it| it.error_code))
        };
        let to = Destination::Controller;
        let request = self
            .cluster
            .request(to, i16::MAX, self.deadline(), build, judge);
        let rows = request.await?.results.into_iter().map(|it| {
            (
                it.name,
                Refusal::unless_ok(it.error_code, it.error_message, || ()),
            )
        });
        Ok(rows.collect())
    }
}
