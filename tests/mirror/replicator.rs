//! A replicator between two addresses, from a file of its own.

use crate::support::broker::isthmus;
use crate::support::http;
use crate::support::process::{Finished, Program};
use rustix::process::Signal;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A replicator is ready, and stops, long before this.
const LIMIT: Duration = Duration::from_secs(60);

/// A file, and what a start from it may add.
pub(crate) struct Daemon {
    file: PathBuf,
    fault: Option<String>,
}

pub(crate) struct Running {
    program: Program,
    /// Where the file asks for it.
    control: Option<SocketAddr>,
}

impl Daemon {
    /// One flow, `a-to-b`, of these topics.
    pub(crate) fn between(folder: &Path, from: SocketAddr, to: SocketAddr, flow: &str) -> Self {
        let text = format!(
            "[daemon]\nname = \"test\"\n\n[clusters.a]\nbootstrap = \"{from}\"\n\n\
             [clusters.b]\nbootstrap = \"{to}\"\n\n[[flows]]\nsource = \"a\"\ntarget = \"b\"\n{flow}\n"
        );
        Self::of(folder, &text)
    }

    /// With this file.
    pub(crate) fn of(folder: &Path, text: &str) -> Self {
        let file = folder.join("replicator.toml");
        std::fs::write(&file, text).unwrap();
        Self { file, fault: None }
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
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
        let ready = ready.unwrap_or_default();
        let control = ready.split(' ').find_map(|it| it.strip_prefix("control="));
        Running {
            program,
            control: control.and_then(|it| it.parse().ok()),
        }
    }
}

impl Running {
    /// SIGTERM, and then its end.
    pub(crate) fn stop(self) -> Finished {
        self.program.signal(Signal::TERM);
        self.program.wait(LIMIT)
    }

    /// SIGKILL, and then its end.
    pub(crate) fn kill(self) -> Finished {
        self.program.kill()
    }

    /// Its end, by itself.
    pub(crate) fn wait(self) -> Finished {
        self.program.wait(LIMIT)
    }

    pub(crate) fn control(&self) -> SocketAddr {
        self.control.expect("the file asks for it")
    }

    /// What it shows of a flow.
    pub(crate) fn flow(&self, name: &str) -> Value {
        let path = format!("/status?flow={name}");
        let answer = http::request(self.control(), "GET", &path);
        assert_eq!(answer.status, 200, "{answer:?}");
        let document: Value = serde_json::from_str(&answer.body).unwrap();
        document["flows"][0].clone()
    }

    /// Until the snapshot, renewed each second, says so.
    pub(crate) fn wait_for(
        &self,
        limit: Duration,
        name: &str,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + limit;
        loop {
            let flow = self.flow(name);
            if is_so(&flow) {
                return flow;
            }
            assert!(
                Instant::now() < deadline,
                "{name} was never {what}: {flow:#}"
            );
        }
    }
}
