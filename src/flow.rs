//! `isthmus flow`: pauses and resumes flows of a running replicator, or parts of them; and lets one
//! mirror again whose role says otherwise, which needs no daemon.

use crate::daemon::{DaemonOptions, Ended, Purpose, flow_name, run_to_end, say};
use crate::failover::{ActOptions, ended, settings};
use crate::options::{CONFIGURATION, ConfigOptions, UNKNOWN_OUTCOME, refuse};
use clap::{Args, Subcommand};
use isthmus_replicator::failover::{ReleaseDocument, release};
use isthmus_replicator::http::{FlowAnswer, Part, Refusal};
use std::process::ExitCode;

#[derive(Args)]
pub(crate) struct FlowOptions {
    #[command(subcommand)]
    command: FlowCommand,
}

#[derive(Subcommand)]
enum FlowCommand {
    /// Stop copying until resumed, or until the daemon starts again.
    Pause(PartOptions),
    /// Go on where it stopped.
    Resume(PartOptions),
    /// Let a flow mirror again after a failover, or after it was held.
    Release(ReleaseOptions),
}

#[derive(Args)]
struct ReleaseOptions {
    /// The flow, all of it.
    #[arg(value_name = "FLOW")]
    flow: String,
    /// Say what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    act: ActOptions,
    /// One JSON document on stdout.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigOptions,
}

#[derive(Args)]
struct PartOptions {
    /// A flow, a topic of it by its name at the source, or a partition of that.
    #[arg(value_name = "FLOW[/TOPIC[/PARTITION]]")]
    part: String,
    #[command(flatten)]
    daemon: DaemonOptions,
}

pub(crate) fn run(options: &FlowOptions) -> ExitCode {
    let (act, options) = match &options.command {
        FlowCommand::Pause(options) => ("pause", options),
        FlowCommand::Resume(options) => ("resume", options),
        FlowCommand::Release(options) => return run_release(options),
    };
    let Some((flow, part)) = parse(&options.part) else {
        let form = "write FLOW, FLOW/TOPIC or FLOW/TOPIC/PARTITION";
        return refuse(&format!("{:?} is no part of a flow; {form}", options.part));
    };
    let daemon = match options.daemon.find(Purpose::Change) {
        Ok(daemon) => daemon,
        Err(ended) => return ended.say(),
    };
    run_to_end(async {
        let json = serde_json::to_string(&part).map_err(|error| Ended::new(1, error))?;
        let path = format!("/flows/{}/{act}", flow_name(flow)?);
        let answer = daemon.post(&path, json).await?;
        if answer.is_success() {
            return done(options, &answer.body);
        }
        let refusal = serde_json::from_slice::<Refusal>(&answer.body);
        let why = refusal.map_or_else(
            |_| format!("the daemon answered {}", answer.status),
            |refusal| refusal.error,
        );
        let code = match answer.status {
            404 | 422 => CONFIGURATION,
            504 => UNKNOWN_OUTCOME,
            _ => 1,
        };
        Err(Ended::new(code, why))
    })
}

fn run_release(options: &ReleaseOptions) -> ExitCode {
    if options.flow.contains('/') {
        let why = "a flow is released as a whole; this build releases no topic or partition";
        return refuse(&why);
    }
    let settings = match settings(&options.config) {
        Ok(settings) => settings,
        Err(refused) => return refused,
    };
    run_to_end(async {
        let (flow, who) = (&options.flow, options.act.who());
        let found = release(&settings, flow, &who, true).await.map_err(ended)?;
        if options.dry_run || found.verdict == "unchanged" {
            return show_release(options, &found);
        }
        let plan = format!(
            "let {flow} write to {} again, where it is {}: what clients wrote there meanwhile stays, \
             and may come to stand between mirrored records",
            found.target, found.role
        );
        options.act.consent(&plan)?;
        let done = release(&settings, flow, &who, false).await.map_err(ended)?;
        show_release(options, &done)
    })
}

fn show_release(options: &ReleaseOptions, it: &ReleaseDocument) -> Result<u8, Ended> {
    if options.json {
        let text = serde_json::to_string(it).map_err(|error| Ended::new(1, error))?;
        say(&text);
        return Ok(0);
    }
    let ReleaseDocument {
        flow,
        role,
        role_epoch,
        ..
    } = it;
    say(&match it.verdict {
        "unchanged" => format!("{flow} is {role} already: nothing to do"),
        "would-release" => {
            format!("{flow} is {role}, role epoch {role_epoch}; nothing was changed")
        }
        _ => format!("{flow} is {role}, role epoch {role_epoch}"),
    });
    Ok(0)
}

fn done(options: &PartOptions, body: &[u8]) -> Result<u8, Ended> {
    let told = |error: serde_json::Error| {
        Ended::new(1, format!("could not read the daemon's answer: {error}"))
    };
    let answer: FlowAnswer = serde_json::from_slice(body).map_err(told)?;
    if options.daemon.json {
        say(&serde_json::to_string(&answer).map_err(told)?);
    } else {
        let FlowAnswer {
            state, partitions, ..
        } = answer;
        say(&format!("{} {state} partitions={partitions}", options.part));
    }
    Ok(0)
}

/// No name of a flow or a topic holds a slash.
fn parse(text: &str) -> Option<(&str, Part)> {
    let mut words = text.split('/');
    let flow = words.next().filter(|flow| !flow.is_empty())?;
    let topic = words.next().map(str::to_owned);
    let partition = words.next().map(str::parse).transpose().ok()?;
    let is_whole = words.next().is_none() && topic.as_deref() != Some("");
    is_whole.then_some((flow, Part { topic, partition }))
}
