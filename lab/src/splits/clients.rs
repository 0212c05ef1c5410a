//! The load of a split cluster: a producer and a reader on each side, each where its side is.
//!
//! Producers are librdkafka's, with times short enough for a cut of seconds, and told not to try again:
//! what a broker answers to a record is what the ledger says of it. One thing the library does all the
//! same: whoever says that he does not lead is asked again until the record's time is over.

use std::path::Path;
use std::process::Command;

use super::cluster::{Cluster, OPERATOR, Side, TOPIC};
use super::table::Asked;
use crate::process::{Process, ToolError};
use crate::targets::IsthmusProgram;
use crate::trio::TrioError;
use crate::trio::clients::{AUDIT_MAX, Client, start};

/// Of each producer.
pub(super) const RECORDS_PER_SECOND: u32 = 100;

/// Over the settings of the load client. A broker may take two seconds for an answer, a client waits a
/// second longer for it, and a record waits until it has seen two such.
pub(super) const SETTINGS: [&str; 8] = [
    "enable.idempotence=false",
    "retries=0",
    "max.in.flight.requests.per.connection=1",
    "request.timeout.ms=2000",
    "socket.timeout.ms=3000",
    "message.timeout.ms=6000",
    "socket.connection.setup.timeout.ms=2000",
    "topic.metadata.refresh.interval.ms=500",
];

/// What ledgers call an audit's client.
pub(super) const AUDIT: &str = "audit";

/// How the clients of a row are started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clients<'a> {
    pub(super) lab: &'a IsthmusProgram,
    pub(super) ledgers: &'a Path,
    /// What the run is called in every ledger and record.
    pub(super) drill: &'a str,
}

/// What a side's producer is called.
pub(super) fn writer(side: Side) -> String {
    format!("{}-writer", side.name())
}

fn reader(side: Side) -> String {
    format!("{}-reader", side.name())
}

impl Clients<'_> {
    /// Until it is stopped. Returns when it is ready.
    pub(super) async fn produce(
        &self,
        cluster: &Cluster<'_>,
        side: Side,
        acks: Asked,
    ) -> Result<Client, TrioError> {
        let name = writer(side);
        let mut command = self.command(cluster, "produce", &name, side.name());
        command
            .args(["--topic", TOPIC])
            .args(["--rate", &RECORDS_PER_SECOND.to_string()]);
        for setting in SETTINGS {
            command.args(["--set", setting]);
        }
        command.args(["--set", &format!("acks={}", acks.name())]);
        let command = cluster.clients_of(side).command(&command);
        start(&name, command, cluster.logs()).await
    }

    /// Reads everything as it comes. Returns when it is ready.
    pub(super) async fn consume(
        &self,
        cluster: &Cluster<'_>,
        side: Side,
    ) -> Result<Client, TrioError> {
        let name = reader(side);
        let mut command = self.command(cluster, "consume", &name, side.name());
        command
            .args(["--topic", TOPIC])
            .args(["--set", "socket.timeout.ms=10000"]);
        let command = cluster.clients_of(side).command(&command);
        start(&name, command, cluster.logs()).await
    }

    /// Reads everything that is there in the end.
    pub(super) async fn audit(&self, cluster: &Cluster<'_>) -> Result<(), TrioError> {
        let mut command = self.command(cluster, "audit", AUDIT, OPERATOR);
        command.args(["--phase", "final", "--topic", TOPIC]);
        let audit = Process::spawn(AUDIT, command, cluster.logs());
        let mut audit = audit.map_err(ToolError::from)?;
        Ok(audit.finish(AUDIT_MAX).await?)
    }

    fn command(&self, cluster: &Cluster<'_>, what: &str, name: &str, site: &str) -> Command {
        let mut command = self.lab.command();
        command
            .args(["lab", "load", what, "--name", name])
            .args(["--site", site, "--cluster", "split"])
            .args(["--bootstrap", &cluster.bootstrap()])
            .args(["--drill", self.drill, "--out"])
            .arg(self.ledgers);
        command
    }
}
