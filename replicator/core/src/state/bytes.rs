//! What all kinds share: a version in front, nothing behind.

use bytes::Bytes;
use isthmus_wire::codec::{DecodeError, Decoder, EncodeError, Encoder};

use super::{StateError, StateWriteError};

/// Counts that are read before their elements are: more than any writer here writes.
pub(super) const ELEMENTS_MAX: i32 = 1 << 20;

pub(super) fn write(
    what: &'static str,
    version: i8,
    body: impl FnOnce(&mut Encoder) -> Result<(), EncodeError>,
) -> Result<Bytes, StateWriteError> {
    let mut e = Encoder::new();
    e.put_i8(version);
    body(&mut e).map_err(StateWriteError::encode(what))?;
    Ok(e.into_bytes())
}

pub(super) fn read<T>(
    what: &'static str,
    known: i8,
    bytes: &Bytes,
    body: impl FnOnce(&mut Decoder) -> Result<T, DecodeError>,
) -> Result<T, StateError> {
    let mut d = Decoder::new(bytes.clone());
    let found = d.get_i8().map_err(StateError::decode(what))?;
    check_version(what, found, known)?;
    let value = body(&mut d).map_err(StateError::decode(what))?;
    d.expect_end().map_err(StateError::decode(what))?;
    Ok(value)
}

/// Versions begin at 1, so that a record of zeros is none.
pub(super) fn check_version(what: &'static str, found: i8, known: i8) -> Result<(), StateError> {
    if found > known {
        return Err(StateError::Newer { what, found, known });
    }
    if found < 1 {
        return Err(StateError::NeverWas { what, found });
    }
    Ok(())
}

/// How many elements follow, each at least `size` bytes: never more than bytes are there.
pub(super) fn count(d: &mut Decoder, size: usize) -> Result<usize, DecodeError> {
    let count = d.get_i32()?;
    let room = d.remaining() / size;
    match usize::try_from(count) {
        Ok(count) if count <= room && count <= ELEMENTS_MAX as usize => Ok(count),
        _ => Err(DecodeError::new(
            isthmus_wire::codec::DecodeErrorKind::LengthBeyondEnd {
                length: u64::try_from(count).unwrap_or(0),
                remaining: d.remaining(),
            },
            d.position(),
        )),
    }
}
