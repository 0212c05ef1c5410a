//! A piece of an encoded frame, in the order in which the pieces go to the socket.

use bytes::Bytes;

use crate::records::FileRegion;

/// One piece of a frame: bytes in memory, or a region of a file still to be sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Bytes(Bytes),
    File(FileRegion),
}

impl Part {
    /// Length in bytes on the wire.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(region) => region.len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
