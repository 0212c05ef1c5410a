//! A deployment model as running programs, started from the files that `isthmus plan --render`
//! writes.
//!
//! Owns: which node and which mirror runs, on which ports, from which file; that mirrors are under
//! way before a load begins. Must not know: what is measured, and when something is broken.
//!
//! Invariants: every process is a child of this one and dead when the [`Deployment`] is dropped.
//! The model differs from its file in hosts and ports only, so that labs can run side by side.
//!
//! Reading order: [`place`], [`topics`], [`warm`].

mod place;
mod topics;
mod warm;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use futures::future::try_join_all;
use isthmus_config::model::{Model, Role};
use rustix::process::Pid;

use crate::load::LoadError;
use crate::targets::{
    IsthmusProgram, Mirror, Node, Software, StartError, StopError, Target, shield,
};

/// What a deployment is made from.
#[derive(Debug)]
pub struct Plan<'a> {
    pub model: &'a Model,
    pub software: &'a Software,
    /// Whose load clients are used, on every target.
    pub lab: &'a IsthmusProgram,
    /// Files, data and logs go there; it must exist and be empty.
    pub folder: &'a Path,
}

/// A model's programs.
#[derive(Debug)]
pub struct Deployment {
    model: Model,
    folder: PathBuf,
    nodes: Vec<(NodeId, Node)>,
    mirrors: Vec<Mirror>,
}

/// Which node of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NodeId {
    cluster: String,
    id: u32,
}

/// A process that runs, for who started it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    pub name: String,
    pub site: String,
    /// `broker`, `controller`, `mirror`.
    pub roles: Vec<&'static str>,
    pub pid: Pid,
    /// Where clients reach it; none for a mirror.
    pub address: Option<String>,
}

/// The model asks for what the software does not have yet.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{model}: cluster {cluster} has {nodes} nodes, and a drill runs one node of Isthmus per cluster so far; use --target apache-kafka"
)]
pub struct NotYet {
    model: String,
    cluster: String,
    nodes: usize,
}

/// Why a deployment is not there. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Stop(#[from] StopError),
    #[error("find free ports: {0}")]
    Ports(io::Error),
    #[error("write {}: {cause}", path.display())]
    Write { path: PathBuf, cause: io::Error },
    #[error("make the topics of {cluster}: {cause}")]
    Topics { cluster: String, cause: String },
    #[error("write the first records of {topic} at {cluster}: {cause}")]
    FirstRecords {
        topic: String,
        cluster: String,
        cause: LoadError,
    },
    #[error(
        "see {topic} mirrored by {flow} within {seconds} s ({seen} of {wanted} records are there); the last lines of its mirror:\n{log}"
    )]
    NotMirrored {
        flow: String,
        topic: String,
        seconds: u64,
        seen: i64,
        wanted: i64,
        log: String,
    },
    #[error("keep {name} running: it ended by itself; its last lines:\n{log}")]
    Fallen { name: String, log: String },
}

/// Everything for which a lab cannot run the model on this software, at once.
pub fn not_yet(model: &Model, software: &Software) -> Vec<NotYet> {
    let mut found = Vec::new();
    for cluster in &model.clusters {
        let nodes = model.nodes.iter();
        let nodes = nodes.filter(|node| node.cluster == cluster.name).count();
        let is_too_many = match software {
            Software::Isthmus(_) => nodes > 1,
            Software::ApacheKafka(_) => false,
        };
        if is_too_many {
            found.push(NotYet {
                model: model.model.name.clone(),
                cluster: cluster.name.clone(),
                nodes,
            });
        }
    }
    found
}

impl Deployment {
    /// Chooses ports and writes all files. Nothing is started yet.
    pub fn prepare(plan: &Plan<'_>) -> Result<Self, DeployError> {
        let model = plan.model.on(plan.software.files());
        let model = place::on_free_ports(&model).map_err(DeployError::Ports)?;
        let placed = place::Places::make(&model, plan)?;
        Ok(Self {
            nodes: placed.nodes,
            mirrors: placed.mirrors,
            folder: plan.folder.to_owned(),
            model,
        })
    }

