//! Isthmus as a target: the binary, run as `isthmus broker --dev`.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Description, StartError, Started, StopError, Target, kill, probe, shield, stop};
use crate::ports::free_address;
use crate::process::{Process, program};

const NAME: &str = "isthmus";

/// From the start to the ready line. It starts in a fraction of a second; the rest is for a
/// machine that is busy with something else.
const START_MAX: Duration = Duration::from_secs(30);

/// From SIGTERM to the end, with everything synced to a slow disk.
const STOP_MAX: Duration = Duration::from_secs(60);

/// The binary, found and asked for its version.
#[derive(Clone, Debug)]
pub struct IsthmusProgram {
    path: PathBuf,
    version: String,
}

/// The binary is no Isthmus.
#[derive(Debug, thiserror::Error)]
#[error("{}: is not the isthmus binary ({cause}); give its path", path.display())]
pub struct NoIsthmus {
    path: PathBuf,
    cause: io::Error,
}

impl IsthmusProgram {
    pub fn find(path: &Path) -> Result<Self, NoIsthmus> {
        let failed = |cause| NoIsthmus {
            path: path.to_owned(),
            cause,
        };
        // The program is started in folders of its own.
        let path_found = path.canonicalize().map_err(failed)?;
        let mut command = program(&path_found);
        shield(&mut command);
        let output = command.arg("--version").output().map_err(failed)?;
        let words = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let version = words
            .strip_prefix("isthmus ")
            .ok_or_else(|| failed(io::Error::other(format!("--version printed {words:?}"))))?;
        Ok(Self {
            version: version.to_owned(),
            path: path_found,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    /// It with nothing to read, and free of what the lab's environment would tell it.
    pub fn command(&self) -> Command {
        let mut command = program(&self.path);
        shield(&mut command);
        command
    }
}

/// One broker, with its data and logs in a folder.
#[derive(Debug)]
pub struct Isthmus {
    program: IsthmusProgram,
    folder: PathBuf,
    /// The same in every start, as clients expect.
    address: Option<SocketAddr>,
    running: Option<Process>,
}

impl Isthmus {
    /// The folder must exist; the target uses all of it.
    pub fn new(program: IsthmusProgram, folder: PathBuf) -> Self {
        Self {
            program,
            folder,
            address: None,
            running: None,
        }
    }

    fn command(&self, address: SocketAddr) -> Command {
        let mut command = self.program.command();
        command
            .args(["broker", "--dev", "--listen"])
            .arg(address.to_string())
            .arg("--data")
            .arg(self.folder.join("data"))
            .current_dir(&self.folder);
        command
    }

    async fn start_now(&mut self) -> Result<Started, StartError> {
        let prepare = |cause| StartError::Prepare {
            name: NAME.to_owned(),
            cause,
        };
        let address = match self.address {
            Some(address) => address,
            None => free_address().map_err(prepare)?,
        };
        self.address = Some(address);
        let command = self.command(address);
        let began = Instant::now();
        let process = Process::spawn(NAME, command, &self.folder)?;
        let process = self.running.insert(process);
        let first_answer = probe::first_answer(process, address, began, START_MAX).await?;
        let line = probe::line(process, "ready broker ", START_MAX).await?;
        tracing::debug!(event = "target_ready", %line);
        Ok(Started {
            address,
            pid: process.pid(),
            first_answer,
        })
    }
}

impl Target for Isthmus {
    fn describe(&self) -> Description {
        Description {
            program: "Isthmus".to_owned(),
            version: self.program.version.clone(),
            settings: vec!["broker --dev".to_owned()],
        }
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
