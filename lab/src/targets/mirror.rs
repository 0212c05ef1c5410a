//! A mirror from its file: the replicator, or MirrorMaker 2.
//!
//! Must not know: whether anything is mirrored yet. MirrorMaker 2 never says so, so it is looked
//! for at its target, for both alike.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::Pid;

use super::{Software, StartError, probe};
use crate::process::Process;

/// From the start to the ready line, where there is one.
const START_MAX: Duration = Duration::from_secs(60);

/// One process with the flows of a site.
#[derive(Debug)]
pub struct Mirror {
    name: String,
    site: String,
    software: Software,
    file: PathBuf,
    folder: PathBuf,
    running: Option<Process>,
}

impl Mirror {
    /// The folder is for its logs, and must exist.
    pub fn new(software: Software, site: &str, file: PathBuf, folder: PathBuf) -> Self {
        Self {
            name: format!("mirror-{site}"),
            site: site.to_owned(),
            software,
            file,
            folder,
            running: None,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn site(&self) -> &str {
        &self.site
    }

    pub async fn start(&mut self) -> Result<Pid, StartError> {
        let command = self.software.mirror(&self.file, &self.folder);
        let command = command.map_err(|cause| StartError::Prepare {
            name: self.name.clone(),
            cause,
        })?;
        let process = Process::spawn(&self.name, command, &self.folder)?;
        let process = self.running.insert(process);
        if let Some(words) = self.software.ready_mirror() {
            probe::line(process, words, START_MAX).await?;
        }
        Ok(process.pid())
    }

    /// Gives a source up from this mirror's file; the mirror may run or not.
    pub fn failover(&self, cluster: &str) -> Option<Command> {
        self.software.failover(&self.file, cluster)
    }

    /// The end of its output, if it has ended without being asked to.
    pub fn fallen(&mut self) -> Option<String> {
        super::fallen(self.running.as_mut())
    }

    pub fn last_lines(&self) -> String {
        super::last_lines(self.running.as_ref())
    }
}
