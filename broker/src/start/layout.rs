//! Whether the quorum that a directory knows and the cluster that the configuration names fit: told at
//! the start, with what to do. Nothing of it is refused: a log may be behind the quorum, a file ahead
//! of it, and while voters change both are right.

use crate::metadata_log::Voter;
use crate::settings::{ClusterSettings, Roles};
use isthmus_log::MetaProperties;

pub(super) fn tell(cluster: &ClusterSettings, meta: &MetaProperties, voters: &[Voter]) {
    let own = Voter {
        node_id: meta.node_id,
        directory_id: meta.directory_id,
    };
    for notice in notices(cluster, own, voters) {
        tracing::warn!(event = "quorum_layout", "{notice}");
    }
}

/// What a person should look at; `voters` by the directory's log, none before it holds anything.
fn notices(cluster: &ClusterSettings, own: Voter, voters: &[Voter]) -> Vec<String> {
    if cluster.is_alone() {
        return Vec::new();
    }
    let mut notices: Vec<String> = own_vote(cluster.roles, own, voters).into_iter().collect();
    let is_named = |id: i32| cluster.controllers.iter().any(|it| it.node_id == id);
    let unnamed = voters.iter().filter(|it| !is_named(it.node_id));
    notices.extend(unnamed.filter(|it| **it != own).map(|voter| {
        let Voter {
            node_id,
            directory_id,
        } = voter;
        format!(
            "voter {node_id} has no address in cluster.controllers, and is not reached from here: \
             write it there, or take the voter out with `isthmus quorum remove {node_id} --directory \
             {directory_id}`"
        )
    }));
    notices
}

fn own_vote(roles: Roles, own: Voter, voters: &[Voter]) -> Option<String> {
    let Voter {
        node_id,
        directory_id,
    } = own;
    let by_id = voters.iter().find(|it| it.node_id == node_id);
    let votes = voters.contains(&own);
    match (roles.controller, by_id) {
        (true, _) if votes => None,
        (
            true,
            Some(Voter {
                directory_id: lost, ..
            }),
        ) => Some(format!(
            "node {node_id} votes with directory {lost}, and this is directory {directory_id}: a \
             replaced disk is a new voter; run `isthmus quorum remove {node_id} --directory {lost}` \
             and `isthmus quorum add {node_id} --directory {directory_id}`"
        )),
        (true, None) => Some(format!(
            "this controller does not vote, and waits until it is added: run `isthmus quorum add \
             {node_id} --directory {directory_id}`, after `isthmus quorum remove` where the node \
             voted with a directory that is gone"
        )),
        (false, Some(_)) if votes => Some(format!(
            "this node votes and has not the role of a controller, so that the quorum lacks its vote: \
             add \"controller\" to node.roles, or run `isthmus quorum remove {node_id} --directory \
             {directory_id}`"
        )),
        (false, Some(_) | None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::NodeAddress;
    use isthmus_wire::Uuid;

    /// `3` with its first directory, `3b` with the one that came in its place.
    fn voter(text: &str) -> Voter {
        let (id, disk) = match text.strip_suffix('b') {
            Some(id) => (id, 2),
            None => (text, 1),
        };
        let node_id: i32 = id.parse().unwrap();
        let mut bytes = [disk; 16];
        bytes[0] = u8::try_from(node_id).unwrap();
        Voter {
            node_id,
            directory_id: Uuid(bytes),
        }
    }

    /// What is said of `own` with those controllers in its file and those voters in its log.
    fn said(own: &str, is_controller: bool, named: &str, voters: &str) -> Vec<String> {
        let address = |id: &str| NodeAddress {
            node_id: id.parse().unwrap(),
            host: "h".to_owned(),
            port: 1,
        };
        let roles = Roles {
            broker: true,
            controller: is_controller,
        };
        let controllers = named.split_whitespace().map(address).collect();
        let cluster = ClusterSettings::of_test(roles, controllers);
        let voters: Vec<Voter> = voters.split_whitespace().map(voter).collect();
        let notices = notices(&cluster, voter(own), &voters);
        let directory = |text: String, it: &str| {
            let id = voter(it).directory_id.to_string();
            text.replace(&id, &format!("D{it}"))
        };
        let known = ["1", "1b", "2", "3", "4"];
        let told = notices.into_iter();
        told.map(|it| known.into_iter().fold(it, directory))
            .collect()
    }

    #[test]
    fn what_fits_is_passed_over() {
        assert!(said("1", true, "1 2 3", "1 2 3").is_empty());
        assert!(said("4", false, "1 2 3", "").is_empty(), "a new broker");
        assert!(said("4", false, "1 2 3", "1 2 3").is_empty());
        assert!(said("1", true, "1 2 3 4", "1 2 3").is_empty(), "4 comes");
    }

    #[test]
    fn what_does_not_is_told_with_the_remedy() {
        let strange = said("1b", true, "1 2 3", "1 2 3");
        assert_eq!(
            strange,
            [
                "node 1 votes with directory D1, and this is directory D1b: a replaced disk is a new \
              voter; run `isthmus quorum remove 1 --directory D1` and `isthmus quorum add 1 \
              --directory D1b`"
            ]
        );
        let new = said("4", true, "1 2 3 4", "");
        assert_eq!(new.len(), 1);
        assert!(
            new[0].contains("run `isthmus quorum add 4 --directory D4`"),
            "{new:?}"
        );
        let demoted = said("3", false, "1 2", "1 2 3");
        assert_eq!(
            demoted.len(),
            1,
            "its own address is not asked for: {demoted:?}"
        );
        assert!(
            demoted[0].contains("isthmus quorum remove 3 --directory D3"),
            "{demoted:?}"
        );
        let unnamed = said("1", true, "1 2 4", "1 2 3");
        assert_eq!(
            unnamed,
            [
                "voter 3 has no address in cluster.controllers, and is not reached from here: write it \
              there, or take the voter out with `isthmus quorum remove 3 --directory D3`"
            ]
        );
    }
}
