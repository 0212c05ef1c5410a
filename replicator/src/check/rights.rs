//! Asking both sides what we may do there.

use std::collections::BTreeSet;

use isthmus_client::admin::NewTopic;
use isthmus_client::cluster::{CoordinatorKind, Destination, Verdict};
use isthmus_client::{Deadline, RequestError};
use isthmus_replicator_core::config_check::{
    Grant, Grants, Operation, Resource, Right, needed_rights, operations,
};
use isthmus_replicator_core::partition::Side;
use isthmus_wire::ErrorCode;
use isthmus_wire::messages::metadata_request::MetadataRequestTopic;
use isthmus_wire::messages::{
    DescribeGroupsRequest, DescribeGroupsResponse, MetadataRequest, MetadataResponse,
};

use super::reach::{Reached, is_refusal};
use super::{OnlineError, at};
use crate::settings::FlowSettings;

/// For one question to one cluster.
const ASK_MAX: std::time::Duration = std::time::Duration::from_secs(20);

/// First version of Metadata that tells rights (KIP-430).
const RIGHTS_FROM: i16 = 8;

/// DescribeGroups tells rights from 3 on, and until 5 of groups that are not there, too.
const GROUPS_UNTIL: i16 = 5;

/// Topics in one question.
const TOPICS_PER_REQUEST: usize = 200;

/// Groups that are asked for one by one; of the rest nothing is known.
const GROUPS_MAX: usize = 200;

/// What the flow touches.
pub(super) struct Touched<'a> {
    pub(super) flow: &'a FlowSettings,
    pub(super) source: &'a Reached,
    pub(super) target: &'a Reached,
    /// Names at the source.
    pub(super) topics: Vec<String>,
    /// Patterns that are names, and match no topic that we may see.
    pub(super) perhaps_unseen: Vec<String>,
    pub(super) target_topics: BTreeSet<String>,
    pub(super) groups: Vec<String>,
}

/// Rights that are missing, and rights that nobody tells of.
#[derive(Default)]
pub(super) struct Found {
    pub(super) missing: Vec<Right>,
    pub(super) unknown: Vec<Right>,
}

