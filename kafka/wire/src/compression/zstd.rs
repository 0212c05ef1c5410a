//! zstd (RFC 8878), one or several frames.
//!
//! Whole frames are decompressed in one call, with the output buffer as the window: the context
//! then never allocates one, whatever window size (up to 2 GiB) a frame header announces. The
//! Java client streams, so its frames do not say how long their content is: the buffer is grown
//! and the call repeated, four times larger each time, a third more work at worst.

use std::ops::RangeInclusive;

use zstd::zstd_safe::{self, CCtx, CParameter, DCtx};

use super::output::Output;
use super::{Compression, CompressionError};

/// Kafka's default of `compression.zstd.level`.
const LEVEL_DEFAULT: i32 = 3;
/// The first guess for a frame that does not tell: the buffer at hand, or this many times the
/// compressed bytes.
const GUESS_FACTOR: usize = 4;
const GUESS_BYTES_MIN: usize = 16 * 1024;
/// What the library calls `ZSTD_error_dstSize_tooSmall`; error codes are negated.
const ERROR_OUTPUT_TOO_SMALL: usize = 70_usize.wrapping_neg();

pub(super) fn levels() -> RangeInclusive<i32> {
    zstd_safe::min_c_level()..=zstd_safe::max_c_level()
}

pub(super) fn compress(
    level: Option<i32>,
    source: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    let failed =
        |code| CompressionError::failed(Compression::Zstd, zstd_safe::get_error_name(code));
    let mut context = CCtx::try_create()
        .ok_or_else(|| CompressionError::failed(Compression::Zstd, "no memory"))?;
    context
        .set_parameter(CParameter::CompressionLevel(level.unwrap_or(LEVEL_DEFAULT)))
        .map_err(failed)?;
    let start = out.len();
    out.resize(start + zstd_safe::compress_bound(source.len()), 0);
    let len = context
        .compress2(&mut out[start..], source)
        .map_err(failed)?;
    out.truncate(start + len);
    Ok(())
}

/// The library's state, made at the first use (160 KiB) and kept.
#[derive(Default)]
pub(super) struct Context(Option<DCtx<'static>>);

impl Context {
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.0.as_ref().map_or(0, DCtx::sizeof)
    }

    pub(super) fn decompress(
        &mut self,
        source: &[u8],
        output: &mut Output,
    ) -> Result<(), CompressionError> {
        let context = match &mut self.0 {
            Some(context) => context,
            empty => empty.insert(DCtx::try_create().ok_or_else(|| corrupt("no memory"))?),
        };
        let mut size = first_size(source, output)?;
        loop {
            match context.decompress(output.room(size)?, source) {
                Ok(len) => {
                    output.advance(len);
                    return Ok(());
                }
                Err(ERROR_OUTPUT_TOO_SMALL) if size == output.allowance() => {
                    return Err(output.too_large());
                }
                Err(ERROR_OUTPUT_TOO_SMALL) => {
                    size = size.saturating_mul(4).min(output.allowance());
                }
                Err(code) => return Err(corrupt(zstd_safe::get_error_name(code))),
            }
        }
    }
}

fn first_size(source: &[u8], output: &Output) -> Result<usize, CompressionError> {
    let told = zstd_safe::get_frame_content_size(source)
        .map_err(|_| corrupt("not a zstd frame"))?
        .map(|size| usize::try_from(size).unwrap_or(usize::MAX));
    match told {
        Some(size) if size > output.allowance() => Err(output.too_large()),
        // A first frame without content may be followed by others.
        Some(size) => Ok(size.max(GUESS_BYTES_MIN).min(output.allowance())),
        None => Ok(source
            .len()
            .saturating_mul(GUESS_FACTOR)
            .max(output.capacity())
            .max(GUESS_BYTES_MIN)
            .min(output.allowance())),
    }
}

fn corrupt(reason: impl ToString) -> CompressionError {
    CompressionError::corrupt(Compression::Zstd, reason)
}
