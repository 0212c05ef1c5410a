//! Walks over the batches of a log file.
//!
//! Owns: one buffer, and the judgement whether a whole batch stands at a position.
//! Must not know: indexes, segments, what a caller does about damage.
//! Invariants: reads at most the given range; never trusts a length beyond it.

use std::io;

use isthmus_wire::batch::{BATCH_HEADER_LEN, BatchError, BatchHeader, verify_crc};

use crate::disk::DiskFile;

/// For a lookup: about what lies between two index entries.
pub(crate) const LOOKUP_CHUNK: usize = 4096;
/// For reading a file from end to end.
pub(crate) const SEQUENTIAL_CHUNK: usize = 256 * 1024;

/// A batch and where it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) position: u64,
    pub(crate) header: BatchHeader,
}

impl Located {
    pub(crate) fn end(&self) -> u64 {
        self.position + self.header.size_in_bytes() as u64
    }
}

/// What stands at the scanner's position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Batch(Located),
    /// The range ends here.
    End,
    /// No whole batch.
    Damage(Damage),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The range ends inside a batch.
    CutShort,
    Invalid(BatchError),
}

#[derive(Debug)]
pub(crate) struct Scanner<'a, F> {
    file: &'a F,
    position: u64,
    end: u64,
    chunk: usize,
    buffer: Vec<u8>,
    buffer_start: u64,
}

impl<'a, F: DiskFile> Scanner<'a, F> {
    pub(crate) fn new(file: &'a F, position: u64, end: u64, chunk: usize) -> Self {
        Scanner {
            file,
            position,
            end,
            chunk,
            buffer: Vec::new(),
            buffer_start: position,
        }
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The header at the position; moves past its batch when there is one.
    pub(crate) fn next(&mut self) -> io::Result<Found> {
        let remaining = self.end.saturating_sub(self.position);
        if remaining == 0 {
            return Ok(Found::End);
        }
        if remaining < BATCH_HEADER_LEN as u64 {
            return Ok(Found::Damage(Damage::CutShort));
        }
        let position = self.position;
        let header = match BatchHeader::parse(self.bytes(position, BATCH_HEADER_LEN)?) {
            Ok(header) => header,
            Err(error) => return Ok(Found::Damage(Damage::Invalid(error))),
        };
        let batch = Located { position, header };
        if batch.end() > self.end {
            return Ok(Found::Damage(Damage::CutShort));
        }
        self.position = batch.end();
        Ok(Found::Batch(batch))
    }

    /// As [`Scanner::next`], and the checksum too.
    pub(crate) fn next_verified(&mut self) -> io::Result<Found> {
        let found = self.next()?;
        let Found::Batch(batch) = &found else {
            return Ok(found);
        };
        match verify_crc(self.batch_bytes(batch)?) {
            Ok(()) => Ok(found),
            Err(error) => {
                self.position = batch.position;
                Ok(Found::Damage(Damage::Invalid(error)))
            }
        }
    }

    /// The bytes of a batch just found.
    pub(crate) fn batch_bytes(&mut self, batch: &Located) -> io::Result<&[u8]> {
        self.bytes(batch.position, batch.header.size_in_bytes())
    }

    fn bytes(&mut self, position: u64, len: usize) -> io::Result<&[u8]> {
        let buffer_end = self.buffer_start + self.buffer.len() as u64;
        if position < self.buffer_start || position + len as u64 > buffer_end {
            let wanted = (len.max(self.chunk) as u64).min(self.end - position);
            self.buffer
                .resize(usize::try_from(wanted).map_err(io::Error::other)?, 0);
            self.buffer_start = position;
            self.file.read_exact_at(&mut self.buffer, position)?;
        }
        let start = usize::try_from(position - self.buffer_start).map_err(io::Error::other)?;
        Ok(&self.buffer[start..start + len])
    }
}

/// Whether a whole, valid batch of an offset at or above `offset_min` stands anywhere in the range.
/// Only asked after damage was found, so it may look at every byte.
pub(crate) fn has_valid_batch<F: DiskFile>(
    file: &F,
    position: u64,
    end: u64,
    offset_min: i64,
) -> io::Result<bool> {
    let mut scanner = Scanner::new(file, position, end, SEQUENTIAL_CHUNK);
    for position in position..end {
        scanner.position = position;
        match scanner.next_verified()? {
            Found::Batch(batch) if batch.header.base_offset >= offset_min => return Ok(true),
            Found::Batch(_) | Found::Damage(Damage::Invalid(_)) => {}
            Found::End => return Ok(false),
            Found::Damage(Damage::CutShort) if end - position < BATCH_HEADER_LEN as u64 => {
                return Ok(false);
            }
            Found::Damage(Damage::CutShort) => {}
        }
    }
    Ok(false)
}
