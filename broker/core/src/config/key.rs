//! One configuration key: its type, its default, and the check of a value.

use std::fmt;
use std::str::FromStr;

/// What a value of a key is, with Kafka's type names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ConfigType {
    Boolean,
    Short {
        min: i16,
        max: i16,
    },
    Int {
        min: i32,
        max: i32,
    },
    /// A range, and one number outside it.
    IntOr {
        min: i32,
        max: i32,
        or: i32,
    },
    Long {
        min: i64,
        max: i64,
    },
    Double {
        min: f64,
        max: f64,
    },
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One of these words, in capitals or not.
    ChoiceAnyCase(&'static [&'static str]),
    /// Words out of these, separated by commas.
    ChoiceList(&'static [&'static str]),
    /// Free words, separated by commas.
    List,
    /// `*`, or pairs `partition:broker` separated by commas.
    ReplicaList,
    /// A Java class.
    Class,
    /// Never shown.
    Password,
}

pub(super) const ANY_SHORT: ConfigType = ConfigType::Short {
    min: i16::MIN,
    max: i16::MAX,
};
pub(super) const SHORT_FROM_1: ConfigType = ConfigType::Short {
    min: 1,
    max: i16::MAX,
};
pub(super) const ANY_INT: ConfigType = ConfigType::Int {
    min: i32::MIN,
    max: i32::MAX,
};
pub(super) const INT_FROM_0: ConfigType = ConfigType::Int {
    min: 0,
    max: i32::MAX,
};
pub(super) const INT_FROM_1: ConfigType = ConfigType::Int {
    min: 1,
    max: i32::MAX,
};
pub(super) const ANY_LONG: ConfigType = ConfigType::Long {
    min: i64::MIN,
    max: i64::MAX,
};
pub(super) const LONG_FROM_0: ConfigType = ConfigType::Long {
    min: 0,
    max: i64::MAX,
};
pub(super) const LONG_FROM_1: ConfigType = ConfigType::Long {
    min: 1,
    max: i64::MAX,
};
pub(super) const ANY_DOUBLE: ConfigType = ConfigType::Double {
    min: f64::MIN,
    max: f64::MAX,
};
/// Of topics, and of the brokers' default for them.
pub(super) const RACK_PLACEMENT: ConfigType = ConfigType::Choice(&["any", "spread"]);
pub(super) const FLUSH_POLICY: ConfigType = ConfigType::Choice(&["none", "interval", "group"]);

pub(super) const GZIP_LEVEL: ConfigType = ConfigType::IntOr {
    min: 1,
    max: 9,
    or: -1,
};
/// The largest number Kafka can write: no bound.
pub(super) const FOREVER: &str = "9223372036854775807";

impl ConfigType {
    /// The `ConfigType` code of DescribeConfigs (KIP-569).
    pub fn code(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::Text | Self::Choice(_) | Self::ChoiceAnyCase(_) => 2,
            Self::Int { .. } | Self::IntOr { .. } => 3,
            Self::Short { .. } => 4,
            Self::Long { .. } => 5,
            Self::Double { .. } => 6,
            Self::ChoiceList(_) | Self::List | Self::ReplicaList => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }

    /// Whether APPEND and SUBTRACT make sense.
    pub fn is_list(self) -> bool {
        self.code() == 7
    }

    /// Whether `value` fits a key of that name.
    pub fn check(self, name: &str, value: &str) -> Result<(), ConfigValueError> {
        let refuse =
            |value: &str, problem: String| Err(ConfigValueError::new(name, value, problem));
        match self {
            Self::Boolean => boolean(name, value).map(drop),
            Self::Short { min, max } => number::<i16>(name, value, "SHORT", min, max).map(drop),
            Self::Int { min, max } => number::<i32>(name, value, "INT", min, max).map(drop),
            Self::IntOr { min, max, or } => {
                let given = number::<i32>(name, value, "INT", i32::MIN, i32::MAX)?;
                if given == or || (min..=max).contains(&given) {
                    return Ok(());
                }
                let problem = format!("Value must be between {min} and {max} or equal to {or}");
                refuse(value.trim(), problem)
            }
            Self::Long { min, max } => number::<i64>(name, value, "LONG", min, max).map(drop),
            Self::Double { min, max } => number::<f64>(name, value, "DOUBLE", min, max).map(drop),
            Self::Choice(words) => one_of(name, value.trim(), words),
            Self::ChoiceAnyCase(words) => one_of_any_case(name, value.trim(), words),
            Self::ChoiceList(words) => {
                words_of(value).try_for_each(|word| one_of(name, word, words))
            }
            Self::ReplicaList => replica_list(name, value),
            Self::Text | Self::List | Self::Class | Self::Password => Ok(()),
        }
    }

