//! `isthmus gateway`: one stable address for a cluster, until it is told to stop.

use crate::options::{ConfigOptions, fail, refuse};
use clap::Args;
use isthmus_broker::gateway::{GatewaySettings, RunningGateway, start_gateway};
use isthmus_config::{ConfigFile, ConfigProblems};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How long the runtime may take to end blocking work after the gateway has stopped.
const RUNTIME_STOP_MAX: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct GatewayOptions {
    #[command(flatten)]
    config: ConfigOptions,
}

pub(crate) fn run(options: &GatewayOptions) -> ExitCode {
    let began = Instant::now();
    if options.config.config.is_none() {
        return refuse(
            &"give a configuration with -c FILE; isthmus config sample gateway prints one",
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
    let code = runtime.block_on(serve(&settings, began));
    runtime.shutdown_timeout(RUNTIME_STOP_MAX);
    code
}

fn settings(options: &GatewayOptions) -> Result<GatewaySettings, ConfigProblems> {
    let layers = options
        .config
        .layers(ConfigFile::read, Vec::new(), Vec::new())?;
    GatewaySettings::load(&layers)
}

async fn serve(settings: &GatewaySettings, began: Instant) -> ExitCode {
    let (mut terminate, mut interrupt) = match (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => return fail(&format!("no signals: {error}")),
    };
    let running = match start_gateway(settings).await {
        Ok(running) => running,
        Err(error) => return fail(&error),
    };
    say_ready(&running, began);
    tokio::select! {
        _ = terminate.recv() => tracing::info!(event = "stopping", signal = "SIGTERM"),
        _ = interrupt.recv() => tracing::info!(event = "stopping", signal = "SIGINT"),
    }
    running.stop().await;
    ExitCode::SUCCESS
}

/// Printed once, when the ports answer; scripts wait for it.
#[expect(
    clippy::print_stdout,
    reason = "the ready line is this command's answer"
)]
fn say_ready(running: &RunningGateway, began: Instant) {
    let bootstrap = running.bootstrap().iter().map(ToString::to_string);
    let observe = running
        .observe()
        .map(|address| format!(" observe={address}"));
    println!(
        "ready gateway brokers={} bootstrap={}{} took={:.2}s",
        running.brokers(),
        bootstrap.collect::<Vec<_>>().join(","),
        observe.unwrap_or_default(),
        began.elapsed().as_secs_f64(),
    );
}
