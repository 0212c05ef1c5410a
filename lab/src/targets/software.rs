//! The programs of a target, and how each is called with a file that `isthmus plan --render` wrote.
//!
//! Must not know: when a program counts as started, and what is done with it then.

use std::io;
use std::path::Path;
use std::process::Command;

use isthmus_config::model::render;

use super::{Description, IsthmusProgram, KafkaJars};

/// As in the release's start script of brokers.
pub(crate) const NODE_JVM: [&str; 4] = [
    "-Xmx1G",
    "-server",
    "-XX:+UseG1GC",
    "-Djava.awt.headless=true",
];

/// As in the release's `connect-mirror-maker.sh`.
const MIRROR_JVM: [&str; 4] = ["-Xms256M", "-Xmx2G", "-server", "-Djava.awt.headless=true"];

/// Tools run once and should not take the machine for themselves.
pub(crate) const TOOL_JVM: [&str; 3] = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// All that a deployment is started from.
#[derive(Clone, Debug)]
pub enum Software {
    Isthmus(IsthmusProgram),
    /// With MirrorMaker 2.
    ApacheKafka(KafkaJars),
}

/// How a node comes to its quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Birth<'a> {
    /// As its file says.
    Alone,
    /// With the others of this list, or with a new one (`new`).
    Founder(&'a str),
    /// To one that works already.
    Latecomer,
}

impl Software {
    /// What it is called in folders and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Isthmus(_) => "isthmus",
            Self::ApacheKafka(_) => "apache-kafka",
        }
    }

    /// The form of files that it reads.
    pub fn files(&self) -> render::Target {
        match self {
            Self::Isthmus(_) => render::Target::Isthmus,
            Self::ApacheKafka(_) => render::Target::ApacheKafka,
        }
    }

    pub fn describe(&self) -> Description {
        let rendered = "files of isthmus plan --render".to_owned();
        match self {
            Self::Isthmus(program) => Description {
                program: "Isthmus".to_owned(),
                version: program.version().to_owned(),
                settings: vec![rendered],
            },
            Self::ApacheKafka(jars) => Description {
                program: "Apache Kafka".to_owned(),
                version: jars.version().to_owned(),
                settings: vec![
                    rendered,
                    "MirrorMaker 2, of the same release".to_owned(),
                    format!("nodes: {}", NODE_JVM.join(" ")),
                    format!("mirrors: {}", MIRROR_JVM.join(" ")),
                    jars.java().to_owned(),
                ],
            },
        }
    }

    /// Gives a node's data directory its identity. Apache Kafka's file names the voters itself
    /// (`controller.quorum.voters`), and so it heeds no birth.
    pub(super) fn format(
        &self,
        file: &Path,
        cluster_id: &str,
        birth: Birth<'_>,
        folder: &Path,
    ) -> io::Result<Command> {
        match self {
            Self::Isthmus(program) => {
                let mut command = program.command();
                command
                    .args(["format", "--cluster-id", cluster_id, "-c"])
                    .arg(file);
                match birth {
                    Birth::Alone => {}
                    Birth::Founder(list) => drop(command.args(["--initial-controllers", list])),
                    Birth::Latecomer => drop(command.arg("--no-initial-controllers")),
                }
                Ok(command)
            }
            Self::ApacheKafka(jars) => {
                let mut command = jars.program("kafka.tools.StorageTool", TOOL_JVM, folder)?;
                command.args(["format", "-t", cluster_id, "-c"]).arg(file);
                Ok(command)
            }
        }
    }

    /// A broker or controller. Of two values of one option Java takes the last.
    pub(super) fn node(&self, file: &Path, folder: &Path, jvm: &[&str]) -> io::Result<Command> {
        match self {
            Self::Isthmus(program) => {
                let mut command = program.command();
                command.args(["broker", "-c"]).arg(file);
                Ok(command)
            }
            Self::ApacheKafka(jars) => {
                let jvm = NODE_JVM.iter().chain(jvm);
                let mut command = jars.program("kafka.Kafka", jvm, folder)?;
                command.arg(file);
                Ok(command)
            }
        }
    }

    /// A replicator or MirrorMaker 2.
    pub(super) fn mirror(&self, file: &Path, folder: &Path) -> io::Result<Command> {
        match self {
            Self::Isthmus(program) => {
                let mut command = program.command();
                command.args(["replicator", "-c"]).arg(file);
                Ok(command)
            }
            Self::ApacheKafka(jars) => {
                let class = "org.apache.kafka.connect.mirror.MirrorMaker";
                let mut command = jars.program(class, MIRROR_JVM, folder)?;
                command.arg(file);
                Ok(command)
            }
        }
    }

    /// Gives a source up, whatever stands in the way: it is dead. MirrorMaker 2 has nothing of the
    /// kind; who uses it switches the clients, and that is all.
    pub(super) fn failover(&self, file: &Path, cluster: &str) -> Option<Command> {
        match self {
            Self::Isthmus(program) => {
                let mut command = program.command();
                command
                    .args([
                        "failover",
                        "--cluster",
                        cluster,
                        "--forced",
                        "--yes",
                        "--json",
                    ])
                    .args(["--by", "isthmus lab", "-c"])
                    .arg(file);
                Some(command)
            }
            Self::ApacheKafka(_) => None,
        }
    }

    /// The line on stdout that says that a node is ready, where it says so.
    pub(super) fn ready_node(&self) -> Option<&'static str> {
        match self {
            Self::Isthmus(_) => Some("ready broker "),
            Self::ApacheKafka(_) => None,
        }
    }

    pub(super) fn ready_mirror(&self) -> Option<&'static str> {
        match self {
            Self::Isthmus(_) => Some("ready replicator "),
            Self::ApacheKafka(_) => None,
        }
    }
}