    /// The value as Kafka shows it once it has been read: without blanks around it, numbers and
    /// truth values in their plain form. What does not fit stays as it is.
    pub fn shown(self, value: &str) -> String {
        let value = value.trim();
        match self {
            Self::Boolean => value.to_ascii_lowercase(),
            Self::Short { .. } | Self::Int { .. } | Self::IntOr { .. } | Self::Long { .. } => value
                .parse::<i64>()
                .map_or_else(|_| value.to_owned(), |number| number.to_string()),
            Self::Double { .. } => shown_double(value),
            Self::ChoiceList(_) | Self::List | Self::ReplicaList => {
                words_of(value).collect::<Vec<_>>().join(",")
            }
            Self::Text
            | Self::Choice(_)
            | Self::ChoiceAnyCase(_)
            | Self::Class
            | Self::Password => value.to_owned(),
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
    pub name: String,
    pub value: String,
    pub problem: String,
}

impl ConfigValueError {
    fn new(name: &str, value: &str, problem: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            value: value.to_owned(),
            problem: problem.into(),
        }
    }
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
        self.kind.check(self.name, value)
    }
}

fn boolean(name: &str, value: &str) -> Result<bool, ConfigValueError> {
    match value.trim() {
        word if word.eq_ignore_ascii_case("true") => Ok(true),
        word if word.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(ConfigValueError::new(
            name,
            value,
            "Expected value to be either true or false",
        )),
    }
}

fn number<T: Copy + FromStr + PartialOrd + fmt::Display>(
    name: &str,
    value: &str,
    type_name: &str,
    min: T,
    max: T,
) -> Result<T, ConfigValueError> {
    let refused = |problem: String| ConfigValueError::new(name, value, problem);
    let number = value.trim().parse::<T>();
    let number = number.map_err(|_| refused(format!("Not a number of type {type_name}")))?;
    if number < min {
        return Err(refused(format!("Value must be at least {min}")));
    }
    if number > max {
        return Err(refused(format!("Value must be no more than {max}")));
    }
    Ok(number)
}

fn one_of(name: &str, word: &str, words: &[&str]) -> Result<(), ConfigValueError> {
    if words.contains(&word) {
        return Ok(());
    }
    let problem = format!("String must be one of: {}", words.join(", "));
    Err(ConfigValueError::new(name, word, problem))
}

fn one_of_any_case(name: &str, word: &str, words: &[&str]) -> Result<(), ConfigValueError> {
    if words.iter().any(|known| known.eq_ignore_ascii_case(word)) {
        return Ok(());
    }
    let words = words.join(", ");
    let problem = format!("String must be one of (case insensitive): {words}");
    Err(ConfigValueError::new(name, word, problem))
}

fn replica_list(name: &str, value: &str) -> Result<(), ConfigValueError> {
    let is_pair = |word: &str| {
        let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        word.split_once(':')
            .is_some_and(|(partition, broker)| number(partition) && number(broker))
    };
    let words: Vec<&str> = words_of(value).collect();
    if words == ["*"] || words.iter().all(|word| is_pair(word)) {
        return Ok(());
    }
    let problem = format!(
        "{name} must be the literal '*' or a list of replicas in the following format: \
         [partitionId]:[brokerId],[partitionId]:[brokerId],..."
    );
    let shown = format!("[{}]", words.join(", "));
    Err(ConfigValueError::new(name, &shown, problem))
}

/// Java's form: always with a point, and with an exponent for the very large.
fn shown_double(value: &str) -> String {
    match value.parse::<f64>() {
        Ok(number) if number.abs() >= 1e7 => {
            let text = format!("{number:E}");
            if text.contains('.') {
                text
            } else {
                text.replacen('E', ".0E", 1)
            }
        }
        Ok(number) => format!("{number:?}"),
        Err(_) => value.to_owned(),
    }
}

/// The words of a list value; blanks around them and empty ones do not count.
pub(crate) fn words_of(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
}
