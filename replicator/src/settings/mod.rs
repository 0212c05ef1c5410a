//! The replicator's file as types (TOML; `docs/configuration.md`).
//!
//! Owns: what each key means to this program, and the check of everything at once before anything
//! connects. Which flows may stand side by side, and what a pattern is, the core judges. What this
//! build cannot do is refused by name, never ignored.

mod clusters;
mod flows;
mod schema;

pub use clusters::ClusterSettings;
pub use flows::FlowSettings;
pub use schema::schema;

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use isthmus_config::{
    ConfigFile, ConfigProblem, ConfigProblems, Layers, Loaded, Origin, SecretRef, load,
};
use isthmus_replicator_core::graph::FlowGraph;
use isthmus_replicator_core::names::{ClusterName, FlowName};

/// The daemon's name when the file has no `[daemon]`.
pub const TRIAL_NAME: &str = "isthmus-trial";

/// All settings of one replicator, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    pub daemon: DaemonSettings,
    pub clusters: BTreeMap<ClusterName, ClusterSettings>,
    /// Those to run, in the order of the file.
    pub flows: Vec<FlowSettings>,
    /// All flows of the file, judged; also those that `--flow` leaves out.
    pub graph: FlowGraph,
    notices: Vec<ConfigProblem>,
}

#[derive(Clone, Debug)]
pub struct DaemonSettings {
    pub name: String,
    pub observe: Option<SocketAddr>,
    pub control: Option<ControlSettings>,
    /// Bound on the records under way.
    pub memory_bytes: u64,
}

#[derive(Clone, Debug)]
pub struct ControlSettings {
    pub address: SocketAddr,
    /// Read for each request, so that a changed token holds at once.
    pub token: Option<SecretRef>,
}

/// Reads the file. MirrorMaker 2's own form is known and not read yet.
pub fn read_config(path: &Path) -> Result<ConfigFile, ConfigProblems> {
    if path.extension().is_some_and(|it| it == "properties") {
        return Err(ConfigProblems::from(ConfigProblem {
            origin: Origin::File {
                name: path.display().to_string(),
                line: None,
            },
            key: String::new(),
            value: None,
            what: "is a properties file, and MirrorMaker 2's are not read yet".to_owned(),
            remedy: "write a TOML file: isthmus config sample replicator".to_owned(),
        }));
    }
    ConfigFile::read(path)
}

impl Settings {
    /// Checks everything at once.
    pub fn load(layers: &Layers) -> Result<Self, ConfigProblems> {
        let loaded = load(layers, schema())?;
        let mut problems = Vec::new();
        let daemon = daemon(&loaded, &mut problems);
        let control = daemon.control.as_ref();
        problems.extend(control.and_then(|control| control_problem(&loaded, control)));
        let clusters = clusters::clusters(&loaded, &mut problems)?;
        let found = flows::flows(&loaded, &clusters, &mut problems)?;
        // Without a graph there are problems, and none without them.
        match found.graph {
            Some(graph) if problems.is_empty() => Ok(Self {
                notices: notices(&loaded, &daemon, &clusters),
                daemon,
                clusters,
                flows: found.flows,
                graph,
            }),
            Some(_) | None => {
                problems.sort_by(|a, b| a.origin.cmp(&b.origin));
                problems.dedup();
                Err(ConfigProblems(problems))
            }
        }
    }

    /// Runs these flows only.
    pub fn only(&mut self, wanted: &[String]) -> Result<(), ConfigProblems> {
        let known: Vec<&str> = self.flows.iter().map(|flow| flow.name.as_str()).collect();
        let unknown = wanted.iter().filter(|it| !known.contains(&it.as_str()));
        let problems: Vec<ConfigProblem> = unknown
            .map(|name| ConfigProblem {
                origin: Origin::Flag("--flow".to_owned()),
                key: name.clone(),
                value: None,
                what: "is not the name of a flow".to_owned(),
                remedy: nearest_remedy(name, &known),
            })
            .collect();
        if !problems.is_empty() {
            return Err(ConfigProblems(problems));
        }
        self.flows
            .retain(|flow| wanted.iter().any(|name| name == flow.name.as_str()));
        Ok(())
    }

