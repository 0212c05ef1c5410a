//! `isthmus config check FILE --online`: what the file says, and what the clusters say to it. Code 3
//! where a flow would not do what the file says, 4 where a cluster could not be reached.

use super::program::Program;
use super::{AboveOptions, check, say};
use crate::daemon::{Ended, run_to_end};
use crate::options::{ANSWER_IS_NO, UNREACHABLE, refuse};
use isthmus_replicator::check::{OnlineDocument, OnlineFinding, OnlineFlow, check_online};
use isthmus_replicator::settings::Settings;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

pub(super) fn run(above: &AboveOptions, file: Option<&Path>) -> ExitCode {
    let loaded = above.layers(file);
    let (program, settings) = match loaded {
        Ok((program, layers)) => (program, Settings::load(&layers)),
        Err(_) => return check::run(above, file),
    };
    match (program, settings) {
        (Program::Broker | Program::Gateway, _) => {
            let why = format!(
                "--online is for a replicator's file, and this is a {}'s",
                program.name()
            );
            refuse(&why)
        }
        // The file alone is judged as ever, and no cluster is asked.
        (Program::Replicator, Err(_)) => check::run(above, file),
        (Program::Replicator, Ok(settings)) => run_to_end(ask(above, &settings)),
    }
}

async fn ask(above: &AboveOptions, settings: &Settings) -> Result<u8, Ended> {
    let online = check_online(settings).await;
    let online = online.map_err(|error| Ended::new(UNREACHABLE, error))?;
    let notices = check::findings(Ok(settings.notices().to_vec()));
    if above.json {
        let mut document = check::document(true, &notices);
        document["online"] = json!(online);
        say(&document.to_string());
    } else {
        check::tell(&notices);
        tell(&online);
    }
    Ok(if online.works { 0 } else { ANSWER_IS_NO })
}

fn tell(online: &OnlineDocument) {
    for flow in &online.flows {
        say(&line(flow));
    }
    for finding in &online.findings {
        let OnlineFinding {
            level,
            flow,
            what,
            remedy,
        } = finding;
        say(&format!("{level}: flow {flow}: {what}"));
        if let Some(remedy) = remedy {
            say(&format!("  {remedy}"));
        }
    }
    say(match online.works {
        true => "the flows would work",
        false => "the flows would not do what the file says",
    });
}

fn line(flow: &OnlineFlow) -> String {
    let mut parts = vec![
        format!("{} topics", flow.topics),
        format!("{} partitions", flow.partitions),
    ];
    parts.push(match flow.topics_without_size {
        0 => format!("{} to copy", size(flow.bytes)),
        all if all == flow.topics => "bytes to copy not known".to_owned(),
        some => format!(
            "{} to copy and {some} topics of unknown size",
            size(flow.bytes)
        ),
    });
    match (flow.seconds, flow.bytes_per_second_max) {
        (Some(seconds), Some(rate)) => parts.push(format!(
            "{:.1} hours at {} a second",
            seconds as f64 / 3_600.0,
            size(rate)
        )),
        (_, _) => parts.push("no rate is set".to_owned()),
    }
    parts.push(match flow.target_bytes_free {
        Some(free) => format!(
            "{} of {} free at the target",
            size(flow.target_bytes),
            size(free)
        ),
        None => format!(
            "{} at the target, free space not known",
            size(flow.target_bytes)
        ),
    });
    let (name, source, target) = (&flow.flow, &flow.source, &flow.target);
    format!("flow {name}, {source} to {target}: {}", parts.join(", "))
}

/// Powers of ten, as rates and disks are sold.
fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1_000.0 && unit + 1 < units.len() {
        value /= 1_000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{value:.1} {}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (50_000_000, "50.0 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
