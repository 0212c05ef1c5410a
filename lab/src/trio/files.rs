//! The files of three nodes, for either software.
//!
//! Both have the same times for fencing a silent broker, so that what is compared is what happens and
//! not how long each has been told to wait.

use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{NODES, TrioError};
use crate::ports::free_address;
use crate::targets::software::NODE_JVM;
use crate::targets::{KafkaSettings, Software};

/// How long a broker may be silent: the default of Isthmus (`broker.session.timeout.ms`), and what
/// Apache Kafka is tuned to, whose own default is 9 s.
pub const SESSION: Duration = Duration::from_millis(2_000);

/// Between two heartbeats of a broker, likewise; Apache Kafka's own default is 2 s.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Where a node listens that has an address to itself: for clients, for brokers, and for the quorum.
pub(crate) const CLIENTS: u16 = 9_092;
pub(crate) const BROKERS: u16 = 9_094;
pub(crate) const CONTROLLERS: u16 = 9_093;

/// Shared by nodes of the lab, and of no worth anywhere else.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Beyond what makes it one node of three.
const KAFKA: [(&str, &str); 4] = [
    ("process.roles", "broker,controller"),
    ("offsets.topic.replication.factor", "3"),
    ("transaction.state.log.replication.factor", "3"),
    ("auto.create.topics.enable", "false"),
];

/// What was written.
pub(super) struct Files {
    pub(super) nodes: Vec<NodeFile>,
    pub(super) logs: PathBuf,
    /// For a reader who wants to do the same.
    pub(super) settings: Vec<String>,
}

/// One node's.
pub(super) struct NodeFile {
    pub(super) id: i32,
    pub(super) path: PathBuf,
    pub(super) data: PathBuf,
    /// For clients.
    pub(super) address: SocketAddr,
}

/// Where one node listens.
#[derive(Clone, Copy, Debug)]
struct Ports {
    clients: SocketAddr,
    brokers: SocketAddr,
    controllers: SocketAddr,
}

impl Files {
    /// A node without an address of its own gets free ports on loopback.
    pub(super) fn write(
        software: &Software,
        folder: &Path,
        addresses: [Option<Ipv4Addr>; NODES],
    ) -> Result<Self, TrioError> {
        let ports: Vec<Ports> = addresses
            .into_iter()
            .map(|address| address.map_or_else(choose, |it| Ok(Ports::of(it))))
            .collect::<Result<_, _>>()
            .map_err(TrioError::Ports)?;
        let logs = folder.join("logs");
        let made = fs::create_dir_all(&logs);
        made.map_err(|cause| failed(&logs, cause))?;
        let secret = folder.join("secret");
        write(&secret, SECRET)?;
        let cores = std::thread::available_parallelism().map_or(1, |it| it.get());
        let tuned = KafkaSettings::tuned(cores);
        let mut nodes = Vec::new();
        for (id, at) in (1..).zip(&ports) {
            let data = data_folder(folder, id);
            let (ending, text) = match software {
                Software::Isthmus(_) => ("toml", isthmus(id, &data, &secret, &ports)),
                Software::ApacheKafka(_) => ("properties", kafka(id, &data, &ports, &tuned)),
            };
            let path = folder.join(format!("node-{id}.{ending}"));
            write(&path, &text)?;
            nodes.push(NodeFile {
                id,
                path,
                data,
                address: at.clients,
            });
        }
        let settings = match software {
            Software::Isthmus(_) => vec!["three nodes, each broker and controller".to_owned()],
            Software::ApacheKafka(jars) => kafka_settings(&tuned, jars.java()),
        };
        Ok(Self {
            nodes,
            logs,
            settings,
        })
    }
}

impl Ports {
    fn of(address: Ipv4Addr) -> Self {
        let at = |port: u16| SocketAddr::from((address, port));
        Self {
            clients: at(CLIENTS),
            brokers: at(BROKERS),
            controllers: at(CONTROLLERS),
        }
    }
}

/// Where a node's data are, below the folder of all files.
pub(crate) fn data_folder(folder: &Path, id: i32) -> PathBuf {
    folder.join(format!("data-{id}"))
}

fn choose() -> std::io::Result<Ports> {
    Ok(Ports {
        clients: free_address()?,
        brokers: free_address()?,
        controllers: free_address()?,
    })
}

fn write(path: &Path, text: &str) -> Result<(), TrioError> {
    fs::write(path, text).map_err(|cause| failed(path, cause))
}

fn failed(path: &Path, cause: std::io::Error) -> TrioError {
    TrioError::Write {
        path: path.to_owned(),
        cause,
    }
}

/// `id@address` of every controller.
fn voters(ports: &[Ports]) -> Vec<String> {
    let voters = (1..).zip(ports);
    let voters = voters.map(|(id, at): (i32, &Ports)| format!("{id}@{}", at.controllers));
    voters.collect()
}

