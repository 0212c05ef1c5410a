//! What every message and every element of an array can do.
//!
//! The generated code implements [`Element`] for each struct and adds the constants of
//! [`Message`]; checking the version and naming the message in errors is done here, once.

use std::fmt::Debug;

use super::{DecodeError, DecodeErrorKind, Decoder, EncodeError, EncodeErrorKind, Encoder};
use crate::{ApiKey, ErrorCode, Uuid};

/// A value with one wire form per version of the message it belongs to.
///
/// Every element takes at least one byte in every version: the bound on array counts rests on it,
/// and the generator refuses a schema that breaks it.
pub trait Element: Sized {
    fn read(d: &mut Decoder, version: i16, flexible: bool) -> Result<Self, DecodeError>;
    fn write(&self, e: &mut Encoder, version: i16, flexible: bool) -> Result<(), EncodeError>;
}

/// A request, response, header or record body with versions of its own.
///
/// A field that a version lacks is decoded as its default. Unknown tags are dropped. `Default`
/// follows Kafka: a nullable field without a stated default is empty, not null.
pub trait Message:
    Element + Default + Clone + Debug + PartialEq + Send + Sync + Sized + 'static
{
    const NAME: &'static str;

    fn supports(version: i16) -> bool;

    /// Whether the version has compact lengths and tag sections.
    fn is_flexible(version: i16) -> bool;

    /// Reads one message; what follows it stays in the decoder.
    fn decode(d: &mut Decoder, version: i16) -> Result<Self, DecodeError> {
        let outcome = if Self::supports(version) {
            Self::read(d, version, Self::is_flexible(version))
        } else {
            Err(DecodeError::new(
                DecodeErrorKind::UnsupportedVersion,
                d.position(),
            ))
        };
        outcome.map_err(|error| error.in_message(Self::NAME, version))
    }

    /// Writes the message; after an error the encoder holds a part of it and is of no more use.
    fn encode(&self, e: &mut Encoder, version: i16) -> Result<(), EncodeError> {
        let outcome = if Self::supports(version) {
            self.write(e, version, Self::is_flexible(version))
        } else {
            Err(EncodeError::new(EncodeErrorKind::UnsupportedVersion))
        };
        outcome.map_err(|error| error.in_message(Self::NAME, version))
    }
}

/// A message that asks for another.
pub trait Request: Message {
    const KEY: ApiKey;
    type Response: Response;
}

/// A message that answers another.
pub trait Response: Message {
    /// How long the client is told to wait (KIP-13, KIP-219); 0 where the kind cannot say so.
    fn throttle_time_ms(&self) -> i32 {
        0
    }

    /// Without effect where the kind, or its version, cannot say so.
    fn set_throttle_time_ms(&mut self, _throttle_time_ms: i32) {}
}

/// Refuses a value in a field that the version lacks, unless it is the field's default.
pub fn absent(is_default: bool, field: &'static str) -> Result<(), EncodeError> {
    if is_default {
        Ok(())
    } else {
        Err(EncodeError::of_field(
            EncodeErrorKind::FieldNotInVersion,
            field,
        ))
    }
}

/// Refuses null in a field that may be null only in other versions.
pub fn present<T>(value: Option<T>, field: &'static str) -> Result<T, EncodeError> {
    value.ok_or_else(|| EncodeError::of_field(EncodeErrorKind::NullNotAllowed, field))
}

macro_rules! number_elements {
    ($($type:ty: $get:ident, $put:ident;)*) => {$(
        impl Element for $type {
            fn read(d: &mut Decoder, _version: i16, _flexible: bool) -> Result<Self, DecodeError> {
                d.$get()
            }

            fn write(&self, e: &mut Encoder, _: i16, _: bool) -> Result<(), EncodeError> {
                e.$put(*self);
                Ok(())
            }
        }
    )*};
}

number_elements! {
    bool: get_bool, put_bool;
    i8: get_i8, put_i8;
    i16: get_i16, put_i16;
    u16: get_u16, put_u16;
    i32: get_i32, put_i32;
    u32: get_u32, put_u32;
    i64: get_i64, put_i64;
    f64: get_f64, put_f64;
    Uuid: get_uuid, put_uuid;
    ErrorCode: get_error_code, put_error_code;
}

impl Element for String {
    fn read(d: &mut Decoder, _version: i16, flexible: bool) -> Result<Self, DecodeError> {
        d.get_string(flexible)
    }

    fn write(&self, e: &mut Encoder, _version: i16, flexible: bool) -> Result<(), EncodeError> {
        e.put_string(self, flexible)
    }
}
