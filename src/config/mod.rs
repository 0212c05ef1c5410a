//! `isthmus config`: looks at a program's configuration without starting anything.

mod check;
mod explain;
#[cfg(feature = "replicator")]
mod online;
mod program;
mod sample;
mod schema;

use crate::options::{layers, refuse};
use clap::{Args, Subcommand};
use isthmus_config::{ConfigProblems, Layers};
use program::Program;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub(crate) struct ConfigOptions {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Say everything that is wrong with a configuration, or will do nothing.
    Check(CheckOptions),
    /// Show effective values: where each comes from, what it overrides, what it means.
    Explain(ExplainOptions),
    /// Print a commented file to start from.
    Sample(sample::SampleOptions),
    /// Print a JSON schema of the file.
    Schema(SchemaOptions),
}

/// Which configuration: a file, and what the environment and flags say above it.
#[derive(Args)]
struct FileOptions {
    /// Configuration file: TOML, or Kafka's server.properties by that ending.
    #[arg(value_name = "FILE", required_unless_present = "config")]
    file: Option<PathBuf>,
    #[command(flatten)]
    above: AboveOptions,
}

#[derive(Args)]
struct CheckOptions {
    #[command(flatten)]
    file: FileOptions,
    /// Of a replicator: ask both clusters of each flow, too, whether it would work, with the file's
    /// own credentials and without writing anything.
    #[arg(long)]
    online: bool,
}

#[derive(Args)]
struct SchemaOptions {
    /// Whose file.
    #[arg(value_enum, default_value = "broker")]
    program: Program,
}

#[derive(Args)]
struct ExplainOptions {
    /// Configuration file, unless -c names it, and a key; without a key all that are set.
    #[arg(value_name = "FILE] [KEY", num_args = 0..=2)]
    words: Vec<String>,
    #[command(flatten)]
    above: AboveOptions,
}

#[derive(Args)]
struct AboveOptions {
    /// The configuration file, as elsewhere.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set any key, over file and environment; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// One JSON document on stdout.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &ConfigOptions) -> ExitCode {
    match &options.command {
        ConfigCommand::Check(options) => {
            let FileOptions { file, above } = &options.file;
            let file = above.config.clone().or_else(|| file.clone());
            match options.online {
                true => check_online(above, file.as_deref()),
                false => check::run(above, file.as_deref()),
            }
        }
        ConfigCommand::Explain(options) => explain(options),
        ConfigCommand::Sample(options) => sample::run(options),
        ConfigCommand::Schema(options) => schema::run(options.program),
    }
}

#[cfg(feature = "replicator")]
fn check_online(above: &AboveOptions, file: Option<&Path>) -> ExitCode {
    online::run(above, file)
}

#[cfg(not(feature = "replicator"))]
fn check_online(_above: &AboveOptions, _file: Option<&Path>) -> ExitCode {
    refuse(&"--online is for a replicator's file, and this build has no replicator")
}

fn explain(options: &ExplainOptions) -> ExitCode {
    let mut words = options.words.iter();
    let file = match &options.above.config {
        Some(file) => Some(file.clone()),
        None => words.next().map(PathBuf::from),
    };
    let key = words.next();
    if file.is_none() || words.next().is_some() {
        return refuse(&"give one file and at most one key: isthmus config explain FILE [KEY]");
    }
    explain::run(&options.above, file.as_deref(), key.map(String::as_str))
}

impl AboveOptions {
    /// The layers, and the program whose file it is.
    fn layers(&self, file: Option<&Path>) -> Result<(Program, Layers), ConfigProblems> {
        let (program, file) = match file {
            Some(path) => Program::read(path).map(|(program, file)| (program, Some(file)))?,
            None => (Program::Broker, None),
        };
        Ok((program, layers(file, &self.set, Vec::new(), Vec::new())?))
    }
}

/// Prints a command's answer.
#[expect(clippy::print_stdout, reason = "the answer of this command")]
fn say(text: &str) {
    println!("{text}");
}
