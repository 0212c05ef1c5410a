//! Three nodes as one cluster, on loopback or each in a place of its own, each broker and controller, each a process of its own.
//!
//! Owns: their files, how the quorum is founded, what is done to a node, and when the three are well
//! again. Must not know: why something is done to a node, and what is concluded from it.
//!
//! Invariants: every process is dead when the [`Trio`] is dropped, a frozen one too. A node keeps its
//! ports and its data in every start. Nothing here waits without a limit.
//!
//! Reading order: [`files`], [`view`], [`clients`], [`diary`], [`silence`], [`replicas`],
//! [`counts`].

pub mod clients;
pub mod counts;
pub(crate) mod diary;
pub(crate) mod files;
pub mod replicas;
pub(crate) mod silence;
pub mod view;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use isthmus_client::admin::{ElectionType, NewTopic, OffsetSpec};
use isthmus_client::fetch::IsolationLevel;
use rustix::process::Pid;
use tokio::time::Instant;

use crate::process::ToolError;
use crate::targets::{
    Around, Description, Node, NodePlace, Software, StartError, StopError, Target,
};
use files::Files;
pub use files::SESSION;
pub(crate) use files::data_folder;
use view::{LookError, View};

/// As many nodes as replicas.
pub const NODES: usize = 3;

/// Sixteen bytes in Kafka's own form, as any cluster id is.
const CLUSTER_ID: &str = "isthmus-lab-000000003A";

/// From a fault's end to three replicas in sync again. Isthmus takes a second or two, Apache Kafka up
/// to a minute on busy cores; what has not healed by then is taken for broken.
pub const HEAL_MAX: Duration = Duration::from_secs(120);

/// Between two looks at the nodes.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A cluster of three.
#[derive(Debug)]
pub struct Trio {
    software: Software,
    settings: Vec<String>,
    logs: PathBuf,
    nodes: Vec<Member>,
}

/// One of the three.
#[derive(Debug)]
struct Member {
    id: i32,
    address: SocketAddr,
    data: PathBuf,
    node: Node,
}

/// Where a node is, and what it runs in.
#[derive(Clone, Debug, Default)]
pub struct Room {
    /// Its own; none for free ports on loopback.
    pub address: Option<Ipv4Addr>,
    pub around: Around,
}

/// Why the cluster is not as it should be. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum TrioError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Stop(#[from] StopError),
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("find free ports: {0}")]
    Ports(io::Error),
    #[error("write {}: {cause}", path.display())]
    Write { path: PathBuf, cause: io::Error },
    #[error("found the quorum: {0} did not print the founders")]
    NoFounders(String),
    #[error("format {0} anew: it did not print its directory's id")]
    NoDirectory(String),
    #[error("remove {}: {cause}", path.display())]
    Remove { path: PathBuf, cause: io::Error },
    #[error("make topic {topic}: {cause}")]
    Topic { topic: String, cause: String },
    #[error("find the high watermarks of {topic}: {cause}")]
    Watermarks { topic: String, cause: String },
    #[error(transparent)]
    Look(#[from] LookError),
    #[error("keep {name} running: it ended by itself; its last lines:\n{log}")]
    Fallen { name: String, log: String },
    #[error("see the cluster well within {seconds} s: {state}")]
    NotWell { seconds: u64, state: String },
}

impl Trio {
    /// Writes all files below a folder, which must exist and be empty. Nothing is started yet.
    pub fn prepare(software: &Software, folder: &Path) -> Result<Self, TrioError> {
        Self::prepare_in(software, folder, std::array::from_fn(|_| Room::default()))
    }

    /// The same with a room for each node, in the order of their numbers, which begin at 1.
    pub fn prepare_in(
        software: &Software,
        folder: &Path,
        rooms: [Room; NODES],
    ) -> Result<Self, TrioError> {
        let addresses = std::array::from_fn(|place| rooms[place].address);
        let files = Files::write(software, folder, addresses)?;
        let members = files.nodes.into_iter().zip(rooms).map(|(file, room)| {
            let place = NodePlace {
                name: format!("node-{}", file.id),
                file: file.path,
                folder: files.logs.clone(),
                cluster_id: CLUSTER_ID.to_owned(),
                address: file.address,
                around: room.around,
            };
            Member {
                id: file.id,
                address: file.address,
                data: file.data,
                node: Node::new(software.clone(), place),
            }
        });
        Ok(Self {
            software: software.clone(),
            settings: files.settings,
            nodes: members.collect(),
            logs: files.logs,
        })
    }

