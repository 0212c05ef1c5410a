//! A checked value, and the raw one it was read from.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::SecretRef;

/// A value that its key's kind has accepted. `Display` is Kafka's plain form: numbers without
/// units, lists with commas, a secret as its reference.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bool(bool),
    /// Integers of every width; bytes; milliseconds.
    Integer(i64),
    Double(f64),
    /// Texts, paths, addresses and choices.
    Text(String),
    List(Vec<String>),
    Secret(SecretRef),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Double(value) => write!(f, "{value:?}"),
            Self::Text(value) => f.write_str(value),
            Self::List(items) => f.write_str(&items.join(",")),
            Self::Secret(reference) => write!(f, "{reference}"),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(value) => value.serialize(serializer),
            Self::Integer(value) => value.serialize(serializer),
            Self::Double(value) => value.serialize(serializer),
            Self::Text(value) => value.serialize(serializer),
            Self::List(items) => items.serialize(serializer),
            Self::Secret(reference) => reference.serialize(serializer),
        }
    }
}

/// What a layer holds before a kind has looked at it. Environment and flags only have text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Raw {
    Bool(bool),
    Integer(i64),
    Double(f64),
    Text(String),
    List(Vec<Raw>),
    /// Something the file format can write and no key can take, by its name there.
    Other(&'static str),
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Double(value) => write!(f, "{value:?}"),
            Self::Text(value) => write!(f, "{value:?}"),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Other(name) => write!(f, "({name})"),
        }
    }
}
