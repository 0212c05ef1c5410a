//! `isthmus failover`: the source is lost, or given up; its flows' targets are taken for good. It asks
//! the clusters themselves, so it needs no daemon. Code 3 where it may not be done, 5 stopped midway.

use crate::daemon::{Ended, run_to_end, say};
use crate::options::{
    ANSWER_IS_NO, CONFIGURATION, ConfigOptions, UNKNOWN_OUTCOME, UNREACHABLE, refuse,
};
use clap::Args;
use isthmus_config::units::{parse_millis, show_millis};
use isthmus_replicator::failover::{
    FailoverDocument, FailoverError, FailoverRequest, FlowDocument, GroupDocument, StepDocument,
    Verdict, carry_out, survey,
};
use isthmus_replicator::failover::{LossDocument, LossMax};
use isthmus_replicator::settings::{Settings, read_config};
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

/// Groups and partitions that are shown per flow; the rest is counted, and stands in the document.
const LINES_MAX: usize = 20;

#[derive(Args)]
pub(crate) struct FailoverOptions {
    /// Flows to fail over to their targets.
    #[arg(
        value_name = "FLOW",
        required_unless_present = "cluster",
        conflicts_with = "cluster"
    )]
    flows: Vec<String>,
    /// All flows out of this cluster.
    #[arg(long, value_name = "CLUSTER")]
    cluster: Option<String>,
    /// Even though the source answers, groups are not ready, or the loss is not known.
    #[arg(long)]
    forced: bool,
    /// Only if no more may be lost: a number of records, or a time such as 30s.
    #[arg(long, value_name = "N|TIME", value_parser = loss_max)]
    max_loss: Option<LossMax>,
    /// Say what would be lost and what stands in the way, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Go on with a failover that stopped midway; begin none.
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    act: ActOptions,
    /// JSON on stdout: a line per step, the last is the verdict.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigOptions,
}

/// What every act takes that changes a role.
#[derive(Args)]
pub(crate) struct ActOptions {
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Who does it, for the record [default: user@host].
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
}

impl ActOptions {
    pub(crate) fn who(&self) -> String {
        self.by.clone().unwrap_or_else(|| {
            let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
            let host = isthmus_replicator::failover::host_name();
            format!("{}@{host}", user.unwrap_or_else(|_| "unknown".to_owned()))
        })
    }

    /// Asks whoever sits at the terminal; without one, `--yes` must have been given.
    #[expect(clippy::print_stderr, reason = "the question of an act")]
    pub(crate) fn consent(&self, plan: &str) -> Result<(), Ended> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            let why = format!("would {plan}; give --yes to do it, or --dry-run to only look");
            return Err(Ended::new(CONFIGURATION, why));
        }
        eprint!("This will {plan}. Type yes to go on: ");
        std::io::stderr().flush().ok();
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        match read {
            Ok(_) if line.trim() == "yes" => Ok(()),
            Ok(_) | Err(_) => Err(Ended::new(
                CONFIGURATION,
                "not confirmed; nothing was changed",
            )),
        }
    }
}

/// A plain number is records; with a unit it is a time.
fn loss_max(text: &str) -> Result<LossMax, String> {
    if let Ok(records) = text.parse::<i64>() {
        return match records {
            0.. => Ok(LossMax::Records(records)),
            _ => Err("is below 0".to_owned()),
        };
    }
    let millis = parse_millis(text).filter(|millis| *millis >= 0);
    millis
        .map(LossMax::Millis)
        .ok_or_else(|| "write a number of records, or a time such as 30s".to_owned())
}

pub(crate) fn run(options: &FailoverOptions) -> ExitCode {
    let settings = match settings(&options.config) {
        Ok(settings) => settings,
        Err(refused) => return refused,
    };
    let request = FailoverRequest {
        flows: options.flows.clone(),
        cluster: options.cluster.clone(),
        forced: options.forced,
        resume: options.resume,
        loss_max: options.max_loss,
        who: options.act.who(),
    };
    run_to_end(async {
        let mut found = survey(&settings, &request).await.map_err(ended)?;
        let document = found.document();
        let is_ready = document.verdict == Verdict::WouldPromote;
        if options.dry_run || !is_ready {
            show(&document, options.json)?;
            return Ok(if is_ready { 0 } else { ANSWER_IS_NO });
        }
        if !options.json {
            document.flows.iter().for_each(|it| say(&flow_lines(it)));
        }
        options.act.consent(&plan(&document))?;
        let tell = |step: StepDocument| {
            match options.json {
                true => say(&serde_json::to_string(&step).unwrap_or_default()),
                false => say(&step_line(&step)),
            };
        };
        let document = carry_out(&mut found, tell).await.map_err(ended)?;
        show_end(&document, options.json)?;
        Ok(0)
    })
}

/// The replicator's file, or what to say about it.
pub(crate) fn settings(config: &ConfigOptions) -> Result<Settings, ExitCode> {
    if config.config.is_none() {
        return Err(refuse(&"give the replicator's file with -c FILE"));
    }
    let layers = config.layers(read_config, Vec::new(), Vec::new());
    let settings = layers.and_then(|layers| Settings::load(&layers));
    settings.map_err(|problems| refuse(&problems))
}

pub(crate) fn ended(error: FailoverError) -> Ended {
    let code = match &error {
        FailoverError::UnknownFlow { .. } | FailoverError::UnknownCluster(_) => CONFIGURATION,
        FailoverError::Unreachable { .. } => UNREACHABLE,
        FailoverError::State { .. } => 1,
        FailoverError::Refused(_) => ANSWER_IS_NO,
        FailoverError::Midway(_) => UNKNOWN_OUTCOME,
    };
    Ended::new(code, error)
}

