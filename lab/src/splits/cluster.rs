//! Three controllers, and brokers on both sides of a cut, as processes in places of their own.
//!
//! | Place | Side |
//! |---|---|
//! | brokers 1 …, the first of which lead | the leader's |
//! | the other brokers, controllers 101 to 103 | the other one |
//! | a client's place for each side | its own |
//! | the operator, where the lab itself is | never cut off |

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use futures::future::try_join_all;
use isthmus_client::admin::NewTopic;
use tokio::time::Instant;

use super::files::{Common, Role, Site};
use super::segments::{self, Held};
use super::table::{Lease, Row};
use super::{LOOK_EVERY, SplitsError, unwritten};
use crate::fabric::{Fabric, Namespace, Place, Way, both_ways};
use crate::targets::{Around, Description, Node, NodePlace, Software, Target};
use crate::trio::files::SECRET;
use crate::trio::view::{self, View};
use crate::trio::{HEAL_MAX, TrioError, make, not_well};

/// The topic, of one partition.
pub(super) const TOPIC: &str = "split";

/// As many brokers as the widest row has replicas.
const BROKERS_MAX: i32 = 4;

const CONTROLLERS: [i32; 3] = [101, 102, 103];

/// Where the lab is.
pub(super) const OPERATOR: &str = "operator";

/// Sixteen bytes in Kafka's own form, as any cluster id is.
const CLUSTER_ID: &str = "isthmus-lab-000000004A";

/// With up to seven of them on one machine, and hardly any load.
const BROKER_JVM: &str = "-Xmx512m";
const CONTROLLER_JVM: &str = "-Xmx256m";

/// The two sides of a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The leader's: it is cut off from the quorum.
    Isolated,
    /// The quorum's.
    Others,
}

impl Side {
    /// Names places, clients and ledgers.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Isolated => "isolated",
            Self::Others => "others",
        }
    }
}

