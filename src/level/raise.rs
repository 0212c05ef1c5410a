//! `isthmus level raise`: lets the cluster write what its nodes already know.
//!
//! One step: UpdateFeatures, decided by the controller, which refuses whatever a node does not
//! support. Where its answer is lost the cluster is asked again; running the command once more does
//! no harm, since a level that holds already is no change.

use super::{CommonOptions, FEATURE, Seen, look, look_or_end};
use crate::cluster::{consent, outcome_unknown, say, say_no, unreachable};
use crate::options::fail;
use clap::Args;
use isthmus_client::admin::{FeatureUpdate, UpgradeType};
use isthmus_client::{Admin, RequestError};
use serde_json::json;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct RaiseOptions {
    #[command(flatten)]
    common: CommonOptions,
    /// Level to raise to [default: the highest that all nodes support].
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(i16).range(1..))]
    to: Option<i16>,
    /// Say what would be done, have the controller check it, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(options: &RaiseOptions) -> ExitCode {
    options.common.cluster.run(|admin| raise(admin, options))
}

async fn raise(admin: Admin, options: &RaiseOptions) -> ExitCode {
    let (seen, level) = match look_or_end(&admin).await {
        Ok(found) => found,
        Err(code) => return code,
    };
    let target = match target(&seen, level, options.to) {
        Ok(target) => target,
        Err(code) => return code,
    };
    let answer = Answer {
        seen: &seen,
        from: level,
        to: target,
        json: options.common.json,
    };
    if target == level {
        let what = match seen.highest() {
            Some(highest) if highest > level => "nothing to do",
            Some(_) | None => "the highest that all nodes support: nothing to do",
        };
        return answer.give(
            "unchanged",
            &format!("{FEATURE} is {level} already, {what}"),
        );
    }
    let plan = format!("{FEATURE} from {level} to {target}; it cannot be lowered again");
    if options.dry_run {
        return match admin.update_features(&[update(target)], true).await {
            Ok(()) => answer.give("would-raise", &format!("would raise {plan}")),
            Err(error) => refused(&error),
        };
    }
    if let Err(code) = consent(options.yes, &format!("raise {plan}")) {
        return code;
    }
    match admin.update_features(&[update(target)], false).await {
        Ok(()) => answer.give(
            "raised",
            &format!("raised {FEATURE} from {level} to {target}"),
        ),
        Err(error) if error.may_have_happened() => settle(&admin, &answer, &error).await,
        Err(error) => refused(&error),
    }
}

/// The level to raise to, if there is nothing against it.
fn target(seen: &Seen, level: i16, wanted: Option<i16>) -> Result<i16, ExitCode> {
    for node in &seen.nodes {
        if let Err(error) = &node.range {
            let what = format!("ask node {} at {} what it supports", node.id, node.address);
            return Err(unreachable(&what, error));
        }
    }
    let Some(highest) = seen.highest() else {
        let all = "not every node knows levels: stop those of other builds first";
        return Err(say_no(&all));
    };
    let target = wanted.unwrap_or(highest.max(level));
    if target > highest {
        let short = seen.nodes.iter().filter_map(|node| match node.range {
            Ok(Some((_, max))) if max < target => Some(format!("node {} up to {max}", node.id)),
            Ok(_) | Err(_) => None,
        });
        let short: Vec<String> = short.collect();
        return Err(say_no(&format!(
            "could not raise {FEATURE} to {target}: supported by {}; nothing was changed: start \
             newer builds there first",
            short.join(", ")
        )));
    }
    if target < level {
        return Err(say_no(&format!(
            "could not lower {FEATURE} from {level} to {target}: records of level {level} may stand \
             in the metadata; nothing was changed"
        )));
    }
    Ok(target)
}

fn update(level: i16) -> FeatureUpdate {
    FeatureUpdate {
        feature: FEATURE.to_owned(),
        level,
        upgrade_type: UpgradeType::Upgrade,
    }
}

/// The answer was lost: what the cluster says now decides.
async fn settle(admin: &Admin, answer: &Answer<'_>, error: &RequestError) -> ExitCode {
    let now = look(admin).await.ok().and_then(|seen| seen.level);
    if now.is_some_and(|level| level >= answer.to) {
        let what = format!("raised {FEATURE} from {} to {}", answer.from, answer.to);
        return answer.give("raised", &what);
    }
    outcome_unknown(&format!(
        "the answer was lost ({error}), and the level is not known to be {}; run the same command \
         again",
        answer.to
    ))
}

/// A controller that says no is told apart from one that was not reached.
fn refused(error: &RequestError) -> ExitCode {
    match error.code() {
        Some(_) => fail(&format!(
            "could not raise {FEATURE}: {error}; nothing was changed"
        )),
        None => unreachable(&format!("raise {FEATURE}"), error),
    }
}

/// How the verdict is told.
struct Answer<'a> {
    seen: &'a Seen,
    from: i16,
    to: i16,
    json: bool,
}

impl Answer<'_> {
    fn give(&self, verdict: &str, words: &str) -> ExitCode {
        if self.json {
            let mut document = self.seen.document("raise");
            document["verdict"] = json!(verdict);
            document["from"] = json!(self.from);
            document["to"] = json!(self.to);
            say(&document);
        } else {
            say(&words);
        }
        ExitCode::SUCCESS
    }
}