    /// The model, on the ports that were chosen.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Starts everything, and returns once every flow has mirrored its first records.
    pub async fn start(&mut self, tell: &dyn Fn(&str)) -> Result<Vec<Running>, DeployError> {
        tell("starting the nodes");
        let mut running = self.start_nodes(|_| true).await?;
        topics::make(&self.model).await?;
        if !self.mirrors.is_empty() {
            tell("starting the mirrors, and waiting for their first records");
        }
        for mirror in &mut self.mirrors {
            let pid = mirror.start().await?;
            running.push(Running {
                name: mirror.name().to_owned(),
                site: mirror.site().to_owned(),
                roles: vec!["mirror"],
                pid,
                address: None,
            });
        }
        self.warm_up().await?;
        Ok(running)
    }

    /// Ends every node of a cluster without a warning.
    pub async fn kill_cluster(&mut self, cluster: &str) -> Result<(), DeployError> {
        let nodes = self.nodes.iter_mut().filter(|it| it.0.cluster == cluster);
        // All at once: one after the other they would notice each other's end.
        try_join_all(nodes.map(|(_, node)| node.kill())).await?;
        Ok(())
    }

    /// Starts the nodes of a cluster again, on their old data.
    pub async fn start_cluster(&mut self, cluster: &str) -> Result<(), DeployError> {
        self.start_nodes(|it| it.cluster == cluster).await?;
        Ok(())
    }

    /// Whatever should run does.
    pub fn check(&mut self) -> Result<(), DeployError> {
        let nodes = self.nodes.iter_mut().map(|(_, node)| {
            let log = node.fallen()?;
            Some((node.name().to_owned(), log))
        });
        let mirrors = self.mirrors.iter_mut().map(|mirror| {
            let log = mirror.fallen()?;
            Some((mirror.name().to_owned(), log))
        });
        match nodes.chain(mirrors).flatten().next() {
            Some((name, log)) => Err(DeployError::Fallen { name, log }),
            None => Ok(()),
        }
    }

    /// The failover of a cluster, for each mirror that runs flows out of it; none where the mirrors
    /// have nothing of the kind.
    pub fn failovers(&self, cluster: &str) -> Vec<(String, Command)> {
        let takes = |mirror: &&Mirror| {
            let mut flows = self.model.flows.iter();
            flows.any(|flow| flow.source == cluster && flow.site == mirror.site())
        };
        let mirrors = self.mirrors.iter().filter(takes);
        let failovers = mirrors.filter_map(|mirror| {
            let command = mirror.failover(cluster)?;
            Some((mirror.name().to_owned(), command))
        });
        failovers.collect()
    }

    /// A command of `clients.sh`.
    pub fn client(&self, name: &str, place: &str, ledgers: &Path, drill: &str) -> Command {
        let mut command = crate::process::program("sh");
        shield(&mut command);
        command
            .arg(place::files(&self.folder).join("clients.sh"))
            .args([name, place])
            .arg(ledgers)
            .arg(drill)
            .env("PATH", place::path_with_isthmus(&self.folder))
            .current_dir(&self.folder);
        command
    }

    async fn start_nodes(
        &mut self,
        which: impl Fn(&NodeId) -> bool,
    ) -> Result<Vec<Running>, DeployError> {
        let nodes = self.nodes.iter_mut().filter(|it| which(&it.0));
        // A broker answers once its quorum does, so none can be waited for alone.
        let model = &self.model;
        let starting = nodes.map(|(id, node)| async move {
            let started = node.start().await?;
            let of_model = model.nodes.iter();
            let mut of_model = of_model.filter(|it| it.cluster == id.cluster && it.id == id.id);
            let of_model = of_model.next();
            let roles = of_model.map(|it| it.roles.iter().map(role).collect());
            Ok::<_, StartError>(Running {
                name: node.name().to_owned(),
                site: of_model.map(|it| it.site.clone()).unwrap_or_default(),
                roles: roles.unwrap_or_default(),
                pid: started.pid,
                address: Some(started.address.to_string()),
            })
        });
        Ok(try_join_all(starting).await?)
    }
}

fn role(role: &Role) -> &'static str {
    match role {
        Role::Broker => "broker",
        Role::Controller => "controller",
    }
}
