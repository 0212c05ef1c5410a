//! The kinds a value can be of, and how each reads what a layer holds.
//!
//! Invariant: the range in a kind includes both ends. Text is accepted for every kind, because
//! the environment, flags and Kafka's own protocol have nothing else.

use crate::units::{parse_bytes, parse_millis};
use crate::value::Raw;
use crate::words::one_of;
use crate::{Mismatch, Value, nearest};

/// What a key's value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Bool,
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
    Text,
    Path,
    /// `host:port`, `1.2.3.4:9092` or `[::1]:9092`.
    Address,
    Choice(&'static [&'static str]),
    /// Texts, as a TOML array or with commas.
    List,
    /// A list in which every item is one of these.
    Choices(&'static [&'static str]),
    /// A number of bytes, also written `"64MiB"` or `"50MB"`.
    Bytes {
        min: i64,
        max: i64,
    },
    /// Milliseconds, also written `"30s"`.
    Duration {
        min_ms: i64,
        max_ms: i64,
    },
    /// Never the secret, always where it stands: `file:PATH` or `env:NAME`.
    Secret,
}

impl Kind {
    pub const ANY_INT: Self = Self::Int {
        min: i32::MIN,
        max: i32::MAX,
    };
    pub const POSITIVE_INT: Self = Self::Int {
        min: 1,
        max: i32::MAX,
    };
    pub const ANY_LONG: Self = Self::Long {
        min: i64::MIN,
        max: i64::MAX,
    };
    pub const ANY_BYTES: Self = Self::Bytes {
        min: 0,
        max: i64::MAX,
    };
    pub const ANY_DURATION: Self = Self::Duration {
        min_ms: 0,
        max_ms: i64::MAX,
    };

    /// Reads text with units allowed, as files, environment and flags write it.
    pub fn parse(&self, text: &str) -> Result<Value, Mismatch> {
        self.read_text(text)
    }

    /// Reads text as Kafka's admin clients send it: bytes and times are plain numbers.
    pub fn parse_plain(&self, text: &str) -> Result<Value, Mismatch> {
        let number = |min, max| in_range(text.trim().parse().ok(), min, max, self);
        match *self {
            Self::Bytes { min, max } => number(min, max),
            Self::Duration { min_ms, max_ms } => number(min_ms, max_ms),
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
            | Self::Secret => self.read_text(text),
        }
    }

    pub(crate) fn read(&self, raw: &Raw) -> Result<Value, Mismatch> {
        match raw {
            Raw::Text(text) => self.read_text(text),
            Raw::Integer(number) => self.read_integer(*number),
            Raw::Bool(value) if *self == Self::Bool => Ok(Value::Bool(*value)),
            Raw::Double(number) => match *self {
                Self::Double { min, max } => self.read_double(Some(*number), min, max),
                _ => Err(self.mismatch()),
            },
            Raw::List(items) => self.read_list(items),
            Raw::Bool(_) | Raw::Other(_) => Err(self.mismatch()),
        }
    }

    fn read_text(&self, text: &str) -> Result<Value, Mismatch> {
        let text = text.trim();
        match *self {
            Self::Bool => match text.to_ascii_lowercase().as_str() {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err(self.mismatch()),
            },
            Self::Int { min, max } => in_range(text.parse().ok(), min.into(), max.into(), self),
            Self::Long { min, max } => in_range(text.parse().ok(), min, max, self),
            Self::Double { min, max } => self.read_double(text.parse().ok(), min, max),
            Self::Bytes { min, max } => in_range(parse_bytes(text), min, max, self),
            Self::Duration { min_ms, max_ms } => in_range(parse_millis(text), min_ms, max_ms, self),
            Self::Text => Ok(Value::Text(text.to_owned())),
            Self::Path if !text.is_empty() => Ok(Value::Text(text.to_owned())),
            Self::Path => Err(self.mismatch()),
            Self::Address => self.read_address(text),
            Self::Choice(choices) => Ok(Value::Text(choose(text, choices)?)),
            Self::List | Self::Choices(_) => self.read_items(text.split(',').map(str::trim)),
            Self::Secret => text.parse().map(Value::Secret).map_err(|_| self.mismatch()),
        }
    }

