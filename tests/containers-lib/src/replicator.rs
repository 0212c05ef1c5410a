//! A replicator in a container.

use testcontainers::{ContainerAsync, GenericImage};

use crate::container::{self, Finished, Plan, Started};
use crate::error::{Error, StartError};
use crate::files::{FOLDER, OBSERVE_PORT};

/// Where the program and its file stand in the container.
const PROGRAM: &str = "/usr/bin/isthmus";
const FILE: &str = "replicator.toml";

/// A replicator about to be started with a file.
#[derive(Debug, Clone)]
pub struct Replicator {
    image: Option<String>,
    network: Option<String>,
    text: String,
}

/// A replicator that runs. Its container is removed with it.
#[derive(Debug)]
pub struct RunningReplicator {
    started: Started,
    observe: String,
}

impl Replicator {
    /// With this file (`isthmus config sample replicator` prints one). Its pages are served on the
    /// port that [`RunningReplicator::observe`] tells, whatever the file says of `observe`.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            image: None,
            network: None,
            text: text.into(),
        }
    }

    /// The image, as `name:tag`.
    #[must_use]
    pub fn with_image(mut self, image: impl Into<String>) -> Self {
        self.image = Some(image.into());
        self
    }

    /// Puts it into the network of the brokers, whose [`bootstrap_inside`] its file then names.
    ///
    /// [`bootstrap_inside`]: crate::RunningBroker::bootstrap_inside
    #[must_use]
    pub fn in_network(mut self, network: impl Into<String>) -> Self {
        self.network = Some(network.into());
        self
    }

    /// Starts it, and returns when its pages answer; it may not have reached its clusters by then.
    ///
    /// # Errors
    ///
    /// When the engine refuses, or when the replicator ends at once; the error has its last lines.
    pub async fn start(self) -> Result<RunningReplicator, StartError> {
        let file = format!("{FOLDER}/{FILE}");
        let observe = format!("daemon.observe=0.0.0.0:{OBSERVE_PORT}");
        let command = ["replicator", "-c", &file, "--set", &observe];
        let plan = Plan {
            image: self.image.clone().unwrap_or_else(container::default_image),
            name: container::unique("isthmus-replicator"),
            network: self.network.clone(),
            command: command.map(str::to_owned).to_vec(),
            ports: vec![OBSERVE_PORT],
            ready: "ready replicator name=",
        };
        let files = |_: &container::Addresses| vec![(file.clone(), self.text.clone().into_bytes())];
        let (started, addresses) = container::start(&plan, files).await?;
        let observe = addresses.of(0).to_owned();
        Ok(RunningReplicator { started, observe })
    }
}

impl RunningReplicator {
    /// Where `/metrics`, `/healthz`, `/readyz` and `/status` are served, as `host:port`.
    pub fn observe(&self) -> &str {
        &self.observe
    }

    /// Runs a command of `isthmus` beside the daemon, with its file: `["failover", "--cluster", "east",
    /// "--yes", "--json"]`, `["status"]`, `["verify", "east-to-west"]`.
    ///
    /// # Errors
    ///
    /// When the engine refuses, or when the command takes minutes. That it failed is no error but its
    /// exit code.
    pub async fn run<T: Into<String>>(
        &self,
        words: impl IntoIterator<Item = T>,
    ) -> Result<Finished, Error> {
        let mut command = vec![PROGRAM.to_owned()];
        command.extend(words.into_iter().map(Into::into));
        command.extend(["-c".to_owned(), format!("{FOLDER}/{FILE}")]);
        self.started.run(command).await
    }

    /// What it logged until now.
    ///
    /// # Errors
    ///
    /// When the engine does not give it.
    pub async fn log(&self) -> Result<String, Error> {
        self.started.log().await
    }

    /// Asks it to end, as an operator would, and gives its exit code: 0 when it saved its state.
    ///
    /// # Errors
    ///
    /// When the engine refuses.
    pub async fn stop(&self) -> Result<i64, Error> {
        self.started.stop().await
    }

    /// Kills it without a warning.
    ///
    /// # Errors
    ///
    /// When the engine refuses, as it does for one that is dead already.
    pub async fn kill(&self) -> Result<(), Error> {
        self.started.kill().await
    }

    /// Starts it after its end; it goes on where it saved.
    ///
    /// # Errors
    ///
    /// When the engine refuses, or when it does not come up.
    pub async fn start_again(&self) -> Result<(), Error> {
        self.started.start_again().await
    }

    /// The container, for what is not offered here.
    pub fn container(&self) -> &ContainerAsync<GenericImage> {
        self.started.container()
    }
}