    /// What it is, for reports.
    pub fn describe(&self) -> Description {
        let Description {
            program, version, ..
        } = self.software.describe();
        Description {
            program,
            version,
            settings: self.settings.clone(),
        }
    }

    /// Where the programs' words are kept.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// For clients: all nodes.
    pub fn bootstrap(&self) -> String {
        let all: Vec<_> = self.nodes.iter().map(|it| it.address.to_string()).collect();
        all.join(",")
    }

    /// For clients and commands: one node.
    pub(crate) fn address(&self, id: i32) -> SocketAddr {
        self.member(id).address
    }

    /// A node's configuration.
    pub(crate) fn file(&self, id: i32) -> &Path {
        self.member(id).node.file()
    }

    /// The numbers of the nodes.
    pub fn ids(&self) -> Vec<i32> {
        self.nodes.iter().map(|it| it.id).collect()
    }

    /// Where a node's partitions are.
    pub fn data(&self, id: i32) -> &Path {
        &self.member(id).data
    }

    /// A node's process, while one runs.
    pub fn pid(&self, id: i32) -> Option<Pid> {
        self.member(id).node.pid()
    }

    /// The processes that run.
    pub fn pids(&self) -> Vec<Pid> {
        self.nodes.iter().filter_map(|it| it.node.pid()).collect()
    }

    /// Founds the quorum and starts all nodes; returns once every one is ready.
    pub async fn start(&mut self) -> Result<(), TrioError> {
        let mut founders = "new".to_owned();
        for member in &mut self.nodes {
            let named = member.node.found(&founders).await?;
            match (&self.software, named) {
                (_, Some(list)) => founders = list,
                (Software::ApacheKafka(_), None) => {}
                (Software::Isthmus(_), None) => {
                    return Err(TrioError::NoFounders(member.node.name().to_owned()));
                }
            }
        }
        // Together: none is ready before a majority is there.
        try_join_all(self.nodes.iter_mut().map(|it| it.node.start())).await?;
        Ok(())
    }

    /// Makes a topic of three replicas, of which two must be in sync, and waits until they all are.
    pub async fn make_topic(&mut self, topic: &str, partitions: i32) -> Result<(), TrioError> {
        let replicas = i16::try_from(NODES).expect("three fit");
        let wanted = NewTopic::new(topic, partitions, replicas).config("min.insync.replicas", "2");
        self.make(&wanted).await?;
        self.until_well(&[topic]).await
    }

    /// Makes a topic and waits for nothing.
    pub async fn make(&self, wanted: &NewTopic) -> Result<(), TrioError> {
        make(&self.bootstrap(), wanted).await
    }

    /// SIGKILL.
    pub async fn kill(&mut self, id: i32) -> Result<(), TrioError> {
        Ok(self.member_mut(id).node.kill().await?)
    }

    /// SIGTERM, and waits for its end.
    pub async fn stop(&mut self, id: i32) -> Result<(), TrioError> {
        Ok(self.member_mut(id).node.stop().await?)
    }

    /// Starts it again on its data; returns once it is ready.
    pub async fn restart(&mut self, id: i32) -> Result<(), TrioError> {
        self.member_mut(id).node.start().await?;
        Ok(())
    }

    /// From its next start on a node runs this, on the data that are there.
    pub fn run_with(&mut self, id: i32, software: &Software) {
        self.member_mut(id).node.run_with(software.clone());
    }

    /// SIGKILL to several of them at once.
    pub async fn kill_together(&mut self, ids: &[i32]) -> Result<(), TrioError> {
        let nodes = self.nodes.iter_mut().filter(|it| ids.contains(&it.id));
        try_join_all(nodes.map(|it| it.node.kill())).await?;
        Ok(())
    }

    /// SIGKILL to several of them at once, and what they had on disk is gone.
    pub(crate) async fn destroy(&mut self, ids: &[i32]) -> Result<(), TrioError> {
        self.kill_together(ids).await?;
        for &id in ids {
            let data = self.data(id);
            fs::remove_dir_all(data).map_err(|cause| TrioError::Remove {
                path: data.to_owned(),
                cause,
            })?;
        }
        Ok(())
    }

    /// Formats a node that was destroyed, for a quorum that works; gives its directory's new id.
    pub(crate) async fn format_late(&mut self, id: i32) -> Result<String, TrioError> {
        let node = &mut self.member_mut(id).node;
        let directory = node.found_late().await?;
        directory.ok_or_else(|| TrioError::NoDirectory(node.name().to_owned()))
    }

