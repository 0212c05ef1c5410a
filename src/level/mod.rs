//! `isthmus level`: which metadata records a cluster may write, and the act that allows more.
//!
//! The level stands in the metadata itself (docs/formats/README.md). It is raised by an operator
//! only, since from then on no earlier build can take a directory back, and it is never lowered.

mod raise;
mod show;

use crate::cluster::{ClusterOptions, say_no, unreachable};
use clap::{Args, Subcommand};
use isthmus_client::admin::{Admin, DescribedBroker};
use isthmus_client::{RequestError, admin::Features};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// The feature whose level this is.
const FEATURE: &str = "isthmus.metadata.level";

#[derive(Args)]
pub(crate) struct LevelOptions {
    #[command(subcommand)]
    command: LevelCommand,
}

#[derive(Subcommand)]
enum LevelCommand {
    /// Show the level of a cluster, and what each of its nodes supports.
    Show(show::ShowOptions),
    /// Raise the level. Earlier builds cannot take part any more.
    Raise(raise::RaiseOptions),
}

pub(crate) fn run(options: &LevelOptions) -> ExitCode {
    match &options.command {
        LevelCommand::Show(options) => show::run(options),
        LevelCommand::Raise(options) => raise::run(options),
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

/// What a cluster said of its level.
struct Seen {
    cluster_id: String,
    /// `None`: it has none, and is no cluster of Isthmus.
    level: Option<i16>,
    nodes: Vec<Node>,
}

struct Node {
    id: i32,
    address: String,
    /// What it supports, or why it could not be asked.
    range: Result<Option<(i16, i16)>, RequestError>,
}

impl Seen {
    /// The highest level that all nodes support; `None` when one does not know levels or did not
    /// answer.
    fn highest(&self) -> Option<i16> {
        let most = |node: &Node| match node.range {
            Ok(Some((_, max))) => Some(max),
            Ok(None) | Err(_) => None,
        };
        let all: Option<Vec<i16>> = self.nodes.iter().map(most).collect();
        all?.into_iter().min()
    }

    fn document(&self, command: &str) -> Value {
        let node = |node: &Node| {
            let range = node.range.as_ref().ok().copied().flatten();
            json!({
                "id": node.id,
                "address": node.address,
                "reached": node.range.is_ok(),
                "min": range.map(|(min, _)| min),
                "max": range.map(|(_, max)| max),
            })
        };
        json!({
            "schema": format!("isthmus.level.{command}/1"),
            "cluster": self.cluster_id,
            "feature": FEATURE,
            "level": self.level,
            "highest": self.highest(),
            "nodes": self.nodes.iter().map(node).collect::<Vec<_>>(),
        })
    }
}

/// Asks every node of the cluster, those too that are fenced.
async fn look(admin: &Admin) -> Result<Seen, RequestError> {
    let described = admin.describe_cluster().await?;
    let mut latest: Option<(i64, BTreeMap<String, i16>)> = None;
    let mut nodes = Vec::with_capacity(described.brokers.len());
    for broker in described.brokers {
        let answer = admin.broker_features(broker.id).await;
        if let Ok(Features {
            finalized,
            epoch: Some(epoch),
            ..
        }) = &answer
            && latest.as_ref().is_none_or(|(newest, _)| newest < epoch)
        {
            latest = Some((*epoch, finalized.clone()));
        }
        nodes.push(node(&broker, answer));
    }
    Ok(Seen {
        cluster_id: described.cluster_id,
        level: latest.and_then(|(_, levels)| levels.get(FEATURE).copied()),
        nodes,
    })
}

fn node(broker: &DescribedBroker, answer: Result<Features, RequestError>) -> Node {
    Node {
        id: broker.id,
        address: format!("{}:{}", broker.host, broker.port),
        range: answer.map(|features| features.supported.get(FEATURE).copied()),
    }
}

/// What `look` found, unless there is nothing that these commands could work on.
async fn look_or_end(admin: &Admin) -> Result<(Seen, i16), ExitCode> {
    let seen = look(admin)
        .await
        .map_err(|error| unreachable("ask the cluster for its level", &error))?;
    let Some(level) = seen.level else {
        let what = format!(
            "cluster {} has no {FEATURE}: it is not of Isthmus",
            seen.cluster_id
        );
        return Err(say_no(&what));
    };
    Ok((seen, level))
}
