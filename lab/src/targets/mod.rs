//! Programs under test: brokers behind one trait, mirrors beside them.
//!
//! Owns: how each is started, when it counts as started, how it is ended. Must not know: what is
//! done with it then. `isthmus` and `apache_kafka` are equals here: the same drill on both proves
//! the drill first.

mod apache_kafka;
mod isthmus;
mod java;
mod mirror;
mod node;
pub(crate) mod probe;
pub(crate) mod software;

use std::io;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;

use futures::future::BoxFuture;
use rustix::process::Pid;
use serde::Serialize;

use crate::process::{Ending, Process, SpawnError, ToolError};
pub(crate) use apache_kafka::OTHER_CLUSTER_ID;
pub use apache_kafka::{ApacheKafka, KafkaSettings};
pub use isthmus::{Isthmus, IsthmusProgram, NoIsthmus};
pub use java::{KafkaJars, NoKafka};
pub use mirror::Mirror;
pub use node::{Around, Node, NodePlace};
pub use software::Software;

/// One broker, as a program. It may be started again after it was stopped or killed; its data
/// stay.
pub trait Target: Send {
    /// What it is, for reports.
    fn describe(&self) -> Description;

    /// Starts it, and returns once it answers requests.
    fn start(&mut self) -> BoxFuture<'_, Result<Started, StartError>>;

    /// Asks it to end, as an operator would; kills it if that takes too long.
    fn stop(&mut self) -> BoxFuture<'_, Result<(), StopError>>;

    /// Ends it without a warning (SIGKILL). This is the end of a process, never a loss of power.
    fn kill(&mut self) -> BoxFuture<'_, Result<(), StopError>>;

    /// The end of what it said, for an error message.
    fn last_lines(&self) -> String;
}

/// What a target is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    pub program: String,
    pub version: String,
    /// Flags and settings that a reader needs to do the same; without folders and ports.
    pub settings: Vec<String>,
}

/// A target that answers.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    pub address: SocketAddr,
    pub pid: Pid,
    /// From the start of the process to its first answer to ApiVersions.
    pub first_answer: Duration,
}

/// Why a target could not be started. Reads after "could not".
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error("prepare {name}: {cause}")]
    Prepare { name: String, cause: io::Error },
    #[error(transparent)]
    Format(#[from] ToolError),
    #[error("get an answer from {name}: it ended with {status}; its last lines:\n{log}")]
    Ended {
        name: String,
        status: ExitStatus,
        log: String,
    },
    #[error("get an answer from {name} within {within:?}; its last lines:\n{log}")]
    Silent {
        name: String,
        within: Duration,
        log: String,
    },
    #[error("wait for {name}: {cause}")]
    Wait { name: String, cause: io::Error },
}

/// Why a target could not be ended.
#[derive(Debug, thiserror::Error)]
#[error("end {name}: {cause}")]
pub struct StopError {
    name: String,
    cause: io::Error,
}

/// Ends what runs, if anything does, within `grace`.
async fn stop(running: &mut Option<Process>, grace: Duration) -> Result<(), StopError> {
    let Some(mut process) = running.take() else {
        return Ok(());
    };
    let ending = process.stop(grace).await.map_err(|cause| StopError {
        name: process.name().to_owned(),
        cause,
    })?;
    if ending == Ending::Killed {
        tracing::warn!(event = "target_killed", name = process.name(), grace = ?grace);
    }
    Ok(())
}

async fn kill(running: &mut Option<Process>) -> Result<(), StopError> {
    let Some(mut process) = running.take() else {
        return Ok(());
    };
    process.kill().await.map_err(|cause| StopError {
        name: process.name().to_owned(),
        cause,
    })
}

fn last_lines(running: Option<&Process>) -> String {
    running.map(Process::last_lines).unwrap_or_default()
}

/// The end of its output, if it has ended though nobody asked it to.
fn fallen(running: Option<&mut Process>) -> Option<String> {
    let process = running?;
    process.ended().map(|_| process.last_lines())
}

/// Variables that would change a program under test unseen.
const UNSEEN: [&str; 5] = [
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    "CLASSPATH",
    "KCAT_CONFIG",
];

/// Takes from a program what the lab's own environment would tell it, so that a report describes
/// all that was set.
pub(crate) fn shield(command: &mut std::process::Command) {
    for name in UNSEEN {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"ISTHMUS_") {
            command.env_remove(name);
        }
    }
}
