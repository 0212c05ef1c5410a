//! Owns the memory that decompressions share: one output buffer and one zstd context, so that the
//! produce path allocates nothing per batch. One per worker; it carries nothing from one batch to
//! the next.

use bytes::Bytes;

use super::output::Output;
use super::{Compression, CompressionError, gzip, lz4, snappy, zstd};

/// A buffer that grew beyond this is given back before the next batch: one huge batch must not
/// pin its size in every worker. Four times the default `max.message.bytes`.
pub const DECOMPRESSOR_KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Default)]
pub struct Decompressor {
    pub(super) output: Output,
    pub(super) zstd: zstd::Context,
}

impl Decompressor {
    pub fn new() -> Self {
        Self::default()
    }

    /// The decompressed bytes, at most `limit` of them; [`Compression::None`] gives `source` back.
    pub fn decompress<'a>(
        &'a mut self,
        codec: Compression,
        source: &'a [u8],
        limit: usize,
    ) -> Result<&'a [u8], CompressionError> {
        self.output.reset(limit, DECOMPRESSOR_KEPT_BYTES_MAX);
        let output = &mut self.output;
        match codec {
            Compression::None if source.len() > limit => {
                return Err(CompressionError::TooLarge { limit });
            }
            Compression::None => return Ok(source),
            codec if source.is_empty() => return Err(CompressionError::corrupt(codec, "no data")),
            Compression::Gzip => gzip::decompress(source, output)?,
            Compression::Snappy => snappy::decompress(source, output)?,
            Compression::Lz4 => lz4::decompress(source, output)?,
            Compression::Zstd => self.zstd.decompress(source, output)?,
        }
        Ok(self.output.filled())
    }

    /// What the last decompression gave, as memory of its own.
    pub(super) fn into_bytes(self) -> Bytes {
        self.output.into_bytes()
    }
}

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompressor")
            .field("kept_bytes", &self.output.capacity())
            .finish()
    }
}
