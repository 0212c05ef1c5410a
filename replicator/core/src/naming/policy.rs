//! The verdict of each policy.

use std::collections::BTreeSet;
use std::fmt;

use super::{InternalTopic, internal_topic, is_heartbeats_topic};
use crate::names::{ClusterName, NameError, SEPARATOR, TOPIC_NAME_LENGTH_MAX, check_topic_name};

/// `naming` of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NamingPolicy {
    /// MirrorMaker 2's: `orders` of east is `east.orders` at the target.
    SourcePrefix,
    /// The owner's name is there from birth and stays: `east.orders` is `east.orders` everywhere,
    /// and only its owner's flows carry it (S3-14).
    OwnerPrefix,
    /// Same name everywhere. Nothing in a name can stop a cycle, so [`crate::graph`] allows it
    /// only where no cycle is possible.
    Identity,
}

/// What becomes of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Mirror {
        target_topic: String,
    },
    /// Not this flow's business.
    Skip(SkipReason),
    /// It should be mirrored and cannot be: refused when the configuration is checked.
    Refuse(RefuseReason),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SkipReason {
    Internal(InternalTopic),
    /// The target is in the chain of prefixes: the records came from there.
    Cycle {
        chain: Vec<ClusterName>,
        by_chance: bool,
    },
    /// `owner-prefix`: the target made it.
    OwnedByTarget {
        by_chance: bool,
    },
    /// `owner-prefix`: a third cluster made it, whose own flow carries it.
    OwnedByOther {
        owner: ClusterName,
        /// Neither does a flow bring it to the source, nor its owner's to the target.
        by_chance: bool,
    },
    /// `owner-prefix`: no known cluster's name in front.
    Unowned,
}

impl SkipReason {
    /// Whether an operator must be told: the name says the topic came from elsewhere but no flow
    /// here could have brought it, or it belongs to nobody (Table E, row 5).
    pub fn is_reported(&self) -> bool {
        match self {
            Self::Internal(_) => false,
            Self::Cycle { by_chance, .. }
            | Self::OwnedByTarget { by_chance }
            | Self::OwnedByOther { by_chance, .. } => *by_chance,
            Self::Unowned => true,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefuseReason {
    #[error("the source topic {0}")]
    SourceName(NameError),
    #[error(
        "the name at the target, '{target_topic}', has {length} characters, \
         at most {TOPIC_NAME_LENGTH_MAX} are allowed"
    )]
    TooLong { target_topic: String, length: usize },
}

/// What a verdict needs to know of the configuration: all clusters, and which pairs a flow joins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carriers {
    clusters: BTreeSet<ClusterName>,
    flows: BTreeSet<(ClusterName, ClusterName)>,
}

impl Carriers {
    pub fn new(
        clusters: impl IntoIterator<Item = ClusterName>,
        flows: impl IntoIterator<Item = (ClusterName, ClusterName)>,
    ) -> Self {
        Self {
            clusters: clusters.into_iter().collect(),
            flows: flows.into_iter().collect(),
        }
    }

    fn joins(&self, source: &ClusterName, target: &ClusterName) -> bool {
        self.flows.contains(&(source.clone(), target.clone()))
    }

    /// The known cluster in front of a name, and what follows.
    fn prefix<'a>(&self, topic: &'a str) -> Option<(&ClusterName, &'a str)> {
        let (word, rest) = topic.split_once(SEPARATOR)?;
        let cluster = self.clusters.iter().find(|it| it.as_str() == word)?;
        (!rest.is_empty()).then_some((cluster, rest))
    }

    /// All known clusters in front of a name, the last hop first.
    fn chain(&self, topic: &str) -> Vec<ClusterName> {
        let mut rest = topic;
        let mut chain = Vec::new();
        while let Some((cluster, upstream)) = self.prefix(rest) {
            chain.push(cluster.clone());
            rest = upstream;
        }
        chain
    }
}