fn plan(document: &FailoverDocument) -> String {
    let flows = document.flows.iter().map(|it| {
        let FlowDocument { flow, target, .. } = it;
        format!("promote {flow} at {target}")
    });
    let flows: Vec<String> = flows.collect();
    format!("{}: {}", flows.join(", "), loss(&document.loss))
}

fn step_line(step: &StepDocument) -> String {
    match &step.flow {
        Some(flow) => format!("{flow}: {}", step.told),
        None => step.told.clone(),
    }
}

fn show(document: &FailoverDocument, json: bool) -> Result<(), Ended> {
    if json {
        return print(document);
    }
    document.flows.iter().for_each(|it| say(&flow_lines(it)));
    say(match document.verdict {
        Verdict::WouldPromote => "ready; nothing was changed",
        Verdict::Promoted => "promoted",
        Verdict::NotReady => "not ready; nothing was changed",
        Verdict::AboveMaxLoss => "more may be lost than --max-loss allows; nothing was changed",
    });
    Ok(())
}

fn show_end(document: &FailoverDocument, json: bool) -> Result<(), Ended> {
    if json {
        return print(document);
    }
    for it in &document.flows {
        say(&format!(
            "{}: {}; recorded in {} at {}, role epoch {}",
            it.flow,
            loss(&it.loss),
            it.recorded_in,
            it.target,
            it.role_epoch
        ));
        let waiting = it.groups.iter().filter(|group| !group.ready);
        let lines = some(waiting.map(group_line).collect());
        lines.iter().for_each(|line| say(line));
    }
    Ok(())
}

fn print(document: &FailoverDocument) -> Result<(), Ended> {
    let text = serde_json::to_string(document).map_err(|error| Ended::new(1, error))?;
    say(&text);
    Ok(())
}

/// The first of them, and how many there are beyond.
fn some(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(LINES_MAX);
    if more > 0 {
        lines.truncate(LINES_MAX);
        lines.push(format!("  and {more} more"));
    }
    lines
}

/// `lost at least 3 records, at most 40 or 7s; source seen 5s ago`.
fn loss(loss: &LossDocument) -> String {
    let unknown = || "nobody knows how many".to_owned();
    let most = loss.lost_at_most.map_or_else(unknown, |it| it.to_string());
    let time = loss
        .lost_at_most_seconds
        .map(|it| format!(" or {}", seconds(it)));
    let seen = loss.source_seen_seconds_ago;
    let seen = seen.map_or("never".to_owned(), |it| format!("{} ago", seconds(it)));
    format!(
        "lost at least {} records, at most {most}{}; source seen {seen}",
        loss.lost_at_least,
        time.unwrap_or_default()
    )
}

/// To the tenth of a second.
fn seconds(seconds: f64) -> String {
    let millis = (seconds * 10.0).round() as i64 * 100;
    show_millis(millis)
}

fn flow_lines(it: &FlowDocument) -> String {
    let mut lines = vec![format!("{}: {}", it.flow, loss(&it.loss))];
    if it.source_answers {
        lines.push(format!("  {} answers", it.source));
    }
    if let (Some(_), Some(by)) = (it.role_since_ms, &it.role_by) {
        lines.push(format!(
            "  {} by {by}, role epoch {}",
            it.role, it.role_epoch
        ));
    }
    let waiting = it.groups.iter().filter(|group| !group.ready);
    let waiting: Vec<String> = waiting.map(group_line).collect();
    let ready = it.groups.len() - waiting.len();
    if !it.groups.is_empty() {
        lines.push(format!(
            "  {ready} of {} group offsets are ready",
            it.groups.len()
        ));
    }
    lines.extend(some(waiting));
    let reasons = it.not_ready.iter();
    lines.extend(reasons.map(|reason| format!("  not ready: {reason}")));
    lines.join("\n")
}

fn group_line(it: &GroupDocument) -> String {
    let GroupDocument {
        group,
        topic,
        partition,
        ..
    } = it;
    let reason = it.reason.as_deref().unwrap_or("");
    format!("  group {group} at {topic}-{partition} is not ready: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_records_or_a_time() {
        assert_eq!(loss_max("0"), Ok(LossMax::Records(0)));
        assert_eq!(loss_max("1000"), Ok(LossMax::Records(1_000)));
        assert_eq!(loss_max("30s"), Ok(LossMax::Millis(30_000)));
        assert_eq!(loss_max("250ms"), Ok(LossMax::Millis(250)));
        for wrong in ["-1", "-30s", "soon", "", "3 records"] {
            assert!(loss_max(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_loss_is_told_with_what_is_not_known() {
        let known = LossDocument {
            lost_at_least: 3,
            lost_at_most: Some(40),
            lost_at_most_seconds: Some(7.04),
            source_seen_seconds_ago: Some(0.25),
        };
        assert_eq!(
            loss(&known),
            "lost at least 3 records, at most 40 or 7s; source seen 300ms ago"
        );
        let unknown = LossDocument {
            lost_at_most: None,
            lost_at_most_seconds: None,
            source_seen_seconds_ago: None,
            ..known
        };
        assert_eq!(
            loss(&unknown),
            "lost at least 3 records, at most nobody knows how many; source seen never"
        );
    }
}
