//! `isthmus quorum add`: a controller becomes a voter. It runs already, formatted with
//! `--no-initial-controllers`, and gets the log before it votes.

use super::change::{Change, ChangeOptions, act, give};
use super::look_or_end;
use crate::cluster::say_no;
use clap::Args;
use isthmus_client::Admin;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct AddOptions {
    #[command(flatten)]
    change: ChangeOptions,
}

pub(super) fn run(options: &AddOptions) -> ExitCode {
    let options = &options.change;
    options.common.cluster.run(|admin| add(admin, options))
}

async fn add(admin: Admin, options: &ChangeOptions) -> ExitCode {
    let seen = match look_or_end(&admin).await {
        Ok(seen) => seen,
        Err(code) => return code,
    };
    let (id, directory) = (options.node, options.directory);
    if Change::Add.holds(&seen, options) {
        let words = format!("node {id} with directory {directory} votes already: nothing to do");
        return give(Change::Add, &seen, options, "unchanged", &words);
    }
    if let Some(other) = seen.voter(id) {
        return say_no(&format!(
            "could not add node {id} with directory {directory}: it votes with directory {old} \
             already; nothing was changed: if that one is gone for good, first isthmus quorum \
             remove {id} --directory {old}",
            old = other.directory
        ));
    }
    act(Change::Add, &admin, &seen, options).await
}
