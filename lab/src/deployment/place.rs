//! Where everything of a deployment is: ports, files, folders.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use isthmus_config::model::render::{Options, Target, render};
use isthmus_config::model::{Model, Node as ModelNode, Role};

use super::{DeployError, NodeId, Plan};
use crate::ports::free_address;
use crate::targets::{Around, Mirror, Node, NodePlace, Software};

/// The programs of a model, none of them started.
pub(super) struct Places {
    pub(super) nodes: Vec<(NodeId, Node)>,
    pub(super) mirrors: Vec<Mirror>,
}

/// The same model on free ports of loopback.
pub(super) fn on_free_ports(model: &Model) -> io::Result<Model> {
    let mut model = model.clone();
    for node in &mut model.nodes {
        node.host = Ipv4Addr::LOCALHOST.to_string();
        node.port = free_address()?.port();
        node.controller_port = Some(free_address()?.port());
        node.broker_port = Some(free_address()?.port());
    }
    Ok(model)
}

/// Where the files of `isthmus plan --render` are.
pub(super) fn files(folder: &Path) -> PathBuf {
    folder.join("files")
}

/// The rendered scripts call `isthmus`, which must be the one that the lab was given.
pub(super) fn path_with_isthmus(folder: &Path) -> OsString {
    let mut path = bin(folder).into_os_string();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}

fn bin(folder: &Path) -> PathBuf {
    folder.join("bin")
}

impl Places {
    /// Writes the files, and says who is started from which.
    pub(super) fn make(model: &Model, plan: &Plan<'_>) -> Result<Self, DeployError> {
        let folder = plan.folder;
        let logs = folder.join("logs");
        make_folder(&logs)?;
        make_folder(&bin(folder))?;
        let link = bin(folder).join("isthmus");
        symlink(plan.lab.path(), &link).map_err(|cause| DeployError::Write {
            path: link.clone(),
            cause,
        })?;
        let options = Options {
            target: plan.software.files(),
            data: folder.join("data"),
        };
        for file in render(model, &options) {
            let path = files(folder).join(&file.path);
            make_folder(path.parent().unwrap_or(folder))?;
            fs::write(&path, &file.text).map_err(|cause| DeployError::Write { path, cause })?;
        }
        Ok(Self {
            nodes: nodes(model, plan.software, folder),
            mirrors: mirrors(model, plan.software, folder),
        })
    }
}

fn make_folder(path: &Path) -> Result<(), DeployError> {
    fs::create_dir_all(path).map_err(|cause| DeployError::Write {
        path: path.to_owned(),
        cause,
    })
}

fn nodes(model: &Model, software: &Software, folder: &Path) -> Vec<(NodeId, Node)> {
    let nodes = model.nodes.iter().map(|node| {
        let id = NodeId {
            cluster: node.cluster.clone(),
            id: node.id,
        };
        let file = format!("{}/node-{}.{}", node.cluster, node.id, ending(software));
        let place = NodePlace {
            name: format!("{}-{}", node.cluster, node.id),
            file: files(folder).join(file),
            folder: folder.join("logs"),
            cluster_id: cluster_id(model, &node.cluster),
            address: address(node),
            around: Around::default(),
        };
        (id, Node::new(software.clone(), place))
    });
    nodes.collect()
}

/// One process for each site that runs flows, as the files have it.
fn mirrors(model: &Model, software: &Software, folder: &Path) -> Vec<Mirror> {
    let sites: BTreeSet<&str> = model.flows.iter().map(|flow| flow.site.as_str()).collect();
    let name = match software.files() {
        Target::Isthmus => "replicator",
        Target::ApacheKafka => "mm2",
    };
    let mirrors = sites.into_iter().map(|site| {
        let file = files(folder).join(format!("{name}-{site}.{}", ending(software)));
        Mirror::new(software.clone(), site, file, folder.join("logs"))
    });
    mirrors.collect()
}

fn ending(software: &Software) -> &'static str {
    match software.files() {
        Target::Isthmus => "toml",
        Target::ApacheKafka => "properties",
    }
}

/// A node without a broker answers as a controller.
fn address(node: &ModelNode) -> SocketAddr {
    let port = match node.has(Role::Broker) {
        true => node.port,
        false => node.controller_port.unwrap_or(node.port),
    };
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Sixteen bytes in Kafka's own form; different for each cluster of a model, as a mirror between
/// two clusters of one id would be a mirror onto itself.
fn cluster_id(model: &Model, cluster: &str) -> String {
    let clusters = model.clusters.iter();
    let place = clusters.take_while(|it| it.name != cluster).count();
    format!("isthmus-lab-{place:09}A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_ports_of_its_own_and_every_cluster_its_id() {
        let shipped = Model::find("active-active").unwrap();
        let model = on_free_ports(&shipped).unwrap();
        let ports: BTreeSet<_> = model
            .nodes
            .iter()
            .flat_map(|node| [Some(node.port), node.controller_port, node.broker_port])
            .collect();
        assert_eq!(ports.len(), 3 * model.nodes.len());
        let ids = ["east", "west"].map(|cluster| cluster_id(&model, cluster));
        assert_eq!(ids[0].len(), 22);
        assert_ne!(ids[0], ids[1]);
    }
}
