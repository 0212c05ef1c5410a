//! A gateway in front of brokers, on an address of this machine that nothing else listens at.

use super::address::own_ip;
use super::broker::isthmus;
use super::http;
use super::process::{Finished, Program};
use rustix::process::Signal;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A gateway is ready long before this, and stops long before this.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) const BOOTSTRAP_PORT: u16 = 19_092;
pub(crate) const FIRST_PORT: u16 = 19_100;
const OBSERVE_PORT: u16 = 18_640;

/// The file of one gateway.
pub(crate) struct GatewayFile {
    pub(crate) address: IpAddr,
    path: PathBuf,
}

/// A gateway that answers.
pub(crate) struct Gateway {
    program: Program,
    pub(crate) bootstrap: String,
    pub(crate) observe: SocketAddr,
}

impl GatewayFile {
    /// In that folder, for these brokers; `more` are further lines of `[gateway]`.
    pub(crate) fn new(dir: &Path, brokers: &[(i32, SocketAddr)], more: &str) -> Self {
        let address = own_ip();
        let rows = brokers
            .iter()
            .map(|(id, address)| format!("[[brokers]]\nid = {id}\naddress = \"{address}\"\n"));
        let text = format!(
            "[gateway]\nobserve = \"{address}:{OBSERVE_PORT}\"\n{more}\n{}\
             [[listeners]]\nname = \"vip\"\nbind = \"{address}\"\nhost = \"{address}\"\n\
             bootstrap_port = {BOOTSTRAP_PORT}\nfirst_port = {FIRST_PORT}\n",
            rows.collect::<String>()
        );
        let path = dir.join(format!("gateway-{address}.toml"));
        fs::write(&path, text).unwrap();
        Self { address, path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where clients reach a broker.
    pub(crate) fn broker(&self, id: u16) -> SocketAddr {
        SocketAddr::new(self.address, FIRST_PORT + id)
    }

    pub(crate) fn bootstrap(&self) -> SocketAddr {
        SocketAddr::new(self.address, BOOTSTRAP_PORT)
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = isthmus();
        command.args(["gateway", "-c"]).arg(&self.path);
        command
    }

    pub(crate) fn start(&self) -> Gateway {
        let mut program = Program::start(&mut self.command());
        let Some(line) = program.line_where(LIMIT, |line| line.starts_with("ready ")) else {
            panic!("the gateway did not start: {:?}", program.wait(LIMIT));
        };
        let words: Vec<&str> = line.split(' ').collect();
        let value = |at: usize, name: &str| {
            let value = words.get(at).and_then(|word| word.strip_prefix(name));
            value.unwrap_or_else(|| panic!("no {name} in {line}"))
        };
        assert_eq!(words[..2], ["ready", "gateway"], "{line}");
        assert!(value(5, "took=").ends_with('s'), "{line}");
        Gateway {
            bootstrap: value(3, "bootstrap=").to_owned(),
            observe: value(4, "observe=").parse().unwrap(),
            program,
        }
    }
}

impl Gateway {
    pub(crate) fn is_ready(&self) -> bool {
        http::request(self.observe, "GET", "/readyz").status == 200
    }

    /// The value of a metric with its labels; 0 where it has none yet.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = http::request(self.observe, "GET", "/metrics").body;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |value| value.trim().parse().unwrap())
    }

    /// SIGTERM, and then its end.
    pub(crate) fn stop(self) -> Finished {
        self.program.signal(Signal::TERM);
        self.program.wait(LIMIT)
    }

    /// SIGKILL, and then its end.
    pub(crate) fn kill(self) -> Finished {
        self.program.kill()
    }
}