    /// Starts them again at once, as none may be ready before the others are there.
    pub async fn restart_together(&mut self, ids: &[i32]) -> Result<(), TrioError> {
        let nodes = self.nodes.iter_mut().filter(|it| ids.contains(&it.id));
        try_join_all(nodes.map(|it| it.node.start())).await?;
        Ok(())
    }

    /// SIGSTOP.
    pub fn freeze(&self, id: i32) -> Result<(), TrioError> {
        Ok(self.member(id).node.freeze()?)
    }

    /// SIGCONT.
    pub fn thaw(&self, id: i32) -> Result<(), TrioError> {
        Ok(self.member(id).node.thaw()?)
    }

    /// Ends all at once, without a warning.
    pub async fn kill_all(&mut self) -> Result<(), TrioError> {
        try_join_all(self.nodes.iter_mut().map(|it| it.node.kill())).await?;
        Ok(())
    }

    /// No node has ended that nobody ended.
    pub fn check(&mut self) -> Result<(), TrioError> {
        for member in &mut self.nodes {
            if let Some(log) = member.node.fallen() {
                let name = member.node.name().to_owned();
                return Err(TrioError::Fallen { name, log });
            }
        }
        Ok(())
    }

    /// What one node says.
    pub async fn ask(&self, id: i32, topics: &[&str]) -> Result<View, TrioError> {
        Ok(view::ask(id, self.member(id).address, topics).await?)
    }

