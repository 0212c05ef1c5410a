//! Would the flows of a file work? (`isthmus config check FILE --online`)
//!
//! Owns: asking both clusters of each flow, with the file's own credentials, for what the core's
//! `config_check` judges. It writes nothing: topics are described, or asked for as if to be created
//! with `validate_only`; nothing is asked for whose asking makes a topic (a group's coordinator makes
//! `__consumer_offsets`). Must not know the data path.

mod document;
mod gather;
mod reach;
mod rights;

use std::collections::BTreeMap;

use isthmus_client::RequestError;
use isthmus_replicator_core::config_check::{FlowFacts, findings, summary};
use isthmus_replicator_core::graph::{IdentityError, check_cluster_ids};
use isthmus_replicator_core::names::ClusterName;

pub use document::{OnlineDocument, OnlineFinding, OnlineFlow};
use reach::Reached;

use crate::settings::Settings;

/// Why nothing can be said; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("could not reach {cluster}: {problem}")]
pub struct OnlineError {
    cluster: String,
    problem: String,
}

impl OnlineError {
    fn of(cluster: &ClusterName, problem: impl std::fmt::Display) -> Self {
        Self {
            cluster: cluster.to_string(),
            problem: problem.to_string(),
        }
    }
}

/// Which of the clusters did not answer.
fn at(cluster: &Reached) -> impl Fn(RequestError) -> OnlineError {
    let name = cluster.name.clone();
    move |error| OnlineError::of(&name, error)
}

/// Asks all clusters that the flows name.
pub async fn check_online(settings: &Settings) -> Result<OnlineDocument, OnlineError> {
    let mut clusters: BTreeMap<ClusterName, Reached> = BTreeMap::new();
    for flow in &settings.flows {
        for name in [&flow.source, &flow.target] {
            if !clusters.contains_key(name) {
                clusters.insert(name.clone(), Reached::reach(settings, name).await?);
            }
        }
    }
    let mut facts = Vec::new();
    for flow in &settings.flows {
        let [source, target] = [&flow.source, &flow.target].map(|name| &clusters[name]);
        let mut of_flow = gather::facts(settings, flow, source, target).await?;
        of_flow.identity = identity(&clusters, target, &of_flow);
        facts.push(of_flow);
    }
    let flows = facts.iter().map(|it| (it, summary(it)));
    Ok(OnlineDocument::new(flows, findings(&facts)))
}

/// What is wrong with one of the flow's clusters, by all that answered and what the target saved.
fn identity(
    clusters: &BTreeMap<ClusterName, Reached>,
    target: &Reached,
    facts: &FlowFacts,
) -> Option<IdentityError> {
    let ids = clusters.values().filter_map(|it| {
        let id = it.metadata.cluster_id.clone()?;
        Some((it.name.clone(), id))
    });
    let faults = check_cluster_ids(&ids.collect(), &target.saved_ids());
    let mine = [&facts.source, &facts.target];
    faults.into_iter().find(|fault| match fault {
        IdentityError::OneClusterTwoNames { clusters, .. } => {
            mine.iter().any(|name| clusters.contains(name))
        }
        IdentityError::AnotherCluster { cluster, .. } => mine.contains(&cluster),
    })
}
