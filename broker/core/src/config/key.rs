//! One configuration key: its type, its default, and the check of a value.

use std::fmt;

/// What a value of a key is, with Kafka's type names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ConfigType {
    Boolean,
    Int {
        min: i32,
        max: i32,
    },
    Long {
        min: i64,
        max: i64,
    },
    Double {
        min: f64,
        max: f64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Words out of these, separated by commas.
    ChoiceList(&'static [&'static str]),
    /// Free words, separated by commas.
    List,
}

impl ConfigType {
    /// The `ConfigType` code of DescribeConfigs (KIP-569).
    pub fn code(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::Choice(_) => 2,
            Self::Int { .. } => 3,
            Self::Long { .. } => 5,
            Self::Double { .. } => 6,
            Self::ChoiceList(_) | Self::List => 7,
        }
    }
}

/// A key of a topic's configuration.
#[derive(Debug, Clone, Copy)]
pub struct ConfigKey {
    pub name: &'static str,
    pub kind: ConfigType,
    pub default: &'static str,
    /// The broker's own key that gives the default, if there is one.
    pub synonym: Option<&'static str>,
    pub doc: &'static str,
}

/// A value that does not fit its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigValueError {
    pub name: &'static str,
    pub value: String,
    pub problem: String,
}

impl fmt::Display for ConfigValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Invalid value {} for configuration {}: {}",
            self.value, self.name, self.problem
        )
    }
}

impl ConfigKey {
    /// Whether `value` fits.
    pub fn check(&self, value: &str) -> Result<(), ConfigValueError> {
        match self.kind {
            ConfigType::Boolean => self.boolean(value).map(drop),
            ConfigType::Int { .. } => self.int(value).map(drop),
            ConfigType::Long { .. } => self.long(value).map(drop),
            ConfigType::Double { .. } => self.double(value).map(drop),
            ConfigType::Choice(words) => self.one_of(value.trim(), words),
            ConfigType::ChoiceList(words) => {
                words_of(value).try_for_each(|word| self.one_of(word, words))
            }
            ConfigType::List => Ok(()),
        }
    }

    pub(crate) fn boolean(&self, value: &str) -> Result<bool, ConfigValueError> {
        if value.trim().eq_ignore_ascii_case("true") {
            Ok(true)
        } else if value.trim().eq_ignore_ascii_case("false") {
            Ok(false)
        } else {
            Err(self.error(value, "Expected value to be either true or false"))
        }
    }

    pub(crate) fn int(&self, value: &str) -> Result<i32, ConfigValueError> {
        let ConfigType::Int { min, max } = self.kind else {
            return Err(self.error(value, "the key is not of type INT"));
        };
        let number = value.trim().parse::<i32>();
        let number = number.map_err(|_| self.error(value, "Not a number of type INT"))?;
        self.within(value, number, min, max)
    }

    pub(crate) fn long(&self, value: &str) -> Result<i64, ConfigValueError> {
        let ConfigType::Long { min, max } = self.kind else {
            return Err(self.error(value, "the key is not of type LONG"));
        };
        let number = value.trim().parse::<i64>();
        let number = number.map_err(|_| self.error(value, "Not a number of type LONG"))?;
        self.within(value, number, min, max)
    }

    pub(crate) fn double(&self, value: &str) -> Result<f64, ConfigValueError> {
        let ConfigType::Double { min, max } = self.kind else {
            return Err(self.error(value, "the key is not of type DOUBLE"));
        };
        let number = value.trim().parse::<f64>();
        let number = number.map_err(|_| self.error(value, "Not a number of type DOUBLE"))?;
        self.within(value, number, min, max)
    }

    fn within<T: PartialOrd + fmt::Display + Copy>(
        &self,
        value: &str,
        number: T,
        min: T,
        max: T,
    ) -> Result<T, ConfigValueError> {
        if number < min {
            return Err(self.error(value, &format!("Value must be at least {min}")));
        }
        if number > max {
            return Err(self.error(value, &format!("Value must be no more than {max}")));
        }
        Ok(number)
    }

    fn one_of(&self, word: &str, words: &[&str]) -> Result<(), ConfigValueError> {
        if words.contains(&word) {
            return Ok(());
        }
        Err(self.error(
            word,
            &format!("String must be one of: {}", words.join(", ")),
        ))
    }

    fn error(&self, value: &str, problem: &str) -> ConfigValueError {
        ConfigValueError {
            name: self.name,
            value: value.to_owned(),
            problem: problem.to_owned(),
        }
    }
}

/// The words of a list value; blanks around them and empty ones do not count.
pub(crate) fn words_of(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
}
