//! A broker in a container.

use std::collections::BTreeMap;

use testcontainers::{ContainerAsync, GenericImage};

use crate::container::{self, Plan, Started};
use crate::error::{Error, StartError};
use crate::files::{BrokerFile, FOLDER, INSIDE_PORT, OBSERVE_PORT, OUTSIDE_PORT, Tls};

/// A broker about to be started: node 1, one replica of everything.
#[derive(Debug, Clone)]
pub struct Broker {
    image: Option<String>,
    name: String,
    network: Option<String>,
    tls: Option<Tls>,
    settings: BTreeMap<String, String>,
}

/// A broker that answers. Its container is removed with it.
#[derive(Debug)]
pub struct RunningBroker {
    started: Started,
    bootstrap: String,
    inside: Option<String>,
    observe: String,
}

impl Default for Broker {
    fn default() -> Self {
        Self {
            image: None,
            name: "isthmus".to_owned(),
            network: None,
            tls: None,
            settings: BTreeMap::new(),
        }
    }
}

impl Broker {
    pub fn new() -> Self {
        Self::default()
    }

    /// The image, as `name:tag`.
    #[must_use]
    pub fn with_image(mut self, image: impl Into<String>) -> Self {
        self.image = Some(image.into());
        self
    }

    /// A key of Kafka's broker, such as `log.retention.ms`. One that is not known keeps the broker
    /// from starting, and the error names the nearest one that is.
    #[must_use]
    pub fn with_setting(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.insert(key.into(), value.into());
        self
    }

    /// TLS for clients from outside. Those in the broker's own network use plain text all the same.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Puts it into a network of the engine, which is made if it is not there, under a host name
    /// that begins with `name`.
    #[must_use]
    pub fn in_network(mut self, network: impl Into<String>, name: impl Into<String>) -> Self {
        self.network = Some(network.into());
        self.name = name.into();
        self
    }

    /// Starts it, and returns when it answers.
    ///
    /// # Errors
    ///
    /// When the engine refuses, or when the broker ends at once; the error has its last lines.
    pub async fn start(self) -> Result<RunningBroker, StartError> {
        let command = ["broker", "--dev", "-c"].map(str::to_owned);
        let file = format!("{FOLDER}/broker.toml");
        let name = container::unique(&self.name);
        let inside = self
            .network
            .as_ref()
            .map(|_| format!("{name}:{INSIDE_PORT}"));
        let plan = Plan {
            image: self.image.clone().unwrap_or_else(container::default_image),
            name,
            network: self.network.clone(),
            command: command.into_iter().chain([file.clone()]).collect(),
            ports: vec![OUTSIDE_PORT, OBSERVE_PORT],
            ready: "ready broker id=",
        };
        let files = |addresses: &container::Addresses| {
            let text = BrokerFile {
                outside: addresses.of(0),
                inside: inside.as_deref(),
                tls: self.tls.as_ref(),
                settings: &self.settings,
            };
            let mut files = self.tls.as_ref().map(Tls::files).unwrap_or_default();
            files.push((file.clone(), text.text().into_bytes()));
            files
        };
        let (started, addresses) = container::start(&plan, files).await?;
        Ok(RunningBroker {
            started,
            bootstrap: addresses.of(0).to_owned(),
            observe: addresses.of(1).to_owned(),
            inside,
        })
    }
}

impl RunningBroker {
    /// The address for clients on this machine, as `host:port`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The address for clients in the broker's own network; none if it was put into no network.
    pub fn bootstrap_inside(&self) -> Option<&str> {
        self.inside.as_deref()
    }

    /// Where `/metrics`, `/healthz` and `/readyz` are served, as `host:port`.
    pub fn observe(&self) -> &str {
        &self.observe
    }

    /// What it logged until now. [`RunningBroker::container`] has it as a stream.
    ///
    /// # Errors
    ///
    /// When the engine does not give it.
    pub async fn log(&self) -> Result<String, Error> {
        self.started.log().await
    }

    /// Asks it to end, as an operator would, and gives its exit code: 0 when it left in order.
    ///
    /// # Errors
    ///
    /// When the engine refuses.
    pub async fn stop(&self) -> Result<i64, Error> {
        self.started.stop().await
    }

    /// Kills it without a warning, as a lost machine; what was acknowledged stays in its files.
    ///
    /// # Errors
    ///
    /// When the engine refuses, as it does for one that is dead already.
    pub async fn kill(&self) -> Result<(), Error> {
        self.started.kill().await
    }

    /// Starts it after its end, at the same addresses and with the same files.
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
