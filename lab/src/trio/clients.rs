//! The load of a cluster of three: clients as processes, for either library.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::{LOOK_EVERY, Trio, TrioError};
use crate::fabric::Namespace;
use crate::load::LoadError;
use crate::load::resume::written_bytes;
use crate::process::{Process, SpawnError, ToolError};
use crate::targets::{IsthmusProgram, KafkaJars, StartError, probe};

/// From a client's start to its ready line. Java compiles its source first, for which a machine that is
/// busy with compilers of its own has taken more than a minute.
const READY_MAX: Duration = Duration::from_secs(180);

/// What a client has for its end: the last answers.
const STOP_GRACE: Duration = Duration::from_secs(20);

/// For the reading of everything.
pub(crate) const AUDIT_MAX: Duration = Duration::from_secs(300);

/// A reader that has written nothing for so long has read what there is.
const QUIET: Duration = Duration::from_secs(2);

/// From the producer's end to the reader's, at most.
const LAST_RECORDS_MAX: Duration = Duration::from_secs(30);

/// Whose library a producer is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Library {
    Librdkafka,
    /// Kafka's own.
    Java,
}

impl Library {
    pub fn name(self) -> &'static str {
        match self {
            Self::Librdkafka => "librdkafka",
            Self::Java => "java",
        }
    }
}

/// Who must have a record before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Acks {
    /// All replicas in sync; the producer is idempotent.
    #[serde(rename = "all")]
    All,
    /// The leader. No library is idempotent then.
    #[serde(rename = "1")]
    One,
}

impl Acks {
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::One => "1",
        }
    }

    /// Over the settings of the load client.
    fn settings(self) -> &'static [&'static str] {
        match self {
            Self::All => &[],
            Self::One => &["acks=1", "enable.idempotence=false"],
        }
    }
}

/// A producer as its caller wants it.
#[derive(Clone, Debug)]
pub struct Producer<'a> {
    pub name: &'a str,
    pub topic: &'a str,
    pub library: Library,
    pub acks: Acks,
    pub records_per_second: u32,
    /// None to go on until it is stopped.
    pub seconds: Option<u32>,
    /// When it gives a record up; none for the load's own time. librdkafka only: Java's own checks want more
    /// than twice that.
    pub give_up_after: Option<Duration>,
}

/// How clients of a run are started.
#[derive(Clone, Copy, Debug)]
pub struct Clients<'a> {
    pub lab: &'a IsthmusProgram,
    /// For Java.
    pub jars: Option<&'a KafkaJars>,
    pub ledgers: &'a Path,
    /// What the run is called in every ledger and record.
    pub drill: &'a str,
    /// The network they are in; none for the lab's own.
    pub namespace: Option<&'a Namespace>,
}

/// A client that runs.
#[derive(Debug)]
pub struct Client {
    process: Process,
}

impl Clients<'_> {
    /// Returns when it is ready.
    pub async fn produce(&self, trio: &Trio, wanted: &Producer<'_>) -> Result<Client, TrioError> {
        let mut command = self.command(trio, "produce", wanted.name);
        command
            .args(["--topic", wanted.topic])
            .args(["--rate", &wanted.records_per_second.to_string()])
            .args(["--client", wanted.library.name()]);
        for setting in wanted.acks.settings() {
            command.args(["--set", setting]);
        }
        if let (Library::Librdkafka, Some(time)) = (wanted.library, wanted.give_up_after) {
            command.args(["--set", &format!("message.timeout.ms={}", time.as_millis())]);
        }
        if let Some(seconds) = wanted.seconds {
            command.args(["--seconds", &seconds.to_string()]);
        }
        if let (Library::Java, Some(jars)) = (wanted.library, self.jars) {
            command.arg("--libs").arg(jars.libs());
        }
        start(wanted.name, self.placed(command), trio.logs()).await
    }

    /// Reads all partitions as records come. Returns when it is ready.
    pub async fn consume(&self, trio: &Trio, name: &str, topic: &str) -> Result<Client, TrioError> {
        let mut command = self.command(trio, "consume", name);
        command.args(["--topic", topic]);
        start(name, self.placed(command), trio.logs()).await
    }

    /// The same as the one member of a group, which commits what it has read. Returns when it is ready.
    pub async fn consume_in_group(
        &self,
        trio: &Trio,
        name: &str,
        topic: &str,
    ) -> Result<Client, TrioError> {
        let mut command = self.command(trio, "consume", name);
        command.args(["--topic", topic, "--group", name]);
        start(name, self.placed(command), trio.logs()).await
    }

    /// Reads everything that is there in the end.
    pub async fn audit(&self, trio: &Trio, topic: &str) -> Result<(), TrioError> {
        let mut command = self.command(trio, "audit", "audit");
        command.args(["--phase", "final", "--topic", topic]);
        let audit = Process::spawn("audit", self.placed(command), trio.logs());
        let mut audit = audit.map_err(ToolError::from)?;
        Ok(audit.finish(AUDIT_MAX).await?)
    }

    /// In the clients' network.
    fn placed(&self, command: Command) -> Command {
        match self.namespace {
            Some(namespace) => namespace.command(&command),
            None => command,
        }
    }

    fn command(&self, trio: &Trio, what: &str, name: &str) -> Command {
        let mut command = self.lab.command();
        command
            .args(["lab", "load", what, "--name", name])
            .args(["--site", "here", "--cluster", "three"])
            .args(["--bootstrap", &trio.bootstrap()])
            .args(["--drill", self.drill, "--out"])
            .arg(self.ledgers);
        command
    }
}

/// Returns when the client that the command is says that it is ready.
pub(crate) async fn start(name: &str, command: Command, logs: &Path) -> Result<Client, TrioError> {
    let spawned = Process::spawn(name, command, logs);
    let mut process = spawned.map_err(|error: SpawnError| StartError::from(error))?;
    probe::line(&mut process, "ready load ", READY_MAX).await?;
    Ok(Client { process })
}

/// Waits until a reader has nothing new to write down.
pub(crate) async fn until_quiet(ledgers: &Path, reader: &str) -> Result<(), LoadError> {
    let until = Instant::now() + LAST_RECORDS_MAX;
    let (mut written, mut grew_at) = (0, Instant::now());
    while Instant::now() < until.min(grew_at + QUIET) {
        tokio::time::sleep(LOOK_EVERY).await;
        let bytes = written_bytes(ledgers, reader)?;
        if bytes != written {
            (written, grew_at) = (bytes, Instant::now());
        }
    }
    Ok(())
}

impl Client {
    /// One that has failed would make its numbers look like the target's.
    pub fn check(&mut self) -> Result<(), TrioError> {
        match self.process.ended() {
            Some(status) if !status.success() => Err(TrioError::Fallen {
                name: self.process.name().to_owned(),
                log: self.process.last_lines(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Waits for the end of its schedule and for the last answer.
    pub async fn finish(mut self, within: Duration) -> Result<(), TrioError> {
        Ok(self.process.finish(within).await?)
    }

    /// Ends it in order.
    pub async fn stop(mut self) -> Result<(), TrioError> {
        let name = self.process.name().to_owned();
        let ended = self.process.stop(STOP_GRACE).await;
        ended
            .map(drop)
            .map_err(|cause| ToolError::Wait { name, cause }.into())
    }
}
