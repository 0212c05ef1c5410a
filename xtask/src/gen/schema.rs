//! The message tables of `kafka/wire/protocol`, read and checked.
//!
//! Owns: the format described in `kafka/wire/protocol/README.md`. Must not know: Rust names and
//! types. An unknown key is an error: it might change the wire.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use super::versions::VersionSet;

/// One message file.
pub(super) struct Message {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) api_key: Option<i16>,
    pub(super) flexible: VersionSet,
    /// The message's own fields; its name is the message's.
    pub(super) body: Struct,
    pub(super) structs: Vec<Struct>,
    /// Where it was read, for the heads of the generated files.
    pub(super) source: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
    /// Headers and record bodies: nothing is generated but the message itself.
    Body,
}

pub(super) struct Struct {
    pub(super) name: String,
    pub(super) versions: VersionSet,
    pub(super) fields: Vec<Field>,
}

pub(super) struct Field {
    pub(super) name: String,
    pub(super) ty: Type,
    pub(super) versions: VersionSet,
    pub(super) nullable: VersionSet,
    pub(super) tagged: Option<(u32, VersionSet)>,
    pub(super) default: Option<Value>,
    pub(super) ignorable: bool,
    /// Never a compact length, whatever the message says.
    pub(super) plain: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Float64,
    Uuid,
    String,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Self>),
}

impl Message {
    pub(super) fn versions(&self) -> &VersionSet {
        &self.body.versions
    }

    /// Whether the message is one of Kafka's own, not one between Isthmus processes.
    pub(super) fn is_kafkas(&self) -> bool {
        !self.source.starts_with("isthmus/")
    }

    pub(super) fn all_structs(&self) -> impl Iterator<Item = &Struct> {
        std::iter::once(&self.body).chain(&self.structs)
    }
}

/// Reads every message of the given folders, sorted by name; a folder that is not there is empty.
pub(super) fn read_messages(root: &Path, folders: &[&str]) -> Result<Vec<Message>> {
    let mut messages = BTreeMap::new();
    for folder in folders {
        let path = root.join(folder);
        if !path.exists() {
            continue;
        }
        for entry in path
            .read_dir()
            .with_context(|| format!("could not list {folder}"))?
        {
            let name = entry?.file_name().to_string_lossy().into_owned();
            // Tables beside the messages of a folder are in lower case.
            if !name.ends_with(".json") || name.starts_with(char::is_lowercase) {
                continue;
            }
            let source = format!("{folder}/{name}");
            let message =
                read_message(root, &source).with_context(|| format!("could not read {source}"))?;
            let name = message.name.clone();
            ensure!(
                messages.insert(name.clone(), message).is_none(),
                "two messages {name}"
            );
        }
    }
    Ok(messages.into_values().collect())
}

pub(super) fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("could not parse {}", path.display()))
}

fn read_message(root: &Path, source: &str) -> Result<Message> {
    let json = read_json(&root.join(source))?;
    let json = json.as_object().context("not an object")?;
    check_keys(
        json,
        &[
            "name", "kind", "apiKey", "versions", "flexible", "fields", "structs", "log", "typeId",
        ],
    )?;
    let name = text(json, "name")?;
    ensure!(
        source.ends_with(&format!("/{name}.json")),
        "the file is not named after {name}"
    );
    let kind = match text(json, "kind")?.as_str() {
        "request" => Kind::Request,
        "response" => Kind::Response,
        "header" | "data" | "key" | "value" | "record" => Kind::Body,
        other => bail!("kind {other}"),
    };
    let structs = json
        .get("structs")
        .and_then(Value::as_object)
        .context("no structs")?;
    let message = Message {
        kind,
        api_key: json
            .get("apiKey")
            .and_then(Value::as_i64)
            .map(i16::try_from)
            .transpose()?,
        flexible: versions(json, "flexible")?,
        body: read_struct(&name, json)?,
        structs: structs
            .iter()
            .map(|(name, body)| read_struct(name, body.as_object().context("not an object")?))
            .collect::<Result<_>>()?,
        name,
        source: source.to_owned(),
    };
    check(&message)?;
    Ok(message)
}

fn read_struct(name: &str, json: &Map<String, Value>) -> Result<Struct> {
    let fields = json
        .get("fields")
        .and_then(Value::as_array)
        .context("no fields")?;
    Ok(Struct {
        name: name.to_owned(),
        versions: versions(json, "versions")?,
        fields: fields
            .iter()
            .map(|field| {
                read_field(field.as_object().context("not an object")?)
                    .with_context(|| format!("field {} of {name}", field["name"]))
            })
            .collect::<Result<_>>()?,
    })
}