    fn read_integer(&self, number: i64) -> Result<Value, Mismatch> {
        match *self {
            Self::Int { min, max } => in_range(Some(number), min.into(), max.into(), self),
            Self::Long { min, max } | Self::Bytes { min, max } => {
                in_range(Some(number), min, max, self)
            }
            Self::Duration { min_ms, max_ms } => in_range(Some(number), min_ms, max_ms, self),
            Self::Bool
            | Self::Double { .. }
            | Self::Text
            | Self::Path
            | Self::Address
            | Self::Choice(_)
            | Self::List
            | Self::Choices(_)
            | Self::Secret => self.read_text(&number.to_string()),
        }
    }

    fn read_double(&self, number: Option<f64>, min: f64, max: f64) -> Result<Value, Mismatch> {
        match number {
            Some(number) if (min..=max).contains(&number) => Ok(Value::Double(number)),
            Some(_) | None => Err(self.mismatch()),
        }
    }

    /// A name, a port, and something between them that a resolver could take. Whether the name
    /// exists is not asked here: a daemon starts while its peers are dark.
    fn read_address(&self, text: &str) -> Result<Value, Mismatch> {
        let (host, port) = text.rsplit_once(':').ok_or_else(|| self.mismatch())?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let host_is_plain = !host.is_empty() && !host.contains([':', '[', ']', '/', ' ']);
        match port.parse::<u16>() {
            Ok(_) if bracketed || host_is_plain => Ok(Value::Text(text.to_owned())),
            Ok(_) | Err(_) => Err(self.mismatch()),
        }
    }

    fn read_list(&self, items: &[Raw]) -> Result<Value, Mismatch> {
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Raw::Text(text) => texts.push(text.clone()),
                Raw::Integer(number) => texts.push(number.to_string()),
                Raw::Bool(_) | Raw::Double(_) | Raw::List(_) | Raw::Other(_) => {
                    return Err(self.mismatch());
                }
            }
        }
        self.read_items(texts.iter().map(|text| text.trim()))
    }

    fn read_items<'a>(&self, items: impl Iterator<Item = &'a str>) -> Result<Value, Mismatch> {
        let items = items.filter(|item| !item.is_empty());
        match *self {
            Self::List => Ok(Value::List(items.map(str::to_owned).collect())),
            Self::Choices(choices) => {
                let items = items
                    .map(|item| choose(item, choices))
                    .collect::<Result<_, _>>()?;
                Ok(Value::List(items))
            }
            Self::Bool
            | Self::Int { .. }
            | Self::Long { .. }
            | Self::Double { .. }
            | Self::Text
            | Self::Path
            | Self::Address
            | Self::Choice(_)
            | Self::Bytes { .. }
            | Self::Duration { .. }
            | Self::Secret => Err(self.mismatch()),
        }
    }
}

fn in_range(number: Option<i64>, min: i64, max: i64, kind: &Kind) -> Result<Value, Mismatch> {
    match number {
        None => Err(kind.mismatch()),
        Some(number) if (min..=max).contains(&number) => Ok(Value::Integer(number)),
        Some(_) => Err(Mismatch {
            what: "is out of range".to_owned(),
            remedy: format!("write {}", kind.range()),
        }),
    }
}

