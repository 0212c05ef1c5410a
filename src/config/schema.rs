//! `isthmus config schema`: the file's form as a JSON schema, for editors.

use super::program::Program;
use super::say;
use isthmus_config::{DefaultValue, Form, Key, KeyTable, Kind};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

pub(super) fn run(program: Program) -> ExitCode {
    let tables = program.schema().tables.iter();
    let tables: Map<String, Value> = tables.map(|it| (it.name.to_owned(), table(it))).collect();
    let document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("Configuration of an Isthmus {}", program.name()),
        "type": "object",
        "properties": tables,
        "additionalProperties": false,
    });
    say(&format!("{document:#}"));
    ExitCode::SUCCESS
}

fn table(table: &KeyTable) -> Value {
    let properties: Map<String, Value> = table
        .keys
        .iter()
        .map(|it| (it.name.to_owned(), key(it)))
        .collect();
    let required = table
        .keys
        .iter()
        .filter(|key| key.default == DefaultValue::Required);
    let required: Vec<&str> = required.map(|key| key.name).collect();
    let one = json!({
        "description": table.doc,
        "type": "object",
        "properties": properties,
        "required": required,
        // A dotted name may be written without quotes, which is nested tables to TOML.
        "additionalProperties": { "type": "object" },
    });
    match table.form {
        Form::Plain | Form::Flat => one,
        Form::Repeated => json!({ "type": "array", "items": one }),
        Form::Named => json!({ "type": "object", "additionalProperties": one }),
    }
}

fn key(key: &Key) -> Value {
    let mut described = kind(key.kind);
    let about = if key.worst.is_empty() {
        key.doc.to_owned()
    } else {
        format!("{} At worst: {}.", key.doc, key.worst)
    };
    described.insert("description".to_owned(), about.into());
    if let DefaultValue::Is(text) = key.default {
        let default = key.kind.parse(text).map(|value| json!(value));
        described.insert(
            "default".to_owned(),
            default.unwrap_or_else(|_| text.into()),
        );
    }
    described.into_iter().collect::<Map<String, Value>>().into()
}

/// Numbers may be written as texts, with or without a unit: the environment has nothing else.
fn kind(kind: Kind) -> Map<String, Value> {
    let number = |name: &str, min: Value, max: Value| json!({ "anyOf": [{ "type": name, "minimum": min, "maximum": max }, { "type": "string" }] });
    let described = match kind {
        Kind::Bool => json!({ "anyOf": [{ "type": "boolean" }, { "enum": ["true", "false"] }] }),
        Kind::Int { min, max } => number("integer", min.into(), max.into()),
        Kind::Long { min, max } | Kind::Bytes { min, max } => {
            number("integer", min.into(), max.into())
        }
        Kind::Duration { min_ms, max_ms } => number("integer", min_ms.into(), max_ms.into()),
        Kind::Double { min, max } => number("number", min.into(), max.into()),
        Kind::Text | Kind::Path | Kind::Address => json!({ "type": ["string", "integer"] }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::List => json!({ "anyOf": [{ "type": "string" }, { "type": "array" }] }),
        Kind::Choices(words) => {
            json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "enum": words } }] })
        }
        Kind::Secret => json!({ "type": "string", "pattern": "^(file|env|property):" }),
    };
    match described {
        Value::Object(map) => map,
        other => unreachable!("a schema is an object: {other}"),
    }
}
