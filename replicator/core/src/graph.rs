//! The static check of all flows, before anything connects or is written.
//!
//! Owns: which flows may stand side by side. Must not know topics: what a name can stop, the
//! policy stops ([`crate::naming`]).
//!
//! Rule: a flow with identity naming must lie on no directed cycle of flows, whatever the naming
//! of the others. Two flows with prefixes may form a cycle, since each name says where it has been;
//! one identity flow in the same cycle sends a foreign prefix round for ever (S3-15, pain 14).
//! All faults are given at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::names::{ClusterName, FlowName};
use crate::naming::{Carriers, NamingPolicy};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    pub name: FlowName,
    pub source: ClusterName,
    pub target: ClusterName,
    pub naming: NamingPolicy,
}

/// Flows that may run together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowGraph {
    clusters: BTreeSet<ClusterName>,
    flows: Vec<Flow>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    #[error(
        "flow {flow}: no cluster is called {cluster}; known are {}",
        names(known)
    )]
    UnknownCluster {
        flow: FlowName,
        cluster: ClusterName,
        known: Vec<ClusterName>,
    },
    #[error("flow {flow}: source and target are both {cluster}")]
    SelfFlow {
        flow: FlowName,
        cluster: ClusterName,
    },
    #[error("{count} flows are called {flow}; give each a name of its own")]
    DuplicateName { flow: FlowName, count: usize },
    #[error(
        "flow {flow} has naming = \"identity\" and lies on the cycle {}: a record would go round \
         without end; use \"source-prefix\" or \"owner-prefix\" on every flow of the cycle, or \
         take one of them out",
        cycle_path(cycle)
    )]
    IdentityCycle {
        flow: FlowName,
        /// Begins with the flow itself and leads back to its source.
        cycle: Vec<Flow>,
    },
}

/// What only the clusters themselves can tell: their ids, asked on every connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error(
        "{} are one and the same cluster, {cluster_id}: a flow between them would feed itself",
        names(clusters)
    )]
    OneClusterTwoNames {
        cluster_id: String,
        clusters: Vec<ClusterName>,
    },
    #[error(
        "{cluster} is now cluster {now}, it was {was}: its addresses lead elsewhere, or it was \
         set up anew"
    )]
    AnotherCluster {
        cluster: ClusterName,
        was: String,
        now: String,
    },
}

impl FlowGraph {
    pub fn new(
        clusters: impl IntoIterator<Item = ClusterName>,
        flows: Vec<Flow>,
    ) -> Result<Self, Vec<GraphError>> {
        let graph = Self {
            clusters: clusters.into_iter().collect(),
            flows,
        };
        let mut faults = graph.unknown_clusters();
        faults.extend(graph.self_flows());
        faults.extend(graph.duplicate_names());
        faults.extend(graph.identity_cycles());
        if faults.is_empty() {
            Ok(graph)
        } else {
            Err(faults)
        }
    }

    pub fn flows(&self) -> &[Flow] {
        &self.flows
    }

    /// What the naming policies need to know of it.
    pub fn carriers(&self) -> Carriers {
        let ends = self.flows.iter();
        let ends = ends.map(|flow| (flow.source.clone(), flow.target.clone()));
        Carriers::new(self.clusters.iter().cloned(), ends)
    }

    /// Clusters that no flow names yet stand in `[clusters]`, so that their prefix is known.
    pub fn clusters(&self) -> impl Iterator<Item = &ClusterName> {
        self.clusters.iter()
    }

    fn unknown_clusters(&self) -> Vec<GraphError> {
        let ends = self.flows.iter().flat_map(|flow| {
            let ends = BTreeSet::from([&flow.source, &flow.target]);
            ends.into_iter().map(move |cluster| (flow, cluster))
        });
        let unknown = ends.filter(|(_, cluster)| !self.clusters.contains(*cluster));
        unknown
            .map(|(flow, cluster)| GraphError::UnknownCluster {
                flow: flow.name.clone(),
                cluster: cluster.clone(),
                known: self.clusters.iter().cloned().collect(),
            })
            .collect()
    }

