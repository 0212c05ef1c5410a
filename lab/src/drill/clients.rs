//! The load clients of a drill: processes, switched by a restart, as teams do it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use futures::future::try_join_all;
use isthmus_config::model::{Client as ModelClient, ClientKind, Model};
use tokio::time::Instant;

use super::DrillError;
use crate::deployment::Deployment;
use crate::load::resume::written_bytes;
use crate::process::Process;
use crate::targets::{IsthmusProgram, StartError, probe};

/// From a client's start to its ready line.
const READY_MAX: Duration = Duration::from_secs(60);

/// What a client that is switched has for its end. Its cluster is dead, so nothing that it waits
/// for comes; a team that has decided to switch does not wait either.
const SWITCH_GRACE: Duration = Duration::from_secs(1);

/// What a client has for its end otherwise: the last answers, the last commit.
const STOP_GRACE: Duration = Duration::from_secs(20);

/// From the end of the schedule to the last answer: librdkafka gives up after 120 s.
const LAST_ANSWERS_MAX: Duration = Duration::from_secs(150);

/// A consumer that has written nothing for so long has read what there is. Longer than a group takes to
/// form anew after a switch: three seconds, by `group.initial.rebalance.delay.ms` of both targets.
const QUIET: Duration = Duration::from_secs(5);

/// From the end of the producers to the end of the consumers, at most: for what is on its way through
/// a mirror.
const LAST_RECORDS_MAX: Duration = Duration::from_secs(30);

/// Between two looks at what consumers have written.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// For the reading of all topics of a cluster.
const AUDIT_MAX: Duration = Duration::from_secs(300);

/// Where a client is pointed at, in the words of `clients.sh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Home,
    Switched,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Switched => "switched",
        }
    }
}

/// The clients of a run, and where they write.
pub(super) struct Clients<'a> {
    pub(super) deployment: &'a Deployment,
    pub(super) lab: &'a IsthmusProgram,
    pub(super) ledgers: &'a Path,
    pub(super) logs: PathBuf,
    pub(super) drill: &'a str,
}

/// A client that runs.
#[derive(Debug)]
pub(super) struct Running {
    of: ModelClient,
    place: Place,
    process: Process,
}

impl Clients<'_> {
    fn model(&self) -> &Model {
        self.deployment.model()
    }

    /// Starts all clients of a kind, and returns when they are ready.
    pub(super) async fn start(&self, kind: ClientKind) -> Result<Vec<Running>, DrillError> {
        let clients = self.model().clients.iter();
        let clients = clients.filter(|client| client.kind == kind);
        let starting = clients.map(|client| self.start_one(client, Place::Home));
        try_join_all(starting).await
    }

    async fn start_one(&self, client: &ModelClient, place: Place) -> Result<Running, DrillError> {
        let name = format!("{}-{}", client.name, place.name());
        let command = self
            .deployment
            .client(&client.name, place.name(), self.ledgers, self.drill);
        let process = Process::spawn(&name, command, &self.logs);
        let mut process = process.map_err(StartError::from)?;
        probe::line(&mut process, "ready load ", READY_MAX).await?;
        Ok(Running {
            of: client.clone(),
            place,
            process,
        })
    }

    /// Switches those clients of the cluster that have somewhere to go.
    pub(super) async fn switch(
        &self,
        cluster: &str,
        running: &mut [Running],
    ) -> Result<Vec<String>, DrillError> {
        let affected = running
            .iter_mut()
            .filter(|it| it.of.cluster == cluster && it.of.switch_to.is_some());
        let switching = affected.map(|client| async move {
            client.end(SWITCH_GRACE).await?;
            *client = self.start_one(&client.of, Place::Switched).await?;
            Ok::<_, DrillError>(client.of.name.clone())
        });
        try_join_all(switching).await
    }

    /// Returns when the consumers of clusters that answer have nothing new to write down. The others
    /// have nothing but complaints.
    pub(super) async fn settle(
        &self,
        consumers: &[Running],
        alive: &[&str],
    ) -> Result<(), DrillError> {
        let reading = consumers.iter().filter(|it| alive.contains(&it.cluster()));
        let names: Vec<&str> = reading.map(|it| it.of.name.as_str()).collect();
        let until = Instant::now() + LAST_RECORDS_MAX;
        let (mut written, mut grew_at) = (0, Instant::now());
        while Instant::now() < until.min(grew_at + QUIET) {
            tokio::time::sleep(LOOK_EVERY).await;
            let bytes = names.iter().map(|name| written_bytes(self.ledgers, name));
            let bytes = bytes.sum::<Result<u64, _>>()?;
            if bytes != written {
                (written, grew_at) = (bytes, Instant::now());
            }
        }
        Ok(())
    }

    /// Starts an audit of each of these clusters; the library's own reading of metadata tells the
    /// topics.
    pub(super) fn audit<'c>(
        &self,
        phase: &str,
        clusters: impl IntoIterator<Item = &'c str>,
    ) -> Result<Vec<Process>, DrillError> {
        let audits = clusters.into_iter().map(|cluster| {
            let name = format!("audit-{phase}-{cluster}");
            let spawned =
                Process::spawn(&name, self.audit_command(&name, phase, cluster), &self.logs);
            spawned.map_err(|error| StartError::from(error).into())
        });
        audits.collect()
    }

    fn audit_command(&self, name: &str, phase: &str, cluster: &str) -> Command {
        let mut command = self.lab.command();
        command
            .args(["lab", "load", "audit", "--site", "lab", "--name", name])
            .args(["--phase", phase, "--cluster", cluster])
            .args(["--bootstrap", &self.model().bootstrap(cluster)])
            .args(["--drill", self.drill, "--out"])
            .arg(self.ledgers);
        command
    }
}

/// Waits for audits.
pub(super) async fn finish_audits(audits: Vec<Process>) -> Result<(), DrillError> {
    for mut audit in audits {
        let finished = audit.finish(AUDIT_MAX).await;
        finished.map_err(|error| DrillError::Client(error.into()))?;
    }
    Ok(())
}

/// Waits for the last answers of producers, whose schedule ends by itself.
pub(super) async fn finish_producers(
    producers: &mut [Running],
    schedule_ends: Instant,
) -> Result<(), DrillError> {
    let until = schedule_ends + LAST_ANSWERS_MAX;
    for producer in producers {
        let within = until.saturating_duration_since(Instant::now());
        let finished = producer.process.finish(within).await;
        finished.map_err(|error| DrillError::Client(error.into()))?;
    }
    Ok(())
}

/// Stops consumers in order.
pub(super) async fn stop_consumers(consumers: &mut [Running]) -> Result<(), DrillError> {
    try_join_all(consumers.iter_mut().map(|it| it.end(STOP_GRACE))).await?;
    Ok(())
}

impl Running {
    /// A client that has failed would make its numbers look like the target's. One that has ended
    /// well has done all it had to.
    pub(super) fn check(&mut self) -> Result<(), DrillError> {
        match self.process.ended() {
            Some(status) if !status.success() => Err(DrillError::ClientFallen {
                name: self.process.name().to_owned(),
                log: self.process.last_lines(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Where it is pointed at.
    fn cluster(&self) -> &str {
        match (self.place, &self.of.switch_to) {
            (Place::Switched, Some(cluster)) => cluster,
            (Place::Switched | Place::Home, _) => &self.of.cluster,
        }
    }

    async fn end(&mut self, grace: Duration) -> Result<(), DrillError> {
        let ended = self.process.stop(grace).await;
        ended.map(|_| ()).map_err(|cause| DrillError::End {
            name: self.process.name().to_owned(),
            cause,
        })
    }
}
