//! Whether the parts of a layout fit each other: the address that the others look for, the copies
//! that so many brokers can keep, and what a person should know of a quorum that holds.

use super::{ClusterSettings, controllers};
use crate::cluster::NodeAddress;
use crate::settings::breach;
use crate::settings::listeners::{ListenerKind, ListenerRow, host_and_port};
use isthmus_config::{Breach, ConfigProblem, Loaded, Rule};
use std::net::{IpAddr, ToSocketAddrs};

pub(in crate::settings) const OWN_ADDRESS: Rule = Rule {
    keys: &["listeners", "cluster.controllers", "node.id", "node.roles"],
    test: others_find_this_controller,
};
pub(in crate::settings) const COPIES: Rule = Rule {
    keys: &[
        "listeners",
        "cluster.controllers",
        "node.roles",
        "default.replication.factor",
        "offsets.topic.replication.factor",
    ],
    test: one_node_keeps_one_copy,
};

/// The other nodes look for a controller where `cluster.controllers` says, and nowhere else: one that
/// listens elsewhere waits for a majority for ever.
fn others_find_this_controller(loaded: &Loaded) -> Result<(), Breach> {
    let settings = ClusterSettings::of(loaded);
    let Some(own) = settings.own_entry(loaded.get("node.id")) else {
        return Ok(());
    };
    let rows = loaded.rows::<ListenerRow>("listeners").unwrap_or_default();
    let mut rows = (0..).zip(&rows);
    let Some((at, row)) = rows.find(|(_, row)| row.kind == ListenerKind::Controller) else {
        return Ok(());
    };
    let wanted = format!("{}:{}", own.host, own.port);
    let key = |field: &str| format!("listeners[{at}].{field}");
    if let Some(advertised) = &row.advertised {
        if host_and_port(advertised).is_none_or(|it| it == (own.host.clone(), own.port)) {
            return Ok(());
        }
        let what = format!("is not where cluster.controllers says this node is, {wanted}");
        let remedy = "write at both places the address at which the other nodes reach it";
        return breach(&key("advertised"), &what, remedy);
    }
    let Some((_, port)) = host_and_port(&row.bind) else {
        return Ok(());
    };
    if port != own.port {
        let what = format!("is not the port at which the others look for this node, {wanted}");
        let remedy = format!(
            "listen at port {}; if it is another one outside, set `advertised` to {wanted}",
            own.port
        );
        return breach(&key("bind"), &what, &remedy);
    }
    if is_only_here(&row.bind) && is_elsewhere(own) {
        let what = format!("is for this machine alone, and the others look for it at {wanted}");
        let remedy = format!(
            "listen at an address that they reach, or at 0.0.0.0:{}",
            own.port
        );
        return breach(&key("bind"), &what, &remedy);
    }
    Ok(())
}

/// What cannot be resolved is told elsewhere.
pub(super) fn is_only_here(bind: &str) -> bool {
    let found = bind.to_socket_addrs();
    found.is_ok_and(|mut found| found.all(|address| address.ip().is_loopback()))
}

/// Whether that surely is no address of this machine's own loopback. A name that cannot be resolved
/// here and now is given the benefit of the doubt.
fn is_elsewhere(address: &NodeAddress) -> bool {
    if let Ok(ip) = address.host.parse::<IpAddr>() {
        return !ip.is_loopback();
    }
    let found = (address.host.as_str(), address.port).to_socket_addrs();
    found.is_ok_and(|mut found| !found.any(|it| it.ip().is_loopback()))
}

/// Whoever asked for more copies than there are brokers would be refused every topic, and every group.
fn one_node_keeps_one_copy(loaded: &Loaded) -> Result<(), Breach> {
    if !ClusterSettings::of(loaded).is_alone() {
        return Ok(());
    }
    let keys = [
        "default.replication.factor",
        "offsets.topic.replication.factor",
    ];
    // Kafka's own default of the latter is 3; who says nothing is told when the first group comes.
    let too_many = |key: &&str| loaded.is_set(key) && loaded.get::<i32>(key) > 1;
    match keys.into_iter().find(too_many) {
        None => Ok(()),
        Some(key) => breach(
            key,
            "is more than the one broker that this node alone is",
            "write 1, or name the other nodes in cluster.controllers",
        ),
    }
}

/// What a person should look at, though the layout holds.
pub(in crate::settings) fn notices(loaded: &Loaded) -> Vec<ConfigProblem> {
    let is_alone = ClusterSettings::of(loaded).is_alone();
    let voters = controllers(loaded).unwrap_or_default().len();
    [
        few_voters(loaded, voters, is_alone),
        all_must_be_in_sync(loaded),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// An even number of voters survives no more than one less, and one alone survives nothing.
fn few_voters(loaded: &Loaded, voters: usize, is_alone: bool) -> Option<ConfigProblem> {
    if is_alone || voters == 0 || (voters > 1 && voters % 2 == 1) {
        return None;
    }
    let (what, remedy) = match voters {
        1 => (
            "names one voter: while it is away no metadata changes and no leader is replaced"
                .to_owned(),
            "name three, at three sites if there are as many",
        ),
        _ => (
            format!(
                "names {voters} voters: they survive the loss of {}, as {} would",
                (voters - 1) / 2,
                voters - 1
            ),
            "name an odd number, one of them at a third site if there are two",
        ),
    };
    Some(loaded.problem("cluster.controllers", what, remedy))
}

/// Kafka takes it, and so do we: the bound on acks=all is min(m, r) (semantics, rule 1). It then means
/// that every replica of such a topic must be there.
fn all_must_be_in_sync(loaded: &Loaded) -> Option<ConfigProblem> {
    let key = "min.insync.replicas";
    let (wanted, copies) = (
        loaded.get::<i32>(key),
        loaded.get::<i32>("default.replication.factor"),
    );
    if wanted <= copies || !loaded.is_set(key) || !loaded.is_set("default.replication.factor") {
        return None;
    }
    let what = format!(
        "is more than default.replication.factor, {copies}: of a topic made with that factor every \
         replica must be in sync, and the loss of one ends acks=all"
    );
    let remedy = "raise default.replication.factor, or write one less than it";
    Some(loaded.problem(key, what, remedy))
}
