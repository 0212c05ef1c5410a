//! The node's place in its cluster: what it does, who the controllers are, what nodes prove
//! themselves with. A layout that cannot work is refused here, before anything is touched.

use super::breach;
use super::listeners::{ListenerKind, ListenerRow};
use crate::cluster::NodeAddress;
use isthmus_broker_core::metadata::SESSION_MIN_MS;
use isthmus_config::{Breach, Loaded, Rule};
use std::collections::BTreeSet;
use std::path::PathBuf;

mod layout;
#[cfg(test)]
mod tests;

pub(super) use layout::{COPIES, OWN_ADDRESS, notices};

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    pub broker: bool,
    pub controller: bool,
}

/// The cluster as this node was told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClusterSettings {
    pub(crate) roles: Roles,
    /// The quorum's voters; empty for a node that is its own and only controller.
    pub(crate) controllers: Vec<NodeAddress>,
    pub(crate) secret_file: Option<PathBuf>,
    /// Whether a listener is there by which other nodes reach this controller.
    listens_to_nodes: bool,
}

impl ClusterSettings {
    pub(super) fn of(loaded: &Loaded) -> Self {
        Self {
            roles: roles(loaded),
            controllers: controllers(loaded).unwrap_or_default(),
            secret_file: loaded
                .find::<&str>("cluster.secret_file")
                .map(PathBuf::from),
            listens_to_nodes: listeners(loaded)
                .iter()
                .any(|row| row.kind == ListenerKind::Controller),
        }
    }

    /// Of a node among others.
    #[cfg(test)]
    pub(crate) fn of_test(roles: Roles, controllers: Vec<NodeAddress>) -> Self {
        Self {
            roles,
            controllers,
            secret_file: None,
            listens_to_nodes: true,
        }
    }

    /// Whether this node is all there is: its own controller, and nobody else's. With a listener for
    /// controllers it is not, even as the only one: brokers may come by it.
    pub(crate) fn is_alone(&self) -> bool {
        let Roles { broker, controller } = self.roles;
        broker && controller && self.controllers.len() <= 1 && !self.listens_to_nodes
    }

    /// Where this node's controller is for the others.
    pub(super) fn own_entry(&self, node_id: i32) -> Option<&NodeAddress> {
        self.controllers.iter().find(|it| it.node_id == node_id)
    }
}

pub(super) const ROLES: Rule = Rule {
    keys: &["node.roles"],
    test: some_role,
};
pub(super) const CONTROLLERS: Rule = Rule {
    keys: &["cluster.controllers", "node.id", "node.roles"],
    test: controllers_make_a_quorum,
};
pub(super) const KINDS: Rule = Rule {
    keys: &["listeners", "node.roles", "cluster.controllers"],
    test: listeners_for_the_roles,
};
pub(super) const GUARDED: Rule = Rule {
    keys: &["listeners", "cluster.secret_file"],
    test: nodes_prove_themselves,
};
pub(super) const TRUST: Rule = Rule {
    keys: &["listeners", "node.roles", "cluster.controllers"],
    test: nodes_know_whom_to_trust,
};
pub(super) const SESSION: Rule = Rule {
    keys: &["broker.session.timeout.ms", "broker.heartbeat.interval.ms"],
    test: session_outlasts_heartbeats,
};

fn roles(loaded: &Loaded) -> Roles {
    let words = loaded.get::<&[String]>("node.roles");
    let has = |role: &str| words.iter().any(|word| word == role);
    Roles {
        broker: has("broker"),
        controller: has("controller"),
    }
}

fn listeners(loaded: &Loaded) -> Vec<ListenerRow> {
    loaded.rows("listeners").unwrap_or_default()
}

/// The voters in the order they are written, or the first that is none.
fn controllers(loaded: &Loaded) -> Result<Vec<NodeAddress>, String> {
    let written = loaded.find::<&[String]>("cluster.controllers");
    let written = written.unwrap_or_default().iter();
    written
        .map(|text| controller(text).ok_or_else(|| text.clone()))
        .collect()
}

fn controller(text: &str) -> Option<NodeAddress> {
    let (id, address) = text.split_once('@')?;
    let (host, port) = super::listeners::host_and_port(address)?;
    let node_id = id.trim().parse().ok().filter(|id| *id >= 0)?;
    (!host.is_empty() && port != 0).then_some(NodeAddress {
        node_id,
        host,
        port,
    })
}

fn some_role(loaded: &Loaded) -> Result<(), Breach> {
    let Roles { broker, controller } = roles(loaded);
    if broker || controller {
        return Ok(());
    }
    let remedy = "write roles = [\"broker\", \"controller\"], or one of them";
    breach("node.roles", "names no role", remedy)
}

