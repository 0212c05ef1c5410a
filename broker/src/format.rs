//! Formatting a data directory: giving a node its identity, and its quorum the first voters, once.
//!
//! An empty controller never forms a quorum by itself, so a broker refuses an unformatted
//! directory; only `--dev` formats without being asked. Several controllers that found a quorum are
//! each told who the founders are, with the ids of their directories (KIP-853): their logs begin with
//! the same entries. A directory that is wiped and formatted later is nobody's any more: it gets an id of
//! its own, and no vote until it is added.
//!
//! Except where the founders' list is given a second time ([`Founders::Named`]): then the directory bears
//! the id of the one that was lost, and votes as if it had promised nothing. Two leaders of one term, and
//! changes that were committed and are gone, may come of it. Nothing here can tell a founder that is late
//! from one that was wiped, since neither has a log; the operator must (docs/nodes.md).

use crate::cluster::NodeAddress;
use crate::ids::random_uuid;
use crate::metadata_log::{self, Voter};
use crate::settings::Settings;
use isthmus_log::disk::{FaultPlanError, ProcessDisk, process_disk};
use isthmus_log::{DirectoryError, LogDirectory, MetaProperties};
use isthmus_wire::Uuid;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("could not {0}")]
    Directory(#[from] DirectoryError),
    #[error("{} is formatted already, for node {node_id} of cluster {cluster_id}", data.display())]
    AlreadyFormatted {
        data: PathBuf,
        cluster_id: String,
        node_id: i32,
    },
    #[error("the cluster id {0:?} is not 1 to 64 letters, digits, '-' or '_'")]
    ClusterId(String),
    #[error(
        "{} holds a metadata log but no meta.properties; nothing was touched: restore that file, \
         or give an empty directory",
        data.display()
    )]
    LeftoverLog { data: PathBuf },
    #[error(
        "this node is one of {0} controllers, and must be told who founds the quorum: give \
         --initial-controllers new at the first of them, and at the others what it prints; or \
         --no-initial-controllers at one that is added to a quorum which works"
    )]
    NoFounders(usize),
    #[error("--initial-controllers: {0}")]
    Founders(String),
    #[error("could not found the quorum: {0}")]
    Quorum(String),
    #[error("could not prepare the disk: {0}")]
    FaultPlan(#[from] FaultPlanError),
}

impl FormatError {
    /// Whether the configuration or the directory is wrong, rather than the machine.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Directory(DirectoryError::Io { .. }) | Self::Quorum(_) => false,
            Self::Directory(_)
            | Self::AlreadyFormatted { .. }
            | Self::ClusterId(_)
            | Self::LeftoverLog { .. }
            | Self::NoFounders(_)
            | Self::Founders(_)
            | Self::FaultPlan(_) => true,
        }
    }
}

/// The identity that a directory was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formatted {
    pub data: PathBuf,
    pub cluster_id: String,
    pub node_id: i32,
    pub directory_id: Uuid,
    /// What the other founders are to be told, where there are any.
    pub initial_controllers: Option<String>,
}

/// Who founds the quorum, as the operator says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Founders {
    /// Nothing was said: right for a node that is alone, or no controller.
    #[default]
    Unsaid,
    /// The controllers of the configuration; their directories get new ids.
    New,
    /// These, as `id@host:port:directory-id`. Once for each directory: never again after a loss.
    Named(Vec<String>),
    /// This node is added to a quorum that works.
    Others,
}

/// Formats the directory of these settings; without a cluster id a new one is made.
pub fn format_directory(
    settings: &Settings,
    cluster_id: Option<&str>,
    founders: &Founders,
) -> Result<Formatted, FormatError> {
    let disk = process_disk(None)?;
    let plan = plan(settings, founders)?;
    let meta = format(&disk, &settings.data, cluster_id, &plan)?;
    let controllers = &settings.cluster.controllers;
    let initial = (plan.founders.len() > 1).then(|| written(&plan.founders, controllers));
    Ok(Formatted {
        data: settings.data.clone(),
        cluster_id: meta.cluster_id,
        node_id: meta.node_id,
        directory_id: meta.directory_id,
        initial_controllers: initial,
    })
}

/// Whose directory it becomes, and which voters its log begins with.
pub(crate) struct Plan {
    owner: Voter,
    /// None at a node that founds nothing.
    founders: Vec<Voter>,
}

impl Plan {
    /// Of a node that is alone.
    pub(crate) fn alone(node_id: i32) -> Self {
        let owner = new_voter(node_id);
        Self {
            owner,
            founders: vec![owner],
        }
    }
}

fn new_voter(node_id: i32) -> Voter {
    Voter {
        node_id,
        directory_id: random_uuid(),
    }
}

fn plan(settings: &Settings, founders: &Founders) -> Result<Plan, FormatError> {
    let (node_id, cluster) = (settings.node_id, &settings.cluster);
    let is_voter = cluster.roles.controller;
    let refused = |what: String| Err(FormatError::Founders(what));
    let voters = match founders {
        // The only controller has nobody to found with.
        Founders::Unsaid if is_voter && cluster.controllers.len() <= 1 => {
            return Ok(Plan::alone(node_id));
        }
        Founders::Unsaid if is_voter => {
            return Err(FormatError::NoFounders(cluster.controllers.len()));
        }
        Founders::Unsaid | Founders::Others => Vec::new(),
        Founders::New | Founders::Named(_) if !is_voter => {
            return refused(format!("node {node_id} has not the role of a controller"));
        }
        Founders::New if cluster.controllers.is_empty() => vec![new_voter(node_id)],
        Founders::New => {
            let controllers = cluster.controllers.iter();
            controllers.map(|it| new_voter(it.node_id)).collect()
        }
        Founders::Named(named) => {
            let read = named.iter().map(|text| founder(text));
            read.collect::<Result<Vec<Voter>, _>>()?
        }
    };
    if voters.is_empty() {
        let owner = new_voter(node_id);
        return Ok(Plan {
            owner,
            founders: voters,
        });
    }
    check_founders(settings, &voters)?;
    let owner = voters.iter().find(|voter| voter.node_id == node_id);
    match owner {
        Some(owner) => Ok(Plan {
            owner: *owner,
            founders: voters,
        }),
        None => refused(format!("node {node_id} is not among them")),
    }
}

