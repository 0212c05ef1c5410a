//! A quorum whose majority is lost for good goes on from a survivor (`isthmus quorum recover`).
//!
//! Offline: the directories of the survivors lie on this machine, and no node uses them. Looked at first
//! ([`RecoveryPlan::make`]), which changes nothing and judges; then carried out. What would lose metadata
//! unseen is refused there, whoever says yes: a survivor that cannot be read, one that another is ahead of, a
//! majority that is there after all.

use crate::clocks;
use crate::ids::random_uuid;
use crate::metadata_log::{MetadataLogError, Survivor, Voter, recover, survey};
use crate::settings::Settings;
use crate::start::controller_config;
use isthmus_broker_core::controller::{ControllerConfig, GivenUp, give_up_brokers};
use isthmus_broker_core::metadata::{Kin, LogPlace};
use isthmus_log::disk::{FaultPlanError, ProcessDisk, process_disk};
use isthmus_log::{DirectoryError, LogDirectory};
use isthmus_wire::Uuid;
use std::collections::BTreeSet;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long another controller may take to show that it is there: several round trips of any line.
const KNOCK_MAX: Duration = Duration::from_secs(1);

/// Why a quorum is not recovered. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error("could not {0}{told}", told = remedy(.0))]
    Directory(#[from] DirectoryError),
    #[error("{} is not there: {source}; give a data directory of this machine", path.display())]
    NotThere { path: PathBuf, source: io::Error },
    #[error("the metadata log of {}: {why}", data.display())]
    Unreadable { data: PathBuf, why: String },
    #[error("no survivor was named: give a data directory with --survivors, or -c FILE")]
    Nobody,
    #[error(
        "{} belongs to cluster {found}, and {} to {expected}: leave out what is of another cluster",
        data.display(), of.display()
    )]
    ForeignCluster {
        data: PathBuf,
        found: String,
        of: PathBuf,
        expected: String,
    },
    #[error(
        "{} and {} are of two quorums that were recovered each for itself, and what they committed since has \
         nothing in common: decide for one, and leave out the other",
        data.display(), of.display()
    )]
    ForeignQuorum { data: PathBuf, of: PathBuf },
    #[error(
        "{} is of the quorum as it was before it was recovered, and {} of the one that came out of it: leave \
         out the old one, give its node an empty directory, and format it",
        data.display(), of.display()
    )]
    OldQuorum { data: PathBuf, of: PathBuf },
    #[error(
        "{} has metadata up to {own}, and {} up to {best}: what lies between would be lost; recover the \
         quorum from that one, at its node{role}",
        data.display(), of.display()
    )]
    Stale {
        data: PathBuf,
        own: String,
        of: PathBuf,
        best: String,
        role: &'static str,
    },
    #[error(
        "of the {voters} voters {named} survive, which is a majority: start them, and nothing needs to be \
         recovered"
    )]
    Majority { voters: usize, named: usize },
    #[error(
        "controller {node_id} answers at {address}: it is not lost. Start the other voters until a majority \
         is there; if it is formatted anew, stop it until the quorum is recovered"
    )]
    Alive { node_id: i32, address: String },
    #[error(
        "node {0} has not the role of a controller, which it needs to be the only voter: add \"controller\" to \
         node.roles, a listener of that kind, and the node to cluster.controllers of all nodes"
    )]
    NoController(i32),
    #[error("could not prepare the disk: {0}")]
    FaultPlan(#[from] FaultPlanError),
    #[error("could not write to the metadata log of {}: {why}", data.display())]
    NotWritten { data: PathBuf, why: String },
}

