//! Values to bytes and back, by the tables.
//!
//! A request is written as JSON: fields left out take their default, and fields that a version
//! does not have are left out on the wire, so that one body serves all versions. An answer becomes
//! JSON with every field of its version.

use super::records;
use super::schema::{Field, Kind, Schema};
use bytes::Bytes;
use isthmus_wire::Uuid;
use serde_json::{Map, Value, json};

/// How bytes, records and ids stand in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As scripts write and readers like them.
    Told,
    /// In hex, as the golden vectors have them.
    Hex,
}

/// The bytes of a body.
pub(crate) fn encode(schema: &Schema, version: i16, value: &Value, form: Form) -> Vec<u8> {
    let mut writer = Writer {
        schema,
        version,
        form,
        flexible: schema.flexible.contains(version),
        bytes: Vec::new(),
    };
    writer.fields(&schema.fields, value);
    writer.bytes
}

struct Writer<'a> {
    schema: &'a Schema,
    version: i16,
    form: Form,
    flexible: bool,
    bytes: Vec<u8>,
}

impl Writer<'_> {
    fn fields(&mut self, fields: &[Field], value: &Value) {
        let object = value.as_object().expect("a struct is an object");
        for key in object.keys() {
            let known = fields.iter().any(|field| field.name == *key);
            assert!(known, "{} has no field {key}", self.schema.name);
        }
        let mut tagged: Vec<(u64, &Field, &Value)> = Vec::new();
        for field in fields {
            let given = object.get(&field.name);
            if field.tagged.contains(self.version) {
                tagged.extend(given.map(|value| (field.tag.unwrap(), field, value)));
            } else if field.versions.contains(self.version) {
                let default = default_of(self.schema, self.version, field);
                self.value(field, &field.kind, given.unwrap_or(&default));
            }
        }
        if self.flexible {
            self.tags(tagged);
        }
    }

    fn tags(&mut self, mut tagged: Vec<(u64, &Field, &Value)>) {
        tagged.retain(|(_, field, value)| default_of(self.schema, self.version, field) != **value);
        tagged.sort_by_key(|(tag, _, _)| *tag);
        self.unsigned(tagged.len() as u64);
        for (tag, field, value) in tagged {
            let before = std::mem::take(&mut self.bytes);
            match (&field.kind, value) {
                (Kind::Struct(_), Value::Null) => self.unsigned(0),
                (Kind::Struct(_), _) if field.nullable.contains(self.version) => {
                    self.unsigned(1);
                    self.bare(&field.kind, value);
                }
                _ => self.value(field, &field.kind, value),
            }
            let content = std::mem::replace(&mut self.bytes, before);
            self.unsigned(tag);
            self.unsigned(content.len() as u64);
            self.bytes.extend(content);
        }
    }

    fn value(&mut self, field: &Field, kind: &Kind, value: &Value) {
        if matches!(kind, Kind::Struct(_)) && field.nullable.contains(self.version) {
            self.bytes.push(if value.is_null() { 0xff } else { 1 });
            if value.is_null() {
                return;
            }
        }
        self.bare(kind, value);
    }

    fn bare(&mut self, kind: &Kind, value: &Value) {
        match kind {
            Kind::Bool => self.bytes.push(value.as_bool().expect("a bool").into()),
            Kind::Int(width, _) => {
                let number = value
                    .as_i64()
                    .unwrap_or_else(|| panic!("no integer: {value}"));
                self.bytes.extend(&number.to_be_bytes()[8 - width..]);
            }
            Kind::Float => {
                let number = value.as_f64().expect("a number");
                self.bytes.extend(number.to_be_bytes());
            }
            Kind::Uuid => self.bytes.extend(uuid(value).0),
            Kind::String => {
                let text = value.as_str().map(str::as_bytes);
                assert!(text.is_some() || value.is_null(), "no string: {value}");
                self.length(text.map(<[u8]>::len), true);
                self.bytes.extend(text.unwrap_or_default());
            }
            Kind::Bytes | Kind::Records => {
                let bytes = blob(kind, value, self.form);
                self.length(bytes.as_ref().map(Vec::len), false);
                self.bytes.extend(bytes.unwrap_or_default());
            }
            Kind::Struct(name) => {
                let schema = self.schema;
                self.fields(schema.fields_of(name), value);
            }
            Kind::Array(element) => {
                let elements = value.as_array();
                assert!(elements.is_some() || value.is_null(), "no array: {value}");
                self.length(elements.map(Vec::len), false);
                for value in elements.into_iter().flatten() {
                    self.bare(element, value);
                }
            }
        }
    }

    /// A length or count; strings have a short one.
    fn length(&mut self, length: Option<usize>, short: bool) {
        match (self.flexible, length) {
            (true, length) => self.unsigned(length.map_or(0, |length| length as u64 + 1)),
            (false, length) => {
                let length = length.map_or(-1, |length| i32::try_from(length).unwrap());
                let bytes = length.to_be_bytes();
                self.bytes
                    .extend(if short { &bytes[2..] } else { &bytes[..] });
            }
        }
    }

    fn unsigned(&mut self, mut value: u64) {
        while value > 0x7f {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

/// Text stands for its bytes, `{hex: …}` for any bytes, and an object in a field of records for a
/// batch to be built.
fn blob(kind: &Kind, value: &Value, form: Form) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::String(text) if form == Form::Hex => Some(unhex(text)),
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Object(object) if object.contains_key("hex") => {
            Some(unhex(object["hex"].as_str().unwrap()))
        }
        Value::Object(_) | Value::Array(_) if matches!(kind, Kind::Records) => {
            Some(records::build(value))
        }
        other => panic!("no bytes: {other}"),
    }
}

