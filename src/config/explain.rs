//! `isthmus config explain`: effective values, where each comes from, and what it overrides.

use super::{AboveOptions, say};
use crate::options::refuse;
use isthmus_broker::{kafka_place, key_effect};
use isthmus_config::{DefaultValue, Effective, Form, Key, Loaded, Schema, load, nearest};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

pub(super) fn run(above: &AboveOptions, file: Option<&Path>, key: Option<&str>) -> ExitCode {
    let loaded = above.layers(file).and_then(|(program, layers)| {
        let schema = program.schema();
        Ok((schema, load(&layers, schema)?))
    });
    let (schema, loaded) = match loaded {
        Ok(loaded) => loaded,
        Err(problems) => return refuse(&problems),
    };
    let wanted = match key {
        None => loaded
            .explain()
            .filter(|effective| loaded.is_set(&effective.key))
            .collect(),
        Some(key) => find(schema, &loaded, key),
    };
    if let (Some(key), true) = (key, wanted.is_empty()) {
        return refuse(&unknown(schema, key));
    }
    if above.json {
        let keys = wanted.into_iter().map(|it| as_json(schema, it));
        let keys: Vec<Value> = keys.collect();
        say(&json!({ "schema": "isthmus.config.explain/1", "keys": keys }).to_string());
    } else {
        let keys = wanted.into_iter().map(|it| as_text(schema, it));
        let keys: Vec<String> = keys.collect();
        say(&keys.join("\n\n"));
    }
    ExitCode::SUCCESS
}

/// The key itself, or what stands for it here: `log.dirs` is `node.data`, and `listeners` all rows.
fn find<'a>(schema: &Schema, loaded: &'a Loaded, key: &str) -> Vec<&'a Effective> {
    let place = kafka_place(key).unwrap_or(key);
    let table = place.trim_start_matches('[').trim_end_matches(']');
    let (rows, named) = (format!("{table}["), format!("{table}."));
    let is_row = |key: &str| key.starts_with(&rows) || key.starts_with(&named);
    let has_rows = schema.table(table).is_some_and(|it| !it.form.is_single());
    let is_wanted =
        |effective: &&Effective| effective.key == place || (has_rows && is_row(&effective.key));
    loaded.explain().filter(is_wanted).collect()
}

fn unknown(schema: &Schema, key: &str) -> String {
    let known: Vec<String> = schema
        .single_keys()
        .map(|(table, key)| table.address(key.name))
        .collect();
    match nearest(key, known.iter().map(String::as_str)) {
        Some(near) => format!("{key} is not a known key; the nearest known name is {near}"),
        None => format!("{key} is not a known key"),
    }
}

/// The declaration of an address; rows are `listeners[0].bind` or `clusters.east.bootstrap`.
fn declared(schema: &'static Schema, address: &str) -> Option<&'static Key> {
    if let Some((_, key)) = schema.single_key(address) {
        return Some(key);
    }
    if let Some((table, rest)) = address.split_once('[') {
        let (_, field) = rest.split_once("].")?;
        return schema.table(table)?.key(field);
    }
    let (table, rest) = address.split_once('.')?;
    let table = schema.table(table).filter(|it| it.form == Form::Named)?;
    let keys = table.keys.iter();
    let fitting = keys.filter(|key| {
        let name = rest.strip_suffix(key.name);
        name.is_some_and(|name| name.ends_with('.'))
    });
    fitting.max_by_key(|key| key.name.len())
}

/// Name and text of everything there is to say, in the order in which it is said.
fn account(schema: &'static Schema, effective: &Effective) -> Vec<(&'static str, String)> {
    let mut said = vec![("from", effective.origin.to_string())];
    let key = declared(schema, &effective.key);
    if let Some(key) = key {
        let default = match key.default {
            DefaultValue::Required => "none, it must be set".to_owned(),
            DefaultValue::Unset => "none".to_owned(),
            DefaultValue::Is(text) => text.to_owned(),
        };
        said.push(("default", default));
        said.extend(key.kind.unit().map(|unit| ("unit", unit.to_owned())));
        said.push(("values", key.kind.range()));
    }
    for (origin, value) in effective.overridden.iter().rev() {
        said.push(("overrides", format!("{value} ({origin})")));
    }
    said.extend(key_effect(&effective.key).map(|effect| ("effect", effect)));
    said.push(("meaning", effective.doc.to_owned()));
    said.push(("at worst", effective.worst.to_owned()));
    said.retain(|(_, text)| !text.is_empty());
    said
}

fn as_text(schema: &'static Schema, effective: &Effective) -> String {
    let value = match &effective.value {
        Some(value) => format!("{} = {value}", effective.key),
        None => format!("{} is not set", effective.key),
    };
    let said = account(schema, effective).into_iter();
    let lines = said.map(|(name, text)| format!("  {name:<10}{text}"));
    std::iter::once(value)
        .chain(lines)
        .collect::<Vec<_>>()
        .join("\n")
}

fn as_json(schema: &'static Schema, effective: &Effective) -> Value {
    let overridden = effective.overridden.iter().rev();
    let overridden = overridden.map(|(origin, value)| json!({ "from": origin, "value": value }));
    let key = declared(schema, &effective.key);
    let default = key.and_then(|key| match key.default {
        DefaultValue::Is(text) => Some(text),
        DefaultValue::Required | DefaultValue::Unset => None,
    });
    json!({
        "key": effective.key,
        "value": effective.value,
        "from": effective.origin,
        "default": default,
        "unit": key.and_then(|key| key.kind.unit()),
        "overrides": overridden.collect::<Vec<_>>(),
        "effect": key_effect(&effective.key),
        "meaning": effective.doc,
        "at_worst": effective.worst,
    })
}