/// The founders are the controllers of the configuration, each once.
fn check_founders(settings: &Settings, voters: &[Voter]) -> Result<(), FormatError> {
    let ids: BTreeSet<i32> = voters.iter().map(|voter| voter.node_id).collect();
    let directories: BTreeSet<[u8; 16]> = voters.iter().map(|it| it.directory_id.0).collect();
    let raft_ids: BTreeSet<u64> = voters.iter().map(Voter::raft_id).collect();
    if ids.len() < voters.len() || directories.len() < voters.len() || raft_ids.len() < voters.len()
    {
        let what = "an id of a node or of a directory stands there twice".to_owned();
        return Err(FormatError::Founders(what));
    }
    let controllers = settings.cluster.controllers.iter();
    let known: BTreeSet<i32> = controllers.map(|it| it.node_id).collect();
    if known.is_empty() || known == ids {
        return Ok(());
    }
    let what = format!("it names the nodes {ids:?}, and cluster.controllers the nodes {known:?}");
    Err(FormatError::Founders(what))
}

/// Reads `id@host:port:directory-id`; the address is the configuration's matter.
fn founder(text: &str) -> Result<Voter, FormatError> {
    let refused = || {
        let what = format!("{text} is no controller; write each as id@host:port:directory-id");
        FormatError::Founders(what)
    };
    let (head, directory) = text.rsplit_once(':').ok_or_else(refused)?;
    let (node_id, _address) = head.split_once('@').ok_or_else(refused)?;
    let directory_id: Uuid = directory.parse().map_err(|_| refused())?;
    let node_id: i32 = node_id.parse().map_err(|_| refused())?;
    if node_id < 0 || directory_id == Uuid::ZERO {
        return Err(refused());
    }
    Ok(Voter {
        node_id,
        directory_id,
    })
}

fn written(founders: &[Voter], controllers: &[NodeAddress]) -> String {
    let address = |id: i32| controllers.iter().find(|it| it.node_id == id);
    let one = |voter: &Voter| {
        let at = address(voter.node_id).map(ToString::to_string);
        let at = at.unwrap_or_else(|| voter.node_id.to_string());
        format!("{at}:{}", voter.directory_id)
    };
    let all: Vec<String> = founders.iter().map(one).collect();
    all.join(",")
}

/// Writes the identity into an empty or new directory; returns it.
pub(crate) fn format(
    disk: &ProcessDisk,
    data: &Path,
    cluster_id: Option<&str>,
    plan: &Plan,
) -> Result<MetaProperties, FormatError> {
    let cluster_id = match cluster_id {
        Some(given) => given.to_owned(),
        None => random_uuid().to_string(),
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if cluster_id.is_empty() || cluster_id.len() > 64 || !cluster_id.bytes().all(legal) {
        return Err(FormatError::ClusterId(cluster_id));
    }
    if let Ok(MetaProperties {
        cluster_id,
        node_id,
        ..
    }) = LogDirectory::read_meta(disk, data)
    {
        return Err(FormatError::AlreadyFormatted {
            data: data.to_owned(),
            cluster_id,
            node_id,
        });
    }
    let meta = MetaProperties {
        cluster_id,
        node_id: plan.owner.node_id,
        directory_id: plan.owner.directory_id,
    };
    found_quorum(disk, data, plan)?;
    LogDirectory::format(disk, data, &meta)?;
    metadata_log::finish(disk, data).map_err(|error| FormatError::Quorum(error.to_string()))?;
    Ok(meta)
}

/// Writes the quorum's first log.
fn found_quorum(disk: &ProcessDisk, data: &Path, plan: &Plan) -> Result<(), FormatError> {
    let failed = |error: &dyn std::fmt::Display| FormatError::Quorum(error.to_string());
    if metadata_log::is_there(disk, data).map_err(|error| failed(&error))? {
        let data = data.to_owned();
        return Err(FormatError::LeftoverLog { data });
    }
    metadata_log::format(disk, data, plan.owner, &plan.founders).map_err(|error| failed(&error))
}

/// What to do about a directory that was refused.
pub(crate) fn remedy(error: &DirectoryError) -> &'static str {
    match error {
        DirectoryError::Io { .. } => "; look at the path, its owner and its rights",
        DirectoryError::NotFormatted { .. } => {
            "; run `isthmus format -c FILE --cluster-id new` once"
        }
        DirectoryError::Locked { .. } => {
            "; stop the broker that uses it, or give another directory"
        }
        DirectoryError::ForeignCluster { .. } | DirectoryError::ForeignNode { .. } => {
            "; nothing was touched: give this node its own directory"
        }
        DirectoryError::UnknownVersion { .. } => "; nothing was touched: start the newer build",
        DirectoryError::InvalidMeta { .. } => "; nothing was touched: restore the file",
    }
}
