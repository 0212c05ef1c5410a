//! What a program hands in: its presets, file, environment and flags.
//!
//! Must not know: what the values mean. Nothing here reads the process's environment unless
//! [`process_env`] is called, so that tests and tools load a configuration of their own.

use crate::{ConfigFile, ConfigProblem, ConfigProblems, Origin};

/// Everything that can give a value, lowest rank first. Defaults rank below all of it.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// What a mode of the program puts in, such as `--dev`; the file overrides it.
    pub presets: Vec<Setting>,
    pub file: Option<ConfigFile>,
    /// Names and values; only names that begin with `ISTHMUS_` are looked at.
    pub env: Vec<(String, String)>,
    /// `--set KEY=VALUE` and flags of their own, such as `--data`; of two for one key the later
    /// holds.
    pub flags: Vec<Setting>,
}

/// A value from the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The flag as the user wrote it, for messages: `--set`, `--data`.
    pub flag: String,
    /// The key's address.
    pub key: String,
    pub value: String,
}

impl Setting {
    pub fn new(flag: &str, key: &str, value: impl Into<String>) -> Self {
        Self {
            flag: flag.to_owned(),
            key: key.to_owned(),
            value: value.into(),
        }
    }

    /// Takes `KEY=VALUE` apart, as `--set` gets it.
    pub fn parse(flag: &str, text: &str) -> Result<Self, ConfigProblems> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Self::new(flag, key.trim(), value.trim()))
            }
            Some(_) | None => Err(ConfigProblems(vec![ConfigProblem {
                origin: Origin::Flag(flag.to_owned()),
                key: text.to_owned(),
                value: None,
                what: "is not KEY=VALUE".to_owned(),
                remedy: format!("write {flag} log.retention.ms=604800000"),
            }])),
        }
    }
}

/// This process's variables that begin with `ISTHMUS_`, sorted, so that problems come in the
/// same order every time. Bytes that are not UTF-8 are replaced and then fail as values do.
pub fn process_env() -> Vec<(String, String)> {
    let mut env: Vec<_> = std::env::vars_os()
        .map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        })
        .filter(|(name, _)| name.starts_with("ISTHMUS_"))
        .collect();
    env.sort();
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_takes_the_first_equals_sign() {
        assert_eq!(
            Setting::parse("--set", "sasl.jaas.config=a=b"),
            Ok(Setting::new("--set", "sasl.jaas.config", "a=b"))
        );
        assert_eq!(
            Setting::parse("--set", " a = b "),
            Ok(Setting::new("--set", "a", "b"))
        );
        let refused = Setting::parse("--set", "log.retention.ms").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "flag --set: log.retention.ms: is not KEY=VALUE; write --set log.retention.ms=604800000"
        );
    }
}
