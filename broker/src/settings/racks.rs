//! Where this node stands, and what follows from that: which replica consumers read from (KIP-392).

use super::breach;
use isthmus_broker_core::replica::ReplicaSelector;
use isthmus_config::{Breach, ConfigProblem, Loaded, Rule};

const SELECTOR_KEY: &str = "replica.selector.class";

pub(super) const SELECTOR: Rule = Rule {
    keys: &[SELECTOR_KEY],
    test: selector_is_known,
};

pub(super) fn replica_selector(loaded: &Loaded) -> ReplicaSelector {
    let class = loaded.find::<&str>(SELECTOR_KEY).unwrap_or_default();
    ReplicaSelector::from_class(class).unwrap_or_default()
}

fn selector_is_known(loaded: &Loaded) -> Result<(), Breach> {
    let class = loaded.find::<&str>(SELECTOR_KEY).unwrap_or_default();
    if class.is_empty() || ReplicaSelector::from_class(class).is_some() {
        return Ok(());
    }
    breach(
        SELECTOR_KEY,
        "is not known, and Java classes cannot be loaded",
        "write org.apache.kafka.common.replica.RackAwareReplicaSelector, by which a consumer reads \
         from a replica of its own rack, or leave it out",
    )
}

/// What a person should look at, though the configuration holds.
pub(super) fn notices(loaded: &Loaded) -> Vec<ConfigProblem> {
    let roles = loaded.get::<&[String]>("node.roles");
    let is_broker = roles.iter().any(|role| role == "broker");
    let is_set = replica_selector(loaded) == ReplicaSelector::RackAware;
    if !is_broker || !is_set || loaded.find::<&str>("node.rack").is_some() {
        return Vec::new();
    }
    let what = "asks for a replica in the consumer's rack, and node.rack says none for this node";
    let remedy = "set node.rack at every broker, and client.rack at the consumers";
    vec![loaded.problem(SELECTOR_KEY, what, remedy)]
}
