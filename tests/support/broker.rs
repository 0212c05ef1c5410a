//! The isthmus binary, and a broker started from it.

use super::process::{Finished, Program};
use super::small_disk::Entrance;
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A broker is ready long before this, and stops long before this.
const LIMIT: Duration = Duration::from_secs(60);

/// The binary under test, free of what this process's environment would tell it.
pub(crate) fn isthmus() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isthmus"));
    let ours = |name: &str| name.starts_with("ISTHMUS_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| ours(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command.env_remove("RUST_BACKTRACE");
    command
}

/// What the ready line says.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub(crate) id: i32,
    pub(crate) cluster: String,
    /// The first listener.
    pub(crate) bootstrap: SocketAddr,
    /// All of them, in the order of the settings.
    pub(crate) listeners: Vec<SocketAddr>,
    pub(crate) observe: SocketAddr,
    pub(crate) took: String,
}

/// A broker for development on a directory, about to be started on free ports.
pub(crate) struct DevBroker {
    data: PathBuf,
    set: Vec<String>,
    fault: Option<String>,
    within: Option<Entrance>,
}

/// A broker that answers.
pub(crate) struct Broker {
    program: Program,
    pub(crate) ready: Ready,
}

impl DevBroker {
    pub(crate) fn on(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            set: Vec::new(),
            fault: None,
            within: None,
        }
    }

    pub(crate) fn set(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.set.push(format!("{key}={value}"));
        self
    }

    /// A plan for the fault points: `point:nth:action`.
    pub(crate) fn fault(mut self, plan: Option<String>) -> Self {
        self.fault = plan;
        self
    }

    /// Where that disk is there.
    pub(crate) fn within(mut self, disk: Entrance) -> Self {
        self.within = Some(disk);
        self
    }

    pub(crate) fn start(&self) -> Broker {
        self.try_start()
            .unwrap_or_else(|ended| panic!("the broker did not start: {ended:?}"))
    }

    /// Waits for the ready line; an error is a broker that ended before it.
    pub(crate) fn try_start(&self) -> Result<Broker, Box<Finished>> {
        let mut command = isthmus();
        command.args(["broker", "--dev", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(&self.data);
        for setting in &self.set {
            command.args(["--set", setting]);
        }
        if let Some(plan) = &self.fault {
            command.env("ISTHMUS_FAULT", plan);
        }
        if let Some(disk) = self.within {
            command = disk.of(&command);
        }
        Broker::of(Program::start(&mut command)).map_err(Box::new)
    }
}

impl Broker {
    /// Waits for the ready line of a program just started.
    pub(crate) fn of(mut program: Program) -> Result<Self, Finished> {
        match program.line_where(LIMIT, |line| line.starts_with("ready ")) {
            Some(line) => {
                let ready = Ready::parse(&line);
                Ok(Self { program, ready })
            }
            None => Err(program.wait(LIMIT)),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.ready.bootstrap
    }

    pub(crate) fn bootstrap(&self) -> String {
        self.ready.bootstrap.to_string()
    }

    pub(crate) fn id(&self) -> u32 {
        self.program.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }

    /// SIGTERM, and then its end.
    pub(crate) fn stop(self) -> Finished {
        self.signal(Signal::TERM);
        self.program.wait(LIMIT)
    }

    /// SIGKILL, without waiting.
    pub(crate) fn kill_now(&self) {
        self.program.kill_now();
    }

    /// SIGKILL, and then its end.
    pub(crate) fn kill(self) -> Finished {
        self.program.kill()
    }

    /// The end that comes by itself.
    pub(crate) fn wait(self, limit: Duration) -> Finished {
        self.program.wait(limit)
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Ready {
    /// `ready broker id=1 cluster=… bootstrap=127.0.0.1:9092 observe=127.0.0.1:8640 took=0.12s`
    fn parse(line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        let names: Vec<&str> = words
            .iter()
            .map(|word| word.split_once('=').map_or(*word, |(name, _)| name))
            .collect();
        assert_eq!(
            names,
            [
                "ready",
                "broker",
                "id",
                "cluster",
                "bootstrap",
                "observe",
                "took"
            ],
            "{line}"
        );
        let value = |at: usize| words[at].split_once('=').unwrap().1;
        let listeners = value(4).split(',').map(|text| text.parse().unwrap());
        let listeners: Vec<SocketAddr> = listeners.collect();
        Self {
            id: value(2).parse().unwrap(),
            cluster: value(3).to_owned(),
            bootstrap: listeners[0],
            listeners,
            observe: value(5).parse().unwrap(),
            took: value(6).to_owned(),
        }
    }
}