impl RecoveryError {
    /// Whether the command or a directory is wrong, rather than that it ran and the answer is no.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Directory(_)
            | Self::NotThere { .. }
            | Self::Nobody
            | Self::NoController(_)
            | Self::FaultPlan(_) => true,
            Self::Unreadable { .. }
            | Self::ForeignCluster { .. }
            | Self::ForeignQuorum { .. }
            | Self::OldQuorum { .. }
            | Self::Stale { .. }
            | Self::Majority { .. }
            | Self::Alive { .. }
            | Self::NotWritten { .. } => false,
        }
    }

    /// Whether it was refused: it would not be right, however often it is tried.
    pub fn is_refusal(&self) -> bool {
        !self.is_configuration() && !matches!(self, Self::NotWritten { .. })
    }
}

fn remedy(error: &DirectoryError) -> &'static str {
    match error {
        DirectoryError::Locked { .. } => "; stop the node that uses it",
        DirectoryError::NotFormatted { .. } => {
            ": it has no meta.properties; give the data directory of a node, or a whole copy of one"
        }
        DirectoryError::Io { .. }
        | DirectoryError::ForeignCluster { .. }
        | DirectoryError::ForeignNode { .. }
        | DirectoryError::UnknownVersion { .. }
        | DirectoryError::InvalidMeta { .. } => crate::format::remedy(error),
    }
}

/// A directory of a survivor, locked while it is looked at and changed.
struct Found {
    data: PathBuf,
    cluster_id: String,
    survivor: Survivor,
    _lock: LogDirectory<ProcessDisk>,
}

impl Found {
    fn votes(&self) -> bool {
        self.survivor.voters.contains(&self.survivor.owner)
    }

    fn place(&self) -> String {
        let LogPlace { term, index } = self.survivor.last;
        let offset = self.survivor.image.offset;
        format!("entry {index} of term {term} (record {offset})")
    }
}

/// A node and its directory, as they vote or voted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoterName {
    pub node_id: i32,
    pub directory_id: Uuid,
}

/// What a survivor's directory holds.
#[derive(Debug, Clone)]
pub struct SurvivorReport {
    pub data: PathBuf,
    pub voter: VoterName,
    /// By its own log.
    pub votes: bool,
    /// Its last entry, in Raft's order: term before index.
    pub term: u64,
    pub index: u64,
    /// Offset of the last metadata record up to there.
    pub offset: i64,
    /// Entries behind its latest snapshot.
    pub entries: usize,
    /// When its log was last written to, and its latest snapshot made, where that is known.
    pub written: Option<SystemTime>,
    pub snapshot_ms: Option<i64>,
    pub brokers: usize,
    pub topics: usize,
    pub partitions: usize,
}

/// A recovery that may be carried out. The directories are locked for as long as it is held.
pub struct RecoveryPlan {
    disk: Arc<ProcessDisk>,
    /// The one that becomes the only voter first, then the others from the most advanced to the least.
    found: Vec<Found>,
    brokers: GivenUp,
}

/// A quorum that was recovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    pub cluster_id: String,
    pub voter: VoterName,
    pub incarnation: Uuid,
    pub kept_offset: i64,
}

impl RecoveryPlan {
    /// Looks at the survivors and judges. With `own`, the node's own directory is among them and is the one
    /// to become the only voter; without, the most advanced is. Nothing is changed.
    pub fn make(own: Option<&Settings>, survivors: &[PathBuf]) -> Result<Self, RecoveryError> {
        let disk = Arc::new(process_disk(None)?);
        let own_data = own.map(|settings| whole(&settings.data)).transpose()?;
        let mut all: Vec<PathBuf> = own_data.iter().cloned().collect();
        for path in survivors {
            let path = whole(path)?;
            if !all.contains(&path) {
                all.push(path);
            }
        }
        let found = all.into_iter().map(|data| look(&disk, data));
        let found = found.collect::<Result<Vec<Found>, RecoveryError>>()?;
        let found = judge(found, own_data.as_deref())?;
        if let Some(settings) = own {
            check_node(settings)?;
        }
        let lost: Vec<Uuid> = given_up(&found).map(|it| it.directory_id).collect();
        // What a topic does not say itself is of the node's file.
        let config = own.map_or_else(ControllerConfig::default, controller_config);
        Ok(Self {
            brokers: give_up_brokers(config, &found[0].survivor.image, &lost),
            disk,
            found,
        })
    }

