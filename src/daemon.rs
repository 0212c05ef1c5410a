//! Asking a replicator that runs: by `-c FILE`, whose daemon says where it answers, or by its URL.

use crate::options::{CONFIGURATION, UNKNOWN_OUTCOME, UNREACHABLE, layers};
use clap::Args;
use isthmus_config::{ConfigProblems, Secret, SecretRef, process_env};
use isthmus_replicator::http::{DaemonAnswer, DaemonError, get, post};
use isthmus_replicator::settings::{DaemonSettings, read_config};
use std::path::PathBuf;
use std::process::ExitCode;

/// The variable of the key `daemon.control_token`, read where no file is given.
const TOKEN_VARIABLE: &str = "ISTHMUS_DAEMON_CONTROL_TOKEN";

/// Which daemon.
#[derive(Args)]
pub(crate) struct DaemonOptions {
    /// The replicator's configuration file; it says where the daemon answers.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the daemon answers, over the file: http://HOST:PORT.
    #[arg(long, value_name = "URL")]
    control: Option<String>,
    /// One JSON document on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is asked of the daemon.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Both listeners show the state.
    Look,
    /// Only the control listener changes things.
    Change,
}

/// A daemon that can be asked.
pub(crate) struct Daemon {
    url: String,
    token: Option<Secret>,
}

/// Why a command ends here: a code, and what to say.
pub(crate) struct Ended {
    pub(crate) code: u8,
    pub(crate) why: String,
}

impl Ended {
    pub(crate) fn new(code: u8, why: impl std::fmt::Display) -> Self {
        let why = why.to_string();
        Self { code, why }
    }

    #[expect(
        clippy::print_stderr,
        reason = "the answer of a command that ends early"
    )]
    pub(crate) fn say(&self) -> ExitCode {
        eprintln!("{}", self.why);
        ExitCode::from(self.code)
    }
}

impl From<ConfigProblems> for Ended {
    fn from(problems: ConfigProblems) -> Self {
        Self::new(CONFIGURATION, problems)
    }
}

impl DaemonOptions {
    pub(crate) fn find(&self, purpose: Purpose) -> Result<Daemon, Ended> {
        let Some(file) = &self.config else {
            let Some(url) = self.control.clone() else {
                let why =
                    "give the replicator's file with -c FILE, or its address with --control URL";
                return Err(Ended::new(CONFIGURATION, why));
            };
            let token = token_of_the_environment()?;
            return Ok(Daemon { url, token });
        };
        let layers = layers(Some(read_config(file)?), &[], Vec::new(), Vec::new())?;
        let daemon = DaemonSettings::load(&layers)?;
        let control = daemon.control.as_ref();
        let url = match (purpose, &self.control) {
            (_, Some(url)) => Some(url.clone()),
            (Purpose::Look, None) => daemon
                .observe
                .or(control.map(|control| control.address))
                .map(|address| address.to_string()),
            (Purpose::Change, None) => control.map(|control| control.address.to_string()),
        };
        let Some(url) = url else {
            let key = match purpose {
                Purpose::Look => "observe",
                Purpose::Change => "control",
            };
            let why = format!(
                "{}: daemon.{key}: is missing, so no daemon of this file can be asked; set it to a HOST:PORT, or give --control URL",
                file.display()
            );
            return Err(Ended::new(CONFIGURATION, why));
        };
        // Observers need no token, and may not be allowed to read it.
        let asks_control =
            purpose == Purpose::Change || self.control.is_some() || daemon.observe.is_none();
        let token = control.and_then(|control| control.token.as_ref());
        let token = token.filter(|_| asks_control).map(read).transpose()?;
        Ok(Daemon { url, token })
    }
}

fn token_of_the_environment() -> Result<Option<Secret>, Ended> {
    let variables = process_env();
    let Some((_, text)) = variables.iter().find(|(name, _)| name == TOKEN_VARIABLE) else {
        return Ok(None);
    };
    let reference: SecretRef = text
        .parse()
        .map_err(|error| Ended::new(CONFIGURATION, format!("{TOKEN_VARIABLE}: {error}")))?;
    read(&reference).map(Some)
}

fn read(reference: &SecretRef) -> Result<Secret, Ended> {
    let secret = reference.read(|name| std::env::var(name).ok());
    secret.map_err(|error| Ended::new(CONFIGURATION, format!("could not {error}")))
}

/// The name of a flow holds nothing that an address would have to escape.
pub(crate) fn flow_name(text: &str) -> Result<&str, Ended> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !text.is_empty() && text.chars().all(is_legal) {
        return Ok(text);
    }
    let why = format!("{text:?} cannot be the name of a flow: write a-z A-Z 0-9 . _ -");
    Err(Ended::new(CONFIGURATION, why))
}

impl Daemon {
    pub(crate) async fn get(&self, path: &str) -> Result<DaemonAnswer, Ended> {
        let answer = get(&self.url, path, self.token.as_ref()).await;
        // Nothing is changed by looking, so no outcome is unknown.
        answer.map_err(|error| match error {
            DaemonError::Url(_) => Ended::new(CONFIGURATION, error),
            DaemonError::Unreachable { .. } | DaemonError::NoAnswer { .. } => {
                Ended::new(UNREACHABLE, error)
            }
        })
    }

    pub(crate) async fn post(&self, path: &str, json: String) -> Result<DaemonAnswer, Ended> {
        let answer = post(&self.url, path, self.token.as_ref(), json).await;
        answer.map_err(|error| match error {
            DaemonError::Url(_) => Ended::new(CONFIGURATION, error),
            DaemonError::Unreachable { .. } => Ended::new(UNREACHABLE, error),
            DaemonError::NoAnswer { .. } => Ended::new(UNKNOWN_OUTCOME, error),
        })
    }
}

/// Runs what asks on a runtime of one thread.
pub(crate) fn run_to_end(work: impl Future<Output = Result<u8, Ended>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => Err(Ended::new(1, format!("could not start: {error}"))),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(ended) => ended.say(),
    }
}

#[expect(clippy::print_stdout, reason = "the answer of a command")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
