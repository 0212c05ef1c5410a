//! lz4 in its standard frame, as magic 2 batches carry it (the wrong header checksum of magic 0
//! belongs to the old formats and is refused here).
//!
//! ```text
//! frame: magic u32 = 0x184d2204 | FLG u8 | BD u8 | [content size u64] | header checksum u8
//!        | blocks | 0 u32 | [content checksum u32]                      (all little-endian)
//! block: length u32, high bit = stored as it is | data | [checksum u32]
//! ```
//! The frame is walked here and only the blocks go to `lz4_flex`: its own frame reader takes a
//! frame cut short between two blocks for a complete one, and takes memory by what BD claims.

use std::io::Write;

use lz4_flex::block::{DecompressError, decompress_into, decompress_into_with_dict};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use twox_hash::XxHash32;

use super::output::Output;
use super::{Compression, CompressionError};

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
const FLG_VERSION: u8 = 0b1100_0000;
const FLG_VERSION_1: u8 = 0b0100_0000;
const FLG_INDEPENDENT_BLOCKS: u8 = 0b0010_0000;
const FLG_BLOCK_CHECKSUM: u8 = 0b0001_0000;
const FLG_CONTENT_SIZE: u8 = 0b0000_1000;
const FLG_CONTENT_CHECKSUM: u8 = 0b0000_0100;
const FLG_RESERVED: u8 = 0b0000_0010;
const FLG_DICTIONARY: u8 = 0b0000_0001;
const BD_RESERVED: u8 = 0b1000_1111;
const STORED: u32 = 1 << 31;
/// How far back a linked block may reach.
const WINDOW_BYTES: usize = 64 * 1024;
/// One byte of a block gives at most 255 bytes, plus the last sequence.
const EXPANSION_MAX: usize = 255;
const EXPANSION_EXTRA: usize = 64;

/// `lz4_flex` has the fast matcher only, so the level changes nothing. Independent blocks: the
/// Java client refuses linked ones.
pub(super) fn compress(source: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    let info = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, out);
    encoder
        .write_all(source)
        .map_err(|error| CompressionError::failed(Compression::Lz4, error))?;
    encoder
        .finish()
        .map(drop)
        .map_err(|error| CompressionError::failed(Compression::Lz4, error))
}

/// One frame, or several put one behind the other.
pub(super) fn decompress(source: &[u8], output: &mut Output) -> Result<(), CompressionError> {
    let mut input = Input { rest: source };
    loop {
        decompress_frame(&mut input, output)?;
        if input.rest.is_empty() {
            return Ok(());
        }
    }
}

struct Frame {
    flags: u8,
    block_bytes_max: usize,
    content_size: Option<u64>,
    /// Where its output starts; a block never reaches into the frame before.
    start: usize,
}

impl Frame {
    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

fn decompress_frame(input: &mut Input<'_>, output: &mut Output) -> Result<(), CompressionError> {
    let frame = read_header(input, output.filled().len())?;
    loop {
        let word = input.u32()?;
        if word == 0 {
            break;
        }
        let len = (word & !STORED) as usize;
        if len > frame.block_bytes_max {
            return Err(corrupt("block larger than the frame allows"));
        }
        let block = input.take(len)?;
        if frame.has(FLG_BLOCK_CHECKSUM) && input.u32()? != XxHash32::oneshot(0, block) {
            return Err(corrupt("wrong block checksum"));
        }
        if word & STORED != 0 {
            output.room(len)?.copy_from_slice(block);
            output.advance(len);
        } else {
            decompress_block(&frame, block, output)?;
        }
    }
    check_content(&frame, input, &output.filled()[frame.start..])
}

fn read_header(input: &mut Input<'_>, start: usize) -> Result<Frame, CompressionError> {
    if input.array::<4>()? != MAGIC {
        return Err(corrupt("not an lz4 frame"));
    }
    let descriptor = input.rest;
    let [flags, block_descriptor] = input.array::<2>()?;
    if flags & FLG_VERSION != FLG_VERSION_1 {
        return Err(corrupt("unsupported frame version"));
    }
    if flags & FLG_RESERVED != 0 || block_descriptor & BD_RESERVED != 0 {
        return Err(corrupt("reserved bits set"));
    }
    if flags & FLG_DICTIONARY != 0 {
        return Err(corrupt("dictionaries are not supported"));
    }
    let block_bytes_max = match block_descriptor >> 4 {
        size @ 4..=7 => 1 << (8 + 2 * size),
        _ => return Err(corrupt("invalid block size")),
    };
    let content_size = match flags & FLG_CONTENT_SIZE {
        0 => None,
        _ => Some(u64::from_le_bytes(input.array()?)),
    };
    let descriptor = &descriptor[..descriptor.len() - input.rest.len()];
    let [checksum] = input.array::<1>()?;
    if checksum != XxHash32::oneshot(0, descriptor).to_le_bytes()[1] {
        return Err(corrupt("wrong header checksum"));
    }
    Ok(Frame {
        flags,
        block_bytes_max,
        content_size,
        start,
    })
}

fn decompress_block(
    frame: &Frame,
    block: &[u8],
    output: &mut Output,
) -> Result<(), CompressionError> {
    let possible = block.len() * EXPANSION_MAX + EXPANSION_EXTRA;
    let wanted = frame.block_bytes_max.min(possible);
    let room = wanted.min(output.allowance());
    let (filled, target) = output.split(room)?;
    let result = if frame.has(FLG_INDEPENDENT_BLOCKS) {
        decompress_into(block, target)
    } else {
        let window = filled.len().saturating_sub(WINDOW_BYTES).max(frame.start);
        decompress_into_with_dict(block, target, &filled[window..])
    };
    match result {
        Ok(len) => {
            output.advance(len);
            Ok(())
        }
        Err(DecompressError::OutputTooSmall { .. }) if room < wanted => Err(output.too_large()),
        Err(error) => Err(corrupt(error)),
    }
}

fn check_content(
    frame: &Frame,
    input: &mut Input<'_>,
    content: &[u8],
) -> Result<(), CompressionError> {
    if frame
        .content_size
        .is_some_and(|size| size != content.len() as u64)
    {
        return Err(corrupt("content size differs"));
    }
    if frame.has(FLG_CONTENT_CHECKSUM) && input.u32()? != XxHash32::oneshot(0, content) {
        return Err(corrupt("wrong content checksum"));
    }
    Ok(())
}

struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], CompressionError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| corrupt("frame cut short"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CompressionError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| corrupt("frame cut short"))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, CompressionError> {
        self.array().map(u32::from_le_bytes)
    }
}

fn corrupt(reason: impl ToString) -> CompressionError {
    CompressionError::corrupt(Compression::Lz4, reason)
}
