//! `isthmus flow`: pauses and resumes flows of a running replicator, or parts of them.

use crate::daemon::{DaemonOptions, Ended, Purpose, flow_name, run_to_end, say};
use crate::options::{CONFIGURATION, UNKNOWN_OUTCOME, refuse};
use clap::{Args, Subcommand};
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