    pub fn cluster_id(&self) -> &str {
        &self.found[0].cluster_id
    }

    /// The only voter to be first, then the others from the most advanced to the least.
    pub fn survivors(&self) -> Vec<SurvivorReport> {
        self.found.iter().map(report).collect()
    }

    /// Voters of the quorum that are given up.
    pub fn given_up(&self) -> Vec<VoterName> {
        given_up(&self.found).map(name).collect()
    }

    /// What becomes of brokers that were in the directories of those voters.
    pub fn brokers_given_up(&self) -> &GivenUp {
        &self.brokers
    }

    /// Makes the first survivor the only voter, in one step: a crash leaves it as it was, or recovered.
    pub fn carry_out(self) -> Result<Recovered, RecoveryError> {
        let chosen = &self.found[0];
        let now = clocks::wall_ms();
        let id = random_uuid();
        let given_up = &self.brokers.records;
        let recovery = recover(
            &*self.disk,
            &chosen.data,
            &chosen.survivor,
            (id, now),
            given_up,
        );
        let recovery = recovery.map_err(|error| RecoveryError::NotWritten {
            data: chosen.data.clone(),
            why: error.to_string(),
        })?;
        Ok(Recovered {
            cluster_id: chosen.cluster_id.clone(),
            voter: name(&chosen.survivor.owner),
            incarnation: recovery.incarnation,
            kept_offset: recovery.kept_offset,
        })
    }
}

/// The other voters that the first survivor knows.
fn given_up(found: &[Found]) -> impl Iterator<Item = &Voter> {
    let chosen = &found[0].survivor;
    let others = chosen.voters.iter();
    others.filter(|it| **it != chosen.owner)
}

fn name(voter: &Voter) -> VoterName {
    VoterName {
        node_id: voter.node_id,
        directory_id: voter.directory_id,
    }
}

fn report(found: &Found) -> SurvivorReport {
    let Survivor {
        owner,
        image,
        last,
        entries,
        snapshot_ms,
        ..
    } = &found.survivor;
    let log = found.data.join("__cluster_metadata-0/quorum.redb");
    let written = std::fs::metadata(log).and_then(|it| it.modified());
    SurvivorReport {
        data: found.data.clone(),
        voter: name(owner),
        votes: found.votes(),
        term: last.term,
        index: last.index,
        offset: image.offset,
        entries: *entries,
        written: written.ok(),
        snapshot_ms: *snapshot_ms,
        brokers: image.brokers().count(),
        topics: image.topics().count(),
        partitions: image.topics().map(|topic| topic.partitions.len()).sum(),
    }
}

/// The data directory, by whichever of its parts was named: itself, the folder of the metadata in it, or the
/// quorum's file. One directory has one name.
fn whole(path: &Path) -> Result<PathBuf, RecoveryError> {
    let named = path.canonicalize();
    let named = named.map_err(|source| RecoveryError::NotThere {
        path: path.to_owned(),
        source,
    })?;
    let folder = match named.is_file() {
        true => named.parent().unwrap_or(&named),
        false => &named,
    };
    let is_log = folder
        .file_name()
        .is_some_and(|it| it == "__cluster_metadata-0");
    let data = folder.parent().filter(|_| is_log).unwrap_or(folder);
    Ok(data.to_owned())
}

