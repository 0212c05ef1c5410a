//! Bodies that carry their own version or type in front, outside of any request.
//!
//! | where | bytes |
//! |---|---|
//! | consumer protocol, coordinator log values, EndTxnMarker, ProducerSnapshot | int16 version, body |
//! | coordinator log keys | int16 type id, body at version 0 |
//! | metadata and remote storage records | uvarint 1, uvarint type id, uvarint version, body |

use bytes::Bytes;

use crate::codec::{DecodeError, DecodeErrorKind, Decoder, EncodeError, Encoder, Message};

/// The only frame version that metadata records have had.
const RECORD_FRAME_VERSION: u32 = 1;

/// Version of all keys of the coordinator logs.
const KEY_VERSION: i16 = 0;

/// A body with its version in front.
pub fn encode_versioned<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut e = Encoder::new();
    e.put_i16(version);
    message.encode(&mut e, version)?;
    Ok(e.into_bytes())
}

/// Reads a body with its version in front, and says which version it was.
pub fn decode_versioned<M: Message>(d: &mut Decoder) -> Result<(M, i16), DecodeError> {
    let version = d.get_i16()?;
    Ok((M::decode(d, version)?, version))
}

/// A key of a coordinator log.
pub fn encode_key<M: Message>(type_id: i16, key: &M) -> Result<Bytes, EncodeError> {
    let mut e = Encoder::new();
    e.put_i16(type_id);
    key.encode(&mut e, KEY_VERSION)?;
    Ok(e.into_bytes())
}

/// Reads a key of a coordinator log once its type id is read.
pub fn decode_key<M: Message>(d: &mut Decoder) -> Result<M, DecodeError> {
    M::decode(d, KEY_VERSION)
}

/// A record of the metadata log or the remote storage log.
pub fn encode_record<M: Message>(
    type_id: i16,
    version: i16,
    record: &M,
) -> Result<Bytes, EncodeError> {
    let mut e = Encoder::new();
    e.put_uvarint(RECORD_FRAME_VERSION);
    e.put_uvarint(type_id as u32);
    e.put_uvarint(version as u32);
    record.encode(&mut e, version)?;
    Ok(e.into_bytes())
}

/// Type id and version of a metadata or remote storage record; the body follows in the decoder.
pub fn decode_record_prefix(d: &mut Decoder) -> Result<(i16, i16), DecodeError> {
    let unsupported =
        |d: &Decoder| DecodeError::new(DecodeErrorKind::UnsupportedVersion, d.position());
    if d.get_uvarint()? != RECORD_FRAME_VERSION {
        return Err(unsupported(d));
    }
    let (type_id, version) = (d.get_uvarint()?, d.get_uvarint()?);
    match (i16::try_from(type_id), i16::try_from(version)) {
        (Ok(type_id), Ok(version)) => Ok((type_id, version)),
        _ => Err(unsupported(d)),
    }
}
