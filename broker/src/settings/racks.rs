//! Where this node stands, and what follows from that: whether replicas must be spread over racks, and which
//! one consumers read from (KIP-392).

use super::breach;
use isthmus_broker_core::metadata::{RACK_PLACEMENT, RackPlacement};
use isthmus_broker_core::replica::ReplicaSelector;
use isthmus_config::{Breach, ConfigProblem, Loaded, Rule};

const SELECTOR_KEY: &str = "replica.selector.class";

pub(super) const SELECTOR: Rule = Rule {
    keys: &[SELECTOR_KEY],
    test: selector_is_known,
};

pub(super) const PLACEMENT: Rule = Rule {
    keys: &[RACK_PLACEMENT, "node.rack", "node.roles"],
    test: brokers_have_racks,
};

/// Where neither a topic nor the cluster says anything.
pub(super) fn rack_placement(loaded: &Loaded) -> RackPlacement {
    RackPlacement::from_word(loaded.get::<&str>(RACK_PLACEMENT)).unwrap_or_default()
}

/// Requirement S4-01: a broker without a rack would leave no way to say how its replicas are spread.
fn brokers_have_racks(loaded: &Loaded) -> Result<(), Breach> {
    let has_rack = loaded.find::<&str>("node.rack").is_some();
    if rack_placement(loaded) == RackPlacement::Any || has_rack || !is_broker(loaded) {
        return Ok(());
    }
    breach(
        RACK_PLACEMENT,
        "needs a rack of every broker, and node.rack says none for this node",
        "set node.rack (Kafka's broker.rack) to the rack, zone or site that it stands in",
    )
}

fn is_broker(loaded: &Loaded) -> bool {
    let roles = loaded.get::<&[String]>("node.roles");
    roles.iter().any(|role| role == "broker")
}

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
    let is_set = replica_selector(loaded) == ReplicaSelector::RackAware;
    if !is_broker(loaded) || !is_set || loaded.find::<&str>("node.rack").is_some() {
        return Vec::new();
    }
    let what = "asks for a replica in the consumer's rack, and node.rack says none for this node";
    let remedy = "set node.rack at every broker, and client.rack at the consumers";
    vec![loaded.problem(SELECTOR_KEY, what, remedy)]
}
