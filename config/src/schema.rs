//! A program's whole configuration as data: its tables, their keys, and the rules between keys.
//!
//! Invariants, told by [`Schema::faults`] and tested by every program that has a schema: an
//! address names one key; no key of ours is a prefix of another, or the nested and the quoted
//! spelling would clash; every default is a value of its kind; an environment name names one key.
//! A flat table holds names that others chose: `max.connections` and `max.connections.per.ip` both
//! are Kafka's, and a file that sets both writes them in quotes.

use std::collections::BTreeMap;

use crate::{DefaultValue, Key, Loaded};

/// The tables a program knows, in the order in which its manual shows them.
#[derive(Debug)]
pub struct Schema {
    pub tables: &'static [KeyTable],
    pub rules: &'static [Rule],
    /// Variables with our prefix that are no keys, such as `ISTHMUS_LOG`. A name that ends
    /// with `_` stands for all that begin so.
    pub env_ignored: &'static [&'static str],
}

/// One table of the file.
#[derive(Debug)]
pub struct KeyTable {
    pub name: &'static str,
    pub form: Form,
    pub keys: &'static [Key],
    pub doc: &'static str,
}

/// How a table stands in the file, and how its keys are addressed by environment and flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `[node]`: its `id` is `node.id`, in the environment `ISTHMUS_NODE_ID`.
    Plain,
    /// `[kafka]`: its keys carry whole names and are addressed by them alone.
    Flat,
    /// `[[listeners]]`: its rows come from the file only and are addressed `listeners[0].bind`.
    Repeated,
    /// `[clusters.east]`: its rows carry names that the file gives, come from the file only, and
    /// are addressed `clusters.east.bootstrap`.
    Named,
}

impl Form {
    /// Whether a key has one value, which environment and flags can set, too.
    pub fn is_single(self) -> bool {
        match self {
            Self::Plain | Self::Flat => true,
            Self::Repeated | Self::Named => false,
        }
    }
}

/// A rule between keys. It is tested only when nothing is wrong with the keys it reads, so a
/// single mistake is reported once.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Addresses, or the name of a table with rows for all of them.
    pub keys: &'static [&'static str],
    pub test: fn(&Loaded) -> Result<(), Breach>,
}

/// What a rule found wrong, and the key it points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    pub key: String,
    pub what: String,
    pub remedy: String,
}

impl KeyTable {
    /// The address of a key: how flags, `explain` and problems call it.
    pub fn address(&self, key: &str) -> String {
        match self.form {
            Form::Flat => key.to_owned(),
            Form::Plain | Form::Repeated | Form::Named => format!("{}.{key}", self.name),
        }
    }

    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

impl Schema {
    pub fn table(&self, name: &str) -> Option<&'static KeyTable> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// All keys that have one value each: what environment and flags can set.
    pub fn single_keys(&self) -> impl Iterator<Item = (&'static KeyTable, &'static Key)> {
        let single = self.tables.iter().filter(|table| table.form.is_single());
        single.flat_map(|table| table.keys.iter().map(move |key| (table, key)))
    }

    /// Looks up a key that environment or flags may set.
    pub fn single_key(&self, address: &str) -> Option<(&'static KeyTable, &'static Key)> {
        self.single_keys()
            .find(|(table, key)| table.address(key.name) == address)
    }

    pub(crate) fn ignores_env(&self, name: &str) -> bool {
        self.env_ignored.iter().any(|ignored| {
            if ignored.ends_with('_') {
                name.starts_with(ignored)
            } else {
                name == *ignored
            }
        })
    }

    /// Faults of the schema itself, for a test in the program that owns it. Empty when sound.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut addresses = BTreeMap::new();
        let mut env_names = BTreeMap::new();
        for table in self.tables {
            self.faults_of(table, &mut faults);
            for key in table.keys {
                let address = table.address(key.name);
                let env = env_name(&address);
                if self.ignores_env(&env) {
                    faults.push(format!(
                        "{address}: its variable {env} is on the ignored list"
                    ));
                }
                if let Some(other) = env_names.insert(env, address.clone()) {
                    faults.push(format!("{address}: shares its variable with {other}"));
                }
                if addresses.insert(address.clone(), table.form).is_some() {
                    faults.push(format!("{address}: declared twice"));
                }
            }
        }
        for (key, form) in &addresses {
            let inner = format!("{key}.");
            let clashing = addresses.iter().filter(|(other, other_form)| {
                let both_flat = *form == Form::Flat && **other_form == Form::Flat;
                other.starts_with(&inner) && !both_flat
            });
            faults.extend(clashing.map(|(other, _)| format!("{key}: is a prefix of {other}")));
        }
        faults
    }

    fn faults_of(&self, table: &KeyTable, faults: &mut Vec<String>) {
        for key in table.keys {
            let address = table.address(key.name);
            if let DefaultValue::Is(text) = key.default
                && let Err(mismatch) = key.kind.parse(text)
            {
                faults.push(format!("{address}: its default {text:?} {}", mismatch.what));
            }
            if key.doc.is_empty() {
                faults.push(format!("{address}: has no doc"));
            }
        }
    }
}

/// The variable that sets an address: `log.retention.ms` is `ISTHMUS_LOG_RETENTION_MS`.
pub fn env_name(address: &str) -> String {
    let upper = address.to_ascii_uppercase();
    format!("ISTHMUS_{}", upper.replace(['.', '-'], "_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn faults_are_found() {
        static SCHEMA: Schema = Schema {
            tables: &[
                KeyTable {
                    name: "node",
                    form: Form::Plain,
                    doc: "",
                    keys: &[
                        Key::with_default("id", Kind::POSITIVE_INT, "0").doc("Who."),
                        Key::optional("rack", Kind::Text).doc("Where."),
                        Key::optional("rack.row", Kind::Text).doc("Where."),
                    ],
                },
                KeyTable {
                    name: "kafka",
                    form: Form::Flat,
                    doc: "",
                    keys: &[
                        Key::required("node.id", Kind::POSITIVE_INT).doc("Who."),
                        Key::required("broker.id", Kind::POSITIVE_INT).doc("Who."),
                        Key::required("broker.id.generation", Kind::Bool),
                        Key::optional("log", Kind::Text).doc("What."),
                        Key::optional("broker-id", Kind::Text).doc("Who."),
                    ],
                },
            ],
            rules: &[],
            env_ignored: &["ISTHMUS_LOG", "ISTHMUS_TEST_"],
        };
        let expected = [
            "node.id: its default \"0\" is out of range",
            "broker.id.generation: has no doc",
            "node.id: shares its variable with node.id",
            "node.id: declared twice",
            "log: its variable ISTHMUS_LOG is on the ignored list",
            "broker-id: shares its variable with broker.id",
            "node.rack: is a prefix of node.rack.row",
        ];
        assert_eq!(SCHEMA.faults(), expected);
        assert!(SCHEMA.ignores_env("ISTHMUS_TEST_KCAT"));
        assert!(!SCHEMA.ignores_env("ISTHMUS_LOG_DIRS"));
    }
}
