//! `isthmus status`: how far a running replicator's flows are. Code 3 where somebody should look.

use crate::daemon::{Daemon, DaemonOptions, Ended, Purpose, flow_name, run_to_end, say};
use crate::options::{ANSWER_IS_NO, CONFIGURATION, UNREACHABLE};
use clap::Args;
use isthmus_replicator::status::{StatusDocument, table};
use std::process::ExitCode;
use std::time::Duration;

/// Between two looks with --watch; the daemon takes a snapshot each second.
const WATCH_EVERY: Duration = Duration::from_secs(2);

#[derive(Args)]
pub(crate) struct StatusOptions {
    /// One flow, with its partitions.
    #[arg(value_name = "FLOW")]
    flow: Option<String>,
    /// Look again every two seconds until interrupted.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    daemon: DaemonOptions,
}

pub(crate) fn run(options: &StatusOptions) -> ExitCode {
    let daemon = match options.daemon.find(Purpose::Look) {
        Ok(daemon) => daemon,
        Err(ended) => return ended.say(),
    };
    run_to_end(async {
        if options.watch {
            watch(&daemon, options).await
        } else {
            look(&daemon, options).await
        }
    })
}

/// Until interrupted. A daemon that restarts is waited for; a wrong question is not asked again.
async fn watch(daemon: &Daemon, options: &StatusOptions) -> Result<u8, Ended> {
    loop {
        match look(daemon, options).await {
            Ok(_) => {}
            Err(ended) if ended.code == UNREACHABLE => drop(ended.say()),
            Err(ended) => return Err(ended),
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

async fn look(daemon: &Daemon, options: &StatusOptions) -> Result<u8, Ended> {
    let path = match &options.flow {
        Some(flow) => format!("/status?flow={}", flow_name(flow)?),
        None => "/status".to_owned(),
    };
    let answer = daemon.get(&path).await?;
    let text = String::from_utf8_lossy(&answer.body);
    match answer.status {
        200 => {}
        404 => return Err(Ended::new(CONFIGURATION, text.trim_end())),
        code => {
            let why = format!("the daemon answered {code}: {}", text.trim_end());
            return Err(Ended::new(1, why));
        }
    }
    let document: StatusDocument = serde_json::from_str(&text)
        .map_err(|error| Ended::new(1, format!("could not read the daemon's status: {error}")))?;
    if options.daemon.json {
        say(&text);
    } else {
        say(&table(&document, options.flow.is_some()));
    }
    Ok(if document.is_healthy() {
        0
    } else {
        ANSWER_IS_NO
    })
}
