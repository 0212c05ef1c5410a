//! What a script leaves open, filled in: versions, and values that earlier answers brought.

use serde_json::Value;
use std::collections::BTreeMap;

/// `topics.0.topicId`, from the answer as it came.
pub(crate) fn at_path<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.')
        .try_fold(value, |value, part| match part.parse::<usize>() {
            Ok(at) => value.get(at),
            Err(_) => value.get(part),
        })
}

pub(crate) fn put_version(text: &str, version: Option<i16>) -> String {
    match version {
        Some(version) => text.replace("$v", &version.to_string()),
        None => text.to_owned(),
    }
}

/// The body with versions and saved values in their places; `None` when one was never saved.
pub(crate) fn filled(body: &Value, saved: &BTreeMap<String, Value>, version: i16) -> Option<Value> {
    Some(match body {
        Value::String(text) => fill_text(&text.replace("$v", &version.to_string()), saved)?,
        Value::Array(values) => {
            let values = values.iter().map(|value| filled(value, saved, version));
            Value::Array(values.collect::<Option<_>>()?)
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields =
                fields.map(|(name, value)| Some((name.clone(), filled(value, saved, version)?)));
            Value::Object(fields.collect::<Option<_>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => body.clone(),
    })
}

fn fill_text(text: &str, saved: &BTreeMap<String, Value>) -> Option<Value> {
    let Some((before, rest)) = text.split_once("${") else {
        return Some(Value::from(text));
    };
    let (name, after) = rest.split_once('}').expect("the end of a variable");
    let (name, add) = match name.split_once('+') {
        Some((name, add)) => (name, add.parse().unwrap()),
        None => (name, 0_i64),
    };
    let found = saved.get(name)?;
    if before.is_empty() && after.is_empty() {
        return Some(match found.as_i64() {
            Some(number) => Value::from(number + add),
            None => found.clone(),
        });
    }
    let found = found
        .as_str()
        .map_or_else(|| found.to_string(), str::to_owned);
    fill_text(&format!("{before}{found}{after}"), saved)
}

/// The body with one name in the place of another.
pub(crate) fn renamed(body: &Value, one: &str, other: &str) -> Value {
    match body {
        Value::String(text) => Value::from(text.replace(one, other)),
        Value::Array(values) => values
            .iter()
            .map(|value| renamed(value, one, other))
            .collect(),
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|(name, value)| (name.clone(), renamed(value, one, other)));
            Value::Object(fields.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => body.clone(),
    }
}