fn controllers_make_a_quorum(loaded: &Loaded) -> Result<(), Breach> {
    let key = "cluster.controllers";
    let wrong = |what: &str, remedy: &str| breach(key, what, remedy);
    let listed = match controllers(loaded) {
        Ok(listed) => listed,
        Err(text) => {
            let what = format!("{text} is no controller");
            return wrong(&what, "write each as id@host:port");
        }
    };
    let ids: BTreeSet<i32> = listed.iter().map(|it| it.node_id).collect();
    let places: BTreeSet<(&str, u16)> = listed.iter().map(|it| (&*it.host, it.port)).collect();
    if ids.len() < listed.len() {
        return wrong("names an id twice", "give each controller its own id");
    }
    if places.len() < listed.len() {
        return wrong(
            "names an address twice",
            "give each controller its own address",
        );
    }
    let (own, Roles { controller, .. }) = (loaded.get::<i32>("node.id"), roles(loaded));
    match (controller, ids.contains(&own)) {
        (false, _) if listed.is_empty() => {
            let remedy = "name the controllers as id@host:port: this node has not that role itself";
            wrong("is missing", remedy)
        }
        (false, true) => {
            let what = "names this node, which has not the role of a controller";
            wrong(
                what,
                "add \"controller\" to node.roles, or take the node out of the list",
            )
        }
        (true, false) if !listed.is_empty() => {
            let what = "does not name this node, which has the role of a controller";
            wrong(
                what,
                "add it as id@host:port, or take \"controller\" out of node.roles",
            )
        }
        (true | false, true | false) => Ok(()),
    }
}

fn listeners_for_the_roles(loaded: &Loaded) -> Result<(), Breach> {
    let rows = listeners(loaded);
    let count = |kind: ListenerKind| rows.iter().filter(|row| row.kind == kind).count();
    let (brokers, controllers) = (count(ListenerKind::Broker), count(ListenerKind::Controller));
    let settings = ClusterSettings::of(loaded);
    let Roles { broker, controller } = settings.roles;
    let wrong = |what: &str, remedy: &str| breach("listeners", what, remedy);
    if brokers > 1 || controllers > 1 {
        let what = "has two of a kind by which nodes reach each other";
        return wrong(
            what,
            "keep one of kind \"broker\" and one of kind \"controller\"",
        );
    }
    if !broker && rows.len() > controllers {
        let what = "has one for clients or brokers, and this node has not the role of a broker";
        return wrong(what, "take it out, or add \"broker\" to node.roles");
    }
    if !controller && controllers > 0 {
        let what = "has one for controllers, and this node has not that role";
        return wrong(what, "take it out, or add \"controller\" to node.roles");
    }
    if settings.is_alone() {
        return Ok(());
    }
    if settings.controllers.is_empty() {
        let what = "is missing, and there is a listener by which other nodes reach this controller";
        let remedy = "name this node in it as id@host:port, or take the listener out";
        return breach("cluster.controllers", what, remedy);
    }
    if controller && controllers == 0 {
        let what = "has none by which the controllers reach each other";
        return wrong(what, "add one of kind \"controller\"");
    }
    if broker && brokers == 0 {
        let what = "has none by which the brokers reach each other";
        return wrong(what, "add one of kind \"broker\"");
    }
    Ok(())
}

/// Design, decision 20: otherwise any client can play a node.
fn nodes_prove_themselves(loaded: &Loaded) -> Result<(), Breach> {
    if loaded.find::<&str>("cluster.secret_file").is_some() {
        return Ok(());
    }
    let rows = listeners(loaded);
    let open = (0..).zip(&rows).find(|(_, row)| {
        let is_internal = row.kind != ListenerKind::Client;
        is_internal && !row.has_mutual_tls() && !layout::is_only_here(&row.bind)
    });
    match open {
        None => Ok(()),
        Some((at, _)) => breach(
            &format!("listeners[{at}].bind"),
            "lets nodes in from other machines, and they would have nothing to prove themselves with",
            "set cluster.secret_file, or tls.client_auth = \"required\", or bind to 127.0.0.1",
        ),
    }
}

/// A node calls others with the files of its own listener of that kind; without authorities it would
/// take no certificate for good.
fn nodes_know_whom_to_trust(loaded: &Loaded) -> Result<(), Breach> {
    if ClusterSettings::of(loaded).is_alone() {
        return Ok(());
    }
    let rows = listeners(loaded);
    let blind = (0..)
        .zip(&rows)
        .find(|(_, row)| row.kind != ListenerKind::Client && row.trusts_nobody());
    match blind {
        None => Ok(()),
        Some((at, _)) => breach(
            &format!("listeners[{at}].tls.client_ca_file"),
            "is missing, and by this listener's files the node checks the certificates of others",
            "set it to the PEM file with the authorities that sign the nodes' certificates",
        ),
    }
}

fn session_outlasts_heartbeats(loaded: &Loaded) -> Result<(), Breach> {
    let session = loaded.get::<i64>("broker.session.timeout.ms");
    let heartbeat = loaded.get::<i64>("broker.heartbeat.interval.ms");
    if session < SESSION_MIN_MS {
        let what = "is shorter than an election and a lost heartbeat take";
        let remedy =
            "write 1600 or more, and ten times the longest round trip between nodes on top";
        return breach("broker.session.timeout.ms", what, remedy);
    }
    if heartbeat < 1 || heartbeat.saturating_mul(2) > session {
        let what = "does not fit twice into broker.session.timeout.ms";
        let remedy = "write at most half of it, better a quarter";
        return breach("broker.heartbeat.interval.ms", what, remedy);
    }
    Ok(())
}