    /// What a person should look at, though the configuration holds.
    pub fn notices(&self) -> &[ConfigProblem] {
        &self.notices
    }
}

impl DaemonSettings {
    /// Of the daemon alone, for a tool that asks it: clusters and their secrets are not looked at.
    pub fn load(layers: &Layers) -> Result<Self, ConfigProblems> {
        let loaded = load(layers, schema())?;
        let mut problems = Vec::new();
        let daemon = daemon(&loaded, &mut problems);
        match problems.is_empty() {
            true => Ok(daemon),
            false => Err(ConfigProblems(problems)),
        }
    }
}

fn daemon(loaded: &Loaded, problems: &mut Vec<ConfigProblem>) -> DaemonSettings {
    let observe = address(loaded, "daemon.observe", problems);
    let control = address(loaded, "daemon.control", problems).map(|address| ControlSettings {
        address,
        token: loaded.find::<&SecretRef>("daemon.control_token").cloned(),
    });
    DaemonSettings {
        name: name(loaded, problems),
        observe,
        control,
        memory_bytes: loaded.get("daemon.memory"),
    }
}

fn name(loaded: &Loaded, problems: &mut Vec<ConfigProblem>) -> String {
    let key = "daemon.name";
    let Some(name) = loaded.find::<&str>(key) else {
        let others = ["observe", "control", "control_token", "memory"];
        let mut others = others.iter().map(|key| format!("daemon.{key}"));
        if others.any(|key| loaded.is_set(&key)) {
            let remedy = "give the daemon a name; instances of one name share the work";
            problems.push(loaded.problem(key, "is missing", remedy));
        }
        return TRIAL_NAME.to_owned();
    };
    // It stands in the state topic's name and in client ids.
    if let Err(error) = FlowName::parse(name) {
        let what = format!("cannot be used as a name: {error}");
        problems.push(loaded.problem(key, what, "write a short name of a-z A-Z 0-9 . _ -"));
    }
    name.to_owned()
}

fn address(loaded: &Loaded, key: &str, problems: &mut Vec<ConfigProblem>) -> Option<SocketAddr> {
    let text = loaded.find::<&str>(key)?;
    let what = match text.to_socket_addrs().map(|mut found| found.next()) {
        Ok(Some(address)) => return Some(address),
        Ok(None) => "has no address".to_owned(),
        Err(error) => format!("cannot be resolved: {error}"),
    };
    let remedy = "write an address of this machine as host:port";
    problems.push(loaded.problem(key, what, remedy));
    None
}

fn control_problem(loaded: &Loaded, control: &ControlSettings) -> Option<ConfigProblem> {
    let env = |name: &str| std::env::var(name).ok();
    match &control.token {
        Some(token) => {
            let error = token.read(env).err()?;
            let what = format!("cannot be read: could not {error}");
            let remedy = "put the token there, readable by this daemon";
            Some(loaded.problem("daemon.control_token", what, remedy))
        }
        None if control.address.ip().is_loopback() => None,
        None => Some(loaded.problem(
            "daemon.control",
            "is reached from other machines by anyone",
            "listen on loopback, or set control_token = \"file:PATH\"",
        )),
    }
}

fn notices(
    loaded: &Loaded,
    daemon: &DaemonSettings,
    clusters: &BTreeMap<ClusterName, ClusterSettings>,
) -> Vec<ConfigProblem> {
    let mut notices = loaded.notices().to_vec();
    if !loaded.is_set("daemon.name") {
        let what = format!("is missing, so this daemon is called {}", daemon.name);
        let remedy = "give it a name before a second instance or another trial meets its state";
        notices.push(loaded.problem("daemon.name", what, remedy));
    }
    notices.extend(clusters.values().filter_map(|it| it.notice(loaded)));
    notices
}

/// How to mend a name that is not among those known.
fn nearest_remedy(name: &str, known: &[&str]) -> String {
    match isthmus_config::nearest(name, known.iter().copied()) {
        Some(near) => format!("the nearest known name is {near}"),
        None if known.is_empty() => "there is none yet".to_owned(),
        None => format!("known are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests;
