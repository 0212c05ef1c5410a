//! What the clusters say of our rights, and which of those needed are missing.
//!
//! A cluster tells the rights on a topic or group that is there and that we may see (KIP-430), and
//! says of a topic that is not there whether we might create it. The rest cannot be asked without
//! writing: it is not known, and told as that.

use std::collections::{BTreeMap, BTreeSet};

use super::rights::{Operation, Resource};
use crate::partition::Side;

/// Kafka's `MetadataResponse` for "not told".
const NOT_TOLD: i32 = i32::MIN;

/// Kafka's numbers (`AclOperation`); the bit of each is set where it is allowed.
const BITS: [(Operation, u32); 7] = [
    (Operation::Read, 3),
    (Operation::Write, 4),
    (Operation::Create, 5),
    (Operation::Alter, 7),
    (Operation::Describe, 8),
    (Operation::DescribeConfigs, 10),
    (Operation::AlterConfigs, 11),
];

/// Who may do all of this to a cluster is its administrator, or it has no rights at all to ask for.
const OF_ADMINISTRATORS: [Operation; 4] = [
    Operation::Create,
    Operation::Alter,
    Operation::DescribeConfigs,
    Operation::AlterConfigs,
];

/// Of a set of operations as Kafka tells it; none if it does not.
pub fn operations(bits: i32) -> Option<BTreeSet<Operation>> {
    let is_set = |bit: u32| bits & (1 << bit) != 0;
    let allowed = BITS.iter().filter(|(_, bit)| is_set(*bit));
    (bits != NOT_TOLD).then(|| allowed.map(|(operation, _)| *operation).collect())
}

/// What was found out at both sides.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// By what is there; the empty set for what we may not even see.
    pub told: BTreeMap<(Side, Resource), BTreeSet<Operation>>,
    /// Of topics that are not there: whether we might create them.
    pub creatable: BTreeMap<(Side, String), bool>,
}

/// What is known of one right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    Allowed,
    Unknown,
    Denied,
}

impl Grants {
    /// Of one right; `target_topics` are those that the flow writes.
    pub fn of(
        &self,
        side: Side,
        operation: Operation,
        resource: &Resource,
        target_topics: &BTreeSet<String>,
    ) -> Grant {
        let Resource::TopicPrefix(prefix) = resource else {
            return self.of_one(side, operation, resource);
        };
        let topics = target_topics.iter().filter(|it| it.starts_with(prefix));
        let grants = topics.map(|it| self.of_one(side, operation, &Resource::Topic(it.clone())));
        // The worst of all; of no topic at all nothing is known.
        grants.max().unwrap_or(match self.is_administrator(side) {
            true => Grant::Allowed,
            false => Grant::Unknown,
        })
    }

    fn of_one(&self, side: Side, operation: Operation, resource: &Resource) -> Grant {
        let creatable = match resource {
            Resource::Topic(topic) => self.creatable.get(&(side, topic.clone())),
            Resource::TopicPrefix(_) | Resource::Group(_) | Resource::Cluster => None,
        };
        let told = self.told.get(&(side, resource.clone()));
        let is_allowed = match (operation, creatable, told) {
            // Whether it may be created matters only of a topic that is not there.
            (Operation::Create, Some(creatable), _) => Some(*creatable),
            (Operation::Create, None, Some(told)) if !told.is_empty() => Some(true),
            (_, _, Some(told)) => Some(told.contains(&operation)),
            (_, _, None) => None,
        };
        match is_allowed {
            Some(true) => Grant::Allowed,
            Some(false) => Grant::Denied,
            None if self.is_administrator(side) => Grant::Allowed,
            None => Grant::Unknown,
        }
    }

    fn is_administrator(&self, side: Side) -> bool {
        let told = self.told.get(&(side, Resource::Cluster));
        told.is_some_and(|told| OF_ADMINISTRATORS.iter().all(|it| told.contains(it)))
    }
}