impl NamingPolicy {
    /// What a flow from `source` to `target` does with a topic of the source.
    pub fn verdict(
        self,
        source: &ClusterName,
        target: &ClusterName,
        carriers: &Carriers,
        topic: &str,
    ) -> Verdict {
        if let Err(error) = check_topic_name(topic) {
            return Verdict::Refuse(RefuseReason::SourceName(error));
        }
        if let Some(kind) = internal_topic(topic) {
            return Verdict::Skip(SkipReason::Internal(kind));
        }
        match self {
            Self::SourcePrefix => source_prefix(source, target, carriers, topic),
            Self::OwnerPrefix => owner_prefix(source, target, carriers, topic),
            // MirrorMaker's identity policy prefixes heartbeats all the same: they count hops.
            Self::Identity if is_heartbeats_topic(topic) => {
                source_prefix(source, target, carriers, topic)
            }
            Self::Identity => mirror(topic.to_owned()),
        }
    }
}

fn source_prefix(
    source: &ClusterName,
    target: &ClusterName,
    carriers: &Carriers,
    topic: &str,
) -> Verdict {
    let chain = carriers.chain(topic);
    if chain.contains(target) {
        let by_chance = chain
            .first()
            .is_some_and(|last_hop| !carriers.joins(last_hop, source));
        return Verdict::Skip(SkipReason::Cycle { chain, by_chance });
    }
    mirror(format!("{source}{SEPARATOR}{topic}"))
}

fn owner_prefix(
    source: &ClusterName,
    target: &ClusterName,
    carriers: &Carriers,
    topic: &str,
) -> Verdict {
    let Some((owner, _)) = carriers.prefix(topic) else {
        return Verdict::Skip(SkipReason::Unowned);
    };
    if owner == source {
        return mirror(topic.to_owned());
    }
    let was_brought = carriers.joins(owner, source);
    if owner == target {
        return Verdict::Skip(SkipReason::OwnedByTarget {
            by_chance: !was_brought,
        });
    }
    Verdict::Skip(SkipReason::OwnedByOther {
        owner: owner.clone(),
        by_chance: !(was_brought && carriers.joins(owner, target)),
    })
}

fn mirror(target_topic: String) -> Verdict {
    let length = target_topic.len();
    if length > TOPIC_NAME_LENGTH_MAX {
        return Verdict::Refuse(RefuseReason::TooLong {
            target_topic,
            length,
        });
    }
    Verdict::Mirror { target_topic }
}

impl fmt::Display for NamingPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SourcePrefix => "source-prefix",
            Self::OwnerPrefix => "owner-prefix",
            Self::Identity => "identity",
        })
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Internal(InternalTopic::Broker) => write!(f, "a topic of the brokers"),
            Self::Internal(InternalTopic::Hidden) => write!(f, "a name that begins with '.'"),
            Self::Internal(InternalTopic::MirrorMaker | InternalTopic::Checkpoints) => {
                write!(f, "a topic of MirrorMaker 2")
            }
            Self::Cycle { chain, by_chance } => {
                let chain: Vec<&str> = chain.iter().map(ClusterName::as_str).collect();
                write!(
                    f,
                    "it came from the target (by way of {})",
                    chain.join(", ")
                )?;
                write_chance(f, *by_chance)
            }
            Self::OwnedByTarget { by_chance } => {
                write!(f, "the target owns it")?;
                write_chance(f, *by_chance)
            }
            Self::OwnedByOther { owner, by_chance } => {
                write!(f, "{owner} owns it, and its own flow carries it")?;
                write_chance(f, *by_chance)
            }
            Self::Unowned => write!(f, "no cluster's name stands in front of it"),
        }
    }
}

fn write_chance(f: &mut fmt::Formatter<'_>, by_chance: bool) -> fmt::Result {
    if by_chance {
        write!(
            f,
            ", or so its name says: no flow of this configuration carries it"
        )?;
    }
    Ok(())
}
