//! gzip (RFC 1952), of one or several members.

use std::io::{Read, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::output::Output;
use super::{Compression, CompressionError};

pub(super) fn compress(
    level: Option<i32>,
    source: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    let level = match level.map(u32::try_from) {
        Some(Ok(level)) => flate2::Compression::new(level),
        None | Some(Err(_)) => flate2::Compression::default(),
    };
    let mut encoder = GzEncoder::new(out, level);
    encoder
        .write_all(source)
        .and_then(|()| encoder.finish())
        .map(drop)
        .map_err(|error| CompressionError::failed(Compression::Gzip, error))
}

pub(super) fn decompress(source: &[u8], output: &mut Output) -> Result<(), CompressionError> {
    let mut decoder = MultiGzDecoder::new(source);
    let mut read = |room: &mut [u8]| {
        decoder
            .read(room)
            .map_err(|error| CompressionError::corrupt(Compression::Gzip, error))
    };
    loop {
        let room = output.spare();
        if room.is_empty() {
            break;
        }
        match read(room)? {
            0 => return Ok(()),
            len => output.advance(len),
        }
    }
    // The limit is reached: fine if this was the end, which also checks the trailer.
    match read(&mut [0])? {
        0 => Ok(()),
        _ => Err(output.too_large()),
    }
}
