//! Three nodes as one cluster, each a process with a configuration and a directory of its own.

use super::address::quiet_addresses;
use super::broker::{Broker, isthmus};
use super::process::{Finished, Program, run};
use isthmus_wire::Uuid;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A command that does not start a broker is done long before this.
const LIMIT: Duration = Duration::from_secs(60);

/// Something that must come comes long before this.
const STORY_MAX: Duration = Duration::from_secs(60);

/// The files of three nodes.
pub(crate) struct Cluster {
    dir: TempDir,
    pub(crate) controllers: Vec<SocketAddr>,
    pub(crate) cluster_id: String,
}

/// What a node's file says beyond its addresses: lines for its listeners, and more behind them.
#[derive(Clone, Default)]
pub(crate) struct Rules {
    pub(crate) without_secret: bool,
    pub(crate) clients: String,
    pub(crate) brokers: String,
    pub(crate) controllers: String,
    pub(crate) rest: String,
    /// Where each node listens for clients, by its place; otherwise any port that is free at its start.
    pub(crate) client_addresses: Vec<SocketAddr>,
}

impl Cluster {
    pub(crate) fn formatted() -> Self {
        Self::formatted_with(|_| Rules::default())
    }

    /// With rules that are made once the directory is known, the same for every node.
    pub(crate) fn formatted_with(rules: impl FnOnce(&Path) -> Rules) -> Self {
        let cluster = Self {
            dir: tempfile::tempdir().unwrap(),
            controllers: quiet_addresses(3),
            cluster_id: "three".to_owned(),
        };
        fs::write(cluster.dir.path().join("secret"), SECRET).unwrap();
        let rules = rules(cluster.path());
        for id in 1..=3 {
            cluster.write_config(id, &rules);
        }
        let first = cluster
            .format(1, &["--initial-controllers", "new"])
            .succeeded();
        let line = first
            .stdout
            .lines()
            .find_map(|it| it.strip_prefix("initial-controllers "));
        let founders = line.expect("the founders are printed").to_owned();
        for id in 2..=3 {
            cluster
                .format(id, &["--initial-controllers", &founders])
                .succeeded();
        }
        cluster
    }

    /// Node 1 is the only controller and a broker; node 2 is a broker.
    pub(crate) fn with_one_controller() -> Self {
        Self::with_one_controller_of(2)
    }

    /// The same with more brokers, up to that node.
    pub(crate) fn with_one_controller_of(nodes: usize) -> Self {
        let cluster = Self {
            dir: tempfile::tempdir().unwrap(),
            controllers: quiet_addresses(1),
            cluster_id: "one-controller".to_owned(),
        };
        fs::write(cluster.dir.path().join("secret"), SECRET).unwrap();
        for id in 1..=nodes {
            cluster.write_config(id, &Rules::default());
            cluster.format(id, &[]).succeeded();
        }
        cluster
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    fn config(&self, id: usize) -> PathBuf {
        self.dir.path().join(format!("node-{id}.toml"))
    }

    pub(crate) fn data(&self, id: usize) -> PathBuf {
        self.dir.path().join(format!("data-{id}"))
    }

    pub(crate) fn write_config(&self, id: usize, rules: &Rules) {
        let controllers: Vec<String> = (1..)
            .zip(&self.controllers)
            .map(|(id, address)| format!("\"{id}@{address}\""))
            .collect();
        let secret = match rules.without_secret {
            true => String::new(),
            false => format!(
                "secret_file = \"{}\"\n",
                self.path().join("secret").display()
            ),
        };
        // Nodes beyond the controllers are brokers only.
        let own_controller = self.controllers.get(id - 1);
        let roles = own_controller.map_or("roles = [\"broker\"]\n", |_| "");
        let controller_listener = own_controller.map_or_else(String::new, |bind| {
            format!(
                "[[listeners]]\nname = \"controllers\"\nkind = \"controller\"\nbind = \"{bind}\"\n{}",
                rules.controllers
            )
        });
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let clients = rules.client_addresses.get(id - 1).unwrap_or(&any);
        let text = format!(
            "[node]\nid = {id}\n{roles}data = \"{}\"\nobserve = \"127.0.0.1:0\"\n\
             [cluster]\ncontrollers = [{}]\n{secret}\
             [[listeners]]\nname = \"clients\"\nbind = \"{clients}\"\n{}\
             [[listeners]]\nname = \"brokers\"\nkind = \"broker\"\nbind = \"127.0.0.1:0\"\n{}\
             {controller_listener}{}",
            self.data(id).display(),
            controllers.join(", "),
            rules.clients,
            rules.brokers,
            rules.rest,
        );
        fs::write(self.config(id), text).unwrap();
    }

    pub(crate) fn command(&self, subcommand: &str, id: usize) -> Command {
        let mut command = isthmus();
        command.args([subcommand, "-c"]).arg(self.config(id));
        command
    }

    pub(crate) fn format(&self, id: usize, more: &[&str]) -> Finished {
        let mut command = self.command("format", id);
        command.args(["--cluster-id", &self.cluster_id]).args(more);
        run(&mut command, LIMIT)
    }

    /// The id that formatting gave the directory.
    pub(crate) fn directory_id(&self, id: usize) -> Uuid {
        let meta = fs::read_to_string(self.data(id).join("meta.properties")).unwrap();
        let line = meta
            .lines()
            .find_map(|line| line.strip_prefix("directory.id="));
        line.unwrap().parse().unwrap()
    }

    pub(crate) fn begin(&self, id: usize) -> Program {
        Program::start(&mut self.command("broker", id))
    }

    pub(crate) fn start(&self, id: usize) -> Broker {
        let started = Broker::of(self.begin(id));
        started.unwrap_or_else(|ended| panic!("node {id} did not start: {ended:?}"))
    }

    /// All of them at once: none is ready before a majority is there.
    pub(crate) fn start_all(&self) -> Vec<Broker> {
        let begun: Vec<Program> = (1..=3).map(|id| self.begin(id)).collect();
        let ready = begun
            .into_iter()
            .map(|program| Broker::of(program).unwrap());
        ready.collect()
    }
}

/// Asks until there is an answer that will do.
pub(crate) fn until<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + STORY_MAX;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}
