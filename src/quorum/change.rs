//! What adding and removing have in common: which voter, whether it was meant, and what became of it.

use super::seen::{Seen, majority};
use super::{CommonOptions, look};
use crate::cluster::{consent, outcome_unknown, say, unreachable};
use crate::options::fail;
use clap::Args;
use isthmus_client::{Admin, ErrorCode, RequestError, Uuid};
use serde_json::json;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct ChangeOptions {
    #[command(flatten)]
    pub(super) common: CommonOptions,
    /// Id of the node.
    #[arg(value_name = "NODE", value_parser = clap::value_parser!(i32).range(0..))]
    pub(super) node: i32,
    /// Id of its directory, as `isthmus format` and `isthmus quorum status` print it: a vote is
    /// bound to it.
    #[arg(long, value_name = "ID", value_parser = directory)]
    pub(super) directory: Uuid,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

fn directory(text: &str) -> Result<Uuid, String> {
    text.parse::<Uuid>().map_err(|error| error.to_string())
}

/// Which way a voter goes, and the words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Add,
    Remove,
}

impl Change {
    fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Add => "added",
            Self::Remove => "removed",
        }
    }

    /// Whether the quorum is as it was wanted.
    pub(super) fn holds(self, seen: &Seen, options: &ChangeOptions) -> bool {
        let is_voter =
            |it: &super::seen::Member| it.id == options.node && it.directory == options.directory;
        let is_in = seen.voters.iter().any(is_voter);
        match self {
            Self::Add => is_in,
            Self::Remove => !is_in,
        }
    }

    /// Voters and sound ones afterwards. A voter is added once it has the log, so it is sound.
    fn after(self, seen: &Seen, options: &ChangeOptions) -> (usize, usize) {
        match self {
            Self::Add => (seen.voters.len() + 1, seen.sound() + 1),
            Self::Remove if seen.observes(options.node, options.directory) => {
                (seen.voters.len(), seen.sound())
            }
            Self::Remove => (
                seen.voters.len() - 1,
                seen.sound_without(Some(options.node)),
            ),
        }
    }

    fn plan(self, seen: &Seen, options: &ChangeOptions) -> String {
        let (voters, sound) = self.after(seen, options);
        let spare = sound.saturating_sub(majority(voters));
        let preposition = match self {
            Self::Add => "to",
            Self::Remove => "from",
        };
        format!(
            "{} voter {} with directory {} {preposition} the quorum of cluster {}: voters {voters}, \
             majority {}, may be lost {spare}",
            self.name(),
            options.node,
            options.directory,
            seen.cluster,
            majority(voters),
        )
    }
}

/// Does what was found to be right, if it was meant.
pub(super) async fn act(
    change: Change,
    admin: &Admin,
    seen: &Seen,
    options: &ChangeOptions,
) -> ExitCode {
    let plan = change.plan(seen, options);
    if options.dry_run {
        let verdict = format!("would-{}", change.name());
        return give(change, seen, options, &verdict, &format!("would {plan}"));
    }
    if let Err(code) = consent(options.yes, &plan) {
        return code;
    }
    let (id, directory) = (options.node, options.directory);
    let asked = match change {
        Change::Add => admin.add_voter(id, directory, &[]).await,
        Change::Remove => admin.remove_voter(id, directory).await,
    };
    let error = asked.err();
    // A broker that follows the log in the ordinary way: no voter, and not on its way to be one.
    if let Some(error) = &error
        && error.code() == Some(ErrorCode::VOTER_NOT_FOUND)
        && seen.observes(id, directory)
        && !error.may_have_happened()
    {
        return votes_not(seen, options);
    }
    if let Some(error) = error.as_ref().filter(|error| !is_open(error)) {
        return refused(change, error);
    }
    settle(change, admin, options, error.as_ref()).await
}

/// Whether it may have come about all the same: the answer was lost, time was up, the lead changed
/// under it, or a first try of the same request had done it.
fn is_open(error: &RequestError) -> bool {
    error.may_have_happened()
        || matches!(
            error.code(),
            Some(
                ErrorCode::REQUEST_TIMED_OUT
                    | ErrorCode::NOT_LEADER_OR_FOLLOWER
                    | ErrorCode::NOT_CONTROLLER
                    | ErrorCode::DUPLICATE_VOTER
                    | ErrorCode::VOTER_NOT_FOUND
            )
        )
}

/// What the quorum says now decides.
async fn settle(
    change: Change,
    admin: &Admin,
    options: &ChangeOptions,
    error: Option<&RequestError>,
) -> ExitCode {
    let what = format!(
        "{} voter {} with directory {}",
        change.done(),
        options.node,
        options.directory
    );
    match (look(admin).await, error) {
        (Ok(now), _) if change.holds(&now, options) => {
            give(change, &now, options, change.done(), &what)
        }
        (Ok(now), Some(error)) if now.observers.iter().any(|it| it.id == options.node) => {
            outcome_unknown(&format!(
                "node {} gets the log and does not vote yet ({error}): see that it runs, and run \
                 the same command again",
                options.node
            ))
        }
        (Ok(_), Some(error)) => outcome_unknown(&format!(
            "not known to be {}: {error}; run the same command again",
            change.done()
        )),
        // It was done, and is no more: somebody else changed the voters at the same time.
        (Ok(_), None) => outcome_unknown(&format!(
            "{what}, and meanwhile the voters were changed again: look at `isthmus quorum status`"
        )),
        (Err(_), None) => {
            say(&what);
            ExitCode::SUCCESS
        }
        (Err(silence), Some(error)) => outcome_unknown(&format!(
            "not known to be {}: {error}; {silence}; run the same command again",
            change.done()
        )),
    }
}

/// A controller that says no is told apart from one that was not reached.
fn refused(change: Change, error: &RequestError) -> ExitCode {
    let what = format!("{} the voter", change.name());
    match error.code() {
        Some(_) => fail(&format!("could not {what}: {error}; nothing was changed")),
        None => unreachable(&what, error),
    }
}

/// There is nothing to remove.
pub(super) fn votes_not(seen: &Seen, options: &ChangeOptions) -> ExitCode {
    let words = format!("node {} does not vote: nothing to do", options.node);
    give(Change::Remove, seen, options, "unchanged", &words)
}

/// Tells how it ended.
pub(super) fn give(
    change: Change,
    seen: &Seen,
    options: &ChangeOptions,
    verdict: &str,
    words: &str,
) -> ExitCode {
    if options.common.json {
        let mut document = seen.document(change.name());
        document["verdict"] = json!(verdict);
        document["node"] = json!(options.node);
        document["directory"] = json!(options.directory.to_string());
        say(&document);
    } else {
        say(&words);
    }
    ExitCode::SUCCESS
}