fn choose(text: &str, choices: &[&str]) -> Result<String, Mismatch> {
    if let Some(choice) = choices
        .iter()
        .find(|choice| choice.eq_ignore_ascii_case(text))
    {
        return Ok((*choice).to_owned());
    }
    let what = match nearest(text, choices.iter().copied()) {
        Some(near) => format!("{text:?} is not one of the choices (the nearest is {near})"),
        None => format!("{text:?} is not one of the choices"),
    };
    Err(Mismatch {
        what,
        remedy: one_of(choices),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODECS: Kind = Kind::Choice(&["none", "gzip", "snappy", "lz4", "zstd"]);
    const POLICIES: Kind = Kind::Choices(&["compact", "delete"]);

    #[test]
    fn text_of_every_kind() {
        let size = Kind::Bytes {
            min: 14,
            max: i64::from(i32::MAX),
        };
        let time = Kind::Duration {
            min_ms: -1,
            max_ms: i64::MAX,
        };
        check(Kind::Bool, "True", "true");
        check(
            Kind::Bool,
            "yes",
            "is neither true nor false; write true or false",
        );
        check(Kind::POSITIVE_INT, " 3 ", "3");
        check(
            Kind::POSITIVE_INT,
            "0",
            "is out of range; write a whole number of at least 1",
        );
        check(
            Kind::Int { min: 0, max: 9 },
            "x",
            "is not a whole number in range; write a whole number from 0 to 9",
        );
        check(Kind::ANY_LONG, "9223372036854775807", "9223372036854775807");
        check(Kind::Double { min: 0.0, max: 1.0 }, "0.5", "0.5");
        check(
            Kind::Double { min: 0.0, max: 1.0 },
            "NaN",
            "is not a number in range; write a number from 0 to 1",
        );
        check(size, "64MiB", "67108864");
        check(
            size,
            "13",
            "is out of range; write a size from 14B to 2147483647B",
        );
        check(
            size,
            "lots",
            "is not a size; write bytes, or a size like \"64MiB\"",
        );
        check(time, "-1", "-1");
        check(time, "7d", "604800000");
        check(
            time,
            "a while",
            "is not a duration; write milliseconds, or a duration like \"30s\"",
        );
        check(CODECS, "ZSTD", "zstd");
        check(
            CODECS,
            "zst",
            "\"zst\" is not one of the choices (the nearest is zstd); choose from none, gzip, snappy, lz4, zstd",
        );
        check(POLICIES, "compact, delete", "compact,delete");
        check(
            POLICIES,
            "compact,burn",
            "\"burn\" is not one of the choices; choose from compact, delete",
        );
        check(Kind::List, "a, b,,c", "a,b,c");
        check(Kind::Path, "", "is not a path; write a path in quotes");
    }

    #[test]
    fn addresses() {
        let refused = "is not an address; write HOST:PORT or [IPV6]:PORT";
        for good in [
            "b1.example:9092",
            "0.0.0.0:0",
            "[::1]:9092",
            "localhost:65535",
        ] {
            check(Kind::Address, good, good);
        }
        for bad in [
            "b1.example",
            ":9092",
            "b1:65536",
            "b1:",
            "::1:9092",
            "http://b1:9092",
        ] {
            check(Kind::Address, bad, refused);
        }
    }

    #[test]
    fn a_refused_secret_is_not_repeated() {
        let refused = Kind::Secret.parse("hunter2").unwrap_err().to_string();
        assert!(!refused.contains("hunter2"), "{refused}");
        check(
            Kind::Secret,
            "file:/etc/isthmus/secret",
            "file:/etc/isthmus/secret",
        );
    }

    #[test]
    fn kafkas_plain_form_has_no_units() {
        assert_eq!(
            Kind::ANY_BYTES.parse_plain("1024"),
            Ok(Value::Integer(1024))
        );
        assert!(Kind::ANY_BYTES.parse_plain("1KiB").is_err());
        assert!(Kind::ANY_DURATION.parse_plain("30s").is_err());
        assert_eq!(Kind::Bool.parse_plain("false"), Ok(Value::Bool(false)));
    }

    #[test]
    fn raw_values_of_the_file() {
        let list = Raw::List(vec![
            Raw::Text("compact".into()),
            Raw::Text("delete".into()),
        ]);
        let mixed = Raw::List(vec![Raw::Bool(true)]);
        assert_eq!(POLICIES.read(&list).unwrap().to_string(), "compact,delete");
        assert!(POLICIES.read(&mixed).is_err());
        assert_eq!(
            Kind::Text.read(&Raw::Integer(7)),
            Ok(Value::Text("7".into()))
        );
        assert_eq!(
            Kind::Double { min: 0.0, max: 9.0 }.read(&Raw::Integer(7)),
            Ok(Value::Double(7.0))
        );
        assert!(Kind::ANY_INT.read(&Raw::Bool(true)).is_err());
        assert!(Kind::ANY_INT.read(&Raw::Double(1.5)).is_err());
        assert!(Kind::ANY_INT.read(&list).is_err());
        assert!(Kind::Text.read(&Raw::Other("date")).is_err());
    }

    fn check(kind: Kind, text: &str, expected: &str) {
        let seen = match kind.parse(text) {
            Ok(value) => value.to_string(),
            Err(mismatch) => mismatch.to_string(),
        };
        assert_eq!(seen, expected, "{kind:?} of {text:?}");
    }
}
