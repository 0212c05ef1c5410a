//! The words in which a kind refuses a value, and those in which the manual tells its range.

use crate::Kind;
use crate::units::{show_bytes, show_millis};

/// Why a kind refuses a value, without the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {remedy}")]
pub struct Mismatch {
    pub what: String,
    pub remedy: String,
}

impl Kind {
    /// The refusal of a value that is not of this kind at all.
    pub(crate) fn mismatch(&self) -> Mismatch {
        let (what, remedy) = match *self {
            Self::Bool => (
                "is neither true nor false",
                "write true or false".to_owned(),
            ),
            Self::Int { .. } | Self::Long { .. } => (
                "is not a whole number in range",
                format!("write {}", self.range()),
            ),
            Self::Double { .. } => (
                "is not a number in range",
                format!("write {}", self.range()),
            ),
            Self::Text => ("is not text", "write it in quotes".to_owned()),
            Self::Path => ("is not a path", "write a path in quotes".to_owned()),
            Self::Address => (
                "is not an address",
                "write HOST:PORT or [IPV6]:PORT".to_owned(),
            ),
            Self::Choice(choices) => ("is not one of the choices", one_of(choices)),
            Self::List => (
                "is not a list of texts",
                "write [\"a\", \"b\"] or \"a,b\"".to_owned(),
            ),
            Self::Choices(choices) => ("is not a list of the choices", one_of(choices)),
            Self::Bytes { .. } => (
                "is not a size",
                "write bytes, or a size like \"64MiB\"".into(),
            ),
            Self::Duration { .. } => (
                "is not a duration",
                "write milliseconds, or a duration like \"30s\"".into(),
            ),
            Self::Secret => (
                "is not a reference to a secret (the value is not shown)",
                "put the secret in a file and write \"file:PATH\", or \"env:NAME\"".into(),
            ),
        };
        Mismatch {
            what: what.to_owned(),
            remedy,
        }
    }

    /// What a plain number of this kind counts.
    pub fn unit(&self) -> Option<&'static str> {
        match self {
            Self::Bytes { .. } => Some("bytes"),
            Self::Duration { .. } => Some("milliseconds"),
            Self::Bool
            | Self::Int { .. }
            | Self::Long { .. }
            | Self::Double { .. }
            | Self::Text
            | Self::Path
            | Self::Address
            | Self::Choice(_)
            | Self::List
            | Self::Choices(_)
            | Self::Secret => None,
        }
    }

    /// What a value of this kind is, in words for a manual.
    pub fn in_words(&self) -> String {
        match *self {
            Self::Bool => "true or false".to_owned(),
            Self::Int { .. }
            | Self::Long { .. }
            | Self::Double { .. }
            | Self::Bytes { .. }
            | Self::Duration { .. } => self.range(),
            Self::Text => "text".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Address => "HOST:PORT".to_owned(),
            Self::Choice(choices) => choices.join(", "),
            Self::List => "texts".to_owned(),
            Self::Choices(choices) => format!("some of {}", choices.join(", ")),
            Self::Secret => "file:PATH or env:NAME".to_owned(),
        }
    }

    /// The allowed range in words, for the remedy and the manual; empty for kinds without one.
    pub fn range(&self) -> String {
        match *self {
            Self::Int { min, max } => range_of(
                (min > i32::MIN).then(|| min.to_string()),
                (max < i32::MAX).then(|| max.to_string()),
                "a whole number",
            ),
            Self::Long { min, max } => range_of(
                (min > i64::MIN).then(|| min.to_string()),
                (max < i64::MAX).then(|| max.to_string()),
                "a whole number",
            ),
            Self::Double { min, max } => range_of(
                (min > f64::MIN).then(|| min.to_string()),
                (max < f64::MAX).then(|| max.to_string()),
                "a number",
            ),
            Self::Bytes { min, max } => range_of(
                (min > i64::MIN).then(|| show_bytes(min)),
                (max < i64::MAX).then(|| show_bytes(max)),
                "a size",
            ),
            Self::Duration { min_ms, max_ms } => range_of(
                (min_ms > i64::MIN).then(|| show_millis(min_ms)),
                (max_ms < i64::MAX).then(|| show_millis(max_ms)),
                "a duration",
            ),
            Self::Choice(choices) | Self::Choices(choices) => one_of(choices),
            Self::Bool | Self::Text | Self::Path | Self::Address | Self::List | Self::Secret => {
                String::new()
            }
        }
    }
}

fn range_of(min: Option<String>, max: Option<String>, noun: &str) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("{noun} from {min} to {max}"),
        (Some(min), None) => format!("{noun} of at least {min}"),
        (None, Some(max)) => format!("{noun} of at most {max}"),
        (None, None) => noun.to_owned(),
    }
}

pub(crate) fn one_of(choices: &[&str]) -> String {
    format!("choose from {}", choices.join(", "))
}