fn look(disk: &Arc<ProcessDisk>, data: PathBuf) -> Result<Found, RecoveryError> {
    let meta = LogDirectory::read_meta(&**disk, &data)?;
    let lock = LogDirectory::open(disk, &data, &meta.cluster_id, meta.node_id)?;
    let owner = Voter {
        node_id: meta.node_id,
        directory_id: meta.directory_id,
    };
    let unreadable = |why: String| RecoveryError::Unreadable {
        data: data.clone(),
        why,
    };
    // redb may panic on a file that someone else wrote into.
    let surveyed = std::thread::scope(|it| it.spawn(|| survey(disk, &data, owner)).join());
    let survivor = surveyed.map_err(|_| unreadable("it is damaged; restore it".to_owned()))?;
    let survivor = survivor.map_err(|error: MetadataLogError| unreadable(error.to_string()))?;
    Ok(Found {
        data,
        cluster_id: meta.cluster_id,
        survivor,
        _lock: lock,
    })
}

/// Puts the survivor that is recovered first, the others behind it; or says why none may be.
fn judge(mut found: Vec<Found>, own: Option<&Path>) -> Result<Vec<Found>, RecoveryError> {
    // Whoever votes before who does not, where their logs are the same.
    let rank = |it: &Found| (it.survivor.last, it.votes(), -it.survivor.owner.node_id);
    found.sort_by_key(|it| std::cmp::Reverse(rank(it)));
    let quorum = |it: &Found| it.survivor.image.incarnations();
    let newest = found.iter().max_by_key(|it| quorum(it).ids().len());
    let newest = newest.ok_or(RecoveryError::Nobody)?;
    for other in &found {
        if other.cluster_id != newest.cluster_id {
            return Err(RecoveryError::ForeignCluster {
                data: other.data.clone(),
                found: other.cluster_id.clone(),
                of: newest.data.clone(),
                expected: newest.cluster_id.clone(),
            });
        }
        let (data, of) = (other.data.clone(), newest.data.clone());
        match quorum(newest).kin(&quorum(other)) {
            Kin::Same => {}
            Kin::Older => return Err(RecoveryError::OldQuorum { data, of }),
            Kin::Newer | Kin::Foreign => return Err(RecoveryError::ForeignQuorum { data, of }),
        }
    }
    let chosen = match own {
        Some(own) => found.iter().position(|it| it.data == own).unwrap_or(0),
        None => 0,
    };
    let (best, own) = (&found[0], &found[chosen]);
    if own.survivor.last < best.survivor.last {
        return Err(RecoveryError::Stale {
            data: own.data.clone(),
            own: own.place(),
            of: best.data.clone(),
            best: best.place(),
            role: match best.votes() {
                true => "",
                false => ", which becomes a controller for that",
            },
        });
    }
    let voters: BTreeSet<u64> = best.survivor.voters.iter().map(Voter::raft_id).collect();
    let named: BTreeSet<u64> = found.iter().map(|it| it.survivor.owner.raft_id()).collect();
    let named = voters.intersection(&named).count();
    if named * 2 > voters.len() {
        return Err(RecoveryError::Majority {
            voters: voters.len(),
            named,
        });
    }
    let chosen = found.remove(chosen);
    found.insert(0, chosen);
    Ok(found)
}

/// That the node can be a quorum of its own, and that the other controllers are not there.
fn check_node(settings: &Settings) -> Result<(), RecoveryError> {
    let cluster = &settings.cluster;
    if !cluster.roles.controller {
        return Err(RecoveryError::NoController(settings.node_id));
    }
    let mut others = cluster.controllers.iter();
    let is_there = |host: &str, port: u16| {
        let addresses = (host, port).to_socket_addrs();
        let mut addresses = addresses.into_iter().flatten();
        addresses.any(|address| TcpStream::connect_timeout(&address, KNOCK_MAX).is_ok())
    };
    let alive = others.find(|it| it.node_id != settings.node_id && is_there(&it.host, it.port));
    match alive {
        None => Ok(()),
        Some(alive) => Err(RecoveryError::Alive {
            node_id: alive.node_id,
            address: format!("{}:{}", alive.host, alive.port),
        }),
    }
}

#[cfg(test)]
mod tests;
