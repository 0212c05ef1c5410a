//! snappy in Kafka's two framings. The Java client writes xerial blocks, librdkafka and others
//! write one raw block; both must be read, xerial is written.
//!
//! ```text
//! xerial: 0x82 "SNAPPY" 0x00 | version i32 | compatible version i32 | blocks
//! block:  length i32 (big-endian) | raw snappy block
//! ```
//! The header may come again where a block could start: streams put one behind the other.

use super::output::Output;
use super::{Compression, CompressionError};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER_LEN: usize = 16;
const VERSION: i32 = 1;
/// Uncompressed bytes of a block we write; Kafka's own size.
const BLOCK_BYTES: usize = 32 * 1024;
/// A snappy element gives at most 64 bytes for three, so a length beyond this factor is a lie.
const EXPANSION_MAX: usize = 64;

pub(super) fn compress(source: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&VERSION.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in source.chunks(BLOCK_BYTES) {
        let length_at = out.len();
        let start = length_at + 4;
        out.resize(start + snap::raw::max_compress_len(block.len()), 0);
        let len = encoder
            .compress(block, &mut out[start..])
            .map_err(|error| CompressionError::failed(Compression::Snappy, error))?;
        out[length_at..start].copy_from_slice(&(len as u32).to_be_bytes());
        out.truncate(start + len);
    }
    Ok(())
}

pub(super) fn decompress(source: &[u8], output: &mut Output) -> Result<(), CompressionError> {
    if !source.starts_with(&MAGIC) {
        return decompress_block(source, output);
    }
    let mut rest = source;
    while !rest.is_empty() {
        rest = if rest.starts_with(&MAGIC) {
            skip_header(rest)?
        } else {
            let (block, rest) = split_block(rest)?;
            decompress_block(block, output)?;
            rest
        };
    }
    Ok(())
}

fn skip_header(source: &[u8]) -> Result<&[u8], CompressionError> {
    let Some((header, rest)) = source.split_at_checked(HEADER_LEN) else {
        return Err(corrupt("header cut short"));
    };
    // Only a lower bound, as the Java client has it: kafka-python writes the version in the byte
    // order of its machine, which reads as 16777216.
    match header[8..12] {
        [a, b, c, d] if i32::from_be_bytes([a, b, c, d]) >= VERSION => Ok(rest),
        _ => Err(corrupt("unsupported xerial version")),
    }
}

fn split_block(source: &[u8]) -> Result<(&[u8], &[u8]), CompressionError> {
    let (length, rest) = source
        .split_first_chunk::<4>()
        .ok_or_else(|| corrupt("block length cut short"))?;
    usize::try_from(i32::from_be_bytes(*length))
        .ok()
        .and_then(|len| rest.split_at_checked(len))
        .ok_or_else(|| corrupt("block cut short"))
}

fn decompress_block(block: &[u8], output: &mut Output) -> Result<(), CompressionError> {
    if block.is_empty() {
        return Err(corrupt("empty block"));
    }
    let claimed = snap::raw::decompress_len(block).map_err(corrupt)?;
    if claimed > block.len().saturating_mul(EXPANSION_MAX) {
        return Err(corrupt("length beyond what the block can hold"));
    }
    let room = output.room(claimed)?;
    let len = snap::raw::Decoder::new()
        .decompress(block, room)
        .map_err(corrupt)?;
    output.advance(len);
    Ok(())
}

fn corrupt(reason: impl ToString) -> CompressionError {
    CompressionError::corrupt(Compression::Snappy, reason)
}