    fn self_flows(&self) -> Vec<GraphError> {
        let selves = self.flows.iter().filter(|flow| flow.source == flow.target);
        selves
            .map(|flow| GraphError::SelfFlow {
                flow: flow.name.clone(),
                cluster: flow.source.clone(),
            })
            .collect()
    }

    fn duplicate_names(&self) -> Vec<GraphError> {
        let mut counts: BTreeMap<&FlowName, usize> = BTreeMap::new();
        for flow in &self.flows {
            *counts.entry(&flow.name).or_default() += 1;
        }
        let twice = counts.into_iter().filter(|(_, count)| *count > 1);
        twice
            .map(|(flow, count)| GraphError::DuplicateName {
                flow: flow.clone(),
                count,
            })
            .collect()
    }

    fn identity_cycles(&self) -> Vec<GraphError> {
        let identities = self.flows.iter().filter(|flow| {
            // A self flow is a fault of its own.
            flow.naming == NamingPolicy::Identity && flow.source != flow.target
        });
        identities
            .filter_map(|flow| {
                let back = self.shortest_way(&flow.target, &flow.source)?;
                let cycle = std::iter::once(flow).chain(back).cloned().collect();
                Some(GraphError::IdentityCycle {
                    flow: flow.name.clone(),
                    cycle,
                })
            })
            .collect()
    }

    fn shortest_way(&self, from: &ClusterName, to: &ClusterName) -> Option<Vec<&Flow>> {
        let mut came_by: BTreeMap<&ClusterName, &Flow> = BTreeMap::new();
        let mut next = VecDeque::from([from]);
        while let Some(at) = next.pop_front() {
            if at == to {
                return Some(walk_back(&came_by, from, to));
            }
            for flow in self.flows.iter().filter(|flow| flow.source == *at) {
                if flow.target != *from && !came_by.contains_key(&flow.target) {
                    came_by.insert(&flow.target, flow);
                    next.push_back(&flow.target);
                }
            }
        }
        None
    }
}

/// Compares the ids of all clusters that have answered, `known` being those saved by earlier runs.
pub fn check_cluster_ids(
    answered: &BTreeMap<ClusterName, String>,
    known: &BTreeMap<ClusterName, String>,
) -> Vec<IdentityError> {
    let mut by_id: BTreeMap<&String, Vec<ClusterName>> = BTreeMap::new();
    for (cluster, id) in answered {
        by_id.entry(id).or_default().push(cluster.clone());
    }
    let twice = by_id.into_iter().filter(|(_, clusters)| clusters.len() > 1);
    let twice = twice.map(|(id, clusters)| IdentityError::OneClusterTwoNames {
        cluster_id: id.clone(),
        clusters,
    });
    let changed = answered.iter().filter_map(|(cluster, now)| {
        let was = known.get(cluster).filter(|was| *was != now)?;
        Some(IdentityError::AnotherCluster {
            cluster: cluster.clone(),
            was: was.clone(),
            now: now.clone(),
        })
    });
    twice.chain(changed).collect()
}

/// The flows of a way found; every cluster on it but the first was reached by a flow.
fn walk_back<'a>(
    came_by: &BTreeMap<&ClusterName, &'a Flow>,
    from: &ClusterName,
    to: &ClusterName,
) -> Vec<&'a Flow> {
    let mut way = Vec::new();
    let mut at = to;
    while at != from {
        let Some(flow) = came_by.get(at) else { break };
        way.push(*flow);
        at = &flow.source;
    }
    way.reverse();
    way
}

/// The way round, as people read it.
pub fn cycle_path(cycle: &[Flow]) -> String {
    let mut text = cycle
        .first()
        .map(|flow| flow.source.to_string())
        .unwrap_or_default();
    for flow in cycle {
        text.push_str(&format!(
            " -> {} ({}, {})",
            flow.target, flow.name, flow.naming
        ));
    }
    text
}

