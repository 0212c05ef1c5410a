//! Offset sync: one pair of offsets of a mirrored partition.

use bytes::Bytes;
use isthmus_wire::codec::EncodeError;

use super::{Mm2Error, decode, encode};
use crate::names::{SourceOffset, TargetOffset};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OffsetSyncKey {
    /// In source naming.
    pub topic: String,
    pub partition: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetSync {
    pub upstream: SourceOffset,
    pub downstream: TargetOffset,
}

impl OffsetSyncKey {
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        encode(|e| {
            e.put_string(&self.topic, false)?;
            e.put_i32(self.partition);
            Ok(())
        })
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, Mm2Error> {
        decode(bytes, |d| {
            Ok(Self {
                topic: d.get_string(false)?,
                partition: d.get_i32()?,
            })
        })
    }
}

impl OffsetSync {
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        encode(|e| {
            e.put_i64(self.upstream.0);
            e.put_i64(self.downstream.0);
            Ok(())
        })
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, Mm2Error> {
        decode(bytes, |d| {
            Ok(Self {
                upstream: SourceOffset(d.get_i64()?),
                downstream: TargetOffset(d.get_i64()?),
            })
        })
    }
}
