//! `isthmus quorum status`: the voters as their leader sees them. Code 3 where somebody should look.

use super::seen::{Finding, Member, Seen};
use super::{CommonOptions, look_or_end};
use crate::cluster::say;
use crate::options::ANSWER_IS_NO;
use clap::Args;
use comfy_table::{Table, presets};
use isthmus_client::Admin;
use isthmus_config::units::show_millis;
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct StatusOptions {
    #[command(flatten)]
    common: CommonOptions,
}

pub(super) fn run(options: &StatusOptions) -> ExitCode {
    let common = &options.common;
    common.cluster.run(|admin| status(admin, common.json))
}

async fn status(admin: Admin, json: bool) -> ExitCode {
    let seen = match look_or_end(&admin).await {
        Ok(seen) => seen,
        Err(code) => return code,
    };
    let findings = seen.findings();
    if json {
        say(&document(&seen, &findings));
    } else {
        say(&in_words(&seen, &findings));
    }
    if findings.iter().any(Finding::is_warning) {
        ExitCode::from(ANSWER_IS_NO)
    } else {
        ExitCode::SUCCESS
    }
}

fn document(seen: &Seen, findings: &[Finding]) -> Value {
    let finding = |it: &Finding| {
        json!({
            "kind": it.kind(),
            "level": it.level(),
            "voter": it.voter(),
            "text": it.to_string(),
        })
    };
    let mut document = seen.document("status");
    document["healthy"] = json!(!findings.iter().any(Finding::is_warning));
    document["findings"] = findings.iter().map(finding).collect();
    document
}

fn in_words(seen: &Seen, findings: &[Finding]) -> String {
    let leader = match seen.leader {
        Some(leader) => leader.to_string(),
        None => "none".to_owned(),
    };
    let mut text = format!(
        "quorum of cluster {}: leader {leader}, epoch {}, high watermark {}\n{}\n{}",
        seen.cluster,
        seen.epoch,
        seen.high_watermark,
        table(seen),
        spare(seen),
    );
    for finding in findings {
        text.push_str(&format!("\n{}: {finding}", finding.level()));
    }
    text
}

fn spare(seen: &Seen) -> String {
    format!(
        "{} of {} voters follow, {} are a majority: {} may be lost",
        seen.sound(),
        seen.voters.len(),
        seen.majority(),
        seen.spare()
    )
}

fn table(seen: &Seen) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "NODE",
        "ROLE",
        "DIRECTORY",
        "ADDRESS",
        "LOG END",
        "LAG",
        "LAST FETCH",
        "CAUGHT UP",
        "STANDING",
    ]);
    for voter in &seen.voters {
        table.add_row(row(voter, "voter"));
    }
    for observer in &seen.observers {
        table.add_row(row(observer, "observer"));
    }
    table
}

fn row(member: &Member, role: &str) -> [String; 9] {
    let number = |it: Option<i64>| it.map_or_else(|| "-".to_owned(), |it| it.to_string());
    let ago = |it: Option<i64>| {
        it.map_or_else(|| "-".to_owned(), |ms| format!("{} ago", show_millis(ms)))
    };
    [
        member.id.to_string(),
        role.to_owned(),
        member.directory.to_string(),
        member.address.clone().unwrap_or_else(|| "-".to_owned()),
        number(member.log_end),
        number(member.lag),
        ago(member.since_fetch_ms),
        ago(member.since_caught_up_ms),
        member.standing.name().to_owned(),
    ]
}
