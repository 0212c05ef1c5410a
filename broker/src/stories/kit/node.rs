//! What a node is made from, and its life from its start to its end.

use crate::StopReason;
use crate::broker::Broker;
use crate::settings::Settings;
use crate::start::start_on;
use isthmus_config::{ConfigFile, Layers};
use isthmus_log::disk::{ProcessDisk, process_disk};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use tokio_util::sync::CancellationToken;

/// What nodes are made from.
#[derive(Clone)]
pub(crate) struct Layout {
    /// Roles of nodes 1, 2, … as a node's file says them.
    pub(crate) roles: Vec<&'static str>,
    /// Who founds the quorum; controllers beyond these are added by the story.
    pub(crate) founders: Vec<i32>,
    /// Lines for the files' `[kafka]`.
    pub(crate) kafka: &'static str,
    /// `lease.fencing`.
    pub(crate) lease_fencing: bool,
    /// The racks of nodes 1, 2, …; none beyond.
    pub(crate) racks: &'static [&'static str],
}

pub(crate) const BOTH: &str = "\"broker\", \"controller\"";
pub(crate) const BROKER: &str = "\"broker\"";
pub(crate) const CONTROLLER: &str = "\"controller\"";

impl Layout {
    pub(crate) fn three() -> Self {
        Self::of(&[BOTH; 3])
    }

    pub(crate) fn of(roles: &[&'static str]) -> Self {
        let mut layout = Self {
            roles: roles.to_vec(),
            founders: Vec::new(),
            kafka: "",
            lease_fencing: true,
            racks: &[],
        };
        layout.founders = layout.controllers();
        layout
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = i32> + use<> {
        (1..).take(self.roles.len())
    }

    /// A sound disk for each node.
    pub(super) fn disks(&self) -> Disks {
        let disk = || NodeDisk {
            disk: process_disk(None).expect("no plan is no bad one"),
            may_fail: false,
            failures: 0,
            has_ended: false,
        };
        Arc::new(Mutex::new(self.ids().map(|id| (id, disk())).collect()))
    }

    fn roles_of(&self, id: i32) -> &'static str {
        self.roles[usize::try_from(id - 1).unwrap()]
    }

    pub(super) fn controllers(&self) -> Vec<i32> {
        let votes = |id: &i32| self.roles_of(*id).contains("controller");
        self.ids().filter(votes).collect()
    }

    pub(super) fn brokers(&self) -> Vec<i32> {
        let serves = |id: &i32| self.roles_of(*id).contains("broker");
        self.ids().filter(serves).collect()
    }
}

pub(super) fn name(id: i32) -> String {
    format!("n{id}")
}

/// A node that runs.
pub(super) struct Up {
    pub(super) stop: CancellationToken,
    /// Once it serves.
    pub(super) broker: Option<Weak<Broker>>,
}

pub(super) type Nodes = Arc<Mutex<BTreeMap<i32, Up>>>;

/// A node's disk, which outlives its process.
#[derive(Clone)]
pub(super) struct NodeDisk {
    pub(super) disk: ProcessDisk,
    /// The story makes it fail: that the node ends by it is no failure of the story.
    pub(super) may_fail: bool,
    /// How often the node did.
    pub(super) failures: usize,
    /// It has just now, and what is left of it is to be crashed.
    pub(super) has_ended: bool,
}

pub(super) type Disks = Arc<Mutex<BTreeMap<i32, NodeDisk>>>;

/// A node from its start to its end.
pub(super) async fn run(
    layout: Layout,
    path: PathBuf,
    id: i32,
    (nodes, disks): (Nodes, Disks),
) -> turmoil::Result {
    let stop = CancellationToken::new();
    let up = Up {
        stop: stop.clone(),
        broker: None,
    };
    nodes.lock().insert(id, up);
    let settings = settings(&layout, &layout.controllers(), &path, id);
    let started = tokio::select! {
        started = Box::pin(start_on(settings, disks.lock()[&id].disk.clone())) => started,
        () = stop.cancelled() => return Ok(()),
    };
    let running = match started {
        Ok(running) => running,
        Err(error) => {
            nodes.lock().remove(&id);
            return ends_by_its_disk(id, &disks, &error).await;
        }
    };
    if let Some(up) = nodes.lock().get_mut(&id) {
        up.broker = Some(Arc::downgrade(&running.broker));
    }
    tokio::select! {
        () = running.failed() => {}
        () = stop.cancelled() => {}
    }
    let reason = Box::pin(running.stop()).await;
    nodes.lock().remove(&id);
    match reason {
        StopReason::Asked => Ok(()),
        StopReason::Failed => ends_by_its_disk(id, &disks, &"it failed").await,
    }
}

/// Stays until the story crashes it.
async fn ends_by_its_disk(id: i32, disks: &Disks, why: &dyn std::fmt::Display) -> turmoil::Result {
    match disks.lock().get_mut(&id).filter(|it| it.may_fail) {
        Some(disk) => {
            disk.failures += 1;
            disk.has_ended = true;
        }
        None => return Err(format!("node {id} failed: {why}").into()),
    }
    std::future::pending().await
}

pub(super) fn data(path: &Path, id: i32) -> PathBuf {
    path.join(format!("data-{id}"))
}

pub(super) fn settings(layout: &Layout, controllers: &[i32], path: &Path, id: i32) -> Settings {
    let controllers = controllers.iter();
    let controllers: Vec<String> = controllers
        .map(|it| format!("\"{it}@{}:9093\"", name(*it)))
        .collect();
    let roles = layout.roles_of(id);
    let listener = |name: &str, kind: &str, port: u16| {
        format!(
            "[[listeners]]\nname = \"{name}\"\nkind = \"{kind}\"\nbind = \"0.0.0.0:{port}\"\n\
             advertised = \"n{id}:{port}\"\n"
        )
    };
    let mut listeners = String::new();
    if roles.contains("broker") {
        listeners += &listener("clients", "client", 9092);
        listeners += &listener("brokers", "broker", 9094);
    }
    if roles.contains("controller") {
        listeners += &listener("controllers", "controller", 9093);
    }
    let rack = layout.racks.get(usize::try_from(id - 1).unwrap());
    let rack = rack.map_or_else(String::new, |it| format!("rack = \"{it}\"\n"));
    let text = format!(
        "[node]\nid = {id}\n{rack}roles = [{roles}]\ndata = \"{}\"\n\
         [cluster]\ncontrollers = [{}]\nsecret_file = \"{}\"\n[lease]\nfencing = {}\n{listeners}\
         [kafka]\n\"group.initial.rebalance.delay.ms\" = 0\n\
         \"offsets.topic.num.partitions\" = 1\n{}\n",
        data(path, id).display(),
        controllers.join(", "),
        path.join("secret").display(),
        layout.lease_fencing,
        layout.kafka,
    );
    let layers = Layers {
        file: Some(ConfigFile::from_text("node.toml", text)),
        ..Layers::default()
    };
    Settings::load(&layers, None).unwrap_or_else(|problems| panic!("{problems}"))
}
