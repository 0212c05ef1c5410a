//! The messages by name, with what the tests do to one of them whatever its type.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use isthmus_wire::codec::{Decoder, Encoder, Message};
use serde_json::Value;

use crate::from_json::{FromJson, unhex};
use crate::noise::Noise;

/// One message type, its type erased.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) supports: fn(i16) -> bool,
    pub(crate) is_flexible: fn(i16) -> bool,
    /// Decodes to the value and encodes to the bytes of a vector.
    pub(crate) check: fn(&Vector),
    /// Decodes to the value of a vector that has unknown tags, and drops these.
    pub(crate) check_unknown_tags: fn(&Vector),
    /// Encodes the default and decodes it again, for messages without vectors.
    pub(crate) check_default: fn(i16),
}

macro_rules! messages {
    ($list:ident: $($name:ident,)*) => {
        pub(crate) const $list: &[crate::case::Case] =
            &[$(crate::case::Case::of::<isthmus_wire::messages::$name>()),*];
    };
}

impl Case {
    pub(crate) const fn of<M: Message + FromJson>() -> Self {
        Self {
            name: M::NAME,
            supports: M::supports,
            is_flexible: M::is_flexible,
            check: check::<M>,
            check_unknown_tags: check_unknown_tags::<M>,
            check_default: check_default::<M>,
        }
    }

    pub(crate) fn versions(&self) -> Vec<i16> {
        (-1..=100)
            .filter(|version| (self.supports)(*version))
            .collect()
    }
}

/// One line of `protocol/golden`.
pub(crate) struct Vector {
    pub(crate) message: Option<String>,
    pub(crate) version: i16,
    pub(crate) body: Bytes,
    pub(crate) value: Value,
}

pub(crate) fn read_vectors(name: &str) -> Vec<Vector> {
    let path = format!("protocol/golden/{name}.jsonl");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path));
    text.expect(&path).lines().map(read_vector).collect()
}

fn read_vector(line: &str) -> Vector {
    let mut json: Value = serde_json::from_str(line).expect("JSON");
    Vector {
        message: json["message"].as_str().map(str::to_owned),
        version: json["version"]
            .as_i64()
            .and_then(|v| v.try_into().ok())
            .expect("a version"),
        body: unhex(json["hex"].as_str().expect("a body")).into(),
        value: json["value"].take(),
    }
}

pub(crate) fn decode_all<M: Message>(body: &Bytes, version: i16) -> M {
    let mut d = Decoder::new(body.clone());
    let message = M::decode(&mut d, version).expect("a body that decodes");
    d.expect_end().expect("a body that is read to its end");
    message
}

pub(crate) fn encode_all<M: Message>(message: &M, version: i16) -> Bytes {
    let mut e = Encoder::new();
    message
        .encode(&mut e, version)
        .expect("a message that encodes");
    let length = e.len();
    let bytes = e.into_bytes();
    assert_eq!(length, bytes.len(), "the encoder's length");
    bytes
}

fn check<M: Message + FromJson>(vector: &Vector) {
    let expected = M::from_json(&vector.value, &mut Noise::none());
    let decoded: M = decode_all(&vector.body, vector.version);
    assert_eq!(decoded, expected, "{} version {}", M::NAME, vector.version);
    let encoded = encode_all(&expected, vector.version);
    assert_eq!(
        encoded,
        vector.body,
        "{} version {}",
        M::NAME,
        vector.version
    );
}

fn check_unknown_tags<M: Message + FromJson>(vector: &Vector) {
    let expected = M::from_json(&vector.value, &mut Noise::none());
    let decoded: M = decode_all(&vector.body, vector.version);
    assert_eq!(decoded, expected, "{} version {}", M::NAME, vector.version);
    let encoded = encode_all(&decoded, vector.version);
    assert!(
        encoded.len() < vector.body.len(),
        "{} keeps unknown tags",
        M::NAME
    );
    assert_eq!(decode_all::<M>(&encoded, vector.version), expected);
}

fn check_default<M: Message>(version: i16) {
    let encoded = encode_all(&M::default(), version);
    assert_eq!(
        decode_all::<M>(&encoded, version),
        M::default(),
        "{} {version}",
        M::NAME
    );
}
