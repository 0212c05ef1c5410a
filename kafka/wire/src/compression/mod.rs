//! Owns the four codecs of record batches, as framed bytes in and out: gzip (also of several
//! members), snappy (xerial blocks and raw), lz4 frames, zstd frames.
//!
//! Must not know what the bytes mean: batches and records are `batch`'s.
//!
//! Invariants:
//! - Decompression never gives, and never holds, more than the caller's limit; what comes on top
//!   is the state of one codec (under 300 KiB). The output buffer is the window of zstd and lz4,
//!   so a window announced by a peer costs nothing.
//! - No bytes of a peer make it panic. Data cut short is an error, never a shorter answer, except
//!   between two xerial blocks, where the format has no end mark.

mod decompressor;
mod gzip;
mod lz4;
mod output;
mod snappy;
mod zstd;

use bytes::Bytes;

pub use decompressor::{DECOMPRESSOR_KEPT_BYTES_MAX, Decompressor};

/// The codec of a batch: bits 0-2 of its attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Compression {
    #[default]
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

impl Compression {
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    pub fn from_id(id: u8) -> Result<Self, CompressionError> {
        Self::ALL
            .get(usize::from(id))
            .copied()
            .ok_or(CompressionError::UnknownCodec(id))
    }

    pub fn id(self) -> u8 {
        self as u8
    }

    /// The name used by `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    #[error("unknown compression codec {0}")]
    UnknownCodec(u8),
    #[error("decompressed records exceed the limit of {limit} bytes")]
    TooLarge { limit: usize },
    #[error("corrupt {codec} data: {reason}")]
    Corrupt {
        codec: Compression,
        reason: Box<str>,
    },
    #[error("level {level} is outside {min}..={max}, the levels of {codec}")]
    Level {
        codec: Compression,
        level: i32,
        min: i32,
        max: i32,
    },
    #[error("{codec} refused to compress: {reason}")]
    Failed {
        codec: Compression,
        reason: Box<str>,
    },
}

impl CompressionError {
    #[expect(clippy::needless_pass_by_value, reason = "handed to map_err")]
    fn corrupt(codec: Compression, reason: impl ToString) -> Self {
        Self::Corrupt {
            codec,
            reason: reason.to_string().into(),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "handed to map_err")]
    fn failed(codec: Compression, reason: impl ToString) -> Self {
        Self::Failed {
            codec,
            reason: reason.to_string().into(),
        }
    }
}

/// Appends the compressed form of `source` to `out`. `level` is that of Kafka's
/// `compression.<codec>.level`; `None` is Kafka's default.
pub fn compress(
    codec: Compression,
    level: Option<i32>,
    source: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    check_level(codec, level)?;
    match codec {
        Compression::None => {
            out.extend_from_slice(source);
            Ok(())
        }
        Compression::Gzip => gzip::compress(level, source, out),
        Compression::Snappy => snappy::compress(source, out),
        Compression::Lz4 => lz4::compress(source, out),
        Compression::Zstd => zstd::compress(level, source, out),
    }
}

/// One decompression into memory of its own. For many in a row see [`Decompressor`].
/// [`Compression::None`] copies.
pub fn decompress(
    codec: Compression,
    source: &[u8],
    limit: usize,
) -> Result<Bytes, CompressionError> {
    let mut decompressor = Decompressor::new();
    match codec {
        Compression::None => decompressor
            .decompress(codec, source, limit)
            .map(Bytes::copy_from_slice),
        Compression::Gzip | Compression::Snappy | Compression::Lz4 | Compression::Zstd => {
            let _ = decompressor.decompress(codec, source, limit)?;
            Ok(decompressor.into_bytes())
        }
    }
}

/// The levels of Kafka's `compression.<codec>.level`; `None` for a codec without levels, where a
/// given level is ignored.
pub fn levels(codec: Compression) -> Option<std::ops::RangeInclusive<i32>> {
    match codec {
        Compression::None | Compression::Snappy => None,
        Compression::Gzip => Some(1..=9),
        Compression::Lz4 => Some(1..=17),
        Compression::Zstd => Some(zstd::levels()),
    }
}

fn check_level(codec: Compression, level: Option<i32>) -> Result<(), CompressionError> {
    let (Some(level), Some(levels)) = (level, levels(codec)) else {
        return Ok(());
    };
    // Kafka's way to ask gzip for the codec's own default.
    if levels.contains(&level) || (codec == Compression::Gzip && level == -1) {
        return Ok(());
    }
    Err(CompressionError::Level {
        codec,
        level,
        min: *levels.start(),
        max: *levels.end(),
    })
}

#[cfg(test)]
mod tests;
