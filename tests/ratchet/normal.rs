//! Answers without what two brokers cannot have in common.
//!
//! Names chosen by a broker (ids of topics, members, producers) become what the script calls them,
//! or tell that there is one; clocks, ports and sizes on disk are blotted out; structs are put in
//! an order of their own unless the step says that the broker's order counts. Error codes become
//! names. Everything else must be equal.

use super::clients::without_inner_words;
use super::notation::Options;
use isthmus_wire::ErrorCode;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What two sound brokers tell differently whatever they are asked.
const BLOTTED: [&str; 10] = [
    "throttleTimeMs",
    "clusterId",
    "host",
    "port",
    "brokerEpoch",
    "logDir",
    "totalBytes",
    "usableBytes",
    "partitionSize",
    "controllerId",
];

/// Names that a broker makes up: shown as present, or by what the script saved them as.
const GIVEN: [&str; 5] = [
    "topicId",
    "memberId",
    "producerId",
    "leader",
    "clientInstanceId",
];

/// Lists of words that come from a table by hash in Kafka.
const SETS: [&str; 1] = ["mechanisms"];

/// Times of now.
const TIMES: [&str; 3] = ["logAppendTimeMs", "subscribedTime", "startTimeMs"];

pub(crate) fn normal(answer: Value, saved: &BTreeMap<String, Value>, options: &Options) -> Value {
    Normal { saved, options }.value("", answer)
}

struct Normal<'a> {
    saved: &'a BTreeMap<String, Value>,
    options: &'a Options,
}

impl Normal<'_> {
    fn value(&self, name: &str, value: Value) -> Value {
        if self.options.masks.iter().any(|mask| mask == name) || BLOTTED.contains(&name) {
            return blot(&value);
        }
        match value {
            Value::Object(object) => Value::Object(self.object(object)),
            Value::Array(array) => self.array(name, array),
            Value::Number(number) if name.ends_with("rrorCode") => {
                let code = number.as_i64().and_then(|code| i16::try_from(code).ok());
                json!(code.map_or("?", |code| ErrorCode(code).name()))
            }
            Value::Number(time) if TIMES.contains(&name) && time.as_i64() > Some(0) => {
                json!("a time")
            }
            Value::String(_) | Value::Number(_) if GIVEN.contains(&name) => self.given(name, value),
            Value::String(text) => json!(self.text(text)),
            other => other,
        }
    }

    fn object(&self, object: Map<String, Value>) -> Map<String, Value> {
        let fields = object.into_iter();
        fields
            .map(|(name, value)| {
                let value = self.value(&name, value);
                (name, value)
            })
            .collect()
    }

    fn array(&self, name: &str, array: Vec<Value>) -> Value {
        let values = array.into_iter().map(|value| self.value(name, value));
        let mut values: Vec<Value> = values.collect();
        let structs = values.iter().all(Value::is_object);
        if structs && !self.options.ordered && name != "records" || SETS.contains(&name) {
            values.sort_by_cached_key(|value| (identity(value), value.to_string()));
        }
        Value::Array(values)
    }

    fn given(&self, name: &str, value: Value) -> Value {
        if let Some(known) = self.known(&value) {
            return json!(known);
        }
        let none = match &value {
            Value::String(text) => text.is_empty() || text.starts_with("AAAAAAAAAAAAAAAAAAAAA"),
            other => other.as_i64() <= Some(0),
        };
        if none {
            value
        } else {
            json!(format!("a {name}"))
        }
    }

    fn known(&self, value: &Value) -> Option<String> {
        let mut saved = self.saved.iter();
        let (name, _) = saved.find(|(_, saved)| *saved == value)?;
        Some(format!("<{name}>"))
    }

    /// Names within messages.
    fn text(&self, mut text: String) -> String {
        for (name, saved) in self.saved {
            if let Some(saved) = saved.as_str().filter(|saved| saved.len() > 15) {
                text = text.replace(saved, &format!("<{name}>"));
            }
        }
        without_inner_words(&text)
    }
}

fn blot(value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Array(_) => json!(["~"]),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => json!("~"),
    }
}

/// Fields that tell one struct of an array from the others, most telling first.
const IDENTITIES: [&str; 12] = [
    "key",
    "name",
    "topic",
    "topicName",
    "groupId",
    "resourceName",
    "user",
    "topicId",
    "partitionIndex",
    "partition",
    "index",
    "nodeId",
];

fn identity(value: &Value) -> Option<String> {
    let found = IDENTITIES.iter().find_map(|field| value.get(field))?;
    Some(
        found
            .as_str()
            .map_or_else(|| found.to_string(), str::to_owned),
    )
}

/// Structs by their identity, if each has one of its own.
fn by_identity(values: &[Value]) -> Option<Map<String, Value>> {
    let named = values
        .iter()
        .map(|value| Some((identity(value)?, value.clone())));
    let named: Map<String, Value> = named.collect::<Option<_>>()?;
    (named.len() == values.len() && !values.is_empty()).then_some(named)
}

/// The names of all errors in an answer.
pub(crate) fn errors(answer: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect_errors("", answer, &mut found);
    found
}

fn collect_errors(name: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if name.is_empty() || name.ends_with("rrorCode") => {
            if text != "NONE" {
                found.insert(text.clone());
            }
        }
        Value::Array(values) => {
            let name = if name.is_empty() { "in" } else { name };
            values
                .iter()
                .for_each(|value| collect_errors(name, value, found));
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                collect_errors(name, value, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Where two answers differ: path, theirs, ours. A path at which Kafka has null ends in `=null`.
pub(crate) fn differences(
    theirs: &Value,
    ours: &Value,
    ordered: bool,
) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    compare("", theirs, ours, ordered, &mut all);
    all
}

fn compare(
    path: &str,
    theirs: &Value,
    ours: &Value,
    ordered: bool,
    all: &mut Vec<(String, String, String)>,
) {
    let below = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match (theirs, ours) {
        (Value::Object(left), Value::Object(right)) => {
            let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for name in names {
                let side = |object: &Map<String, Value>| object.get(name).cloned();
                let (left, right) = (side(left), side(right));
                let absent = || json!("(absent)");
                let (left, right) = (left.unwrap_or_else(absent), right.unwrap_or_else(absent));
                compare(&below(name), &left, &right, ordered, all);
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            let named = (by_identity(left), by_identity(right));
            if let ((Some(left), Some(right)), false) = (named, ordered) {
                let (left, right) = (Value::Object(left), Value::Object(right));
                compare(path, &left, &right, ordered, all);
            } else if left.len() == right.len() {
                for (at, (left, right)) in left.iter().zip(right).enumerate() {
                    compare(&below(&at.to_string()), left, right, ordered, all);
                }
            } else {
                all.push((path.to_owned(), theirs.to_string(), ours.to_string()));
            }
        }
        (left, right) if left != right => {
            let null = if left.is_null() { "=null" } else { "" };
            all.push((format!("{path}{null}"), left.to_string(), right.to_string()));
        }
        (_, _) => {}
    }
}
