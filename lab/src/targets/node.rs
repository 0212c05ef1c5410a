//! A broker or controller from its file: what `isthmus plan --render` wrote is what is started.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Description, Software, StartError, Started, StopError, Target, kill, probe, stop};
use crate::process::{Process, ToolError};

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

    /// The end of its output, if it has ended without being asked to.
    pub fn fallen(&mut self) -> Option<String> {
        super::fallen(self.running.as_mut())
    }

    async fn start_now(&mut self) -> Result<Started, StartError> {
        self.format().await?;
        let NodePlace { file, folder, .. } = &self.place;
        let command = self.software.node(file, folder);
        let command = command.map_err(|cause| self.cannot_prepare(cause))?;
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
        let NodePlace {
            name,
            file,
            folder,
            cluster_id,
            ..
        } = &self.place;
        let command = self.software.format(file, cluster_id, folder);
        let command = command.map_err(|cause| self.cannot_prepare(cause))?;
        let process = Process::spawn(&format!("{name}-format"), command, folder);
        let mut process = process.map_err(ToolError::from)?;
        process.finish(FORMAT_MAX).await?;
        self.formatted = true;
        Ok(())
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
