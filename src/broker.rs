//! `isthmus broker`: runs a broker until it is told to stop.

use crate::options::{ConfigOptions, fail, refuse};
use clap::Args;
use isthmus_broker::{
    DevListeners, Running, Settings, StopReason, dev_presets, read_config, start,
};
use isthmus_config::Setting;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How long the runtime may take to end blocking work after the broker has stopped.
const RUNTIME_STOP_MAX: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct BrokerOptions {
    /// Run a broker for development: node 1, one replica everywhere, formats its own directory.
    #[arg(long)]
    dev: bool,
    /// With --dev: address to listen at, in place of the file's listeners; port 0 takes any free port.
    #[arg(long, value_name = "ADDR:PORT", requires = "dev")]
    listen: Option<String>,
    /// With --listen: what clients are told to connect to, in place of that address.
    #[arg(long, value_name = "HOST:PORT", requires = "listen")]
    advertised: Option<String>,
    /// With --dev: data directory.
    #[arg(long, value_name = "DIR", requires = "dev")]
    data: Option<String>,
    #[command(flatten)]
    config: ConfigOptions,
}

pub(crate) fn run(options: &BrokerOptions) -> ExitCode {
    let began = Instant::now();
    if !options.dev && options.config.config.is_none() {
        return refuse(&"give a configuration with -c FILE, or --dev for a broker to try");
    }
    let settings = match settings(options) {
        Ok(settings) => settings,
        Err(problems) => return refuse(&problems),
    };
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

fn settings(options: &BrokerOptions) -> Result<Settings, isthmus_config::ConfigProblems> {
    let presets = if options.dev {
        dev_presets()
    } else {
        Vec::new()
    };
    let data = options
        .data
        .as_deref()
        .map(|data| Setting::new("--data", "node.data", data));
    let layers = options
        .config
        .layers(read_config, presets, data.into_iter().collect())?;
    let listeners = DevListeners {
        listen: options.listen.as_deref(),
        advertised: options.advertised.as_deref(),
    };
    Settings::load(&layers, options.dev.then_some(listeners))
}

async fn serve(settings: Settings, began: Instant) -> ExitCode {
    let (mut terminate, mut interrupt) = match (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => return fail(&format!("no signals: {error}")),
    };
    // Among other nodes a start waits for them, and whoever waits may be told to stop. No client has
    // been served by then: what was begun ends as in a crash.
    let started = tokio::select! {
        started = start(settings) => started,
        _ = terminate.recv() => return ExitCode::SUCCESS,
        _ = interrupt.recv() => return ExitCode::SUCCESS,
    };
    let running = match started {
        Ok(running) => running,
        Err(error) if error.is_configuration() => return refuse(&error),
        Err(error) => return fail(&error),
    };
    say_ready(&running, began);
    tokio::select! {
        _ = terminate.recv() => tracing::info!(event = "stopping", signal = "SIGTERM"),
        _ = interrupt.recv() => tracing::info!(event = "stopping", signal = "SIGINT"),
        () = running.failed() => {}
    }
    match running.stop().await {
        StopReason::Asked => ExitCode::SUCCESS,
        StopReason::Failed => {
            fail(&"stopped because the data directory failed, or a part of the broker; see the log")
        }
    }
}

/// Printed once, when the ports answer; scripts wait for it.
#[expect(
    clippy::print_stdout,
    reason = "the ready line is this command's answer"
)]
fn say_ready(running: &Running, began: Instant) {
    let bootstrap: Vec<String> = running
        .listeners()
        .iter()
        .map(|(_, address)| address.to_string())
        .collect();
    let observe = running
        .observe()
        .map(|address| format!(" observe={address}"))
        .unwrap_or_default();
    println!(
        "ready broker id={} cluster={} bootstrap={}{observe} took={:.2}s",
        running.node_id(),
        running.cluster_id(),
        bootstrap.join(","),
        began.elapsed().as_secs_f64(),
    );
}