fn read_field(json: &Map<String, Value>) -> Result<Field> {
    check_keys(
        json,
        &[
            "name",
            "type",
            "versions",
            "nullable",
            "tag",
            "tagged",
            "default",
            "compact",
            "ignorable",
            "mapKey",
        ],
    )?;
    let tagged = match json.get("tag").and_then(Value::as_u64) {
        Some(tag) => Some((u32::try_from(tag)?, versions(json, "tagged")?)),
        None => None,
    };
    let plain = match json.get("compact").and_then(Value::as_str) {
        None => false,
        Some("none") => true,
        Some(other) => bail!("compact {other}"),
    };
    let nullable = json
        .contains_key("nullable")
        .then(|| versions(json, "nullable"));
    Ok(Field {
        name: text(json, "name")?,
        ty: Type::parse(&text(json, "type")?)?,
        versions: versions(json, "versions")?,
        nullable: nullable.transpose()?.unwrap_or_default(),
        tagged,
        default: json.get("default").cloned(),
        ignorable: json
            .get("ignorable")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        plain,
    })
}

impl Type {
    fn parse(text: &str) -> Result<Self> {
        if let Some(element) = text.strip_prefix("[]") {
            return Ok(Self::Array(Box::new(Self::parse(element)?)));
        }
        Ok(match text {
            "bool" => Self::Bool,
            "int8" => Self::Int8,
            "int16" => Self::Int16,
            "uint16" => Self::Uint16,
            "int32" => Self::Int32,
            "uint32" => Self::Uint32,
            "int64" => Self::Int64,
            "float64" => Self::Float64,
            "uuid" => Self::Uuid,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "records" => Self::Records,
            name if name.starts_with(char::is_uppercase) => Self::Struct(name.to_owned()),
            other => bail!("type {other}"),
        })
    }

    /// The struct that a field of this type, or its elements, are.
    pub(super) fn struct_name(&self) -> Option<&str> {
        match self {
            Self::Struct(name) => Some(name),
            Self::Array(element) => element.struct_name(),
            _ => None,
        }
    }
}

/// What the generated code relies on beyond the form of each field.
fn check(message: &Message) -> Result<()> {
    ensure!(!message.versions().is_empty(), "no versions");
    ensure!(
        message.flexible.is_within(message.versions()),
        "flexible beyond versions"
    );
    for item in message.all_structs() {
        let mut tags = BTreeSet::new();
        for field in &item.fields {
            check_field(message, item, field)
                .with_context(|| format!("field {} of {}", field.name, item.name))?;
            if let Some((tag, _)) = field.tagged {
                ensure!(tags.insert(tag), "tag {tag} twice in {}", item.name);
            }
        }
    }
    Ok(())
}

fn check_field(message: &Message, item: &Struct, field: &Field) -> Result<()> {
    ensure!(
        field.versions.is_within(&item.versions),
        "versions beyond its struct's"
    );
    ensure!(
        field.nullable.is_within(&field.versions),
        "null beyond its versions"
    );
    if field.default == Some(Value::Null) {
        ensure!(
            field.nullable == field.versions,
            "null by default, but not in every version"
        );
    }
    if let Some((_, tagged)) = &field.tagged {
        ensure!(*tagged == field.versions, "both tagged and in line");
        ensure!(
            tagged.is_within(&message.flexible),
            "tagged in a version without tags"
        );
    }
    if let Some(name) = field.ty.struct_name() {
        let target = message.structs.iter().find(|target| target.name == name);
        let target = target.with_context(|| format!("no struct {name}"))?;
        ensure!(
            field.versions.is_within(&target.versions),
            "versions beyond those of {name}"
        );
        if let Type::Array(_) = field.ty {
            check_never_empty(message, target, &field.versions)?;
        }
    }
    Ok(())
}

/// An element takes at least a byte, or a count alone could make the decoder allocate.
fn check_never_empty(message: &Message, element: &Struct, versions: &VersionSet) -> Result<()> {
    let in_line = |version| {
        let here = |field: &&Field| field.tagged.is_none() && field.versions.contains(version);
        element.fields.iter().any(|field| here(&field))
    };
    for version in versions.iter() {
        let taken = message.flexible.contains(version) || in_line(version);
        ensure!(taken, "{} takes no byte in version {version}", element.name);
    }
    Ok(())
}

fn check_keys(json: &Map<String, Value>, known: &[&str]) -> Result<()> {
    match json.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => bail!("unknown key {key}"),
        None => Ok(()),
    }
}

fn text(json: &Map<String, Value>, key: &str) -> Result<String> {
    let value = json.get(key).and_then(Value::as_str);
    Ok(value.with_context(|| format!("no text {key}"))?.to_owned())
}

fn versions(json: &Map<String, Value>, key: &str) -> Result<VersionSet> {
    VersionSet::parse(&text(json, key)?)
}
