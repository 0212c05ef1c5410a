//! Options that several subcommands share, and how they become layers of configuration.

use clap::Args;
use isthmus_config::{ConfigFile, ConfigProblems, Layers, Setting, process_env};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Usage or configuration is wrong; nothing was touched.
pub(crate) const CONFIGURATION: u8 = 2;

/// It ran, and the answer is no.
pub(crate) const ANSWER_IS_NO: u8 = 3;

/// Nobody could be reached; nothing changed.
pub(crate) const UNREACHABLE: u8 = 4;

/// Stopped by a signal, with everything cleaned up.
#[cfg(feature = "lab")]
pub(crate) const INTERRUPTED: u8 = 130;

/// Stopped midway, or the outcome is not known.
pub(crate) const UNKNOWN_OUTCOME: u8 = 5;

/// Where settings come from.
#[derive(Args)]
pub(crate) struct ConfigOptions {
    /// Configuration file: TOML; for a broker also Kafka's server.properties by that ending.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set any key, over file and environment; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

impl ConfigOptions {
    /// The layers, lowest first: `presets`, the file, `ISTHMUS_*`, then `flags` and `--set`.
    pub(crate) fn layers(
        &self,
        read: ReadConfig,
        presets: Vec<Setting>,
        flags: Vec<Setting>,
    ) -> Result<Layers, ConfigProblems> {
        let file = self.config.as_deref().map(read).transpose()?;
        layers(file, &self.set, presets, flags)
    }
}

/// How a program reads its file.
pub(crate) type ReadConfig = fn(&Path) -> Result<ConfigFile, ConfigProblems>;

/// The layers, lowest first: `presets`, the file, `ISTHMUS_*`, then `flags` and `set`.
pub(crate) fn layers(
    file: Option<ConfigFile>,
    set: &[String],
    presets: Vec<Setting>,
    mut flags: Vec<Setting>,
) -> Result<Layers, ConfigProblems> {
    let set = set.iter().map(|text| Setting::parse("--set", text));
    flags.extend(set.collect::<Result<Vec<_>, _>>()?);
    Ok(Layers {
        presets,
        file,
        env: process_env(),
        flags,
    })
}

/// Says on stderr what is wrong, one line each.
#[expect(clippy::print_stderr, reason = "the answer to a wrong configuration")]
pub(crate) fn refuse(problems: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{problems}");
    ExitCode::from(CONFIGURATION)
}

/// Says on stderr why it did not work.
#[expect(clippy::print_stderr, reason = "the answer of a failed command")]
pub(crate) fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}
