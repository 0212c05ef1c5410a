//! From a model to the files that real machines need. The lab starts its processes from these very
//! files, so what is measured is what is deployed.
//!
//! Owns: which files there are, and their form. Must not know: what is in the folder already, and
//! whether anything runs. Nothing here reads or writes a file.
//!
//! Reading order: [`isthmus`], [`kafka`], [`commands`].

mod commands;
mod isthmus;
mod kafka;

use std::path::PathBuf;

use super::{Cluster, Model, Node, Role};

/// For which programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Isthmus,
    /// With MirrorMaker 2.
    ApacheKafka,
}

/// What the model does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub target: Target,
    /// Nodes keep their data in folders of it.
    pub data: PathBuf,
}

/// A file to be written, by its path in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub path: String,
    pub text: String,
}

/// All files of a model.
pub fn render(model: &Model, options: &Options) -> Vec<File> {
    let model = &model.on(options.target);
    let mut files = match options.target {
        Target::Isthmus => isthmus::files(model, options),
        Target::ApacheKafka => kafka::files(model, options),
    };
    files.push(commands::topics(model));
    files.push(commands::clients(model));
    files
}

impl Model {
    /// The nodes of a cluster that have a role.
    fn nodes_of<'a>(&'a self, cluster: &'a str, role: Role) -> impl Iterator<Item = &'a Node> {
        let nodes = self.nodes.iter();
        nodes.filter(move |node| node.cluster == cluster && node.has(role))
    }

    /// What clients begin with.
    pub fn bootstrap(&self, cluster: &str) -> String {
        let addresses = self.nodes_of(cluster, Role::Broker);
        let addresses = addresses.map(|node| format!("{}:{}", node.host, node.port));
        addresses.collect::<Vec<_>>().join(",")
    }

    /// Every node with its cluster.
    fn placed(&self) -> impl Iterator<Item = (&Node, &Cluster)> {
        self.nodes.iter().filter_map(|node| {
            let cluster = self.clusters.iter().find(|it| it.name == node.cluster);
            cluster.map(|cluster| (node, cluster))
        })
    }

    /// The rack of a node: its own, or the only one of its site.
    pub(super) fn rack(&self, node: &Node) -> String {
        let site = self.sites.iter().find(|site| site.name == node.site);
        let only = site.and_then(|site| site.racks.first());
        let rack = node.rack.as_ref().or(only);
        rack.unwrap_or(&node.site).clone()
    }
}

impl Node {
    fn controller_address(&self) -> String {
        self.address(self.controller_port, 1)
    }

    fn broker_address(&self) -> String {
        self.address(self.broker_port, 2)
    }

    /// At the port that is given, or so many after the clients'.
    fn address(&self, port: Option<u16>, after: u32) -> String {
        let port = port.map_or(u32::from(self.port) + after, u32::from);
        format!("{}:{port}", self.host)
    }

    fn is_on_loopback(&self) -> bool {
        let address = self.host.parse::<std::net::IpAddr>();
        self.host == "localhost" || address.is_ok_and(|it| it.is_loopback())
    }
}

fn data_of(options: &Options, node: &Node) -> String {
    let folder = format!("{}-{}", node.cluster, node.id);
    options.data.join(folder).display().to_string()
}

/// The settings of a cluster, each key with its value.
fn settings(cluster: &Cluster) -> impl Iterator<Item = (&str, &str)> {
    let settings = cluster.settings.iter();
    settings.filter_map(|setting| {
        let (key, value) = setting.split_once('=')?;
        Some((key.trim(), value.trim()))
    })
}
