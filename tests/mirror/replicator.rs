//! A replicator between two addresses, from a file of its own.

use crate::support::broker::isthmus;
use crate::support::process::{Finished, Program};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A replicator is ready, and stops, long before this.
const LIMIT: Duration = Duration::from_secs(60);

/// A file, and what a start from it may add.
pub(crate) struct Daemon {
    file: PathBuf,
    fault: Option<String>,
}

pub(crate) struct Running(Program);

impl Daemon {
    /// One flow, `a-to-b`, of these topics.
    pub(crate) fn between(folder: &Path, from: SocketAddr, to: SocketAddr, flow: &str) -> Self {
        let file = folder.join("replicator.toml");
        let text = format!(
            "[daemon]\nname = \"test\"\n\n[clusters.a]\nbootstrap = \"{from}\"\n\n\
             [clusters.b]\nbootstrap = \"{to}\"\n\n[[flows]]\nsource = \"a\"\ntarget = \"b\"\n{flow}\n"
        );
        std::fs::write(&file, text).unwrap();
        Self { file, fault: None }
    }

    /// `<point>:<nth>`.
    pub(crate) fn fault(mut self, plan: Option<String>) -> Self {
        self.fault = plan;
        self
    }

    pub(crate) fn start(&self) -> Running {
        let mut command = isthmus();
        command.args(["replicator", "-c"]).arg(&self.file);
        if let Some(plan) = &self.fault {
            command.env("ISTHMUS_FAULT", plan);
        }
        let mut program = Program::start(&mut command);
        let ready = program.line_where(LIMIT, |line| line.starts_with("ready "));
        // With a fault it may be dead already.
        assert!(
            ready.is_some() || self.fault.is_some(),
            "the replicator did not start"
        );
        Running(program)
    }
}

impl Running {
    /// SIGTERM, and then its end.
    pub(crate) fn stop(self) -> Finished {
        self.0.signal(Signal::TERM);
        self.0.wait(LIMIT)
    }

    /// Its end, by itself.
    pub(crate) fn wait(self) -> Finished {
        self.0.wait(LIMIT)
    }
}
