//! A JSON schema of a configuration, made from its key tables, for editors and other programs.

use serde_json::{Map, Value, json};

use crate::{DefaultValue, Form, Key, KeyTable, Kind, Schema};

impl Schema {
    /// The schema of the file as JSON Schema 2020-12.
    pub fn json_schema(&self, title: &str) -> Value {
        let tables = self.tables.iter();
        let properties: Map<String, Value> = tables
            .map(|table| (table.name.to_owned(), table_schema(table)))
            .collect();
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": title,
            "type": "object",
            "additionalProperties": false,
            "properties": properties,
        })
    }
}

fn table_schema(table: &KeyTable) -> Value {
    let keys = table.keys.iter();
    let properties: Map<String, Value> = keys
        .clone()
        .map(|key| (key.name.to_owned(), key_schema(key)))
        .collect();
    let required: Vec<&str> = keys
        .filter(|key| key.default == DefaultValue::Required)
        .map(|key| key.name)
        .collect();
    let row = json!({
        "description": table.doc,
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "required": required,
    });
    match table.form {
        Form::Plain | Form::Flat => row,
        Form::Repeated => json!({ "type": "array", "items": row }),
        Form::Named => json!({ "type": "object", "additionalProperties": row }),
    }
}

fn key_schema(key: &Key) -> Value {
    let mut schema = kind_schema(&key.kind);
    schema["description"] = json!(key.doc);
    if let DefaultValue::Is(text) = key.default {
        schema["default"] = json!(text);
    }
    schema
}

/// What TOML may hold; text with a unit is checked by the loader alone.
fn kind_schema(kind: &Kind) -> Value {
    match *kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Int { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Long { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Double { min, max } => json!({ "type": "number", "minimum": min, "maximum": max }),
        Kind::Text | Kind::Path | Kind::Secret => json!({ "type": "string" }),
        Kind::Address => json!({ "type": "string", "pattern": ":[0-9]+$" }),
        Kind::Choice(choices) => json!({ "enum": choices }),
        Kind::List => json!({ "type": ["array", "string"], "items": { "type": "string" } }),
        Kind::Choices(choices) => {
            json!({ "type": ["array", "string"], "items": { "enum": choices } })
        }
        Kind::Bytes { .. } | Kind::Duration { .. } => json!({ "type": ["integer", "string"] }),
    }
}
