//! One thing wrong in the configuration, told so that the reader can mend it without searching.
//!
//! Invariant: a problem names its place, key, value and remedy. A value that may be a secret is
//! not repeated.

use std::fmt;

use crate::Origin;

/// One problem. `Display` is `PLACE: key: value: what is wrong; remedy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    pub origin: Origin,
    /// The key as the reader knows it; empty when the file as a whole is meant.
    pub key: String,
    /// The value as it was written; absent when there is none, or when it must not be shown.
    pub value: Option<String>,
    /// Lower case, no full stop: "is not a duration".
    pub what: String,
    /// What to do, in the imperative: "write milliseconds or 30s".
    pub remedy: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        if let Some(value) = &self.value {
            write!(f, "{value}: ")?;
        }
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

impl std::error::Error for ConfigProblem {}

/// All problems of one configuration, in the order of the layers and then of the lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblems(pub Vec<ConfigProblem>);

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigProblems {}

impl From<ConfigProblem> for ConfigProblems {
    fn from(problem: ConfigProblem) -> Self {
        Self(vec![problem])
    }
}
