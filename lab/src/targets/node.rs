//! A broker or controller from its file: what `isthmus plan --render` wrote is what is started.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use rustix::process::{Pid, Signal};

use super::software::Birth;
use super::{Description, Software, StartError, Started, StopError, Target, kill, probe, stop};
use crate::fabric::Namespace;
use crate::process::{Process, ToolError};

/// How the line begins in which a founder names all founders.
const FOUNDERS: &str = "initial-controllers ";

/// Before the id of the directory in what `format` prints.
const DIRECTORY: &str = "directory=";

/// From the start to the first answer; a second for Isthmus, a few for Java, the rest is for a
/// machine that is busy with something else.
const START_MAX: Duration = Duration::from_secs(180);

/// For the command that formats the data directory.
const FORMAT_MAX: Duration = Duration::from_secs(120);

/// From SIGTERM to the end.
const STOP_MAX: Duration = Duration::from_secs(60);

/// Where a node is, and what it is called.
#[derive(Clone, Debug)]
pub struct NodePlace {
    /// Names its process and its logs.
    pub name: String,
    pub file: PathBuf,
    /// For its logs; must exist.
    pub folder: PathBuf,
    /// The same for all nodes of a cluster.
    pub cluster_id: String,
    /// Where it answers.
    pub address: SocketAddr,
    pub around: Around,
}

/// What a node runs in.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// The network it is in; none for this process's own.
    pub namespace: Option<Namespace>,
    /// For Java, over what every node gets.
    pub jvm: Vec<&'static str>,
    /// Variables that it finds in its environment when it runs.
    pub environment: Vec<(&'static str, OsString)>,
}

/// One node. Its data stay where its file says.
#[derive(Debug)]
pub struct Node {
    software: Software,
    place: NodePlace,
    formatted: bool,
    running: Option<Process>,
}

impl Node {
    pub fn new(software: Software, place: NodePlace) -> Self {
        Self {
            software,
            place,
            formatted: false,
            running: None,
        }
    }

    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// Its configuration.
    pub(crate) fn file(&self) -> &Path {
        &self.place.file
    }

    /// From its next start on it runs this, on the data that are there.
    pub(crate) fn run_with(&mut self, software: Software) {
        self.software = software;
    }

    /// Its process, while one runs.
    pub fn pid(&self) -> Option<Pid> {
        self.running.as_ref().map(Process::pid)
    }

    /// Stops it where it is (SIGSTOP): it answers nothing, and its peers cannot tell why.
    pub fn freeze(&self) -> Result<(), StopError> {
        self.signal(Signal::STOP)
    }

    /// Lets a frozen node go on, not knowing that time has passed.
    pub fn thaw(&self) -> Result<(), StopError> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), StopError> {
        let Some(process) = &self.running else {
            return Ok(());
        };
        let sent = process.signal(signal);
        sent.map_err(|cause| StopError {
            name: self.place.name.clone(),
            cause,
        })
    }

    /// Formats it as one of those that found a quorum together: the first with `new`, the others
    /// with the list that the first one gave back. None where the file names the founders.
    pub(crate) async fn found(&mut self, founders: &str) -> Result<Option<String>, StartError> {
        let said = self.format_as(Birth::Founder(founders)).await?;
        let mut lines = said.lines();
        Ok(lines.find_map(|line| Some(line.strip_prefix(FOUNDERS)?.to_owned())))
    }

    /// Formats its empty directory as that of a controller which is to be added to a quorum that works. Its
    /// directory's id, where the program tells one.
    pub(crate) async fn found_late(&mut self) -> Result<Option<String>, StartError> {
        let said = self.format_as(Birth::Latecomer).await?;
        let id = said
            .split_whitespace()
            .find_map(|it| it.strip_prefix(DIRECTORY));
        Ok(id.map(str::to_owned))
    }

    /// The end of its output, if it has ended without being asked to.
    pub fn fallen(&mut self) -> Option<String> {
        super::fallen(self.running.as_mut())
    }

    async fn start_now(&mut self) -> Result<Started, StartError> {
        self.format().await?;
        let NodePlace {
            file,
            folder,
            around,
            ..
        } = &self.place;
        let command = self.software.node(file, folder, &around.jvm);
        let mut command = command.map_err(|cause| self.cannot_prepare(cause))?;
        command.envs(around.environment.iter().map(|(key, value)| (key, value)));
        if let Some(namespace) = &around.namespace {
            command = namespace.command(&command);
        }
        let began = Instant::now();
        let process = Process::spawn(&self.place.name, command, &self.place.folder)?;
        let process = self.running.insert(process);
        let address = self.place.address;
        let first_answer = probe::first_answer(process, address, began, START_MAX).await?;
        if let Some(words) = self.software.ready_node() {
            probe::line(process, words, START_MAX).await?;
        }
        Ok(Started {
            address,
            pid: process.pid(),
            first_answer,
        })
    }

    /// Once, before the first start.
    async fn format(&mut self) -> Result<(), StartError> {
        if self.formatted {
            return Ok(());
        }
        self.format_as(Birth::Alone).await.map(drop)
    }

    /// What the command printed.
    async fn format_as(&mut self, birth: Birth<'_>) -> Result<String, StartError> {
        let NodePlace {
            name,
            file,
            folder,
            cluster_id,
            ..
        } = &self.place;
        let command = self.software.format(file, cluster_id, birth, folder);
        let command = command.map_err(|cause| self.cannot_prepare(cause))?;
        let process = Process::spawn(&format!("{name}-format"), command, folder);
        let mut process = process.map_err(ToolError::from)?;
        process.finish(FORMAT_MAX).await?;
        let said = process.stdout();
        let said = said.map_err(|cause| self.cannot_prepare(cause))?;
        self.formatted = true;
        Ok(said)
    }

    fn cannot_prepare(&self, cause: std::io::Error) -> StartError {
        StartError::Prepare {
            name: self.place.name.clone(),
            cause,
        }
    }
}

impl Target for Node {
    fn describe(&self) -> Description {
        self.software.describe()
    }

    fn start(&mut self) -> BoxFuture<'_, Result<Started, StartError>> {
        self.start_now().boxed()
    }

    fn stop(&mut self) -> BoxFuture<'_, Result<(), StopError>> {
        stop(&mut self.running, STOP_MAX).boxed()
    }

    fn kill(&mut self) -> BoxFuture<'_, Result<(), StopError>> {
        kill(&mut self.running).boxed()
    }

    fn last_lines(&self) -> String {
        super::last_lines(self.running.as_ref())
    }
}