fn uuid(value: &Value) -> Uuid {
    let text = value.as_str().expect("an id is text");
    if text.len() == 36 {
        return Uuid(unhex(&text.replace('-', "")).try_into().unwrap());
    }
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What a field is when nobody says: the default of a struct has those of its own fields.
fn default_of(schema: &Schema, version: i16, field: &Field) -> Value {
    match (&field.default, &field.kind) {
        (Some(default), _) => default.clone(),
        (None, Kind::Bool) => json!(false),
        (None, Kind::Int(..)) => json!(0),
        (None, Kind::Float) => json!(0.0),
        (None, Kind::Uuid) => json!(Uuid([0; 16]).to_string()),
        (None, Kind::String | Kind::Bytes | Kind::Records) => json!(""),
        (None, Kind::Struct(name)) => {
            let fields = schema.fields_of(name).iter();
            let fields = fields.filter(|field| field.versions.contains(version));
            let defaults = fields.map(|it| (it.name.clone(), default_of(schema, version, it)));
            Value::Object(defaults.collect())
        }
        (None, Kind::Array(_)) => json!([]),
    }
}

/// The value of a body that is read to its end.
pub(crate) fn decode(
    schema: &Schema,
    version: i16,
    bytes: &[u8],
    form: Form,
) -> Result<Value, String> {
    let mut reader = Reader {
        schema,
        version,
        form,
        flexible: schema.flexible.contains(version),
        rest: bytes,
    };
    let value = reader.fields(&schema.fields)?;
    match reader.rest.len() {
        0 => Ok(value),
        left => Err(format!("{left} bytes behind the answer")),
    }
}

struct Reader<'a> {
    schema: &'a Schema,
    version: i16,
    form: Form,
    flexible: bool,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn fields(&mut self, fields: &[Field]) -> Result<Value, String> {
        let mut object = Map::new();
        for field in fields {
            if field.tagged.contains(self.version) {
                // A field that is not Kafka's is there only where it was sent.
                if !field.is_ours() {
                    let default = default_of(self.schema, self.version, field);
                    object.insert(field.name.clone(), default);
                }
            } else if field.versions.contains(self.version) {
                let value = self.value(field);
                let value = value.map_err(|error| format!("{}: {error}", field.name))?;
                object.insert(field.name.clone(), value);
            }
        }
        if self.flexible {
            self.tags(fields, &mut object)?;
        }
        Ok(Value::Object(object))
    }

    fn tags(&mut self, fields: &[Field], object: &mut Map<String, Value>) -> Result<(), String> {
        for _ in 0..self.unsigned()? {
            let tag = self.unsigned()?;
            let size = usize::try_from(self.unsigned()?).unwrap();
            let content = self.take(size)?;
            let mut known = fields.iter().filter(|field| field.tag == Some(tag));
            let Some(field) = known.find(|field| field.tagged.contains(self.version)) else {
                object.insert(format!("tag {tag}"), json!(hex(content)));
                continue;
            };
            let after = std::mem::replace(&mut self.rest, content);
            let value = match &field.kind {
                Kind::Struct(_) if field.nullable.contains(self.version) => {
                    match self.unsigned()? {
                        0 => Value::Null,
                        _ => self.bare(&field.kind)?,
                    }
                }
                _ => self.value(field)?,
            };
            self.rest = after;
            object.insert(field.name.clone(), value);
        }
        Ok(())
    }

    fn value(&mut self, field: &Field) -> Result<Value, String> {
        let nullable = field.nullable.contains(self.version);
        if matches!(field.kind, Kind::Struct(_)) && nullable && self.take(1)?[0] == 0xff {
            return Ok(Value::Null);
        }
        let value = self.bare(&field.kind)?;
        if value.is_null() && !nullable {
            return Err("null where none may be".to_owned());
        }
        Ok(value)
    }

    fn bare(&mut self, kind: &Kind) -> Result<Value, String> {
        Ok(match kind {
            Kind::Bool => json!(self.take(1)?[0] != 0),
            Kind::Int(width, signed) => json!(self.int(*width, *signed)?),
            Kind::Float => json!(f64::from_be_bytes(self.take(8)?.try_into().unwrap())),
            Kind::Uuid => self.uuid()?,
            Kind::String => match self.length(true)? {
                None => Value::Null,
                Some(length) => {
                    let text = std::str::from_utf8(self.take(length)?);
                    json!(text.map_err(|error| error.to_string())?)
                }
            },
            Kind::Bytes | Kind::Records => match self.length(false)? {
                None => Value::Null,
                Some(length) => self.blob(kind, length)?,
            },
            Kind::Struct(name) => {
                let schema = self.schema;
                self.fields(schema.fields_of(name))?
            }
            Kind::Array(element) => match self.length(false)? {
                None => Value::Null,
                Some(count) => {
                    let elements = (0..count).map(|_| self.bare(element));
                    Value::Array(elements.collect::<Result<_, _>>()?)
                }
            },
        })
    }

    fn blob(&mut self, kind: &Kind, length: usize) -> Result<Value, String> {
        let bytes = self.take(length)?;
        Ok(match (self.form, kind) {
            (Form::Hex, _) => json!(hex(bytes)),
            (Form::Told, Kind::Records) => records::tell(&Bytes::copy_from_slice(bytes)),
            (Form::Told, _) => tell_bytes(bytes),
        })
    }

    fn uuid(&mut self) -> Result<Value, String> {
        let id = Uuid(self.take(16)?.try_into().unwrap());
        Ok(match self.form {
            Form::Told => json!(id.to_string()),
            Form::Hex => {
                let mut text = hex(&id.0);
                for at in [20, 16, 12, 8] {
                    text.insert(at, '-');
                }
                json!(text)
            }
        })
    }

    fn int(&mut self, width: usize, signed: bool) -> Result<i64, String> {
        let bytes = self.take(width)?;
        let fill = if signed && bytes[0] & 0x80 != 0 {
            0xff
        } else {
            0
        };
        let mut all = [fill; 8];
        all[8 - width..].copy_from_slice(bytes);
        Ok(i64::from_be_bytes(all))
    }

    fn length(&mut self, short: bool) -> Result<Option<usize>, String> {
        let length = match (self.flexible, short) {
            (true, _) => i64::try_from(self.unsigned()?).unwrap() - 1,
            (false, true) => self.int(2, true)?,
            (false, false) => self.int(4, true)?,
        };
        Ok(usize::try_from(length).ok())
    }

    fn unsigned(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a varint without an end".to_owned())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        if self.rest.len() < count {
            return Err(format!("{count} bytes wanted, {} left", self.rest.len()));
        }
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(taken)
    }
}

