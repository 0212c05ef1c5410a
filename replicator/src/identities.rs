//! Which cluster stands behind each name: a flow between two names of one cluster would feed itself.
//!
//! A client never changes its cluster once one has answered. What is left to find out is whether two
//! clients reached the same one, and whether a name led elsewhere in an earlier run.

use std::collections::BTreeMap;

use isthmus_replicator_core::graph::{IdentityError, check_cluster_ids};
use isthmus_replicator_core::names::ClusterName;
use parking_lot::Mutex;

#[derive(Debug, Default)]
pub(crate) struct Identities(Mutex<Ids>);

#[derive(Debug, Default)]
struct Ids {
    answered: BTreeMap<ClusterName, String>,
    saved: BTreeMap<ClusterName, String>,
}

impl Identities {
    /// What an earlier run saved.
    pub(crate) fn saved(&self, name: &ClusterName, id: &str) {
        let mut ids = self.0.lock();
        ids.saved.insert(name.clone(), id.to_owned());
    }

    /// A cluster answered; true if this name was never seen before.
    pub(crate) fn answered(&self, name: &ClusterName, id: &str) -> bool {
        let mut ids = self.0.lock();
        ids.answered.insert(name.clone(), id.to_owned());
        !ids.saved.contains_key(name)
    }

    /// What is wrong with one of these clusters.
    pub(crate) fn fault(&self, of: [&ClusterName; 2]) -> Option<IdentityError> {
        let ids = self.0.lock();
        let faults = check_cluster_ids(&ids.answered, &ids.saved);
        let mut faults = faults.into_iter().filter(|fault| match fault {
            IdentityError::OneClusterTwoNames { clusters, .. } => {
                of.iter().any(|name| clusters.contains(name))
            }
            IdentityError::AnotherCluster { cluster, .. } => of.contains(&cluster),
        });
        faults.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_of_one_cluster_stop_their_flows_only() {
        let name = |text| ClusterName::parse(text).unwrap();
        let (a, b, c, d) = (name("a"), name("b"), name("c"), name("d"));
        let ids = Identities::default();
        ids.saved(&d, "4");
        assert!(ids.answered(&a, "1") && ids.answered(&b, "1") && ids.answered(&c, "3"));
        assert!(!ids.answered(&d, "5"));
        assert!(ids.fault([&a, &c]).is_some());
        assert!(ids.fault([&c, &c]).is_none());
        let elsewhere = ids.fault([&c, &d]).unwrap().to_string();
        assert!(
            elsewhere.contains("is now cluster 5, it was 4"),
            "{elsewhere}"
        );
    }
}
