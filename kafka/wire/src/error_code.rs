//! The answer code of Kafka's responses.
//!
//! A newtype and not an enum: a peer of a newer version may send a code that is not known here, and
//! it must pass through unchanged. Names and flags are in `protocol/errors.json`.

use std::fmt;

/// An error code; `NONE` means success.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub i16);

/// One row of the table of error codes.
pub(crate) struct ErrorRow {
    pub(crate) name: &'static str,
    pub(crate) retriable: bool,
    pub(crate) refresh_metadata: bool,
}

impl ErrorCode {
    /// Kafka's name, or `UNRECOGNISED` for a code that is not known here.
    pub fn name(self) -> &'static str {
        self.row().map_or("UNRECOGNISED", |row| row.name)
    }

    /// Whether the same request may succeed later.
    pub fn is_retriable(self) -> bool {
        self.row().is_some_and(|row| row.retriable)
    }

    /// Whether a client should fetch metadata before it tries again.
    pub fn needs_metadata_refresh(self) -> bool {
        self.row().is_some_and(|row| row.refresh_metadata)
    }

    pub fn is_error(self) -> bool {
        self != Self::NONE
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row() {
            Some(row) => f.pad(row.name),
            None => write!(f, "UNRECOGNISED({})", self.0),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
