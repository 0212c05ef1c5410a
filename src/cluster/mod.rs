//! How a command reaches a cluster: its addresses, what a client must show, and how long it may take.

mod answers;
mod client_properties;
mod jaas;
mod node_file;

pub(crate) use self::answers::{consent, outcome_unknown, say, say_no, tell, unreachable};
use crate::options::refuse;
use clap::Args;
use isthmus_client::Cluster;
use isthmus_client::admin::Admin;
use isthmus_client::config::ClientConfig;
use isthmus_config::ConfigProblems;
use isthmus_config::units::parse_millis;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Args)]
pub(crate) struct ClusterOptions {
    /// Brokers to ask first; more than one with commas between.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    bootstrap: Vec<String>,
    /// The file of a node of the cluster, TOML or server.properties; in place of --bootstrap.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Kafka's client properties: TLS, SASL, and bootstrap.servers where --bootstrap is not given.
    #[arg(long, value_name = "FILE")]
    client_config: Option<PathBuf>,
    /// Longest time for one question to the cluster, with its retries.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    timeout: Duration,
}

fn time(text: &str) -> Result<Duration, String> {
    let millis = parse_millis(text).and_then(|millis| u64::try_from(millis).ok());
    let millis = millis.filter(|millis| *millis > 0);
    millis
        .map(Duration::from_millis)
        .ok_or_else(|| "write milliseconds, or a duration like 30s".to_owned())
}

impl ClusterOptions {
    /// Runs `work` with a client of the cluster; nothing has been sent to anybody before.
    pub(crate) fn run<F: Future<Output = ExitCode>>(
        &self,
        work: impl FnOnce(Admin) -> F,
    ) -> ExitCode {
        let cluster = match self.config().map(Cluster::new) {
            Ok(Ok(cluster)) => cluster,
            Ok(Err(error)) => return refuse(&error),
            Err(problems) => return refuse(&problems),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(work(cluster.admin())),
            Err(error) => crate::options::fail(&format!("could not start: {error}")),
        }
    }

    fn config(&self) -> Result<ClientConfig, String> {
        let told = |problems: ConfigProblems| problems.to_string();
        let mut config = match (&self.client_config, &self.config) {
            (Some(file), _) => client_properties::read(file).map_err(told)?,
            (None, Some(file)) => node_file::read(file).map_err(told)?,
            (None, None) => ClientConfig::new(Vec::<String>::new()),
        };
        if !self.bootstrap.is_empty() {
            config.bootstrap.clone_from(&self.bootstrap);
        } else if config.bootstrap.is_empty()
            && let Some(file) = &self.config
        {
            config.bootstrap = node_file::servers(file).map_err(told)?;
        }
        if config.bootstrap.is_empty() {
            let missing = "give the cluster's addresses with --bootstrap HOST:PORT, as \
                           bootstrap.servers in the file of --client-config, or a node's file with \
                           -c FILE";
            return Err(missing.to_owned());
        }
        config.operation_timeout = self.timeout;
        config.request_timeout = config.request_timeout.min(self.timeout);
        config.connect_timeout = config.connect_timeout.min(self.timeout);
        Ok(config)
    }
}