/// Printable text as it is, anything else in hex.
pub(crate) fn tell_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(|c| !c.is_control()) => json!(text),
        _ => json!({ "hex": hex(bytes) }),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Blanks part bytes for the reader only.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::schema::{Schemas, protocol};
    use super::{Form, decode, encode, unhex};
    use isthmus_wire::{ApiKey, Uuid};
    use serde_json::Value;

    /// Every vector that was made with Kafka's own classes, both ways.
    #[test]
    fn the_walk_over_the_tables_agrees_with_kafkas_own_bytes() {
        let mut schemas = Schemas::default();
        let mut seen = 0;
        for key in ApiKey::ALL.iter().filter(|key| i16::from(**key) < 10_000) {
            let api = schemas.api(key.name());
            for schema in [&api.request, &api.response] {
                let path = protocol().join(format!("golden/{}.jsonl", schema.name));
                for line in std::fs::read_to_string(&path).unwrap().lines() {
                    let vector: Value = serde_json::from_str(line).unwrap();
                    let version = i16::try_from(vector["version"].as_i64().unwrap()).unwrap();
                    let bytes = unhex(vector["hex"].as_str().unwrap());
                    let what = format!("{} version {version}", schema.name);
                    let value = decode(schema, version, &bytes, Form::Hex).expect(&what);
                    // The one default that has two forms.
                    let zero = "00000000-0000-0000-0000-000000000000";
                    let told = value.to_string().replace(&Uuid([0; 16]).to_string(), zero);
                    assert_eq!(told, vector["value"].to_string(), "{what}");
                    assert_eq!(encode(schema, version, &value, Form::Hex), bytes, "{what}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 700, "{seen} vectors");
    }
}