fn isthmus(id: i32, data: &Path, secret: &Path, ports: &[Ports]) -> String {
    let at = &ports[place(id)];
    let voters: Vec<String> = voters(ports).iter().map(|it| format!("{it:?}")).collect();
    let mut text = format!(
        "[node]\nid = {id}\ndata = [{:?}]\n\n[cluster]\ncontrollers = [{}]\nsecret_file = {:?}\n",
        data.display().to_string(),
        voters.join(", "),
        secret.display().to_string()
    );
    for (name, kind, address) in [
        ("clients", "client", at.clients),
        ("brokers", "broker", at.brokers),
        ("controllers", "controller", at.controllers),
    ] {
        let listener = format!(
            "\n[[listeners]]\nname = \"{name}\"\nkind = \"{kind}\"\nbind = \"{address}\"\n"
        );
        text.push_str(&listener);
    }
    text
}

fn kafka(id: i32, data: &Path, ports: &[Ports], tuned: &KafkaSettings) -> String {
    let at = &ports[place(id)];
    let mut text = String::new();
    let mut set = |key: &str, value: &str| {
        writeln!(text, "{key}={value}").expect("a String takes all text");
    };
    let (clients, brokers, controllers) = (at.clients, at.brokers, at.controllers);
    set("node.id", &id.to_string());
    set("log.dirs", &data.display().to_string());
    set("controller.quorum.voters", &voters(ports).join(","));
    set("controller.listener.names", "CONTROLLER");
    set("inter.broker.listener.name", "BROKERS");
    let own = format!("CLIENTS://{clients},BROKERS://{brokers}");
    set("listeners", &format!("{own},CONTROLLER://{controllers}"));
    set("advertised.listeners", &own);
    let plain = "CLIENTS:PLAINTEXT,BROKERS:PLAINTEXT,CONTROLLER:PLAINTEXT";
    set("listener.security.protocol.map", plain);
    for (key, value) in KAFKA {
        set(key, value);
    }
    for (key, value) in times() {
        set(key, &value);
    }
    for (key, value) in tuned.properties() {
        set(key, value);
    }
    text
}

/// The times that Apache Kafka is given.
pub(crate) fn times() -> [(&'static str, String); 2] {
    let ms = |time: Duration| time.as_millis().to_string();
    [
        ("broker.session.timeout.ms", ms(SESSION)),
        ("broker.heartbeat.interval.ms", ms(HEARTBEAT)),
    ]
}

fn kafka_settings(tuned: &KafkaSettings, java: &str) -> Vec<String> {
    let fixed = KAFKA.iter().map(|(key, value)| format!("{key}={value}"));
    let times = times().map(|(key, value)| format!("{key}={value}"));
    let tuned = tuned.properties();
    let tuned = tuned.map(|(key, value)| format!("{key}={value}"));
    let jvm = NODE_JVM.iter().map(|&flag| flag.to_owned());
    let settings = fixed.chain(times).chain(tuned).chain(jvm);
    settings.chain([java.to_owned()]).collect()
}

/// Ids begin at 1.
fn place(id: i32) -> usize {
    usize::try_from(id - 1).expect("ids begin at 1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn ports() -> Vec<Ports> {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let ports = (0..3).map(|node| Ports {
            clients: at(20_000 + node),
            brokers: at(20_010 + node),
            controllers: at(20_020 + node),
        });
        ports.collect()
    }

    #[test]
    fn a_file_of_apache_kafka_names_all_voters_and_no_key_twice() {
        let text = kafka(2, Path::new("/data"), &ports(), &KafkaSettings::tuned(2));
        let voters = "controller.quorum.voters=\
            1@127.0.0.1:20020,2@127.0.0.1:20021,3@127.0.0.1:20022\n";
        assert!(text.contains(voters), "{text}");
        assert!(text.contains(
            "\nadvertised.listeners=CLIENTS://127.0.0.1:20001,BROKERS://127.0.0.1:20011\n"
        ));
        let keys: Vec<&str> = text
            .lines()
            .filter_map(|it| Some(it.split_once('=')?.0))
            .collect();
        let distinct: BTreeSet<&str> = keys.iter().copied().collect();
        assert_eq!(distinct.len(), keys.len(), "{text}");
    }

    #[test]
    fn a_file_of_isthmus_has_a_listener_of_each_kind() {
        let text = isthmus(3, Path::new("/d"), Path::new("/s"), &ports());
        for line in [
            "id = 3",
            "data = [\"/d\"]",
            "controllers = [\"1@127.0.0.1:20020\", \"2@127.0.0.1:20021\", \"3@127.0.0.1:20022\"]",
            "kind = \"broker\"",
            "bind = \"127.0.0.1:20022\"",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
        }
    }
}
