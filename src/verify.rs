//! `isthmus verify`: compares what a flow copied with what it was copied from, record by record. It
//! reads both clusters itself and asks no daemon. Code 3 where they differ.

use crate::daemon::{Ended, run_to_end, say};
use crate::options::{
    ANSWER_IS_NO, CONFIGURATION, ConfigOptions, UNKNOWN_OUTCOME, UNREACHABLE, refuse,
};
use clap::Args;
use isthmus_replicator::settings::{Settings, read_config};
use isthmus_replicator::verify::{
    VerifyDocument, VerifyError, VerifyProgress, VerifyRequest, verify,
};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Between two lines of progress.
const TELL_EVERY: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct VerifyOptions {
    /// The flow.
    #[arg(value_name = "FLOW")]
    flow: String,
    /// Only these topics, by their names at the source.
    #[arg(value_name = "TOPIC")]
    topics: Vec<String>,
    /// One JSON document on stdout.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigOptions,
}

pub(crate) fn run(options: &VerifyOptions) -> ExitCode {
    if options.config.config.is_none() {
        return refuse(&"give the replicator's file with -c FILE");
    }
    let layers = options.config.layers(read_config, Vec::new(), Vec::new());
    let settings = match layers.and_then(|layers| Settings::load(&layers)) {
        Ok(settings) => settings,
        Err(problems) => return refuse(&problems),
    };
    let request = VerifyRequest {
        flow: options.flow.clone(),
        topics: options.topics.clone(),
    };
    let progress = VerifyProgress::default();
    run_to_end(async {
        let telling = async {
            loop {
                tokio::time::sleep(TELL_EVERY).await;
                tell(&progress);
            }
        };
        let document = tokio::select! {
            document = verify(&settings, &request, &progress) => document.map_err(ended)?,
            never = telling => never,
        };
        show(&document, options.json)?;
        Ok(if document.same { 0 } else { ANSWER_IS_NO })
    })
}

fn ended(error: VerifyError) -> Ended {
    let code = match &error {
        VerifyError::UnknownFlow(_) | VerifyError::UnknownTopic { .. } => CONFIGURATION,
        VerifyError::Unreachable { .. } => UNREACHABLE,
        VerifyError::State(_) => 1,
        VerifyError::Midway { .. } => UNKNOWN_OUTCOME,
    };
    Ended::new(code, error)
}

#[expect(clippy::print_stderr, reason = "progress goes to stderr")]
fn tell(progress: &VerifyProgress) {
    let count = |it: &std::sync::atomic::AtomicU64| it.load(Ordering::Relaxed);
    eprintln!(
        "{} records read, {} of {} partitions done",
        count(&progress.records),
        count(&progress.partitions_done),
        count(&progress.partitions)
    );
}

fn show(document: &VerifyDocument, json: bool) -> Result<(), Ended> {
    if json {
        let text = serde_json::to_string(document).map_err(|error| Ended::new(1, error))?;
        say(&text);
        return Ok(());
    }
    let total = &document.total;
    let mut parts = vec![format!("{} records compared", total.compared)];
    parts.extend(total.explained());
    let behind: i64 = document.partitions.iter().map(|it| it.not_yet_copied).sum();
    if behind > 0 {
        parts.push(format!("{behind} not copied yet"));
    }
    say(&format!(
        "{}: {} partitions, {}",
        document.flow,
        document.partitions.len(),
        parts.join(", ")
    ));
    if !document.not_mirrored.is_empty() {
        say(&format!(
            "not mirrored: {}",
            document.not_mirrored.join(", ")
        ));
    }
    if let Some((partition, first)) = document.first_difference() {
        say(&format!("{} differences, the first:", total.differences));
        let offset = |offset: Option<i64>| offset.map_or("-".to_owned(), |it| it.to_string());
        let side = |side: &Option<String>| side.clone().unwrap_or("nothing".to_owned());
        say(&format!(
            "{}-{} at {} is {}-{} at {}: {}",
            partition.topic,
            partition.partition,
            offset(first.source_offset),
            partition.target_topic,
            partition.partition,
            offset(first.target_offset),
            first.kind.name()
        ));
        say(&format!("  source: {}", side(&first.source)));
        say(&format!("  target: {}", side(&first.target)));
    }
    say(match (document.same, total.compared) {
        (true, _) => "both sides are the same",
        (false, 0) => "nothing was compared",
        (false, _) => "the sides differ",
    });
    Ok(())
}
