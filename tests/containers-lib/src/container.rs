//! A container: its start on ports that are known before, its end, and what it said.

use std::fmt;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use testcontainers::bollard::Docker;
use testcontainers::bollard::models::HostConfig;
use testcontainers::bollard::query_parameters::{
    KillContainerOptionsBuilder, RemoveContainerOptionsBuilder,
};
use testcontainers::core::client::docker_client_instance;
use testcontainers::core::{ExecCommand, IntoContainerPort, WaitFor};
use testcontainers::runners::AsyncRunner;
use testcontainers::{
    ContainerAsync, ContainerRequest, GenericImage, ImageExt, TestcontainersError,
};
use tokio::io::AsyncBufReadExt;

use crate::error::{Error, StartError, last_lines};

/// How often other ports are tried when a program was faster than the engine.
const TRIES: u32 = 5;

/// A container is ready long before this, on a busy machine too.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// A command in a container ends long before this.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);

/// Between two questions to the engine for an exit code, which it knows a moment after the end.
const EXIT_CODE_EVERY: Duration = Duration::from_millis(20);

/// Where an engine of this machine publishes ports, and nobody else can reach them.
const LOOPBACK: &str = "127.0.0.1";

/// What a container is made of, but for what is known only at its start.
pub(crate) struct Plan {
    /// `name:tag`.
    pub(crate) image: String,
    /// Its name in the engine, and in its network.
    pub(crate) name: String,
    pub(crate) network: Option<String>,
    pub(crate) command: Vec<String>,
    /// The ports in it that are published.
    pub(crate) ports: Vec<u16>,
    /// How its ready line begins.
    pub(crate) ready: &'static str,
}

/// How the ports of a plan are reached from outside, in its order: `host:port` each.
pub(crate) struct Addresses(Vec<String>);

impl Addresses {
    /// Of the port with this number in the plan.
    pub(crate) fn of(&self, at: usize) -> &str {
        &self.0[at]
    }
}

/// A container that was ready once.
pub(crate) struct Started {
    container: ContainerAsync<GenericImage>,
    docker: Docker,
    /// How its ready line begins.
    ready: &'static str,
}

/// A command that has ended: what it said, and its exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    pub code: i64,
    pub stdout: String,
    pub stderr: String,
}

/// The image to use when none is named.
pub(crate) fn default_image() -> String {
    let ours = concat!("isthmus:", env!("CARGO_PKG_VERSION"));
    std::env::var("ISTHMUS_TEST_IMAGE").unwrap_or_else(|_| ours.to_owned())
}

/// A name that no other container or network of this engine has.
pub(crate) fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = now.map_or(0, |now| now.subsec_nanos());
    format!("{name}-{:x}-{nanos:x}-{count}", std::process::id())
}

/// Starts it; `files` are made anew for each try, since they name the addresses.
pub(crate) async fn start(
    plan: &Plan,
    files: impl Fn(&Addresses) -> Vec<(String, Vec<u8>)>,
) -> Result<(Started, Addresses), StartError> {
    let docker = docker_client_instance().await?;
    let mut host = LOOPBACK.to_owned();
    for _ in 0..TRIES {
        let ports = free_ports(plan.ports.len())?;
        let addresses = ports.iter().map(|port| format!("{host}:{port}")).collect();
        let addresses = Addresses(addresses);
        let request = request(plan, &host, &ports, files(&addresses));
        let container = match request.start().await.map_err(StartError::from) {
            Ok(container) => container,
            Err(error) => {
                remove(&docker, &plan.name).await;
                if error.is_port_taken() {
                    continue;
                }
                return Err(error);
            }
        };
        // An engine on another machine, or one that we share with this container, is known by its
        // address only now.
        let actual = container
            .get_host()
            .await
            .map_err(StartError::Engine)?
            .to_string();
        if actual == host || actual == "localhost" {
            let started = Started {
                container,
                docker,
                ready: plan.ready,
            };
            return Ok((started, addresses));
        }
        host = actual;
        container.rm().await.map_err(StartError::Engine)?;
    }
    Err(StartError::PortsTaken { tries: TRIES })
}

/// Ports that are free now. All are held until the last one is found, so that they differ.
fn free_ports(count: usize) -> Result<Vec<u16>, StartError> {
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let held: Vec<TcpListener> = (0..count)
        .map(bind)
        .collect::<Result<_, _>>()
        .map_err(StartError::NoPort)?;
    let ports = held
        .iter()
        .map(|socket| socket.local_addr().map(|address| address.port()));
    ports.collect::<Result<_, _>>().map_err(StartError::NoPort)
}

fn request(
    plan: &Plan,
    host: &str,
    ports: &[u16],
    files: Vec<(String, Vec<u8>)>,
) -> ContainerRequest<GenericImage> {
    let (name, tag) = name_and_tag(&plan.image);
    let image = GenericImage::new(name, tag);
    // On both streams, so that the complaint of one that does not come up is in the error.
    let mut request = image
        .with_wait_for(WaitFor::message_on_either_std(plan.ready))
        .with_container_name(&plan.name)
        .with_startup_timeout(READY_LIMIT)
        .with_cmd(&plan.command);
    for (inner, outer) in plan.ports.iter().zip(ports) {
        request = request.with_mapped_port(*outer, inner.tcp());
    }
    if host == LOOPBACK {
        request = request.with_host_config_modifier(publish_on_loopback);
    }
    if let Some(network) = &plan.network {
        request = request.with_network(network);
    }
    for (path, content) in files {
        request = request.with_copy_to(path, content);
    }
    request
}