fn names(clusters: &[ClusterName]) -> String {
    let names: Vec<&str> = clusters.iter().map(ClusterName::as_str).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str) -> ClusterName {
        ClusterName::parse(name).unwrap()
    }

    fn parse(flow: &str) -> Flow {
        let mut words = flow.split_whitespace();
        let (source, target) = words.next().unwrap().split_once('>').unwrap();
        let naming = match words.next().unwrap() {
            "source" => NamingPolicy::SourcePrefix,
            "owner" => NamingPolicy::OwnerPrefix,
            "identity" => NamingPolicy::Identity,
            other => panic!("no policy {other}"),
        };
        let (source, target) = (cluster(source), cluster(target));
        let name = words.next().map(|name| FlowName::parse(name).unwrap());
        Flow {
            name: name.unwrap_or_else(|| FlowName::of(&source, &target)),
            source,
            target,
            naming,
        }
    }

    /// Clusters a to d; `flows` separated by commas. What is refused, one line each.
    fn check(flows: &str, expected: &[&str]) {
        let flows = flows.split(',').map(parse).collect();
        let faults = match FlowGraph::new(["a", "b", "c", "d"].map(cluster), flows) {
            Ok(_) => vec![],
            Err(faults) => faults,
        };
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults.len(), expected.len(), "{faults:?}");
        for (fault, words) in faults.iter().zip(expected) {
            assert!(fault.contains(words), "{fault:?} lacks {words:?}");
        }
    }

    #[test]
    fn identity_is_refused_on_any_cycle() {
        check("a>b identity", &[]);
        check("a>b identity, b>c identity, a>c identity", &[]);
        check("a>b source, b>a source", &[]);
        check("a>b owner, b>c source, c>a owner", &[]);
        check(
            "a>b identity, b>a identity",
            &[
                "cycle a -> b (a-to-b, identity) -> a (b-to-a, identity)",
                "cycle b -> a (b-to-a, identity) -> b (a-to-b, identity)",
            ],
        );
        // The way back has prefixes and still goes round.
        check(
            "a>b identity, b>c source, c>a owner",
            &["a -> b (a-to-b, identity) -> c (b-to-c, source-prefix) -> a (c-to-a, owner-prefix)"],
        );
        // The identity flow itself lies on no cycle.
        check("d>a identity, a>b source, b>a source", &[]);
        check("a>b source, b>a source, b>d identity", &[]);
    }

    #[test]
    fn the_shortest_cycle_is_shown() {
        check(
            "a>b identity, b>c source, c>d source, d>a source, c>a source",
            &["cycle a -> b (a-to-b, identity) -> c (b-to-c, source-prefix) -> a (c-to-a"],
        );
    }

    #[test]
    fn all_faults_are_given_at_once() {
        check(
            "a>a source, a>x source one, y>b source one, a>b source two",
            &[
                "flow one: no cluster is called x; known are a, b, c, d",
                "flow one: no cluster is called y",
                "flow a-to-a: source and target are both a",
                "2 flows are called one",
            ],
        );
    }

    #[test]
    fn a_cluster_is_known_by_its_id() {
        let ids = |text: &str| -> BTreeMap<ClusterName, String> {
            let pairs = text
                .split_whitespace()
                .map(|it| it.split_once('=').unwrap());
            pairs
                .map(|(name, id)| (cluster(name), id.to_owned()))
                .collect()
        };
        assert_eq!(check_cluster_ids(&ids("a=1 b=2"), &ids("a=1")), []);
        let found = check_cluster_ids(&ids("a=1 b=2 c=1"), &ids("b=3 d=4"));
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(
            found[0].starts_with("a, c are one and the same cluster, 1"),
            "{found:?}"
        );
        assert!(
            found[1].starts_with("b is now cluster 2, it was 3"),
            "{found:?}"
        );
        assert_eq!(found.len(), 2);
    }
}
