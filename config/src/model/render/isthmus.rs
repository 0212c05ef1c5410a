//! Files for Isthmus: one per node, and one replicator file per site that runs flows.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{File, Options, data_of, settings};
use crate::model::{Cluster, Flow, Model, Naming, Node, Role};

pub(super) fn files(model: &Model, options: &Options) -> Vec<File> {
    let nodes = model.placed();
    let nodes = nodes.map(|(node, cluster)| File {
        path: format!("{}/node-{}.toml", cluster.name, node.id),
        text: node_file(model, options, node, cluster),
    });
    let sites: BTreeSet<&str> = model.flows.iter().map(|flow| flow.site.as_str()).collect();
    let replicators = sites.into_iter().map(|site| File {
        path: format!("replicator-{site}.toml"),
        text: replicator_file(model, site),
    });
    nodes.chain(replicators).collect()
}

fn node_file(model: &Model, options: &Options, node: &Node, cluster: &Cluster) -> String {
    let controllers = model.nodes_of(&cluster.name, Role::Controller);
    let controllers =
        controllers.map(|it| quote(&format!("{}@{}", it.id, it.controller_address())));
    let nodes = model.nodes.iter().filter(|it| it.cluster == cluster.name);
    let nodes: Vec<&Node> = nodes.collect();
    let is_among_others = nodes.len() > 1;
    let needs_secret = is_among_others && nodes.iter().any(|it| !it.is_on_loopback());
    let roles = node.roles.iter().map(|role| match role {
        Role::Broker => quote("broker"),
        Role::Controller => quote("controller"),
    });
    let mut text = format!(
        "# {}: node {} of cluster {}, at {}. Made by `isthmus plan --render`.\n\n",
        model.model.name, node.id, cluster.name, node.site
    );
    let mut line = |line: String| writeln!(text, "{line}").expect("a String takes all text");
    line("[node]".to_owned());
    line(format!("id = {}", node.id));
    line(format!("roles = {}", list(roles)));
    line(format!("rack = {}", quote(&model.rack(node))));
    line(format!("data = [{}]", quote(&data_of(options, node))));
    line("\n[cluster]".to_owned());
    line(format!("controllers = {}", list(controllers)));
    if needs_secret {
        line("# the same at all nodes of the cluster: openssl rand -hex 32".to_owned());
        let secret = options.data.join("secret").display().to_string();
        line(format!("secret_file = {}", quote(&secret)));
    }
    let mut listen = |name: &str, kind: &str, address: String| {
        let address = quote(&address);
        line(format!("\n[[listeners]]\nname = {}", quote(name)));
        line(format!("kind = {}", quote(kind)));
        line(format!("bind = {address}"));
        line(format!("advertised = {address}"));
    };
    if node.has(Role::Broker) {
        listen("clients", "client", format!("{}:{}", node.host, node.port));
    }
    // A node that is alone talks to itself without.
    if is_among_others && node.has(Role::Broker) {
        listen("brokers", "broker", node.broker_address());
    }
    if is_among_others && node.has(Role::Controller) {
        listen("controllers", "controller", node.controller_address());
    }
    if !cluster.settings.is_empty() {
        line("\n[kafka]".to_owned());
    }
    for (key, value) in settings(cluster) {
        line(format!("{} = {}", quote(key), quote(value)));
    }
    text
}

fn replicator_file(model: &Model, site: &str) -> String {
    let flows: Vec<&Flow> = model
        .flows
        .iter()
        .filter(|flow| flow.site == site)
        .collect();
    let mut text = format!(
        "# {}: the replicator at {site}. Made by `isthmus plan --render`.\n\n",
        model.model.name
    );
    let mut line = |line: String| writeln!(text, "{line}").expect("a String takes all text");
    line("[daemon]".to_owned());
    line(format!(
        "name = {}",
        quote(&format!("{}-{site}", model.model.name))
    ));
    let ends = flows.iter().flat_map(|flow| [&flow.source, &flow.target]);
    for cluster in ends.collect::<BTreeSet<_>>() {
        line(format!("\n[clusters.{cluster}]"));
        let bootstrap = model.bootstrap(cluster);
        let addresses = bootstrap.split(',').map(quote);
        line(format!("bootstrap = {}", list(addresses)));
    }
    for flow in flows {
        line("\n[[flows]]".to_owned());
        line(format!("name = {}", quote(&flow.name())));
        line(format!("source = {}", quote(&flow.source)));
        line(format!("target = {}", quote(&flow.target)));
        line(format!(
            "topics = {}",
            list(flow.topics.iter().map(|it| quote(it)))
        ));
        if !flow.exclude.is_empty() {
            line(format!(
                "exclude = {}",
                list(flow.exclude.iter().map(|it| quote(it)))
            ));
        }
        line(format!("naming = {}", quote(naming(flow.naming))));
        line(format!(
            "groups = {}",
            list(flow.groups.iter().map(|it| quote(it)))
        ));
        if let Some(replicas) = flow.replication_factor {
            line(format!("replication_factor = {replicas}"));
        }
    }
    text
}

fn naming(naming: Naming) -> &'static str {
    match naming {
        Naming::SourcePrefix => "source-prefix",
        Naming::OwnerPrefix => "owner-prefix",
        Naming::Identity => "identity",
    }
}

/// A TOML text.
fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}
