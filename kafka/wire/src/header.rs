//! Frames: the size in front, the header in the version that the body calls for, the body.
//!
//! Must not know: sockets, and which requests are in flight. A frame handed to the decoders here
//! is without its four bytes of size.

use crate::codec::{
    DecodeError, DecodeErrorKind, Decoder, EncodeError, EncodeErrorKind, Encoder, Message, Part,
    Request,
};
use crate::messages::{RequestHeader, ResponseHeader};
use crate::{ApiKey, ErrorCode};

/// Length of the size in front of a frame.
pub const FRAME_SIZE_LEN: usize = 4;

/// Reads the header of a request; key and version, which come first, say which header it is.
///
/// The version of the body is not checked: an ApiVersions request of an unknown version must be
/// answered, any other one ends the connection.
pub fn decode_request_header(d: &mut Decoder) -> Result<RequestHeader, DecodeError> {
    let [key_high, key_low, version_high, version_low] = peek(d)?;
    let key = i16::from_be_bytes([key_high, key_low]);
    let version = i16::from_be_bytes([version_high, version_low]);
    let api_key = ApiKey::try_from(key)
        .map_err(|_| DecodeError::new(DecodeErrorKind::UnknownApiKey { key }, d.position()))?;
    RequestHeader::decode(d, api_key.request_header_version(version))
}

/// Reads the header of the response to a request of this kind and version.
pub fn decode_response_header(
    d: &mut Decoder,
    api_key: ApiKey,
    version: i16,
) -> Result<ResponseHeader, DecodeError> {
    ResponseHeader::decode(d, api_key.response_header_version(version))
}

/// A whole request frame, its size in front.
pub fn encode_request<M: Request>(
    correlation_id: i32,
    client_id: Option<&str>,
    version: i16,
    message: &M,
) -> Result<Vec<Part>, EncodeError> {
    let header = RequestHeader {
        request_api_key: M::KEY.into(),
        request_api_version: version,
        correlation_id,
        client_id: client_id.map(str::to_owned),
    };
    let header_version = M::KEY.request_header_version(version);
    encode_frame(&header, header_version, message, version).map(Encoder::finish)
}

/// A whole response frame, its size in front.
pub fn encode_response<M: Message>(
    correlation_id: i32,
    api_key: ApiKey,
    version: i16,
    message: &M,
) -> Result<Vec<Part>, EncodeError> {
    ResponseFrame::encode(correlation_id, api_key, version, message).map(|frame| frame.parts)
}

/// A whole response frame, and what it says of failures.
#[derive(Debug)]
pub struct ResponseFrame {
    /// In the order of the wire, the frame's size in front.
    pub parts: Vec<Part>,
    /// The error codes in it at whatever depth, without `NONE`, each once.
    pub error_codes: Vec<ErrorCode>,
}

impl ResponseFrame {
    /// Fails where a field cannot be expressed in `version`.
    pub fn encode<M: Message>(
        correlation_id: i32,
        api_key: ApiKey,
        version: i16,
        message: &M,
    ) -> Result<Self, EncodeError> {
        let header = ResponseHeader { correlation_id };
        let header_version = api_key.response_header_version(version);
        let encoder = encode_frame(&header, header_version, message, version)?;
        Ok(Self {
            error_codes: encoder.error_codes().to_vec(),
            parts: encoder.finish(),
        })
    }
}

fn encode_frame<H: Message, M: Message>(
    header: &H,
    header_version: i16,
    message: &M,
    version: i16,
) -> Result<Encoder, EncodeError> {
    let mut e = Encoder::new();
    e.put_i32(0);
    header.encode(&mut e, header_version)?;
    message.encode(&mut e, version)?;
    let length = e.len() - FRAME_SIZE_LEN;
    let size = i32::try_from(length)
        .map_err(|_| EncodeError::new(EncodeErrorKind::LengthTooLarge { length }))?;
    e.patch_i32(0, size);
    Ok(e)
}

fn peek<const N: usize>(d: &Decoder) -> Result<[u8; N], DecodeError> {
    d.rest().first_chunk::<N>().copied().ok_or_else(|| {
        let kind = DecodeErrorKind::Truncated {
            needed: N,
            remaining: d.remaining(),
        };
        DecodeError::new(kind, d.position())
    })
}
