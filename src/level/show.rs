//! `isthmus level show`: the level of the cluster, and what each node supports.

use super::{CommonOptions, FEATURE, Node, Seen, look_or_end};
use crate::cluster::say;
use clap::Args;
use isthmus_client::Admin;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct ShowOptions {
    #[command(flatten)]
    common: CommonOptions,
}

pub(super) fn run(options: &ShowOptions) -> ExitCode {
    let common = &options.common;
    common.cluster.run(|admin| show(admin, common.json))
}

async fn show(admin: Admin, json: bool) -> ExitCode {
    let (seen, level) = match look_or_end(&admin).await {
        Ok(found) => found,
        Err(code) => return code,
    };
    if json {
        say(&seen.document("show"));
    } else {
        say(&in_words(&seen, level));
    }
    ExitCode::SUCCESS
}

fn in_words(seen: &Seen, level: i16) -> String {
    let highest = match seen.highest() {
        Some(highest) if highest > level => format!("can be raised to {highest}"),
        Some(_) => "the highest that all nodes support".to_owned(),
        None => "cannot be raised: not every node says what it supports".to_owned(),
    };
    let mut text = format!(
        "{FEATURE} of cluster {}: {level}, {highest}",
        seen.cluster_id
    );
    for Node { id, address, range } in &seen.nodes {
        let range = match range {
            Ok(Some((min, max))) => format!("supports {min} to {max}"),
            Ok(None) => "knows no levels".to_owned(),
            Err(error) => format!("not reached: {error}"),
        };
        text.push_str(&format!("\nnode {id} at {address}: {range}"));
    }
    text
}
