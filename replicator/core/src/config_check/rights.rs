//! Which rights a flow needs, and the command that gives one.

use std::fmt;

use crate::names::{ClusterName, SEPARATOR};
use crate::naming::NamingPolicy;
use crate::partition::Side;

/// Of Kafka's operations those that a mirror needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Read,
    Write,
    Create,
    Alter,
    Describe,
    DescribeConfigs,
    AlterConfigs,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    Topic(String),
    /// All topics that begin so.
    TopicPrefix(String),
    Group(String),
    Cluster,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    pub side: Side,
    pub operation: Operation,
    pub resource: Resource,
    /// Where to say it, and of whom.
    pub bootstrap: String,
    pub principal: String,
}

/// What a flow needs: on the source reading alone, as it never writes there.
pub fn needed_rights(
    source: &ClusterName,
    naming: NamingPolicy,
    topics: &[String],
    groups: &[String],
    state_topic: &str,
) -> Vec<(Side, Operation, Resource)> {
    let mut needed = vec![];
    for topic in topics {
        for operation in [Operation::Read, Operation::DescribeConfigs] {
            needed.push((Side::Source, operation, Resource::Topic(topic.clone())));
        }
    }
    for group in groups {
        let resource = Resource::Group(group.clone());
        needed.push((Side::Source, Operation::Describe, resource.clone()));
        // OffsetCommit asks for Read on the group.
        needed.push((Side::Target, Operation::Read, resource));
    }
    // OffsetCommit asks for Read on the topic, too.
    let ours = [
        Operation::Create,
        Operation::Read,
        Operation::Write,
        Operation::Alter,
        Operation::DescribeConfigs,
        Operation::AlterConfigs,
    ];
    let written = match naming {
        NamingPolicy::SourcePrefix | NamingPolicy::OwnerPrefix => {
            vec![Resource::TopicPrefix(format!("{source}{SEPARATOR}"))]
        }
        NamingPolicy::Identity => topics.iter().cloned().map(Resource::Topic).collect(),
    };
    for resource in written {
        needed.extend(ours.map(|operation| (Side::Target, operation, resource.clone())));
    }
    for operation in [Operation::Create, Operation::Read, Operation::Write] {
        needed.push((
            Side::Target,
            operation,
            Resource::Topic(state_topic.to_owned()),
        ));
    }
    needed
}

impl Right {
    /// For Kafka's own tool, which every cluster's people have.
    pub fn command(&self) -> String {
        let resource = match &self.resource {
            Resource::Topic(name) => format!("--topic '{name}'"),
            Resource::TopicPrefix(name) => {
                format!("--topic '{name}' --resource-pattern-type prefixed")
            }
            Resource::Group(name) => format!("--group '{name}'"),
            Resource::Cluster => "--cluster".to_owned(),
        };
        format!(
            "kafka-acls.sh --bootstrap-server {} --add --allow-principal '{}' --operation {} {resource}",
            self.bootstrap, self.principal, self.operation
        )
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As kafka-acls.sh takes them.
        f.pad(match self {
            Self::Read => "Read",
            Self::Write => "Write",
            Self::Create => "Create",
            Self::Alter => "Alter",
            Self::Describe => "Describe",
            Self::DescribeConfigs => "DescribeConfigs",
            Self::AlterConfigs => "AlterConfigs",
        })
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::TopicPrefix(name) => write!(f, "topics {name}*"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Cluster => write!(f, "the cluster"),
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Source => "source",
            Side::Target => "target",
        };
        write!(
            f,
            "{} on {} for {} at the {side}",
            self.operation, self.resource, self.principal
        )
    }
}
