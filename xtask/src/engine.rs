//! The container engine: Docker's, one that answers already, or one of our own in a scratch folder,
//! which lives as long as the tests need it.
//!
//! Ours asks little of the machine: root and a kernel with bridges. It publishes ports by a process
//! each, not by firewall rules, so that it leaves none behind.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::Refused;
use crate::guard::{self, Guard};
use crate::workspace::output_of;

/// How long an engine may take to answer. On a busy machine of two cores it took 3 s.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How often it is asked.
const POLL: Duration = Duration::from_millis(200);

/// An engine that answers.
pub(crate) struct Engine {
    version: String,
    own: Option<Own>,
}

/// A daemon that this process started.
struct Own {
    daemon: Child,
    /// `unix://…`
    address: String,
    /// Whether the daemon's bridge was there before.
    had_bridge: bool,
}

/// The network that every engine makes, and leaves when it ends.
const BRIDGE: &str = "docker0";

/// Whether some engine answers, or one could be started here.
pub(crate) fn can_be_had() -> bool {
    ask(None).is_ok() || find_daemon()
}

impl Engine {
    /// The engine that `docker` reaches by its own settings.
    pub(crate) fn that_answers() -> Result<Self> {
        let version = ask(None).map_err(|error| {
            Refused(format!(
                "no container engine answers: {error:#}\n  start one, or write the image to a file with --output FILE"
            ))
        })?;
        Ok(Self { version, own: None })
    }

    /// That one; where none answers, one of our own, which [`Engine::finish`] ends.
    pub(crate) fn ensure(guard: &Guard) -> Result<Self> {
        match ask(None) {
            Ok(version) => Ok(Self { version, own: None }),
            Err(_) => Self::start(guard).context("could not start a container engine"),
        }
    }

    fn start(guard: &Guard) -> Result<Self> {
        let folder = guard.scratch();
        let log = folder.join("dockerd.log");
        let address = format!("unix://{}", folder.join("docker.sock").display());
        let had_bridge = Path::new("/sys/class/net").join(BRIDGE).exists();
        let mut daemon = dockerd(folder, &address);
        daemon
            .stdout(fs::File::create(&log)?)
            .stderr(fs::File::options().append(true).open(&log)?);
        let daemon = daemon.spawn().context("could not start dockerd")?;
        guard.watch_gently(daemon.id())?;
        let mut own = Own {
            daemon,
            address,
            had_bridge,
        };
        match own.wait_for_answer() {
            Ok(version) => Ok(Self {
                version,
                own: Some(own),
            }),
            Err(error) => {
                own.end(guard)?;
                let said = last_lines(&log);
                Err(error.context(format!("dockerd said last:\n{said}")))
            }
        }
    }

    pub(crate) fn name(&self) -> String {
        format!("Docker {}", self.version)
    }

    /// Reads an image from an archive, under the name that stands there.
    pub(crate) fn load(&self, archive: &Path) -> Result<()> {
        let mut docker = Command::new("docker");
        docker.envs(self.env()).args(["load", "--quiet", "--input"]);
        output_of(docker.arg(archive)).map(drop)
    }

    /// What programs need in their environment to reach it.
    pub(crate) fn env(&self) -> Option<(&'static str, OsString)> {
        let own = self.own.as_ref()?;
        Some(("DOCKER_HOST", OsString::from(&own.address)))
    }

    /// Ends the engine, if it is ours.
    pub(crate) fn finish(self, guard: &Guard) -> Result<()> {
        match self.own {
            Some(own) => own.end(guard),
            None => Ok(()),
        }
    }
}

impl Own {
    fn wait_for_answer(&mut self) -> Result<String> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = self.daemon.try_wait()? {
                bail!("it ended: {status}");
            }
            match ask(Some(&self.address)) {
                Ok(version) => return Ok(version),
                Err(error) if Instant::now() >= deadline => {
                    return Err(error.context(format!("it did not answer within {START_LIMIT:?}")));
                }
                Err(_) => std::thread::sleep(POLL),
            }
        }
    }

    /// Ended by a signal, so that it takes down its containers and mounts before it goes.
    fn end(mut self, guard: &Guard) -> Result<()> {
        if self.daemon.try_wait()?.is_none() {
            guard::end(self.daemon.id())?;
            self.daemon.wait()?;
        }
        if !self.had_bridge {
            let mut ip = Command::new("ip");
            // Without that program the bridge stays, which harms nobody.
            ip.args(["link", "delete", BRIDGE]).output().ok();
        }
        guard.release(self.daemon.id())
    }
}

/// A process group of its own: Ctrl-C is the guard's to handle, which ends it in order.
fn dockerd(folder: &Path, address: &str) -> Command {
    let mut command = Command::new("dockerd");
    let within = |name: &str| folder.join(name);
    command.args(["--host", address, "--log-level", "warn"]);
    command.arg("--data-root").arg(within("data"));
    command.arg("--exec-root").arg(within("exec"));
    command.arg("--pidfile").arg(within("docker.pid"));
    command.args(["--iptables=false", "--ip6tables=false", "--ip-masq=false"]);
    command.stdin(Stdio::null()).process_group(0);
    command
}

/// The version of the engine at this address, or at the one that `docker` takes by itself.
fn ask(address: Option<&str>) -> Result<String> {
    let mut docker = Command::new("docker");
    docker.args(["version", "--format", "{{.Server.Version}}"]);
    if let Some(address) = address {
        docker.env("DOCKER_HOST", address);
    }
    let version = output_of(&mut docker)?;
    Ok(version.trim().to_owned())
}

fn find_daemon() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let programs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let has = |program: &str| programs.iter().any(|folder| folder.join(program).is_file());
    has("dockerd") && has("docker")
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_is_not_there_is_no_answer() {
        let error = ask(Some("unix:///nowhere/docker.sock")).unwrap_err();
        // Without docker on this machine, that is what is said.
        let text = format!("{error:#}");
        assert!(text.contains("docker"), "{text}");
    }

    #[test]
    fn everything_of_an_engine_of_our_own_is_in_its_folder() {
        let command = dockerd(Path::new("/scratch"), "unix:///scratch/docker.sock");
        let args: Vec<_> = command
            .get_args()
            .map(|arg| arg.to_string_lossy())
            .collect();
        let paths = args.iter().filter(|arg| arg.contains('/'));
        assert_eq!(paths.clone().count(), 4);
        for path in paths {
            let path = path.trim_start_matches("unix://");
            assert!(path.starts_with("/scratch/"), "{path}");
        }
    }
}
