//! An entry of the gap ledger: kind 3. Records that were never copied, and why.
//!
//! ```text
//! INT8 version = 1 | INT64 owner generation | INT64 first missing | INT64 first after
//! INT64 found at, ms | INT8 cause
//! ```

use bytes::Bytes;

use super::bytes::{check_version, read, write};
use super::{StateError, StateWriteError};
use crate::names::SourceOffset;

const WHAT: &str = "gap";
const VERSION: i8 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub owner_generation: i64,
    pub first_missing: SourceOffset,
    pub first_after: SourceOffset,
    pub found_at_ms: i64,
    pub cause: GapCause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// The source's retention, or DeleteRecords there, was faster than the mirror.
    Retention,
    /// An operator released a quarantined record.
    Released,
}

impl GapCause {
    const ALL: [Self; 2] = [Self::Retention, Self::Released];

    fn code(self) -> i8 {
        match self {
            Self::Retention => 1,
            Self::Released => 2,
        }
    }
}

impl Gap {
    /// Source offsets that are missing; not all of them need have held a record.
    pub fn offsets(&self) -> i64 {
        self.first_after.0 - self.first_missing.0
    }

    pub fn encode(&self) -> Result<Bytes, StateWriteError> {
        write(WHAT, VERSION, |e| {
            e.put_i64(self.owner_generation);
            e.put_i64(self.first_missing.0);
            e.put_i64(self.first_after.0);
            e.put_i64(self.found_at_ms);
            e.put_i8(self.cause.code());
            Ok(())
        })
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, StateError> {
        let (gap, cause) = read(WHAT, VERSION, bytes, |d| {
            let gap = Self {
                owner_generation: d.get_i64()?,
                first_missing: SourceOffset(d.get_i64()?),
                first_after: SourceOffset(d.get_i64()?),
                found_at_ms: d.get_i64()?,
                cause: GapCause::Retention,
            };
            Ok((gap, d.get_i8()?))
        })?;
        check_version("gap cause", cause, GapCause::ALL.len() as i8)?;
        let found = GapCause::ALL.into_iter().find(|it| it.code() == cause);
        let cause = found.ok_or(StateError::NeverWas {
            what: "gap cause",
            found: cause,
        })?;
        Ok(Self { cause, ..gap })
    }
}
