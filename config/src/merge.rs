//! The layers laid over one another by the `config` crate.
//!
//! Each layer is a source of that crate and gives nested tables whose keys keep their dots, so
//! the crate's own splitting of names never touches `log.retention.ms`. The merged tree serves
//! serde; the typed values and their origins are kept beside it by the loader, in the same order.

use crate::{Key, KeyTable, Origin, Value};

/// The accepted values of one layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    pub(crate) accepted: Vec<Accepted>,
}

#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) table: &'static KeyTable,
    pub(crate) row: Option<Row>,
    pub(crate) key: &'static Key,
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// Which row of a table that has several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Number(usize),
    Name(String),
}

impl Accepted {
    pub(crate) fn address(&self) -> String {
        address(self.table, self.row.as_ref(), self.key.name)
    }
}

/// How a key is called in problems and in `explain`.
pub(crate) fn address(table: &KeyTable, row: Option<&Row>, key: &str) -> String {
    match row {
        Some(Row::Number(row)) => format!("{}[{row}].{key}", table.name),
        Some(Row::Name(row)) => format!("{}.{row}.{key}", table.name),
        None => table.address(key),
    }
}

pub(crate) fn merge(layers: Vec<Layer>) -> config::Config {
    let builder = layers
        .into_iter()
        .fold(config::Config::builder(), |builder, layer| {
            builder.add_source(layer)
        });
    match builder.build() {
        Ok(merged) => merged,
        Err(error) => unreachable!("layers of checked values always merge: {error}"),
    }
}

impl config::Source for Layer {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<config::Map<String, config::Value>, config::ConfigError> {
        let mut singles: config::Map<String, config::Map<String, config::Value>> =
            config::Map::new();
        let mut rows: config::Map<String, Vec<config::Map<String, config::Value>>> =
            config::Map::new();
        let mut named: config::Map<String, config::Map<String, config::Map<_, _>>> =
            config::Map::new();
        for accepted in &self.accepted {
            let name = accepted.table.name.to_owned();
            let entries = match &accepted.row {
                None => singles.entry(name).or_default(),
                Some(Row::Number(row)) => {
                    let rows = rows.entry(name).or_default();
                    rows.resize_with(rows.len().max(row + 1), config::Map::new);
                    &mut rows[*row]
                }
                Some(Row::Name(row)) => {
                    let rows = named.entry(name).or_default();
                    rows.entry(row.clone()).or_default()
                }
            };
            entries.insert(accepted.key.name.to_owned(), merged_value(accepted));
        }
        let singles = singles
            .into_iter()
            .map(|(name, table)| (name, table.into()));
        let rows = rows.into_iter().map(|(name, rows)| {
            let rows: Vec<config::Value> = rows.into_iter().map(Into::into).collect();
            (name, rows.into())
        });
        let named = named.into_iter().map(|(name, rows)| {
            let rows: config::Map<String, config::Value> = rows
                .into_iter()
                .map(|(row, entries)| (row, entries.into()))
                .collect();
            (name, rows.into())
        });
        Ok(singles.chain(rows).chain(named).collect())
    }
}

fn merged_value(accepted: &Accepted) -> config::Value {
    let kind = match &accepted.value {
        Value::Bool(value) => config::ValueKind::Boolean(*value),
        Value::Integer(value) => config::ValueKind::I64(*value),
        Value::Double(value) => config::ValueKind::Float(*value),
        Value::Text(value) => config::ValueKind::String(value.clone()),
        Value::List(items) => config::ValueKind::from(items.clone()),
        Value::Secret(reference) => config::ValueKind::String(reference.to_string()),
    };
    config::Value::new(Some(&accepted.origin.to_string()), kind)
}
