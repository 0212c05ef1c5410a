//! `isthmus replicator`: mirrors topics until it is told to stop.

use crate::options::{ConfigOptions, fail, refuse};
use clap::Args;
use isthmus_config::ConfigProblems;
use isthmus_replicator::http::Listeners;
use isthmus_replicator::settings::{Settings, read_config};
use isthmus_replicator::start;
use sd_notify::NotifyState;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long the runtime may take to end blocking work after the replicator has stopped.
const RUNTIME_STOP_MAX: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct ReplicatorOptions {
    /// Run this flow only; may be repeated.
    #[arg(long, value_name = "FLOW")]
    flow: Vec<String>,
    #[command(flatten)]
    config: ConfigOptions,
}

pub(crate) fn run(options: &ReplicatorOptions) -> ExitCode {
    let began = Instant::now();
    if options.config.config.is_none() {
        return refuse(
            &"give a configuration with -c FILE; isthmus config sample replicator prints one",
        );
    }
    let settings = match settings(options) {
        Ok(settings) => settings,
        Err(problems) => return refuse(&problems),
    };
    for notice in settings.notices() {
        tracing::warn!(event = "configuration_notice", "{notice}");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("could not start threads: {error}")),
    };
    let code = runtime.block_on(serve(settings, began));
    runtime.shutdown_timeout(RUNTIME_STOP_MAX);
    code
}

fn settings(options: &ReplicatorOptions) -> Result<Settings, ConfigProblems> {
    let layers = options.config.layers(read_config, Vec::new(), Vec::new())?;
    let mut settings = Settings::load(&layers)?;
    if !options.flow.is_empty() {
        settings.only(&options.flow)?;
    }
    Ok(settings)
}

async fn serve(settings: Settings, began: Instant) -> ExitCode {
    let (mut terminate, mut interrupt) = match (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => return fail(&format!("no signals: {error}")),
    };
    // The ports first: one in use is told before anything connects.
    let listeners = match Listeners::bind(&settings).await {
        Ok(listeners) => listeners,
        Err(error) => return fail(&error),
    };
    let running = match start(settings.clone()).await {
        Ok(running) => running,
        Err(error) => return refuse(&error),
    };
    let ready = ready_line(&settings, listeners.observe(), listeners.control());
    let stop = CancellationToken::new();
    let served = {
        let (status, commands, stop) = (running.status(), running.control(), stop.clone());
        tokio::spawn(async move { listeners.serve(&settings, status, commands, stop).await })
    };
    say_ready(&ready, began);
    tell_systemd(NotifyState::Ready);
    let failed = tokio::select! {
        _ = terminate.recv() => { tracing::info!(event = "stopping", signal = "SIGTERM"); None }
        _ = interrupt.recv() => { tracing::info!(event = "stopping", signal = "SIGINT"); None }
        why = running.failed() => Some(why),
    };
    tell_systemd(NotifyState::Stopping);
    running.stop().await;
    stop.cancel();
    // A page that is still being read does not hold the process back.
    tokio::time::timeout(Duration::from_secs(1), served)
        .await
        .ok();
    match failed {
        Some(why) => fail(&format!("stopped: {why}")),
        None => ExitCode::SUCCESS,
    }
}

fn ready_line(
    settings: &Settings,
    observe: Option<SocketAddr>,
    control: Option<SocketAddr>,
) -> String {
    let mut line = format!(
        "ready replicator name={} flows={}",
        settings.daemon.name,
        settings.flows.len()
    );
    for (name, address) in [("observe", observe), ("control", control)] {
        let address = address.map(|address| format!(" {name}={address}"));
        line.push_str(&address.unwrap_or_default());
    }
    line
}

/// Printed once, when the ports answer; scripts wait for it.
#[expect(
    clippy::print_stdout,
    reason = "the ready line is this command's answer"
)]
fn say_ready(line: &str, began: Instant) {
    println!("{line} took={:.2}s", began.elapsed().as_secs_f64());
}

/// Nothing happens where systemd did not start us.
fn tell_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(
            event = "systemd_not_told",
            "could not tell systemd: {error}"
        );
    }
}