impl Touched<'_> {
    pub(super) async fn rights(&self) -> Result<Found, OnlineError> {
        let mut grants = Grants::default();
        let state = &self.target.state_topic;
        let ours: Vec<&String> = self.target_topics.iter().chain([state]).collect();
        let theirs: Vec<&String> = self.topics.iter().chain(&self.perhaps_unseen).collect();
        self.ask_topics(Side::Source, &theirs, &mut grants).await?;
        let absent = self.ask_topics(Side::Target, &ours, &mut grants).await?;
        self.ask_to_create(&absent, &mut grants).await?;
        self.ask_groups(&mut grants).await?;
        for (side, cluster) in [(Side::Source, self.source), (Side::Target, self.target)] {
            if let Some(own) = &cluster.own_operations {
                grants.told.insert((side, Resource::Cluster), own.clone());
            }
        }
        Ok(self.judge(&grants))
    }

    fn judge(&self, grants: &Grants) -> Found {
        let flow = self.flow;
        let unseen = |topic: &&String| {
            let place = (Side::Source, Resource::Topic((*topic).clone()));
            grants.told.get(&place).is_some_and(BTreeSet::is_empty)
        };
        let topics = self.perhaps_unseen.iter().filter(unseen);
        let topics: Vec<String> = self.topics.iter().chain(topics).cloned().collect();
        let state = &self.target.state_topic;
        let needed = needed_rights(&flow.source, flow.naming, &topics, &self.groups, state);
        let mut found = Found::default();
        for (side, operation, resource) in needed {
            let list = match grants.of(side, operation, &resource, &self.target_topics) {
                Grant::Allowed => continue,
                Grant::Unknown => &mut found.unknown,
                Grant::Denied => &mut found.missing,
            };
            list.push(self.right(side, operation, resource));
        }
        found
    }

    fn right(&self, side: Side, operation: Operation, resource: Resource) -> Right {
        let cluster = self.cluster(side);
        Right {
            side,
            operation,
            resource,
            bootstrap: cluster.bootstrap.clone(),
            principal: cluster.principal.clone(),
        }
    }

    fn cluster(&self, side: Side) -> &Reached {
        match side {
            Side::Source => self.source,
            Side::Target => self.target,
        }
    }

    /// Returns those that are not there.
    async fn ask_topics(
        &self,
        side: Side,
        topics: &[&String],
        grants: &mut Grants,
    ) -> Result<Vec<String>, OnlineError> {
        let cluster = self.cluster(side);
        let mut absent = Vec::new();
        for some in topics.chunks(TOPICS_PER_REQUEST) {
            let build = |version| named_topics(some, version);
            let judge = |response: &MetadataResponse| Verdict::from(response.error_code);
            let by = Deadline::after(ASK_MAX);
            let to = Destination::Any;
            let asked = cluster.cluster.request(to, i16::MAX, by, build, judge);
            for topic in asked.await.map_err(at(cluster))?.topics {
                let Some(name) = topic.name else { continue };
                let told = match topic.error_code {
                    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
                        absent.push(name);
                        continue;
                    }
                    ErrorCode::TOPIC_AUTHORIZATION_FAILED => Some(BTreeSet::new()),
                    _ => operations(topic.topic_authorized_operations),
                };
                // What we may not see may yet be ours to create.
                if told.as_ref().is_some_and(BTreeSet::is_empty) {
                    absent.push(name.clone());
                }
                if let Some(told) = told {
                    grants.told.insert((side, Resource::Topic(name)), told);
                }
            }
        }
        Ok(absent)
    }

    /// As if to create them: `validate_only` writes nothing.
    async fn ask_to_create(
        &self,
        topics: &[String],
        grants: &mut Grants,
    ) -> Result<(), OnlineError> {
        for some in topics.chunks(TOPICS_PER_REQUEST) {
            let new: Vec<NewTopic> = some
                .iter()
                .map(|name| NewTopic::new(name.clone(), -1, -1))
                .collect();
            let outcome = self.target.admin().create_topics(&new, true).await;
            for (name, outcome) in outcome.map_err(at(self.target))? {
                let is_denied = outcome.is_err_and(|refusal| {
                    refusal.code == ErrorCode::TOPIC_AUTHORIZATION_FAILED
                        || refusal.code == ErrorCode::CLUSTER_AUTHORIZATION_FAILED
                });
                grants.creatable.insert((Side::Target, name), !is_denied);
            }
        }
        Ok(())
    }

    /// Groups that we see at the source are ours to describe. At the target a question about a group
    /// goes to its coordinator, and is not asked where that would make a topic.
    async fn ask_groups(&self, grants: &mut Grants) -> Result<(), OnlineError> {
        for group in &self.groups {
            let place = (Side::Source, Resource::Group(group.clone()));
            grants.told.insert(place, [Operation::Describe].into());
        }
        if !self.target.has_groups_topic() {
            return Ok(());
        }
        for group in self.groups.iter().take(GROUPS_MAX) {
            let told = match self.group_operations(group).await {
                Ok(told) => told,
                Err(error) if is_refusal(&error) => Some(BTreeSet::new()),
                Err(error) => return Err(at(self.target)(error)),
            };
            if let Some(told) = told {
                let place = (Side::Target, Resource::Group(group.clone()));
                grants.told.insert(place, told);
            }
        }
        Ok(())
    }

    async fn group_operations(
        &self,
        group: &str,
    ) -> Result<Option<BTreeSet<Operation>>, RequestError> {
        let build = |version| DescribeGroupsRequest {
            groups: vec![group.to_owned()],
            include_authorized_operations: version >= 3,
        };
        let judge = |response: &DescribeGroupsResponse| {
            Verdict::of_items(response.groups.iter().map(|it| it.error_code))
        };
        let to = Destination::Coordinator(CoordinatorKind::Group, group);
        let by = Deadline::after(ASK_MAX);
        let cluster = &self.target.cluster;
        let response = cluster.request(to, GROUPS_UNTIL, by, build, judge).await?;
        let Some(first) = response.groups.into_iter().next() else {
            return Ok(None);
        };
        Ok(match first.error_code {
            ErrorCode::GROUP_AUTHORIZATION_FAILED => Some(BTreeSet::new()),
            _ => operations(first.authorized_operations),
        })
    }
}

fn named_topics(names: &[&String], version: i16) -> MetadataRequest {
    let named = |name: &&String| MetadataRequestTopic {
        name: Some((*name).clone()),
        ..Default::default()
    };
    MetadataRequest {
        topics: Some(names.iter().map(named).collect()),
        // Below version 4 a name is created if it is not there, and such brokers are not asked.
        allow_auto_topic_creation: false,
        include_topic_authorized_operations: version >= RIGHTS_FROM,
        ..Default::default()
    }
}
