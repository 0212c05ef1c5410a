//! Logs: on stderr, as text for people or JSON for collectors.

use clap::{ArgAction, Args, ValueEnum};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

#[derive(Args)]
pub(crate) struct LoggingOptions {
    /// More in the log; twice for debugging.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Only warnings and errors in the log.
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Form of the log lines.
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl LoggingOptions {
    /// Starts logging for the life of the process. `ISTHMUS_LOG` overrules the flags with a filter
    /// of its own, such as `isthmus_broker=debug`.
    pub(crate) fn start(&self) {
        let level = match (self.quiet, self.verbose) {
            (true, _) => "warn",
            (false, 0) => "info",
            (false, _) => "debug",
        };
        // The consensus library tells its steps at INFO, and at its end, as errors, which of its channels
        // were closed first; what it comes to is told by us.
        let level = match level {
            "debug" => "debug,openraft=info".to_owned(),
            level => format!("{level},openraft=error,openraft::core::raft_core=off"),
        };
        let filter =
            EnvFilter::try_from_env("ISTHMUS_LOG").unwrap_or_else(|_| EnvFilter::new(level));
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        let started = match self.log_format {
            LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
            LogFormat::Json => lines.json().flatten_event(true).try_init(),
        };
        // Only a second start fails, and the first one stands.
        started.ok();
    }
}