/// Makes the places of all rows.
pub fn fabric() -> Result<Fabric, crate::fabric::FabricError> {
    let nodes = (1..=BROKERS_MAX).chain(CONTROLLERS).map(node_name);
    let sides = [Side::Isolated, Side::Others].map(|it| it.name().to_owned());
    let names: Vec<String> = nodes.chain(sides).chain([OPERATOR.to_owned()]).collect();
    Fabric::make(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

fn node_name(id: i32) -> String {
    format!("node-{id}")
}

/// A cluster for one row.
#[derive(Debug)]
pub(super) struct Cluster<'a> {
    fabric: &'a Fabric,
    row: Row,
    controllers: Vec<Member>,
    brokers: Vec<Member>,
    logs: PathBuf,
    description: Description,
}

#[derive(Debug)]
struct Member {
    id: i32,
    address: SocketAddr,
    data: PathBuf,
    node: Node,
}

impl<'a> Cluster<'a> {
    /// Writes all files below a folder. Nothing is started yet.
    pub(super) fn prepare(
        software: &Software,
        fabric: &'a Fabric,
        row: Row,
        lease: Option<Lease>,
        folder: &Path,
    ) -> Result<Self, SplitsError> {
        let logs = folder.join("logs");
        fs::create_dir_all(&logs).map_err(|cause| unwritten(&logs, cause))?;
        let secret = folder.join("secret");
        fs::write(&secret, SECRET).map_err(|cause| unwritten(&secret, cause))?;
        let address = |id: i32| fabric.place(&node_name(id)).address();
        let voters: Vec<(i32, Ipv4Addr)> = CONTROLLERS
            .into_iter()
            .map(|id| (id, address(id)))
            .collect();
        let common = Common {
            software,
            controllers: &voters,
            secret: &secret,
            lease,
            cores: std::thread::available_parallelism().map_or(1, |it| it.get()),
        };
        let member = |id: i32, role: Role| {
            let data = folder.join(format!("data-{id}"));
            let site = Site {
                id,
                role,
                address: address(id),
                data: &data,
            };
            let (ending, text) = common.file(&site);
            let file = folder.join(format!("node-{id}.{ending}"));
            fs::write(&file, text).map_err(|cause| unwritten(&file, cause))?;
            let place = NodePlace {
                name: node_name(id),
                file,
                folder: logs.clone(),
                cluster_id: CLUSTER_ID.to_owned(),
                address: site.answers_at(),
                around: around(fabric.place(&node_name(id)), role),
            };
            Ok(Member {
                id,
                address: site.answers_at(),
                node: Node::new(software.clone(), place),
                data,
            })
        };
        let controllers = CONTROLLERS.into_iter();
        let controllers = controllers.map(|id| member(id, Role::Controller));
        let brokers = (1..=row.replicas()).map(|id| member(id, Role::Broker));
        let described = software.describe();
        Ok(Self {
            fabric,
            row,
            controllers: controllers.collect::<Result<_, SplitsError>>()?,
            brokers: brokers.collect::<Result<_, SplitsError>>()?,
            description: Description {
                settings: common.settings(),
                ..described
            },
            logs,
        })
    }

    /// What it is, for reports.
    pub(super) fn describe(&self) -> &Description {
        &self.description
    }

    /// Where the programs' words are kept.
    pub(super) fn logs(&self) -> &Path {
        &self.logs
    }

    /// For clients: all brokers.
    pub(super) fn bootstrap(&self) -> String {
        let all = self.brokers.iter().map(|it| it.address.to_string());
        all.collect::<Vec<_>>().join(",")
    }

    /// Where the clients of a side are.
    pub(super) fn clients_of(&self, side: Side) -> &'a Namespace {
        self.fabric.place(side.name()).namespace()
    }

    /// Brokers by the side they are on, the first leader first.
    pub(super) fn brokers_of(&self, side: Side) -> Vec<i32> {
        match side {
            Side::Isolated => (1..=self.row.isolated).collect(),
            Side::Others => (self.row.isolated + 1..=self.row.replicas()).collect(),
        }
    }

    /// What is cut when the leader's side is cut off, clients and all.
    pub(super) fn ways_between_sides(&self) -> Vec<Way> {
        let mut ones = self.places(self.brokers_of(Side::Isolated));
        ones.push(self.fabric.place(Side::Isolated.name()));
        let mut others = self.places(self.brokers_of(Side::Others));
        others.extend(self.places(CONTROLLERS));
        others.push(self.fabric.place(Side::Others.name()));
        both_ways(&ones, &others)
    }

    /// What is cut so that the others' brokers get no record: theirs to the leader's side.
    pub(super) fn ways_between_brokers(&self) -> Vec<Way> {
        let ones = self.places(self.brokers_of(Side::Isolated));
        let others = self.places(self.brokers_of(Side::Others));
        both_ways(&ones, &others)
    }

    fn places(&self, ids: impl IntoIterator<Item = i32>) -> Vec<&'a Place> {
        let ids = ids.into_iter();
        ids.map(|id| self.fabric.place(&node_name(id))).collect()
    }

    /// Founds the quorum and starts all nodes; returns once every one is ready.
    pub(super) async fn start(&mut self) -> Result<(), SplitsError> {
        let mut founders = "new".to_owned();
        for member in &mut self.controllers {
            // Apache Kafka's files name the founders themselves.
            if let Some(list) = member
                .node
                .found(&founders)
                .await
                .map_err(TrioError::from)?
            {
                founders = list;
            }
        }
        let nodes = self.controllers.iter_mut().chain(&mut self.brokers);
        let starts = try_join_all(nodes.map(|it| it.node.start())).await;
        starts
            .map(drop)
            .map_err(|error| TrioError::from(error).into())
    }

    /// Makes the topic as the row wants it, and waits for nothing.
    pub(super) async fn make_topic(&self) -> Result<(), SplitsError> {
        let replicas = (1..=self.row.replicas()).collect();
        let unclean = self.row.unclean.to_string();
        let wanted = NewTopic {
            assignments: BTreeMap::from([(0, replicas)]),
            ..NewTopic::new(TOPIC, -1, -1)
                .config(
                    "min.insync.replicas",
                    self.row.min_insync_replicas.to_string(),
                )
                .config("unclean.leader.election.enable", unclean)
        };
        Ok(make(&self.bootstrap(), &wanted).await?)
    }

    /// Stops the others' brokers in order: they leave the ISR.
    pub(super) async fn stop_others(&mut self) -> Result<(), SplitsError> {
        let ids = self.brokers_of(Side::Others);
        let nodes = self.brokers.iter_mut().filter(|it| ids.contains(&it.id));
        let stops = try_join_all(nodes.map(|it| it.node.stop())).await;
        stops
            .map(drop)
            .map_err(|error| TrioError::from(error).into())
    }

    pub(super) async fn start_others(&mut self) -> Result<(), SplitsError> {
        let ids = self.brokers_of(Side::Others);
        let nodes = self.brokers.iter_mut().filter(|it| ids.contains(&it.id));
        let starts = try_join_all(nodes.map(|it| it.node.start())).await;
        starts
            .map(drop)
            .map_err(|error| TrioError::from(error).into())
    }

    /// Ends all at once, without a warning.
    pub(super) async fn kill_all(&mut self) -> Result<(), SplitsError> {
        let nodes = self.controllers.iter_mut().chain(&mut self.brokers);
        let kills = try_join_all(nodes.map(|it| it.node.kill())).await;
        kills
            .map(drop)
            .map_err(|error| TrioError::from(error).into())
    }

    /// No node has ended that nobody ended.
    pub(super) fn check(&mut self) -> Result<(), SplitsError> {
        for member in self.controllers.iter_mut().chain(&mut self.brokers) {
            if let Some(log) = member.node.fallen() {
                let name = member.node.name().to_owned();
                return Err(TrioError::Fallen { name, log }.into());
            }
        }
        Ok(())
    }

    /// Waits until each of these brokers says that the partition has a leader, that one if it is given, and
    /// exactly these in sync.
    pub(super) async fn until_in_sync(
        &mut self,
        asked: &[i32],
        leader: Option<i32>,
        isr: &[i32],
    ) -> Result<(), SplitsError> {
        let until = Instant::now() + HEAL_MAX;
        loop {
            let Some(state) = self.ailment(asked, leader, isr).await else {
                return Ok(());
            };
            if Instant::now() > until {
                return Err(not_well(state).into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The first of them that says something else.
    pub(super) async fn ailment(
        &self,
        asked: &[i32],
        leader: Option<i32>,
        isr: &[i32],
    ) -> Option<String> {
        for member in self.brokers.iter().filter(|it| asked.contains(&it.id)) {
            let told = match view::ask(member.id, member.address, &[TOPIC]).await {
                Ok(view) => ailment(&view, leader, isr),
                Err(error) => Some(format!("it could not {error}")),
            };
            if let Some(told) = told {
                return Some(format!("{}: {told}", member.node.name()));
            }
        }
        None
    }

    /// What the first leader's replica holds.
    pub(super) fn held_by_first(&self) -> Result<Held, SplitsError> {
        let first = self.brokers.first().expect("every row has brokers");
        let path = first.data.join(format!("{TOPIC}-0"));
        segments::read(&path).map_err(|cause| SplitsError::Segments { path, cause })
    }
}

fn around(place: &Place, role: Role) -> Around {
    Around {
        namespace: Some(place.namespace().clone()),
        jvm: vec![match role {
            Role::Broker => BROKER_JVM,
            Role::Controller => CONTROLLER_JVM,
        }],
        environment: Vec::new(),
    }
}

/// What is not as it should be in a view of the only partition.
fn ailment(view: &View, leader: Option<i32>, isr: &[i32]) -> Option<String> {
    let Some(seen) = view.partitions().next() else {
        return Some(format!("{TOPIC} is not there"));
    };
    let mut in_sync = seen.isr.to_vec();
    in_sync.sort_unstable();
    let leads = match leader {
        Some(_) => seen.leader == leader,
        None => seen.leader.is_some(),
    };
    match leads && in_sync == isr {
        true => None,
        false => Some(format!(
            "{TOPIC} has {:?} as its leader and {in_sync:?} in sync",
            seen.leader
        )),
    }
}
