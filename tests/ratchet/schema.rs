//! The protocol's tables, read as data.
//!
//! The suite does not speak through the generated codecs: what both brokers are asked, and how
//! their answers are read, must not share a fault with the broker under test. So the tables in
//! `kafka/wire/protocol` are walked at run time, and the golden vectors check the walk.

use isthmus_wire::{ApiKey, VersionRange};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A set of versions, as the tables write it: `4-18`, `3`, `1-2,5` or `none`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Versions(Vec<VersionRange>);

impl Versions {
    fn parse(text: &str) -> Self {
        let parts = text.split(',').filter(|part| *part != "none");
        Self(parts.map(range).collect())
    }

    fn of(json: Option<&Value>) -> Self {
        json.and_then(Value::as_str)
            .map(Self::parse)
            .unwrap_or_default()
    }

    pub(crate) fn contains(&self, version: i16) -> bool {
        self.0.iter().any(|range| range.contains(version))
    }
}

/// `4-18`, `3` or `-1`.
pub(crate) fn range(text: &str) -> VersionRange {
    if let Ok(only) = text.parse() {
        return VersionRange::new(only, only);
    }
    let (min, max) = text.split_once('-').unwrap();
    VersionRange::new(min.parse().unwrap(), max.parse().unwrap())
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Bool,
    /// Bytes, and whether there is a sign.
    Int(usize, bool),
    Float,
    Uuid,
    String,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Kind>),
}

impl Kind {
    fn parse(text: &str) -> Self {
        match text {
            "bool" => Self::Bool,
            "int8" => Self::Int(1, true),
            "int16" => Self::Int(2, true),
            "uint16" => Self::Int(2, false),
            "int32" => Self::Int(4, true),
            "uint32" => Self::Int(4, false),
            "int64" => Self::Int(8, true),
            "float64" => Self::Float,
            "uuid" => Self::Uuid,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "records" => Self::Records,
            other => match other.strip_prefix("[]") {
                Some(element) => Self::Array(Box::new(Self::parse(element))),
                None => Self::Struct(other.to_owned()),
            },
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) versions: Versions,
    pub(crate) nullable: Versions,
    pub(crate) tag: Option<u64>,
    pub(crate) tagged: Versions,
    /// As the table has it; absent means the type's own zero.
    pub(crate) default: Option<Value>,
}

impl Field {
    fn of(json: &Value) -> Self {
        Self {
            name: json["name"].as_str().unwrap().to_owned(),
            kind: Kind::parse(json["type"].as_str().unwrap()),
            versions: Versions::of(json.get("versions")),
            nullable: Versions::of(json.get("nullable")),
            tag: json.get("tag").and_then(Value::as_u64),
            tagged: Versions::of(json.get("tagged")),
            default: json.get("default").cloned(),
        }
    }

    /// Among the tagged fields of a message of Kafka's.
    pub(crate) fn is_ours(&self) -> bool {
        self.tag.is_some_and(|tag| tag >= 10_000)
    }
}

/// One message: its own fields, and its structs by name.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) name: String,
    pub(crate) flexible: Versions,
    pub(crate) fields: Vec<Field>,
    structs: BTreeMap<String, Vec<Field>>,
}

impl Schema {
    fn read(name: &str) -> Self {
        let path = protocol().join(format!("messages/{name}.json"));
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let json: Value = serde_json::from_str(&text).unwrap();
        let fields = |json: &Value| -> Vec<Field> {
            let fields = json["fields"].as_array().unwrap();
            fields.iter().map(Field::of).collect()
        };
        let structs = json["structs"].as_object().into_iter().flatten();
        Self {
            name: name.to_owned(),
            flexible: Versions::of(json.get("flexible")),
            fields: fields(&json),
            structs: structs
                .map(|(name, json)| (name.clone(), fields(json)))
                .collect(),
        }
    }

    pub(crate) fn fields_of(&self, name: &str) -> &[Field] {
        let fields = self.structs.get(name);
        fields.unwrap_or_else(|| panic!("{} has no struct {name}", self.name))
    }
}

/// A request and what answers it.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) key: ApiKey,
    pub(crate) request: Schema,
    pub(crate) response: Schema,
}

/// All kinds of requests, read when they are first asked for.
#[derive(Debug, Default)]
pub(crate) struct Schemas(BTreeMap<String, Api>);

impl Schemas {
    /// The kind of this name, as in `Produce`.
    pub(crate) fn api(&mut self, name: &str) -> &Api {
        self.0.entry(name.to_owned()).or_insert_with(|| {
            let key = ApiKey::ALL.iter().find(|key| key.name() == name);
            Api {
                key: *key.unwrap_or_else(|| panic!("no request is called {name}")),
                request: Schema::read(&format!("{name}Request")),
                response: Schema::read(&format!("{name}Response")),
            }
        })
    }
}

pub(crate) fn protocol() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("kafka/wire/protocol")
}
