//! What was written for a group in one partition: kind 5. Saved before it is written.
//!
//! ```text
//! INT8 version = 1 | INT64 from (source) | INT64 written (target) | INT64 before (target, -1: none)
//! INT64 saved at, ms
//! ```

use bytes::Bytes;

use super::bytes::{read, write};
use super::{StateError, StateWriteError};
use crate::groups::WrittenOffset;
use crate::names::{SourceOffset, TargetOffset};

const WHAT: &str = "group offset";
const VERSION: i8 = 1;

const NONE: i64 = -1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedGroupOffset {
    pub offset: WrittenOffset,
    pub saved_at_ms: i64,
}

impl SavedGroupOffset {
    pub fn encode(&self) -> Result<Bytes, StateWriteError> {
        write(WHAT, VERSION, |e| {
            e.put_i64(self.offset.from.0);
            e.put_i64(self.offset.written.0);
            e.put_i64(self.offset.before.map_or(NONE, |before| before.0));
            e.put_i64(self.saved_at_ms);
            Ok(())
        })
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, StateError> {
        read(WHAT, VERSION, bytes, |d| {
            let from = SourceOffset(d.get_i64()?);
            let written = TargetOffset(d.get_i64()?);
            let before = d.get_i64()?;
            Ok(Self {
                offset: WrittenOffset {
                    from,
                    written,
                    before: (before != NONE).then_some(TargetOffset(before)),
                },
                saved_at_ms: d.get_i64()?,
            })
        })
    }
}
