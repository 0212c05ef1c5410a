//! Owns the bounded, growing buffer a codec decompresses into.
//!
//! Invariant: `filled <= memory.len()`, and a buffer that grew in this round is no longer than
//! `limit`. It grows by doubling what was really filled, so that memory follows output, not what
//! a frame header claims.

use bytes::Bytes;

use super::CompressionError;

/// The first size when nothing is known; one small batch fits.
const FIRST_BYTES: usize = 16 * 1024;

#[derive(Default)]
pub(super) struct Output {
    /// All of it initialised, so that a slice of it can be handed to a codec.
    memory: Vec<u8>,
    filled: usize,
    limit: usize,
}

impl Output {
    /// Ready for the next decompression.
    pub(super) fn reset(&mut self, limit: usize, kept_bytes_max: usize) {
        if self.memory.len() > kept_bytes_max {
            self.memory = Vec::new();
        }
        self.filled = 0;
        self.limit = limit;
    }

    pub(super) fn filled(&self) -> &[u8] {
        &self.memory[..self.filled]
    }

    pub(super) fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// How much more may come.
    pub(super) fn allowance(&self) -> usize {
        self.limit - self.filled
    }

    pub(super) fn too_large(&self) -> CompressionError {
        CompressionError::TooLarge { limit: self.limit }
    }

    /// Exactly `len` writable bytes, or the error that they are beyond the limit.
    pub(super) fn room(&mut self, len: usize) -> Result<&mut [u8], CompressionError> {
        Ok(self.split(len)?.1)
    }

    /// What is filled already (the dictionary of linked lz4 blocks) and exactly `len` writable
    /// bytes behind it.
    pub(super) fn split(&mut self, len: usize) -> Result<(&[u8], &mut [u8]), CompressionError> {
        if len > self.allowance() {
            return Err(self.too_large());
        }
        self.reserve(len);
        let (filled, rest) = self.memory.split_at_mut(self.filled);
        Ok((filled, &mut rest[..len]))
    }

    /// All memory at hand behind what is filled, at least one byte; nothing when the limit is
    /// reached.
    pub(super) fn spare(&mut self) -> &mut [u8] {
        let allowance = self.allowance();
        if allowance > 0 {
            self.reserve(1);
        }
        let end = self.memory.len().min(self.filled + allowance);
        &mut self.memory[self.filled..end]
    }

    /// The first `len` bytes of the room handed out are now output.
    pub(super) fn advance(&mut self, len: usize) {
        assert!(
            len <= self.memory.len().min(self.limit) - self.filled,
            "advance by {len} beyond the room: filled {}, memory {}, limit {}",
            self.filled,
            self.memory.len(),
            self.limit,
        );
        self.filled += len;
    }

    pub(super) fn into_bytes(mut self) -> Bytes {
        self.memory.truncate(self.filled);
        // The records keep this memory alive: they must not hold twice their size.
        if self.memory.capacity() - self.filled > self.filled / 2 {
            self.memory.shrink_to_fit();
        }
        Bytes::from(self.memory)
    }

    fn reserve(&mut self, len: usize) {
        let needed = self.filled + len;
        if needed <= self.memory.len() {
            return;
        }
        let doubled = (self.filled * 2).max(FIRST_BYTES).min(self.limit);
        let wanted = needed.max(doubled);
        if self.filled == 0 {
            // Fresh zero pages: nothing is copied, and what stays unused is never touched.
            self.memory = vec![0; wanted];
        } else {
            self.memory.reserve_exact(wanted - self.memory.len());
            self.memory.resize(wanted, 0);
        }
    }
}
