//! A configuration that passed every check: typed values, typed tables, and their origins.
//!
//! Invariant: every value is of its key's kind, so asking for a key that the schema does not
//! have, or as a type that its kind cannot give, is a mistake in the program and panics.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{ConfigProblem, ConfigProblems, Origin, SecretRef, Value};

/// The effective configuration.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// By address, with rows as `listeners[0].bind`.
    pub(crate) settings: BTreeMap<String, Effective>,
    /// The addresses in the order of the schema and then of the rows.
    pub(crate) order: Vec<String>,
    /// The same values merged as nested tables, for serde.
    pub(crate) merged: config::Config,
    /// Where a problem is placed that no single value caused.
    pub(crate) whole: Origin,
    /// How the file calls an address, where it is not by the address itself.
    pub(crate) written: BTreeMap<String, String>,
    pub(crate) notices: Vec<ConfigProblem>,
}

/// One key's effective value, as `explain` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effective {
    pub key: String,
    /// Absent when no layer gives a value and the key has no default.
    pub value: Option<Value>,
    pub origin: Origin,
    pub doc: &'static str,
    pub worst: &'static str,
    /// What lower layers said, lowest first.
    pub overridden: Vec<(Origin, Value)>,
}

impl Loaded {
    /// A key that always has a value.
    pub fn get<'a, T: FromValue<'a>>(&'a self, address: &str) -> T {
        match self.find(address) {
            Some(value) => value,
            None => panic!("{address} has no value: it is optional, so ask with find()"),
        }
    }

    /// A key that may have none.
    pub fn find<'a, T: FromValue<'a>>(&'a self, address: &str) -> Option<T> {
        let value = self.effective(address).value.as_ref()?;
        let typed = T::from_value(value);
        assert!(
            typed.is_some(),
            "{address} = {value:?} was asked for as {}",
            T::NAME
        );
        typed
    }

    /// What was given or is the default, also while other values are wrong.
    pub fn given(&self, address: &str) -> Option<&Value> {
        self.settings.get(address)?.value.as_ref()
    }

    /// The account of one key.
    pub fn effective(&self, address: &str) -> &Effective {
        match self.settings.get(address) {
            Some(effective) => effective,
            None => panic!("no key {address} in the schema of this program"),
        }
    }

    /// The account of all keys, in the order of the schema.
    pub fn explain(&self) -> impl Iterator<Item = &Effective> {
        self.order.iter().map(|address| self.effective(address))
    }

    /// What a person should look at, though the configuration holds.
    pub fn notices(&self) -> &[ConfigProblem] {
        &self.notices
    }

    /// Whether a layer gave this key a value.
    pub fn is_set(&self, address: &str) -> bool {
        self.effective(address).origin != Origin::Default
    }

    /// A table as the program's own struct. Fails only where the struct's types are narrower
    /// than the kinds of the keys.
    pub fn table<T: DeserializeOwned>(&self, name: &str) -> Result<T, ConfigProblems> {
        let table = self.merged.get_table(name).unwrap_or_default();
        self.typed(name, config::Value::from(table))
    }

    /// The rows of a named table under their names, none when the file has none.
    pub fn named<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<BTreeMap<String, T>, ConfigProblems> {
        self.table(name)
    }

    /// The rows of a repeated table, none when the file has none.
    pub fn rows<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>, ConfigProblems> {
        let rows = self.merged.get_array(name).unwrap_or_default();
        self.typed(name, config::Value::from(rows))
    }

    /// How many rows a repeated table has.
    pub fn row_count(&self, name: &str) -> usize {
        self.merged.get_array(name).map_or(0, |rows| rows.len())
    }

    /// A problem that the program itself found with a value, placed where the value came from.
    pub fn problem(
        &self,
        address: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> ConfigProblem {
        let effective = self
            .settings
            .get(address)
            .filter(|effective| effective.value.is_some());
        let origin = effective.map_or(&self.whole, |effective| &effective.origin);
        let written = match origin {
            Origin::File { .. } => self.written.get(address),
            Origin::Default | Origin::Preset(_) | Origin::Env(_) | Origin::Flag(_) => None,
        };
        ConfigProblem {
            origin: origin.clone(),
            key: written.map_or(address, String::as_str).to_owned(),
            value: effective
                .and_then(|effective| effective.value.as_ref())
                .map(ToString::to_string),
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    fn typed<T: DeserializeOwned>(
        &self,
        name: &str,
        value: config::Value,
    ) -> Result<T, ConfigProblems> {
        serde_path_to_error::deserialize(value).map_err(|error| {
            let path = error.path().to_string();
            let dot = if path.starts_with('[') { "" } else { "." };
            let what = format!("is refused: {}", cause(error.into_inner()));
            let address = format!("{name}{dot}{path}");
            self.problem(&address, what, "write a value of that form")
                .into()
        })
    }
}

/// The bare cause: the place is told by us, in the reader's words.
fn cause(error: config::ConfigError) -> String {
    match error {
        config::ConfigError::At { error, .. } => cause(*error),
        other => other.to_string(),
    }
}

/// The types a value can be asked for as.
pub trait FromValue<'a>: Sized {
    const NAME: &'static str;
    fn from_value(value: &'a Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($type:ty, $pattern:pat => $give:expr;)*) => {$(
        impl<'a> FromValue<'a> for $type {
            const NAME: &'static str = stringify!($type);
            fn from_value(value: &'a Value) -> Option<Self> {
                if let $pattern = value { $give } else { None }
            }
        }
    )*};
}

from_value! {
    bool, Value::Bool(value) => Some(*value);
    i64, Value::Integer(value) => Some(*value);
    i32, Value::Integer(value) => (*value).try_into().ok();
    u16, Value::Integer(value) => (*value).try_into().ok();
    u32, Value::Integer(value) => (*value).try_into().ok();
    u64, Value::Integer(value) => (*value).try_into().ok();
    usize, Value::Integer(value) => (*value).try_into().ok();
    f64, Value::Double(value) => Some(*value);
    Duration, Value::Integer(value) => u64::try_from(*value).ok().map(Duration::from_millis);
    &'a str, Value::Text(value) => Some(value.as_str());
    String, Value::Text(value) => Some(value.clone());
    PathBuf, Value::Text(value) => Some(PathBuf::from(value));
    &'a [String], Value::List(items) => Some(items.as_slice());
    &'a SecretRef, Value::Secret(reference) => Some(reference);
}
