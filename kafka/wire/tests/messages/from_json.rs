//! From the `value` of a vector to the generated structs, field by field.
//!
//! A key that the struct does not know, or a value that the field's type cannot hold, is a failure.
//! With noise, values are replaced on the way: shape and versions stay well-formed.

use bytes::Bytes;
use isthmus_wire::{ErrorCode, Records, Uuid};
use serde_json::{Map, Value};

use crate::noise::Noise;

pub(crate) trait FromJson: Sized {
    fn from_json(json: &Value, noise: &mut Noise) -> Self;
}

/// Takes the fields of one struct out of an object, and then asks whether any were left.
pub(crate) struct Fields<'a> {
    object: &'a Map<String, Value>,
    taken: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(json: &'a Value) -> Self {
        Self {
            object: json.as_object().expect("an object"),
            taken: 0,
        }
    }

    pub(crate) fn take<T: FromJson>(&mut self, key: &str, field: &mut T, noise: &mut Noise) {
        if let Some(json) = self.object.get(key) {
            *field = T::from_json(json, noise);
            self.taken += 1;
        }
    }

    pub(crate) fn finish(self) {
        let tags = usize::from(self.object.contains_key("_unknownTags"));
        assert_eq!(
            self.taken + tags,
            self.object.len(),
            "fields unknown in {:?}",
            self.object
        );
    }
}

macro_rules! fields {
    ($($module:ident :: $name:ident { $($field:ident: $key:literal,)* })*) => {$(
        impl crate::from_json::FromJson for isthmus_wire::messages::$module::$name {
            #[expect(clippy::allow_attributes, reason = "only structs without fields need it")]
            #[allow(unused_mut, unused_variables, reason = "structs without fields")]
            fn from_json(json: &serde_json::Value, noise: &mut crate::noise::Noise) -> Self {
                let mut it = Self::default();
                let mut fields = crate::from_json::Fields::of(json);
                $(fields.take($key, &mut it.$field, noise);)*
                fields.finish();
                it
            }
        }
    )*};
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl FromJson for $type {
            fn from_json(json: &Value, noise: &mut Noise) -> Self {
                if noise.strikes() {
                    return noise.number() as $type;
                }
                let number = json.as_i64().expect("an integer");
                Self::try_from(number).expect("an integer of the field's width")
            }
        }
    )*};
}

numbers!(i8, i16, u16, i32, u32, i64);

impl FromJson for bool {
    fn from_json(json: &Value, noise: &mut Noise) -> Self {
        json.as_bool().expect("a boolean") ^ noise.strikes()
    }
}

impl FromJson for f64 {
    fn from_json(json: &Value, noise: &mut Noise) -> Self {
        let number = json.as_f64().expect("a number");
        if noise.strikes() {
            number / 3.0
        } else {
            number
        }
    }
}

impl FromJson for ErrorCode {
    fn from_json(json: &Value, noise: &mut Noise) -> Self {
        Self(i16::from_json(json, noise))
    }
}

impl FromJson for Uuid {
    fn from_json(json: &Value, noise: &mut Noise) -> Self {
        if noise.strikes() {
            let half = u128::from(noise.next());
            return Self((half << 64 | u128::from(noise.next())).to_be_bytes());
        }
        let text = json.as_str().expect("a dashed id").replace('-', "");
        Self(unhex(&text).try_into().expect("16 bytes"))
    }
}

impl FromJson for String {
    fn from_json(json: &Value, noise: &mut Noise) -> Self {
        let text = json.as_str().expect("a string");
        if noise.strikes() {
            noise.text()
        } else {
            text.to_owned()
        }
    }
}

impl FromJson for Bytes {
    fn from_json(json: &Value, noise: &mut Noise) -> Self {
        let bytes = unhex(json.as_str().expect("bytes in hex"));
        if noise.strikes() {
            noise.bytes().into()
        } else {
            bytes.into()
        }
    }
}

impl FromJson for Records {
    fn from_json(json: &Value, noise: &mut Noise) -> Self {
        Self::Bytes(Bytes::from_json(json, noise))
    }
}

impl<T: FromJson> FromJson for Vec<T> {
    fn from_json(json: &Value, noise: &mut Noise) -> Self {
        let mut items = Self::new();
        for item in json.as_array().expect("an array") {
            let copies = if noise.strikes() { noise.below(4) } else { 1 };
            items.extend((0..copies).map(|_| T::from_json(item, noise)));
        }
        items
    }
}

/// Null stays null: only the vectors know which versions allow it.
impl<T: FromJson> FromJson for Option<T> {
    fn from_json(json: &Value, noise: &mut Noise) -> Self {
        (!json.is_null()).then(|| T::from_json(json, noise))
    }
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "{text:?} is not hex");
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hex"))
        .collect()
}
