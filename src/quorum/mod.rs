//! `isthmus quorum`: who votes on the metadata and whether that holds; takes voters in and out, and goes on
//! from a survivor when most of them are lost.
//!
//! Of adding and removing, what is refused is refused here, before anything is sent: the controller lets an operator remove
//! a voter that the majority hangs on.

mod add;
mod change;
mod recover;
mod remove;
mod seen;
mod status;

use self::seen::Seen;
use crate::cluster::{ClusterOptions, say_no, unreachable};
use crate::options::fail;
use clap::{Args, Subcommand};
use isthmus_client::{Admin, ErrorCode, RequestError};
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Args)]
pub(crate) struct QuorumOptions {
    #[command(subcommand)]
    command: QuorumCommand,
}

#[derive(Subcommand)]
enum QuorumCommand {
    /// Show leader and voters, and what is wrong with them.
    Status(status::StatusOptions),
    /// Take a controller into the quorum; it runs already.
    Add(add::AddOptions),
    /// Take a voter out of the quorum.
    Remove(remove::RemoveOptions),
    /// Go on from a survivor, offline, when most voters are lost for good.
    Recover(recover::RecoverOptions),
}

pub(crate) fn run(options: &QuorumOptions) -> ExitCode {
    match &options.command {
        QuorumCommand::Status(options) => status::run(options),
        QuorumCommand::Add(options) => add::run(options),
        QuorumCommand::Remove(options) => remove::run(options),
        QuorumCommand::Recover(options) => recover::run(options),
    }
}

/// What every one of these commands takes.
#[derive(Args)]
struct CommonOptions {
    #[command(flatten)]
    cluster: ClusterOptions,
    /// One JSON document on stdout.
    #[arg(long)]
    json: bool,
}

async fn look(admin: &Admin) -> Result<Seen, RequestError> {
    let cluster = admin.cluster();
    if cluster.cluster_id().is_none() {
        cluster.ready(cluster.operation_deadline()).await?;
    }
    let described = admin.describe_quorum().await?;
    Ok(Seen::new(
        cluster.cluster_id().unwrap_or_default(),
        &described,
    ))
}

/// How the quorum stands, unless nobody can say.
async fn look_or_end(admin: &Admin) -> Result<Seen, ExitCode> {
    let looked = look(admin).await;
    looked.map_err(|error| not_seen(admin, &error))
}

/// A cluster whose brokers answer and whose quorum has no leader is told apart from one that is not
/// reached.
fn not_seen(admin: &Admin, error: &RequestError) -> ExitCode {
    let Some(cluster) = admin.cluster().cluster_id() else {
        return unreachable("ask the cluster for its quorum", error);
    };
    match error.code() {
        None | Some(ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::NOT_CONTROLLER) => {
            say_no(&format!(
                "no voter leads the quorum of cluster {cluster} ({error}): start the voters that are \
                 down, until a majority of them is there"
            ))
        }
        Some(_) => fail(&format!("could not ask for the quorum: {error}")),
    }
}

impl Seen {
    fn document(&self, command: &str) -> Value {
        let members = |members: &[seen::Member]| members.iter().map(of_member).collect::<Vec<_>>();
        json!({
            "schema": format!("isthmus.quorum.{command}/1"),
            "cluster": self.cluster,
            "leader": self.leader,
            "epoch": self.epoch,
            "high_watermark": self.high_watermark,
            "majority": self.majority(),
            "spare": self.spare(),
            "voters": members(&self.voters),
            "observers": members(&self.observers),
        })
    }
}

fn of_member(member: &seen::Member) -> Value {
    json!({
        "id": member.id,
        "directory": member.directory.to_string(),
        "address": member.address,
        "log_end": member.log_end,
        "lag": member.lag,
        "since_fetch_ms": member.since_fetch_ms,
        "since_caught_up_ms": member.since_caught_up_ms,
        "standing": member.standing.name(),
    })
}
