//! Files for Apache Kafka: `server.properties` per node, and one MirrorMaker 2 file per site that
//! runs flows.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{File, Options, data_of, settings};
use crate::model::{Cluster, Flow, Model, Naming, Node, Role};

pub(super) fn files(model: &Model, options: &Options) -> Vec<File> {
    let nodes = model.placed();
    let nodes = nodes.map(|(node, cluster)| File {
        path: format!("{}/node-{}.properties", cluster.name, node.id),
        text: server_properties(model, options, node, cluster),
    });
    let sites: BTreeSet<&str> = model.flows.iter().map(|flow| flow.site.as_str()).collect();
    let mirrors = sites.into_iter().map(|site| File {
        path: format!("mm2-{site}.properties"),
        text: mirror_properties(model, site),
    });
    nodes.chain(mirrors).collect()
}

fn server_properties(model: &Model, options: &Options, node: &Node, cluster: &Cluster) -> String {
    let mut text = format!(
        "# {}: node {} of cluster {}, at {}. Made by isthmus plan --render.\n",
        model.model.name, node.id, cluster.name, node.site
    );
    let mut set = |key: &str, value: &str| {
        writeln!(text, "{key}={}", escape(value)).expect("a String takes all text");
    };
    let mut roles = Vec::new();
    let mut listeners = Vec::new();
    if node.has(Role::Broker) {
        roles.push("broker");
        listeners.push(format!("PLAINTEXT://{}:{}", node.host, node.port));
    }
    if node.has(Role::Controller) {
        roles.push("controller");
        listeners.push(format!("CONTROLLER://{}", node.controller_address()));
    }
    let voters = model.nodes_of(&cluster.name, Role::Controller);
    let voters = voters.map(|it| format!("{}@{}", it.id, it.controller_address()));
    set("process.roles", &roles.join(","));
    set("node.id", &node.id.to_string());
    set(
        "controller.quorum.voters",
        &voters.collect::<Vec<_>>().join(","),
    );
    set("controller.listener.names", "CONTROLLER");
    set("listeners", &listeners.join(","));
    if node.has(Role::Broker) {
        set("advertised.listeners", &listeners[0]);
    }
    set("broker.rack", &model.rack(node));
    set("log.dirs", &data_of(options, node));
    for (key, value) in settings(cluster) {
        set(key, value);
    }
    text
}

fn mirror_properties(model: &Model, site: &str) -> String {
    let flows: Vec<&Flow> = model
        .flows
        .iter()
        .filter(|flow| flow.site == site)
        .collect();
    let ends = flows.iter().flat_map(|flow| [&flow.source, &flow.target]);
    let clusters: BTreeSet<&String> = ends.collect();
    let mut text = format!(
        "# {}: MirrorMaker 2 at {site}. Made by isthmus plan --render.\n",
        model.model.name
    );
    let mut set = |key: &str, value: &str| {
        writeln!(text, "{key}={}", escape(value)).expect("a String takes all text");
    };
    let names: Vec<&str> = clusters.iter().map(|it| it.as_str()).collect();
    set("clusters", &names.join(","));
    for cluster in &names {
        let brokers = model.nodes_of(cluster, Role::Broker).count().min(3);
        set(
            &format!("{cluster}.bootstrap.servers"),
            &model.bootstrap(cluster),
        );
        for topic in ["offset", "status", "config"] {
            let key = format!("{cluster}.{topic}.storage.replication.factor");
            set(&key, &brokers.to_string());
        }
    }
    // Without these the process dies where a cluster has fewer than three brokers.
    let fewest = names
        .iter()
        .map(|it| model.nodes_of(it, Role::Broker).count());
    let fewest = fewest.min().unwrap_or(1).clamp(1, 3).to_string();
    for topic in ["checkpoints", "heartbeats", "offset-syncs"] {
        set(&format!("{topic}.topic.replication.factor"), &fewest);
    }
    // As often as it can, so that the mirror and not its habits is measured.
    for (key, value) in [
        ("refresh.topics.interval.seconds", "5"),
        ("refresh.groups.interval.seconds", "5"),
        ("emit.checkpoints.interval.seconds", "1"),
        ("sync.group.offsets.enabled", "true"),
        ("sync.group.offsets.interval.seconds", "1"),
        // Or a mirror in the other direction is started for its heartbeats alone.
        ("emit.heartbeats.enabled", "false"),
    ] {
        set(key, value);
    }
    for flow in flows {
        let pair = format!("{}->{}", flow.source, flow.target);
        let mut set = |key: &str, value: &str| set(&format!("{pair}.{key}"), value);
        set("enabled", "true");
        set("topics", &flow.topics.join(","));
        set("groups", &flow.groups.join(","));
        if !flow.exclude.is_empty() {
            set("topics.exclude", &flow.exclude.join(","));
        }
        let replicas = flow.replication_factor.map(|it| it.to_string());
        set("replication.factor", &replicas.unwrap_or(fewest.clone()));
        match flow.naming {
            // MirrorMaker 2 has no policy for topics that carry their owner's name from birth; with
            // identity they keep it.
            Naming::Identity | Naming::OwnerPrefix => set(
                "replication.policy.class",
                "org.apache.kafka.connect.mirror.IdentityReplicationPolicy",
            ),
            Naming::SourcePrefix => {}
        }
    }
    text
}

/// Java's properties read a backslash as the begin of an escape.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\")
}