fn publish_on_loopback(config: &mut HostConfig) {
    let ports = config.port_bindings.iter_mut().flatten();
    for binding in ports
        .filter_map(|(_, bindings)| bindings.as_mut())
        .flatten()
    {
        binding.host_ip = Some(LOOPBACK.to_owned());
    }
}

/// `registry:5000/isthmus:0.1.0` has a tag, `registry:5000/isthmus` has none.
fn name_and_tag(image: &str) -> (&str, &str) {
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        Some(_) | None => (image, "latest"),
    }
}

/// A container that could not be started is there all the same, without a handle that removes it.
async fn remove(docker: &Docker, name: &str) {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true);
    // One that ended by itself is removed already; the error under way says more than this one.
    docker
        .remove_container(name, Some(options.build()))
        .await
        .ok();
}

impl Started {
    pub(crate) fn container(&self) -> &ContainerAsync<GenericImage> {
        &self.container
    }

    /// What it logged until now.
    pub(crate) async fn log(&self) -> Result<String, Error> {
        let log = self.container.stderr_to_vec().await?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }

    /// Runs a command beside the program, to its end.
    pub(crate) async fn run(&self, command: Vec<String>) -> Result<Finished, Error> {
        let limit = COMMAND_LIMIT;
        let ended = tokio::time::timeout(limit, self.run_to_end(command)).await;
        ended.map_err(|_| Error::TooLong { limit })?
    }

    async fn run_to_end(&self, command: Vec<String>) -> Result<Finished, Error> {
        let mut running = self.container.exec(ExecCommand::new(command)).await?;
        let stdout = running.stdout_to_vec().await?;
        let stderr = running.stderr_to_vec().await?;
        let text = |said: Vec<u8>| String::from_utf8_lossy(&said).into_owned();
        loop {
            if let Some(code) = running.exit_code().await? {
                let (stdout, stderr) = (text(stdout), text(stderr));
                return Ok(Finished {
                    code,
                    stdout,
                    stderr,
                });
            }
            tokio::time::sleep(EXIT_CODE_EVERY).await;
        }
    }

    /// SIGTERM, and SIGKILL if it does not go; gives its exit code.
    pub(crate) async fn stop(&self) -> Result<i64, Error> {
        self.container.stop().await?;
        let code = self.container.exit_code().await?;
        code.ok_or_else(|| {
            TestcontainersError::other("a stopped container has no exit code").into()
        })
    }

    /// SIGKILL; it is dead when this returns.
    pub(crate) async fn kill(&self) -> Result<(), Error> {
        let options = KillContainerOptionsBuilder::new().signal("SIGKILL");
        let id = self.container.id();
        let killed = self.docker.kill_container(id, Some(options.build())).await;
        killed.map_err(|error| TestcontainersError::other(error).into())
    }

    /// Starts it after its end, with the files it left, and waits for its ready line.
    pub(crate) async fn start_again(&self) -> Result<(), Error> {
        let said = self.container.stdout_to_vec().await?;
        let said = String::from_utf8_lossy(&said);
        let before = said.lines().filter(|line| line.starts_with(self.ready));
        let next = before.count() + 1;
        self.container.start().await?;
        match tokio::time::timeout(READY_LIMIT, self.is_ready(next)).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(Error::Ended {
                log: self.last_lines().await?,
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::NotReady {
                limit: READY_LIMIT,
                log: self.last_lines().await?,
            }),
        }
    }

    /// Follows what it says; false when it ends before the ready line with this number.
    async fn is_ready(&self, number: usize) -> Result<bool, Error> {
        let mut lines = self.container.stdout(true).lines();
        let mut seen = 0;
        while let Some(line) = lines.next_line().await.map_err(TestcontainersError::Io)? {
            seen += usize::from(line.starts_with(self.ready));
            if seen == number {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn last_lines(&self) -> Result<String, Error> {
        Ok(last_lines(self.log().await?.as_bytes()))
    }
}

impl fmt::Debug for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Started")
            .field(&self.container.id())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_images_tag_is_behind_its_last_colon() {
        for (image, expected) in [
            ("isthmus:0.1.0", ("isthmus", "0.1.0")),
            ("isthmus", ("isthmus", "latest")),
            ("registry:5000/isthmus", ("registry:5000/isthmus", "latest")),
            ("registry:5000/isthmus:2", ("registry:5000/isthmus", "2")),
        ] {
            assert_eq!(name_and_tag(image), expected, "{image}");
        }
    }

    #[test]
    fn names_and_ports_are_given_once() {
        assert_ne!(unique("east"), unique("east"));
        let mut ports = free_ports(20).unwrap();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 20);
    }

    #[test]
    fn ports_are_published_on_loopback() {
        let binding = testcontainers::bollard::models::PortBinding {
            host_ip: None,
            host_port: Some("4242".to_owned()),
        };
        let ports = [("9092/tcp".to_owned(), Some(vec![binding]))];
        let mut config = HostConfig {
            port_bindings: Some(ports.into()),
            ..HostConfig::default()
        };
        publish_on_loopback(&mut config);
        let ports = config.port_bindings.unwrap();
        let published = ports["9092/tcp"].as_ref().unwrap();
        assert_eq!(published[0].host_ip.as_deref(), Some("127.0.0.1"));
        assert_eq!(published[0].host_port.as_deref(), Some("4242"));
    }
}