    /// Who leads the quorum, as the first of these nodes that knows it says.
    pub async fn controller(&self, of: &[i32]) -> Result<i32, TrioError> {
        let until = Instant::now() + HEAL_MAX;
        loop {
            for &id in of {
                // One that does not know is asked again below, as long as there is time.
                if let Ok(Some(leader)) = view::controller(id, self.member(id).address).await {
                    return Ok(leader);
                }
            }
            if Instant::now() > until {
                let state = "no node tells who leads the quorum".to_owned();
                return Err(not_well(state));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until every node says of every partition that it has a leader and three in sync.
    pub async fn until_well(&mut self, topics: &[&str]) -> Result<(), TrioError> {
        self.until_well_but(None, topics).await.map(drop)
    }

    /// The same after what may end a node by itself: it is started again then, as often as it ends. How
    /// often that was.
    pub async fn until_well_with_restarts(
        &mut self,
        of: i32,
        topics: &[&str],
    ) -> Result<u32, TrioError> {
        self.until_well_but(Some(of), topics).await
    }

    async fn until_well_but(
        &mut self,
        may_end: Option<i32>,
        topics: &[&str],
    ) -> Result<u32, TrioError> {
        let until = Instant::now() + HEAL_MAX;
        let mut restarts = 0;
        loop {
            if let Some(id) = may_end.filter(|&id| self.member_mut(id).node.fallen().is_some()) {
                self.restart(id).await?;
                restarts += 1;
            }
            self.check()?;
            let Some(state) = self.ailment(topics).await else {
                return Ok(restarts);
            };
            if Instant::now() > until {
                return Err(not_well(state));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until every node says that the metadata level is at least this.
    pub async fn until_level(&mut self, level: i16) -> Result<(), TrioError> {
        let until = Instant::now() + HEAL_MAX;
        loop {
            self.check()?;
            let Some(state) = self.below(level).await else {
                return Ok(());
            };
            if Instant::now() > until {
                return Err(not_well(state));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// A node that tells of a lower level, or of none.
    async fn below(&self, level: i16) -> Option<String> {
        for member in &self.nodes {
            let name = member.node.name();
            match view::level(member.id, member.address).await {
                Ok(Some(found)) if found >= level => {}
                Ok(Some(found)) => return Some(format!("{name}: the metadata level is {found}")),
                Ok(None) => return Some(format!("{name}: it tells no metadata level")),
                Err(error) => return Some(format!("{name}: it could not {error}")),
            }
        }
        None
    }

    /// Has preferred leaders elected until every node says that they lead: each node its own share.
    pub async fn until_led_as_preferred(&mut self, topics: &[&str]) -> Result<(), TrioError> {
        let until = Instant::now() + HEAL_MAX;
        loop {
            self.check()?;
            let Some(state) = self.misled(topics).await else {
                return Ok(());
            };
            if Instant::now() > until {
                return Err(not_well(state));
            }
            self.elect().await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What comes of it, the next look shows.
    async fn elect(&self) {
        let Ok(client) = view::client(&self.bootstrap()) else {
            return;
        };
        let admin = client.admin();
        let elected = admin.elect_leaders(ElectionType::Preferred, None).await;
        if let Err(error) = elected {
            tracing::debug!(event = "not_elected", %error);
        }
    }

    /// A node that knows of partitions led by others than their preferred leaders.
    async fn misled(&self, topics: &[&str]) -> Option<String> {
        for member in &self.nodes {
            let name = member.node.name();
            match view::ask(member.id, member.address, topics).await {
                Ok(view) if view.is_led_as_preferred() => {}
                Ok(_) => return Some(format!("{name}: not all preferred leaders lead")),
                Err(error) => return Some(format!("{name}: it could not {error}")),
            }
        }
        None
    }

    /// Waits until a survivor says that nothing is led by a node that is gone, and nothing by nobody.
    pub async fn until_led_without(
        &self,
        gone: i32,
        survivor: i32,
        topics: &[&str],
        look_every: Duration,
    ) -> Result<(), TrioError> {
        let until = Instant::now() + HEAL_MAX;
        loop {
            let state = match self.ask(survivor, topics).await {
                Ok(view) if view.led_by(gone) == 0 && view.leaderless() == 0 => return Ok(()),
                Ok(view) => {
                    let (led, none) = (view.led_by(gone), view.leaderless());
                    format!("{led} partitions are led by node {gone}, and {none} by nobody")
                }
                Err(error) => format!("it could not {error}"),
            };
            if Instant::now() > until {
                return Err(not_well(format!("node {survivor}: {state}")));
            }
            tokio::time::sleep(look_every).await;
        }
    }

    /// How far a topic's partitions are promised.
    pub async fn high_watermarks(
        &self,
        topic: &str,
        partitions: i32,
    ) -> Result<BTreeMap<i32, i64>, TrioError> {
        let failed = |cause: String| TrioError::Watermarks {
            topic: topic.to_owned(),
            cause,
        };
        let client = view::client(&self.bootstrap()).map_err(|error| failed(error.to_string()))?;
        let name: Arc<str> = topic.into();
        let asked: Vec<_> = (0..partitions)
            .map(|partition| (Arc::clone(&name), partition, OffsetSpec::Latest))
            .collect();
        let admin = client.admin();
        let listed = admin.list_offsets(&asked, IsolationLevel::ReadUncommitted);
        let mut found = BTreeMap::new();
        for (partition, listed) in (0..).zip(listed.await) {
            let listed = listed.map_err(|error| failed(error.to_string()))?;
            found.insert(partition, listed.offset.unwrap_or(0));
        }
        Ok(found)
    }

    /// The first thing that is not well. Each node is asked, since one that lags behind tells of a
    /// time before the fault.
    async fn ailment(&self, topics: &[&str]) -> Option<String> {
        for member in &self.nodes {
            let told = match view::ask(member.id, member.address, topics).await {
                Ok(view) => view.ailment(NODES),
                Err(error) => Some(format!("it could not {error}")),
            };
            if let Some(told) = told {
                return Some(format!("{}: {told}", member.node.name()));
            }
        }
        None
    }

    fn member(&self, id: i32) -> &Member {
        let found = self.nodes.iter().find(|it| it.id == id);
        found.expect("ids come from the trio itself")
    }

    fn member_mut(&mut self, id: i32) -> &mut Member {
        let found = self.nodes.iter_mut().find(|it| it.id == id);
        found.expect("ids come from the trio itself")
    }
}

/// Makes a topic where these nodes are, and waits for nothing.
pub(crate) async fn make(bootstrap: &str, wanted: &NewTopic) -> Result<(), TrioError> {
    let failed = |cause: String| TrioError::Topic {
        topic: wanted.name.clone(),
        cause,
    };
    let client = view::client(bootstrap).map_err(|error| failed(error.to_string()))?;
    let admin = client.admin();
    let made = admin
        .create_topics(std::slice::from_ref(wanted), false)
        .await;
    for (_, outcome) in made.map_err(|error| failed(error.to_string()))? {
        outcome.map_err(|refusal| failed(refusal.to_string()))?;
    }
    Ok(())
}

pub(crate) fn not_well(state: String) -> TrioError {
    TrioError::NotWell {
        seconds: HEAL_MAX.as_secs(),
        state,
    }
}
